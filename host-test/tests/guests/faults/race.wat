;; Lets three requests through, counted in the store, and answers 429 from then on.
;; Careless: a count that somebody else was faster to write is lost. Mended: it is read and written again.
(module
  (import "env" "proxy_get_shared_data" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $store (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "count") ;; 5
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $refuse
    (drop (call $reply (i32.const 429) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const -1))))
  ;; Counts one more, by a digit; 0 where that is done or the quota is spent, else the status of the write.
  (func $count (result i32)
    (local $digit i32) (local $cas i32)
    ;; No entry has this number, so that of several only one creates it.
    (local.set $cas (i32.const -1))
    (local.set $digit (i32.const 48))
    (if (i32.eqz (call $load (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 4) (i32.const 8)))
      (then
        (local.set $digit (i32.load8_u (i32.load (i32.const 0))))
        (local.set $cas (i32.load (i32.const 8)))))
    (if (i32.ge_u (local.get $digit) (i32.const 51))
      (then (call $refuse) (return (i32.const 0))))
    (i32.store8 (i32.const 1040) (i32.add (local.get $digit) (i32.const 1)))
    (call $store (i32.const 1024) (i32.const 5) (i32.const 1040) (i32.const 1) (local.get $cas)))
  (func $careless (param i32 i32 i32) (result i32)
    (drop (call $count))
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (local $tries i32)
    (local.set $tries (i32.const 8))
    (loop $again
      (if (i32.eqz (call $count)) (then (return (i32.const 0))))
      (br_if $again (local.tee $tries (i32.sub (local.get $tries) (i32.const 1)))))
    ;; Others are always faster: what can't be counted isn't let through.
    (call $refuse)
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
