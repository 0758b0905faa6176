//! How the gateway listens.

use schemars::JsonSchema;
use serde::Deserialize;

use super::cors::Cors;
use super::tls::Tls;
use super::values::{Span, bounded, span_or_zero};

/// How the gateway listens.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address to listen on: an IP address or `localhost`. `0.0.0.0` or `::` opens the gateway to the network.
    pub host: String,
    /// The port to listen on. 0 takes any free one.
    #[serde(deserialize_with = "bounded::<_, _, 0, 65_535>")]
    pub port: u16,
    /// Serve HTTPS (TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1) instead of plain HTTP.
    pub tls: Option<Tls>,
    pub cors: Cors,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` headers are believed: addresses and networks (`10.0.0.0/8`). Nobody's by
    /// default. Where a proxy stands before the gateway, only this tells callers apart.
    pub trusted_proxies: Vec<String>,
    /// The largest request body in bytes; larger ones are answered with 413.
    #[serde(deserialize_with = "bounded::<_, _, 1024, 1_073_741_824>")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: u64,
    /// The most connections open at once; further ones wait.
    #[serde(deserialize_with = "bounded::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// The most requests answered at once, over all connections; further ones are told to come back (503) at once.
    #[serde(deserialize_with = "bounded::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: u32,
    /// How long a client may take to send its request head.
    pub head_timeout: Span,
    /// How long requests are still served after the order to stop, while readiness is already false: time for a load
    /// balancer to look elsewhere. `0s` by default.
    #[serde(deserialize_with = "span_or_zero")]
    pub drain_delay: Span,
    /// How long requests in flight may go on after that. A stream that takes longer is ended with an error event.
    pub shutdown_grace: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3000,
            tls: None,
            cors: Cors::default(),
            trusted_proxies: Vec::new(),
            max_body_bytes: 26_214_400,
            max_connections: 10_000,
            max_requests: 10_000,
            head_timeout: Span::seconds(10),
            drain_delay: Span::ZERO,
            shutdown_grace: Span::seconds(30),
        }
    }
}
