//! What was seen → text. Pure.

pub mod built;
pub mod human;
