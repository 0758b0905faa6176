//! `waypost secrets rotate`: another master key. Decides where the new key comes from and how it takes the place of the old one.
//! Tests: `it/transfer.rs`, against the built binary.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use waypost_store::seal::{KeyOrigin, KeySource};

use super::database::{Which, no_dice};
use super::print::say;
use crate::catalog::dice;
use crate::clock::unix_millis;
use crate::config_sources::{Mistakes, Wanted, variables};
use crate::master_key;
use crate::pipeline::meter::Chain;

/// What can be done about secrets.
#[derive(Subcommand, Clone, Debug)]
pub enum Sealing {
    /// Seals every secret of the database with another master key, all of them or none. Stop the gateways first, and start them with
    /// the new key.
    Rotate(Rotate),
}

/// How to rotate.
#[derive(Args, Clone, Debug)]
pub struct Rotate {
    /// The file of the new master key; made if it is not there.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Does it, and says what was done.
pub async fn run(wanted: &Sealing, config: Wanted) -> Result<(), Mistakes> {
    let Sealing::Rotate(wanted) = wanted;
    let database = wanted.which.connect(config).await?;
    let failed =
        |error: &dyn std::error::Error| vec![format!("{}: nothing was changed: {}", database.name, Chain(error))];
    let known = database.store.sealed_with().await.map_err(|error| failed(&error))?;
    let mut dice = dice().ok_or_else(no_dice)?;
    // Without a known id, a key would be made that seals nothing.
    let known = known.ok_or_else(|| vec![format!("{}: it holds no secrets yet", database.name)])?;
    let source = master_key::source(&database.config, &variables()?);
    let (old, _) = source.find(Some(known), dice.bytes()).map_err(|error| failed(&error))?;
    let to = KeySource { text: None, file: None, beside: wanted.to.clone() };
    let (new, origin) = to.find(None, dice.bytes()).map_err(|error| failed(&error))?;
    if let KeyOrigin::Made(path) = &origin {
        say(&format!("made a new master key in {}; keep a copy of it apart from the database", path.display()));
    }
    let rotated =
        database.store.rotate_master_key(&old, &new, &mut dice, unix_millis()).await.map_err(|error| failed(&error))?;
    database.store.close().await;
    let (secrets, from, to) = (rotated.secrets, rotated.from, rotated.to);
    say(&format!("{}: {secrets} secrets sealed anew, master key {from} -> {to}", database.name));
    say(&format!("start the gateways with WAYPOST_MASTER_KEY_FILE={}", wanted.to.display()));
    Ok(())
}
