//! Every decision of this filter.

use portcullis_kit::{
    head::Headers,
    reason::Reason,
    verdict::{Edit, Verdict},
};

use crate::config::{SecurityHeaders, shorter_first};

/// The policy's headers were set and removed.
pub const HEADERS_APPLIED: Reason = Reason("headers_applied");

/// Removing a header that isn't there costs a call; looking at all that are there costs about as much as
/// a dozen, and more where the upstream sends many.
const MOST_REMOVED_UNSEEN: usize = 12;

/// Whether it is cheaper to look at the response first, and to remove only what it holds.
pub fn looks_first(policy: &SecurityHeaders) -> bool {
    policy.removed.len() > MOST_REMOVED_UNSEEN
}

/// What to do with a response that holds the headers `present`; `None` where nobody looked, or they
/// can't be read. The client sees the same either way.
pub fn decide<'a>(policy: &'a SecurityHeaders, present: Option<&Headers>) -> (Verdict<'a>, Reason) {
    let Some(present) = present else {
        let removals = policy.removed.iter().map(|name| Edit::Remove(name.as_bytes()));
        let sets = policy.set.iter().map(|(name, value)| Edit::Set(name.as_bytes(), value.as_bytes()));
        return (Verdict::Edit(removals.chain(sets).collect()), HEADERS_APPLIED);
    };
    let mut edits = Vec::with_capacity(policy.set.len() + present.iter().len());
    let mut is_present = vec![false; policy.set.len()];
    for (name, _) in present.iter() {
        if let Some(set) = find(&policy.set, name, |(set, _)| set) {
            is_present.get_mut(set).into_iter().for_each(|flag| *flag = true);
        } else if let Some(removed) = find(&policy.removed, name, |removed| removed) {
            edits.extend(policy.removed.get(removed).map(|name| Edit::Remove(name.as_bytes())));
        }
    }
    edits.extend(policy.set.iter().zip(is_present).map(|((name, value), is_present)| {
        let edit = if is_present { Edit::Set } else { Edit::Add };
        edit(name.as_bytes(), value.as_bytes())
    }));
    (Verdict::Edit(edits), HEADERS_APPLIED)
}

/// Where `name` stands in a list of the policy.
fn find<T>(sorted: &[T], name: &[u8], name_of: impl Fn(&T) -> &String) -> Option<usize> {
    sorted.binary_search_by(|entry| shorter_first(name_of(entry).as_bytes(), name)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_kit::{Policy, config};
    use proptest::prelude::*;

    use super::*;

    fn policy(json: &str) -> SecurityHeaders {
        SecurityHeaders::from_value(&config::read(json.as_bytes()).unwrap()).unwrap()
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
                let verdict = decide(&policy, Some(&upstream)).0;
                let lines = applied(&upstream, &verdict);
                prop_assert_eq!(&lines, &applied(&upstream, &decide(&policy, None).0));
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
        assert!(looks_first(&policy(r#"{"preset": "owasp"}"#)));
        assert!(!looks_first(&policy(r#"{"preset": "helmet"}"#)));
    }
}
