//! What is wrong, how badly, where, and what to do about it.

use std::path::{Path, PathBuf};

use super::document::{Node, Place};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Traffic is refused, or passes where it shouldn't.
    Error,
    /// It works, and something will go wrong one day.
    Warning,
    /// What couldn't be looked at.
    Note,
}

/// A kind of finding. Its id is stable: pipelines name it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    pub severity: Severity,
    /// What it looks for, in a sentence.
    pub about: &'static str,
}

#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static Rule,
    pub file: PathBuf,
    pub at: Place,
    pub what: String,
    pub remedy: String,
}

impl Finding {
    pub fn new(
        rule: &'static Rule,
        file: &Path,
        node: &Node,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { rule, file: file.into(), at: node.at, what: what.into(), remedy: remedy.into() }
    }
}

macro_rules! rules {
    ($($name:ident: $severity:ident $id:literal $about:literal,)*) => {
        $(pub static $name: Rule = Rule { id: $id, severity: Severity::$severity, about: $about };)*
        /// Every rule, for reports that list them.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    UNREADABLE: Error "unreadable" "A file can't be read, or is no YAML; the others were looked at.",
    TEMPLATE: Note "template" "The file is a template; what becomes of it can't be seen.",
    NOTHING_READ: Warning "nothing-read" "The file holds nothing that is looked at: no listener, route or wasm filter.",
    NOT_A_LIST: Error "not-a-list" "Envoy wants a list where something else stands.",
    MODULE_MISSING: Error "module-missing" "A filter names no module, or a file that isn't there.",
    MODULE_REFUSED: Error "module-refused" "Envoy can't load the module.",
    MODULE_UNSEEN: Note "module-unseen" "The module is fetched by the proxy and isn't at hand, so it wasn't tried.",
    CONFIGURATION_REFUSED: Error "configuration-refused" "The module refuses its configuration.",
    CONFIGURATION_UNSEEN: Note "configuration-unseen" "The configuration is a message that only Envoy can serialise.",
    MODULE_TRAPS: Error "module-traps" "The module traps on a plain request to a route.",
    ROUTE_REFUSES: Error "route-refuses" "A filter refuses every request to a route, for what its metadata says.",
    ROUTE_FALLS_BACK: Warning "route-falls-back" "A route names a policy that doesn't exist, and another takes its place.",
    ROUTE_UNPROTECTED: Warning "route-unprotected" "No policy is in force on a route.",
    ROUTES_ELSEWHERE: Note "routes-elsewhere" "The routes come from a server or a file that wasn't given.",
    ROUTES_MANY: Note "routes-many" "A filter chooses by itself in more ways than are asked.",
    POLICY_UNKNOWN: Error "policy-unknown" "Metadata names a policy that the filter's configuration doesn't hold.",
    FILTER_ELSEWHERE: Note "filter-elsewhere" "A filter's configuration comes from a server or a file that wasn't given.",
    NAMESPACE_NEAR: Error "namespace-near" "Metadata stands under a name that is nearly a filter's, and isn't read.",
    VM_ID_EMPTY: Warning "vm-id-empty" "Filters without a vm_id share their store with all others that have none.",
    VM_ID_SHARED: Warning "vm-id-shared" "Filters of different code share a store.",
    VM_KEY_AMBIGUOUS: Error "vm-key-ambiguous" "One VM is configured in two ways; the first that is loaded wins.",
    FAIL_OPEN: Error "fail-open" "Traffic passes unguarded once the module has failed.",
    FAIL_OPEN_OTHER: Warning "fail-open-other" "Traffic passes unfiltered once a module has failed that isn't known to guard anything.",
    UPGRADE_UNFILTERED: Error "upgrade-unfiltered" "An upgrade has filters of its own, without one that guards the others.",
    UPGRADE_UNFILTERED_OTHER: Warning "upgrade-unfiltered-other" "An upgrade has filters of its own, without a module that filters the others.",
    NO_RELOAD: Warning "no-reload" "After one trap the worker refuses every request until Envoy is restarted.",
    CAPABILITIES_MISSING: Warning "capabilities-missing" "The module may make any call.",
    CAPABILITIES_WIDE: Warning "capabilities-wide" "The module may make calls that it doesn't make.",
    CAPABILITY_LACKING: Error "capability-lacking" "A call or callback of the module is not allowed.",
    NOT_FIRST: Warning "not-first" "Replies of filters before security headers go out without them.",
    BEHIND_COMPRESSOR: Error "behind-compressor" "A filter that reads response bodies would see them compressed.",
    BODY_CHANGED_BEFORE_SIGNATURE: Error "body-changed-before-signature" "A body is changed before its signature is verified.",
    BUFFER_LIMIT_LOW: Error "buffer-limit-low" "The proxy holds less of a body than a policy wants to.",
    HOLDS_BODY_BACK: Error "holds-body-back" "A filter that reads a body while it holds the head would wait for ever.",
    ROUTE_CACHE_CLEARED: Warning "route-cache-cleared" "A later filter may choose another route after a policy was chosen.",
    PATH_NOT_NORMALIZED: Warning "path-not-normalized" "One path can be spelt in several ways, and routes match on it.",
    CLIENT_ADDRESS_TRUSTED: Error "client-address-trusted" "The client's address is what the client says it is.",
    SECRET_INLINE: Warning "secret-inline" "A secret stands in the configuration, and so in every config dump.",
    FIELD_UNKNOWN: Error "field-unknown" "The version of Envoy doesn't know a field.",
    FIELD_DEPRECATED: Warning "field-deprecated" "Envoy is about to remove a field.",
    FIELDS_EXCLUDE: Error "fields-exclude" "Envoy takes one of two fields alone.",
}
