//! The worlds of `wit/` behind one set of calls: which of them a component speaks is found out when it is loaded.

use wasmtime::{
    Engine, Store,
    component::{Component, HasSelf, Linker, ResourceAny},
};

use super::{
    bindings::{
        head::{
            HeadPolicy, HeadPolicyPre,
            portcullis::policy::types::{RequestHead, ResponseHead, Verdict},
        },
        message::{MessagePolicy, MessagePolicyPre},
    },
    host::Guest,
};

/// A component that is linked to the world.
#[derive(Clone)]
pub enum Loaded {
    Head(HeadPolicyPre<Guest>),
    Message(MessagePolicyPre<Guest>),
}

impl Loaded {
    pub fn link(engine: &Engine, component: &Component) -> anyhow::Result<Self> {
        let mut linker = Linker::new(engine);
        // The larger world: it offers all that the smaller one does.
        MessagePolicy::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let linked = linker.instantiate_pre(component)?;
        match MessagePolicyPre::new(linked.clone()) {
            Ok(message) => Ok(Self::Message(message)),
            Err(_) => Ok(Self::Head(HeadPolicyPre::new(linked)?)),
        }
    }

    pub fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Contract> {
        match self {
            Self::Head(loaded) => loaded.instantiate(store).map(Contract::Head),
            Self::Message(loaded) => loaded.instantiate(store).map(Contract::Message),
        }
    }
}

/// An instance.
pub enum Contract {
    Head(HeadPolicy),
    Message(MessagePolicy),
}

impl Contract {
    /// Whether bodies are told, so that holding a head holds the head alone.
    pub fn reads_bodies(&self) -> bool {
        matches!(self, Self::Message(_))
    }

    pub fn configure(&self, store: &mut Store<Guest>, bytes: &[u8]) -> wasmtime::Result<Result<(), String>> {
        match self {
            Self::Head(policy) => policy.portcullis_policy_head_filter().call_configure(store, bytes),
            Self::Message(policy) => policy.portcullis_policy_message_filter().call_configure(store, bytes),
        }
    }

    pub fn tick(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        match self {
            Self::Head(policy) => policy.portcullis_policy_head_filter().call_on_tick(store),
            Self::Message(policy) => policy.portcullis_policy_message_filter().call_on_tick(store),
        }
    }

    pub fn exchange(&self, store: &mut Store<Guest>) -> wasmtime::Result<ResourceAny> {
        match self {
            Self::Head(policy) => policy.portcullis_policy_head_filter().exchange().call_constructor(store),
            Self::Message(policy) => policy.portcullis_policy_message_filter().exchange().call_constructor(store),
        }
    }

    pub fn request_head(
        &self,
        store: &mut Store<Guest>,
        exchange: ResourceAny,
        head: &RequestHead,
        ends: bool,
    ) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(policy) => {
                policy.portcullis_policy_head_filter().exchange().call_on_request_head(store, exchange, head)
            }
            Self::Message(policy) => {
                policy.portcullis_policy_message_filter().exchange().call_on_request_head(store, exchange, head, ends)
            }
        }
    }

    pub fn response_head(
        &self,
        store: &mut Store<Guest>,
        exchange: ResourceAny,
        head: &ResponseHead,
    ) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(policy) => {
                policy.portcullis_policy_head_filter().exchange().call_on_response_head(store, exchange, head)
            }
            Self::Message(policy) => {
                policy.portcullis_policy_message_filter().exchange().call_on_response_head(store, exchange, head)
            }
        }
    }

    /// A world without bodies lets them pass.
    pub fn request_body(
        &self,
        store: &mut Store<Guest>,
        exchange: ResourceAny,
        piece: &[u8],
        ends: bool,
    ) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(_) => Ok(Verdict::Pass),
            Self::Message(policy) => {
                policy.portcullis_policy_message_filter().exchange().call_on_request_body(store, exchange, piece, ends)
            }
        }
    }

    pub fn request_trailers(&self, store: &mut Store<Guest>, exchange: ResourceAny) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(_) => Ok(Verdict::Pass),
            Self::Message(policy) => {
                policy.portcullis_policy_message_filter().exchange().call_on_request_trailers(store, exchange)
            }
        }
    }

    pub fn held_tick(&self, store: &mut Store<Guest>, exchange: ResourceAny) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(_) => Ok(Verdict::Hold),
            Self::Message(policy) => {
                policy.portcullis_policy_message_filter().exchange().call_on_held_tick(store, exchange)
            }
        }
    }

    pub fn answer(
        &self,
        store: &mut Store<Guest>,
        exchange: ResourceAny,
        token: u32,
        answer: Option<&[u8]>,
    ) -> wasmtime::Result<Verdict> {
        match self {
            Self::Head(policy) => {
                policy.portcullis_policy_head_filter().exchange().call_on_answer(store, exchange, token, answer)
            }
            // It makes no calls.
            Self::Message(_) => Ok(Verdict::Hold),
        }
    }
}
