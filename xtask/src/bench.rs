//! `cargo xtask bench`: Waypost, a plain nginx reverse proxy and the upstream itself, interleaved in one run on loopback.
//! Knows the order of the measurements; programs are in `bench/programs.rs`, the verdict in `bench/table.rs`.

mod measure;
mod nginx;
mod proc;
mod programs;
mod start;
mod table;

use crate::command::{cargo, run as run_it};
use crate::{Outcome, USAGE};
use measure::{Gateway, Samples};
use programs::Programs;
use table::{Row, Table};

/// How long and how often things are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Times the three are measured in turn; medians are told.
    rounds: usize,
    /// Length of one measurement.
    milliseconds: u64,
    /// Streams held open at once, one measurement for each.
    streams: &'static [u64],
    /// Starts of the program.
    starts: usize,
}

const FULL: Pace = Pace { rounds: 5, milliseconds: 2000, streams: &[1000, 5000], starts: 11 };
const QUICK: Pace = Pace { rounds: 3, milliseconds: 500, streams: &[1000], starts: 5 };

/// Builds everything in release, measures, and prints one table.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let pace = match arguments {
        [] => FULL,
        [flag] if flag == "--quick" => QUICK,
        _ => return Err(format!("bench takes nothing but --quick\n{USAGE}")),
    };
    nginx::required()?;
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-gateway", "--bin", "waypost"]))?;
    let bins = ["--bin", "mock-upstream", "--bin", "load"];
    run_it(cargo(&["build", "--release", "--package", "waypost-testkit"]).args(bins))?;

    let mut table = Table::default();
    start::measure(pace, &mut table)?;
    let programs = Programs::start()?;
    interleaved(&programs, pace, &mut table)?;
    chunk_latency(&programs, pace, &mut table)?;
    drop(programs);
    for streams in pace.streams {
        open_streams(*streams, &mut table)?;
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("{}\n{cores} cores, {}", table.render(), nginx::version());
    Ok(())
}

/// Each kind of request, asked of each in turn, again and again, so that what else the machine does meets them alike.
fn interleaved(programs: &Programs, pace: Pace, table: &mut Table) -> Outcome {
    let mut samples = Samples::default();
    for round in 1..=pace.rounds {
        eprintln!("round {round} of {}", pace.rounds);
        for gateway in Gateway::ALL {
            for body in ["chat", "large"] {
                samples.add(gateway, body, programs.closed(gateway, body, "gpt-4o-mini", pace.milliseconds)?);
            }
            samples.add(gateway, "rate", programs.rate(gateway, pace.milliseconds)?);
            samples.add(gateway, "stream", programs.streams(gateway, pace.milliseconds)?);
        }
        let translated = programs.closed(Gateway::Waypost, "chat", "claude-sonnet-4-5", pace.milliseconds)?;
        samples.add(Gateway::Waypost, "translated", translated);
    }
    samples.fill(table);
    // What is not done costs nothing: the CPU figures are to be read with this one, if there is one.
    let unlogged = programs.unlogged()?;
    if unlogged > 0.0 {
        table.push(Row::of_waypost("calls that the log missed meanwhile", unlogged));
    }
    Ok(())
}

/// How much later a chunk arrives: one clock sees it leave and arrive.
fn chunk_latency(programs: &Programs, pace: Pace, table: &mut Table) -> Outcome {
    let mut samples = Samples::default();
    for _ in 0..pace.rounds {
        for gateway in Gateway::ALL {
            samples.add(gateway, "chunks", programs.chunks(gateway, pace.milliseconds)?);
        }
    }
    samples.fill_chunks(table);
    Ok(())
}

/// What an open stream weighs, and what its chunks cost when there are many of them. Each time with fresh programs: memory
/// that an earlier measurement left behind would hide what this one takes.
fn open_streams(streams: u64, table: &mut Table) -> Outcome {
    for gateway in [Gateway::Nginx, Gateway::Waypost] {
        let held = Programs::start()?.hold(gateway, streams)?;
        table.held(gateway, streams, held);
    }
    Ok(())
}
