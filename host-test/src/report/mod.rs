//! What was seen → text. Pure.

pub mod built;
