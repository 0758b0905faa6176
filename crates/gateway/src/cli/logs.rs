//! `waypost logs`: the calls that a running gateway answered, page by page, the newest first. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use waypost_core::money::NanoUsd;

use super::asking::{Asked, Asking, One};
use super::print::Column;

/// What can be done with the log of calls.
#[derive(Subcommand, Clone, Debug)]
pub enum Logs {
    /// Lists calls, the newest first, and says how to get those before.
    List(Box<List>),
    /// Shows all that is known of the newest call with this request id.
    Show(One),
}

/// Which calls.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// How many, 1 to 500.
    #[arg(long, default_value_t = 50)]
    limit: u16,
    /// Those before a page: what the page says is next.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// Only calls with this id.
    #[arg(long)]
    request_id: Option<String>,
    /// Only calls of this key, by its id, or by its name if it is one of a file.
    #[arg(long)]
    key: Option<String>,
    /// Only calls of this user.
    #[arg(long)]
    user: Option<String>,
    /// Only calls of this team.
    #[arg(long)]
    team: Option<String>,
    /// Only calls that asked for this model.
    #[arg(long)]
    model: Option<String>,
    /// Only calls that this deployment answered, as channel/model.
    #[arg(long)]
    deployment: Option<String>,
    /// Only calls that this channel answered.
    #[arg(long)]
    channel: Option<String>,
    /// Only calls of this operation, such as chat.
    #[arg(long)]
    operation: Option<String>,
    /// Only calls that ended so.
    #[arg(long, value_parser = ["complete", "broken", "abandoned", "failed"])]
    outcome: Option<String>,
    /// Only this class of status.
    #[arg(long, value_parser = ["2xx", "3xx", "4xx", "5xx"])]
    status: Option<String>,
    /// Only errors: all (true), or a class of them such as rate_limited.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "CLASS")]
    error: Option<String>,
    /// Not before this day (in UTC), or this time in milliseconds since 1970.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Not after this day (in UTC), or before this time in milliseconds since 1970.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only calls that cost this much at least, in USD.
    #[arg(long, value_name = "USD")]
    min_cost: Option<NanoUsd>,
    #[command(flatten)]
    asking: Asking,
}

const PATH: &str = "/admin/logs";

const COLUMNS: &[Column] = &[
    ("AT", "/at"),
    ("REQUEST", "/request_id"),
    ("KEY", "/key_name"),
    ("MODEL", "/model"),
    ("DEPLOYMENT", "/deployment"),
    ("STATUS", "/status"),
    ("OUTCOME", "/outcome"),
    ("ERROR", "/error"),
    ("INPUT", "/tokens/input"),
    ("OUTPUT", "/tokens/output"),
    ("USD", "/cost_usd"),
    ("MS", "/latency/total_ms"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Logs) -> Result<(), String> {
    match wanted {
        Logs::List(list) => list.run().await,
        Logs::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
    }
}

impl List {
    async fn run(&self) -> Result<(), String> {
        let (limit, min_cost) = (self.limit.to_string(), self.min_cost.map(|cost| cost.to_string()));
        let asked: [Asked<'_>; 16] = [
            ("limit", Some(&limit)),
            ("after", self.after.as_deref()),
            ("request_id", self.request_id.as_deref()),
            ("key", self.key.as_deref()),
            ("user", self.user.as_deref()),
            ("team", self.team.as_deref()),
            ("model", self.model.as_deref()),
            ("deployment", self.deployment.as_deref()),
            ("channel", self.channel.as_deref()),
            ("operation", self.operation.as_deref()),
            ("outcome", self.outcome.as_deref()),
            ("status", self.status.as_deref()),
            ("error", self.error.as_deref()),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
            ("min_cost", min_cost.as_deref()),
        ];
        self.asking.page(PATH, &asked, COLUMNS).await
    }
}
