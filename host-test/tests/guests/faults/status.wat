;; Adds the name of the route to requests.
;; Careless: a status that isn't OK is a trap, as in an SDK that unwraps it. Mended: the request goes on without.
(module
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "xds\00route_name") ;; 14
  (data (i32.const 1040) "x-route")          ;; 7
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func $name (result i32)
    (call $property (i32.const 1024) (i32.const 14) (i32.const 0) (i32.const 4)))
  (func $told
    (drop (call $add (i32.const 0) (i32.const 1040) (i32.const 7) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
  (func $careless (param i32 i32 i32) (result i32)
    (if (call $name) (then unreachable))
    (call $told)
    (i32.const 0))
  (func $mended (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $name)) (then (call $told)))
    (i32.const 0))
  (export "proxy_on_request_headers" (func $careless)))
