//! `waypost credits`: what accounts were given and have spent. Amounts are decimal USD, exact to the billionth. Tests:
//! `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::asking::{Asking, Id, body};
use super::print::Column;

/// What can be done with credit.
#[derive(Subcommand, Clone, Debug)]
pub enum Credits {
    /// Shows what an account was given and has spent.
    Show(Show),
    /// Lists what happened to an account, the newest first, and says how to get what was before.
    History(History),
    /// Gives an account credit; from then on it spends what it is given and no more.
    TopUp(Give),
    /// Corrects an account's credit; a negative amount takes what is neither spent nor held.
    Adjust(Give),
}

/// An account.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// The account: `user:<id>`, `team:<id>` or `key:<id>`.
    #[arg(value_parser = account)]
    account: Id,
    #[command(flatten)]
    asking: Asking,
}

/// A page of what happened.
#[derive(Args, Clone, Debug)]
pub struct History {
    /// The account: `user:<id>`, `team:<id>` or `key:<id>`.
    #[arg(value_parser = account)]
    account: Id,
    /// How many, 1 to 500.
    #[arg(long, default_value_t = 50)]
    limit: u16,
    /// What was before a page: what the page says is next.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// An amount, and why.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Give {
    /// The account: `user:<id>`, `team:<id>` or `key:<id>`.
    #[arg(value_parser = account)]
    #[serde(skip)]
    account: Id,
    /// In USD, such as 12.5.
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    amount: NanoUsd,
    /// Why, for the ledger.
    #[arg(long)]
    reason: String,
    /// Names this gift for ever: a second one of the same name is refused, so that it can be tried again safely.
    #[arg(long)]
    reference: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/credits";

const COLUMNS: &[Column] = &[
    ("AT", "/at"),
    ("KIND", "/kind"),
    ("USD", "/amount"),
    ("BY", "/actor"),
    ("REASON", "/reason"),
    ("KEY", "/key"),
    ("MODEL", "/model"),
    ("REQUEST", "/request"),
];

/// Does it, and prints what the account has then.
pub async fn run(wanted: &Credits) -> Result<(), String> {
    match wanted {
        Credits::Show(Show { account, asking }) => asking.show(&format!("{PATH}/{account}")).await,
        Credits::History(History { account, limit, after, asking }) => {
            let limit = limit.to_string();
            let asked = [("limit", Some(limit.as_str())), ("after", after.as_deref())];
            asking.page(&format!("{PATH}/{account}/history"), &asked, COLUMNS).await
        }
        Credits::TopUp(give) => give.run("top-up").await,
        Credits::Adjust(give) => give.run("adjust").await,
    }
}

impl Give {
    async fn run(&self, how: &str) -> Result<(), String> {
        self.asking.change("POST", &format!("{PATH}/{}/{how}", self.account), body(self)?).await
    }
}

/// The name of an account that pays.
fn account(text: &str) -> Result<Id, &'static str> {
    let account = Account::parse(text).ok().filter(Account::pays);
    let name = account.and_then(|account| account.as_str().parse().ok());
    name.ok_or("expected user:<id>, team:<id> or key:<id>")
}
