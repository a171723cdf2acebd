//! Whom a gRPC call goes to: a serialised `GrpcService`, or a cluster by its name.
//!
//! 1. What can be read as a message of protobuf is one, also where a name was meant: `authority` is an
//!    unknown field of eight bytes.
//! 2. A message that names no target ends Envoy.

use crate::world::protobuf::{self, Field};

#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A cluster by its name alone.
    Name(String),
    /// What a `GrpcService` says.
    Service { cluster: String, authority: String, metadata: Vec<(Vec<u8>, Vec<u8>)> },
    /// Google's client, which Envoy has beside its own.
    Google,
    /// A message that names no target.
    Nobody,
}

impl Target {
    pub fn of(bytes: &[u8]) -> Self {
        service(bytes).unwrap_or_else(|| Self::Name(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// `envoy.config.core.v3.GrpcService`; `None` where it is no message.
fn service(bytes: &[u8]) -> Option<Target> {
    let mut target = Target::Nobody;
    let mut metadata = Vec::new();
    for (number, field) in protobuf::fields(bytes)? {
        match (number, field) {
            (1, Field::Bytes(envoy)) => {
                let fields = protobuf::fields(envoy)?;
                let text = |number| String::from_utf8(protobuf::text(&fields, number).to_vec()).ok();
                target = Target::Service { cluster: text(1)?, authority: text(2)?, metadata: Vec::new() };
            }
            (2, Field::Bytes(_)) => target = Target::Google,
            (5, Field::Bytes(line)) => {
                let fields = protobuf::fields(line)?;
                metadata.push((protobuf::text(&fields, 1).to_vec(), protobuf::text(&fields, 2).to_vec()));
            }
            _ => {}
        }
    }
    if let Target::Service { metadata: lines, .. } = &mut target {
        *lines = metadata;
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_read_as_a_message_is_one() {
        assert_eq!(Target::of(b"svc"), Target::Name("svc".into()));
        assert_eq!(Target::of(b"authority"), Target::Nobody);
        assert_eq!(Target::of(b""), Target::Nobody);
        assert_eq!(Target::of(b"\x12\x00"), Target::Google);
        let service = Target::Service { cluster: "svc".into(), authority: String::new(), metadata: Vec::new() };
        assert_eq!(Target::of(b"\x0a\x05\x0a\x03svc"), service);
    }
}
