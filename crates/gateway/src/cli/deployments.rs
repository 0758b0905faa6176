//! `waypost deployments`: each model on each channel of a running gateway, and how it is doing. Tests: `it/commands.rs`.

use clap::Subcommand;

use super::asking::{Asking, One};
use super::print::Column;

/// What can be done with deployments.
#[derive(Subcommand, Clone, Debug)]
pub enum Deployments {
    /// Lists deployments with what breakers, limits and cooldowns say of them.
    List {
        /// Only those of this channel, by its name.
        #[arg(long)]
        channel: Option<String>,
        /// Only those of this model.
        #[arg(long)]
        model: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Forgets the failures of a deployment.
    Reset(One),
}

const PATH: &str = "/admin/deployments";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("DEPLOYMENT", "/label"),
    ("TIER", "/tier"),
    ("WEIGHT", "/weight"),
    ("STATE", "/state"),
    ("REQUESTS", "/requests"),
    ("FAILURES", "/failures"),
    ("MS", "/latency_ms"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Deployments) -> Result<(), String> {
    match wanted {
        Deployments::List { channel, model, asking } => {
            let asked = [("channel", channel.as_deref()), ("model", model.as_deref())];
            asking.list(PATH, &asked, COLUMNS).await
        }
        Deployments::Reset(One { id, asking }) => asking.change("POST", &format!("{PATH}/{id}/reset"), None).await,
    }
}
