;; At most one request at a time; 503 to a second one.
;; Careless: a request is over when its response comes. Mended: when its stream ends.
(module
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $open (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (global.get $open)
      (then
        (drop (call $reply (i32.const 503) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const -1)))))
    (global.set $open (i32.const 1))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (global.set $open (i32.const 0))
    (i32.const 0))
  (func $careless (param i32))
  (func $mended (param i32) (global.set $open (i32.const 0)))
  (export "proxy_on_log" (func $careless)))
