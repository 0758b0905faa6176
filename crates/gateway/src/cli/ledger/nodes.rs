//! `waypost ledger nodes` and `write-off`: which processes keep money of a shared database to themselves, and getting it back from
//! one that does not come back. Decides nothing about what a node holds. Tests: `it/ledger_cli.rs`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use waypost_core::role::Actor;
use waypost_store::Kind;
use waypost_store::ledger::{Lease, Node};

use crate::cli::database::{Connected, Which, now};
use crate::cli::print::{Column, say, things};
use crate::config_sources::{Mistakes, Wanted};
use crate::pipeline::meter::Chain;
use crate::telemetry::rfc_3339;

/// Which database, and how its nodes are told.
#[derive(Args, Clone, Debug)]
pub struct Nodes {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// What to write off.
#[derive(Args, Clone, Debug)]
pub struct WriteOff {
    /// The node, as `waypost ledger nodes` prints it.
    node: String,
    /// Do it. Without this, it only says what would be done.
    #[arg(long)]
    yes: bool,
    /// A node may be alive unless it has not been seen for so many seconds; 60 at least.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(i64).range(60..=31_536_000))]
    unseen_for: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

const COLUMNS: &[Column] =
    &[("NODE", "/node"), ("SEEN", "/seen_at"), ("WRITTEN OFF", "/written_off"), ("PURSES", "/purses")];
const LEASES: &[Column] = &[("PURSE", "/purse"), ("WINDOW", "/window_at"), ("USD", "/amount")];

/// Tells the nodes.
pub(super) async fn list(wanted: &Nodes, config: Wanted) -> Result<ExitCode, Mistakes> {
    let database = wanted.which.existing(config).await?;
    let mut all = Vec::new();
    for node in database.nodes().await? {
        let purses = database.leases(&node.name).await?.len();
        let Node { name, seen_at, written_off } = node;
        all.push(json!({ "node": name, "seen_at": seen_at, "written_off": written_off, "purses": purses }));
    }
    database.store.close().await;
    say(&if wanted.json { json!({ "data": all }).to_string() } else { things(COLUMNS, &all) });
    Ok(ExitCode::SUCCESS)
}

/// Writes a node off, or says what that would do.
pub(super) async fn write_off(wanted: &WriteOff, config: Wanted) -> Result<ExitCode, Mistakes> {
    let database = wanted.which.existing(config).await?;
    if database.store.kind() == Kind::Sqlite {
        let why =
            "an embedded database has one gateway, and nothing of it is lent to any: there is nothing to write off";
        return Err(vec![format!("{}: {why}", database.name)]);
    }
    let (name, now) = (wanted.node.as_str(), now());
    let alive_since = now.saturating_sub(wanted.unseen_for.saturating_mul(1000));
    let node = database.nodes().await?.into_iter().find(|node| node.name == name).ok_or_else(|| {
        vec![format!("NODE: there is no `{name}` in this ledger; `waypost ledger nodes` prints those that there are")]
    })?;
    let seen = rfc_3339(u64::try_from(node.seen_at).unwrap_or_default());
    if node.seen_at >= alive_since {
        let since = wanted.unseen_for;
        return Err(vec![format!(
            "NODE: {name} was seen at {seen}, less than {since} s ago, and may be alive; stop it and start it again, or make sure \
             that it never comes back, and wait"
        )]);
    }
    let leases = match wanted.yes {
        true => {
            let done = database.store.write_off(name, alive_since, (&Actor::cli(), now)).await;
            done.map_err(|error| vec![format!("{}: nothing was changed: {}", database.name, Chain(&error))])?
        }
        false => database.leases(name).await?,
    };
    database.store.close().await;
    let told: Vec<Value> = leases.iter().map(shown).collect();
    if wanted.json {
        say(&json!({ "node": name, "seen_at": node.seen_at, "done": wanted.yes, "leases": told }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if !told.is_empty() {
        say(&things(LEASES, &told));
    }
    say(&match wanted.yes {
        true => format!("{name}, last seen at {seen}, is written off; all nodes can spend this again"),
        false => format!(
            "{name} was last seen at {seen}. Nothing was changed: with --yes, all nodes can spend this again, and what {name} \
             admitted and did not report is the operator's to pay"
        ),
    });
    Ok(ExitCode::SUCCESS)
}

fn shown(Lease { purse, start, unspent }: &Lease) -> Value {
    let window = Some(start).filter(|start| **start > 0);
    json!({ "purse": purse, "window_at": window, "amount": unspent.to_string() })
}

impl Connected {
    async fn nodes(&self) -> Result<Vec<Node>, Mistakes> {
        self.store.nodes().await.map_err(|error| vec![format!("{} cannot be read: {}", self.name, Chain(&error))])
    }

    async fn leases(&self, node: &str) -> Result<Vec<Lease>, Mistakes> {
        self.store.leases(node).await.map_err(|error| vec![format!("{} cannot be read: {}", self.name, Chain(&error))])
    }
}
