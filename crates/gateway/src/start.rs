//! From arguments and environment to a serving gateway, and back to an end. Says what it does on standard error; the
//! access log goes to standard output. Tests: `it/start.rs`, against the built binary.

mod arguments;
mod boot;
mod database;
mod end;
mod outlets;
mod people;
mod secure;

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use waypost_core::health::States;

use self::arguments::Command;
use self::boot::{Booted, boot, tell};
use self::end::{Patience, end};
use self::outlets::{access_log, captures, log_level, log_style, log_to_stderr, logbook, room, tracer};
use self::secure::{certificate, warn_of_plain_http};
use crate::app::{App, Live, Parts};
use crate::background::Background;
use crate::callers::Callers;
use crate::cli::test::Testing;
use crate::cli::{
    self, admin, alerts, audit, budgets, channels, credentials, credits, deployments, export, gateway, health, import,
    invites, keys, logs, migrate, mock, plans, prices, secrets, security, selftest, sessions, teams, test, usage,
    users, vouchers,
};
use crate::clock::unix_millis;
use crate::config_cli::{Look, look};
use crate::config_sources::{ConfigSource, Found};
use crate::http;
use crate::jobs::Jobs;
use crate::ledger;
use crate::limits::today;
use crate::probe;
use crate::records::{self, Outlets, Records};
use crate::reload::{self, Fixed, Report};
use crate::security::keep;
use crate::serve::{Edge, Limits, Signals, WATCH_EVERY};
use crate::upstream::{HttpTransport, PoolSettings};

pub use self::arguments::Arguments;

/// Why the gateway did not start or did not end well; one line a cause, fit for the person who started it.
#[derive(Debug)]
pub struct StartError(Vec<String>);

impl StartError {
    fn one(message: impl Into<String>) -> Self {
        Self(vec![message.into()])
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Does what the arguments say, until a signal ends it.
pub async fn run(arguments: Arguments) -> Result<ExitCode, StartError> {
    match &arguments.command {
        Some(Command::Config { look }) => print(look, &arguments).await?,
        Some(Command::Check(wanted)) => print(&Look::Check(wanted.clone()), &arguments).await?,
        Some(Command::Schema) => print(&Look::Schema, &arguments).await?,
        Some(Command::Test(Testing::Channels(wanted))) => {
            let found = ConfigSource::new(arguments.wanted(), random()?).find().map_err(StartError)?;
            return test::run(&found.loaded.config, wanted).await.map_err(StartError);
        }
        Some(Command::Audit(wanted)) => return audit::run(wanted, arguments.wanted()).await.map_err(StartError),
        Some(Command::Migrate(wanted)) => migrate::run(wanted, arguments.wanted()).await.map_err(StartError)?,
        Some(Command::Import(wanted)) => import::run(wanted, arguments.wanted()).await.map_err(StartError)?,
        Some(Command::Export(wanted)) => export::run(wanted, arguments.wanted()).await.map_err(StartError)?,
        Some(Command::Secrets(wanted)) => secrets::run(wanted, arguments.wanted()).await.map_err(StartError)?,
        Some(Command::Ledger(wanted)) => return cli::ledger::run(wanted, arguments.wanted()).await.map_err(StartError),
        Some(Command::Health(wanted)) => return health::run(wanted).await.map_err(StartError::one),
        Some(Command::Selftest(wanted)) => return Ok(selftest::run(wanted).await),
        Some(Command::Keys(wanted)) => keys::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Prices(wanted)) => prices::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Users(wanted)) => users::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Invites(wanted)) => invites::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Teams(wanted)) => teams::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Plans(wanted)) => plans::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Credits(wanted)) => credits::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Vouchers(wanted)) => vouchers::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Budgets(wanted)) => budgets::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Usage(wanted)) => usage::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Logs(wanted)) => logs::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Sessions(wanted)) => sessions::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Channels(wanted)) => channels::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Credentials(wanted)) => credentials::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Deployments(wanted)) => deployments::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Security(wanted)) => security::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Gateway(wanted)) => gateway::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Alerts(wanted)) => alerts::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Captures(wanted)) => cli::captures::run(wanted).await.map_err(StartError::one)?,
        Some(Command::Admin(call)) => admin::run(call).await.map_err(StartError::one)?,
        Some(Command::Mock(wanted)) => return mock::run(wanted).await.map_err(StartError::one),
        None => serve(&arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn print(what: &Look, arguments: &Arguments) -> Result<(), StartError> {
    say(&look(what, arguments.wanted(), random()?).await.map_err(StartError)?);
    Ok(())
}

async fn serve(arguments: &Arguments) -> Result<(), StartError> {
    let said = arguments.logging().map_err(StartError)?;
    let mut source = ConfigSource::new(arguments.wanted(), random()?);
    let background = Background::start()
        .map_err(|error| StartError::one(format!("the thread for the background cannot start: {error}")))?;
    let opened = database::prepare(&mut source, &background, unix_millis()).await?;
    let states = States::default();
    let Booted { found, snapshot, mistakes } = boot(&mut source, &states).map_err(StartError)?;
    let logging = &found.loaded.config.logging;
    let style = log_style(&said, logging);
    log_to_stderr(style, &log_level(&said, logging))?;
    tell(&found, &snapshot, &mistakes);
    opened.tell();
    if mistakes.is_empty() {
        source.keep();
    }
    let warnings = snapshot.warnings.iter().map(ToString::to_string).collect();
    let settings = found.loaded.config.server.clone();
    let store = opened.store.clone();
    let live = Live::new(snapshot).map_err(|_| StartError::one("a channel's base_url is not an http or https URL"))?;

    let money = opened.money(&found.loaded.config, u128::from_le_bytes(random()?)).await?;
    let jobs = Jobs::new();
    let behind = jobs.on(background.runtime());
    ledger::run(&money, &behind);
    let (records, inbox) = Records::new();
    let limits = Limits {
        max_body_bytes: settings.max_body_bytes,
        max_connections: settings.max_connections as usize,
        max_requests: settings.max_requests as usize,
        head_timeout: settings.head_timeout.0,
        ..Limits::default()
    };
    let app = Arc::new(App::new(Parts {
        live,
        states,
        transport: Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone())),
        records,
        limits: limits.clone(),
        store: Some(store.clone()),
        money: Some(money.clone()),
        entropy: u64::from_le_bytes(random()?),
    }));
    let keys = app.callers.load(&app.states, &store).await;
    let keys = keys.map_err(|error| StartError::one(format!("the keys in the database cannot be read: {error}")))?;
    tracing::debug!(keys, "keys of the database are known");
    let remembered = today::remember(&app, &store).await;
    remembered.map_err(|error| StartError::one(format!("the log of today's calls cannot be read: {error}")))?;
    jobs.spawn("keys of the database", Callers::follow(Arc::clone(&app), store.clone(), jobs.clone()));
    behind.spawn("last uses of keys", Callers::note_uses_often(Arc::clone(&app), store.clone(), jobs.clone()));
    let setup_token = people::let_in(&app, &opened, &found.loaded.config.identity, &jobs).await?;
    let outlets = Outlets {
        telemetry: Arc::clone(&app.telemetry),
        clock: app.clock,
        log: access_log(logging, style, &app.telemetry)?,
        tracer: tracer(&found.loaded.config, &app, &behind)?,
        logbook: logbook(logging, &store, &app, &behind),
        alerts: found.loaded.config.alerts.clone(),
    };
    behind.spawn("records", records::work(inbox, outlets));
    let room = room(&found.loaded.config.alerts, &store, &app, &behind)?;
    behind.spawn("alerts", room.run(jobs.clone()));
    captures(logging, &opened, &app, &behind)?;

    opened.follow(&app, &jobs);
    let refused = u64::from(!mistakes.is_empty());
    app.note_reload(Report { errors: mistakes, refused, ..Report::start(app.started(), warnings) });
    jobs.spawn(
        "reload",
        reload::run(Arc::clone(&app), Box::new(source), Fixed::of(&found.loaded.config), jobs.clone()),
    );
    let reloads = app.reloads.clone();
    let discovery = Arc::clone(&app.discovery).run(Arc::clone(&app), jobs.clone(), move || reloads.tell_news());
    jobs.spawn("model discovery", discovery);
    jobs.spawn("probes", probe::run(Arc::clone(&app), jobs.clone()));
    behind.spawn("security log", keep::run(Arc::clone(&app), store.clone(), jobs.clone()));
    let certs = certificate(&settings)?;
    let listener = listen(&settings.host, settings.port).await?;
    let address =
        listener.local_addr().map_err(|error| StartError::one(format!("the listener has no address: {error}")))?;
    // Whoever reads that it is ready may stop it in the same breath.
    let mut signals =
        Signals::listen().map_err(|error| StartError::one(format!("signals cannot be received: {error}")))?;
    warn_of_plain_http(address, certs.is_some());
    greet(address, &found);
    people::invite_owner(address, setup_token.as_ref());
    if let Some(certs) = &certs {
        jobs.spawn("certificate watch", certs.clone().watch(WATCH_EVERY, jobs.clone()));
    }
    let drawing = Arc::clone(&app);
    let draw = Arc::new(move |status| http::edge_refusal(&drawing, status));
    let edge = Edge::drawing(limits, jobs.clone(), draw);
    app.note_edge(address, edge.glance());
    let handler = {
        let app = Arc::clone(&app);
        move |request, peer| http::answer(Arc::clone(&app), request, peer)
    };
    let serving = edge.clone();
    jobs.spawn("accept loop", async move { serving.serve_with(listener, certs, handler).await });

    signals.next().await;
    let patience = Patience { delay: settings.drain_delay.0, grace: settings.shutdown_grace.0 };
    end(&app, &edge, &mut signals, patience).await;
    app.desk.drain(Instant::now() + Duration::from_secs(2)).await;
    // The last sender of records goes with the app; then the records job and what hangs on it end by themselves.
    drop((app, edge));
    jobs.drain(Instant::now() + Duration::from_secs(2)).await;
    ledger::close(&money).await;
    store.close().await;
    background.stop();
    Ok(())
}

// === the world outside ===

async fn listen(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| StartError::one(format!("server.host: `{host}` is no address to listen on: {error}")))?
        .collect();
    TcpListener::bind(&addresses[..]).await.map_err(|error| {
        StartError::one(format!("cannot listen on {host}:{port}: {error}; choose another port with --port or PORT"))
    })
}

/// Unpredictable bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    let source = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&source, &mut bytes)
        .map_err(|_| StartError::one("the operating system gives no random numbers"))?;
    Ok(bytes)
}

fn greet(address: SocketAddr, found: &Found) {
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "waypost is ready");
    let (setup, key) = (found.loaded.setup, &found.loaded.made_key);
    if !setup && key.is_none() {
        return;
    }
    let mut lines = vec![format!("Waypost listens on http://{address}")];
    if setup {
        lines.push("No configuration and no provider key: the built-in simulator answers.".to_owned());
    }
    if let Some(key) = key.as_ref().map(|key| key.expose()) {
        let model = if setup { "sim/chat" } else { "<a model of your provider>" };
        lines.push(format!("Key for your applications: {key}"));
        lines.push(format!(
            "Try it:\n  curl http://{address}/v1/chat/completions -H \"Authorization: Bearer {key}\" \\\n    -H \"Content-Type: application/json\" \\\n    -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'"
        ));
    }
    eprint_lines(&lines);
}

fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn eprint_lines(lines: &[String]) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "\n{}\n", lines.join("\n"));
}
