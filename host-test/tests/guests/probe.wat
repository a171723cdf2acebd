;; A filter of few words, by which the Envoy host is tested:
;; * a configuration of two bytes is refused, with a line in the log;
;; * each request and each chunk is counted; a request leaves a record and a log line;
;; * requests get `x-seen: yes`, responses `x-route: <name of the route>`;
;; * the path `/trap…` traps, `/reply…` is answered with 403, `/crash…` ends Envoy 1.40 itself by
;;   resuming a response that hasn't begun.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "two bytes: refused")         ;; 18
  (data (i32.const 1056) "portcullis.probe.requests")  ;; 25
  (data (i32.const 1088) "portcullis.probe.chunks")    ;; 23
  (data (i32.const 1120) "portcullis_probe")           ;; 16
  (data (i32.const 1152) "policy=web reason=probe.ok") ;; 26
  (data (i32.const 1184) "a request\nof two lines")    ;; 22
  (data (i32.const 1216) "x-seen")                     ;; 6
  (data (i32.const 1232) "yes")                        ;; 3
  (data (i32.const 1248) "x-route")                    ;; 7
  (data (i32.const 1264) "xds\00route_name")           ;; 14
  (data (i32.const 1296) ":path")                      ;; 5
  (data (i32.const 1312) "forbidden")                  ;; 9
  (global $requests (mut i32) (i32.const 0))
  (global $chunks (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  ;; What the host hands over is read at once, so one place is enough for all of it.
  (func (export "malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    (if (i32.eq (local.get $size) (i32.const 2))
      (then
        (drop (call $log (i32.const 4) (i32.const 1024) (i32.const 18)))
        (return (i32.const 0))))
    (drop (call $define (i32.const 0) (i32.const 1056) (i32.const 25) (i32.const 0)))
    (global.set $requests (i32.load (i32.const 0)))
    (drop (call $define (i32.const 0) (i32.const 1088) (i32.const 23) (i32.const 0)))
    (global.set $chunks (i32.load (i32.const 0)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $second i32)
    (drop (call $increment (global.get $requests) (i64.const 1)))
    (drop (call $set_property (i32.const 1120) (i32.const 16) (i32.const 1152) (i32.const 26)))
    (drop (call $log (i32.const 3) (i32.const 1184) (i32.const 22)))
    (drop (call $get (i32.const 0) (i32.const 1296) (i32.const 5) (i32.const 0) (i32.const 4)))
    (local.set $second (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (if (i32.eq (local.get $second) (i32.const 116)) (then unreachable))
    (if (i32.eq (local.get $second) (i32.const 99)) (then (drop (call $continue (i32.const 1)))))
    (if (i32.eq (local.get $second) (i32.const 114))
      (then
        (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 1312) (i32.const 9)
          (i32.const 0) (i32.const 0) (i32.const -1)))))
    (drop (call $add (i32.const 0) (i32.const 1216) (i32.const 6) (i32.const 1232) (i32.const 3)))
    (i32.const 0))
  (func $count (param i32 i32 i32) (result i32)
    (if (local.get 1) (then (drop (call $increment (global.get $chunks) (i64.const 1)))))
    (i32.const 0))
  (export "proxy_on_request_body" (func $count))
  (export "proxy_on_response_body" (func $count))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (i32.store (i32.const 4) (i32.const 0))
    (drop (call $get_property (i32.const 1264) (i32.const 14) (i32.const 0) (i32.const 4)))
    (drop (call $add (i32.const 2) (i32.const 1248) (i32.const 7) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (i32.const 0)))
