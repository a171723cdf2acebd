;; Keeps a page for each request.
;; Careless: takes it that memory always grows. Mended: reuses the last page where it doesn't.
(module
  (memory (export "memory") 2)
  (global $page (mut i32) (i32.const 1))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $keep (i32.store (i32.mul (global.get $page) (i32.const 65536)) (i32.const 1)))
  (func $careless (param i32 i32 i32) (result i32)
    (global.set $page (memory.grow (i32.const 1)))
    (call $keep)
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (local $page i32)
    (if (i32.ne (local.tee $page (memory.grow (i32.const 1))) (i32.const -1))
      (then (global.set $page (local.get $page))))
    (call $keep)
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
