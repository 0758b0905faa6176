//! Identities that survive a reload: each is a hash of the names that make it, never a position in a list.
//! Living state (breakers, averages, cooldowns) is kept by these, so it stays with what it describes when the file is edited.
//! Knows no state itself; its tests are below.

use std::fmt;

/// One model on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentId(u64);

/// A configured account at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(u64);

/// One of our secrets at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(u64);

/// A caller's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

impl ChannelId {
    /// The same for the same channel name, in every process and version.
    pub fn of(channel: &str) -> Self {
        Self(hash(&["channel", channel]))
    }
}

impl DeploymentId {
    /// Depends on the channel's name and the public model name only, so a new URL or secret keeps the history.
    pub fn of(channel: &str, model: &str) -> Self {
        Self(hash(&["deployment", channel, model]))
    }
}

impl CredentialId {
    /// Depends on the channel's name and the credential's label, never on the secret.
    pub fn of(channel: &str, label: &str) -> Self {
        Self(hash(&["credential", channel, label]))
    }
}

impl KeyId {
    /// Depends on the key's name, so replacing the secret of a key keeps its counters.
    pub fn of(name: &str) -> Self {
        Self(hash(&["key", name]))
    }
}

macro_rules! as_hexadecimal {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl $id {
            /// The number itself, for storage and metrics.
            pub fn number(self) -> u64 {
                self.0
            }
        }
    )*};
}
as_hexadecimal!(ChannelId, DeploymentId, CredentialId, KeyId);

/// FNV-1a over the parts, each closed by a byte that UTF-8 never holds, with a final mix that spreads short names.
fn hash(parts: &[&str]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mix(state)
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_in_every_version() {
        // Stored by other parts of the product: a change here orphans their rows.
        assert_eq!(DeploymentId::of("main", "gpt-4o").to_string(), "d6591056a93f9026");
    }

    #[test]
    fn names_cannot_run_into_one_another() {
        assert_ne!(DeploymentId::of("ab", "c"), DeploymentId::of("a", "bc"));
        assert_ne!(CredentialId::of("a", "1"), CredentialId::of("a", "2"));
    }
}
