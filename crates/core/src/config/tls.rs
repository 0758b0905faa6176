//! The certificate of the listener, as the file names it. Knows no file's content: the gateway reads and watches it.
//! Tests: `config/tests.rs`; what the files hold: the gateway's `it/tls.rs`.

use schemars::JsonSchema;
use serde::Deserialize;

/// The certificate the gateway shows, and its key. Both files are watched: a renewed certificate is taken over within
/// seconds, without a restart and without touching open connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificate, and after it those that lead to its authority. A relative path starts where
    /// Waypost was started.
    pub cert: String,
    /// A PEM file with the private key of the certificate: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: String,
}
