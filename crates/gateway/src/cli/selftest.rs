//! `waypost selftest`: proves on this machine that answers, translations, failover, limits and breakers work, with the real app,
//! edge and transport between upstreams that do what they are told. Needs no configuration, no key and no network.
//! Tests: `it/cli.rs`.

mod proofs;
mod stage;
mod upstream;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use self::proofs::{PROOFS, prove};
use super::print::say;
use crate::jobs::Jobs;

/// The longest one proof may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// The longest all of them may take together.
const ALL: Duration = Duration::from_secs(10);

/// How it is told.
#[derive(Args, Clone, Debug)]
pub struct Selftest {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Proves everything, prints a line for each proof, and ends with 0 only if all hold.
pub async fn run(wanted: &Selftest) -> ExitCode {
    let began = Instant::now();
    let mut results = Vec::new();
    for (proof, name) in PROOFS {
        let jobs = Jobs::new();
        let start = Instant::now();
        let until = (start + PATIENCE).min(began + ALL);
        let outcome = timeout_at(until, prove(proof, &jobs)).await.unwrap_or_else(|_| Err("it took too long".into()));
        let took = start.elapsed().as_millis();
        jobs.drain(Instant::now()).await;
        if !wanted.json {
            say(&line(name, took, outcome.as_ref().err()));
        }
        results.push((name, took, outcome));
    }
    let held = results.iter().filter(|(_, _, outcome)| outcome.is_ok()).count();
    let well = held == results.len();
    if wanted.json {
        let shown = results.iter().map(|(name, took, outcome)| {
            json!({ "proof": name, "ok": outcome.is_ok(), "ms": took, "error": outcome.as_ref().err() })
        });
        let shown: Vec<_> = shown.collect();
        say(&format!("{:#}", json!({ "ok": well, "proofs": shown })));
    } else {
        let (all, seconds) = (results.len(), began.elapsed().as_secs_f64());
        say(&format!("\n{held} of {all} proofs hold ({seconds:.1} s)"));
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(name: &str, took: u128, error: Option<&String>) -> String {
    let word = if error.is_some() { "FAILED" } else { "ok" };
    let why = error.map(|error| format!("  {error}")).unwrap_or_default();
    format!("{word:<6}  {name:<62}{took:>6} ms{why}")
}
