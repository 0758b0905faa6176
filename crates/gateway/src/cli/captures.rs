//! `waypost captures`: orders and ends captures of a running gateway, and shows what was captured, through its administration, so that
//! all of it is in its audit log. Tests: `it/captures.rs`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::print::{say, table};
use super::remote::{Remote, text};

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
        remote: Remote,
    },
    /// Ends a capture at once, and deletes what it has kept.
    End {
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Prints what was captured of a request.
    Show {
        /// The request's id, as `x-request-id` of its answer says it.
        request: String,
        #[command(flatten)]
        remote: Remote,
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
    remote: Remote,
}

/// Does it, and prints what came of it.
pub async fn run(wanted: &Captures) -> Result<(), String> {
    match wanted {
        Captures::Order(order) => {
            let made = order.remote.ask("POST", "/admin/captures", Some(order.body())).await?;
            say(text(&made, "id"));
        }
        Captures::List { key, remote } => {
            let head = ["ID", "KEY", "STATE", "KEPT", "LOST", "ORDERED BY", "WHY"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            let filter = key.as_ref().map(|key| format!("&key={key}")).unwrap_or_default();
            for capture in remote.all(&format!("/admin/captures?limit=500{filter}")).await? {
                rows.push(row(&capture));
            }
            say(&table(&rows));
        }
        Captures::End { id, remote } => {
            remote.ask("DELETE", &format!("/admin/captures/{id}"), None).await?;
            say(&format!("{id} is ended, and what it kept is deleted"));
        }
        Captures::Show { request, remote } => {
            let shown = remote.ask("GET", &format!("/admin/logs/{request}/bodies"), None).await?;
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

fn row(capture: &Value) -> Vec<String> {
    let state = if capture["in_force"] == true { "in force" } else { "-" };
    let kept = format!("{}/{}", capture["taken"], capture["calls"]);
    let words = [text(capture, "id"), text(capture, "key_name"), state, &kept];
    let mut row = words.map(str::to_owned).to_vec();
    row.extend([capture["lost"].to_string(), text(capture, "ordered_by").to_owned(), text(capture, "why").to_owned()]);
    row
}
