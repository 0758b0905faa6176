//! `waypost vouchers`: credit by a code that whoever has it redeems once. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use waypost_core::money::NanoUsd;

use super::asking::{Asking, One, body, line};
use super::print::{Column, say, things};

/// What can be done with vouchers.
#[derive(Subcommand, Clone, Debug)]
pub enum Vouchers {
    /// Lists vouchers without their codes, the newest first.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Makes vouchers and prints their codes, once.
    Create(Create),
    /// Ends a voucher that was not redeemed.
    Withdraw(One),
    /// Turns a code into credit of whoever the access token belongs to.
    Redeem {
        /// The code; `-` reads it from standard input, where no other program sees it.
        code: String,
        #[command(flatten)]
        asking: Asking,
    },
}

/// Vouchers to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    /// What they are for.
    label: String,
    /// What each is worth in USD, such as 12.5.
    #[arg(long, value_name = "USD")]
    amount: NanoUsd,
    /// How many, 1 to 100.
    #[arg(long, default_value_t = 1)]
    count: i64,
    /// Until when they can be redeemed, in milliseconds since 1970 [default: for ever].
    #[arg(long, value_name = "MILLISECONDS")]
    expires_at: Option<i64>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/vouchers";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("LABEL", "/label"),
    ("USD", "/amount"),
    ("MADE", "/created_at"),
    ("EXPIRES", "/expires_at"),
    ("WITHDRAWN", "/revoked_at"),
    ("REDEEMED", "/redeemed_at"),
    ("BY", "/redeemed_by"),
];
const MADE: &[Column] = &[("ID", "/id"), ("CODE", "/code")];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Vouchers) -> Result<(), String> {
    match wanted {
        Vouchers::List { asking } => asking.list(PATH, &[], COLUMNS).await,
        Vouchers::Create(create) => {
            let made = create.asking.remote.ask("POST", PATH, body(create)?).await?;
            let all = made["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            say(&if create.asking.json { made.to_string() } else { things(MADE, all) });
            Ok(())
        }
        Vouchers::Withdraw(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}"), None, &format!("{id} is withdrawn")).await
        }
        Vouchers::Redeem { code, asking } => {
            let code = if code == "-" { line("the code")? } else { code.clone() };
            asking.change("POST", "/auth/vouchers/redeem", Some(json!({ "code": code }))).await
        }
    }
}
