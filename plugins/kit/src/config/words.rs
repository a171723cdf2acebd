//! Enums of a raw configuration: one word of a few.

use super::{error::ConfigError, value::Value};

/// Defines an enum that is read from a word, and its JSON Schema. A word that isn't listed is refused with the nearest.
/// The enum must be `Copy`.
///
/// ```
/// use portcullis_kit::{config::read, words};
///
/// words! {
///     /// How a greeting sounds.
///     #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
///     pub enum Tone {
///         #[default]
///         Warm = "warm",
///         Cool = "cool",
///     }
/// }
///
/// assert_eq!(read(br#""cool""#).unwrap().typed::<Tone>().unwrap(), Tone::Cool);
/// ```
#[macro_export]
macro_rules! words {
    (
        $(#[$of_enum:meta])*
        $visible:vis enum $name:ident {$(
            $(#[$of_variant:meta])*
            $variant:ident = $word:literal
        ),* $(,)?}
    ) => {
        $(#[$of_enum])*
        #[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
        $visible enum $name {$(
            $(#[$of_variant])*
            #[cfg_attr(not(target_family = "wasm"), schemars(rename = $word))]
            $variant,
        )*}

        impl $crate::config::FromValue for $name {
            fn from_value(value: &$crate::config::Value) -> Result<Self, $crate::config::ConfigError> {
                let place = $crate::config::read_word(value, &[$($word),*])?;
                [$(Self::$variant),*].get(place).copied().ok_or_else($crate::config::no_word)
            }
        }
    };
}

/// The position of the word that the value is. YAML makes booleans of `on` and `off`; where they are choices, they are
/// read back.
///
/// # Errors
/// None of them.
#[doc(hidden)]
pub fn read_word(value: &Value, words: &[&'static str]) -> Result<usize, ConfigError> {
    let word = match value {
        Value::Text(text) => Some(text.as_str()),
        Value::Bool(flag) => Some(if *flag { "on" } else { "off" }),
        _ => None,
    };
    let place = word.and_then(|word| words.iter().position(|known| *known == word));
    place.ok_or_else(|| match value {
        Value::Text(text) => ConfigError::unknown_word(text, words),
        other => other.unlike(&format!("one of {}", words.join(", "))),
    })
}

/// Never needed: a position is that of a word.
#[doc(hidden)]
#[cold]
pub fn no_word() -> ConfigError {
    ConfigError::new("is none of the choices")
}
