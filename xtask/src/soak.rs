//! `cargo xtask soak` and `cargo xtask outage`: unreliable providers for an hour, and dying ones for a minute. Each builds the
//! gateway and its driver, which is a program of the test kit, and starts the driver. The soak needs Linux: it reads `/proc`.

use crate::command::{built, cargo, run as run_it, target};
use crate::{Outcome, USAGE};

/// An hour, or as long as the arguments say, which are the driver's own.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if arguments.iter().step_by(2).any(|name| !matches!(name.as_str(), "--minutes" | "--rate" | "--seed")) {
        return Err(format!("soak takes --minutes, --rate and --seed\n{USAGE}"));
    }
    drive("soak", arguments)
}

/// Providers that die under load.
pub(crate) fn outage(arguments: &[String]) -> Outcome {
    crate::no_arguments(arguments)?;
    drive("outage", &[])
}

fn drive(driver: &str, arguments: &[String]) -> Outcome {
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-gateway", "--bin", "waypost"]))?;
    run_it(&mut cargo(&["build", "--release", "--package", "waypost-testkit", "--bin", driver]))?;
    let mut program = std::process::Command::new(built("release", driver));
    program.arg("--waypost").arg(built("release", "waypost")).arg("--place").arg(target().join(driver));
    run_it(program.args(arguments))
}
