//! What the records job makes of a record, on one core: metrics, and a line of the access log. `cargo bench -p waypost-gateway`.

#![expect(clippy::print_stdout, reason = "what was measured is for people to read")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use waypost_core::config::Share;
use waypost_core::dice::Dice;
use waypost_core::moment::Moment;
use waypost_core::usage::{AttemptOutcome, AttemptRecord, Basis, Outcome, Stages, UsageRecord, Whose};
use waypost_gateway::clock::Clock;
use waypost_gateway::records::{LogStyle, Outlets};
use waypost_gateway::telemetry::Telemetry;
use waypost_gateway::telemetry::access_log::{Lines, Writer};
use waypost_gateway::telemetry::otlp::Tracer;
use waypost_wire::chat::Usage;

const BATCH: usize = 512;
const BATCHES: usize = 1000;

fn main() {
    measure("metrics alone", false);
    measure("metrics, access log, traces sampled at 1%", true);
}

fn measure(what: &str, everything: bool) {
    let telemetry = Arc::new(Telemetry::default());
    let dropped = Arc::new(AtomicU64::new(0));
    let writer = || Writer::start(std::io::sink(), dropped).ok();
    let log = everything.then(writer).flatten().map(|writer| (Lines::whole(LogStyle::Json), writer));
    // Nobody empties the way, so that what is beyond it is dropped; that is what a collector that is gone costs.
    let (tracer, _samples) = Tracer::new(Share(10_000), Dice::seeded(1), Arc::clone(&telemetry.spans));
    let tracer = everything.then_some(tracer);
    let mut outlets = Outlets {
        telemetry,
        clock: Clock::default(),
        log,
        tracer,
        logbook: None,
        alerts: waypost_core::config::Alerts::default(),
    };
    let mut batches: Vec<Vec<UsageRecord>> = (0..BATCHES).map(|_| (0..BATCH).map(record).collect()).collect();
    let start = Instant::now();
    batches.iter_mut().for_each(|batch| outlets.take(batch));
    let each = start.elapsed().as_nanos() / (BATCH * BATCHES) as u128;
    println!("{what}: {each} ns a record, {} records a second", 1_000_000_000 / each.max(1));
}

fn record(number: usize) -> UsageRecord {
    let channel: Arc<str> = format!("account-{}", number % 7).into();
    let attempt = AttemptRecord {
        deployment: format!("{channel}/gpt-4o").into(),
        channel,
        provider: "openai",
        upstream: "gpt-4o-2024-11-20".into(),
        credential: "key-1".into(),
        started_us: 400,
        ended_us: 2_000_000,
        outcome: AttemptOutcome::Answered,
        status: Some(200),
        hedge: false,
    };
    UsageRecord {
        request_id: "req_0123456789abcdef0123456789abcdef".into(),
        key: format!("key-{}", number % 40).into(),
        whose: Whose::default(),
        client: Some([127, 0, 0, 1].into()),
        model: Some(format!("model-{}", number % 30).into()),
        operation: "chat",
        deployment: Some(Arc::clone(&attempt.deployment)),
        attempts: 1,
        trail: vec![attempt],
        degraded: None,
        stages: Stages {
            read_us: Some(200),
            planned_us: Some(300),
            queued_us: None,
            answered_us: Some(500_000),
            first_token_us: Some(500_000),
        },
        outcome: Outcome::Complete,
        status: 200,
        error: None,
        stream: true,
        translated: false,
        usage: Usage { input: Some(1200), output: Some(300), ..Usage::default() },
        basis: Basis::Provider,
        clamped: false,
        cost: None,
        latency_ms: 2000,
        first_token_ms: Some(500),
        peaks: Vec::new(),
        began: Moment::seconds(1),
        trace: None,
    }
}
