//! Pairs of bytes as proxy-wasm writes them: `u32` count, then the two lengths of each pair, then
//! each name and value, both ended by NUL. Little-endian.

pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Larger lists are malformed to Envoy.
const LARGEST: usize = 1 << 20;
const MOST: usize = 1024;

pub fn serialise<'a, I>(pairs: I) -> Vec<u8>
where
    I: IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    let mut out = Vec::new();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(u32::try_from(pairs.clone().into_iter().count()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in pairs.clone() {
        out.extend(length(name));
        out.extend(length(value));
    }
    for (name, value) in pairs {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Envoy takes whatever it can't read as an empty list, without an error.
pub fn deserialise(bytes: &[u8]) -> Pairs {
    if bytes.len() > LARGEST {
        return Pairs::new();
    }
    read(bytes).unwrap_or_default()
}

fn read(bytes: &[u8]) -> Option<Pairs> {
    let (count, rest) = number(bytes)?;
    if count > MOST {
        return None;
    }
    let (mut lengths, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Pairs::with_capacity(count);
    for _ in 0..count {
        let (name, after) = number(lengths)?;
        let (value, after) = number(after)?;
        lengths = after;
        let (name, after) = ended(rest, name)?;
        let (value, after) = ended(after, value)?;
        rest = after;
        pairs.push((name.to_vec(), value.to_vec()));
    }
    rest.is_empty().then_some(pairs)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn ended(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    rest.strip_prefix(&[0]).map(|rest| (text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pairs: &Pairs) -> Vec<u8> {
        serialise(pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pairs = vec![(b"a".to_vec(), b"\xff\0".to_vec()), (b"".to_vec(), b"".to_vec())];
        assert_eq!(deserialise(&written(&pairs)), pairs);
        assert_eq!(written(&Pairs::new()), [0; 4]);
    }

    #[test]
    fn garbage_and_huge_lists_are_empty() {
        assert!(deserialise(b"").is_empty());
        assert!(deserialise(&[0xff; 40]).is_empty());
        assert!(deserialise(&written(&vec![(b"a".to_vec(), b"b".to_vec()); 1025])).is_empty());
        assert!(deserialise(&written(&vec![(b"a".to_vec(), vec![0; 1 << 20])])).is_empty());
        let mut unended = written(&vec![(b"a".to_vec(), b"b".to_vec())]);
        *unended.last_mut().unwrap() = b'x';
        assert!(deserialise(&unended).is_empty());
        let longer = [written(&vec![(b"a".to_vec(), b"b".to_vec())]), b"more".to_vec()].concat();
        assert!(deserialise(&longer).is_empty());
    }
}
