//! `waypost budgets`: money in a window, for the instance, a team, a user, a key or a group of models. Tests:
//! `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_core::ledger::{Scope, Window};
use waypost_core::money::NanoUsd;

use super::asking::{Asking, Id, One, body};
use super::print::Column;

/// What can be done with budgets.
#[derive(Subcommand, Clone, Debug)]
pub enum Budgets {
    /// Lists budgets.
    List {
        /// Only those of this: global, `team:<id>`, `user:<id>`, `key:<id>` or `group:<name>`.
        #[arg(long, value_parser = scope)]
        scope: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows one budget with what was spent in its last windows.
    Show(One),
    /// Makes a budget, in effect at once.
    Create(Create),
    /// Changes a budget, at once; what is left out stays. What it is for and its window stay in any case.
    Change(Change),
    /// Ends a budget. What was spent in it stays in the ledger.
    Delete(One),
}

/// A budget to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    /// What it is for: global, `team:<id>`, `user:<id>`, `key:<id>` or `group:<name>`.
    #[arg(long, value_parser = scope)]
    scope: String,
    /// How long until the amount is there again.
    #[arg(long, value_parser = Window::ALL.map(Window::name))]
    window: String,
    /// In USD, such as 100.
    #[arg(long, value_name = "USD")]
    amount: NanoUsd,
    /// A hard one (true) refuses what does not fit; a soft one (false) only tells [default: true].
    #[arg(long)]
    hard: Option<bool>,
    /// A per cent of the amount at which it tells; can be given again [default: 50, 80 and 100].
    #[arg(long = "alert", value_name = "PER CENT")]
    alerts: Option<Vec<u16>>,
    /// What becomes of requests that a hard one has not enough for [default: refuse].
    #[arg(long, value_parser = WHEN_SPENT)]
    when_spent: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

/// What is to be different.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Change {
    /// The budget's id.
    #[serde(skip)]
    id: Id,
    /// In USD, such as 100.
    #[arg(long, value_name = "USD")]
    amount: Option<NanoUsd>,
    /// A hard one (true) refuses what does not fit; a soft one (false) only tells.
    #[arg(long)]
    hard: Option<bool>,
    /// The per cents of the amount at which it tells from now on; can be given again.
    #[arg(long = "alert", value_name = "PER CENT")]
    alerts: Option<Vec<u16>>,
    /// What becomes of requests that it has not enough for from now on.
    #[arg(long, value_parser = WHEN_SPENT)]
    when_spent: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

/// `degrade` lets requests fall to what is cheaper.
const WHEN_SPENT: [&str; 2] = ["refuse", "degrade"];

const PATH: &str = "/admin/budgets";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("SCOPE", "/scope"),
    ("WINDOW", "/window"),
    ("USD", "/amount"),
    ("HARD", "/hard"),
    ("ALERTS", "/alerts"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Budgets) -> Result<(), String> {
    match wanted {
        Budgets::List { scope, asking } => asking.list(PATH, &[("scope", scope.as_deref())], COLUMNS).await,
        Budgets::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Budgets::Create(create) => create.asking.change("POST", PATH, body(create)?).await,
        Budgets::Change(change) => change.asking.change("PATCH", &format!("{PATH}/{}", change.id), body(change)?).await,
        Budgets::Delete(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is deleted")).await
        }
    }
}

fn scope(text: &str) -> Result<String, String> {
    Scope::parse(text).map(|scope| scope.to_string()).map_err(|error| error.to_string())
}
