//! Metadata that was read once isn't read again. Bounded: routes come and go with every update.

use super::Choice;

/// Entries of one VM. When the next one comes, all are forgotten.
const MOST: usize = 256;

/// Sorted by the metadata's bytes.
#[derive(Debug)]
pub(super) struct Cache<P>(Vec<(Vec<u8>, Choice<P>)>);

impl<P> Default for Cache<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P> Cache<P> {
    pub(super) fn get(&self, bytes: &[u8]) -> Option<Choice<P>> {
        let found = self.find(bytes).ok()?;
        self.0.get(found).map(|(_, choice)| choice.clone())
    }

    pub(super) fn put(&mut self, bytes: &[u8], choice: Choice<P>) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        if let Err(place) = self.find(bytes) {
            self.0.insert(place, (bytes.to_vec(), choice));
        }
    }

    fn find(&self, bytes: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_slice().cmp(bytes))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
