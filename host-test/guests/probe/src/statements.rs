//! Statements → calls, and what they answered → text.

use crate::{
    escape::{pairs as shown_pairs, quoted, sorted_pairs},
    imports::*,
    script::Statement,
    state::{self, growth},
};

/// Why a group goes no further.
pub enum End {
    Returned(u32),
}

/// What an output holds before a call, to see whether the host wrote there.
const UNTOUCHED: u32 = 0xdead_beef;

/// The text of an answer, or the end of the callback.
pub fn run(statement: &Statement) -> Result<String, End> {
    let arguments = Arguments(&statement.arguments);
    match statement.name {
        "return" => Err(End::Returned(arguments.number(0).unwrap_or_default() as u32)),
        name => {
            let answer = call(name, arguments).unwrap_or_else(|wrong| Answer::Text(format!("not called: {wrong}")));
            Ok(if statement.hidden { answer.hidden() } else { answer.shown(statement.masked) })
        }
    }
}

enum Answer {
    Status(u32),
    /// A status and what was handed over: a pointer and a size.
    Bytes(u32, Given, fn(&[u8]) -> String),
    Number(u32, Option<String>),
    Both(u32, Given, String),
    Text(String),
}

impl Answer {
    /// The status, and whether there is more.
    fn hidden(self) -> String {
        let shown = self.shown(true);
        match shown.split_once(' ') {
            Some((status, _)) => format!("{status} something"),
            None => shown,
        }
    }

    fn shown(self, masked: bool) -> String {
        let result = |status: u32, result: Option<String>| match result {
            None => status.to_string(),
            Some(_) if masked => format!("{status} a number"),
            Some(result) => format!("{status} {result}"),
        };
        match self {
            Self::Status(status) => status.to_string(),
            Self::Bytes(status, given, show) => match given.bytes() {
                None => status.to_string(),
                Some(None) => format!("{status} null"),
                Some(Some(bytes)) if masked => format!("{status} {} bytes", bytes.len()),
                Some(Some(bytes)) => format!("{status} {}", show(&bytes)),
            },
            Self::Number(status, number) => result(status, number),
            Self::Both(status, given, number) => {
                let given = Self::Bytes(status, given, quoted).shown(masked);
                if number.is_empty() || masked { given } else { format!("{given} {number}") }
            }
            Self::Text(text) => text,
        }
    }
}

/// The place where a call leaves a pointer and a size.
struct Given([u32; 2]);

impl Given {
    fn new() -> Self {
        Self([UNTOUCHED; 2])
    }

    /// The addresses of pointer and size.
    fn places(&mut self) -> (u32, u32) {
        let place = self.0.as_mut_ptr() as u32;
        (place, place + 4)
    }

    /// `None` where nothing was written, `Some(None)` for a null pointer.
    fn bytes(&self) -> Option<Option<Vec<u8>>> {
        let [pointer, size] = self.0;
        match pointer {
            UNTOUCHED => None,
            0 => Some(None),
            // SAFETY: the host filled `size` bytes that `proxy_on_memory_allocate` gave it, whose layout is that of a
            // `Vec<u8>` of this capacity. `Given` is read once.
            _ => Some(Some(unsafe { Vec::from_raw_parts(pointer as *mut u8, size as usize, size as usize) })),
        }
    }
}

/// A whole buffer; nothing where there is none.
pub fn buffer(number: u32) -> Vec<u8> {
    let mut given = Given::new();
    let (pointer, size) = given.places();
    // SAFETY: both places are valid for writing while the call lasts.
    let status = unsafe { proxy_get_buffer_bytes(number, 0, u32::MAX, pointer, size) };
    if status == 0 { given.bytes().flatten().unwrap_or_default() } else { Vec::new() }
}

/// Whether the store holds a key.
pub fn is_stored(key: &str) -> bool {
    let (pointer, size) = place(key.as_bytes());
    let mut bytes = Given::new();
    let (value, value_size) = bytes.places();
    // SAFETY: as in `call`.
    let (status, _) = number(|cas| unsafe { proxy_get_shared_data(pointer, size, value, value_size, cas) });
    // Read, so that it is freed.
    drop(bytes.bytes());
    status == 0
}

type Wrong = String;

#[derive(Clone, Copy)]
struct Arguments<'a>(&'a [Vec<u8>]);

impl<'a> Arguments<'a> {
    fn bytes(self, index: usize) -> &'a [u8] {
        self.0.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    /// A place and a size for the host to read.
    fn text(self, index: usize) -> (u32, u32) {
        place(self.bytes(index))
    }

    /// A number, `$cas` or `$queue`, each with `+n` behind it.
    fn number(self, index: usize) -> Result<i64, Wrong> {
        let text = String::from_utf8_lossy(self.bytes(index));
        let wrong = || format!("`{text}` is no number");
        let (name, more) = text.split_once('+').unwrap_or((&text, "0"));
        let known = match name {
            "$cas" => state::with(|state| state.cas.get()).ok_or("no number of compare-and-swap was seen yet")?,
            "$queue" => state::with(|state| state.queue.get()).ok_or("no queue was seen yet")?,
            "stream" => state::with(|state| state.stream.get()),
            _ => {
                let unsigned = || text.parse::<u64>().map(u64::cast_signed);
                return text.parse().or_else(|_| unsigned()).map_err(|_| wrong());
            }
        };
        Ok(i64::from(known) + more.parse::<i64>().map_err(|_| wrong())?)
    }

    fn small(self, index: usize) -> Result<u32, Wrong> {
        self.number(index).map(|number| number as u32)
    }

    /// Names and values from here on, up to `--`, as pairs; and what stands behind that.
    fn pairs(self, from: usize) -> (Vec<u8>, Self) {
        let words = self.0.get(from..).unwrap_or_default();
        let end = words.iter().position(|word| word == b"--").unwrap_or(words.len());
        let (words, rest) = words.split_at_checked(end).unwrap_or((words, &[]));
        let pairs: Vec<(&[u8], &[u8])> =
            words.chunks(2).filter_map(|pair| Some((pair.first()?.as_slice(), pair.get(1)?.as_slice()))).collect();
        (serialise(&pairs), Arguments(rest.get(1..).unwrap_or_default()))
    }
}

fn place(bytes: &[u8]) -> (u32, u32) {
    (bytes.as_ptr() as u32, bytes.len() as u32)
}

fn serialise(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(*text);
        out.push(0);
    }
    out
}

/// A call that hands over bytes.
fn given(show: fn(&[u8]) -> String, call: impl FnOnce(u32, u32) -> u32) -> Answer {
    let mut given = Given::new();
    let (pointer, size) = given.places();
    let status = call(pointer, size);
    Answer::Bytes(status, given, show)
}

/// A call that writes a number of 32 bits.
fn number(call: impl FnOnce(u32) -> u32) -> (u32, Option<u32>) {
    let mut number = UNTOUCHED;
    let status = call(&raw mut number as u32);
    // SAFETY: the host may have written there through its address.
    let number = unsafe { std::ptr::read_volatile(&raw const number) };
    (status, (number != UNTOUCHED).then_some(number))
}

fn plain(call: impl FnOnce(u32) -> u32) -> Answer {
    let (status, number) = number(call);
    Answer::Number(status, number.map(|number| number.to_string()))
}

/// A call that writes a number of 64 bits.
fn wide(call: impl FnOnce(u32) -> u32) -> Answer {
    let mut number = u64::from(UNTOUCHED);
    let status = call(&raw mut number as u32);
    // SAFETY: as above.
    let number = unsafe { std::ptr::read_volatile(&raw const number) };
    Answer::Number(status, (number != u64::from(UNTOUCHED)).then(|| number.to_string()))
}

// SAFETY of every call below: each pointer comes with the size of what it points to, and lives longer than the call.
fn call(name: &str, a: Arguments<'_>) -> Result<Answer, Wrong> {
    let ((p0, s0), (p1, s1), (p2, s2), (p3, s3)) = (a.text(0), a.text(1), a.text(2), a.text(3));
    Ok(match name {
        "get_header_map_value" => {
            let map = a.small(0)?;
            given(quoted, |value, size| unsafe { proxy_get_header_map_value(map, p1, s1, value, size) })
        }
        "get_header_map_pairs" => {
            let map = a.small(0)?;
            given(shown_pairs, |value, size| unsafe { proxy_get_header_map_pairs(map, value, size) })
        }
        "get_header_map_size" => {
            let map = a.small(0)?;
            plain(|size| unsafe { proxy_get_header_map_size(map, size) })
        }
        "set_header_map_pairs" => set_pairs(a.small(0)?, &a.pairs(1).0),
        "set_pairs_bytes" => set_pairs(a.small(0)?, a.bytes(1)),
        "set_many" => set_pairs(a.small(0)?, &serialise(&vec![(a.bytes(2), a.bytes(3)); a.small(1)? as usize])),
        "replace_header_map_value" => {
            Answer::Status(unsafe { proxy_replace_header_map_value(a.small(0)?, p1, s1, p2, s2) })
        }
        "add_header_map_value" => Answer::Status(unsafe { proxy_add_header_map_value(a.small(0)?, p1, s1, p2, s2) }),
        "remove_header_map_value" => Answer::Status(unsafe { proxy_remove_header_map_value(a.small(0)?, p1, s1) }),
        "get_buffer_bytes" => {
            let (buffer, start, most) = (a.small(0)?, a.small(1)?, a.small(2)?);
            given(quoted, |value, size| unsafe { proxy_get_buffer_bytes(buffer, start, most, value, size) })
        }
        "get_buffer_status" => {
            let buffer = a.small(0)?;
            let mut flags = None;
            let (status, size) = number(|size| {
                let (status, written) = number(|flags| unsafe { proxy_get_buffer_status(buffer, size, flags) });
                flags = written;
                status
            });
            let shown = size.map(|size| format!("size={size} flags={}", flags.unwrap_or_default()));
            Answer::Number(status, shown)
        }
        "set_buffer_bytes" => {
            Answer::Status(unsafe { proxy_set_buffer_bytes(a.small(0)?, a.small(1)?, a.small(2)?, p3, s3) })
        }
        "get_property" | "get_property_map" => {
            let path = a.0.join(&0);
            let (path, path_size) = place(&path);
            let show = if name == "get_property" { quoted } else { sorted_pairs };
            given(show, |value, size| unsafe { proxy_get_property(path, path_size, value, size) })
        }
        "set_property" => Answer::Status(unsafe { proxy_set_property(p0, s0, p1, s1) }),
        "get_shared_data" => {
            let mut bytes = Given::new();
            let (value, size) = bytes.places();
            let (status, cas) = number(|cas| unsafe { proxy_get_shared_data(p0, s0, value, size, cas) });
            let cas = cas.map(|cas| state::with(|state| growth(&state.cas, cas)));
            Answer::Both(status, bytes, cas.map(|cas| format!("cas {cas}")).unwrap_or_default())
        }
        "set_shared_data" => Answer::Status(unsafe { proxy_set_shared_data(p0, s0, p1, s1, a.small(2)?) }),
        "register_shared_queue" => queue(|queue| unsafe { proxy_register_shared_queue(p0, s0, queue) }),
        "resolve_shared_queue" => queue(|queue| unsafe { proxy_resolve_shared_queue(p0, s0, p1, s1, queue) }),
        "enqueue_shared_queue" => Answer::Status(unsafe { proxy_enqueue_shared_queue(a.small(0)?, p1, s1) }),
        "dequeue_shared_queue" => {
            let queue = a.small(0)?;
            given(quoted, |value, size| unsafe { proxy_dequeue_shared_queue(queue, value, size) })
        }
        "define_metric" => {
            let kind = a.small(0)?;
            plain(|id| unsafe { proxy_define_metric(kind, p1, s1, id) })
        }
        "increment_metric" => Answer::Status(unsafe { proxy_increment_metric(a.small(0)?, a.number(1)?) }),
        "record_metric" => Answer::Status(unsafe { proxy_record_metric(a.small(0)?, a.number(1)?.cast_unsigned()) }),
        "get_metric" => {
            let id = a.small(0)?;
            wide(|value| unsafe { proxy_get_metric(id, value) })
        }
        "log" => Answer::Status(unsafe { proxy_log(a.small(0)?, p1, s1) }),
        "get_log_level" => plain(|level| unsafe { proxy_get_log_level(level) }),
        "get_status" => {
            let mut text = Given::new();
            let (value, size) = text.places();
            let (status, code) = number(|code| unsafe { proxy_get_status(code, value, size) });
            Answer::Both(status, text, code.map(|code| format!("code {code}")).unwrap_or_default())
        }
        "get_current_time_nanoseconds" => wide(|time| unsafe { proxy_get_current_time_nanoseconds(time) }),
        "set_tick_period_milliseconds" => Answer::Status(unsafe { proxy_set_tick_period_milliseconds(a.small(0)?) }),
        "call_foreign_function" => {
            given(quoted, |value, size| unsafe { proxy_call_foreign_function(p0, s0, p1, s1, value, size) })
        }
        "continue_stream" => Answer::Status(unsafe { proxy_continue_stream(a.small(0)?) }),
        "close_stream" => Answer::Status(unsafe { proxy_close_stream(a.small(0)?) }),
        "set_effective_context" => Answer::Status(unsafe { proxy_set_effective_context(a.small(0)?) }),
        "done" => Answer::Status(unsafe { proxy_done() }),
        "send_local_response" => local_response(a.small(0)?, (p1, s1), (p2, s2), a.small(3)?, &a.pairs(4).0),
        "reply" => local_response(a.small(0)?, place(b""), (p1, s1), u32::MAX, &a.pairs(2).0),
        "http_call" => {
            let (headers, rest) = a.pairs(3);
            let (trailers, _) = rest.pairs(0);
            let (timeout, (h, hs), (t, ts)) = (a.small(1)?, place(&headers), place(&trailers));
            plain(|token| unsafe { proxy_http_call(p0, s0, h, hs, p2, s2, t, ts, timeout, token) })
        }
        "grpc_call" => {
            let metadata = a.pairs(5).0;
            let (timeout, (m, ms)) = (a.small(4)?, place(&metadata));
            plain(|token| unsafe { proxy_grpc_call(p0, s0, p1, s1, p2, s2, m, ms, p3, s3, timeout, token) })
        }
        "grpc_stream" => {
            let metadata = a.pairs(3).0;
            let (m, ms) = place(&metadata);
            plain(|token| unsafe { proxy_grpc_stream(p0, s0, p1, s1, p2, s2, m, ms, token) })
        }
        "grpc_send" => Answer::Status(unsafe { proxy_grpc_send(a.small(0)?, p1, s1, a.small(2)?) }),
        "grpc_cancel" => Answer::Status(unsafe { proxy_grpc_cancel(a.small(0)?) }),
        "grpc_close" => Answer::Status(unsafe { proxy_grpc_close(a.small(0)?) }),
        "envoy_resolve_dns" => plain(|token| unsafe { envoy_resolve_dns(p0, s0, token) }),
        "raw" => {
            let numbers = (1..a.0.len()).map(|index| a.number(index)).collect::<Result<Vec<_>, _>>()?;
            let name = String::from_utf8_lossy(a.bytes(0));
            Answer::Status(raw(&name, &numbers).ok_or_else(|| format!("no such call, or too few numbers: {name}"))?)
        }
        "trap" => core::arch::wasm32::unreachable(),
        "loop" => endless(),
        "grow" => {
            let before = core::arch::wasm32::memory_grow::<0>(a.small(0)? as usize);
            Answer::Text(if before == usize::MAX { "refused".into() } else { "grown".into() })
        }
        "exit" => {
            unsafe { proc_exit(0) };
            Answer::Text("went on".into())
        }
        "allocator" => {
            state::with(|state| state.no_memory.set(a.bytes(0) == b"off"));
            Answer::Text("set".into())
        }
        other => return Err(format!("`{other}` is listed, but not played")),
    })
}

fn set_pairs(map: u32, pairs: &[u8]) -> Answer {
    let (pairs, size) = place(pairs);
    // SAFETY: as in `call`.
    Answer::Status(unsafe { proxy_set_header_map_pairs(map, pairs, size) })
}

fn queue(call: impl FnOnce(u32) -> u32) -> Answer {
    let (status, queue) = number(call);
    Answer::Number(status, queue.map(|queue| state::with(|state| growth(&state.queue, queue))))
}

fn local_response(status: u32, details: (u32, u32), body: (u32, u32), grpc: u32, headers: &[u8]) -> Answer {
    let (headers, size) = place(headers);
    // SAFETY: as in `call`.
    Answer::Status(unsafe {
        proxy_send_local_response(status, details.0, details.1, body.0, body.1, headers, size, grpc)
    })
}

/// Never returns; the counter keeps the compiler from taking the loop away.
fn endless() -> ! {
    let mut turns = 0_u32;
    loop {
        // SAFETY: writes a variable of its own.
        unsafe { std::ptr::write_volatile(&raw mut turns, turns.wrapping_add(1)) };
    }
}
