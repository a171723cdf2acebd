//! What happens between two steps, and which faults are in force in one.

use super::Proxy;
use crate::{
    scenario::{Mishap, Step},
    world::{logs::Level, plugin},
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
        let place = self.world.borrow().under_test;
        let Some(slot) = self.workers.get_mut(worker).and_then(|slots| slots.get_mut(place)) else { return };
        if let Some(vm) = slot.vm.take() {
            self.world.borrow_mut().forget(vm.vm());
        }
        slot.failed_at = None;
        match (self.start)(place) {
            Ok(vm) => slot.vm = Some(vm),
            Err(message) => {
                let mut world = self.world.borrow_mut();
                slot.failed_at = Some(world.clock.now());
                world.logs.write(Level::Error, &message);
            }
        }
    }
}
