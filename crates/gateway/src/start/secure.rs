//! The listener's certificate as the configuration names it, and the warning where there should be one. Decides nothing
//! about its files: `serve/tls.rs` does. Tests: `it/tls.rs` and below.

use std::net::SocketAddr;
use std::path::PathBuf;

use waypost_core::config::Server;

use super::StartError;
use crate::serve::{TlsCerts, TlsFiles};

/// The certificate to serve with; `None` where the file asks for none.
pub(super) fn certificate(server: &Server) -> Result<Option<TlsCerts>, StartError> {
    let Some(tls) = &server.tls else { return Ok(None) };
    let files = TlsFiles { cert: PathBuf::from(&tls.cert), key: PathBuf::from(&tls.key) };
    TlsCerts::load(files).map(Some).map_err(|error| StartError::one(error.to_string()))
}

/// Warns if keys and prompts would cross a network as they are.
pub(super) fn warn_of_plain_http(address: SocketAddr, secure: bool) {
    if is_readable_on_the_way(address, secure) {
        tracing::warn!(
            %address,
            "plain HTTP on a network address: keys and prompts can be read on the way; set server.tls, or keep the port \
             behind a proxy that speaks TLS"
        );
    }
}

fn is_readable_on_the_way(address: SocketAddr, secure: bool) -> bool {
    !secure && !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_beyond_this_machine_is_warned_of() {
        let warned = |address: &str| is_readable_on_the_way(address.parse().unwrap(), false);
        for near in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!warned(near), "{near}");
        }
        for far in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "[2001:db8::1]:1"] {
            assert!(warned(far), "{far}");
            assert!(!is_readable_on_the_way(far.parse().unwrap(), true), "{far}");
        }
    }
}
