//! How much of a policy's decision becomes true.

use crate::words;

words! {
    /// Whether a policy acts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Mode {
        /// Decide and act.
        #[default]
        Enforce = "enforce",
        /// Decide, count and record; touch nothing.
        Shadow = "shadow",
        /// Do nothing at all.
        Off = "off",
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}
