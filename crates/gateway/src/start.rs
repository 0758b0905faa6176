//! From arguments and environment to a serving gateway, and back to an end. Says what it does on standard error; the
//! access log goes to standard output. Tests: `it/start.rs`, against the built binary.

mod end;
mod outlets;
mod secure;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::net::TcpListener;
use tokio::time::Instant;
use waypost_core::config::{Config, Environment, Format, from_environment};
use waypost_core::health::States;
use waypost_core::snapshot::compile;

use self::end::{Patience, end};
use self::outlets::{access_log, log_level, log_style, log_to_stderr, tracer};
use self::secure::{certificate, warn_of_plain_http};
use crate::app::{App, Live, Parts};
use crate::cli::health::{self, Health};
use crate::cli::mock::{self, Mock};
use crate::cli::selftest::{self, Selftest};
use crate::cli::test::{self, Testing};
use crate::http;
use crate::jobs::Jobs;
use crate::probe;
use crate::records::{self, Outlets, Records};
use crate::reload;
use crate::serve::{Edge, Limits, Signals, WATCH_EVERY};
use crate::simulator;
use crate::upstream::{HttpTransport, PoolSettings};

/// Files that are read if no other is named, in this order.
const USUAL_FILES: [&str; 3] = ["waypost.yaml", "waypost.yml", "waypost.json"];

/// An AI gateway in one binary: talks OpenAI and Anthropic, sends each request to the best of your provider accounts,
/// fails over when one breaks.
#[derive(Parser, Clone, Debug)]
#[command(name = "waypost", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration, YAML or JSON [default: waypost.yaml, waypost.yml or waypost.json, whichever is here].
    #[arg(long, short, global = true, env = "WAYPOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, env = "HOST")]
    host: Option<String>,
    /// The port to listen on; 0 takes any free one [default: 3000].
    #[arg(long, env = "PORT")]
    port: Option<u16>,
    /// How log lines look [default: as the configuration says; else pretty at a terminal, json otherwise].
    #[arg(long, env = "LOG_FORMAT", value_name = "STYLE")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug or trace, or a filter by module [default: as the configuration says; else info].
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// Logs as with --log-level debug, whatever else is said.
    #[arg(long)]
    debug: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Reads and compiles the configuration, says what is wrong with it, and serves nothing.
    Check,
    /// Prints the JSON Schema of the configuration.
    Schema,
    /// Asks the accounts of the configuration whether their keys work.
    #[command(subcommand)]
    Test(Testing),
    /// Asks a running gateway whether it is ready: exit code 0 if so, 1 if not, 2 if nobody answers.
    Health(Health),
    /// Proves on this machine that failover, streams, limits and breakers work. Needs no configuration and no network.
    Selftest(Selftest),
    /// Serves the simulator as a provider, for other gateways and applications to be tried against.
    Mock(Mock),
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum LogFormat {
    Json,
    Pretty,
}

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
        Some(Command::Schema) => say(&format!("{:#}", Config::schema())),
        Some(Command::Check) => check(&arguments)?,
        Some(Command::Test(Testing::Channels(wanted))) => {
            return test::run(&choose(&arguments)?.config, wanted).await.map_err(StartError);
        }
        Some(Command::Health(wanted)) => return health::run(wanted).await.map_err(StartError::one),
        Some(Command::Selftest(wanted)) => return Ok(selftest::run(wanted).await),
        Some(Command::Mock(wanted)) => return mock::run(wanted).await.map_err(StartError::one),
        None => serve(&arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(arguments: &Arguments) -> Result<(), StartError> {
    let Chosen { config, file, .. } = choose(arguments)?;
    let snapshot = compile(&config, &States::default()).map_err(errors)?;
    certificate(&config.server)?;
    let place = file.map_or("environment".to_owned(), |file| file.display().to_string());
    for warning in &snapshot.warnings {
        say(&format!("warning: {warning}"));
    }
    say(&format!("{place}: ok, {} channels, {} models", snapshot.channels.len(), snapshot.models.len()));
    Ok(())
}

async fn serve(arguments: &Arguments) -> Result<(), StartError> {
    let chosen = choose(arguments)?;
    let style = log_style(arguments, &chosen.config.logging);
    log_to_stderr(style, &log_level(arguments, &chosen.config.logging))?;
    let settings = chosen.config.server.clone();
    let states = States::default();
    let snapshot = compile(&chosen.config, &states).map_err(errors)?;
    // In set-up there is nobody whose file could be better.
    let file_may_improve = !matches!(chosen.environment, Some((true, _)));
    for warning in snapshot.warnings.iter().filter(|_| file_may_improve) {
        tracing::warn!(%warning, "the configuration works, but");
    }
    let live = Live::new(snapshot).map_err(|_| StartError::one("a channel's base_url is not an http or https URL"))?;

    let jobs = Jobs::new();
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
        entropy: u64::from_le_bytes(random()?),
    }));
    let outlets = Outlets {
        telemetry: Arc::clone(&app.telemetry),
        clock: app.clock,
        log: access_log(&chosen.config.logging, style, &app.telemetry)?,
        tracer: tracer(&chosen.config, &app, &jobs)?,
    };
    jobs.spawn("records", records::work(inbox, outlets));

    let source =
        Box::new(Again { arguments: arguments.clone(), first: chosen.config.clone(), file: chosen.file.clone() });
    jobs.spawn("reload", reload::run(Arc::clone(&app), source, settings.clone(), jobs.clone()));
    let reloads = app.reloads.clone();
    let discovery = Arc::clone(&app.discovery).run(Arc::clone(&app), jobs.clone(), move || reloads.tell_news());
    jobs.spawn("model discovery", discovery);
    jobs.spawn("probes", probe::run(Arc::clone(&app), jobs.clone()));
    let certs = certificate(&settings)?;
    let listener = listen(&settings.host, settings.port).await?;
    let address =
        listener.local_addr().map_err(|error| StartError::one(format!("the listener has no address: {error}")))?;
    // Whoever reads that it is ready may stop it in the same breath.
    let mut signals =
        Signals::listen().map_err(|error| StartError::one(format!("signals cannot be received: {error}")))?;
    warn_of_plain_http(address, certs.is_some());
    greet(address, &chosen);
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
    // The last sender of records goes with the app; then the records job and what hangs on it end by themselves.
    drop((app, edge));
    jobs.drain(Instant::now() + Duration::from_secs(2)).await;
    Ok(())
}

// === configuration ===

/// The configuration that applies, and how it was found.
struct Chosen {
    config: Config,
    file: Option<PathBuf>,
    /// Set when no file was there: what the environment amounts to.
    environment: Option<(bool, Option<String>)>,
}

/// Reads the configuration and lets the arguments have the last word, before anything is decided by it.
fn choose(arguments: &Arguments) -> Result<Chosen, StartError> {
    let mut chosen = found(arguments)?;
    let server = &mut chosen.config.server;
    server.host = arguments.host.clone().unwrap_or(std::mem::take(&mut server.host));
    server.port = arguments.port.unwrap_or(server.port);
    let environment = |name: &str| std::env::var(name).ok();
    chosen.config.telemetry.obey_environment(&environment).map_err(|error| StartError::one(error.to_string()))?;
    Ok(chosen)
}

fn found(arguments: &Arguments) -> Result<Chosen, StartError> {
    let lookup = |name: &str| std::env::var(name).ok();
    let usual = || USUAL_FILES.iter().map(PathBuf::from).find(|file| file.is_file());
    let Some(file) = arguments.config.clone().or_else(usual) else {
        let simulated: Vec<&str> = simulator::listing().iter().map(|listed| listed.name).collect();
        let Environment { config, made_key, setup } = from_environment(&lookup, random()?, &simulated);
        let key = made_key.map(|key| key.expose().to_owned());
        return Ok(Chosen { config, file: None, environment: Some((setup, key)) });
    };
    let name = file.display().to_string();
    let text = read(&file)?;
    let config = Config::parse(&text, Format::of(&name), &name, &lookup).map_err(errors)?;
    Ok(Chosen { config, file: Some(file), environment: None })
}

/// The configuration as the same arguments find it later: the environment does not change, a file does.
struct Again {
    arguments: Arguments,
    first: Config,
    file: Option<PathBuf>,
}

impl reload::Source for Again {
    fn load(&mut self) -> Result<Config, Vec<String>> {
        if self.file.is_none() {
            return Ok(self.first.clone());
        }
        choose(&self.arguments).map(|chosen| chosen.config).map_err(|StartError(errors)| errors)
    }

    fn watched(&self) -> Vec<PathBuf> {
        self.file.iter().cloned().collect()
    }
}

fn read(file: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(file).map_err(|error| {
        StartError::one(format!("{}: cannot be read: {error}; name another file with --config", file.display()))
    })
}

fn errors(errors: Vec<waypost_core::config::ConfigError>) -> StartError {
    StartError(errors.iter().map(ToString::to_string).collect())
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

fn greet(address: SocketAddr, chosen: &Chosen) {
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "waypost is ready");
    let Some((setup, key)) = &chosen.environment else { return };
    let mut lines = vec![format!("Waypost listens on http://{address}")];
    if *setup {
        lines.push("No configuration and no provider key: the built-in simulator answers.".to_owned());
    }
    if let Some(key) = key {
        let model = if *setup { "sim/chat" } else { "<a model of your provider>" };
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
