//! A Postgres for the tests of one run, which share it: a server for each would take longer than the tests.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::Outcome;
use crate::command::{cargo, works};

/// How tests learn of the server; the same name as in the test kit.
pub(crate) const VARIABLE: &str = "WAYPOST_TEST_POSTGRES";

/// A running server; it ends with this.
pub(crate) struct Postgres {
    keeper: Child,
    pub(crate) url: String,
}

/// Says how to get Postgres if it is not here, before anything is built.
pub(crate) fn required() -> Outcome {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let there = debian.map(|version| version.path().join("bin/initdb")).any(|program| program.is_file());
    if there || works("initdb", &["--version"]) {
        return Ok(());
    }
    Err("the tests run on Postgres, too, and its server is not installed; on Debian or Ubuntu: apt-get install postgresql".to_owned())
}

impl Postgres {
    pub(crate) fn start() -> Outcome<Self> {
        let mut command = cargo(&["run", "--quiet", "-p", "waypost-testkit", "--bin", "test-postgres"]);
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = keeper.map_err(|error| format!("cargo did not start: {error}"))?;
        let said = keeper.stdout.take().and_then(|said| BufReader::new(said).lines().next());
        match said {
            Some(Ok(url)) => Ok(Self { keeper, url }),
            Some(Err(_)) | None => {
                keeper.wait().ok();
                Err("the tests' Postgres did not start; the lines above say why".to_owned())
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // What cannot be waited for has ended already.
        self.keeper.wait().ok();
    }
}
