//! One credential as it looks from outside: never the secret. Decides nothing. Tests: `health/view/tests.rs`.

use schemars::JsonSchema;
use serde::Serialize;

use super::Time;
use crate::ids::CredentialId;
use crate::snapshot::{Channel, Credential};

/// One of our secrets at a provider: how often it was used, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CredentialHealth")]
pub struct CredentialView<'s> {
    #[serde(serialize_with = "super::as_text")]
    #[schemars(with = "String")]
    pub id: CredentialId,
    /// Its name in the channel.
    pub label: &'s str,
    pub channel: &'s str,
    /// `in_use` or `out`.
    pub state: &'static str,
    pub healthy: bool,
    /// Why it is out of use.
    pub reason: Option<&'static str>,
    /// The provider's status that put it there.
    pub status: Option<u16>,
    /// Since when, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Until it is tried again.
    pub next_trial_ms: Option<u64>,
    pub uses: u64,
    pub errors: u64,
    pub in_flight: u32,
    /// Milliseconds since 1970.
    pub last_used: Option<u64>,
}

/// How a credential looks.
pub fn credential<'s>(channel: &'s Channel, credential: &'s Credential, time: &Time) -> CredentialView<'s> {
    let standing = credential.state.standing();
    let healthy = !credential.state.is_out(time.now);
    CredentialView {
        id: credential.id,
        label: &credential.label,
        channel: &channel.name,
        state: if healthy { "in_use" } else { "out" },
        healthy,
        reason: standing.out.map(crate::verdict::Class::name),
        status: standing.status,
        since: standing.since.map(|since| time.at(since)),
        next_trial_ms: standing.until.map(|until| time.until(until)),
        uses: standing.requests,
        errors: standing.failures,
        in_flight: standing.in_flight,
        last_used: standing.last_used.map(|at| time.at(at)),
    }
}
