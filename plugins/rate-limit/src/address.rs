//! Addresses of clients, and the networks that they lie in.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_kit::config::ConfigError;

/// The address of `ip:port` and `[ip]:port`. An IPv4 address inside of IPv6 is that address.
pub fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = plain_v4(text) {
        return Some(IpAddr::V4(address));
    }
    let text = std::str::from_utf8(text).ok()?;
    let (ip, _) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip).parse().ok()?;
    Some(ip.to_canonical())
}

/// `1.2.3.4:` and more. Most requests come so, and the general reader takes five times as long.
fn plain_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut octet, mut digits, mut octets) = (0_u32, 0_u32, 0, 0);
    for byte in text {
        match byte {
            // No leading zero, which some read as octal.
            b'0'..=b'9' if digits < 3 && (digits == 0 || octet > 0) => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' | b':' if digits > 0 && octet < 256 && octets < 4 => {
                bits = bits << 8 | octet;
                octets += 1;
                (octet, digits) = (0, 0);
                if *byte == b':' {
                    return (octets == 4).then_some(Ipv4Addr::from_bits(bits));
                }
            }
            _ => return None,
        }
    }
    None
}

/// An IPv6 address as RFC 5952 §4 writes it: small letters, no zeros in front, the longest run of zeros left out. The
/// standard library's own writer is a hundredth of the module.
pub fn v6_text(bytes: &[u8; 16]) -> String {
    let (groups, _) = bytes.as_chunks();
    let groups = groups.iter().map(|group| u16::from_be_bytes(*group)).enumerate();
    // Where a run of zeros begins, and how long it is.
    let (mut left_out, mut run) = ((0, 0), (0, 0));
    for (place, group) in groups.clone() {
        run = match (group, run) {
            (0, (_, 0)) => (place, 1),
            (0, (start, length)) => (start, length + 1),
            _ => (0, 0),
        };
        if run.1 > left_out.1.max(1) {
            left_out = run;
        }
    }
    let (start, end) = (left_out.0, left_out.0 + left_out.1);
    let mut text = String::with_capacity(40);
    for (place, group) in groups {
        if (start..end).contains(&place) {
            if place == start {
                text.push_str("::");
            }
            continue;
        }
        if place > 0 && (place != end || start == end) {
            text.push(':');
        }
        let digits = [group >> 12, group >> 8, group >> 4, group].map(|digit| digit & 15);
        let first = digits.iter().position(|digit| *digit > 0).unwrap_or(3);
        text.extend(digits.into_iter().skip(first).filter_map(|digit| char::from_digit(digit.into(), 16)));
    }
    text
}

/// The bytes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl AsRef<[u8]> for Network {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}

/// The network of an address: its bytes with the rest of the bits cleared.
pub fn network(address: IpAddr, v4: u8, v6: u8) -> Network {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            Network::V4((bits & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            Network::V6((u128::from(address) & mask).to_be_bytes())
        }
    }
}

/// `10.0.0.0/8`, `::1`: an address with the number of its bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// # Errors
    /// No address, too many bits, or bits beyond the prefix.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let wrong = |why: &str| ConfigError::new(format!("`{text}` {why}"));
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("is no address, with or without `/bits`"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| wrong("has no number of bits that fits"))?,
            None => most,
        };
        if network(address, bits, bits) != network(address, 32, 128) {
            return Err(wrong("has bits set beyond its prefix"));
        }
        Ok(Self { address, bits })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && network(address, self.bits, self.bits) == network(self.address, self.bits, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_read_as_the_general_reader_reads_it(text in "[0-9]{1,4}(\\.[0-9]{1,3}){2,4}", port in "(:[0-9]{0,5})?") {
            let general = text.parse::<IpAddr>().ok().filter(|_| !port.is_empty());
            prop_assert_eq!(address([text, port].concat().as_bytes()), general);
        }

        #[test]
        fn an_ipv6_address_is_written_as_everybody_writes_it(groups in prop::array::uniform8(prop_oneof![Just(0), Just(1), any::<u16>()])) {
            let address = std::net::Ipv6Addr::from(groups);
            prop_assume!(address.to_ipv4_mapped().is_none());
            prop_assert_eq!(v6_text(&address.octets()), address.to_string());
        }
    }

    #[test]
    fn addresses_are_read_as_the_proxy_writes_them() {
        for (text, expected) in [
            ("10.1.2.3:80", Some("10.1.2.3")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[::ffff:10.1.2.3]:1", Some("10.1.2.3")),
            ("10.1.2.3", None),
            ("", None),
            ("/run/socket", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let network = |text: &str, bits| network(text.parse().unwrap(), 32, bits);
        assert_eq!(network("2001:db8::1", 64), network("2001:db8::ffff:ffff:ffff:ffff", 64));
        assert_ne!(network("2001:db8::1", 64), network("2001:db8:0:1::1", 64));
        assert_eq!(network("::1", 0), network("ffff::", 0));
        assert_ne!(network("::1", 128), network("::2", 128));
    }

    #[test]
    fn a_cidr_holds_its_addresses_and_no_others() {
        let holds = |cidr: &str, ip: &str| Cidr::new(cidr).unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("0.0.0.0/0", "::1") && holds("::/0", "::1"));
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "host", "", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(Cidr::new(wrong).is_err(), "{wrong}");
        }
    }
}
