//! `waypost credentials`: the keys that a running gateway has at providers. They go in and never come out. Tests:
//! `it/commands.rs`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::asking::{Asking, Id, One, address, line};
use super::print::Column;

/// What can be done with credentials.
#[derive(Subcommand, Clone, Debug)]
pub enum Credentials {
    /// Lists every credential that is in use, how often it was used and whether it works.
    List {
        /// Only those of this channel, by its name.
        #[arg(long)]
        channel: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows one credential of the database, without its key.
    Show(One),
    /// Gives a channel of the database a key, which is read from standard input.
    Create(Create),
    /// Changes a credential of the database; what is left out stays.
    Change(Change),
    /// Deletes a credential of the database.
    Delete(One),
    /// Asks the provider whether a credential works; changes nothing.
    Test {
        id: Id,
        /// The model to ask with.
        #[arg(long)]
        model: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Uses a credential again that was refused or limited.
    Reset(One),
}

/// A credential to be made.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// The channel's id in the database.
    channel: Id,
    /// What it is called.
    name: String,
    #[command(flatten)]
    asking: Asking,
}

/// What is to be different.
#[derive(Args, Clone, Debug)]
pub struct Change {
    id: Id,
    #[arg(long)]
    name: Option<String>,
    /// Another key, which is read from standard input.
    #[arg(long)]
    key: bool,
    /// Whether it is used (true) or not (false).
    #[arg(long)]
    enabled: Option<bool>,
    #[command(flatten)]
    asking: Asking,
}

const PATH: &str = "/admin/credentials";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("CREDENTIAL", "/label"),
    ("CHANNEL", "/channel"),
    ("STATE", "/state"),
    ("REASON", "/reason"),
    ("USES", "/uses"),
    ("ERRORS", "/errors"),
    ("IN FLIGHT", "/in_flight"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Credentials) -> Result<(), String> {
    match wanted {
        Credentials::List { channel, asking } => asking.list(PATH, &[("channel", channel.as_deref())], COLUMNS).await,
        Credentials::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Credentials::Create(Create { channel, name, asking }) => {
            let body = json!({ "channel": channel, "name": name, "key": line("the key")? });
            asking.change("POST", PATH, Some(body)).await
        }
        Credentials::Change(change) => {
            change.asking.change("PATCH", &format!("{PATH}/{}", change.id), Some(change.body()?)).await
        }
        Credentials::Delete(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is deleted")).await
        }
        Credentials::Test { id, model, asking } => {
            let path = address(&format!("{PATH}/{id}/test"), &[("model", model.as_deref())]);
            asking.change("POST", &path, None).await
        }
        Credentials::Reset(One { id, asking }) => asking.change("POST", &format!("{PATH}/{id}/reset"), None).await,
    }
}

impl Change {
    /// What is left out is not in it: null would take away what was there.
    fn body(&self) -> Result<Value, String> {
        let mut body = Map::new();
        if let Some(name) = &self.name {
            body.insert("name".to_owned(), json!(name));
        }
        if self.key {
            body.insert("key".to_owned(), json!(line("the key")?));
        }
        if let Some(enabled) = self.enabled {
            body.insert("enabled".to_owned(), json!(enabled));
        }
        Ok(Value::Object(body))
    }
}
