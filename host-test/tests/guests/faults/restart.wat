;; Lets one request through, and answers 429 from then on.
;; Careless: the VM remembers, until it ends. Mended: the store does.
(module
  (import "env" "proxy_get_shared_data" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $store (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "spent") ;; 5
  (global $spent (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $refuse
    (drop (call $reply (i32.const 429) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  (func $careless (param i32 i32 i32) (result i32)
    (if (global.get $spent) (then (call $refuse)))
    (global.set $spent (i32.const 1))
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    ;; Only one write of a number that no entry has succeeds.
    (if (call $store (i32.const 1024) (i32.const 5) (i32.const 1024) (i32.const 5) (i32.const -1))
      (then (call $refuse)))
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
