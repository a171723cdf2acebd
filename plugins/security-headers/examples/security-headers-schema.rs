//! Prints the JSON Schema of this filter's configuration; `portcullis schema` keeps it.

fn main() {
    let schema = portcullis_kit::schema::of::<security_headers::config::RawSecurityHeaders, portcullis_kit::NoSettings>;
    print!("{}", schema("security_headers"));
}
