//! `/metrics` as a page: what was counted of requests, and the gauges of this moment, which are read from where they live.
//! Decides nothing. Tests: `it/metrics.rs`.

use std::sync::atomic::Ordering;

use waypost_core::health::Phase;
use waypost_core::health::view::{self, ChannelView, Time};
use waypost_core::snapshot::Deployment;
use waypost_store::journal::Journal;
use waypost_store::money::Money;

use super::process::Process;
use super::prometheus::{Form, Page, Type};
use super::registry::About;
use crate::app::App;
use crate::http::admin;

/// The most deployments whose breakers are shown; those that were never used and are closed are not among them.
const MOST_BREAKERS: usize = 1000;

/// Everything there is to tell.
pub fn page(app: &App, form: Form) -> String {
    let mut page = Page::new(form);
    app.telemetry.metrics.write(&mut page);
    totals(app, &mut page);
    now(app, &mut page);
    health(app, &mut page);
    journal(app, &mut page);
    alerts(app, &mut page);
    reloads(app, &mut page);
    Process::now().write(&mut page);
    page.finish()
}

/// One number without labels.
fn one(page: &mut Page, kind: Type, name: &'static str, value: u64, help: &'static str) {
    page.family(&About { name, help, labels: &[] }, kind);
    page.told(&[], value);
}

/// What is counted as it happens.
fn totals(app: &App, page: &mut Page) {
    let telemetry = &app.telemetry;
    let help = "Requests that were refused before they were admitted.";
    page.family(&About { name: "waypost_refusals", help, labels: &["kind"] }, Type::Counter);
    telemetry.refusals().for_each(|(kind, count)| page.told(&[kind], count));
    let help = "Suspicious requests.";
    page.family(&About { name: "waypost_security_events", help, labels: &["kind"] }, Type::Counter);
    app.security.counts().for_each(|(kind, count)| page.told(&[kind], count));
    let help = "What was found when accounts were asked on purpose.";
    page.family(&About { name: "waypost_probes", help, labels: &["channel", "finding"] }, Type::Counter);
    for (channel, finding, count) in app.probes.counts() {
        page.told(&[&channel, finding], count);
    }
    let spans = &telemetry.spans;
    let rows = &telemetry.log_rows;
    let captured = &app.captures.counts;
    let totals = [
        ("waypost_panics", app.panics(), "Panics that were caught while handling requests."),
        ("waypost_records_dropped", app.records.dropped(), "Records lost because too many were waiting."),
        (
            "waypost_log_lines_dropped",
            telemetry.log_lines_dropped.load(Ordering::Relaxed),
            "Lines of the access log lost to an output that nobody reads.",
        ),
        ("waypost_log_rows_written", rows.written.load(Ordering::Relaxed), "Calls written to the log in the database."),
        (
            "waypost_log_rows_dropped",
            rows.dropped.load(Ordering::Relaxed),
            "Calls that are missing from the log in the database, because too many were waiting or it refused them.",
        ),
        ("waypost_log_rows_pruned", rows.pruned.load(Ordering::Relaxed), "Calls removed from the log by their age."),
        (
            "waypost_captured_requests_kept",
            captured.kept.load(Ordering::Relaxed),
            "Requests whose bodies were captured.",
        ),
        (
            "waypost_captured_requests_lost",
            captured.lost.load(Ordering::Relaxed),
            "Requests that were to be captured, and whose bodies were lost because too much was waiting or they were refused.",
        ),
        ("waypost_spans_exported", spans.exported.load(Ordering::Relaxed), "Spans that the collector took."),
        ("waypost_spans_dropped", spans.dropped.load(Ordering::Relaxed), "Spans that were lost on the way to it."),
    ];
    for (name, value, help) in totals {
        one(page, Type::Counter, name, value, help);
    }
}

/// What is going on.
fn now(app: &App, page: &mut Page) {
    if let Some((connections, requests)) = app.glance() {
        one(page, Type::Gauge, "waypost_open_connections", connections as u64, "Connections of callers that are open.");
        one(page, Type::Gauge, "waypost_requests_in_flight", requests as u64, "Requests that are being answered.");
    }
    let (requests, retries, hedges) = app.traffic.counts(app.clock.now());
    let budget = app.live().snapshot.retry.budget;
    let allowed = (requests.saturating_mul(u64::from(budget.percent)) / 100).max(u64::from(budget.floor));
    let ready = app.is_ready() && view::can_serve(&app.live().snapshot, app.clock.now());
    let gauges = [
        ("waypost_queue_length", app.queues.waiting() as u64, "Requests that wait in line for a slot."),
        (
            "waypost_captured_keys",
            app.captures.keys(app.unix_millis()) as u64,
            "Keys whose bodies are captured, now or later.",
        ),
        ("waypost_retry_budget_requests", requests, "Requests of the last ten seconds."),
        ("waypost_retry_budget_allowed", allowed, "Retries that ten seconds like the last may have."),
        ("waypost_retry_budget_spent", retries, "Retries of the last ten seconds that counted against the budget."),
        ("waypost_retry_budget_hedges", hedges, "Hedges of the last ten seconds."),
        ("waypost_ready", u64::from(ready), "Whether a balancer should send requests here."),
    ];
    for (name, value, help) in gauges {
        one(page, Type::Gauge, name, value, help);
    }
    page.family(&About { name: "waypost_build_info", help: "What runs.", labels: &["version"] }, Type::Gauge);
    page.told(&[env!("CARGO_PKG_VERSION")], 1);
}

/// What people were told, and how near to it the rest is.
fn alerts(app: &App, page: &mut Page) {
    let (sight, counts, now) = (&app.telemetry.sight, &app.telemetry.alerts, app.unix_millis());
    let help = "Alerts that this process told of.";
    page.family(&About { name: "waypost_alerts", help, labels: &["kind"] }, Type::Counter);
    counts.by_kind().for_each(|(kind, count)| page.told(&[kind], count));
    let failed = counts.failed.load(Ordering::Relaxed);
    one(page, Type::Counter, "waypost_alert_posts_failed", failed, "Posts that the webhook did not take.");
    let cost = u64::try_from(sight.cost_of_hour(now)).unwrap_or_default();
    let help = "What all requests of this hour cost over all processes, in billionths of a dollar.";
    one(page, Type::Gauge, "waypost_hour_cost_nano_usd", cost, help);
    let usage = sight.usage(now);
    let help = "How far the fullest minute limit of a key was used within the last minute.";
    page.family(&About { name: "waypost_key_usage_percent", help, labels: &["key"] }, Type::Gauge);
    usage.iter().for_each(|(key, usage)| usage.minute.into_iter().for_each(|percent| page.told(&[key], percent)));
    let help = "How far the tokens of a day are used that a key may use.";
    page.family(&About { name: "waypost_token_quota_percent", help, labels: &["key"] }, Type::Gauge);
    usage.iter().for_each(|(key, usage)| usage.day.into_iter().for_each(|percent| page.told(&[key], percent)));
}

/// Whether the journal of money does its part; zeros where nothing is charged.
fn journal(app: &App, page: &mut Page) {
    let journal = app.money.as_ref().map(Money::journal);
    let failing = journal.is_some_and(Journal::is_failing);
    let held = app.money.as_ref().map_or(0, Money::held);
    let gauges = [
        (
            "waypost_journal_failing",
            u64::from(failing),
            "Whether the disk refuses the journal, so that nobody is admitted.",
        ),
        (
            "waypost_journal_waiting",
            journal.map_or(0, Journal::waiting) as u64,
            "Settlements that wait in memory for the journal's disk.",
        ),
        (
            "waypost_journal_bytes",
            journal.map_or(0, Journal::size),
            "The journal's size; it grows while the database does not take it.",
        ),
        ("waypost_held_requests", held as u64, "Requests that hold money."),
    ];
    for (name, value, help) in gauges {
        one(page, Type::Gauge, name, value, help);
    }
    let unheld = journal.map_or(0, Journal::unheld);
    let help = "Requests that ended and of which neither journal nor ledger has the hold, so that nobody was charged.";
    one(page, Type::Counter, "waypost_journal_unheld", unheld, help);
}

/// How everything is doing.
fn health(app: &App, page: &mut Page) {
    let live = app.live();
    let time = admin::time(app);
    let counts = view::counts(&live.snapshot, time.now);
    for (name, count, help) in [
        ("waypost_channels", counts.channels, "Channels, and how many of them are well."),
        ("waypost_deployments", counts.deployments, "Deployments, and how many of them are well."),
        ("waypost_credentials", counts.credentials, "Credentials, and how many of them work."),
        ("waypost_models", counts.groups, "Models by their public names, and how many of them can be served."),
    ] {
        page.family(&About { name, help, labels: &["state"] }, Type::Gauge);
        page.told(&["healthy"], count.healthy);
        page.told(&["unhealthy"], count.total.saturating_sub(count.healthy));
    }
    let channels = view::channels(&live.snapshot, &time);
    let help = "How often breakers isolated a deployment.";
    page.family(&About { name: "waypost_breaker_transitions", help, labels: &["channel", "to"] }, Type::Counter);
    channels.iter().for_each(|channel| page.told(&[channel.name, "open"], channel.opened));
    let mut by_channel = |name, help, value: fn(&ChannelView<'_>) -> u64| {
        page.family(&About { name, help, labels: &["channel", "provider"] }, Type::Gauge);
        channels.iter().for_each(|channel| page.told(&[channel.name, channel.provider], value(channel)));
    };
    by_channel("waypost_channel_healthy", "Whether the channel can serve.", |channel| u64::from(channel.healthy));
    by_channel("waypost_in_flight", "Upstream calls under way.", |channel| channel.in_flight);
    breakers(app, page, &time);
}

fn breakers(app: &App, page: &mut Page, time: &Time) {
    let help = "The breakers of deployments that were used: 0 is closed, 1 half-open, 2 open.";
    page.family(&About { name: "waypost_breaker_state", help, labels: &["deployment", "channel"] }, Type::Gauge);
    let (live, mut shown) = (app.live(), 0);
    view::each(&live.snapshot, |deployment: &std::sync::Arc<Deployment>| {
        let (phase, ..) = deployment.state.breaker(&deployment.channel.policy, time.now);
        let (requests, ..) = deployment.state.counts();
        if (requests > 0 || phase != Phase::Closed) && shown < MOST_BREAKERS {
            shown += 1;
            let state = match phase {
                Phase::Closed => 0,
                Phase::HalfOpen => 1,
                Phase::Open => 2,
            };
            page.told(&[&deployment.label, &deployment.channel.name], state);
        }
    });
}

/// What became of changes of the configuration.
fn reloads(app: &App, page: &mut Page) {
    let report = app.last_reload();
    let taken = report.generation.saturating_sub(1);
    let help = "Configurations that were taken into use after the start.";
    one(page, Type::Counter, "waypost_config_reload_success", taken, help);
    let help = "Configurations that were refused.";
    one(page, Type::Counter, "waypost_config_reload_failures", report.refused, help);
    let help = "When the configuration was last read, in seconds since 1970.";
    one(page, Type::Gauge, "waypost_config_reload_timestamp_seconds", report.at, help);
    let help = "Whether the configuration that was last read is in use.";
    one(page, Type::Gauge, "waypost_config_last_reload_successful", u64::from(report.is_ok()), help);
}
