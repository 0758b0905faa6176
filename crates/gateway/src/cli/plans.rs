//! `waypost plans`: what whoever has one may use, how much of it, and at what price. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_store::plans::Billing;

use super::asking::{Asking, Id, One, OrNone, body};
use super::print::Column;

/// What can be done with plans.
#[derive(Subcommand, Clone, Debug)]
pub enum Plans {
    /// Lists plans, the newest first.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows one plan.
    Show(One),
    /// Makes a plan; what is left out is not limited.
    Create(Create),
    /// Changes a plan, at once for everybody who has it; what is left out stays.
    Change(Change),
    /// Lets a plan give nothing, at once.
    Disable(One),
    /// Lets a disabled plan give again.
    Enable(One),
}

/// A plan to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    name: String,
    /// A model it may use, with `*` for anything; can be given again [default: all].
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// An operation such as `chat`, or a path; can be given again [default: all].
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Vec<String>,
    /// Requests a minute.
    #[arg(long)]
    rpm: Option<i64>,
    /// Tokens a minute.
    #[arg(long)]
    tpm: Option<i64>,
    /// Requests at the same time.
    #[arg(long)]
    concurrency: Option<i64>,
    #[arg(long)]
    tokens_per_day: Option<i64>,
    /// What prices are multiplied with, such as 0.8 [default: 1].
    #[arg(long)]
    price_factor: Option<String>,
    /// prepaid: whoever was never given credit gets no answer [default: postpaid].
    #[arg(long, value_parser = [Billing::Prepaid.name(), Billing::Postpaid.name()])]
    billing: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

/// What is to be different.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Change {
    /// The plan's id.
    #[serde(skip)]
    id: Id,
    #[arg(long)]
    name: Option<String>,
    /// The models it may use from now on; can be given again, `*` is all.
    #[arg(long = "model", value_name = "MODEL")]
    models: Option<Vec<String>>,
    /// The operations and paths it may use from now on; can be given again.
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Option<Vec<String>>,
    /// Requests a minute, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rpm: Option<OrNone<i64>>,
    /// Tokens a minute, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<OrNone<i64>>,
    /// Requests at the same time, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<OrNone<i64>>,
    /// A number, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_day: Option<OrNone<i64>>,
    /// What prices are multiplied with, such as 0.8.
    #[arg(long)]
    price_factor: Option<String>,
    #[arg(long, value_parser = [Billing::Prepaid.name(), Billing::Postpaid.name()])]
    billing: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/plans";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("MODELS", "/models"),
    ("RPM", "/limits/rpm"),
    ("TPM", "/limits/tpm"),
    ("FACTOR", "/price_factor"),
    ("BILLING", "/billing"),
    ("ENABLED", "/enabled"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Plans) -> Result<(), String> {
    match wanted {
        Plans::List { asking } => asking.list(PATH, &[], COLUMNS).await,
        Plans::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Plans::Create(create) => create.asking.change("POST", PATH, body(create)?).await,
        Plans::Change(change) => change.asking.change("PATCH", &format!("{PATH}/{}", change.id), body(change)?).await,
        Plans::Disable(one) => one.enable(PATH, false).await,
        Plans::Enable(one) => one.enable(PATH, true).await,
    }
}
