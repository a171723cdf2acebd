//! What stands behind Envoy for one scenario.

use std::io;

use super::{Events, Upstream};
use crate::{envoy::upstream, scenario::Scenario};

pub enum Backend {
    /// Every request is answered by itself.
    AtOnce(upstream::Upstream),
    /// Streams stay open from step to step.
    InFlight(Upstream),
}

impl Backend {
    pub async fn start(scenario: &Scenario) -> io::Result<Self> {
        let protocol = scenario.given.protocol;
        if scenario.needs_connections() {
            Upstream::start(protocol).await.map(Self::InFlight)
        } else {
            upstream::Upstream::start(protocol).await.map(Self::AtOnce)
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::AtOnce(upstream) => upstream.port(),
            Self::InFlight(upstream) => upstream.port(),
        }
    }

    /// Grows with whatever is heard where streams stay open; elsewhere nobody looks.
    pub fn events(&self) -> Events {
        match self {
            Self::AtOnce(_) => Events::default(),
            Self::InFlight(upstream) => Events::clone(upstream.events()),
        }
    }
}
