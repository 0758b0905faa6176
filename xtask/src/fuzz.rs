//! `cargo xtask fuzz`: the targets of `fuzz/` on the stable compiler, seeded with the recorded bytes the tests use.
//! Knows how libFuzzer is told things; what a target asserts is the target's.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::command::{built, cargo, command, output, root, run as run_it, target};

/// What cargo-fuzz passes as well, without a sanitiser: that part needs no nightly compiler.
const INSTRUMENTED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// Recorded bytes that every target starts from.
const SEEDS: &[&str] = &["crates/wire/tests/golden", "crates/testkit/fixtures", "fuzz/seeds", "config"];

/// Longest input tried, in bytes: enough for every seed.
const LONGEST: &str = "-max_len=65536";

/// Fuzzes one target, or all in turn, for so many seconds each.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let known = targets()?;
    let (names, seconds) = match arguments {
        [] => (known, "60"),
        [name] if known.contains(name) => (vec![name.clone()], "60"),
        [name, seconds] if known.contains(name) => (vec![name.clone()], seconds.as_str()),
        _ => return Err(format!("the targets are {}", known.join(", "))),
    };
    let place = target().join("fuzz");
    // For a named target the flags reach our code only, not the build scripts that run here.
    let host = host()?;
    build(cargo(&["build", "--release", "--target", &host]).env("RUSTFLAGS", INSTRUMENTED), &place)?;
    let place = place.join(host);
    for name in names {
        let corpus = place.join("corpus").join(&name);
        std::fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
        let crashes = format!("-artifact_prefix={}/", corpus.display());
        let mut fuzz = command(place.join("release").join(&name));
        fuzz.args([&format!("-max_total_time={seconds}"), LONGEST, "-print_final_stats=1", &crashes]);
        run_it(fuzz.arg(corpus).args(seeds()))?;
    }
    Ok(())
}

/// Runs every target once over every seed, without instruments: a plain test.
pub(crate) fn replay() -> Outcome {
    build(&mut cargo(&["build"]), &target())?;
    for name in targets()? {
        run_it(command(built("debug", &name)).args(["-runs=0", LONGEST]).args(seeds()))?;
    }
    Ok(())
}

/// The triple of this machine, as the compiler calls it.
fn host() -> Outcome<String> {
    let version = output(command("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| format!("rustc does not say its host: {version}"))
}

fn build(cargo: &mut Command, place: &std::path::Path) -> Outcome {
    run_it(cargo.args(["--bins", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(place))
}

/// One target for each file.
fn targets() -> Outcome<Vec<String>> {
    let place = root().join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let name = file.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

fn seeds() -> Vec<PathBuf> {
    SEEDS.iter().map(|seed| root().join(seed)).filter(|seed| seed.is_dir()).collect()
}
