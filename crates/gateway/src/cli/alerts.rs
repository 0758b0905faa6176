//! `waypost alerts`: what a running gateway has told of budgets, credit, limits and cost. Tests: `it/alerts.rs`.

use clap::Subcommand;
use serde_json::Value;

use super::print::{say, table};
use super::remote::{Remote, text};
use crate::telemetry::wall::rfc_3339;

/// What can be done with alerts.
#[derive(Subcommand, Clone, Debug)]
pub enum Alerts {
    /// Lists alerts, the newest first.
    List {
        /// Only of this kind: budget, credit, key_usage, token_quota or cost.
        #[arg(long)]
        kind: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Does it, and prints what came of it.
pub async fn run(wanted: &Alerts) -> Result<(), String> {
    match wanted {
        Alerts::List { kind, remote } => {
            let mut rows = vec![["AT", "KIND", "MARK", "TOLD", "MESSAGE"].map(str::to_owned).to_vec()];
            let kind = kind.as_ref().map_or(String::new(), |kind| format!("&kind={kind}"));
            for alert in remote.all(&format!("/admin/alerts?limit=500{kind}")).await? {
                rows.push(row(&alert));
            }
            say(&table(&rows));
        }
    }
    Ok(())
}

fn row(alert: &Value) -> Vec<String> {
    let told = if alert["told_at"].is_null() { "no" } else { "yes" };
    let at = rfc_3339(alert["created_at"].as_u64().unwrap_or_default());
    let mark = format!("{} %", alert["mark"].as_i64().unwrap_or_default());
    vec![at, text(alert, "kind").to_owned(), mark, told.to_owned(), text(alert, "message").to_owned()]
}
