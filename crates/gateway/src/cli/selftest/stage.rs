//! A gateway on a loopback port with a configuration of its own, and a client of it. Built as `start` builds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use waypost_core::config::{Config, Format};
use waypost_core::health::States;
use waypost_core::snapshot::compile;

use crate::app::{App, Live, Parts};
use crate::http::answer;
use crate::http::reply::JSON;
use crate::jobs::Jobs;
use crate::records::Records;
use crate::serve::{Edge, Limits};
use crate::upstream::{
    HttpTransport, Origin, OutBody, Outgoing, PoolSettings, Target, Timeouts, TlsProfile, Transport,
};

const KEY: &str = "wp-selftest-0123456789";
const BEARER: HeaderValue = HeaderValue::from_static("Bearer wp-selftest-0123456789");
/// The largest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

pub(super) struct Stage {
    origin: Arc<Origin>,
    client: HttpTransport,
}

/// An answer as a caller got it.
pub(super) struct Heard {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Stage {
    /// A gateway with these settings and channels (YAML), as long as the jobs live.
    pub(super) async fn open(jobs: &Jobs, settings: &str, channels: &[String]) -> Result<Self, String> {
        let yaml = format!("keys: [{{name: selftest, key: {KEY}}}]\n{settings}\nchannels:\n{}", channels.concat());
        let error = |error: &dyn std::fmt::Display| format!("the gateway did not start: {error}");
        let config = Config::parse(&yaml, Format::Yaml, "selftest", &|_| None);
        let config = config.map_err(|errors| errors.first().map_or_else(String::new, |first| error(first)))?;
        let states = States::default();
        let snapshot = compile(&config, &states);
        let snapshot = snapshot.map_err(|errors| errors.first().map_or_else(String::new, |first| error(first)))?;
        let live = Live::new(snapshot).map_err(|bad| error(&bad))?;
        let transport = Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone()));
        let (limits, records) = (Limits::default(), Records::new().0);
        let app = Arc::new(App::new(Parts {
            live,
            states,
            transport,
            records,
            limits: limits.clone(),
            store: None,
            money: None,
            entropy: 1,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|bad| error(&bad))?;
        let address = listener.local_addr().map_err(|bad| error(&bad))?;
        let edge = Edge::new(limits, jobs.clone());
        jobs.spawn("accept loop", async move {
            edge.serve(listener, move |request, peer| answer(Arc::clone(&app), request, peer)).await;
        });
        let origin = Origin::parse(&format!("http://{address}"), TlsProfile::Public).map_err(|bad| error(&bad))?;
        Ok(Self { origin: Arc::new(origin), client: HttpTransport::new(PoolSettings::default(), jobs.clone()) })
    }

    /// Posts JSON and reads the answer to its end.
    pub(super) async fn post(&self, path: &str, body: &'static str) -> Result<Heard, String> {
        let target = Target::at(Arc::clone(&self.origin), path).map_err(|error| error.to_string())?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, BEARER), (CONTENT_TYPE, JSON)]);
        let body = OutBody::Full(Bytes::from_static(body.as_bytes()));
        let outgoing = Outgoing { method: Method::POST, target, headers, body };
        let timeouts = Timeouts::until(Instant::now() + Duration::from_secs(4));
        let lost = |failure| format!("the gateway did not answer: {failure}");
        let answer = self.client.send(outgoing, timeouts).await.map_err(lost)?;
        let body = answer.body.collect(MAX_ANSWER).await.map_err(lost)?;
        Ok(Heard { status: answer.status.as_u16(), headers: answer.headers, body })
    }
}

/// A channel that serves the model `m`, as a YAML list item.
pub(super) fn channel(name: &str, url: &str, more: &str) -> String {
    let key = if more.contains("api_keys") { "" } else { "api_key: k1, " };
    format!(
        "- {{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{url}', {key}models: [m], {more}}}\n"
    )
}
