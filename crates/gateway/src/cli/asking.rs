//! What the commands of all nouns share: which gateway is asked, how words become its addresses and bodies, and how its answers are
//! printed: as a table or as facts to people, as the JSON of the API to machines. Knows no noun. Tests are below, and in
//! `it/commands.rs`.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::print::{Column, facts, say, things};
use super::remote::Remote;

/// How many things a page of a list has that is read to its end.
pub(super) const PAGE: &str = "500";

/// A gateway, and how to print what it says.
#[derive(Args, Clone, Debug)]
pub struct Asking {
    #[command(flatten)]
    pub(super) remote: Remote,
    /// Print the JSON of the API.
    #[arg(long)]
    pub(super) json: bool,
}

/// One thing.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// Its id.
    pub(super) id: Id,
    #[command(flatten)]
    pub(super) asking: Asking,
}

impl One {
    /// Enables or disables it, below this path.
    pub(super) async fn enable(&self, path: &str, enabled: bool) -> Result<(), String> {
        let Self { id, asking } = self;
        let done = format!("{id} is {}", if enabled { "enabled" } else { "disabled" });
        asking.act("PATCH", &format!("{path}/{id}"), Some(json!({ "enabled": enabled })), &done).await
    }
}

impl Asking {
    /// Prints a list to its end.
    pub(super) async fn list(&self, path: &str, asked: &[Asked<'_>], columns: &[Column]) -> Result<(), String> {
        self.list_of("data", path, asked, columns).await
    }

    /// The same where the list has another name in the answer.
    pub(super) async fn list_of(
        &self,
        name: &str,
        path: &str,
        asked: &[Asked<'_>],
        columns: &[Column],
    ) -> Result<(), String> {
        let asked: Vec<Asked<'_>> = [("limit", Some(PAGE))].into_iter().chain(asked.iter().copied()).collect();
        let whole = self.remote.all(name, &address(path, &asked)).await?;
        let list = whole[name].as_array().map(Vec::as_slice).unwrap_or_default();
        say(&if self.json { whole.to_string() } else { things(columns, list) });
        Ok(())
    }

    /// Prints one page of a list, and how to get the next one.
    pub(super) async fn page(&self, path: &str, asked: &[Asked<'_>], columns: &[Column]) -> Result<(), String> {
        let page = self.remote.ask("GET", &address(path, asked), None).await?;
        if self.json {
            say(&page.to_string());
            return Ok(());
        }
        say(&things(columns, page["data"].as_array().map(Vec::as_slice).unwrap_or_default()));
        if let Some(next) = page["next"].as_str() {
            say(&format!("there are more: --after {next}"));
        }
        Ok(())
    }

    /// Prints one thing.
    pub(super) async fn show(&self, path: &str) -> Result<(), String> {
        self.change("GET", path, None).await
    }

    /// Makes or changes something, and prints how it is then.
    pub(super) async fn change(&self, method: &str, path: &str, body: Option<Value>) -> Result<(), String> {
        let now = self.remote.ask(method, path, body).await?;
        say(&if self.json { now.to_string() } else { facts(&now) });
        Ok(())
    }

    /// Does something of which a sentence tells enough.
    pub(super) async fn act(&self, method: &str, path: &str, body: Option<Value>, done: &str) -> Result<(), String> {
        let now = self.remote.ask(method, path, body).await?;
        match (self.json, now.is_null()) {
            (true, false) => say(&now.to_string()),
            (true, true) => {}
            (false, _) => say(done),
        }
        Ok(())
    }
}

/// The arguments of a command as a body.
pub(super) fn body(arguments: &impl Serialize) -> Result<Option<Value>, String> {
    serde_json::to_value(arguments).map(Some).map_err(|error| format!("the arguments are no body: {error}"))
}

/// A text of the command line, or all of standard input where it is `-`, as JSON.
pub(super) fn document(text: &str) -> Result<Value, String> {
    let text = if text == "-" { typed("the JSON")? } else { text.to_owned() };
    serde_json::from_str(&text).map_err(|error| format!("this is no JSON: {error}"))
}

/// The first line of standard input, where no other program sees what is on it.
pub(super) fn line(what: &str) -> Result<String, String> {
    let text = typed(what)?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| format!("standard input: write {what} there, on a line of its own"))
}

fn typed(what: &str) -> Result<String, String> {
    /// No channel and no secret is longer.
    const MOST: u64 = 1 << 20;
    let mut text = String::new();
    let read = std::io::stdin().take(MOST).read_to_string(&mut text);
    read.map_err(|error| format!("standard input: {what} cannot be read: {error}"))?;
    Ok(text)
}

/// A word after the question mark.
pub(super) type Asked<'a> = (&'a str, Option<&'a str>);

/// A path with the words that were said.
pub(super) fn address(path: &str, asked: &[Asked<'_>]) -> String {
    let mut address = format!("{path}?");
    for (name, value) in asked.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        if !address.ends_with('?') {
            address.push('&');
        }
        address.push_str(name);
        address.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => address.push(char::from(byte)),
                _ => address.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    address
}

/// An id as lists print it, which can stand in a path.
#[derive(Clone, Debug, Serialize)]
pub struct Id(String);

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_id = !text.is_empty() && !matches!(text, "." | "..") && text.bytes().all(good);
        if is_id { Ok(Self(text.to_owned())) } else { Err("expected an id as `list` prints it") }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What takes away what was there.
const NONE: &str = "none";

/// A value, or the word that takes it away: `null` in a body. What was not said is left out of the body by whoever has it.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct OrNone<T>(Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == NONE { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_left_out_and_none_is_null() {
        #[derive(Serialize)]
        struct Change {
            #[serde(skip_serializing_if = "Option::is_none")]
            rpm: Option<OrNone<i64>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            tpm: Option<OrNone<i64>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            plan: Option<OrNone<Id>>,
        }
        let change = Change { rpm: "none".parse().ok(), tpm: "5".parse().ok(), plan: None };
        assert_eq!(body(&change).unwrap().unwrap(), json!({ "rpm": null, "tpm": 5 }));
        assert!("many".parse::<OrNone<i64>>().is_err());
    }

    #[test]
    fn words_are_encoded_and_ids_stay_in_their_place() {
        let asked = [("model", Some("vendor/a b&c")), ("user", None), ("team", Some("ü"))];
        assert_eq!(address("/x", &asked), "/x?model=vendor%2Fa%20b%26c&team=%C3%BC");
        assert_eq!(address("/x", &[]), "/x?");
        for id in ["usr_1", "user:usr_1", "a.b-c"] {
            assert!(id.parse::<Id>().is_ok(), "{id}");
        }
        for none in ["", "..", "a/b", "a?b", "a b", "a%2Fb"] {
            assert!(none.parse::<Id>().is_err(), "{none}");
        }
    }
}
