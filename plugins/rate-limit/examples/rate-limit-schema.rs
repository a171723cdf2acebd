//! Prints the JSON Schema of this filter's configuration; `portcullis schema` keeps it.

fn main() {
    print!(
        "{}",
        portcullis_kit::schema::of::<rate_limit::config::RawRateLimit, rate_limit::config::Settings>("rate_limit")
    );
}
