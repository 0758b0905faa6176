//! `waypost health`: asks a running gateway whether it is ready; made for health checks of containers and supervisors.
//! Exit code 0 if it is, 1 if it is there and not ready, 2 if nobody answers. Tests: `it/cli.rs`.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::print::say;
use crate::jobs::Jobs;
use crate::upstream::{
    Failure, HttpTransport, Origin, OutBody, Outgoing, PoolSettings, Target, Timeouts, TlsOptions, TlsProfile,
    Transport as _,
};

/// How long the gateway may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// Whom to ask, and how that is told.
#[derive(Args, Clone, Debug)]
pub struct Health {
    /// Where the gateway listens [default: http://127.0.0.1 and the port].
    #[arg(long, env = "WAYPOST_URL")]
    url: Option<String>,
    /// The port on this machine, where no URL is given.
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
    /// Accept any certificate; only for a gateway on this machine.
    #[arg(long)]
    insecure: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a gateway says of itself.
struct Said {
    ready: bool,
    status: u16,
    summary: Value,
}

/// Asks, prints one line, and gives the exit code. An error if the address is none.
pub async fn run(wanted: &Health) -> Result<ExitCode, String> {
    let url = wanted.url.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", wanted.port));
    let origin = origin(&url, wanted.insecure)?;
    let began = Instant::now();
    let heard = ask(&origin).await;
    let took = began.elapsed();
    if wanted.json {
        say(&shown(&url, &heard, took).to_string());
    } else {
        say(&line(&url, &heard, took));
    }
    Ok(ExitCode::from(match heard {
        Ok(Said { ready: true, .. }) => 0,
        Ok(_) => 1,
        Err(_) => 2,
    }))
}

/// The gateway at this address.
pub(super) fn origin(url: &str, insecure: bool) -> Result<Arc<Origin>, String> {
    let bad = || format!("--url: `{url}` is no http or https URL");
    let local = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(is_loopback)).ok_or_else(bad)?;
    if insecure && !local {
        return Err("--insecure: only for a gateway on this machine, such as https://127.0.0.1:3000".to_owned());
    }
    let tls = if insecure {
        let options = TlsOptions { extra_roots: Vec::new(), verify: false };
        TlsProfile::own(&options).map_err(|error| error.to_string())?
    } else {
        TlsProfile::Public
    };
    // Whoever names an address here may know it, wherever it is.
    Ok(Arc::new(Origin::parse(url, tls).map_err(|_| bad())?.allow_private(true)))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why there is nothing to tell.
enum Unheard {
    Failure(Failure),
    NotWaypost(u16),
}

async fn ask(origin: &Arc<Origin>) -> Result<Said, Unheard> {
    let transport = HttpTransport::new(PoolSettings::default(), Jobs::new());
    let (status, ready) = get(&transport, origin, "/health/ready").await?;
    let ready = ready.get("ready").and_then(Value::as_bool).ok_or(Unheard::NotWaypost(status))?;
    let (_, summary) = get(&transport, origin, "/health").await?;
    Ok(Said { ready, status, summary })
}

async fn get(transport: &HttpTransport, origin: &Arc<Origin>, path: &str) -> Result<(u16, Value), Unheard> {
    let target = Target::at(Arc::clone(origin), path).map_err(|_| Unheard::Failure(Failure::BadHead))?;
    let outgoing = Outgoing { method: Method::GET, target, headers: HeaderMap::new(), body: OutBody::empty() };
    let timeouts = Timeouts::until(Instant::now() + PATIENCE);
    let answer = transport.send(outgoing, timeouts).await.map_err(Unheard::Failure)?;
    let body = answer.body.collect(MAX_ANSWER).await.map_err(Unheard::Failure)?;
    Ok((answer.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
}

fn line(url: &str, heard: &Result<Said, Unheard>, took: Duration) -> String {
    match heard {
        Ok(said) => {
            let word = if said.ready { "ready" } else { "not ready" };
            let number = |key: &str| said.summary.get(key).and_then(Value::as_u64).unwrap_or_default();
            let version = said.summary.get("version").and_then(Value::as_str).unwrap_or("?");
            let (healthy, total) = (number("healthy"), number("total"));
            let status = said.summary.get("status").and_then(Value::as_str).unwrap_or("?");
            let millis = took.as_millis();
            format!("{word}: {url} is {status}, version {version}, {healthy} of {total} channels are well, {millis} ms")
        }
        Err(reason) => format!("not reachable: {url}: {reason}"),
    }
}

fn shown(url: &str, heard: &Result<Said, Unheard>, took: Duration) -> Value {
    match heard {
        Ok(said) => json!({
            "url": url, "reachable": true, "ready": said.ready, "http_status": said.status,
            "latency_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "health": said.summary,
        }),
        Err(reason) => json!({ "url": url, "reachable": false, "ready": false, "error": reason.to_string() }),
    }
}

impl std::fmt::Display for Unheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(Failure::Tls) => f.write_str(
                "the TLS handshake failed; for a certificate of your own on this machine there is --insecure",
            ),
            Self::Failure(failure) => write!(f, "{}", failure.to_string().replace("upstream", "gateway")),
            Self::NotWaypost(status) => write!(f, "something else answers there, with status {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_certificate_is_accepted_on_this_machine_only() {
        for url in ["https://127.0.0.1:1", "https://localhost", "https://[::1]:1", "https://127.9.9.9"] {
            assert!(origin(url, true).is_ok(), "{url}");
        }
        for url in ["https://192.168.0.1", "https://gateway.example", "https://localhost.example"] {
            assert!(origin(url, true).is_err(), "{url}");
            assert!(origin(url, false).is_ok(), "{url}");
        }
        assert!(origin("127.0.0.1:3000", false).is_err());
    }
}
