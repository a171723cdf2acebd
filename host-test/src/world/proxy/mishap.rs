//! What happens between two steps, and which faults are in force in one.

use super::Proxy;
use crate::{
    scenario::{Mishap, Step},
    world::plugin,
};

impl Proxy {
    /// What happened since the last step; then the step's own faults come into force. What couldn't
    /// happen, as sentences.
    pub(super) fn meanwhile(&mut self, step: &Step) -> Vec<String> {
        let missed = step.meanwhile.iter().filter_map(|mishap| self.mishap(mishap, step)).collect();
        let mut world = self.world.borrow_mut();
        world.faults.enter(&step.faults);
        world.told_time_stands();
        missed
    }

    /// The step's own faults are over. Those that never came to pass, as sentences.
    pub(super) fn faults_over(&self) -> Vec<String> {
        let mut world = self.world.borrow_mut();
        let unmet = world.faults.leave();
        world.told_time_stands();
        unmet
    }

    fn mishap(&mut self, mishap: &Mishap, step: &Step) -> Option<String> {
        if *mishap == Mishap::VmRestarted {
            self.restart(self.worker_of(step));
            return None;
        }
        let mut world = self.world.borrow_mut();
        let vm_id = plugin::vm_id("");
        match mishap {
            Mishap::StoreEmptied if !world.store.empty() => {
                Some("meanwhile: the store can't be emptied, it holds nothing".into())
            }
            Mishap::KeyLost(key) if !world.store.lose(&vm_id, &key.0) => {
                Some(format!("meanwhile: the key `{}` can't be lost, the store doesn't hold it", key.display()))
            }
            Mishap::KeyWritten(written) => {
                // The number 0 always wins.
                let _ = world.store.set(&vm_id, &written.key.0, &written.value.0, 0);
                None
            }
            Mishap::ClockBack(span) => {
                world.clock.step_back(span.0);
                None
            }
            Mishap::StoreEmptied | Mishap::KeyLost(_) | Mishap::VmRestarted => None,
        }
    }

    /// A new VM for the filter under test on one worker. The old one hears nothing of it.
    fn restart(&mut self, worker: usize) {
        let Some(thread) = self.threads.get_mut(worker) else { return };
        let Some(slot) = thread.chain.get(self.under_test).cloned() else { return };
        slot.root.iter().for_each(|root| root.vm.end(&self.world));
        let again = thread.slot(&self.world, &self.start, self.under_test, &slot.plugin);
        let now = self.world.borrow().clock.now();
        if let Some(slot) = thread.chain.get_mut(self.under_test) {
            slot.loaded_at = again.root.is_none().then_some(now);
            // Where the new one doesn't start, the old one stays what it is.
            slot.root = again.root.or(slot.root.take());
        }
    }
}
