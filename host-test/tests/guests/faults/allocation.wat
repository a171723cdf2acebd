;; Lets requests through whose `x-key` begins with k, and answers 403 to others.
;; Careless: what the last request left is read where the host could hand nothing over. Mended: the status is read.
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "x-key") ;; 5
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $key (result i32)
    (call $get (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 4)))
  (func $known (result i32)
    (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 107)))
  (func $refuse
    (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  (func $careless (param i32 i32 i32) (result i32)
    (drop (call $key))
    (if (i32.eqz (call $known)) (then (call $refuse)))
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (if (call $key)
      (then (call $refuse))
      (else (if (i32.eqz (call $known)) (then (call $refuse)))))
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
