//! What it costs to decide where a request goes: the plan and its first claim, at several sizes of the whole and of the choice.
//! Run: `cargo bench -p waypost-core`. Prints the median and the 99th percentile of many small batches.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and prints what it saw")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a bench fails if it cannot go on"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use waypost_core::access::Caller;
use waypost_core::config::{Config, Format};
use waypost_core::dice::Dice;
use waypost_core::health::States;
use waypost_core::moment::Moment;
use waypost_core::operation::Operation;
use waypost_core::route::{Query, plan};
use waypost_core::snapshot::{Snapshot, compile};
use waypost_wire::Dialect;
use waypost_wire::peek::Needs;

const BATCH: u32 = 100;
const BATCHES: usize = 2000;

fn main() {
    println!("deployments  compile ms | candidates  strategy         median ns   p99 ns");
    for total in [10, 2_685, 100_000] {
        let (snapshot, took) = snapshot(total);
        for candidates in [1, 5, 50] {
            if candidates > total {
                continue;
            }
            for strategy in ["weighted", "round_robin", "least_busy", "lowest_latency", "least_used"] {
                let (median, late) = decide(&snapshot, &format!("{strategy}-{candidates}"));
                println!(
                    "{total:>11}  {:>10.1} | {candidates:>10}  {strategy:<15} {median:>10} {late:>8}",
                    millis(took)
                );
            }
        }
    }
}

/// A configuration of so many deployments: for each strategy a model on one, on five and on fifty channels, and single ones.
fn snapshot(total: usize) -> (Snapshot, Duration) {
    let channels = total.min(50);
    let mut listed: Vec<Vec<String>> = vec![Vec::new(); channels];
    let mut count = 0;
    let mut text = "routing: {models: {".to_owned();
    for strategy in ["weighted", "round_robin", "least_busy", "lowest_latency", "least_used"] {
        for candidates in [1, 5, 50] {
            if candidates > channels {
                continue;
            }
            let model = format!("{strategy}-{candidates}");
            write!(text, "{model}: {{strategy: {strategy}}}, ").unwrap();
            for models in listed.iter_mut().take(candidates) {
                models.push(model.clone());
                count += 1;
            }
        }
    }
    text.push_str("}}\nchannels:\n");
    for single in count..total {
        listed[single % channels].push(format!("single-{single}"));
    }
    for (number, models) in listed.iter().enumerate() {
        let models = models.join(", ");
        writeln!(text, "- {{name: c{number}, provider: openai, api_keys: [k1, k2, k3], models: [{models}]}}").unwrap();
    }
    let config = Config::parse(&text, Format::Yaml, "bench.yaml", &|_| None).unwrap();
    let start = Instant::now();
    let snapshot = compile(&config, &States::default()).unwrap();
    (snapshot, start.elapsed())
}

fn decide(snapshot: &Snapshot, model: &str) -> (u128, u128) {
    let caller = Caller::new("k", "k");
    let query = Query {
        model: Some(model),
        operation: Operation::Chat,
        dialect: Dialect::OpenaiChat,
        needs: Needs::default(),
        charge: None,
    };
    let mut dice = Dice::seeded(7);
    let mut now = Moment::seconds(1);
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                now = now.plus(Duration::from_micros(10));
                let mut plan = plan(snapshot, &caller, &query, now, &mut dice).unwrap();
                let mut claim = plan.claim(500, now, &mut dice).unwrap();
                claim.succeed(now);
                black_box(&claim);
            }
            start.elapsed()
        })
        .collect();
    batches.sort();
    let each = |batch: Duration| batch.as_nanos() / u128::from(BATCH);
    (each(batches[BATCHES / 2]), each(batches[BATCHES * 99 / 100]))
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
