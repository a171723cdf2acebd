//! The value in which signatures stand: one with a prefix, or a list of several.

use portcullis_kit::reason::Reason;

use crate::decide::{SIGNATURE_MALFORMED, SIGNATURE_VERSION_UNKNOWN, TIMESTAMP_MISSING, TIMESTAMP_REPEATED};

/// More signatures than this in one list are refused: each is compared.
const MOST_SIGNATURES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `sha256=…`: the whole value behind a prefix.
    Plain { prefix: String },
    /// `t=…,v1=…,v1=…` or `v1,… v1a,…`.
    List(List),
}

/// Elements of a name and a value. Those of other names are passed over: they are other versions, and a verifier
/// that took them would let the sender choose the weakest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Between two elements.
    pub separator: u8,
    /// Between name and value.
    pub assign: u8,
    /// The name of a signature.
    pub version: String,
    /// The name of the timestamp, where it stands here.
    pub timestamp: Option<String>,
}

/// What a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Still encoded; one at least.
    pub signatures: Vec<&'a [u8]>,
    pub timestamp: Option<&'a [u8]>,
}

impl Syntax {
    /// # Errors
    /// The value is written otherwise.
    pub fn read<'a>(&self, value: &'a [u8]) -> Result<Found<'a>, Reason> {
        match self {
            Self::Plain { prefix } => {
                let signature = value.strip_prefix(prefix.as_bytes()).ok_or(SIGNATURE_VERSION_UNKNOWN)?;
                Ok(Found { signatures: vec![signature], timestamp: None })
            }
            Self::List(list) => list.read(value),
        }
    }
}

impl List {
    fn read<'a>(&self, value: &'a [u8]) -> Result<Found<'a>, Reason> {
        let mut found = Found { signatures: Vec::new(), timestamp: None };
        for element in value.split(|byte| *byte == self.separator) {
            let assign = element.iter().position(|byte| *byte == self.assign).ok_or(SIGNATURE_MALFORMED)?;
            let (name, rest) = element.split_at_checked(assign).ok_or(SIGNATURE_MALFORMED)?;
            let value = rest.get(1..).unwrap_or_default();
            if name == self.version.as_bytes() {
                if found.signatures.len() == MOST_SIGNATURES {
                    return Err(SIGNATURE_MALFORMED);
                }
                found.signatures.push(value);
            } else if self.timestamp.as_ref().is_some_and(|known| known.as_bytes() == name)
                && found.timestamp.replace(value).is_some()
            {
                return Err(TIMESTAMP_REPEATED);
            }
        }
        match found {
            _ if self.timestamp.is_some() && found.timestamp.is_none_or(<[u8]>::is_empty) => Err(TIMESTAMP_MISSING),
            _ if found.signatures.is_empty() => Err(SIGNATURE_VERSION_UNKNOWN),
            found => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripe() -> Syntax {
        let list = List { separator: b',', assign: b'=', version: "v1".into(), timestamp: Some("t".into()) };
        Syntax::List(list)
    }

    #[test]
    fn of_a_list_the_named_version_counts_and_others_are_passed_over() {
        let found = stripe().read(b"t=12,v1=aa,v0=bb,v1=cc==").unwrap();
        assert_eq!(found, Found { signatures: vec![b"aa", b"cc=="], timestamp: Some(b"12") });
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_not_at_all_is_refused_with_its_reason() {
        for (value, reason) in [
            ("t=1,t=2,v1=a", TIMESTAMP_REPEATED),
            ("v1=a", TIMESTAMP_MISSING),
            ("t=,v1=a", TIMESTAMP_MISSING),
            ("t=1,v0=a", SIGNATURE_VERSION_UNKNOWN),
            // Not trimmed: the name is ` v1`.
            ("t=1, v1=a", SIGNATURE_VERSION_UNKNOWN),
            ("t=1,v1", SIGNATURE_MALFORMED),
            ("t=1,v1=a,", SIGNATURE_MALFORMED),
            ("", SIGNATURE_MALFORMED),
        ] {
            assert_eq!(stripe().read(value.as_bytes()), Err(reason), "{value}");
        }
        let many = format!("t=1{}", ",v1=a".repeat(17));
        assert_eq!(stripe().read(many.as_bytes()), Err(SIGNATURE_MALFORMED));
    }

    #[test]
    fn a_prefix_stands_in_front_or_the_version_is_another() {
        let github = Syntax::Plain { prefix: "sha256=".into() };
        assert_eq!(github.read(b"sha256=ab").unwrap().signatures, [b"ab"]);
        for other in [&b"sha1=ab"[..], b"SHA256=ab", b"ab", b""] {
            assert_eq!(github.read(other), Err(SIGNATURE_VERSION_UNKNOWN));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(value: Vec<u8>) {
            let _ = stripe().read(&value);
        }
    }
}
