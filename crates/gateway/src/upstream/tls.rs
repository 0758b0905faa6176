//! TLS towards upstreams: rustls with ring and the Mozilla roots. Never connects. Tests: `tests/it/transport.rs`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How an origin's certificate is judged. Profiles are equal when they are the same one.
#[derive(Clone)]
pub enum TlsProfile {
    /// By the public certificate authorities.
    Public,
    /// By settings of its own.
    Own(Arc<ClientConfig>),
}

/// Settings of a profile of its own.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Certificate authorities trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// `false` accepts any certificate: for a laboratory, never for the internet.
    pub verify: bool,
}

impl TlsProfile {
    /// A profile with its own settings. Build it once per origin: connections are shared within one profile.
    /// Fails if an extra root is not a certificate.
    pub fn own(options: &TlsOptions) -> Result<Self, rustls::Error> {
        Ok(Self::Own(Arc::new(client_config(options)?)))
    }

    /// The settings to connect with; `None` only if the crypto provider refused its own defaults.
    pub(super) fn config(&self) -> Option<Arc<ClientConfig>> {
        static PUBLIC: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| {
            let options = TlsOptions { extra_roots: Vec::new(), verify: true };
            client_config(&options).ok().map(Arc::new)
        });
        match self {
            Self::Public => PUBLIC.clone(),
            Self::Own(config) => Some(Arc::clone(config)),
        }
    }
}

fn client_config(options: &TlsOptions) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in &options.extra_roots {
        roots.add(root.clone())?;
    }
    let crypto = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto)).with_safe_default_protocol_versions()?;
    let mut config = if options.verify {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto))).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes every certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl PartialEq for TlsProfile {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public, Self::Public) => true,
            (Self::Own(one), Self::Own(two)) => Arc::ptr_eq(one, two),
            (Self::Public, Self::Own(_)) | (Self::Own(_), Self::Public) => false,
        }
    }
}

impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::Own(_) => "Own",
        })
    }
}
