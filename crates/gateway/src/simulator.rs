//! The provider inside the gateway: answers requests without an account or a network, and fails on request.
//!
//! Takes the place of an upstream: a dialect's bytes in, its bytes out, a given answer for a given request. Decides what
//! such an answer says (`answer`), how it travels (`stream`, `body`) and how it breaks (`fault`); it must not know routing,
//! keys or the ledger. Tests are in `simulator/tests.rs` and beside each room.

mod answer;
mod body;
mod completions;
mod embed;
mod fault;
mod model;
mod prompt;
mod prose;
mod schema;
mod script;
mod stream;
mod tools;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::sleep;
use waypost_core::operation::Operation;
use waypost_wire::Dialect;
use waypost_wire::dialect::ClientDialect;

pub use self::body::{Body, Cut};
use self::body::{End, Piece};
use self::model::Fault;
pub use self::model::Listed;
use self::script::{Play, Script};
use crate::tokens::LONG_TEXT;

/// How long `sim/slow` keeps its first byte.
const SLOW: Duration = Duration::from_secs(5);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// One request to the simulator, as it would go to an upstream.
#[derive(Clone)]
pub struct Call {
    pub operation: Operation,
    /// The dialect of the bodies; smaller operations count as OpenAI chat, but for lists of models.
    pub dialect: Dialect,
    /// That dialect's codec, which also draws the errors.
    pub codec: &'static dyn ClientDialect,
    /// The path; read only for the name of one model (`/v1/models/sim/chat`).
    pub path: String,
    pub body: Bytes,
}

/// What came back. The status is never a lie of transport: a broken connection shows in the body, as [`Cut`].
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

/// The simulator. Its only memory is how often each `sim/flaky-<n>` was called.
pub struct Simulator {
    calls: [AtomicU64; 101],
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    pub fn new() -> Self {
        Self { calls: [const { AtomicU64::new(0) }; 101] }
    }

    /// Answers one request: at once, or, for the models that say so, late or never. The caller's timeouts apply around it,
    /// and dropping the future or the body ends the simulation. The same request gets the same bytes, but for `sim/flaky`.
    /// Long requests are worked on outside the async threads.
    pub async fn answer(&self, call: Call) -> Answer {
        if call.body.len() <= LONG_TEXT {
            let script = script::write(&call);
            return self.perform(&call, script).await;
        }
        let work = call.clone();
        match tokio::task::spawn_blocking(move || script::write(&work)).await {
            Ok(script) => self.perform(&call, script).await,
            Err(_) => refuse(&call, "", 500),
        }
    }

    async fn perform(&self, call: &Call, script: Script) -> Answer {
        match script.fault {
            Some(Fault::Fail(status)) => return refuse(call, &script.id, status),
            Some(Fault::Flaky(percent)) if self.fails_now(percent) => return refuse(call, &script.id, 503),
            Some(Fault::Slow) => sleep(SLOW).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Flaky(_) | Fault::Stall | Fault::Cut | Fault::Garbled | Fault::NoUsage) | None => {}
        }
        let (status, kind, body) = match script.play {
            Play::Refused(status, body) => return answer(call, &script.id, status, JSON, Body::full(body)),
            Play::Whole(body) => (200, JSON, broken_whole(body, script.fault)),
            Play::Stream(pieces, pace) => (200, EVENTS, broken_stream(pieces, pace, script.fault)),
        };
        answer(call, &script.id, status, kind, body)
    }

    /// Of any hundred calls in a row so many fail, spread as evenly as whole numbers allow.
    fn fails_now(&self, percent: u8) -> bool {
        let calls = self.calls.get(usize::from(percent));
        let before = calls.map_or(0, |calls| calls.fetch_add(1, Ordering::Relaxed));
        let failures = |calls: u64| calls.wrapping_mul(u64::from(percent)) / 100;
        failures(before + 1) > failures(before)
    }
}

/// The models worth showing, for `/v1/models` and the documentation.
pub fn listing() -> &'static [Listed] {
    model::LISTING
}

fn refuse(call: &Call, id: &str, status: u16) -> Answer {
    let body = call.codec.encode_error(&fault::refusal(status, id));
    let mut answer = answer(call, id, status, JSON, Body::full(body));
    if status == 429 {
        let wait = HeaderValue::from_static(fault::RETRY_AFTER);
        answer.headers.insert(RETRY_AFTER, wait);
    }
    answer
}

fn broken_whole(body: Bytes, fault: Option<Fault>) -> Body {
    let piece = |bytes| vec![Piece { bytes, paced: false }];
    match fault {
        Some(Fault::Stall) => Body::stream(piece(fault::half(&body)), Duration::ZERO, End::Silence),
        Some(Fault::Cut) => Body::stream(piece(fault::half(&body)), Duration::ZERO, End::Cut),
        Some(Fault::Garbled) => Body::full(fault::half(&body)),
        _ => Body::full(body),
    }
}

fn broken_stream(pieces: Vec<Piece>, pace: Duration, fault: Option<Fault>) -> Body {
    match fault {
        Some(Fault::Stall) => Body::stream(fault::first_half(pieces), pace, End::Silence),
        Some(Fault::Cut) => Body::stream(fault::first_half(pieces), pace, End::Cut),
        Some(Fault::Garbled) => Body::stream(fault::garbled(pieces), pace, End::Clean),
        _ => Body::stream(pieces, pace, End::Clean),
    }
}

fn answer(call: &Call, id: &str, status: u16, kind: &'static str, body: Body) -> Answer {
    let id_header = match call.dialect {
        Dialect::Anthropic => "request-id",
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => "x-request-id",
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(id_header), id);
    }
    Answer { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body }
}
