//! `cargo xtask run`: a release build of Waypost, started in the directory the caller stands in.

use std::process::Command;

use crate::Outcome;
use crate::command::{built, cargo, run as run_it};

/// Builds and starts it. Arguments and environment go through; a leading `--` is dropped.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-gateway", "--bin", "waypost"]))?;
    let arguments = match arguments {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    start(Command::new(built("release", "waypost")).args(arguments))
}

/// Takes our place, so that signals reach it.
#[cfg(unix)]
fn start(waypost: &mut Command) -> Outcome {
    use std::os::unix::process::CommandExt;
    Err(format!("waypost did not start: {}", waypost.exec()))
}

#[cfg(not(unix))]
fn start(waypost: &mut Command) -> Outcome {
    run_it(waypost)
}
