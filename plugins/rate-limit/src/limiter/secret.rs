//! The secret that all VMs share, in the store: made by whoever needs it first, put back where a stranger wrote over it.

use portcullis_kit::{
    host::StatefulHost,
    store::{Found, Over, Store, Written},
};

use crate::pool::{self, Secret};

/// The secret in force; made where there is none. `None`: the store or the random source is closed.
pub fn share(host: &mut impl StatefulHost) -> Option<Secret> {
    // A second look finds what another VM made meanwhile.
    for _ in 0..2 {
        let over = match read(host) {
            Ok(secret) => return Some(secret),
            Err(over) => over?,
        };
        let mut random = [0; Secret::SIZE];
        host.random(&mut random).ok()?;
        let secret = Secret::new(&random);
        match host.put(&name(), &secret.to_bytes(), over) {
            Written::Done => return Some(secret),
            Written::Lost => {}
            Written::Unwritable => return None,
        }
    }
    None
}

/// The secret in force: the one in the store, or this VM's `own`, which it puts back where there is none.
pub fn keep(host: &mut impl StatefulHost, own: Secret) -> Secret {
    match read(host) {
        Ok(secret) => secret,
        Err(over) => {
            if let Some(over) = over {
                // Whoever is faster puts back the same, or is asked with the next tick.
                host.put(&name(), &own.to_bytes(), over);
            }
            own
        }
    }
}

/// What the store holds; otherwise what a secret would be written over, `None` where the store is closed.
fn read(store: &mut impl Store) -> Result<Secret, Option<Over>> {
    match store.get(&name()) {
        Found::Unreadable => Err(None),
        Found::Nothing => Err(Some(Over::Nothing)),
        Found::Value(bytes, version) => Secret::from_bytes(&bytes).ok_or(Some(Over::Version(version))),
    }
}

fn name() -> Vec<u8> {
    pool::name_of("secret")
}
