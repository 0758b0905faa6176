//! `waypost ledger`: proves that the books are whole, prints them, lets an account spend again that was read-only, or writes off what a
//! node holds that does not come back. May run beside gateways that serve. Exit code 0 if all is as it was written, 1 if not. Tests: `it/ledger_cli.rs`, against the built
//! binary.

mod accounts;
mod nodes;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use waypost_store::StoreError;
use waypost_store::journal::{Anchor, last_anchor};
use waypost_store::ledger::ChainKey;
use waypost_store::ledger::export::{Between, Format, export};
use waypost_store::ledger::verify::Verifier;

use super::database::Which;
use super::print::say;
use crate::config_sources::{Mistakes, Wanted};
use crate::ledger::{self, PURPOSE};
use crate::pipeline::meter::Chain;

/// What can be done with the ledger.
#[derive(Subcommand, Clone, Debug)]
pub enum Ledger {
    /// Proves that balances are the sums of their entries, and that nothing was changed, taken out, put in or cut off.
    Verify(Verify),
    /// Prints every transaction of a time, oldest first.
    Export(Exporting),
    /// Lets an account spend again whose books did not add up, once somebody has looked.
    Unfreeze(accounts::Unfreeze),
    /// Lists the nodes that ever wrote into the ledger, and when each was last seen.
    Nodes(nodes::Nodes),
    /// Gives all nodes back what one has taken to itself that does not come back. Says what it would do; does it with --yes.
    WriteOff(nodes::WriteOff),
}

/// What to prove, and how that is told.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The folder of the journal, which knows where the ledger ended [default: beside the database].
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// What to print, and where.
#[derive(Args, Clone, Debug)]
pub struct Exporting {
    /// A line for each movement (csv), or for each transaction (json).
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: Form,
    /// From this time on, in milliseconds since 1970.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    since: i64,
    /// Before this time, in milliseconds since 1970.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = i64::MAX)]
    until: i64,
    /// The file to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Form {
    Csv,
    Json,
}

/// Does it, prints what came of it and gives the exit code.
pub async fn run(wanted: &Ledger, config: Wanted) -> Result<ExitCode, Mistakes> {
    match wanted {
        Ledger::Verify(wanted) => verify(wanted, config).await,
        Ledger::Export(wanted) => write(wanted, config).await,
        Ledger::Unfreeze(wanted) => accounts::unfreeze(wanted, config).await,
        Ledger::Nodes(wanted) => nodes::list(wanted, config).await,
        Ledger::WriteOff(wanted) => nodes::write_off(wanted, config).await,
    }
}

async fn verify(wanted: &Verify, config: Wanted) -> Result<ExitCode, Mistakes> {
    let (database, vault) = wanted.which.open(config).await?;
    let failed = |error: &StoreError| vec![format!("{}: {}", database.name, Chain(error))];
    let key = ChainKey::new(&*vault.derive(PURPOSE));
    let folder = wanted.journal.clone().unwrap_or_else(|| ledger::folder(&database.config, &database.store));
    // The journal is read first: what it knows of is in the database by then.
    let anchor = ledger::node_of(&folder, database.store.kind()).zip(last_anchor(&folder));
    let anchors: Vec<(&str, &Anchor)> = anchor.iter().map(|(node, anchor)| (node.as_str(), anchor)).collect();
    let report = Verifier::new(key).pass(&database.store, &anchors).await.map_err(|error| failed(&error))?;
    database.store.close().await;
    let whole = report.flaws.is_empty();
    if wanted.json {
        let flaws: Vec<String> = report.flaws.iter().map(ToString::to_string).collect();
        let (transactions, accounts) = (report.transactions, report.accounts);
        say(&json!({ "whole": whole, "transactions": transactions, "accounts": accounts, "flaws": flaws }).to_string());
    } else {
        report.flaws.iter().for_each(|flaw| say(&flaw.to_string()));
        let (transactions, accounts, flaws) = (report.transactions, report.accounts, report.flaws.len());
        let end = if whole { "whole".to_owned() } else { format!("NOT WHOLE: {flaws} flaws") };
        say(&format!("{}: {transactions} transactions of {accounts} accounts: {end}", database.name));
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn write(wanted: &Exporting, config: Wanted) -> Result<ExitCode, Mistakes> {
    let (database, _) = wanted.which.open(config).await?;
    let mut out: Box<dyn Write + Send> = match &wanted.output {
        Some(path) => {
            let file = std::fs::File::create(path);
            Box::new(file.map_err(|error| vec![format!("{} cannot be written: {error}", path.display())])?)
        }
        None => Box::new(std::io::stdout()),
    };
    let format = match wanted.format {
        Form::Csv => Format::Csv,
        Form::Json => Format::Json,
    };
    let done = export(&database.store, format, Between(wanted.since, wanted.until), &mut *out).await;
    done.map_err(|error| vec![format!("{}: {}", database.name, Chain(&error))])?;
    database.store.close().await;
    Ok(ExitCode::SUCCESS)
}
