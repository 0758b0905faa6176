//! `cargo xtask audit`: known vulnerabilities. Apart from the tests, because its answer changes without a change here.

use crate::command::{command, run as run_it};
use crate::{Outcome, no_arguments, tools};

/// Fetches the advisory database and checks the lock file against it.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    no_arguments(arguments)?;
    run_it(command(tools::cargo_deny()?).args(["check", "advisories"]))
}
