//! `waypost prices`: lists, shows, sets and withdraws prices of a running gateway and prices the past anew, through its
//! administration, so that what is done is in effect at once and in its audit log. Tests: `it/prices.rs`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use waypost_core::config::Day;
use waypost_core::money::NanoUsd;

use super::asking::{Asking, One, address};
use super::print::{Column, say, things};
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
        asking: Asking,
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
        asking: Asking,
    },
    /// Sets a price from a moment on.
    Set(Box<Set>),
    /// Takes back a price that has not come into effect.
    Withdraw(One),
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
    #[arg(long, value_name = "JSON", default_value = "{}")]
    more: String,
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
    asking: Asking,
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

const PATH: &str = "/admin/prices";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("MODEL", "/model"),
    ("PROVIDER", "/provider"),
    ("CHANNEL", "/channel"),
    ("FROM", "/effective_at"),
    ("INPUT", "/price/input"),
    ("OUTPUT", "/price/output"),
    ("PENDING", "/pending"),
];

const EFFECTIVE: &[Column] = &[
    ("DEPLOYMENT", "/deployment"),
    ("ORIGIN", "/price/origin"),
    ("FROM", "/price/effective_at"),
    ("INPUT", "/price/rates/input"),
    ("OUTPUT", "/price/rates/output"),
    ("VERSION", "/price/name"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Prices) -> Result<(), String> {
    match wanted {
        Prices::List { model, asking } => asking.list(PATH, &[("model", model.as_deref())], COLUMNS).await,
        Prices::Show { model, channel, at, asking } => {
            let at = at.map(|at| at.to_string());
            let said = [("model", Some(model.as_str())), ("channel", channel.as_deref()), ("at", at.as_deref())];
            let shown = asking.remote.ask("GET", &address("/admin/prices/effective", &said), None).await?;
            let list = shown["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            say(&if asking.json { shown.to_string() } else { things(EFFECTIVE, list) });
            Ok(())
        }
        Prices::Set(set) => set.asking.change("POST", PATH, Some(set.body()?)).await,
        Prices::Withdraw(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is withdrawn")).await
        }
        Prices::Rerate(wanted) => {
            say(&wanted.run().await?);
            Ok(())
        }
    }
}

impl Set {
    fn body(&self) -> Result<Value, String> {
        let more = serde_json::from_str::<Map<String, Value>>(&self.more);
        let mut price = more.map_err(|error| format!("--more: a JSON object is expected: {error}"))?;
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

/// A day at midnight UTC, or milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    let day = Day::parse(text).map(Day::unix_ms);
    let millis = || text.parse::<i64>().ok().filter(|at| *at >= 0);
    day.or_else(millis).ok_or_else(|| "a day such as 2026-01-31, or milliseconds since 1970, is expected".to_owned())
}
