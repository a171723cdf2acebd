//! Structs of a raw configuration: named fields, of which those with a default may be left out.

use super::{error::ConfigError, typed::FromValue, value::Value};

/// Defines a struct that is read from an object, and its JSON Schema. A field without `= default` must be there; one
/// with `= default(value)` is `value` where it is missing. A field that isn't listed is refused with the nearest name.
///
/// ```
/// use portcullis_kit::{config::read, fields};
///
/// fields! {
///     /// A greeting, as it is written.
///     #[derive(Debug)]
///     pub struct RawGreeting {
///         pub text: String,
///         /// Default: 3.
///         pub times: u32 = default(3),
///         pub languages: Vec<String> = default,
///     }
/// }
///
/// let greeting: RawGreeting = read(br#"{"text": "hello"}"#).unwrap().typed().unwrap();
/// assert_eq!((greeting.text.as_str(), greeting.times), ("hello", 3));
///
/// let error = read(br#"{"text": "hello", "time": 2}"#).unwrap().typed::<RawGreeting>().unwrap_err();
/// assert!(error.to_string().starts_with("time: no such field; did you mean `times`?"));
/// ```
#[macro_export]
macro_rules! fields {
    (
        $(#[$of_struct:meta])*
        $visible:vis struct $name:ident $(<$parameter:ident>)? {$(
            $(#[$of_field:meta])*
            $field_visible:vis $field:ident: $type:ty $(= $default:ident $(($value:expr))?)?
        ),* $(,)?}
    ) => {
        $(#[$of_struct])*
        #[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
        $visible struct $name $(<$parameter>)? {$(
            $(#[$of_field])*
            $(
                #[cfg_attr(not(target_family = "wasm"), schemars($default))]
                $(#[cfg_attr(not(target_family = "wasm"), schemars(extend("default" = $value)))])?
            )?
            $field_visible $field: $type,
        )*}

        impl $(<$parameter: $crate::config::FromValue>)? $crate::config::FromValue for $name $(<$parameter>)? {
            fn from_value(value: &$crate::config::Value) -> Result<Self, $crate::config::ConfigError> {
                // Of a struct without fields.
                #[allow(unused_mut)]
                let mut read = Self {$(
                    $field: $crate::fields!(@initial $($default $($value)?)?),
                )*};
                $crate::config::read_fields(
                    value,
                    const { &[$($crate::config::Known {
                        name: $crate::config::plain(stringify!($field)),
                        is_required: $crate::fields!(@is_required $($default)?),
                    }),*] },
                    &mut [$(&mut read.$field),*],
                )?;
                Ok(read)
            }
        }
    };
    (@initial default $value:expr) => { $value };
    (@initial $($default:ident)?) => { Default::default() };
    (@is_required default) => { false };
    (@is_required) => { true };
}

/// A field that an object may have.
#[doc(hidden)]
pub struct Known {
    pub name: &'static str,
    pub is_required: bool,
}

/// Where a field's value goes. A struct's fields are read through this, by one function for all structs: that is the
/// least code.
#[doc(hidden)]
pub trait Slot {
    /// # Errors
    /// The value doesn't fit.
    fn fill(&mut self, value: &Value) -> Result<(), ConfigError>;
}

impl<T: FromValue> Slot for T {
    fn fill(&mut self, value: &Value) -> Result<(), ConfigError> {
        FromValue::fill(self, value)
    }
}

/// Fills each slot with the field of the same position in `known`.
///
/// # Errors
/// No object, the first field that is unknown or doesn't fit, or one that is missing.
#[doc(hidden)]
pub fn read_fields(value: &Value, known: &'static [Known], slots: &mut [&mut dyn Slot]) -> Result<(), ConfigError> {
    let fields = value.fields()?;
    for (name, value) in fields {
        match known.iter().zip(slots.iter_mut()).find(|(known, _)| known.name == name) {
            Some((_, slot)) => slot.fill(value).map_err(|error| error.under(name))?,
            None => {
                let names: Vec<_> = known.iter().map(|known| known.name).collect();
                return Err(ConfigError::unknown_field(name, &names));
            }
        }
    }
    let is_missing = |known: &&Known| known.is_required && fields.iter().all(|(name, _)| name != known.name);
    match known.iter().find(is_missing) {
        Some(missing) => Err(ConfigError::missing_field(missing.name)),
        None => Ok(()),
    }
}

/// A field's name without the `r#` of a word that Rust keeps for itself.
#[doc(hidden)]
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', plain @ ..] => match std::str::from_utf8(plain) {
            Ok(plain) => plain,
            Err(_) => name,
        },
        _ => name,
    }
}
