//! A module that plays a script: which calls to make in which callback. What each call answered is
//! written to the log, so that a scenario can expect it, on every host alike.
//!
//! The configuration is the script, as plain text:
//!
//! ```text
//! # A comment. Names of callbacks and calls are those of the ABI, without `proxy_on_` and `proxy_`.
//! request_headers: get_value 0 x-a; replace 0 x-b "new"; return 1
//! request_body[end]: get_buffer 0 0 100
//! http_call_response: get_pairs 6; effective_context stream; continue 0
//! ```
//!
//! 1. A line is a group of statements for one callback, split by `;`. Groups run in the order of lines.
//! 2. A group may have guards, split by `,`: `[end]` for the end of a message, `[2]` for the second call
//!    of this callback in its context, `[#3]` for the context of id 3, `[has key]` where the store has a key.
//! 3. A word is text without blanks and `;`, or `"quoted"` with `\"`, `\\`, `\n` and `\xNN`. `"ab"*500`
//!    repeats it.
//! 4. A callback that has a group logs itself with its arguments: `request_body size=5 end=1`. The line
//!    `trace` makes all of them do so, the line `ids` adds their context's id, the
//!    line `name first` begins every line of the log with `first `.
//! 5. Each statement logs a line, `callback words -> status result`. A result is `"text"` with `\xNN`
//!    for what isn't printable, `null` for a null pointer, or a number. What the host left untouched
//!    isn't shown. With `~` before the statement the line tells only how long a result is, with `~~` only that
//!    there is one.
//! 6. The numbers of compare-and-swap and of queues belong to a whole proxy. They are shown as `new`,
//!    then as the growth since the last one (`+1`), and written as `$cas`, `$cas+1`, `$queue`.
//! 7. Each root context has a script of its own, which its streams play. One that can't be read refuses the
//!    configuration. One in the VM's configuration runs from `vm_start` on, until another is read.
//!
//! The statements are listed in [`script::STATEMENTS`].

pub mod escape;
pub mod script;

#[cfg(target_arch = "wasm32")]
mod callbacks;
#[cfg(target_arch = "wasm32")]
mod imports;
#[cfg(target_arch = "wasm32")]
mod play;
#[cfg(target_arch = "wasm32")]
mod state;
#[cfg(target_arch = "wasm32")]
mod statements;
