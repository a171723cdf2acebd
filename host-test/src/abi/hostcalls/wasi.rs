//! The part of WASI that Envoy offers, under both of its module names. Numbers are WASI's `errno`.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::{
    abi::{Answer, Call, Guest, call::count},
    world::logs::Level,
};

const BAD_DESCRIPTOR: u32 = 8;
const EXISTS: u32 = 20;
const INVALID: u32 = 28;
const NO_ENTRY: u32 = 44;
const NO_SYSTEM_CALL: u32 = 52;
const NOT_SUPPORTED: u32 = 58;

/// Bytes that one `random_get` gives at most.
const MOST_RANDOM: u32 = 1 << 16;

/// Who gets the answer of a simple call.
#[derive(Clone, Copy)]
enum Of {
    All,
    /// Standard output and error; for others it is a bad descriptor.
    Output,
}

/// A call that does nothing but answer.
struct Simple {
    name: &'static str,
    /// `i` for 32 bits, `I` for 64.
    arguments: &'static str,
    of: Of,
    answer: u32,
    /// Pointers among the arguments, and how many zero bytes go there.
    zeros: &'static [(usize, usize)],
}

const fn simple(name: &'static str, arguments: &'static str, of: Of, answer: u32) -> Simple {
    Simple { name, arguments, of, answer, zeros: &[] }
}

const SIMPLE: &[Simple] = &[
    simple("sched_yield", "", Of::All, 0),
    simple("args_get", "ii", Of::All, 0),
    simple("fd_advise", "iIIi", Of::All, 0),
    simple("fd_allocate", "iII", Of::Output, 0),
    simple("fd_close", "i", Of::All, 0),
    simple("fd_datasync", "i", Of::Output, 0),
    simple("fd_fdstat_set_flags", "ii", Of::All, NO_SYSTEM_CALL),
    simple("fd_fdstat_set_rights", "iII", Of::Output, 0),
    simple("fd_filestat_get", "ii", Of::All, BAD_DESCRIPTOR),
    simple("fd_filestat_set_size", "iI", Of::Output, 0),
    simple("fd_filestat_set_times", "iIIi", Of::Output, 0),
    simple("fd_pread", "iiiIi", Of::All, NO_SYSTEM_CALL),
    simple("fd_prestat_get", "ii", Of::All, BAD_DESCRIPTOR),
    simple("fd_prestat_dir_name", "iii", Of::All, NO_SYSTEM_CALL),
    simple("fd_read", "iiii", Of::All, NO_SYSTEM_CALL),
    Simple { zeros: &[(4, 4)], ..simple("fd_readdir", "iiiIi", Of::All, EXISTS) },
    simple("fd_renumber", "ii", Of::All, BAD_DESCRIPTOR),
    simple("fd_seek", "iIii", Of::All, 0),
    simple("fd_sync", "i", Of::Output, 0),
    Simple { zeros: &[(1, 8)], ..simple("fd_tell", "ii", Of::Output, 0) },
    simple("path_create_directory", "iii", Of::All, NOT_SUPPORTED),
    simple("path_filestat_get", "iiiii", Of::All, NOT_SUPPORTED),
    simple("path_filestat_set_times", "iiiiIIi", Of::All, NOT_SUPPORTED),
    simple("path_link", "iiiiii", Of::All, NOT_SUPPORTED),
    simple("path_open", "iiiiiIIii", Of::All, NO_ENTRY),
    Simple { zeros: &[(5, 4)], ..simple("path_readlink", "iiiiii", Of::All, NOT_SUPPORTED) },
    simple("path_remove_directory", "iii", Of::All, NOT_SUPPORTED),
    simple("path_rename", "iiiiii", Of::All, NOT_SUPPORTED),
    simple("path_symlink", "iiii", Of::All, NOT_SUPPORTED),
    simple("path_unlink_file", "iii", Of::All, NOT_SUPPORTED),
    Simple { zeros: &[(2, 8)], ..simple("sock_accept", "iii", Of::All, NOT_SUPPORTED) },
    Simple { zeros: &[(4, 4), (5, 2)], ..simple("sock_recv", "iiiiii", Of::All, NOT_SUPPORTED) },
    Simple { zeros: &[(4, 4)], ..simple("sock_send", "iiiii", Of::All, NOT_SUPPORTED) },
    simple("sock_shutdown", "ii", Of::All, NOT_SUPPORTED),
];

/// Standard output and error.
fn output(fd: u32) -> bool {
    matches!(fd, 1 | 2)
}

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        module_of(linker, module)?;
    }
    Ok(())
}

fn module_of(linker: &mut Linker<Guest>, module: &str) -> wasmtime::Result<()> {
    for simple in SIMPLE {
        let arguments = simple.arguments.chars().map(|kind| if kind == 'I' { ValType::I64 } else { ValType::I32 });
        let kind = FuncType::new(linker.engine(), arguments, [ValType::I32]);
        linker.func_new(module, simple.name, kind, move |caller: Caller<'_, Guest>, arguments, results| {
            let answer = Call::wasi(caller, simple.name, |call| answer(call, simple, arguments))?;
            results.iter_mut().for_each(|result| *result = Val::I32(answer.cast_signed()));
            Ok(())
        })?;
    }
    macro_rules! calls {
        ($($name:ident(|$call:ident $(, $argument:ident : $type:ty)*| $body:expr);)*) => {
            $(linker.func_wrap(module, stringify!($name), |caller: Caller<'_, Guest> $(, $argument: $type)*| {
                Call::wasi(caller, stringify!($name), |$call| $body)
            })?;)*
        };
    }
    calls! {
        fd_write(|call, fd: u32, vectors: u32, count: u32, written: u32| write(call, fd, vectors, count, written));
        fd_pwrite(|call, fd: u32, vectors: u32, count: u32, _offset: u64, written: u32| {
            write(call, fd, vectors, count, written)
        });
        fd_fdstat_get(|call, fd: u32, stat: u32| {
            if !output(fd) {
                return Ok(BAD_DESCRIPTOR);
            }
            // Of no type, with the right to write.
            let mut bytes = [0; 24];
            bytes[8] = 64;
            call.put(stat, &bytes).map(|()| 0)
        });
        clock_time_get(|call, clock: u32, _precision: u64, time: u32| {
            if clock > 1 {
                return Ok(NOT_SUPPORTED);
            }
            let now = call.world(|world| if clock == 0 { world.clock.of_day() } else { world.clock.monotonic() });
            call.put(time, &now.to_le_bytes()).map(|()| 0)
        });
        clock_res_get(|call, clock: u32, resolution: u32| {
            if clock > 1 {
                return Ok(NOT_SUPPORTED);
            }
            call.put(resolution, &1u64.to_le_bytes()).map(|()| 0)
        });
        random_get(|call, buffer: u32, length: u32| {
            if length > MOST_RANDOM {
                return Ok(INVALID);
            }
            let bytes = call.world(|world| world.random.bytes(length as usize));
            // No byte fits everywhere.
            if bytes.is_empty() { Ok(0) } else { call.put(buffer, &bytes).map(|()| 0) }
        });
        environ_sizes_get(|call, count: u32, size: u32| {
            let entries = environment(call);
            call.put_number(count, u32::try_from(entries.len()).unwrap_or(u32::MAX))?;
            let bytes = entries.iter().map(Vec::len).sum::<usize>();
            call.put_number(size, u32::try_from(bytes).unwrap_or(u32::MAX)).map(|()| 0)
        });
        environ_get(|call, pointers: u32, buffer: u32| {
            let (mut pointer, mut place) = (pointers, buffer);
            for entry in environment(call) {
                call.put_number(pointer, place)?;
                call.put(place, &entry)?;
                pointer = pointer.saturating_add(4);
                place = place.saturating_add(u32::try_from(entry.len()).unwrap_or(u32::MAX));
            }
            Ok(0)
        });
        args_sizes_get(|call, count: u32, size: u32| {
            call.put_number(count, 0)?;
            call.put_number(size, 0).map(|()| 0)
        });
        poll_oneoff(|call, _in: u32, _out: u32, _subscriptions: u32, events: u32| {
            call.put_number(events, 0).map(|()| 0)
        });
    }
    // Envoy notes it at level trace, and goes on: the call returns.
    linker.func_wrap(module, "proc_exit", |mut caller: Caller<'_, Guest>, _code: u32| {
        count(&mut caller, "proc_exit", true)
    })?;
    Ok(())
}

fn answer(call: &mut Call<'_>, simple: &Simple, arguments: &[Val]) -> Answer<u32> {
    let number = |index: usize| arguments.get(index).and_then(Val::i32).unwrap_or_default().cast_unsigned();
    if matches!(simple.of, Of::Output) && !output(number(0)) {
        return Ok(BAD_DESCRIPTOR);
    }
    for (index, count) in simple.zeros.iter().copied() {
        call.put(number(index), &vec![0; count])?;
    }
    Ok(simple.answer)
}

/// `NAME=value` and a NUL for each variable.
fn environment(call: &mut Call<'_>) -> Vec<Vec<u8>> {
    call.world(|world| world.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect())
}

/// One line of the log for each call, be it empty; the newline that ends it is left out. No bytes at
/// all are no line.
fn write(call: &mut Call<'_>, fd: u32, vectors: u32, count: u32, written: u32) -> Answer<u32> {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BAD_DESCRIPTOR),
    };
    let mut text = Vec::new();
    for vector in call.bytes(vectors, count.saturating_mul(8))?.chunks_exact(8) {
        let (pointer, length) = vector.split_at(4);
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
        text.extend(call.bytes(number(pointer), number(length))?);
    }
    let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    if size > 0 {
        call.world(|world| world.logs.said(level, &String::from_utf8_lossy(&text)));
    }
    call.put_number(written, size).map(|()| 0)
}
