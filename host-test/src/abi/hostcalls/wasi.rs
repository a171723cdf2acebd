//! The part of WASI that Envoy offers, under both of its module names. Numbers are WASI's `errno`.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::{
    abi::{Answer, Call, Guest},
    world::logs::Level,
};

const BAD_DESCRIPTOR: u32 = 8;
const INVALID: u32 = 28;
const NO_ENTRY: u32 = 44;
const NO_SYSTEM_CALL: u32 = 52;
const NOT_SUPPORTED: u32 = 58;

/// Calls with a fixed answer: name, arguments (`i` for 32 bits, `I` for 64), answer.
const FIXED: &[(&str, &str, u32)] = &[
    ("sched_yield", "", 0),
    ("fd_seek", "iIii", 0),
    ("fd_close", "i", 0),
    ("fd_read", "iiii", NO_SYSTEM_CALL),
    ("fd_prestat_get", "ii", BAD_DESCRIPTOR),
    ("fd_prestat_dir_name", "iii", NOT_SUPPORTED),
    ("path_open", "iiiiiIIii", NO_ENTRY),
    ("path_create_directory", "iii", NOT_SUPPORTED),
    ("path_filestat_get", "iiiii", NOT_SUPPORTED),
    ("path_filestat_set_times", "iiiiIIi", NOT_SUPPORTED),
    ("path_link", "iiiiiii", NOT_SUPPORTED),
    ("path_readlink", "iiiiii", NOT_SUPPORTED),
    ("path_remove_directory", "iii", NOT_SUPPORTED),
    ("path_rename", "iiiiii", NOT_SUPPORTED),
    ("path_symlink", "iiiii", NOT_SUPPORTED),
    ("path_unlink_file", "iii", NOT_SUPPORTED),
    ("sock_accept", "iii", NOT_SUPPORTED),
    ("sock_recv", "iiiiii", NOT_SUPPORTED),
    ("sock_send", "iiiii", NOT_SUPPORTED),
    ("sock_shutdown", "ii", NOT_SUPPORTED),
];

pub fn add(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        module_of(linker, module)?;
    }
    Ok(())
}

fn module_of(linker: &mut Linker<Guest>, module: &str) -> wasmtime::Result<()> {
    for (name, arguments, answer) in FIXED.iter().copied() {
        let arguments = arguments.chars().map(|kind| if kind == 'I' { ValType::I64 } else { ValType::I32 });
        let kind = FuncType::new(linker.engine(), arguments, [ValType::I32]);
        linker.func_new(module, name, kind, move |caller: Caller<'_, Guest>, _, results| {
            let answer = Call::wasi(caller, name, |_| Ok(answer));
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
        fd_write(|call, fd: u32, vectors: u32, count: u32, written: u32| fd_write(call, fd, vectors, count, written));
        fd_fdstat_get(|call, fd: u32, stat: u32| {
            if !matches!(fd, 1 | 2) {
                return Ok(BAD_DESCRIPTOR);
            }
            // A character device that can be written to.
            let mut bytes = [0; 24];
            bytes[0] = 2;
            bytes[8] = 64;
            call.put(stat, &bytes).map(|()| 0)
        });
        clock_time_get(|call, clock: u32, _precision: u64, time: u32| {
            if clock > 1 {
                return Ok(NOT_SUPPORTED);
            }
            let now = call.world(|world| world.clock.now());
            call.put(time, &now.to_le_bytes()).map(|()| 0)
        });
        clock_res_get(|call, clock: u32, resolution: u32| {
            if clock > 1 {
                return Ok(NOT_SUPPORTED);
            }
            call.put(resolution, &1u64.to_le_bytes()).map(|()| 0)
        });
        random_get(|call, buffer: u32, length: u32| {
            if length > 1 << 16 {
                return Ok(INVALID);
            }
            let bytes = call.world(|world| world.random.bytes(length as usize));
            call.put(buffer, &bytes).map(|()| 0)
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
        args_get(|_call, _pointers: u32, _buffer: u32| Ok(0));
        poll_oneoff(|call, _in: u32, _out: u32, _subscriptions: u32, events: u32| {
            call.put_number(events, 0).map(|()| 0)
        });
    }
    linker.func_wrap(module, "proc_exit", |caller: Caller<'_, Guest>, code: u32| {
        Call::wasi(caller, "proc_exit", |call| {
            // Envoy logs, and goes on.
            call.world(|world| world.logs.write(Level::Error, &format!("proc_exit({code})")));
            Ok(0)
        });
    })?;
    Ok(())
}

/// `NAME=value` and a NUL for each variable.
fn environment(call: &mut Call<'_>) -> Vec<Vec<u8>> {
    call.world(|world| world.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect())
}

/// One line of the log for each call; the newline that ends it is left out.
fn fd_write(call: &mut Call<'_>, fd: u32, vectors: u32, count: u32, written: u32) -> Answer<u32> {
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
    if !text.is_empty() {
        call.world(|world| world.logs.said(level, &String::from_utf8_lossy(&text)));
    }
    call.put_number(written, size).map(|()| 0)
}
