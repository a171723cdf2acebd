//! A stream's filters called, one callback after another, and what comes of each.

use std::rc::Rc;

use super::{Filter, Halt, Pass, Stream, Trap};
use crate::{
    scenario::FailurePolicy,
    world::{Phase, Shared, Side, proxy::Slot, reply::Reply},
};

/// What a callback of the response asked for, and may not.
pub(super) const SENT_TWICE: &str = "resuming the response in a callback that lets it on sends it twice, and where it \
                                     ends there it ends Envoy 1.40 (SIGSEGV): hold it, or resume nothing";
pub(super) const RESUMED_FIRST: &str = "resuming the response and replying or closing behind it, in a callback with which the response \
                                        ends, or closing behind it over HTTP/2, ends Envoy 1.40 (SIGSEGV): do one of them";
const REPLIED_AND_CLOSED: &str =
    "replying and closing the stream in one callback of the response ends Envoy 1.40 (SIGSEGV): do one of them";

/// A stream whose filters are called.
pub struct Run<'a> {
    pub world: &'a Shared,
    pub stream: &'a mut Stream,
    /// The other streams in flight on the same thread: their contexts are within reach of every callback of their VM.
    pub others: Vec<&'a mut Stream>,
}

impl Run<'_> {
    pub(super) fn pass(&mut self, side: Side, seat: usize) -> Option<&mut Pass> {
        let seat = self.stream.seats.get_mut(seat)?;
        Some(match side {
            Side::Request => &mut seat.request,
            Side::Response => &mut seat.response,
        })
    }

    /// The stream begins: each filter whose VM lives gives its context an id.
    pub fn enter(&mut self, chain: &[Slot]) {
        for (seat, slot) in self.stream.seats.iter_mut().zip(chain) {
            seat.root.clone_from(&slot.root);
            seat.id = slot.root.as_ref().and_then(|root| root.call(|filter| filter.next_id()));
        }
    }

    /// The context of a filter in its VM, made when the request reaches it.
    pub(super) fn begin(&mut self, seat: usize) -> Result<(), Halt> {
        let Some(place) = self.stream.seats.get_mut(seat) else { return Ok(()) };
        let Some((root, vm)) = place.root.as_ref().map(|root| (root.id, root.vm_number())) else { return Ok(()) };
        let Some(id) = place.id else { return self.begun_without() };
        place.created = true;
        self.world.borrow_mut().exchanges.insert((vm, id), Rc::clone(&place.exchange));
        match self.call(seat, |filter, id| filter.begin(id, root).map(|()| 0)) {
            // It takes effect behind the first callback, which comes all the same.
            Err(Halt::Replied(reply)) => {
                if let Some(seat) = self.stream.seats.get(seat) {
                    seat.exchange.borrow_mut().reply = Some(reply);
                }
                Ok(())
            }
            begun => begun.map(drop),
        }
    }

    /// One callback. A reply that it sent is its outcome, whatever it returned. A filter whose VM ended
    /// under the stream ends that.
    pub(super) fn call<F>(&mut self, seat: usize, callback: F) -> Result<u32, Halt>
    where
        F: FnOnce(&mut dyn Filter, u32) -> Result<u32, Trap>,
    {
        let known = self.stream.seats.get(seat).and_then(|seat| Some((seat.id?, Rc::clone(seat.root.as_ref()?))));
        let Some((id, root)) = known else { return Ok(0) };
        self.stream.lend(seat);
        let vm = root.vm_number();
        self.others.iter_mut().for_each(|other| other.lend_to(vm));
        let returned = root.call(|filter| callback(filter, id));
        self.others.iter_mut().for_each(|other| other.reclaim_from(vm));
        self.stream.reclaim(seat);
        let failed = if matches!(returned, Some(Ok(_))) { root.call(|filter| filter.failed()).flatten() } else { None };
        if let Some(trap) = failed {
            root.vm.trapped(self.world, &trap);
        }
        match returned {
            Some(Ok(returned)) => {
                let exchange = self.stream.seats.get(seat).map(|seat| Rc::clone(&seat.exchange));
                let Some(exchange) = exchange else { return Ok(returned) };
                let mut exchange = exchange.borrow_mut();
                match (exchange.reply.take(), std::mem::take(&mut exchange.closed)) {
                    (Some(_), true) if exchange.phase.is_of(Side::Response) => {
                        let callback = match exchange.phase {
                            Phase::Body(_) => "proxy_on_response_body",
                            Phase::Trailers(_) => "proxy_on_response_trailers",
                            _ => "proxy_on_response_headers",
                        };
                        drop(exchange);
                        Err(self.ended(seat, callback, REPLIED_AND_CLOSED))
                    }
                    (Some(reply), true) => Err(Halt::Abandoned(reply)),
                    (Some(reply), false) => Err(Halt::Replied(reply)),
                    (None, true) => {
                        self.stream.details.clone_from(&exchange.details);
                        Err(Halt::Cut)
                    }
                    (None, false) => {
                        drop(exchange);
                        self.acts_within(seat).map(|()| returned)
                    }
                }
            }
            ended => {
                self.world.borrow_mut().exchanges.remove(&(root.vm_number(), id));
                if let Some(seat) = self.stream.seats.get_mut(seat) {
                    seat.id = None;
                }
                match ended {
                    // The stream in which it happened is refused under every policy, and so are those that the VM
                    // left behind.
                    Some(Err(trap)) => {
                        root.vm.trapped(self.world, &trap);
                        Err(Halt::Failed)
                    }
                    _ => Err(Halt::Failed),
                }
            }
        }
    }

    /// The end of a VM by what would end Envoy's process.
    pub(super) fn ended(&mut self, seat: usize, callback: &str, why: &str) -> Halt {
        let message = why.to_owned();
        self.world.borrow_mut().fatal.push(message.clone());
        let Some(seat) = self.stream.seats.get_mut(seat) else { return Halt::Failed };
        if let Some(root) = seat.root.clone() {
            if let Some(id) = seat.id.take() {
                self.world.borrow_mut().exchanges.remove(&(root.vm_number(), id));
            }
            root.vm.trapped(self.world, &Trap { callback: callback.to_owned(), message });
        }
        Halt::Failed
    }

    /// What a filter without a VM means to a stream that begins.
    fn begun_without(&self) -> Result<(), Halt> {
        match self.world.borrow().given.failure_policy {
            FailurePolicy::FailOpen => Ok(()),
            FailurePolicy::FailClosed | FailurePolicy::FailReload => Err(Halt::Failed),
        }
    }

    /// Whatever a halt means to the client, ends in its answer or in none.
    pub fn settle(&mut self, result: Result<(), Halt>) {
        let mut result = result;
        // A reply may be replied to once more, by a filter that it passes.
        for _ in 0..=self.stream.seats.len() {
            let Err(halt) = result else { break };
            result = match halt {
                Halt::Replied(reply) => self.reply(reply),
                Halt::Failed => self.reply(Reply::failed()),
                Halt::Abandoned(reply) => {
                    self.abandon(reply);
                    Ok(())
                }
                Halt::Cut => {
                    self.drop_unsent();
                    self.end();
                    Ok(())
                }
            };
        }
    }

    /// A stream that is reset before the response's head has left: the client hears nothing of it.
    pub(super) fn drop_unsent(&mut self) {
        if self.stream.unsent && !self.stream.ended {
            self.stream.client = None;
        }
    }

    /// The end of the stream: for each filter Envoy's access log, then done, then delete. A filter that
    /// the request never reached takes part in it.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.stream.ended, true) {
            return;
        }
        for phase in [Phase::Log, Phase::Done] {
            for seat in 0..self.stream.seats.len() {
                let Some(place) = self.stream.seats.get_mut(seat) else { continue };
                {
                    let mut exchange = place.exchange.borrow_mut();
                    exchange.phase = phase;
                    if phase == Phase::Log {
                        exchange.lose_piece();
                    }
                    if phase == Phase::Log && self.stream.replied && self.stream.request.ended {
                        exchange.drain_piece();
                    }
                }
                let (Some(id), Some(vm), created) = (place.id, place.vm(), place.created) else { continue };
                if !created && self.begin(seat).is_err() {
                    continue;
                }
                let ended = match phase {
                    Phase::Log => self.call(seat, |filter, id| filter.log(id).map(|()| 0)),
                    _ => self.call(seat, |filter, id| filter.done(id).map(|()| 0)),
                };
                // Nobody is left to answer to.
                if let Err(halt) = ended {
                    self.acts_behind_end(seat, halt);
                }
                if phase == Phase::Done {
                    self.world.borrow_mut().exchanges.remove(&(vm, id));
                }
            }
        }
        self.stream.seats.iter_mut().for_each(|seat| seat.root = None);
    }
}
