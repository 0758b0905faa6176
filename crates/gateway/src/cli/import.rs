//! `waypost import`: a file into the database. Decides what is read and how it is told what became of it. Tests: `it/transfer.rs`,
//! against the built binary.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use waypost_core::config::{Format, Text};
use waypost_core::role::Actor;
use waypost_store::StoreError;
use waypost_store::audit::{self, Entry};
use waypost_store::catalog::Changes;

use super::database::{Which, no_dice};
use super::print::{say, table};
use crate::catalog::dice;
use crate::clock::unix_millis;
use crate::config_sources::{Mistakes, Wanted, variables};
use crate::pipeline::meter::Chain;
use crate::transfer::{Counts, Taken, read, take};

/// Larger files are no configurations.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What is to be imported.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// The file: JSON, YAML or SQL.
    file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    which: Which,
}

/// Imports, and says what became of each part.
pub async fn run(wanted: &Import, config: Wanted) -> Result<(), Mistakes> {
    let plan = read(&text(&wanted.file)?, &variables()?)?;
    let (database, vault) = wanted.which.open(config).await?;
    let failed =
        |error: &dyn std::error::Error| vec![format!("{}: nothing was imported: {}", database.name, Chain(error))];
    let dice = dice().ok_or_else(no_dice)?;
    let mut changes =
        database.store.change_catalog(&vault, dice, unix_millis()).await.map_err(|error| failed(&error))?;
    let taken = take(&plan, &mut changes).await.map_err(|error| failed(&error))?;
    if wanted.dry_run {
        drop(changes);
    } else {
        commit(changes, wanted, &taken).await.map_err(|error| failed(&error))?;
    }
    plan.notes.iter().for_each(|note| say(note));
    tell(&taken);
    let verb = if wanted.dry_run { "would be made" } else { "made" };
    say(&format!("{}: {} changes {verb}", database.name, taken.changes()));
    database.store.close().await;
    Ok(())
}

/// Makes the changes, with a row in the audit log if there are any.
async fn commit(changes: Changes<'_>, wanted: &Import, taken: &Taken) -> Result<(), StoreError> {
    let (mut tx, _) = changes.finish().await?;
    if taken.changes() > 0 {
        let (actor, file) = (Actor::cli(), wanted.file.display().to_string());
        let detail = json!({
            "providers": taken.providers, "channels": taken.channels, "credentials": taken.credentials,
            "model_groups": taken.groups, "settings": taken.settings, "keys": taken.keys,
        });
        let entry = Entry {
            at: unix_millis(),
            actor: &actor,
            action: "catalog.import",
            subject: &file,
            team: None,
            detail: &detail,
            address: None,
            request_id: None,
        };
        audit::append(&mut tx, entry).await?;
    }
    Ok(tx.commit().await?)
}

fn text(path: &PathBuf) -> Result<Text, Mistakes> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| vec![format!("{name}: cannot be read: {error}")];
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(vec![format!("{name}: more than {} MiB; split it", MAX_BYTES >> 20)]);
    }
    Ok(Text { format: Format::of(&name), name, text })
}

fn tell(taken: &Taken) {
    let row = |name: &str, counts: &Counts| {
        let Counts { read, created, changed, unchanged, skipped } = counts;
        let cells = [read, created, changed, unchanged, skipped].map(ToString::to_string);
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let head = ["", "READ", "CREATED", "CHANGED", "UNCHANGED", "SKIPPED"].map(str::to_owned).to_vec();
    say(&table(&[
        head,
        row("providers", &taken.providers),
        row("channels", &taken.channels),
        row("credentials", &taken.credentials),
        row("model groups", &taken.groups),
        row("settings", &taken.settings),
        row("keys", &taken.keys),
    ]));
    for skipped in &taken.skipped {
        say(&format!("skipped: {}: {}", skipped.what, skipped.reason));
    }
}
