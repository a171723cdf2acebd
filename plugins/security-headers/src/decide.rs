//! Every decision of this filter.

use portcullis_kit::{
    head::Headers,
    reason::Reason,
    verdict::{Edit, Verdict},
};

use crate::config::SecurityHeaders;

/// The policy's headers were set and removed.
pub const HEADERS_APPLIED: Reason = Reason("headers_applied");

/// Removing a header that isn't there costs a hostcall; reading the whole head costs as much as this
/// many of them.
const REMOVALS_WORTH_A_LOOK: usize = 12;

/// Whether [`decide`] wants the response's headers, because looking is cheaper than removing blindly.
pub fn reads_response(policy: &SecurityHeaders) -> bool {
    policy.removed.len() > REMOVALS_WORTH_A_LOOK
}

/// What to do with a response. `present` is what the response holds, where it was read.
pub fn decide<'a>(policy: &'a SecurityHeaders, present: Option<&Headers>) -> (Verdict<'a>, Reason) {
    let mut edits = Vec::with_capacity(policy.set.len() + REMOVALS_WORTH_A_LOOK);
    match present {
        None => edits.extend(policy.removed.iter().map(|name| Edit::Remove(name.as_bytes()))),
        Some(present) => edits.extend(present.iter().filter_map(|(name, _)| {
            let found = policy.removed.binary_search_by(|removed| removed.as_bytes().cmp(name)).ok()?;
            policy.removed.get(found).map(|name| Edit::Remove(name.as_bytes()))
        })),
    }
    edits.extend(policy.set.iter().map(|(name, value)| Edit::Set(name.as_bytes(), value.as_bytes())));
    (Verdict::Edit(edits), HEADERS_APPLIED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_kit::{Policy, config};
    use proptest::prelude::*;

    use super::*;

    fn policy(json: &str) -> SecurityHeaders {
        SecurityHeaders::from_value(config::read(json.as_bytes()).unwrap()).unwrap()
    }

    /// What a proxy makes of the edits.
    fn applied(upstream: &Headers, verdict: &Verdict<'_>) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        let mut lines: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in upstream.iter() {
            lines.entry(name.to_vec()).or_default().push(value.to_vec());
        }
        let Verdict::Edit(edits) = verdict else { panic!("the policy acts on every response") };
        for edit in edits {
            match edit {
                Edit::Set(name, value) => drop(lines.insert(name.to_vec(), vec![value.to_vec()])),
                Edit::Add(name, value) => lines.entry(name.to_vec()).or_default().push(value.to_vec()),
                Edit::Remove(name) => drop(lines.remove(*name)),
            }
        }
        lines
    }

    fn any_headers() -> impl Strategy<Value = Headers> {
        let name = prop_oneof![
            "[a-z-]{1,12}",
            Just("server".to_owned()),
            Just("x-powered-by".to_owned()),
            Just("x-frame-options".to_owned()),
            Just("strict-transport-security".to_owned()),
        ];
        let line = (name, any::<Vec<u8>>()).prop_map(|(name, value)| (name.into_bytes(), value));
        prop::collection::vec(line, 0..20).prop_map(Headers::from_iter)
    }

    proptest! {
        #[test]
        fn whatever_the_upstream_sends_each_set_header_leaves_once_and_no_removed_one_leaves(upstream in any_headers()) {
            for json in [r#"{"preset": "helmet"}"#, r#"{"preset": "owasp"}"#, r#"{"remove": ["server"]}"#] {
                let policy = policy(json);
                let blind = decide(&policy, None).0;
                let looking = decide(&policy, Some(&upstream)).0;
                let lines = applied(&upstream, &looking);
                prop_assert_eq!(&lines, &applied(&upstream, &blind));
                for (name, value) in &policy.set {
                    prop_assert_eq!(&lines[name.as_bytes()], &vec![value.clone().into_bytes()]);
                }
                for name in &policy.removed {
                    prop_assert!(!lines.contains_key(name.as_bytes()));
                }
                for (name, _) in upstream.iter() {
                    let ours = policy.set.iter().map(|(set, _)| set).chain(&policy.removed).any(|o| o.as_bytes() == name);
                    prop_assert!(ours || lines[name].iter().map(Vec::as_slice).eq(upstream.all(name)));
                }
            }
        }
    }

    #[test]
    fn a_long_list_of_removals_looks_first_and_a_short_one_does_not() {
        assert!(reads_response(&policy(r#"{"preset": "owasp"}"#)));
        assert!(!reads_response(&policy(r#"{"preset": "helmet"}"#)));
    }
}
