//! Security headers: sets the response headers that a browser can enforce, removes those that tell
//! an attacker what stands behind the edge.
//!
//! 1. A policy is a `preset`, changed by `headers` (set this, or leave that one to the upstream),
//!    `remove` and `keep`. All of it is checked when the configuration is read: names, values, no
//!    header both set and removed.
//! 2. For each header that the policy sets, exactly one line leaves, whatever the upstream sent:
//!    browsers take two lines of `X-Frame-Options` or `Strict-Transport-Security` for none.
//! 3. Each header that it removes leaves in no response that passes the filters: not in the
//!    upstream's, not in the replies of later filters, not in the router's error pages.
//! 4. The body is never touched, and the request only looked at where `routes` or `require_policy`
//!    need it. Trailers are not touched.
//!
//! `config` reads a policy, `presets` holds what the presets are, `decide` turns a policy into edits;
//! `proxy_wasm` and `component` are the two ways in.

#![forbid(unsafe_code)]

pub mod config;
pub mod decide;
pub mod presets;

#[cfg(all(target_family = "wasm", portcullis_shell = "component"))]
mod component;
#[cfg(all(target_family = "wasm", not(portcullis_shell = "component")))]
mod proxy_wasm;
