//! Shared queues: named lists of values, between all VMs of the process.
//!
//! 1. A queue is known by the `vm_id` and the name under which it was registered; registering it again
//!    gives the same id, and makes the last who did so the one that is told of new values.
//! 2. Each value that is added is told of once, later and on the root context: never within the call.
//! 3. A queue gives in the order in which it took, and is never removed.

use std::collections::{BTreeMap, VecDeque};

use super::status::Status;

#[derive(Debug, Default)]
pub struct Queues {
    /// By `vm_id` and name.
    ids: BTreeMap<(Vec<u8>, Vec<u8>), u32>,
    queues: BTreeMap<u32, Queue>,
    /// Who is to be told of new values, oldest first.
    pending: VecDeque<Ready>,
}

#[derive(Debug, Default)]
struct Queue {
    values: VecDeque<Vec<u8>>,
    registrant: (u32, u32),
}

/// One call of `on_queue_ready` that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The root context that registered the queue last, and its VM.
    pub root: u32,
    pub vm: u32,
    pub queue: u32,
}

impl Queues {
    /// The id of a queue, which begins with the first registration.
    pub fn register(&mut self, vm_id: &str, name: &[u8], vm: u32, root: u32) -> u32 {
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let id = *self.ids.entry((vm_id.into(), name.to_vec())).or_insert(next);
        self.queues.entry(id).or_default().registrant = (vm, root);
        id
    }

    /// The id of a queue that was registered; an empty `vm_id` is one's own.
    pub fn resolve(&self, own: &str, vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        let vm_id = if vm_id.is_empty() { own.as_bytes() } else { vm_id };
        self.ids.get(&(vm_id.to_vec(), name.to_vec())).copied().ok_or(Status::NotFound)
    }

    pub fn enqueue(&mut self, id: u32, value: Vec<u8>) -> Result<(), Status> {
        let queue = self.queues.get_mut(&id).ok_or(Status::NotFound)?;
        queue.values.push_back(value);
        let (vm, root) = queue.registrant;
        self.pending.push_back(Ready { vm, root, queue: id });
        Ok(())
    }

    pub fn dequeue(&mut self, id: u32) -> Result<Vec<u8>, Status> {
        self.queues.get_mut(&id).ok_or(Status::NotFound)?.values.pop_front().ok_or(Status::Empty)
    }

    /// The next call of `on_queue_ready` that is due.
    pub fn next_ready(&mut self) -> Option<Ready> {
        self.pending.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_told_of_once_to_the_last_that_registered() {
        let mut queues = Queues::default();
        let id = queues.register("own", b"a", 1, 1);
        assert_eq!((id, queues.register("own", b"b", 1, 1), queues.register("own", b"a", 3, 1)), (1, 2, 1));
        queues.enqueue(id, b"x".to_vec()).unwrap();
        queues.enqueue(id, b"y".to_vec()).unwrap();
        assert_eq!(queues.next_ready(), Some(Ready { vm: 3, root: 1, queue: id }));
        assert_eq!(queues.next_ready(), Some(Ready { vm: 3, root: 1, queue: id }));
        assert_eq!(queues.next_ready(), None);
        assert_eq!((queues.dequeue(id), queues.dequeue(id)), (Ok(b"x".to_vec()), Ok(b"y".to_vec())));
        assert_eq!(queues.dequeue(id), Err(Status::Empty));
    }

    #[test]
    fn a_queue_is_found_under_the_vm_id_that_registered_it() {
        let mut queues = Queues::default();
        let id = queues.register("own", b"a", 1, 1);
        assert_eq!(queues.resolve("own", b"", b"a"), Ok(id));
        assert_eq!(queues.resolve("other", b"own", b"a"), Ok(id));
        assert_eq!(queues.resolve("own", b"other", b"a"), Err(Status::NotFound));
        assert_eq!(queues.resolve("other", b"", b"a"), Err(Status::NotFound));
        assert_ne!(queues.register("other", b"a", 2, 1), id);
        assert_eq!(queues.enqueue(9, Vec::new()), Err(Status::NotFound));
    }
}
