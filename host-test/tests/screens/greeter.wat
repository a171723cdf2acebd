;; A filter of few words, for tests and for the README's screens:
;; * responses get `x-greeting: hello`;
;; * the path `/panic…` panics as a Rust module does: a message to WASI's standard error, then a trap;
;; * the path `/log-panic…` panics with a hook that logs the message instead.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "x-greeting")  ;; 10
  (data (i32.const 1040) "hello")       ;; 5
  (data (i32.const 1056) ":path")       ;; 5
  (data (i32.const 1072) "a request")   ;; 9
  (data (i32.const 1088) "panicked at src/lib.rs:31:18:\0aindex out of bounds: the len is 3 but the index is 7") ;; 82
  ;; The one vector of `fd_write`.
  (data (i32.const 16) "\40\04\00\00\52\00\00\00")
  (func (export "proxy_abi_version_0_2_1"))
  ;; What the host hands over is read at once, so one place is enough for all of it.
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $rust_panic (unreachable))
  (func $greeter::route
    (if (i32.eq (i32.load8_u (i32.const 65537)) (i32.const 112))                 ;; p
      (then
        (drop (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 32)))
        (call $rust_panic)))
    (if (i32.eq (i32.load8_u (i32.const 65537)) (i32.const 108))                 ;; l
      (then
        (drop (call $log (i32.const 5) (i32.const 1088) (i32.const 82)))
        (call $rust_panic))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 1072) (i32.const 9)))
    (drop (call $get (i32.const 0) (i32.const 1056) (i32.const 5) (i32.const 0) (i32.const 4)))
    (call $greeter::route)
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 5)))
    (i32.const 0)))
