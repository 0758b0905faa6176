//! `waypost teams`: the tenants of a running gateway. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::asking::{Asking, Id, One, OrNone, body};
use super::print::Column;

/// What can be done with teams.
#[derive(Subcommand, Clone, Debug)]
pub enum Teams {
    /// Lists teams, the newest first.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows one team.
    Show(One),
    /// Makes a team.
    Create(Create),
    /// Changes a team; what is left out stays.
    Change(Change),
    /// Lets nobody of a team call or sign in, at once.
    Disable(One),
    /// Lets a disabled team in again.
    Enable(One),
}

/// A team to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    name: String,
    /// For its users who have no plan of their own, by its id.
    #[arg(long)]
    plan: Option<Id>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

/// What is to be different.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Change {
    /// The team's id.
    #[serde(skip)]
    id: Id,
    #[arg(long)]
    name: Option<String>,
    /// Another plan, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<OrNone<Id>>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/teams";

const COLUMNS: &[Column] =
    &[("ID", "/id"), ("NAME", "/name"), ("PLAN", "/plan"), ("ENABLED", "/enabled"), ("MADE", "/created_at")];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Teams) -> Result<(), String> {
    match wanted {
        Teams::List { asking } => asking.list(PATH, &[], COLUMNS).await,
        Teams::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Teams::Create(create) => create.asking.change("POST", PATH, body(create)?).await,
        Teams::Change(change) => change.asking.change("PATCH", &format!("{PATH}/{}", change.id), body(change)?).await,
        Teams::Disable(one) => one.enable(PATH, false).await,
        Teams::Enable(one) => one.enable(PATH, true).await,
    }
}
