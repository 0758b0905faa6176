//! `cargo xtask soak`: an hour with unreliable providers. Builds the gateway and the driver and starts the driver, which is a
//! program of the test kit. Linux only: it reads `/proc`.

use crate::command::{built, cargo, run as run_it, target};
use crate::{Outcome, USAGE};

/// Builds in release and runs; the arguments are the driver's own.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if arguments.iter().step_by(2).any(|name| !matches!(name.as_str(), "--minutes" | "--rate" | "--seed")) {
        return Err(format!("soak takes --minutes, --rate and --seed\n{USAGE}"));
    }
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-gateway", "--bin", "waypost"]))?;
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-testkit", "--bin", "soak"]))?;
    let mut soak = std::process::Command::new(built("release", "soak"));
    soak.arg("--waypost").arg(built("release", "waypost")).arg("--place").arg(target().join("soak"));
    run_it(soak.args(arguments))
}
