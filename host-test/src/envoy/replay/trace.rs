//! Envoy's own trace of the calls between it and a guest, as it prints them at `wasm:trace`:
//! `[time][thread][trace][wasm] [file:line] [vm->host] env.proxy_log(2, 1048576, 5)`.
//!
//! A line names no VM. So where calls are compared, each scenario has a process of its own, its
//! worker is told from the main thread by the number, and a play by its place in the log.

use crate::world::trace::{Entry, Way};

/// What Envoy says of a new VM, in a line of another level.
pub const CREATED: &str = "Thread-Local Wasm created";

/// The calls of the workers, those of each together. The first line about WebAssembly is the main thread's.
pub fn of_workers(log: &str, main: &str, number: impl Fn(&str) -> usize) -> Vec<Entry> {
    let mut calls: Vec<_> = log.lines().filter_map(parse).filter(|(thread, _)| *thread != main).collect();
    calls.sort_by_cached_key(|(thread, _)| number(thread));
    calls.into_iter().map(|(_, entry)| entry).collect()
}

/// The main thread's number, from the whole log.
pub fn main_thread(log: &str) -> Option<&str> {
    log.lines().find(|line| line.contains("][wasm] ")).and_then(thread)
}

pub fn thread(line: &str) -> Option<&str> {
    line.split(['[', ']']).filter(|part| !part.is_empty()).nth(1)
}

/// The thread of a line and the call that it shows.
fn parse(line: &str) -> Option<(&str, Entry)> {
    let (head, text) = line.split_once("][wasm] ")?;
    let (_, text) = text.split_once("] ")?;
    if text.starts_with(CREATED) {
        return Some((thread(line)?, Entry::new(Way::Created, "", [])));
    }
    if !head.ends_with("[trace") {
        return None;
    }
    let (way, text) = text.split_once("] ")?;
    let way = match way {
        "[host->vm" => Way::Called,
        "[host<-vm" => Way::Returned,
        "[vm->host" => Way::Asked,
        "[vm<-host" => Way::Answered,
        _ => return None,
    };
    let (name, values) = match way {
        Way::Called | Way::Asked => text.strip_suffix(')')?.split_once('(')?,
        _ => text.split_once(" return: ")?,
    };
    // Of imports Envoy names the module too; callbacks may hold dots of their own.
    let name = match way {
        Way::Asked | Way::Answered => name.split_once('.').map_or(name, |(_, name)| name),
        _ => name,
    };
    Some((thread(line)?, Entry::new(way, name, values.split(", ").filter_map(number))))
}

/// A number without or with a sign; `void` is none.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[2026-01-31 10:20:30.400][12][debug][wasm] [source/extensions/common/wasm/wasm.cc:83] Base Wasm created 1 now active
[2026-01-31 10:20:30.401][12][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [host->vm] proxy_on_tick(1)
[2026-01-31 10:20:30.402][13][debug][wasm] [source/extensions/common/wasm/wasm.cc:101] Thread-Local Wasm created 3 now active
[2026-01-31 10:20:30.403][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [host->vm] proxy_on_done(2)
[2026-01-31 10:20:30.404][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [vm->host] env.proxy_increment_metric(4, -1)
[2026-01-31 10:20:30.405][13][info][wasm] [source/x.cc:1] wasm log portcullis r s0: [vm->host] env.proxy_done()
[2026-01-31 10:20:30.406][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [vm<-host] env.proxy_increment_metric return: 2
[2026-01-31 10:20:30.407][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [host<-vm] proxy_on_done return: 1
[2026-01-31 10:20:30.408][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [vm->host] wasi_snapshot_preview1.fd_write(1, 2, 3, 4)
[2026-01-31 10:20:30.409][13][trace][wasm] [source/extensions/common/wasm/wasm_vm.cc:39] [host<-vm] proxy_on_log return: void
";

    #[test]
    fn the_workers_calls_are_read_and_nothing_else() {
        let main = main_thread(LOG).unwrap();
        let lines: Vec<String> = of_workers(LOG, main, |_| 1).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "a VM is made",
                "[host->vm] proxy_on_done(2)",
                "[vm->host] proxy_increment_metric(-, -1)",
                "[vm<-host] proxy_increment_metric return: 2",
                "[host<-vm] proxy_on_done return: 1",
                "[vm->host] fd_write()",
                "[host<-vm] proxy_on_log",
            ]
        );
    }
}
