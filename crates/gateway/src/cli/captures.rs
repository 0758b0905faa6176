//! `waypost captures`: orders and ends captures of a running gateway, and shows what was captured, through its administration, so that
//! all of it is in its audit log. Tests: `it/captures.rs`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::asking::{Asking, Id, One};
use super::print::{Column, say};
use super::remote::text;

/// What can be done with captures.
#[derive(Subcommand, Clone, Debug)]
pub enum Captures {
    /// Has the bodies of a key's requests kept for a while, without secrets and media; prints the capture's id.
    Order(Order),
    /// Lists captures, the newest first.
    List {
        /// Only those of this key.
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Ends a capture at once, and deletes what it has kept.
    End(One),
    /// Prints what was captured of a request.
    Show {
        /// The request's id, as `x-request-id` of its answer says it.
        request: Id,
        #[command(flatten)]
        asking: Asking,
    },
}

/// A capture to be ordered.
#[derive(Args, Clone, Debug)]
pub struct Order {
    /// The id of a key, or the name of one of a file.
    key: String,
    /// Why, for whoever reads the audit log.
    #[arg(long)]
    why: String,
    /// For how many minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// Of how many requests.
    #[arg(long, default_value_t = 100)]
    calls: u32,
    /// How many bytes of a body.
    #[arg(long, default_value_t = 65_536)]
    bytes: u32,
    #[command(flatten)]
    asking: Asking,
}

const PATH: &str = "/admin/captures";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("KEY", "/key_name"),
    ("IN FORCE", "/in_force"),
    ("KEPT", "/taken"),
    ("OF", "/calls"),
    ("LOST", "/lost"),
    ("ORDERED BY", "/ordered_by"),
    ("WHY", "/why"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Captures) -> Result<(), String> {
    match wanted {
        Captures::Order(order) => {
            let made = order.asking.remote.ask("POST", PATH, Some(order.body())).await?;
            say(&if order.asking.json { made.to_string() } else { text(&made, "id").to_owned() });
        }
        Captures::List { key, asking } => asking.list(PATH, &[("key", key.as_deref())], COLUMNS).await?,
        Captures::End(One { id, asking }) => {
            let done = format!("{id} is ended, and what it kept is deleted");
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &done).await?;
        }
        Captures::Show { request, asking } => {
            let shown = asking.remote.ask("GET", &format!("/admin/logs/{request}/bodies"), None).await?;
            if asking.json {
                say(&shown.to_string());
                return Ok(());
            }
            for body in shown["bodies"].as_array().into_iter().flatten() {
                let cut = if body["cut"] == true { ", cut" } else { "" };
                say(&format!(
                    "=== {}: {} bytes, {} redacted{cut}",
                    text(body, "direction"),
                    body["bytes"],
                    body["redacted"]
                ));
                say(text(body, "text"));
            }
        }
    }
    Ok(())
}

impl Order {
    fn body(&self) -> Value {
        json!({
            "key": self.key,
            "why": self.why,
            "seconds": u64::from(self.minutes) * 60,
            "calls": self.calls,
            "body_bytes": self.bytes,
        })
    }
}
