//! `waypost keys`: makes, lists, rotates and revokes keys of a running gateway, through its administration, so that what is done
//! is in effect at once and in its audit log. Tests: `it/manage/command.rs`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::asking::{Asking, Id, One, PAGE, address};
use super::print::{say, table};
use super::remote::text;

/// What can be done with keys.
#[derive(Subcommand, Clone, Debug)]
pub enum Keys {
    /// Makes a key and prints its text, once.
    Create(Create),
    /// Lists keys, the newest first.
    List {
        /// Those that were revoked, too.
        #[arg(long)]
        revoked: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// Gives a key another text and prints it; the old one works for a while.
    Rotate {
        id: Id,
        /// For how many seconds the old text works.
        #[arg(long, default_value_t = 86_400)]
        overlap: i64,
        #[command(flatten)]
        asking: Asking,
    },
    /// Ends a key at once and for good.
    Revoke(One),
}

/// A key to be made.
#[derive(Args, Clone, Debug)]
pub struct Create {
    name: String,
    /// Whose it is.
    #[arg(long)]
    user: Option<String>,
    #[arg(long)]
    team: Option<String>,
    #[arg(long)]
    plan: Option<String>,
    /// A model it may use; can be given again.
    #[arg(long = "model")]
    models: Vec<String>,
    /// Requests a minute.
    #[arg(long)]
    rpm: Option<i64>,
    /// Tokens a minute.
    #[arg(long)]
    tpm: Option<i64>,
    #[command(flatten)]
    asking: Asking,
}

/// Does it, and prints what came of it.
pub async fn run(wanted: &Keys) -> Result<(), String> {
    match wanted {
        Keys::Create(create) => shown_once(&create.asking, "/admin/keys", create.body()).await,
        Keys::List { revoked, asking } => {
            let revoked = revoked.to_string();
            let asked = [("limit", Some(PAGE)), ("revoked", Some(revoked.as_str()))];
            let whole = asking.remote.all("data", &address("/admin/keys", &asked)).await?;
            let head = ["ID", "NAME", "KEY", "OWNER", "STATE"].map(str::to_owned).to_vec();
            let all = whole["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            let rows: Vec<Vec<String>> = std::iter::once(head).chain(all.iter().map(row)).collect();
            say(&if asking.json { whole.to_string() } else { table(&rows) });
            Ok(())
        }
        Keys::Rotate { id, overlap, asking } => {
            shown_once(asking, &format!("/admin/keys/{id}/rotate"), json!({ "overlap_seconds": overlap })).await
        }
        Keys::Revoke(One { id, asking }) => {
            asking.act("DELETE", &format!("/admin/keys/{id}"), None, &format!("{id} is revoked")).await
        }
    }
}

/// Makes a text, and prints it and nothing else.
async fn shown_once(asking: &Asking, path: &str, body: Value) -> Result<(), String> {
    let made = asking.remote.ask("POST", path, Some(body)).await?;
    say(&if asking.json { made.to_string() } else { text(&made, "key").to_owned() });
    Ok(())
}

impl Create {
    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("name".into(), json!(self.name));
        for (field, id) in [("user", &self.user), ("team", &self.team), ("plan", &self.plan)] {
            if let Some(id) = id {
                body.insert(field.into(), json!(id));
            }
        }
        if !self.models.is_empty() {
            body.insert("scopes".into(), json!({ "models": self.models }));
        }
        body.insert("limits".into(), json!({ "rpm": self.rpm, "tpm": self.tpm }));
        Value::Object(body)
    }
}

fn row(key: &Value) -> Vec<String> {
    let owner = match (key["user"].as_str(), key["team"].as_str()) {
        (Some(user), _) => user,
        (None, Some(team)) => team,
        (None, None) => "-",
    };
    let state = match (key["revoked_at"].is_null(), key["enabled"].as_bool()) {
        (false, _) => "revoked",
        (true, Some(true)) => "enabled",
        (true, _) => "disabled",
    };
    let end = format!("...{}", text(key, "hint"));
    vec![text(key, "id").to_owned(), text(key, "name").to_owned(), end, owner.to_owned(), state.to_owned()]
}
