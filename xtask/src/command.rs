//! Starts other programs and says what failed. Knows where the repository and its target directory are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

/// The repository: the one `cargo xtask` was called in, which need not be where this was compiled.
pub(crate) fn root() -> PathBuf {
    let called = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = called.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned());
    here.parent().map(Path::to_owned).unwrap_or(here)
}

/// Where cargo puts what it builds, and we what we install.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(given) => root().join(given),
        None => root().join("target"),
    }
}

/// A program built by cargo, in that profile's directory.
pub(crate) fn built(profile: &str, program: &str) -> PathBuf {
    target().join(profile).join(format!("{program}{}", std::env::consts::EXE_SUFFIX))
}

/// A command that works in the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs us. It is not told what it told us of ourselves: some build scripts look at that, and what a plain `cargo
/// build` has built would be built again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let is_of_us = |name: &OsStr| name == "CARGO_MANIFEST_DIR" || name.as_encoded_bytes().starts_with(b"CARGO_PKG_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_us(name)) {
        cargo.env_remove(name);
    }
    cargo.args(arguments);
    cargo
}

/// Runs it, its output going where ours goes, and wants it to succeed.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let shown = shown(command);
    eprintln!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

/// Runs it silently and gives what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let shown = shown(command);
    match command.stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("`{shown}` ended with {}", output.status)),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

/// Whether it starts and succeeds.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    output(command(program).args(arguments)).is_ok()
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
