//! What the edge grants a connection. Pure values; tests of their effect: `tests/it/edge.rs`.

use std::time::Duration;

/// Limits of the edge. `Default` is safe to expose to the internet.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the accept to the first complete request head, and from the first byte of a later HTTP/1 head to its end.
    pub head_timeout: Duration,
    /// The longest silence while a request body is awaited.
    pub body_idle_timeout: Duration,
    /// Slowest average of a request body, in bytes per second, once `body_grace` has passed.
    pub body_min_rate: u64,
    /// How long a request body may be slower than `body_min_rate`.
    pub body_grace: Duration,
    /// The longest a single write of an answer may make no progress: after it a reader counts as gone.
    pub write_timeout: Duration,
    /// How long a connection may stay open between requests. `None`: as long as the peer wants.
    pub keep_alive_idle: Option<Duration>,
    /// How long a connection without a request is kept open after the order to drain: a request that is on its way then
    /// is told that this instance stops, rather than reset.
    pub drain_idle: Duration,
    /// Bytes of a request head: target, names and values, with four more for each field.
    pub max_head_bytes: usize,
    /// Bytes of the request target.
    pub max_uri_bytes: usize,
    /// Bytes of a request body, declared or counted.
    pub max_body_bytes: u64,
    /// Connections open at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Requests answered at a time, on all connections together; more are refused.
    pub max_requests: usize,
    /// HTTP/2 requests at a time on one connection.
    pub h2_max_streams: u32,
    /// HTTP/2 header list, in bytes as RFC 9113 section 6.5.2 counts them.
    pub h2_max_header_list: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            body_min_rate: 1024,
            body_grace: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            keep_alive_idle: Some(Duration::from_secs(60)),
            drain_idle: Duration::from_millis(500),
            max_head_bytes: 64 * 1024,
            max_uri_bytes: 8 * 1024,
            max_body_bytes: 25 * 1024 * 1024,
            max_connections: 50_000,
            max_requests: 10_000,
            h2_max_streams: 100,
            h2_max_header_list: 32 * 1024,
        }
    }
}
