//! A running gateway, as commands that change it talk to it: over HTTP, with a token. Knows no noun. Tests: `it/manage/command.rs`.

use std::time::Duration;

use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use tokio::time::Instant;

use super::health;
use crate::jobs::Jobs;
use crate::upstream::{HttpTransport, OutBody, Outgoing, PoolSettings, Target, Timeouts, Transport as _};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const MAX_ANSWER: u64 = 64 << 20;
/// No list has more pages.
const MOST_PAGES: usize = 10_000;

/// Where a gateway is, and what opens it.
#[derive(Args, Clone, Debug)]
pub(super) struct Remote {
    /// Where the gateway listens [default: http://127.0.0.1 and the port].
    #[arg(long, env = "WAYPOST_URL")]
    url: Option<String>,
    /// The port on this machine, where no URL is given.
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
    /// The admin token, or the access token of a session.
    #[arg(long, env = "WAYPOST_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Accept any certificate; only for a gateway on this machine.
    #[arg(long)]
    insecure: bool,
}

impl Remote {
    /// One call; gives the answer's body. A change is made whatever the version is.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        let url = self.url.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", self.port));
        let origin = health::origin(&url, self.insecure)?;
        let target = Target::at(origin, path).map_err(|_| format!("`{path}` is no path"))?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
        let body = body.map_or_else(OutBody::empty, |body| OutBody::Full(body.to_string().into()));
        let outgoing = Outgoing { method, target, headers: self.headers()?, body };
        let transport = HttpTransport::new(PoolSettings::default(), Jobs::new());
        let unreachable = |failure: crate::upstream::Failure| {
            format!("not reachable: {url}: {}", failure.to_string().replace("upstream", "gateway"))
        };
        let answer = transport.send(outgoing, Timeouts::until(Instant::now() + PATIENCE)).await.map_err(unreachable)?;
        let status = answer.status;
        let bytes = answer.body.collect(MAX_ANSWER).await.map_err(unreachable)?;
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(said);
        }
        let why = said.pointer("/error/message").and_then(Value::as_str).unwrap_or("something else answers there");
        Err(format!("{} {}: {why}", status.as_u16(), path))
    }

    /// All of a list as one page: the first, with what the others have under this name. The path has a question mark.
    pub(super) async fn all(&self, name: &str, path: &str) -> Result<Value, String> {
        let mut whole = self.ask("GET", path, None).await?;
        for _ in 1..MOST_PAGES {
            let Some(next) = whole["next"].as_str() else { break };
            let mut page = self.ask("GET", &format!("{path}&after={next}"), None).await?;
            if let (Some(all), Some(more)) = (whole[name].as_array_mut(), page[name].as_array_mut()) {
                all.append(more);
            }
            whole["next"] = page["next"].take();
        }
        Ok(whole)
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let token = self.token.as_deref().ok_or("--token: give the admin token, or set WAYPOST_ADMIN_TOKEN")?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "--token: a token is made of visible characters")?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IF_MATCH, HeaderValue::from_static("*"));
        Ok(headers)
    }
}

/// A text of an answer; nothing if it has none.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
