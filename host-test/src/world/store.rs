//! Shared data: one map per process; each `vm_id` has its own keys.
//!
//! 1. The compare-and-swap number is one counter for all keys of all, from 1.
//! 2. A key that isn't there takes any number, and a number of 0 always wins.
//! 3. Nothing expires and nothing is deleted, but by a scenario's faults.

use std::collections::HashMap;

use super::status::Status;

#[derive(Debug, Default)]
pub struct Store {
    entries: HashMap<(String, Vec<u8>), (Vec<u8>, u32)>,
    last: u32,
}

impl Store {
    /// A value and its number.
    pub fn get(&self, vm_id: &str, key: &[u8]) -> Option<(&[u8], u32)> {
        self.entries.get(&(vm_id.to_owned(), key.to_vec())).map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// How often anything was written: the last number that was given.
    pub fn written(&self) -> u32 {
        self.last
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|((_, key), (value, _))| key.len() + value.len()).sum()
    }

    /// Takes a key out, as no filter can; whether it was there.
    pub fn lose(&mut self, vm_id: &str, key: &[u8]) -> bool {
        self.entries.remove(&(vm_id.to_owned(), key.to_vec())).is_some()
    }

    /// Takes all keys out; whether there were any. Numbers go on.
    pub fn empty(&mut self) -> bool {
        !std::mem::take(&mut self.entries).is_empty()
    }

    pub fn set(&mut self, vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let key = (vm_id.to_owned(), key.to_vec());
        match self.entries.get(&key) {
            Some((_, current)) if cas != 0 && cas != *current => Err(Status::CasMismatch),
            _ => {
                self.last = self.last.wrapping_add(1);
                self.entries.insert(key, (value.to_vec(), self.last));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_key_takes_any_number_and_only_one_creator_wins() {
        let mut store = Store::default();
        assert_eq!(store.set("", b"a", b"1", u32::MAX), Ok(()));
        assert_eq!(store.set("", b"a", b"2", u32::MAX), Err(Status::CasMismatch));
        assert_eq!(store.get("", b"a"), Some((b"1".as_slice(), 1)));
    }

    #[test]
    fn the_number_counts_all_keys() {
        let mut store = Store::default();
        store.set("", b"a", b"1", 0).unwrap();
        store.set("", b"b", b"", 0).unwrap();
        assert_eq!(store.get("", b"b"), Some((b"".as_slice(), 2)));
        store.set("", b"a", b"2", 1).unwrap();
        assert_eq!(store.get("", b"a"), Some((b"2".as_slice(), 3)));
        store.set("", b"a", b"3", 0).unwrap();
    }
}
