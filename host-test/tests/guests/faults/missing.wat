;; Closed as long as the store says so, which its configuration writes.
;; Careless: without the key it is open. Mended: without the key it is closed.
(module
  (import "env" "proxy_get_shared_data" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $store (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "state")  ;; 5
  (data (i32.const 1040) "closed") ;; 6
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.eqz (call $store (i32.const 1024) (i32.const 5) (i32.const 1040) (i32.const 6) (i32.const 0))))
  (func $state (result i32)
    (call $load (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 4) (i32.const 8)))
  (func $closed (result i32)
    (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 99)))
  (func $refuse
    (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  (func $careless (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $state)) (then (if (call $closed) (then (call $refuse)))))
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (if (call $state)
      (then (call $refuse))
      (else (if (call $closed) (then (call $refuse)))))
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
