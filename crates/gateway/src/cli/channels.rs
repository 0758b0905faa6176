//! `waypost channels`: the accounts at providers that a running gateway sends to, and those of them that its database holds.
//! Tests: `it/commands.rs`.

use clap::{Args, Subcommand};

use super::asking::{Asking, Id, One, document};
use super::print::Column;

/// What can be done with channels.
#[derive(Subcommand, Clone, Debug)]
pub enum Channels {
    /// Lists every channel that is in use, and how it is doing.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows one channel of the database.
    Show(One),
    /// Makes a channel in the database with its credentials.
    Create {
        /// The channel as JSON, written as in a file; `-` reads it from standard input.
        channel: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Changes a channel of the database.
    Change(Change),
    /// Deletes a channel of the database with its credentials.
    Delete(One),
}

/// What is to be different.
#[derive(Args, Clone, Debug)]
pub struct Change {
    id: Id,
    /// As JSON; what is left out stays, null takes away. `-` reads it from standard input.
    fields: String,
    #[command(flatten)]
    asking: Asking,
}

const PATH: &str = "/admin/channels";

const COLUMNS: &[Column] = &[
    ("CHANNEL", "/name"),
    ("PROVIDER", "/provider"),
    ("HEALTHY", "/healthy"),
    ("DEPLOYMENTS", "/deployments/total"),
    ("IN FLIGHT", "/in_flight"),
    ("REQUESTS", "/requests"),
    ("FAILURES", "/failures"),
    ("MS", "/latency_ms"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Channels) -> Result<(), String> {
    match wanted {
        Channels::List { asking } => asking.list(PATH, &[], COLUMNS).await,
        Channels::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Channels::Create { channel, asking } => asking.change("POST", PATH, Some(document(channel)?)).await,
        Channels::Change(Change { id, fields, asking }) => {
            asking.change("PATCH", &format!("{PATH}/{id}"), Some(document(fields)?)).await
        }
        Channels::Delete(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is deleted")).await
        }
    }
}
