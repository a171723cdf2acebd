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

    /// The stream is over, whatever way it ended.
    fn on_end(&mut self, _: &mut Self::Stream) {}

    /// The time that was asked for has passed. Only called in a module that exports the callback: one whose entry
    /// lists `tick`.
    fn on_tick(&mut self) {}
}

/// All contexts of one VM.
pub struct Contexts<R: Root>(RefCell<State<R>>);

struct State<R: Root> {
    /// Few: one for each configuration that shares the VM.
    roots: Vec<(u32, Option<R>)>,
    streams: Buckets<Stream<R::Stream>>,
}

struct Stream<S> {
    root: u32,
    state: S,
}

/// Streams by their id. Ids only rise, so those that are alive spread evenly, and a bucket holds few.
struct Buckets<T>([Vec<(u32, T)>; 256]);

impl<T> Buckets<T> {
    /// Never `None`.
    fn bucket(&mut self, id: u32) -> Option<&mut Vec<(u32, T)>> {
        self.0.get_mut(id as usize % 256)
    }
}

impl<R: Root> Default for Contexts<R> {
    fn default() -> Self {
        let streams = Buckets(std::array::from_fn(|_| Vec::new()));
        Self(RefCell::new(State { roots: Vec::new(), streams }))
    }
}

impl<R: Root> Contexts<R> {
    pub fn create(&self, id: u32, parent: u32) {
        let mut contexts = self.0.borrow_mut();
        if parent == 0 {
            contexts.roots.push((id, None));
        } else if let Some(bucket) = contexts.streams.bucket(id) {
            bucket.push((id, Stream { root: parent, state: R::Stream::default() }));
        }
    }

    pub fn delete(&self, id: u32) {
        let State { roots, streams } = &mut *self.0.borrow_mut();
        if let Some(bucket) = streams.bucket(id)
            && let Some(place) = bucket.iter().position(|(known, _)| *known == id)
        {
            let (_, mut stream) = bucket.swap_remove(place);
            if let Some((_, Some(root))) = roots.iter_mut().find(|(known, _)| *known == stream.root) {
                root.on_end(&mut stream.state);
            }
        } else {
            roots.retain(|(known, _)| *known != id);
        }
    }

    pub fn tick(&self, id: u32) {
        let mut contexts = self.0.borrow_mut();
        if let Some((_, Some(root))) = contexts.roots.iter_mut().find(|(known, _)| *known == id) {
            root.on_tick();
        }
    }

    /// Takes the configuration in hand; `false` makes the proxy refuse it.
    pub fn configure(&self, id: u32) -> bool {
        match R::configure(&hostcalls::configuration()) {
            Ok(configured) => {
                let mut contexts = self.0.borrow_mut();
                contexts.roots.retain(|(known, _)| *known != id);
                contexts.roots.push((id, Some(configured)));
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
        let State { roots, streams } = &mut *self.0.borrow_mut();
        let stream = streams.bucket(id).and_then(|bucket| bucket.iter_mut().find(|(known, _)| *known == id));
        if let Some((_, stream)) = stream
            && let Some((_, Some(root))) = roots.iter_mut().find(|(known, _)| *known == stream.root)
        {
            return handle(root, &mut stream.state);
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
