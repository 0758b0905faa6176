//! The listener's certificate: read from its files, and read again when they change, under open connections.
//! Decides which protocols are offered; knows no request. Tests: `tests/it/tls.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::jobs::Jobs;

/// How often the files are looked at.
pub const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Certificate files have a few kilobytes; what is larger is something else.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate, then those that lead to its authority.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// The certificate the listener shows. Clones are the same one: a [`TlsCerts::reload`] of any is seen by the next
/// handshake, and by no connection that is open already.
#[derive(Clone)]
pub struct TlsCerts {
    shown: Arc<Shown>,
    acceptor: TlsAcceptor,
}

/// Why a certificate cannot be used; one line that names the setting, the file, the reason and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    setting: &'static str,
    file: PathBuf,
    reason: String,
    fix: &'static str,
}

impl TlsCerts {
    /// Reads the files. Fails if one cannot be read, holds something else, or if the key is not the certificate's.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(Loaded::read(files)?)));
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&shown)?));
        Ok(Self { shown, acceptor })
    }

    /// Reads the same files again. On an error the certificate that was there stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.shown.0.load().files.clone();
        self.point_at(files)
    }

    /// Reads other files from now on, as when the configuration names new ones. On an error all stays as it was.
    pub fn point_at(&self, files: TlsFiles) -> Result<(), TlsError> {
        self.shown.0.store(Arc::new(Loaded::read(files)?));
        Ok(())
    }

    /// Looks at the files every `every` and reloads when one changed, until `jobs` stop. A broken new file is a
    /// warning, and the next change another chance.
    pub async fn watch(self, every: Duration, jobs: Jobs) {
        let mut seen = self.shown.0.load().stamp;
        loop {
            tokio::select! {
                () = jobs.stopping() => return,
                () = tokio::time::sleep(every) => {}
            }
            let certs = self.clone();
            // A file system may hang; that must not hold up a worker.
            seen = tokio::task::spawn_blocking(move || certs.look(seen)).await.unwrap_or(seen);
        }
    }

    fn look(&self, seen: Stamp) -> Stamp {
        let loaded = self.shown.0.load_full();
        let now = Stamp::of(&loaded.files);
        if now == seen || now == loaded.stamp {
            return now;
        }
        match self.reload() {
            Ok(()) => tracing::info!(file = %loaded.files.cert.display(), "the renewed certificate is in use"),
            Err(error) => tracing::warn!(%error, "the certificate changed and cannot be used; the old one stays"),
        }
        now
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// What handshakes are answered with at this moment.
#[derive(Debug)]
struct Shown(ArcSwap<Loaded>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

#[derive(Debug)]
struct Loaded {
    files: TlsFiles,
    /// Of the files before they were read, so that a change during the reading is seen later.
    stamp: Stamp,
    certified: Arc<CertifiedKey>,
}

impl Loaded {
    fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let stamp = Stamp::of(&files);
        let chain = chain(&files.cert)?;
        let key = private_key(&files.key)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
            let fix = "give the key that the certificate was issued for";
            TlsError::at(
                "server.tls.key",
                &files.key,
                format!("it does not go with {}: {error}", files.cert.display()),
                fix,
            )
        })?;
        Ok(Self { files, stamp, certified: Arc::new(certified) })
    }
}

/// What tells a changed file: length and time of the last change, through links, of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([Option<(u64, SystemTime)>; 2]);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        let of = |file: &Path| {
            let found = std::fs::metadata(file).ok()?;
            Some((found.len(), found.modified().ok()?))
        };
        Self([of(&files.cert), of(&files.key)])
    }
}

fn server_config(shown: &Arc<Shown>) -> Result<ServerConfig, TlsError> {
    let crypto: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Shown>::clone(shown);
    let builder =
        ServerConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().map_err(|error| {
            let fix = "this is a fault of the build; report it";
            TlsError::at("server.tls", Path::new("TLS"), error.to_string(), fix)
        })?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| {
        let fix = "give a PEM file that begins with the certificate (-----BEGIN CERTIFICATE-----)";
        TlsError::at("server.tls.cert", file, reason, fix)
    };
    let pem = content(file).map_err(wrong)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| wrong(format!("it is not PEM: {error}")))?;
    if chain.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(chain) }
}

/// What was wrong with a key file is told without a byte of it.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |reason: String| {
        let fix = "give a PEM file with the unencrypted private key (-----BEGIN PRIVATE KEY-----)";
        TlsError::at("server.tls.key", file, reason, fix)
    };
    let pem = content(file).map_err(wrong)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| wrong("it holds no private key in PEM".to_owned()))
}

fn content(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    if std::fs::metadata(file).map_err(unreadable)?.len() > LARGEST_FILE {
        return Err("it is too large for a certificate or key".to_owned());
    }
    std::fs::read(file).map_err(unreadable)
}

impl TlsError {
    fn at(setting: &'static str, file: &Path, reason: String, fix: &'static str) -> Self {
        Self { setting, file: file.to_owned(), reason, fix }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}; {}", self.setting, self.file.display(), self.reason, self.fix)
    }
}

impl std::error::Error for TlsError {}
