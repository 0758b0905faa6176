//! `waypost audit`: proves that the log of what was done is whole, or prints it. Reads the database as it is, or an export of
//! it, and changes neither. Exit code 0 if all is well, 1 if something was touched. Tests: `it/auth/start.rs`.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use waypost_store::audit::{self, Head, Row, Verified, Walk};
use waypost_store::{Store, StoreError};

use super::database::Which;
use super::print::say;
use crate::config_sources::{Mistakes, Wanted};
use crate::pipeline::meter::Chain;

/// What to do with the log.
#[derive(Subcommand, Clone, Debug)]
pub enum Auditing {
    /// Walks the chain from the first row to the last, and names each row that was changed, moved or taken out.
    Verify {
        /// The end of the chain as an earlier verification told it: proves that nothing before it was rewritten since.
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<Kept>,
        /// Verify an export instead of the database.
        #[arg(long, value_name = "FILE", conflicts_with = "database")]
        file: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Prints every row as a line of JSON, and the end of the chain as the last one.
    Export {
        #[command(flatten)]
        which: Which,
    },
}

/// A head as it is written on the command line.
#[derive(Clone, Debug)]
pub struct Kept(Head);

impl FromStr for Kept {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a number, a colon and 64 hexadecimal digits, as `waypost audit verify` prints them";
        let (number, hash) = text.split_once(':').ok_or(wrong)?;
        let good = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = number.parse().ok().filter(|number| *number > 0 && good).ok_or(wrong)?;
        Ok(Self(Head { number, hash: hash.to_ascii_lowercase() }))
    }
}

/// The last line of an export.
#[derive(Serialize, Deserialize)]
struct End {
    head: Head,
}

/// How many rows are in memory at a time.
const BATCH: i64 = 1000;

/// Does it, and tells what came of it.
pub async fn run(wanted: &Auditing, config: Wanted) -> Result<ExitCode, Mistakes> {
    match wanted {
        Auditing::Verify { head, file: Some(file), .. } => {
            of_file(file, head.as_ref().map(|kept| &kept.0)).map(|verified| tell(&verified))
        }
        Auditing::Verify { head, file: None, which } => {
            let store = which.existing(config).await?.store;
            let verified = audit::verify(&store, head.as_ref().map(|kept| &kept.0)).await;
            store.close().await;
            verified.map(|verified| tell(&verified)).map_err(failed)
        }
        Auditing::Export { which } => {
            let store = which.existing(config).await?.store;
            let exported = export(&store).await;
            store.close().await;
            exported.map(|()| ExitCode::SUCCESS).map_err(failed)
        }
    }
}

fn tell(verified: &Verified) -> ExitCode {
    for fault in &verified.faults {
        say(fault);
    }
    let Verified { rows, head, faults } = verified;
    if !faults.is_empty() {
        say("the log was touched, or is damaged");
        return ExitCode::FAILURE;
    }
    say(&format!("{rows} rows, and all are whole"));
    if head.number > 0 {
        say(&format!("keep this elsewhere, for --head: {}:{}", head.number, head.hash));
    }
    ExitCode::SUCCESS
}

async fn export(store: &Store) -> Result<(), StoreError> {
    // Rows that are added meanwhile are left for the next time.
    let head = audit::head(store).await?;
    let mut last = 0;
    while last < head.number {
        let rows = audit::after(store, last, BATCH).await?;
        let Some(newest) = rows.last().map(|row| row.number) else { break };
        for row in rows.iter().filter(|row| row.number <= head.number) {
            say(&serde_json::to_string(row).unwrap_or_default());
        }
        last = newest;
    }
    say(&serde_json::to_string(&End { head }).unwrap_or_default());
    Ok(())
}

fn of_file(file: &Path, kept: Option<&Head>) -> Result<Verified, Mistakes> {
    let name = file.display();
    let unreadable = |error: std::io::Error| vec![format!("{name} cannot be read: {error}")];
    let lines = std::io::BufReader::new(std::fs::File::open(file).map_err(unreadable)?).lines();
    let mut walk = Walk::new(kept);
    for (line, number) in lines.zip(1_u64..) {
        let line = line.map_err(unreadable)?;
        if let Ok(row) = serde_json::from_str::<Row>(&line) {
            walk.step(row);
        } else if let Ok(End { head }) = serde_json::from_str(&line) {
            return Ok(walk.end(head));
        } else {
            return Err(vec![format!("{name}:{number}: this is no line of `waypost audit export`")]);
        }
    }
    Err(vec![format!("{name}: it ends before the last line of an export, which names the end of the chain")])
}

fn failed(error: StoreError) -> Mistakes {
    vec![format!("the database cannot be read: {}", Chain(&error))]
}
