//! Which fields Envoy's messages have, in which version: `fields.txt`, in which nothing else stands.

use std::{collections::BTreeMap, sync::LazyLock};

pub struct Field {
    pub name: &'static str,
    /// The minor version of Envoy 1 that brought it; 0 for those that 1.36 has.
    pub since: u32,
    /// The message that it holds, and whether under names of somebody's choice.
    pub holds: Option<(&'static str, bool)>,
}

/// The last minor version of Envoy 1 that the table knows.
pub const LAST: u32 = 40;

static MESSAGES: LazyLock<BTreeMap<&'static str, Vec<Field>>> = LazyLock::new(|| read(include_str!("fields.txt")));

/// The fields of a message by its full name, with or without `envoy.` before it.
pub fn of(message: &str) -> Option<&'static [Field]> {
    MESSAGES.get(message.strip_prefix("envoy.").unwrap_or(message)).map(Vec::as_slice)
}

fn read(text: &'static str) -> BTreeMap<&'static str, Vec<Field>> {
    let mut messages = BTreeMap::new();
    let mut last = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with(' ') {
            let fields: &mut Vec<Field> = messages.entry(last).or_default();
            fields.extend(line.split_whitespace().map(Field::read));
        } else {
            last = line;
            messages.entry(last).or_default();
        }
    }
    messages
}

impl Field {
    fn read(text: &'static str) -> Self {
        let (named, holds) = match text.split_once('>') {
            Some((named, holds)) => (named, Some((holds.trim_start_matches('>'), holds.starts_with('>')))),
            None => (text, None),
        };
        let (name, since) = named.split_once('@').unwrap_or((named, "0"));
        Self { name, since: since.parse().unwrap_or_default(), holds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_a_field_holds_is_in_the_table() {
        for field in MESSAGES.values().flatten() {
            assert!(field.holds.is_none_or(|(message, _)| of(message).is_some()), "{}", field.name);
            assert!(field.since == 0 || (37..=LAST).contains(&field.since), "{}", field.name);
        }
    }

    #[test]
    fn a_field_has_its_version_and_its_message() {
        let field = |message: &str, name: &str| of(message).unwrap().iter().find(|field| field.name == name);
        let named = field("envoy.config.cluster.v3.Cluster", "stats_matcher").unwrap();
        assert_eq!((named.since, named.holds.is_some()), (40, false));
        let host = field("envoy.config.route.v3.RouteConfiguration", "virtual_hosts").unwrap();
        assert_eq!((host.since, host.holds), (0, Some(("config.route.v3.VirtualHost", false))));
        assert!(field("config.core.v3.Http1ProtocolOptions", "stats_matcher").is_none());
    }
}
