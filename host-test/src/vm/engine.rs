//! The engine that compiles and runs every module and component.

use std::sync::LazyLock;

use wasmtime::{Config, Engine};

/// One engine for all: with fuel, so that an endless loop ends.
pub fn engine() -> Result<&'static Engine, String> {
    static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).map_err(|error| format!("Wasmtime has no engine: {error:#}"))
    });
    ENGINE.as_ref().map_err(Clone::clone)
}
