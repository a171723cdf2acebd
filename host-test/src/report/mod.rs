//! Reports → text. Pure.

pub mod human;
