//! Prints the JSON Schema of this filter's configuration; `portcullis schema` keeps it.

use hmac_validation::config::{RawHmacValidation, Settings};

fn main() {
    print!("{}", portcullis_kit::schema::of::<RawHmacValidation, Settings>("hmac_validation"));
}
