//! Runs one step after the other, keeps going after a failure, and sums up at the end.

use std::time::{Duration, Instant};

use crate::Outcome;

/// The steps of one command and how each went.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(&'static str, Duration, Outcome)>,
}

impl Steps {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), done: vec![] }
    }

    /// Does a step, whatever became of those before.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Outcome) {
        eprintln!("\n=== {name}");
        let started = Instant::now();
        let outcome = work();
        if let Err(message) = &outcome {
            eprintln!("{name} failed: {message}");
        }
        self.done.push((name, started.elapsed(), outcome));
    }

    /// Prints one line for each step. Fails if one did.
    pub(crate) fn finish(self) -> Outcome {
        println!();
        for (name, took, outcome) in &self.done {
            println!("{:>8.1} s  {}  {name}", took.as_secs_f64(), if outcome.is_ok() { "ok    " } else { "FAILED" });
        }
        println!("{:>8.1} s  in all", self.started.elapsed().as_secs_f64());
        let failures: Vec<String> = self
            .done
            .into_iter()
            .filter_map(|(name, _, outcome)| Some(format!("{name}: {}", outcome.err()?)))
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n       ")) }
    }
}
