//! `waypost alerts`: what a running gateway has told of budgets, credit, limits and cost. Tests: `it/alerts.rs`.

use clap::Subcommand;

use super::asking::Asking;
use super::print::Column;

/// What can be done with alerts.
#[derive(Subcommand, Clone, Debug)]
pub enum Alerts {
    /// Lists alerts, the newest first.
    List {
        /// Only of this kind: budget, credit, key_usage, token_quota or cost.
        #[arg(long)]
        kind: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
}

const COLUMNS: &[Column] =
    &[("AT", "/created_at"), ("KIND", "/kind"), ("PER CENT", "/mark"), ("TOLD", "/told_at"), ("MESSAGE", "/message")];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Alerts) -> Result<(), String> {
    let Alerts::List { kind, asking } = wanted;
    asking.list("/admin/alerts", &[("kind", kind.as_deref())], COLUMNS).await
}
