//! From the numbers of the ABI's callbacks to one plugin's objects.
//!
//! 1. A root context is one configuration of the plugin; a VM holds one or more.
//! 2. A stream context belongs to the root that it was created under, and dies with `on_delete`.
//! 3. An answer comes to a root context, after any time. It is handed to the stream that asked, if that is still there:
//!    a trap here would leave the request hanging for ever.
//! 4. A root without a valid configuration refuses every stream: a capability list without
//!    `proxy_on_configure` must not turn the filter off.

use std::cell::RefCell;

use super::hostcalls::{self, Action, Proxy};
use crate::{
    config::ConfigError,
    host::{CallId, Host, Level},
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

    /// The same, for a plugin that reads bodies; with `ends` nothing follows.
    fn on_request_head(&mut self, stream: &mut Self::Stream, _ends: bool) -> Action {
        self.on_request_headers(stream)
    }

    /// More of the request's body is readable: `size` bytes, which are those held so far and a new piece. After
    /// `Action::Continue` it is the new piece alone. Only called in a module whose entry lists `body`.
    fn on_request_body(&mut self, _: &mut Self::Stream, _size: usize, _ends: bool) -> Action {
        Action::Continue
    }

    /// The request ends with trailers. Only called in a module whose entry lists `body`.
    fn on_request_trailers(&mut self, _: &mut Self::Stream) -> Action {
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

    /// Whether a stream is to hear of each tick.
    fn hears_ticks(_: &Self::Stream) -> bool {
        false
    }

    /// Behind each tick, for a stream that hears of it and is in hand: what ends it, if anything does.
    fn on_stream_tick(&mut self, _: &mut Self::Stream) -> Option<Reply> {
        None
    }

    /// The call whose answer a stream holds its request for.
    fn waits_for(_: &Self::Stream) -> Option<CallId> {
        None
    }

    /// The answer that a stream waits for; `None` for a failure of any kind. With `Action::Continue` the request goes
    /// on. Only called in a module that exports the callbacks: one whose entry lists `grpc`.
    fn on_answer(&mut self, _: &mut Self::Stream, _: Option<Vec<u8>>) -> Action {
        Action::Continue
    }
}

/// All contexts of one VM.
pub struct Contexts<R: Root>(RefCell<State<R>>);

struct State<R: Root> {
    /// Few: one for each configuration that shares the VM.
    roots: Vec<(u32, Option<R>)>,
    streams: Buckets<Stream<R::Stream>>,
    /// Calls that weren't answered, with the stream that waits. Each ends, since each has a time-out.
    calls: Vec<(CallId, u32)>,
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
        Self(RefCell::new(State { roots: Vec::new(), streams, calls: Vec::new() }))
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
        let State { roots, streams, .. } = &mut *self.0.borrow_mut();
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
        let State { roots, streams, .. } = &mut *self.0.borrow_mut();
        let Some((_, Some(root))) = roots.iter_mut().find(|(known, _)| *known == id) else { return };
        root.on_tick();
        for (stream, state) in streams.0.iter_mut().flatten().filter(|(_, stream)| stream.root == id) {
            if R::hears_ticks(&state.state) && hostcalls::take_in_hand(*stream) {
                let reply = root.on_stream_tick(&mut state.state);
                reply.iter().for_each(hostcalls::reply);
            }
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
        let state = &mut *self.0.borrow_mut();
        if let Some((root, stream, calls)) = state.find(id) {
            let action = handle(root, stream);
            note_call::<R>(calls, id, stream);
            return action;
        }
        hostcalls::reply(&Reply::unavailable(reason::UNCONFIGURED.into()));
        Action::Pause
    }
}

impl<R: Root> Contexts<R> {
    /// A call was answered; `None`: it failed.
    pub fn answered(&self, token: u32, answer: Option<Vec<u8>>) {
        // Answers that come while a callback runs are told behind it, so nobody else is at it.
        let Ok(mut state) = self.0.try_borrow_mut() else { return };
        let Some(place) = state.calls.iter().position(|(call, _)| *call == CallId(token)) else { return };
        let (_, id) = state.calls.swap_remove(place);
        let Some((root, stream, calls)) = state.find(id) else { return };
        if !hostcalls::take_in_hand(id) {
            return;
        }
        let action = root.on_answer(stream, answer);
        note_call::<R>(calls, id, stream);
        if action == Action::Continue {
            hostcalls::resume_request();
        }
    }

    /// A call was answered with the message in hand.
    pub fn received(&self, token: u32) {
        self.answered(token, Some(hostcalls::grpc_message()));
    }
}

impl<R: Root> State<R> {
    /// A stream, its root, and the calls.
    #[allow(clippy::type_complexity)]
    fn find(&mut self, id: u32) -> Option<(&mut R, &mut R::Stream, &mut Vec<(CallId, u32)>)> {
        let stream = self.streams.bucket(id)?.iter_mut().find(|(known, _)| *known == id);
        let (_, stream) = stream?;
        let (_, root) = self.roots.iter_mut().find(|(known, _)| *known == stream.root)?;
        Some((root.as_mut()?, &mut stream.state, &mut self.calls))
    }
}

/// Remembers the call that a stream waits for, if it does.
fn note_call<R: Root>(calls: &mut Vec<(CallId, u32)>, id: u32, stream: &R::Stream) {
    if let Some(call) = R::waits_for(stream)
        && calls.iter().all(|(known, _)| *known != call)
    {
        calls.push((call, id));
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
