//! Sets of network addresses, as configurations and scopes name them. Decides nothing. Tests are below.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network (`10.0.0.0/8`, `2001:db8::/32`) or one address (`192.0.2.7`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// With its host bits zero. Never an IPv4 address in IPv6's clothes.
    network: IpAddr,
    bits: u8,
}

/// A text that names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCidr;

impl Cidr {
    /// Is the address one of these? An IPv4 address is the same in IPv6's clothes (`::ffff:192.0.2.7`).
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.network.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.network
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let written: IpAddr = address.parse().map_err(|_| BadCidr)?;
        let address = written.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            // `from_str` alone would take signs.
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => {
                let bits: u8 = bits.parse().map_err(|_| BadCidr)?;
                // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
                let clothes = if written == address { 0 } else { 96 };
                bits.checked_sub(clothes).ok_or(BadCidr)?
            }
            Some(_) => return Err(BadCidr),
        };
        (bits <= most).then(|| Self { network: masked(address, bits), bits }).ok_or(BadCidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.network.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            return write!(f, "{}", self.network);
        }
        write!(f, "{}/{}", self.network, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("::ffff:10.1.1.1", "10.1.1.1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::1", "::1", true),
        ] {
            let network: Cidr = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0/8",
            "example.com",
            "::ffff:10.0.0.0/8",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(BadCidr), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::1/128".parse::<Cidr>().unwrap().to_string(), "::1");
    }
}
