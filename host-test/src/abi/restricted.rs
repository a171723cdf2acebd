//! Which calls a guest may make while it isn't serving, as measured in Envoy 1.40.

/// What goes on in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The start function of the module runs, before Envoy knows the instance.
    Instantiating,
    /// `_initialize` and the like run.
    Starting,
    /// The guest's allocator runs, in any phase.
    Allocating,
    /// A callback runs.
    Serving,
}

/// Calls of WASI that a guest can't make while it starts; all others of WASI it can.
const NOT_WHILE_STARTING: &[&str] = &["fd_close", "fd_read", "fd_seek", "path_open", "proc_exit", "sched_yield"];

/// All that an allocator can call.
const WHILE_ALLOCATING: &[&str] = &["clock_time_get", "fd_write", "poll_oneoff", "proxy_log"];

/// `Err` with the reason of the trap.
pub fn check(doing: Doing, name: &str, wasi: bool) -> Result<(), String> {
    let allowed = match doing {
        Doing::Serving => true,
        Doing::Starting if wasi => !NOT_WHILE_STARTING.contains(&name),
        Doing::Starting => matches!(name, "proxy_log" | "emscripten_notify_memory_growth"),
        Doing::Allocating => WHILE_ALLOCATING.contains(&name),
        Doing::Instantiating => {
            return Err(format!(
                "{name} was called by the module's start section, of which Envoy 1.40 dies (SIGSEGV): call it from _initialize"
            ));
        }
    };
    let place = if doing == Doing::Allocating { "by the allocator" } else { "while the module starts" };
    if allowed { Ok(()) } else { Err(format!("restricted_callback: {name} may not be called {place}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocator_may_do_less_than_a_start() {
        let allowed = |doing, name, wasi| check(doing, name, wasi).is_ok();
        for (name, wasi, starting, allocating) in [
            ("proxy_log", false, true, true),
            ("proxy_done", false, false, false),
            ("pthread_equal", false, false, false),
            ("emscripten_notify_memory_growth", false, true, false),
            ("random_get", true, true, false),
            ("fd_write", true, true, true),
            ("proc_exit", true, false, false),
        ] {
            assert_eq!(allowed(Doing::Starting, name, wasi), starting, "{name}");
            assert_eq!(allowed(Doing::Allocating, name, wasi), allocating, "{name}");
            assert!(allowed(Doing::Serving, name, wasi) && !allowed(Doing::Instantiating, name, wasi), "{name}");
        }
    }
}
