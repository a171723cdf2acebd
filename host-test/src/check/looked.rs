//! An edge whose modules were asked: what rules look at.

use super::{
    ask::{Asked, Silent},
    edge::{Edge, HttpFilter},
    modules::Modules,
};
use crate::build::inspect::Inspection;

pub struct Looked<'a> {
    pub edge: &'a Edge<'a>,
    pub filters: Vec<LookedFilter<'a>>,
}

pub struct LookedFilter<'a> {
    pub filter: &'a HttpFilter<'a>,
    /// `None` where it is no wasm filter.
    pub asked: Option<Result<Asked, Box<Silent>>>,
    pub role: Option<Role>,
}

/// What a filter of this project is for; rules about order hang on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    SecurityHeaders,
    RateLimit,
    HmacValidation,
    Redaction,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::SecurityHeaders, Self::RateLimit, Self::HmacValidation, Self::Redaction];

    /// As it stands in metrics and namespaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecurityHeaders => "security_headers",
            Self::RateLimit => "rate_limit",
            Self::HmacValidation => "hmac_validation",
            Self::Redaction => "redaction",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        let name = name.strip_prefix("portcullis.").unwrap_or(&name);
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Words in the names of filters that let some requests pass and others not.
const GUARDS: &[&str] = &[
    "acl",
    "auth",
    "authn",
    "authz",
    "guard",
    "hmac",
    "jwt",
    "key",
    "oauth",
    "oidc",
    "opa",
    "rbac",
    "saml",
    "signature",
    "token",
    "waf",
];

impl<'a> Looked<'a> {
    pub fn at(edge: &'a Edge<'a>, modules: &Modules<'_>) -> Self {
        let filters = edge.filters.iter().map(|filter| {
            let asked = filter.wasm.as_ref().map(|wasm| modules.ask(wasm, edge.file));
            let said = asked.as_ref().and_then(|asked| asked.as_ref().ok()?.filter.as_deref());
            let names = filter.wasm.iter().flat_map(|wasm| [&*wasm.root_id, &*wasm.name, wasm.code.name()]);
            let role = said.into_iter().chain(names).find_map(Role::named);
            LookedFilter { filter, asked, role }
        });
        Self { edge, filters: filters.collect() }
    }
}

impl LookedFilter<'_> {
    /// Whether traffic would be unguarded without it.
    pub fn guards(&self) -> bool {
        let wasm = self.filter.wasm.as_ref();
        let of_wasm = wasm.into_iter().flat_map(|wasm| [wasm.name.as_str(), wasm.root_id.as_str()]);
        let names = std::iter::once(self.filter.name).chain(of_wasm);
        let mut words = names.flat_map(|name| name.split(|letter: char| !letter.is_alphanumeric()));
        self.role.is_some() || words.any(|word| GUARDS.iter().any(|guard| word.eq_ignore_ascii_case(guard)))
    }

    /// What its module imports and exports, where the module is at hand.
    pub fn inspection(&self) -> Option<&Inspection> {
        match self.asked.as_ref()? {
            Ok(asked) => Some(asked.inspection()),
            Err(silent) => silent.inspection.as_ref(),
        }
    }
}
