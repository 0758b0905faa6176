//! Which addresses a channel may lead to. Judged after look-up, for the very address that is then connected to, so that
//! a name cannot be one thing when it is checked and another when it is used. Resolves nothing. Tests: below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an origin's connections may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Only to addresses of the open internet: for a name anybody may control.
    Public,
    /// Also to this machine and to private networks: for what the owner named as being there.
    Private,
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Open,
    Private,
    /// Link-local, metadata services, multicast, broadcast, nowhere: nothing a provider would ever be at.
    Never,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

impl Reach {
    /// What the owner's own words allow: an address or a local name says where it leads, a public name does not.
    pub(super) fn of(host: &Host<'_>, allow_private: bool) -> Self {
        match host {
            Host::Address(_) => Self::Private,
            Host::Name(name) if allow_private || is_local(name) => Self::Private,
            Host::Name(_) => Self::Public,
        }
    }

    /// Whether a connection to this address may be made.
    pub fn allows(self, address: IpAddr) -> bool {
        match (place(address), self) {
            (Place::Open, _) | (Place::Private, Self::Private) => true,
            (Place::Private, Self::Public) | (Place::Never, _) => false,
        }
    }
}

/// Reads a URL's host, brackets and all. Numbers are addresses in every spelling that resolvers know (`0x7f.1`,
/// `2130706433`, `0177.0.0.1`), so none of them passes for a name. `None` if it looks like an address and is none.
pub(super) fn host(text: &str) -> Option<Host<'_>> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Address(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.is_empty() || name.contains(':') {
        return None;
    }
    if last.starts_with(|letter: char| letter.is_ascii_digit()) && number(last).is_some()
        || last.bytes().all(|byte| byte.is_ascii_digit())
    {
        return ipv4(name).map(|address| Host::Address(address.into()));
    }
    Some(Host::Name(text))
}

/// One to four numbers, the last of which fills the bytes that are left: what `inet_aton` takes.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut before: u64 = 0;
    let mut parts = text.split('.');
    let last = number(parts.next_back()?)?;
    let mut left: u32 = 4;
    for part in parts {
        let byte = number(part).filter(|byte| *byte <= 0xff)?;
        left = left.checked_sub(1).filter(|left| *left > 0)?;
        before = before << 8 | byte;
    }
    let room = 1u64 << (8 * left);
    (last < room).then(|| u32::try_from(before * room + last).ok().map(Ipv4Addr::from)).flatten()
}

/// Decimal, `0x` hexadecimal or `0` octal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // A sign is no digit, although numbers may have one elsewhere.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Names that nobody outside can give an address to.
fn is_local(name: &str) -> bool {
    const LOCAL: [&str; 6] = ["localhost", "local", "internal", "lan", "home", "home.arpa"];
    let name = name.strip_suffix('.').unwrap_or(name);
    let under = |end: &str| name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    !name.contains('.') || LOCAL.into_iter().any(under)
}

fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    match address.octets() {
        // This network, link-local (with the metadata services of most clouds), multicast, reserved, broadcast.
        [0 | 224..=255, ..] | [169, 254, ..] => Place::Never,
        // Alibaba Cloud's metadata service, in the middle of the carriers' private range.
        [100, 100, 100, 200] => Place::Never,
        [10 | 127, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Place::Private,
        // Protocol assignments, documentation, benchmarks: not on the open internet.
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Place::Private,
        _ => Place::Open,
    }
}

fn place_v6(address: Ipv6Addr) -> Place {
    let of_v4 = |high: u16, low: u16| place_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Place::Never,
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Private,
        // An IPv4 address in IPv6's clothes: mapped, compatible, NAT64.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => of_v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of_v4(high, low),
        // A network's own NAT64.
        [0x64, 0xff9b, 1, .., high, low] => of_v4(high, low).max(Place::Private),
        // 6to4, and Teredo with its client's address inverted.
        [0x2002, high, low, ..] => of_v4(high, low),
        [0x2001, 0, .., high, low] => of_v4(!high, !low).max(Place::Private),
        // The metadata services of Amazon and Google inside the private range.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Place::Never,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Place::Never,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Place::Private,
        // Discard, documentation.
        [0x100, 0, 0, 0, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Place::Private,
        _ => Place::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Place {
        place(text.parse().unwrap())
    }

    #[test]
    fn the_open_internet_is_open() {
        for address in ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.0.1.1", "2606:4700::1111"]
        {
            assert_eq!(of(address), Place::Open, "{address}");
        }
        assert_eq!(of("::ffff:8.8.8.8"), Place::Open);
        assert_eq!(of("64:ff9b::8.8.8.8"), Place::Open);
        assert_eq!(of("2002:808:808::1"), Place::Open);
    }

    #[test]
    fn this_machine_and_private_networks_are_private_in_every_embedding() {
        let v4 = ["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.9.9", "192.168.1.1", "100.64.0.1"];
        for address in v4 {
            assert_eq!(of(address), Place::Private, "{address}");
            for before in ["::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "::"] {
                assert_eq!(of(&format!("{before}{address}")), Place::Private, "{before}{address}");
            }
            let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
            assert_eq!(of(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")), Place::Private, "6to4 {address}");
        }
        for address in ["::1", "fc00::1", "fd12:3456::1", "fec0::1", "2001:db8::1", "192.0.2.1", "198.18.0.1"] {
            assert_eq!(of(address), Place::Private, "{address}");
        }
    }

    #[test]
    fn metadata_link_local_multicast_and_nowhere_are_never_reached() {
        let v4 = [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for address in v4 {
            for before in ["", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"] {
                assert_eq!(of(&format!("{before}{address}")), Place::Never, "{before}{address}");
            }
            for reach in [Reach::Public, Reach::Private] {
                assert!(!reach.allows(address.parse().unwrap()), "{address}");
            }
        }
        for address in ["::", "fe80::1", "febf::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "2002:a9fe:a9fe::1"] {
            assert_eq!(of(address), Place::Never, "{address}");
        }
        // Teredo, the client being 169.254.169.254.
        assert_eq!(of("2001:0:1:2:3:4:5601:5601"), Place::Never);
    }

    #[test]
    fn an_address_is_an_address_in_every_spelling() {
        let spellings = [
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0X7F.1", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("0xa9.254.0xa9fe", "169.254.169.254"),
            ("2852039166", "169.254.169.254"),
            ("0", "0.0.0.0"),
            ("8.8.8.8.", "8.8.8.8"),
            ("[::1]", "::1"),
            ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
        ];
        for (text, address) in spellings {
            assert_eq!(host(text), Some(Host::Address(address.parse().unwrap())), "{text}");
        }
        for text in [
            "",
            ".",
            "256.0.0.1",
            "1.2.3.4.5",
            "1.2.3.",
            "1..2",
            "08.1.1.1",
            "4294967296",
            "1.2.65536",
            "99999999999999999999999",
            "name.123",
            "name.0x7f",
            "+1.2.3.4",
            "[::1",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
        ] {
            // `1.2.3.` is three numbers with a dot behind them: an address, as a resolver has it.
            let expected = (text == "1.2.3.").then(|| Host::Address("1.2.0.3".parse().unwrap()));
            assert_eq!(host(text), expected, "{text}");
        }
        for name in ["api.openai.com", "gpu-1", "3com.com", "1.2.3.4.nip.io", "0x.dev", "api.openai.com."] {
            assert_eq!(host(name), Some(Host::Name(name)), "{name}");
        }
    }

    #[test]
    fn a_public_name_reaches_only_the_open_internet_unless_the_channel_says_so() {
        let reach = |text, allow_private| Reach::of(&host(text).unwrap(), allow_private);
        for name in ["api.openai.com", "relay.example.", "localhost.example.com", "notlocal", "my.local.net"] {
            let local = name == "notlocal";
            assert_eq!(reach(name, false) == Reach::Private, local, "{name}");
            assert_eq!(reach(name, true), Reach::Private, "{name}");
        }
        for own in [
            "localhost",
            "localhost.",
            "api.localhost",
            "gpu.local",
            "llm.corp.internal",
            "host.docker.internal",
            "nas.lan",
            "gpu-box",
            "127.0.0.1",
            "0x7f.1",
            "[::1]",
        ] {
            assert_eq!(reach(own, false), Reach::Private, "{own}");
        }
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(!Reach::Public.allows(loopback) && Reach::Private.allows(loopback));
        assert!(Reach::Public.allows("8.8.8.8".parse().unwrap()));
    }
}
