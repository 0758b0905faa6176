//! `waypost sessions`: who is signed in to a running gateway, and ending that. Tests: `it/commands.rs`.

use clap::Subcommand;

use super::asking::{Asking, One};
use super::print::Column;

/// What can be done with sessions.
#[derive(Subcommand, Clone, Debug)]
pub enum Sessions {
    /// Lists sessions that live, the newest first.
    List {
        /// Only those of this user.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Ends a session at once.
    Revoke(One),
}

const PATH: &str = "/admin/sessions";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("USER", "/user"),
    ("TEAM", "/team"),
    ("BEGUN", "/created_at"),
    ("SEEN", "/changed_at"),
    ("ADDRESS", "/address"),
    ("CLIENT", "/agent"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Sessions) -> Result<(), String> {
    match wanted {
        Sessions::List { user, asking } => asking.list(PATH, &[("user", user.as_deref())], COLUMNS).await,
        Sessions::Revoke(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is revoked")).await
        }
    }
}
