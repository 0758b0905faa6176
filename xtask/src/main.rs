//! `cargo xtask`: what a contributor does with this repository, each as one command.
//! One file per command; none of them may need more than Rust and what it names when it is missing.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

mod audit;
mod bench;
mod command;
mod fuzz;
mod live;
mod postgres;
mod run;
mod sdk;
mod soak;
mod steps;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask run [ARGUMENTS]          build Waypost (release) and start it with these arguments
cargo xtask test                     everything a change has to pass; installs what it needs under target/
cargo xtask sdk [python|node]        only the suites of the official SDKs
cargo xtask fuzz [TARGET] [SECONDS]  fuzz one target, or all of them in turn (60 seconds each)
cargo xtask bench [--quick]          the loopback benchmark beside nginx
cargo xtask soak [--minutes 60]      an hour with unreliable providers: answers, memory, descriptors
cargo xtask outage                   providers that die under load: what callers and the dead see
cargo xtask audit                    known vulnerabilities of what we depend on (needs the network)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let done = match name {
        "run" => run::run(rest),
        "test" => test::run(rest),
        "sdk" => sdk::run(rest),
        "fuzz" => fuzz::run(rest),
        "bench" => bench::run(rest),
        "soak" => soak::run(rest),
        "outage" => soak::outage(rest),
        "audit" => audit::run(rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => Err(format!("no command {unknown:?}. There are:\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nerror: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a command comes to; the text says what failed and how to mend it.
type Outcome<T = ()> = Result<T, String>;

/// Refuses arguments where there are none to give.
fn no_arguments(arguments: &[String]) -> Outcome {
    match arguments {
        [] => Ok(()),
        [first, ..] => Err(format!("{first:?} means nothing here\n{USAGE}")),
    }
}
