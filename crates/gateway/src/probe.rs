//! Asks accounts on purpose whether they are well: a key once, when somebody wants to know, and from time to time where the
//! file says so. Decides what is asked; what an answer means is core's verdict. Tests: `it/probes.rs`.

mod active;
mod ask;
mod finding;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::config::ProbeKind;
use waypost_core::snapshot::{Channel, Credential};

pub use self::active::{Probes, round, run};
use self::ask::{Question, ask};
pub use self::finding::Finding;
use crate::app::{App, Live};
use crate::simulator;

/// What came of asking one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// There was something to ask.
    pub asked: bool,
    pub finding: Finding,
    /// The upstream's status, if it gave one.
    pub status: Option<u16>,
    /// Until the end of its answer.
    pub latency: Duration,
    /// The public name of the model it was asked with; `None` if its list of models was.
    pub model: Option<Arc<str>>,
}

/// What came of asking one key, for scripts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CredentialTest")]
pub struct TestReport<'r> {
    channel: &'r str,
    credential: &'r str,
    /// Such as `valid`.
    finding: &'static str,
    /// The upstream's status, if it gave one.
    status: Option<u16>,
    latency_ms: u64,
    retry_after_ms: Option<u64>,
    model: Option<&'r str>,
    /// The same for people.
    message: String,
}

impl Tested {
    /// What was found, for people. Holds nothing of what the upstream said, and no key.
    pub fn sentence(&self) -> String {
        match (self.finding, &self.model) {
            (_, _) if !self.asked => "There is nothing that could be asked; name a model to ask with.".to_owned(),
            (Finding::Valid, None) => "The key lists models; name one to ask it with.".to_owned(),
            (finding, _) => finding.sentence(),
        }
    }

    /// All of it, for scripts.
    pub fn report<'r>(&'r self, channel: &'r Channel, credential: &'r Credential) -> TestReport<'r> {
        let wait = match self.finding {
            Finding::Limited { retry_after } => retry_after.map(millis),
            _ => None,
        };
        TestReport {
            channel: &channel.name,
            credential: &credential.label,
            finding: self.finding.name(),
            status: self.status,
            latency_ms: millis(self.latency),
            retry_after_ms: wait,
            model: self.model.as_deref(),
            message: self.sentence(),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Asks one key of a channel for one word of a model, or for its list of models where no model is known and the list says
/// something of the key. Takes at most
/// 15 seconds, and changes nothing of what routing knows.
pub async fn test(
    app: &App,
    live: &Live,
    channel: &Arc<Channel>,
    credential: &Credential,
    model: Option<&str>,
) -> Tested {
    let kind = match (model, default_model(channel)) {
        (None, None) => ProbeKind::Models,
        (Some(_), _) | (None, Some(_)) => ProbeKind::Chat,
    };
    match Question::of(live, channel, kind, model) {
        Some(question) if question.says_something() => ask(app, live, credential, &question).await.tested,
        Some(_) | None => {
            Tested { asked: false, finding: Finding::Broken, status: None, latency: Duration::ZERO, model: None }
        }
    }
}

/// The model a channel is asked with if nobody names one.
fn default_model(channel: &Channel) -> Option<&str> {
    let simulated = || simulator::listing().first().map(|listed| listed.name);
    channel.probe_model.as_deref().or_else(|| if channel.provider.built_in { simulated() } else { None })
}
