//! `waypost usage`: requests, tokens and cost by any one or two nouns. Tests: `it/commands.rs`.

use clap::Args;
use serde_json::{Value, json};
use waypost_store::logbook::Dimension;

use super::asking::{Asking, PAGE, address};
use super::print::{Column, say, things};

/// A question about usage.
#[derive(Args, Clone, Debug)]
pub struct Usage {
    /// What it is told by: one of these, or two with a comma between.
    #[arg(long, value_name = "NOUNS", value_delimiter = ',', default_value = Dimension::Model.name(), value_parser = Dimension::ALL.map(Dimension::name))]
    group_by: Vec<String>,
    /// The first day, such as 2026-11-01, in UTC [default: 29 days before the last].
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day [default: today].
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only this key, by its id, or by its name if it is one of a file.
    #[arg(long)]
    key: Option<String>,
    /// Only this user.
    #[arg(long)]
    user: Option<String>,
    /// Only this team.
    #[arg(long)]
    team: Option<String>,
    /// Only this model.
    #[arg(long)]
    model: Option<String>,
    /// Only this deployment, as channel/model.
    #[arg(long)]
    deployment: Option<String>,
    /// Only this channel.
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

const SUMS: [Column; 9] = [
    ("REQUESTS", "/requests"),
    ("ERRORS", "/errors"),
    ("INPUT", "/tokens/input"),
    ("OUTPUT", "/tokens/output"),
    ("CACHE READ", "/tokens/cache_read"),
    ("CACHE WRITE", "/tokens/cache_write"),
    ("REASONING", "/tokens/reasoning"),
    ("USD", "/cost_usd"),
    ("UNPRICED", "/unpriced_requests"),
];

/// Asks, and prints the groups with their sum.
pub async fn run(wanted: &Usage) -> Result<(), String> {
    if wanted.group_by.len() > 2 {
        return Err("--group-by: give one or two, such as key,day".to_owned());
    }
    let mut told = wanted.told().await?;
    if wanted.asking.json {
        say(&told.to_string());
        return Ok(());
    }
    let mut groups = told["data"].take().as_array().cloned().unwrap_or_default();
    groups.push(told["total"].take());
    let named: Vec<String> = groups_of(&told).map(str::to_owned).collect();
    if let (Some(total), Some(first)) = (groups.last_mut().and_then(Value::as_object_mut), named.first()) {
        total.insert(first.clone(), json!("TOTAL"));
    }
    let columns = named.iter().flat_map(|name| column(name)).copied().chain(SUMS);
    say(&things(&columns.collect::<Vec<_>>(), &groups));
    Ok(())
}

impl Usage {
    /// All pages as one.
    async fn told(&self) -> Result<Value, String> {
        let group_by = self.group_by.join(",");
        let asked = [
            ("limit", Some(PAGE)),
            ("group_by", Some(group_by.as_str())),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
            ("key", self.key.as_deref()),
            ("user", self.user.as_deref()),
            ("team", self.team.as_deref()),
            ("model", self.model.as_deref()),
            ("deployment", self.deployment.as_deref()),
            ("channel", self.channel.as_deref()),
        ];
        self.asking.remote.all("data", &address("/admin/usage", &asked)).await
    }
}

/// What the answer is told by, in the order of its rows.
fn groups_of(told: &Value) -> impl Iterator<Item = &str> {
    told["group_by"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn column(noun: &str) -> &'static [Column] {
    match noun {
        "key" => &[("KEY", "/key"), ("KEY NAME", "/key_name")],
        "user" => &[("USER", "/user")],
        "team" => &[("TEAM", "/team")],
        "model" => &[("MODEL", "/model")],
        "deployment" => &[("DEPLOYMENT", "/deployment")],
        "channel" => &[("CHANNEL", "/channel")],
        _ => &[("DAY", "/day")],
    }
}
