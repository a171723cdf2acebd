//! The engine that compiles and runs every module and component, and its clock.
//!
//! Fuel ends an endless loop, the same way each time. It counts instructions, though, and one
//! instruction can fill a GiB; so there is a limit of time as well, far above what fuel allows.

use std::{sync::LazyLock, thread, time::Duration};

use wasmtime::{Config, Engine, OptLevel};

/// How long the engine's clock takes from one number to the next.
pub const TICK: Duration = Duration::from_secs(1);

/// One engine for all.
pub fn engine() -> Result<&'static Engine, String> {
    static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        let mut config = Config::new();
        config.consume_fuel(true).epoch_interruption(true);
        // Most guests run for microseconds and are compiled once: the optimiser takes a third of the
        // time of compilation, and gives less back.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config).map_err(|error| format!("Wasmtime has no engine: {error:#}"))?;
        let clock = engine.clone();
        let started = thread::Builder::new().name("engine-clock".into()).spawn(move || {
            loop {
                thread::sleep(TICK);
                clock.increment_epoch();
            }
        });
        started.map(|_| engine).map_err(|error| format!("the engine's clock doesn't start: {error}"))
    });
    ENGINE.as_ref().map_err(Clone::clone)
}
