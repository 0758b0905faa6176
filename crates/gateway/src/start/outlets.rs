//! Where the gateway speaks: its own log, the access log, a collector of traces. As configuration, environment and arguments say,
//! the last of them outweighing the others. Tests: `it/logs.rs`, `it/traces.rs`.

use std::io::IsTerminal as _;
use std::sync::Arc;

use waypost_core::config::{self, Config, Logging};
use waypost_store::Store;

use super::StartError;
use super::arguments::SaidOfLogs;
use crate::alerts::{Room, Webhook};
use crate::app::App;
use crate::app::unix_millis;
use crate::jobs::Jobs;
use crate::logbook::Logbook;
use crate::logbook::retention;
use crate::records::LogStyle;
use crate::telemetry::Telemetry;
use crate::telemetry::access_log::{Lines, Writer};
use crate::telemetry::otlp::{Exporter, Tracer};
use crate::upstream::{HttpTransport, PoolSettings};

pub(super) fn log_style(said: &SaidOfLogs, logging: &Logging) -> LogStyle {
    match (said.style, logging.format) {
        (Some(style), _) => style,
        (None, Some(config::LogFormat::Json)) => LogStyle::Json,
        (None, Some(config::LogFormat::Pretty)) => LogStyle::Pretty,
        (None, None) if std::io::stdout().is_terminal() => LogStyle::Pretty,
        (None, None) => LogStyle::Json,
    }
}

pub(super) fn log_level(said: &SaidOfLogs, logging: &Logging) -> String {
    said.level.clone().or_else(|| logging.level.clone()).unwrap_or("info".to_owned())
}

/// The gateway's own log goes to standard error.
pub(super) fn log_to_stderr(style: LogStyle, level: &str) -> Result<(), StartError> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .map_err(|error| StartError::one(format!("LOG_LEVEL: `{level}` is no log filter: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match style {
        LogStyle::Json => builder.json().flatten_event(true).try_init(),
        LogStyle::Pretty => builder.compact().with_target(false).try_init(),
    };
    started.map_err(|error| StartError::one(format!("the log cannot start: {error}")))
}

/// The access log goes to standard output, unless it is switched off.
pub(super) fn access_log(
    logging: &Logging,
    style: LogStyle,
    telemetry: &Telemetry,
) -> Result<Option<(Lines, Writer)>, StartError> {
    if !logging.enabled {
        return Ok(None);
    }
    let lines = Lines { style, request: logging.log_request, response: logging.log_response };
    let writer = Writer::start(std::io::stdout(), Arc::clone(&telemetry.log_lines_dropped))
        .map_err(|error| StartError::one(format!("the access log cannot start: {error}")))?;
    Ok(Some((lines, writer)))
}

/// The way of traces, and the job at its end, where there is a collector.
pub(super) fn tracer(config: &Config, app: &App, jobs: &Jobs) -> Result<Option<Tracer>, StartError> {
    let (settings, counts) = (&config.telemetry, &app.telemetry.spans);
    let exporter =
        Exporter::new(&settings.otlp, &settings.service_name, Arc::clone(counts)).map_err(StartError::one)?;
    let Some(exporter) = exporter else { return Ok(None) };
    let (tracer, samples) = Tracer::new(settings.otlp.sample, app.dice(), Arc::clone(counts));
    // Connections of its own: a collector must not take the place of a provider.
    let transport = Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone()));
    jobs.spawn("trace export", exporter.run(samples, transport, jobs.clone()));
    Ok(Some(tracer))
}

/// What tells of alerts.
pub(super) fn room(settings: &config::Alerts, store: &Store, app: &App, jobs: &Jobs) -> Result<Room, StartError> {
    // Connections of its own: a webhook must not take the place of a provider.
    let transport = Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone()));
    let webhook = Webhook::new(settings, transport).map_err(StartError::one)?;
    let telemetry = &app.telemetry;
    let shared = (Arc::clone(&telemetry.sight), Arc::clone(&telemetry.alerts));
    Ok(Room::new(store.clone(), settings.clone(), shared, webhook))
}

/// The way into the database's log, and the jobs at its end, unless it is switched off.
pub(super) fn logbook(logging: &Logging, store: &Store, app: &App, jobs: &Jobs) -> Option<Logbook> {
    let (settings, counts) = (&logging.database, &app.telemetry.log_rows);
    if !settings.enabled {
        return None;
    }
    let forgetting = retention::run(store.clone(), settings.days, Arc::clone(counts), jobs.clone(), unix_millis);
    jobs.spawn("retention", forgetting);
    Some(Logbook::start(store.clone(), Arc::clone(counts), jobs))
}
