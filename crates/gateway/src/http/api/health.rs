//! `GET /health`, `/health/live`, `/health/ready`, `/health/detailed`: one health, told at four lengths.
//! Needs no key, so it names no channel and no secret; whoever presents the admin token is told names, too. Decides when the
//! gateway is ready: not while it stops, and not while nothing at all can be tried. Tests: `it/v1/health.rs`.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use waypost_core::health::view::{self, ChannelView, Count};
use waypost_core::moment::Moment;
use waypost_core::snapshot::Snapshot;

use crate::app::App;
use crate::http::admin;
use crate::http::body::Body;
use crate::http::reply;
use crate::http::router::HealthDepth;

/// Answers at the depth the path asks for.
pub fn answer(app: &App, depth: HealthDepth, headers: &HeaderMap, client: Option<IpAddr>) -> Response<Body> {
    if depth == HealthDepth::Live {
        return reply::json(StatusCode::OK, &json!({ "status": "ok" }));
    }
    let live = app.live();
    let ready = Ready::of(app, &live.snapshot);
    if depth == HealthDepth::Ready {
        return reply::json(ready.status(), &json!({ "status": ready.word(), "ready": ready == Ready::Yes }));
    }
    let mut body = match depth {
        HealthDepth::Detailed if admin::is_administrator(&live.snapshot, headers) => {
            let mut body = summary(app, &live.snapshot);
            body.extend(details(app, &live.snapshot, true));
            body
        }
        HealthDepth::Detailed => {
            // Names would tell whoever guesses that a token is right.
            if !live.snapshot.admin.is_off() {
                admin::note_wrong_token(app, headers, client);
            }
            app.health.detailed.get(app.clock.now(), || {
                let mut body = summary(app, &live.snapshot);
                body.extend(details(app, &live.snapshot, false));
                body
            })
        }
        HealthDepth::Summary | HealthDepth::Live | HealthDepth::Ready => {
            app.health.summary.get(app.clock.now(), || summary(app, &live.snapshot))
        }
    };
    if ready != Ready::Yes {
        body.insert("status".to_owned(), ready.word().into());
    }
    reply::json(ready.status(), &Value::Object(body))
}

/// What everybody was told lately. With many deployments counting takes a while, and whoever asks needs no key.
#[derive(Default)]
pub struct ToldLately {
    summary: Told,
    detailed: Told,
}

/// With more deployments than this, an answer is given again for a while.
const MANY: u64 = 2000;
/// For so long.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Told(Mutex<Option<(Moment, Map<String, Value>)>>);

impl Told {
    /// The last answer if it is fresh, else a new one; only one is made at a time.
    fn get(&self, now: Moment, make: impl FnOnce() -> Map<String, Value>) -> Map<String, Value> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, body)) = &*last
            && now.since(*at) < FRESH
        {
            return body.clone();
        }
        let body = make();
        let total = body.get("deployments").and_then(|count| count.get("total")).and_then(Value::as_u64);
        *last = total.filter(|total| *total > MANY).map(|_| (now, body.clone()));
        body
    }
}

/// Shall a balancer send requests here?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    Yes,
    /// It was told to stop.
    Stopping,
    /// Every deployment is isolated or without a credential. One that is due for a trial can be tried, so this ends by
    /// itself.
    NothingServes,
}

impl Ready {
    fn of(app: &App, snapshot: &Snapshot) -> Self {
        if !app.is_ready() {
            Self::Stopping
        } else if view::can_serve(snapshot, app.clock.now()) {
            Self::Yes
        } else {
            Self::NothingServes
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Yes => "ok",
            Self::Stopping => "draining",
            Self::NothingServes => "down",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Yes => StatusCode::OK,
            Self::Stopping | Self::NothingServes => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Numbers only. `healthy` and `total` are those of the channels.
fn summary(app: &App, snapshot: &Snapshot) -> Map<String, Value> {
    let counts = view::counts(snapshot, app.clock.now());
    let Count { healthy, total } = counts.channels;
    let ill = [counts.channels, counts.deployments, counts.credentials].iter().any(|count| count.healthy < count.total)
        || app.money.as_ref().is_some_and(|money| money.journal().is_failing());
    object(json!({
        "status": if ill { "degraded" } else { "ok" },
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": healthy,
        "total": total,
        "providers": counts.providers,
        "channels": counts.channels,
        "deployments": counts.deployments,
        "credentials": counts.credentials,
        "groups": counts.groups,
        "states": counts.states,
        "models": snapshot.models.len(),
    }))
}

fn details(app: &App, snapshot: &Snapshot, names: bool) -> Map<String, Value> {
    let kinds: std::collections::BTreeSet<_> = snapshot.channels.iter().map(|channel| channel.provider.kind).collect();
    let reload = app.last_reload();
    let reload = if names {
        json!(admin::last_reload(&reload))
    } else {
        json!({ "at": reload.at * 1000, "ok": reload.is_ok() })
    };
    let channels = view::channels(snapshot, &admin::time(app));
    let in_flight: u64 = channels.iter().map(|channel| channel.in_flight).sum();
    object(json!({
        "uptime_seconds": app.unix_seconds().saturating_sub(app.started()),
        "provider_kinds": kinds,
        "model_families": snapshot.families.list.len(),
        "keys": snapshot.keys.len(),
        "in_flight": in_flight,
        "queued": app.queues.waiting(),
        "last_reload": reload,
        "panics": app.panics(),
        "log_lines_dropped": app.records.dropped(),
        "journal": app.money.as_ref().map(|money| json!({
            "failing": money.journal().is_failing(),
            "waiting": money.journal().waiting(),
            "bytes": money.journal().size(),
        })),
        "channel_statistics": channels.iter().map(|channel| statistics(channel, names)).collect::<Vec<_>>(),
    }))
}

fn statistics(channel: &ChannelView<'_>, names: bool) -> Value {
    let credentials = Count {
        healthy: channel.credentials.iter().filter(|credential| credential.healthy).count() as u64,
        total: channel.credentials.len() as u64,
    };
    let mut told = object(json!({
        "provider": channel.provider,
        "healthy": channel.healthy,
        "deployments": channel.deployments,
        "credentials": credentials,
        "states": channel.states,
        "in_flight": channel.in_flight,
        "requests": channel.requests,
        "failures": channel.failures,
        "latency_ms": channel.latency_ms,
    }));
    if names {
        told.insert("name".to_owned(), channel.name.into());
        told.insert("last_error".to_owned(), json!(channel.last_error));
    }
    told.into()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(total: u64) -> Map<String, Value> {
        object(json!({ "deployments": { "healthy": 0, "total": total } }))
    }

    #[test]
    fn a_costly_answer_is_given_again_for_a_second_and_a_cheap_one_is_always_new() {
        let told = Told::default();
        let first = told.get(Moment::seconds(5), || body(MANY + 1));
        assert_eq!(told.get(Moment::seconds(5), || body(MANY + 2)), first);
        let second = told.get(Moment::seconds(6), || body(7));
        assert_ne!(second, first);
        assert_eq!(told.get(Moment::seconds(6), || body(8)), body(8));
    }
}
