//! `waypost credits`: what accounts were given and have spent. Amounts are decimal USD, exact to the billionth. Tests:
//! `it/manage/command.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::asking::{Asking, Id, body};

/// What can be done with credit.
#[derive(Subcommand, Clone, Debug)]
pub enum Credits {
    /// Shows what an account was given and has spent.
    Show(Show),
    /// Gives an account credit; from then on it spends what it is given and no more.
    TopUp(Give),
    /// Corrects an account's credit; a negative amount takes what is neither spent nor held.
    Adjust(Give),
}

/// An account.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// The account: user:<id>, team:<id> or key:<id>.
    #[arg(value_parser = account)]
    account: Id,
    #[command(flatten)]
    asking: Asking,
}

/// An amount, and why.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Give {
    /// The account: user:<id>, team:<id> or key:<id>.
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

/// Does it, and prints what the account has then.
pub async fn run(wanted: &Credits) -> Result<(), String> {
    match wanted {
        Credits::Show(Show { account, asking }) => asking.show(&format!("{PATH}/{account}")).await,
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
