//! The stable code of a decision.

/// A decision's code without its filter, `headers_applied`. In logs, metrics, response details and
/// scenarios it stands behind the filter's name: `security_headers.headers_applied`. Once released,
/// a code keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(pub &'static str);

impl Reason {
    /// The whole code, with the filter's name in front.
    pub fn of(self, filter: &str) -> String {
        [filter, ".", self.0].concat()
    }
}

/// Nothing chose a policy, and none was required: the filter did nothing.
pub const NO_POLICY: Reason = Reason("no_policy");
/// Nothing chose a policy where `require_policy` is set: refused.
pub const POLICY_REQUIRED: Reason = Reason("policy_required");
/// Metadata names a policy that doesn't exist: refused, or `default_policy` stood in.
pub const POLICY_UNKNOWN: Reason = Reason("policy_unknown");
/// Metadata holds a field that isn't overridable, or a value that isn't valid: refused.
pub const OVERRIDE_INVALID: Reason = Reason("override_invalid");
/// The request can't be read, or in more than one way, where `routes` match on its head: refused.
pub const REQUEST_AMBIGUOUS: Reason = Reason("request_ambiguous");
/// The route changed after the policy was chosen; the first choice stayed, or, where
/// `require_policy` is set, the request was refused.
pub const ROUTE_CHANGED: Reason = Reason("route_changed");
/// The whole code where a stream began without a valid configuration: refused. The filter's name is
/// part of what isn't known then.
pub const UNCONFIGURED: &str = "portcullis.unconfigured";

/// The reasons that any filter may give, beside its own.
pub const OF_ANY_FILTER: [Reason; 6] =
    [NO_POLICY, POLICY_REQUIRED, POLICY_UNKNOWN, OVERRIDE_INVALID, REQUEST_AMBIGUOUS, ROUTE_CHANGED];
