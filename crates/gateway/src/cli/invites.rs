//! `waypost invites`: secrets that let somebody register once. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_core::role::Role;

use super::asking::{Asking, Id, One, body};
use super::print::{Column, say};
use super::remote::text;

/// What can be done with invites.
#[derive(Subcommand, Clone, Debug)]
pub enum Invites {
    /// Lists invites and resets, the newest first.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Makes an invite and prints its secret, once.
    Create(Create),
    /// Takes an invite back before it is used.
    Withdraw(One),
}

/// An invite to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    /// Only this address may use it [default: any].
    #[arg(long)]
    email: Option<String>,
    /// What whoever uses it may [default: member].
    #[arg(long, value_parser = Role::ALL.map(Role::name))]
    role: Option<String>,
    /// The team that it leads to, by its id.
    #[arg(long)]
    team: Option<Id>,
    /// The plan that comes with it, by its id.
    #[arg(long)]
    plan: Option<Id>,
    /// For how many days it waits, 1 to 90 [default: 7].
    #[arg(long)]
    days: Option<i64>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/invites";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("EMAIL", "/email"),
    ("RESETS", "/user"),
    ("ROLE", "/role"),
    ("TEAM", "/team"),
    ("PLAN", "/plan"),
    ("EXPIRES", "/expires_at"),
    ("USED BY", "/used_by"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Invites) -> Result<(), String> {
    match wanted {
        Invites::List { asking } => asking.list(PATH, &[], COLUMNS).await,
        Invites::Create(create) => {
            let made = create.asking.remote.ask("POST", PATH, body(create)?).await?;
            say(&if create.asking.json { made.to_string() } else { text(&made, "secret").to_owned() });
            Ok(())
        }
        Invites::Withdraw(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is withdrawn")).await
        }
    }
}
