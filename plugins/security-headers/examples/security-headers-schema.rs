//! Prints the JSON Schema of this filter's configuration; `portcullis schema` keeps it.

fn main() {
    print!("{}", portcullis_kit::schema::of::<security_headers::config::RawSecurityHeaders>("security_headers"));
}
