//! `waypost ledger unfreeze`: the way out of read-only for an account whose books did not add up. Proves nothing: a gateway that finds
//! them wrong still makes it read-only again. Tests: `it/ledger_cli.rs`.

use std::process::ExitCode;

use clap::Args;
use waypost_core::ledger::Account;
use waypost_core::role::Actor;

use crate::cli::database::Which;
use crate::cli::print::say;
use crate::clock::unix_millis;
use crate::config_sources::{Mistakes, Wanted};
use crate::pipeline::meter::Chain;

/// Which account, of which database.
#[derive(Args, Clone, Debug)]
pub struct Unfreeze {
    /// The account, as `waypost ledger verify` names it: user:<id>, team:<id> or key:<id>.
    account: String,
    #[command(flatten)]
    which: Which,
}

/// Lets it spend again.
pub(super) async fn unfreeze(wanted: &Unfreeze, config: Wanted) -> Result<ExitCode, Mistakes> {
    let account = Account::parse(&wanted.account).map_err(|bad| vec![format!("ACCOUNT: {bad}")])?;
    let database = wanted.which.existing(config).await?;
    let done = database.store.unfreeze(&account, (&Actor::cli(), unix_millis())).await;
    done.map_err(|error| vec![format!("{}: nothing was changed: {}", database.name, Chain(&error))])?;
    database.store.close().await;
    say(&format!("{account} may be spent from again, at every gateway within a second"));
    Ok(ExitCode::SUCCESS)
}
