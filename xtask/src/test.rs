//! `cargo xtask test`: everything a change has to pass, in the order that tells soonest.

use crate::command::{cargo, output, run as run_it};
use crate::postgres::{self, Postgres, VARIABLE};
use crate::steps::Steps;
use crate::{Outcome, fuzz, no_arguments, sdk, tools};

/// Installs what is missing, then runs every step. Nothing is skipped for want of a tool.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    no_arguments(arguments)?;
    sdk::required()?;
    postgres::required()?;
    let mut steps = Steps::start();
    steps.step("format", || run_it(&mut cargo(&["fmt", "--all", "--check"])));
    steps.step("lints", || run_it(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])));
    steps.step("tests", tests);
    steps.step("doc tests", || run_it(&mut cargo(&["test", "--workspace", "--doc"])));
    steps.step("documentation", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
        run_it(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.step("fuzz corpus", fuzz::replay);
    steps.step("dependencies", || {
        let deny = tools::cargo_deny()?;
        run_it(crate::command::command(deny).args(["check", "bans", "licenses", "sources"]))
    });
    steps.step("SDK suites", || sdk::run(&[]));
    steps.finish()
}

/// With nextest when it is installed: it runs them in parallel and names slow ones. Plain cargo runs the same tests.
fn tests() -> Outcome {
    let postgres = Postgres::start()?;
    if output(&mut cargo(&["nextest", "--version"])).is_ok() {
        let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        return run_it(nextest.env(VARIABLE, &postgres.url));
    }
    let mut test = cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    run_it(test.env(VARIABLE, &postgres.url))
}
