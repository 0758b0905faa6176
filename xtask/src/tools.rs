//! Tools that cargo can install: taken from the path when they are there, else put under the target directory.

use std::path::PathBuf;

use crate::Outcome;
use crate::command::{cargo, run, target, works};

/// The version the repository's `deny.toml` is written for; a newer one on the path will do.
const CARGO_DENY: &str = "0.20.2";

/// cargo-deny, installed if need be.
pub(crate) fn cargo_deny() -> Outcome<PathBuf> {
    if works("cargo-deny", &["--version"]) {
        return Ok("cargo-deny".into());
    }
    let place = target().join("tools");
    let installed = place.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if !works(&installed.to_string_lossy(), &["--version"]) {
        // An optimised build takes several times as long and the check is over in a second either way.
        let mut install = cargo(&["install", "--locked", "--debug", "--quiet", "--version", CARGO_DENY, "--root"]);
        install.arg(&place).arg("cargo-deny");
        install.env("CARGO_TARGET_DIR", place.join("build")).env("CARGO_PROFILE_DEV_DEBUG", "0");
        run(&mut install)?;
        // Only the program is wanted. What cannot be removed is merely in the way.
        std::fs::remove_dir_all(place.join("build")).ok();
    }
    Ok(installed)
}
