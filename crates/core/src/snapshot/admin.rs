//! The administrator's token as it is kept: its SHA-256 and nothing else. Knows no header. Tests: `snapshot/compile/admin.rs`.

use std::hint::black_box;

use crate::access::fingerprint;
use crate::config::MetricsAccess;

/// Who may look at the gateway and steer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The SHA-256 of the token; `None` if there is no administrator.
    pub(crate) token: Option<[u8; 32]>,
    pub metrics: MetricsAccess,
    /// Callers may ask for the `x-waypost-trace` header.
    pub debug_header: bool,
}

impl Admin {
    /// Is there no administrator, so that there is nothing to administer either?
    pub fn is_off(&self) -> bool {
        self.token.is_none()
    }

    /// Is this the administrator's token? Takes as long for any that is not.
    pub fn admits(&self, token: Option<&str>) -> bool {
        let (Some(kept), Some(token)) = (&self.token, token) else { return false };
        let given = fingerprint(token);
        let differing = kept.iter().zip(&given).fold(0, |sum, (ours, theirs)| black_box(sum | (ours ^ theirs)));
        differing == 0
    }
}
