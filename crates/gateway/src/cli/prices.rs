//! `waypost prices`: lists, shows, sets and withdraws prices of a running gateway and prices the past anew, through its
//! administration, so that what is done is in effect at once and in its audit log. Tests: `it/prices.rs`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use waypost_core::config::Day;
use waypost_core::money::NanoUsd;

use super::print::{say, table};
use super::remote::{Remote, text};

/// What can be done with prices.
#[derive(Subcommand, Clone, Debug)]
pub enum Prices {
    /// Lists the prices that were set while running, the newest first.
    List {
        /// Only those for exactly this name or pattern.
        #[arg(long)]
        model: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Shows which price holds for a model on each channel, and who said it.
    Show {
        model: String,
        #[arg(long)]
        channel: Option<String>,
        /// The day, such as 2026-01-31, or milliseconds since 1970; now if nothing is said.
        #[arg(long, value_parser = moment)]
        at: Option<i64>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Sets a price from a moment on.
    Set(Box<Set>),
    /// Takes back a price that has not come into effect.
    Withdraw {
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Prices charges of the past by the prices that are known today, and enters the differences.
    Rerate(Box<Rerate>),
}

/// A price to be set, in USD: for a million tokens where nothing else is said.
#[derive(Args, Clone, Debug)]
pub struct Set {
    /// A name, or a pattern with `*`.
    model: String,
    #[arg(long)]
    input: Option<String>,
    #[arg(long)]
    output: Option<String>,
    #[arg(long)]
    cache_read: Option<String>,
    #[arg(long)]
    cache_write: Option<String>,
    /// For each call.
    #[arg(long)]
    call: Option<String>,
    /// For each picture made.
    #[arg(long)]
    image: Option<String>,
    /// Everything else of a price as in a file, as a JSON object: tiers, service tiers, sound, thoughts.
    #[arg(long, default_value = "{}")]
    json: String,
    /// Only at this kind of provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only on this channel.
    #[arg(long)]
    channel: Option<String>,
    /// Where the price is from, for people.
    #[arg(long)]
    source: Option<String>,
    /// The day, such as 2026-01-31, or milliseconds since 1970, from which on it holds; now if nothing is said.
    #[arg(long, value_parser = moment)]
    from: Option<i64>,
    #[command(flatten)]
    remote: Remote,
}

/// Which charges, and by which prices.
#[derive(Args, Clone, Debug)]
pub struct Rerate {
    /// Settled from this day, such as 2026-01-31, or moment (milliseconds since 1970) on.
    #[arg(long, value_parser = moment)]
    from: Option<i64>,
    /// And before this one.
    #[arg(long, value_parser = moment)]
    to: Option<i64>,
    /// The model as callers named it.
    #[arg(long)]
    model: Option<String>,
    /// Only what was served without a price.
    #[arg(long)]
    unpriced: bool,
    /// By the prices that hold now, instead of those that held when the request was settled.
    #[arg(long)]
    now: bool,
    /// Tells what would be entered, and enters nothing.
    #[arg(long)]
    dry_run: bool,
    /// For the ledger.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Does it, and prints what came of it.
pub async fn run(wanted: &Prices) -> Result<(), String> {
    match wanted {
        Prices::List { model, remote } => {
            let mut rows = vec![["ID", "MODEL", "FOR", "FROM", "INPUT", "OUTPUT", "STATE"].map(str::to_owned).to_vec()];
            let path = format!("/admin/prices?limit=500{}", query(&[("model", model.as_deref())]));
            for price in remote.all(&path).await? {
                rows.push(row(&price));
            }
            say(&table(&rows));
        }
        Prices::Show { model, channel, at, remote } => {
            let at = at.map(|at| at.to_string());
            let said = [("channel", channel.as_deref()), ("at", at.as_deref())];
            let path = format!("/admin/prices/effective?{}{}", pair("model", model), query(&said));
            let shown = remote.ask("GET", &path, None).await?;
            let columns = ["DEPLOYMENT", "ORIGIN", "FROM", "INPUT", "OUTPUT", "VERSION"];
            let mut rows = vec![columns.map(str::to_owned).to_vec()];
            rows.extend(shown["data"].as_array().into_iter().flatten().map(effective));
            say(&table(&rows));
        }
        Prices::Set(set) => {
            let made = set.remote.ask("POST", "/admin/prices", Some(set.body()?)).await?;
            say(text(&made, "id"));
        }
        Prices::Withdraw { id, remote } => {
            remote.ask("DELETE", &format!("/admin/prices/{id}"), None).await?;
            say(&format!("{id} is withdrawn"));
        }
        Prices::Rerate(wanted) => say(&wanted.run().await?),
    }
    Ok(())
}

impl Set {
    fn body(&self) -> Result<Value, String> {
        let more = serde_json::from_str::<Map<String, Value>>(&self.json);
        let mut price = more.map_err(|error| format!("--json: a JSON object is expected: {error}"))?;
        price.insert("model".into(), json!(self.model));
        let said = [
            ("input", &self.input),
            ("output", &self.output),
            ("cache_read", &self.cache_read),
            ("cache_write", &self.cache_write),
            ("call", &self.call),
            ("image", &self.image),
            ("provider", &self.provider),
            ("channel", &self.channel),
            ("source", &self.source),
        ];
        for (field, value) in said {
            if let Some(value) = value {
                price.insert(field.into(), json!(value));
            }
        }
        Ok(json!({ "price": price, "effective_at": self.from }))
    }
}

impl Rerate {
    /// Goes through all of it, some thousands of charges at a time.
    async fn run(&self) -> Result<String, String> {
        let mut counts = [0_u64; 5];
        let (mut difference, mut charged, mut after) = (NanoUsd::ZERO, NanoUsd::ZERO, Value::Null);
        loop {
            let body = json!({
                "from": self.from, "to": self.to, "model": self.model, "unpriced": self.unpriced, "dry_run": self.dry_run,
                "prices": if self.now { "now" } else { "then" }, "reason": self.reason, "after": after,
            });
            let done = self.remote.ask("POST", "/admin/prices/rerate", Some(body)).await?;
            for (count, field) in counts.iter_mut().zip(COUNTS) {
                *count += done[field].as_u64().unwrap_or_default();
            }
            difference = sum(difference, text(&done, "difference"))?;
            charged = sum(charged, text(&done, "charged"))?;
            if done["next"].is_null() {
                break;
            }
            after = done["next"].clone();
        }
        let [looked_at, corrected, unchanged, without_price, left] = counts;
        let seen = format!(
            "{looked_at} charges looked at: {unchanged} are as they should be, {without_price} have no price, {left} are left \
             as they are"
        );
        let done = if self.dry_run {
            format!("{corrected} would be corrected, by {difference} USD in all; nothing was entered")
        } else {
            format!("{corrected} are corrected, by {difference} USD in all, of which payers pay {charged} USD")
        };
        Ok(format!("{seen}\n{done}"))
    }
}

const COUNTS: [&str; 5] = ["looked_at", "corrected", "unchanged", "without_price", "left"];

fn sum(sum: NanoUsd, more: &str) -> Result<NanoUsd, String> {
    if more.is_empty() {
        return Ok(sum);
    }
    let more = more.parse::<NanoUsd>().ok();
    more.and_then(|more| sum.checked_add(more)).ok_or_else(|| "the answer holds an amount that is none".to_owned())
}

fn row(price: &Value) -> Vec<String> {
    let whom = match (price["channel"].as_str(), price["provider"].as_str()) {
        (Some(channel), _) => channel,
        (None, Some(provider)) => provider,
        (None, None) => "*",
    };
    let state = if price["pending"].as_bool() == Some(true) { "pending" } else { "in effect" };
    let rates = &price["price"];
    let cells = [
        text(price, "id"),
        text(price, "model"),
        whom,
        &price["effective_at"].to_string(),
        or_dash(text(rates, "input")),
        or_dash(text(rates, "output")),
        state,
    ];
    cells.map(str::to_owned).to_vec()
}

fn effective(line: &Value) -> Vec<String> {
    let price = &line["price"];
    if price.is_null() {
        return [text(line, "deployment"), "unknown", "-", "-", "-", "-"].map(str::to_owned).to_vec();
    }
    let rates = &price["rates"];
    let from = price["effective_at"].to_string();
    let cells = [
        text(line, "deployment"),
        text(price, "origin"),
        &from,
        text(rates, "input"),
        text(rates, "output"),
        text(price, "name"),
    ];
    cells.map(str::to_owned).to_vec()
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `&model=a&at=5` of what was said.
fn query(said: &[(&str, Option<&str>)]) -> String {
    said.iter().filter_map(|(name, value)| Some(format!("&{}", pair(name, (*value)?)))).collect()
}

fn pair(name: &str, value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let encoded = value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        if plain(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    });
    format!("{name}={encoded}")
}

/// A day at midnight UTC, or milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let day = Day::parse(text).map(Day::unix_ms);
    let millis = || text.parse::<i64>().ok().filter(|at| *at >= 0);
    day.or_else(millis).ok_or_else(|| "a day such as 2026-01-31, or milliseconds since 1970, is expected".to_owned())
}
