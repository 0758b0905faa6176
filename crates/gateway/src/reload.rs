//! Takes a changed configuration into use: read, compiled and swapped as a whole, or not at all. Whatever caused it (a changed
//! file, SIGHUP, an order from the admin API) goes through one job, so that reloads never overlap.
//!
//! Knows no format and no place: a [`Source`] does. Tests: `it/reload.rs`, `it/reload_storm.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use waypost_core::config::{Alerts, Config, Database, Identity, Ledger, Logging, Secrets, Server, Telemetry};
use waypost_core::snapshot::compile;

use crate::app::{App, Live};
use crate::jobs::Jobs;

/// How often files are looked at. A change counts when two looks in a row saw the same, so that none is read half-written.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where the configuration comes from, again and again.
pub trait Source: Send + 'static {
    /// Reads it as it is now; every mistake is a line that says file, place, key, reason and fix.
    fn load(&mut self) -> Result<Config, Vec<String>>;

    /// The files and directories whose change is worth a reload, as they were just before they were read last.
    fn watch(&mut self) -> Watch {
        Watch::default()
    }

    /// What was loaded last has been taken into use.
    fn taken(&mut self) {}
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Seconds since 1970.
    pub at: u64,
    /// What caused it: `file`, `signal`, `order`, `discovery` or `database`; `start` for the first one.
    pub trigger: &'static str,
    /// Why the old configuration is still in use; empty if it is not.
    pub errors: Vec<String>,
    /// What is in use, but worth a look.
    pub warnings: Vec<String>,
    /// What has changed and needs a restart.
    pub restart: Vec<&'static str>,
    /// How often a configuration was taken into use, this one included.
    pub generation: u64,
    /// How many reloads were refused since the start.
    pub refused: u64,
}

impl Report {
    /// The report of a start that went well.
    pub fn start(at: u64, warnings: Vec<String>) -> Self {
        Self { at, trigger: "start", errors: Vec::new(), warnings, restart: Vec::new(), generation: 1, refused: 0 }
    }

    /// Was the configuration taken into use?
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The way to order a reload. Clones lead to the same job.
#[derive(Clone, Default)]
pub struct Orders {
    way: Arc<Mutex<Option<mpsc::Sender<oneshot::Sender<Report>>>>>,
    news: Arc<Notify>,
    catalog: Arc<Notify>,
}

impl Orders {
    /// Says that models were discovered, which are part of the configuration.
    pub fn tell_news(&self) {
        self.news.notify_one();
    }

    /// Says that the catalog was read anew.
    pub fn tell_catalog(&self) {
        self.catalog.notify_one();
    }

    /// Orders a reload and waits for what comes of it; `None` if nothing here reloads.
    pub async fn reload(&self) -> Option<Report> {
        let orders = self.way.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, report) = oneshot::channel();
        orders.send(answer).await.ok()?;
        report.await.ok()
    }
}

/// Reloads on every cause until the jobs are told to stop.
pub async fn run(app: Arc<App>, mut source: Box<dyn Source>, fixed: Fixed, jobs: Jobs) {
    let (sender, mut orders) = mpsc::channel(16);
    *app.reloads.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    let mut signal = Hangup::listen();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = source.watch();
    let mut reloading = Reloading { app: &app, source, fixed };
    loop {
        let (trigger, answer) = tokio::select! {
            () = jobs.stopping() => return,
            () = signal.next() => ("signal", None),
            Some(answer) = orders.recv() => ("order", Some(answer)),
            () = app.reloads.news.notified() => ("discovery", None),
            () = app.reloads.catalog.notified() => ("database", None),
            _ = look.tick() => {
                if !watch.has_settled() {
                    continue;
                }
                ("file", None)
            }
        };
        let report = reloading.reload(trigger);
        watch = reloading.source.watch();
        if matches!(trigger, "signal" | "order") {
            app.discovery.ask_now();
        }
        if let Some(answer) = answer {
            // Whoever asked may have left.
            let _ = answer.send(report);
        }
    }
}

struct Reloading<'a> {
    app: &'a App,
    source: Box<dyn Source>,
    fixed: Fixed,
}

impl Reloading<'_> {
    fn reload(&mut self, trigger: &'static str) -> Report {
        let before = self.app.last_reload();
        let mut report = Report {
            at: self.app.unix_seconds(),
            trigger,
            errors: Vec::new(),
            warnings: Vec::new(),
            restart: Vec::new(),
            generation: before.generation,
            refused: before.refused,
        };
        match self.source.load().and_then(|config| {
            let now = Fixed::of(&config);
            self.app.take(config).map(|warnings| (now, warnings))
        }) {
            Ok((now, warnings)) => {
                self.source.taken();
                report.generation += 1;
                report.warnings = warnings;
                report.restart = self.fixed.restart(&now);
                for key in &report.restart {
                    tracing::warn!(key, "the setting has changed, which needs a restart");
                }
                tracing::info!(trigger, generation = report.generation, "the configuration was taken into use");
            }
            Err(errors) => {
                report.refused += 1;
                for error in &errors {
                    tracing::error!(trigger, %error, "the changed configuration is wrong; the old one stays in use");
                }
                report.errors = errors;
            }
        }
        self.app.note_reload(report.clone());
        report
    }
}

/// What holds from the start to the end.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    server: Server,
    database: Database,
    secrets: Secrets,
    telemetry: Telemetry,
    logging: Logging,
    identity: Identity,
    ledger: Ledger,
    alerts: Alerts,
}

impl Fixed {
    /// What a configuration says of it.
    pub fn of(config: &Config) -> Self {
        Self {
            server: config.server.clone(),
            database: config.database.clone(),
            secrets: config.secrets.clone(),
            telemetry: config.telemetry.clone(),
            logging: config.logging.clone(),
            identity: config.identity.clone(),
            ledger: config.ledger.clone(),
            alerts: config.alerts.clone(),
        }
    }

    /// What has changed that a running gateway cannot follow.
    fn restart(&self, now: &Self) -> Vec<&'static str> {
        let (server, changed) = (&self.server, &now.server);
        let changes = [
            ("server.host", server.host != changed.host),
            ("server.port", server.port != changed.port),
            ("server.max_body_bytes", server.max_body_bytes != changed.max_body_bytes),
            ("server.max_connections", server.max_connections != changed.max_connections),
            ("server.max_requests", server.max_requests != changed.max_requests),
            ("server.head_timeout", server.head_timeout != changed.head_timeout),
            ("server.tls", server.tls != changed.tls),
            ("server.drain_delay", server.drain_delay != changed.drain_delay),
            ("server.shutdown_grace", server.shutdown_grace != changed.shutdown_grace),
            ("database", self.database != now.database),
            ("secrets", self.secrets != now.secrets),
            ("telemetry", self.telemetry != now.telemetry),
            ("logging", self.logging != now.logging),
            ("identity", self.identity != now.identity),
            ("ledger", self.ledger != now.ledger),
            ("alerts", self.alerts != now.alerts),
        ];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

impl App {
    /// Compiles a configuration, with what was discovered, and takes it into use; requests in flight keep the one they began with. Gives warnings, or
    /// every reason why it cannot be used, in which case nothing has changed.
    pub fn take(&self, mut config: Config) -> Result<Vec<String>, Vec<String>> {
        self.discovery.add_to(&mut config);
        let snapshot = compile(&config, &self.states)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let warnings = snapshot.warnings.iter().map(ToString::to_string).collect();
        let live = Live::new(snapshot).map_err(|_| {
            vec!["a channel's base_url is not an http or https URL; write it as https://host/path".into()]
        })?;
        self.replace(live);
        Ok(warnings)
    }
}

// === watching files ===

/// What files looked like at two looks.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    watched: Vec<PathBuf>,
    /// As they were when the configuration was last read.
    known: Vec<Look>,
    /// As they were at the last look, if that was different.
    changed: Option<Vec<Look>>,
}

/// Enough of a file to notice that it changed: size, time and, where there is one, its number.
type Look = Option<(u64, Option<SystemTime>, u64)>;

impl Watch {
    /// As they are now.
    pub fn new(watched: Vec<PathBuf>) -> Self {
        let known = looks(&watched);
        Self { watched, known, changed: None }
    }

    /// Has something changed, and stayed as it is since the last look?
    fn has_settled(&mut self) -> bool {
        let now = looks(&self.watched);
        if now == self.known {
            self.changed = None;
            return false;
        }
        let settled = self.changed.as_ref() == Some(&now);
        self.changed = Some(now);
        settled
    }
}

/// A directory counts with everything directly in it.
fn looks(watched: &[PathBuf]) -> Vec<Look> {
    let mut looks = Vec::with_capacity(watched.len());
    for path in watched {
        looks.push(look(path));
        let mut inside: Vec<_> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        inside.sort();
        looks.extend(inside.iter().map(|path| look(path)));
    }
    looks
}

fn look(path: &Path) -> Look {
    let about = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&about);
    #[cfg(not(unix))]
    let number = 0;
    Some((about.len(), about.modified().ok(), number))
}

// === the signal ===

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn listen() -> Self {
        #[cfg(unix)]
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        #[cfg(unix)]
        return Self { signal };
        #[cfg(not(unix))]
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
