;; Looks for a byte that `x-list` holds twice in a row.
;; Careless: compares each byte with every other. Mended: with the next one.
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "x-list") ;; 6
  (global $found (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  ;; Compares the byte at a place with so many that follow.
  (func $compare (param $place i32) (param $many i32)
    (local $next i32)
    (local.set $next (local.get $place))
    (loop $again
      (if (i32.eqz (local.get $many)) (then (return)))
      (local.set $next (i32.add (local.get $next) (i32.const 1)))
      (local.set $many (i32.sub (local.get $many) (i32.const 1)))
      (if (i32.eq (i32.load8_u (local.get $place)) (i32.load8_u (local.get $next)))
        (then (global.set $found (i32.add (global.get $found) (i32.const 1)))))
      (br $again)))
  (func $all (param $every i32)
    (local $left i32) (local $place i32)
    (drop (call $get (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 4)))
    (local.set $place (i32.load (i32.const 0)))
    (local.set $left (i32.load (i32.const 4)))
    (loop $again
      (if (i32.eqz (local.get $left)) (then (return)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (call $compare (local.get $place) (select (local.get $left) (i32.const 1) (local.get $every)))
      (local.set $place (i32.add (local.get $place) (i32.const 1)))
      (br $again)))
  (func $careless (param i32 i32 i32) (result i32)
    (call $all (i32.const 1))
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (call $all (i32.const 0))
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
