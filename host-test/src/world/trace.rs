//! The calls between host and guest in their order, in the shape that Envoy's own trace has.
//!
//! 1. Nothing is kept unless somebody asks for it, and never more than [`LARGEST`] entries.
//! 2. What differs between two runs of one module on two hosts is left out: pointers, sizes that are
//!    allocated, and numbers that a whole process shares (CAS, queue tokens). Metrics too, but for
//!    their kinds: Envoy hands a `Struct` over with its members in any order, so that a guest which
//!    defines a metric for each member has other numbers in each process.
//! 3. The main thread's calls aren't kept, and those of workers stand together.
//! 4. Both names of the allocator are one: which of them a host tries first is not the guest's affair.

use std::fmt;

/// Entries that are kept at most. A guest that calls without end must not fill the host.
pub const LARGEST: usize = 1 << 18;

/// Bytes that are kept of what a call carries.
pub const LONGEST_TEXT: usize = 256;

/// Who calls whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// A VM is made.
    #[default]
    Created,
    /// The host calls the guest.
    Called,
    /// The guest returns.
    Returned,
    /// The guest calls the host.
    Asked,
    /// The host returns.
    Answered,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub way: Way,
    pub name: String,
    /// Arguments, or what was returned; `None` for what can't be compared. Empty where nothing is known.
    pub values: Vec<Option<i64>>,
    /// What a call to the host carried, in its order; the body that a callback found, and on its return the one that
    /// it left, where that is another. Not compared.
    pub texts: Vec<Text>,
    /// Fuel that a callback had used when it returned. Not compared.
    pub fuel: u64,
}

/// Bytes that went over the border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// From the host to the guest.
    pub given: bool,
    /// The first of them.
    pub bytes: Vec<u8>,
    pub length: usize,
}

impl Text {
    fn new(given: bool, bytes: &[u8]) -> Self {
        let first = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
        Self { given, bytes: first.to_vec(), length: bytes.len() }
    }
}

const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// The arguments of each call of `env`: `n` is compared, `-` isn't.
const ARGUMENTS: &[(&str, &str)] = &[
    ("envoy_resolve_dns", "-n-"),
    ("proxy_add_header_map_value", "n-n-n"),
    ("proxy_call_foreign_function", "-n-n--"),
    ("proxy_close_stream", "n"),
    ("proxy_continue_stream", "n"),
    ("proxy_define_metric", "n---"),
    ("proxy_dequeue_shared_queue", "---"),
    ("proxy_done", ""),
    ("proxy_enqueue_shared_queue", "--n"),
    ("proxy_get_buffer_bytes", "nnn--"),
    ("proxy_get_buffer_status", "n--"),
    ("proxy_get_current_time_nanoseconds", "-"),
    ("proxy_get_header_map_pairs", "n--"),
    ("proxy_get_header_map_size", "n-"),
    ("proxy_get_header_map_value", "n-n--"),
    ("proxy_get_log_level", "-"),
    ("proxy_get_metric", "--"),
    ("proxy_get_property", "-n--"),
    ("proxy_get_shared_data", "-n---"),
    ("proxy_get_status", "---"),
    ("proxy_grpc_call", "-n-n-n-n-nn-"),
    ("proxy_grpc_cancel", "n"),
    ("proxy_grpc_close", "n"),
    ("proxy_grpc_send", "n-nn"),
    ("proxy_grpc_stream", "-n-n-n-n-"),
    ("proxy_http_call", "-n-n-n-nn-"),
    ("proxy_increment_metric", "-n"),
    ("proxy_log", "n-n"),
    ("proxy_record_metric", "-n"),
    ("proxy_register_shared_queue", "-n-"),
    ("proxy_remove_header_map_value", "n-n"),
    ("proxy_replace_header_map_value", "n-n-n"),
    ("proxy_resolve_shared_queue", "-n-n-"),
    ("proxy_send_local_response", "n-n-n-nn"),
    ("proxy_set_buffer_bytes", "nnn-n"),
    ("proxy_set_effective_context", "n"),
    ("proxy_set_header_map_pairs", "n-n"),
    ("proxy_set_property", "-n-n"),
    ("proxy_set_shared_data", "-n-n-"),
    ("proxy_set_tick_period_milliseconds", "n"),
];

/// Every call of `env` that proxy-wasm 0.2.1 has in Envoy.
pub fn hostcalls() -> impl Iterator<Item = &'static str> + Clone {
    ARGUMENTS.iter().map(|(name, _)| *name)
}

impl Entry {
    /// An entry without what can't be compared.
    pub fn new(way: Way, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        if ALLOCATORS.contains(&name) {
            return Self { way, name: "(allocate)".into(), ..Self::default() };
        }
        let values = values.into_iter();
        let values = match way {
            Way::Created => Vec::new(),
            Way::Called | Way::Returned | Way::Answered => values.map(Some).collect(),
            Way::Asked => match ARGUMENTS.iter().find(|(known, _)| *known == name) {
                Some((_, kinds)) => values.zip(kinds.chars()).map(|(n, kind)| (kind == 'n').then_some(n)).collect(),
                None => Vec::new(),
            },
        };
        Self { way, name: name.to_owned(), values, ..Self::default() }
    }

    pub fn is_creation(&self) -> bool {
        self.way == Way::Created
    }

    /// Whether two hosts did the same here. What one of them doesn't know is no difference.
    pub fn is_like(&self, other: &Self) -> bool {
        let known = self.values.iter().zip(&other.values).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        self.way == other.way && self.name == other.name && known.into_iter().all(|(a, b)| a == b)
    }
}

/// As Envoy writes it, `-` for what is left out.
impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(|value| value.map_or_else(|| "-".into(), |value| value.to_string()));
        let values = values.collect::<Vec<_>>().join(", ");
        let name = &self.name;
        match self.way {
            Way::Created => formatter.write_str("a VM is made"),
            Way::Called => write!(formatter, "[host->vm] {name}({values})"),
            Way::Returned if values.is_empty() => write!(formatter, "[host<-vm] {name}"),
            Way::Returned => write!(formatter, "[host<-vm] {name} return: {values}"),
            Way::Asked => write!(formatter, "[vm->host] {name}({values})"),
            Way::Answered => write!(formatter, "[vm<-host] {name} return: {values}"),
        }
    }
}

/// What is kept of the calls of all VMs.
#[derive(Debug)]
pub struct Trace {
    on: bool,
    /// Each with the worker that made it.
    entries: Vec<(usize, Entry)>,
    /// The worker that runs, from 1; `None` for the main thread.
    worker: Option<usize>,
    /// The arguments of the call that is about to be made.
    noted: Vec<i64>,
    /// The body that the next callback finds.
    held: Option<Text>,
    /// The places of the calls to the host that haven't been answered yet.
    open: Vec<usize>,
    traps: Vec<String>,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            on: false,
            entries: Vec::new(),
            worker: Some(1),
            noted: Vec::new(),
            held: None,
            open: Vec::new(),
            traps: Vec::new(),
        }
    }
}

impl Trace {
    /// Another thread runs; 0 is the main one.
    pub fn enter(&mut self, thread: usize) {
        self.worker = (thread > 0).then_some(thread);
    }

    /// Begins to keep entries, where `on`.
    pub fn created(&mut self, on: bool) {
        self.on |= on;
        self.push(Way::Created, "", []);
    }

    pub fn called<T: Numbers>(&mut self, callback: &str, arguments: &T) {
        if self.on {
            self.push(Way::Called, callback, arguments.numbers());
            let held = self.held.take();
            self.entries.iter_mut().rev().take(1).for_each(|(_, entry)| entry.texts.extend(held.clone()));
        }
    }

    /// The body that the next callback finds.
    pub fn held(&mut self, body: Option<&[u8]>) {
        self.held = body.filter(|_| self.on).map(|body| Text::new(true, body));
    }

    /// The body that a callback leaves, which has returned just now.
    pub fn left(&mut self, callback: &str, body: &[u8]) {
        let last = self.entries.last_mut().filter(|(_, entry)| entry.way == Way::Returned && entry.name == callback);
        if let Some((_, entry)) = last {
            entry.texts.push(Text::new(false, body));
        }
    }

    pub fn returned<T: Numbers>(&mut self, callback: &str, answer: &T, fuel: u64) {
        if self.on {
            self.push(Way::Returned, callback, answer.numbers());
            self.entries.iter_mut().rev().take(1).for_each(|(_, entry)| entry.fuel = fuel);
        }
    }

    /// A trap is kept always; its callback has no return.
    pub fn trapped(&mut self, callback: &str, message: &str) {
        if self.traps.len() < LARGEST {
            self.traps.push(format!("{callback}: {message}"));
        }
    }

    /// The arguments of the next call that the guest makes.
    pub fn note(&mut self, arguments: &[i64]) {
        if self.on {
            self.noted.clear();
            self.noted.extend_from_slice(arguments);
        }
    }

    pub fn asked(&mut self, call: &str) {
        if self.on {
            let arguments = std::mem::take(&mut self.noted);
            self.open.push(self.entries.len());
            self.push(Way::Asked, call, arguments);
        }
    }

    /// Bytes that the call in hand carries.
    pub fn carried(&mut self, given: bool, bytes: &[u8]) {
        if self.on
            && let Some((_, entry)) = self.open.last().and_then(|place| self.entries.get_mut(*place))
        {
            entry.texts.push(Text::new(given, bytes));
        }
    }

    pub fn answered(&mut self, call: &str, status: u32) {
        self.open.pop();
        self.push(Way::Answered, call, [i64::from(status)]);
    }

    fn push(&mut self, way: Way, name: &str, values: impl IntoIterator<Item = i64>) {
        if let (true, Some(worker)) = (self.on && self.entries.len() < LARGEST, self.worker) {
            self.entries.push((worker, Entry::new(way, name, values)));
        }
    }

    /// All entries since the last call.
    pub fn take(&mut self) -> Vec<Entry> {
        self.open.clear();
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|(worker, _)| *worker);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// All traps since the last call, each with its callback.
    pub fn take_traps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.traps)
    }
}

/// What a callback is called with, or returns, as numbers.
pub trait Numbers {
    fn numbers(&self) -> Vec<i64>;
}

/// A number as Envoy prints it: 32 bits without a sign, 64 bits as they are.
pub trait Number: Copy {
    fn number(self) -> i64;
}

impl Number for u32 {
    fn number(self) -> i64 {
        self.into()
    }
}

impl Number for i32 {
    fn number(self) -> i64 {
        self.cast_unsigned().into()
    }
}

impl Number for u64 {
    fn number(self) -> i64 {
        self.cast_signed()
    }
}

impl Number for i64 {
    fn number(self) -> i64 {
        self
    }
}

impl Numbers for u32 {
    fn numbers(&self) -> Vec<i64> {
        vec![self.number()]
    }
}

macro_rules! numbers {
    ($($($name:ident)*;)*) => {
        $(impl<$($name: Number),*> Numbers for ($($name,)*) {
            #[allow(non_snake_case, reason = "types and values share their names")]
            fn numbers(&self) -> Vec<i64> {
                let ($($name,)*) = *self;
                vec![$($name.number()),*]
            }
        })*
    };
}

numbers! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_unless_asked_for_but_traps() {
        let mut trace = Trace::default();
        trace.created(false);
        trace.called("proxy_on_log", &(2u32,));
        trace.trapped("proxy_on_log", "unreachable");
        assert_eq!((trace.take(), trace.take_traps()), (vec![], vec!["proxy_on_log: unreachable".into()]));
    }

    #[test]
    fn pointers_are_left_out_and_numbers_stay() {
        let mut trace = Trace::default();
        trace.created(true);
        trace.take();
        trace.note(&[0, 1000, 5, 2000, 2004]);
        trace.asked("proxy_get_header_map_value");
        trace.called("malloc", &(3u32,));
        trace.carried(true, b"abc");
        trace.returned("malloc", &4096u32, 0);
        trace.answered("proxy_get_header_map_value", 0);
        let entries = trace.take();
        let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
        assert_eq!(entries[0].texts, [Text { given: true, bytes: b"abc".to_vec(), length: 3 }]);
        assert_eq!(
            lines,
            [
                "[vm->host] proxy_get_header_map_value(0, -, 5, -, -)",
                "[host->vm] (allocate)()",
                "[host<-vm] (allocate)",
                "[vm<-host] proxy_get_header_map_value return: 0",
            ]
        );
    }

    #[test]
    fn what_one_host_does_not_know_is_no_difference() {
        let of = |values: &[i64]| Entry::new(Way::Asked, "proxy_continue_stream", values.iter().copied());
        assert!(of(&[1]).is_like(&of(&[])) && of(&[1]).is_like(&of(&[1])));
        assert!(!of(&[1]).is_like(&of(&[0])));
        assert!(!of(&[]).is_like(&Entry::new(Way::Asked, "proxy_done", [])));
    }
}
