//! `waypost export`: the catalog of the database as one JSON document. Decides when secrets are in it. Tests: `it/transfer.rs`,
//! against the built binary.

use clap::Args;

use super::database::Which;
use super::print::say;
use crate::config_sources::{Mistakes, Wanted};
use crate::pipeline::meter::Chain;
use crate::transfer::export;

/// What is to be exported.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// With the keys of the providers. Whoever runs this needs the master key of the database.
    #[arg(long)]
    with_secrets: bool,
    #[command(flatten)]
    which: Which,
}

/// Prints the document.
pub async fn run(wanted: &Export, config: Wanted) -> Result<(), Mistakes> {
    let (database, vault) = wanted.which.open(config).await?;
    let failed =
        |error: &dyn std::error::Error| vec![format!("{} cannot be exported: {}", database.name, Chain(error))];
    let open = match wanted.with_secrets {
        true => Some(database.store.catalog(&vault).await.map_err(|error| failed(&error))?.catalog),
        false => None,
    };
    if let Some(broken) = open.as_ref().and_then(|catalog| catalog.broken.first()) {
        return Err(vec![broken.to_string()]);
    }
    let document = export(&database.store, open.as_ref()).await.map_err(|error| failed(&error))?;
    database.store.close().await;
    say(&format!("{document:#}"));
    Ok(())
}
