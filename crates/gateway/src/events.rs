//! What happens, told to whoever listens while it happens: requests, routes, attempts, breakers, reloads. Costs one atomic load
//! while nobody does. Never waits: who listens too slowly misses some and is told how many. Holds no body and no secret; knows no
//! path. Tests: `it/events.rs`, and below for the bounds.

mod feed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast;
use waypost_core::health::{Phase, Transition};
use waypost_core::snapshot::Deployment;

pub use self::feed::{Feed, Filter};
use crate::telemetry::trace_header::Fell;

/// How many may listen at once.
const MOST_LISTENERS: usize = 16;
/// How far the slowest may be behind.
const MOST_WAITING: usize = 1024;

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'e> {
    /// A request was admitted.
    RequestStart {
        #[serde(flatten)]
        about: About<'e>,
        operation: &'static str,
        stream: bool,
    },
    /// It was planned: what could take it, in order.
    Route {
        #[serde(flatten)]
        about: About<'e>,
        strategy: &'static str,
        deployments: Vec<&'e str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        degraded: Option<Fell<'e>>,
    },
    /// An upstream call begins.
    AttemptStart {
        #[serde(flatten)]
        about: About<'e>,
        attempt: usize,
        deployment: &'e str,
        credential: &'e str,
        /// It finds out whether the deployment is well again.
        trial: bool,
        /// It is beside one that is slow to begin.
        hedge: bool,
    },
    /// It is over.
    AttemptEnd {
        #[serde(flatten)]
        about: About<'e>,
        attempt: usize,
        deployment: &'e str,
        credential: &'e str,
        outcome: &'static str,
        status: Option<u16>,
        duration_ms: u64,
    },
    /// The request is settled.
    RequestEnd {
        #[serde(flatten)]
        about: About<'e>,
        outcome: &'static str,
        status: u16,
        deployment: Option<&'e str>,
        attempts: u32,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        first_token_ms: Option<u64>,
        latency_ms: u64,
    },
    /// A deployment was isolated, or is back.
    Breaker { deployment: &'e str, channel: &'e str, model: &'e str, from: &'static str, to: &'static str },
    /// Requests were suspicious.
    Security { kind: &'static str, client: Option<String>, key: Option<&'e str>, count: u32, blocked_for: Option<u64> },
    /// A configuration was taken into use, or refused.
    Reload { trigger: &'static str, ok: bool, errors: &'e [String], generation: u64 },
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct About<'e> {
    pub request_id: &'e str,
    pub key: &'e str,
    pub model: Option<&'e str>,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::RequestStart { .. } => "request_start",
            Self::Route { .. } => "route",
            Self::AttemptStart { .. } => "attempt_start",
            Self::AttemptEnd { .. } => "attempt_end",
            Self::RequestEnd { .. } => "request_end",
            Self::Breaker { .. } => "breaker",
            Self::Security { .. } => "security",
            Self::Reload { .. } => "reload",
        }
    }

    fn key(&self) -> Option<&str> {
        if let Self::Security { key, .. } = self {
            return *key;
        }
        self.about().map(|about| about.key)
    }

    fn model(&self) -> Option<&str> {
        if let Self::Breaker { model, .. } = self {
            return Some(model);
        }
        self.about().and_then(|about| about.model)
    }

    fn about(&self) -> Option<&About<'_>> {
        match self {
            Self::RequestStart { about, .. }
            | Self::Route { about, .. }
            | Self::AttemptStart { about, .. }
            | Self::AttemptEnd { about, .. }
            | Self::RequestEnd { about, .. } => Some(about),
            Self::Breaker { .. } | Self::Security { .. } | Self::Reload { .. } => None,
        }
    }
}

/// An event as it is sent, and what filters ask of it.
#[derive(Debug)]
struct Told {
    key: Option<Box<str>>,
    model: Option<Box<str>>,
    frame: Bytes,
}

/// Where events go. One for a process.
pub struct Events {
    listeners: AtomicUsize,
    ended: AtomicBool,
    number: AtomicU64,
    /// `None` is the end.
    way: broadcast::Sender<Option<Arc<Told>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            listeners: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            number: AtomicU64::new(0),
            way: broadcast::Sender::new(MOST_WAITING),
        }
    }
}

impl Events {
    /// Does anybody listen?
    pub fn is_watched(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Tells what happened, if anybody listens; else it is not even put together.
    pub fn tell<'e>(&self, event: impl FnOnce() -> Event<'e>) {
        if self.is_watched() {
            self.publish(&event());
        }
    }

    /// Listens from now on; `None` if too many do.
    pub fn listen(self: &Arc<Self>, filter: Filter) -> Option<Feed> {
        let more = |listeners: usize| (listeners < MOST_LISTENERS).then_some(listeners + 1);
        self.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Feed::new(Arc::clone(self), self.way.subscribe(), filter))
    }

    /// Ends all listening, for good.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        // Nobody may be there to hear it.
        let _ = self.way.send(None);
    }

    /// Logs and tells that a deployment was isolated or came back.
    pub fn note_transition(&self, deployment: &Deployment, transition: Option<Transition>) {
        let Some(Transition { from, to }) = transition else { return };
        self.tell(|| Event::Breaker {
            deployment: &deployment.label,
            channel: &deployment.channel.name,
            model: &deployment.model,
            from: from.name(),
            to: to.name(),
        });
        let (deployment, from) = (&*deployment.label, from.name());
        match to {
            Phase::Open => tracing::warn!(deployment, from, "the deployment failed too often and is left alone"),
            Phase::HalfOpen => tracing::info!(deployment, from, "the deployment is tried out"),
            Phase::Closed => tracing::info!(deployment, from, "the deployment is back"),
        }
    }

    fn publish(&self, event: &Event<'_>) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let line = Line { at: unix_millis(), event };
        // The types have no maps with odd keys.
        let Ok(json) = serde_json::to_string(&line) else { return };
        let frame = format!("id: {number}\nevent: {}\ndata: {json}\n\n", event.name()).into();
        let told = Told { key: event.key().map(Box::from), model: event.model().map(Box::from), frame };
        // Whoever listened may have left.
        let _ = self.way.send(Some(Arc::new(told)));
    }
}

/// An event with its time, in milliseconds since 1970.
#[derive(Serialize)]
struct Line<'e> {
    at: u64,
    #[serde(flatten)]
    event: &'e Event<'e>,
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
