//! From the numbers of the ABI's callbacks to one plugin's objects.
//!
//! 1. A root context is one configuration of the plugin; a VM holds one or more.
//! 2. A stream context belongs to the root that it was created under, and dies with `on_delete`.
//! 3. A root without a valid configuration refuses every stream: a capability list without
//!    `proxy_on_configure` must not turn the filter off.

use std::cell::RefCell;

use super::hostcalls::{self, Action, Proxy};
use crate::{
    config::ConfigError,
    host::{Host, Level},
    reason,
    verdict::Reply,
};

/// A plugin, as the proxy drives it. One value per configuration.
pub trait Root: Sized {
    /// What one stream keeps between its callbacks.
    type Stream: Default;

    /// # Errors
    /// Why the configuration can't be taken; the proxy refuses it and logs the error.
    fn configure(bytes: &[u8]) -> Result<Self, ConfigError>;

    /// The request's headers are readable, now and not later.
    fn on_request_headers(&mut self, _: &mut Self::Stream) -> Action {
        Action::Continue
    }

    /// The response's headers are readable, now and not later.
    fn on_response_headers(&mut self, _: &mut Self::Stream) -> Action {
        Action::Continue
    }
}

enum Context<R: Root> {
    Root(Option<R>),
    Stream { root: u32, state: R::Stream },
}

/// All contexts of one VM.
pub struct Contexts<R: Root>(RefCell<Buckets<Context<R>>>);

/// Contexts by their id. Ids only rise, so those that are alive spread evenly, and a bucket holds few.
struct Buckets<T>([Vec<(u32, T)>; 256]);

impl<T> Buckets<T> {
    /// Never `None`.
    fn bucket(&mut self, id: u32) -> Option<&mut Vec<(u32, T)>> {
        self.0.get_mut(id as usize % 256)
    }

    fn insert(&mut self, id: u32, context: T) {
        if let Some(bucket) = self.bucket(id) {
            bucket.push((id, context));
        }
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.bucket(id)?.iter_mut().find(|(known, _)| *known == id).map(|(_, context)| context)
    }

    fn remove(&mut self, id: u32) -> Option<T> {
        let bucket = self.bucket(id)?;
        let place = bucket.iter().position(|(known, _)| *known == id)?;
        Some(bucket.swap_remove(place).1)
    }
}

impl<R: Root> Default for Contexts<R> {
    fn default() -> Self {
        Self(RefCell::new(Buckets(std::array::from_fn(|_| Vec::new()))))
    }
}

impl<R: Root> Contexts<R> {
    pub fn create(&self, id: u32, parent: u32) {
        let context = match parent {
            0 => Context::Root(None),
            root => Context::Stream { root, state: R::Stream::default() },
        };
        self.0.borrow_mut().insert(id, context);
    }

    pub fn delete(&self, id: u32) {
        self.0.borrow_mut().remove(id);
    }

    /// Takes the configuration in hand; `false` makes the proxy refuse it.
    pub fn configure(&self, id: u32) -> bool {
        match R::configure(&hostcalls::configuration()) {
            Ok(root) => {
                let mut contexts = self.0.borrow_mut();
                contexts.remove(id);
                contexts.insert(id, Context::Root(Some(root)));
                true
            }
            Err(error) => {
                Proxy.log(Level::Error, &format!("configuration refused: {error}"));
                false
            }
        }
    }

    /// Lets the stream's root handle a callback.
    pub fn on_stream(&self, id: u32, handle: impl FnOnce(&mut R, &mut R::Stream) -> Action) -> Action {
        let mut contexts = self.0.borrow_mut();
        // Out of the map, so that the root can be reached beside it; `on_delete` comes after.
        if let Some(Context::Stream { root, mut state }) = contexts.remove(id) {
            let action = match contexts.get_mut(root) {
                Some(Context::Root(Some(configured))) => Some(handle(configured, &mut state)),
                _ => None,
            };
            contexts.insert(id, Context::Stream { root, state });
            if let Some(action) = action {
                return action;
            }
        }
        hostcalls::reply(&Reply::unavailable(reason::UNCONFIGURED.into()));
        Action::Pause
    }
}

/// Memory for bytes that the host hands over, owned by whoever reads them: the layout of a `Vec<u8>`
/// with this capacity. Null where there is none, which the host answers with an error.
pub fn allocate(size: usize) -> *mut u8 {
    match std::alloc::Layout::array::<u8>(size) {
        // SAFETY: the layout's size isn't zero.
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc(layout) },
        _ => std::ptr::null_mut(),
    }
}
