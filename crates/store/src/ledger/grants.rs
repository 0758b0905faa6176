//! What operators do to accounts: credit given and taken back. Each is a transaction with who did it and why. Decides that
//! nothing is taken which is not there. Tests: `tests/it/ledger.rs`.

use serde_json::Map;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;
use waypost_core::role::Actor;

use super::chain::ChainKey;
use super::post::{Draft, Kind, lock_head, post};
use crate::audit::{self, Entry};
use crate::{Store, StoreError};

/// Credit that is given (or taken, if it is negative).
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// Names it for ever: a second one of this name is refused.
    pub id: &'a str,
    pub account: &'a Account,
    pub amount: NanoUsd,
    pub kind: Kind,
    pub actor: &'a str,
    pub reason: &'a str,
    pub at: i64,
}

/// An account's sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    pub account: String,
    /// It can spend what it was given and no more.
    pub prepaid: bool,
    pub granted: NanoUsd,
    pub spent: NanoUsd,
    pub leased: NanoUsd,
    pub read_only: bool,
}

/// Who writes, and what for the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen<'a> {
    pub(crate) node: &'a str,
    pub(crate) key: &'a ChainKey,
}

const BALANCE: &str = "select name, prepaid, granted, spent, leased, read_only from ledger_accounts";

impl Store {
    /// An account's sums, as far as the journal is folded in; absent if nothing ever happened to it.
    pub async fn balance(&self, account: &Account) -> Result<Option<Balance>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{BALANCE} where name = $1"));
        let row = sqlx::query(sql).bind(account.as_str().to_owned()).fetch_optional(self.reader()).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Prepaid accounts that were changed at or after this time.
    pub(crate) async fn prepaid_since(&self, since: i64) -> Result<Vec<Balance>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{BALANCE} where prepaid = 1 and changed_at >= $1 order by name"));
        let rows = sqlx::query(sql).bind(since).fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// From now on the account spends what it is given and no more.
    pub(crate) async fn make_prepaid(&self, account: &Account, now: i64) -> Result<Balance, StoreError> {
        let mut tx = self.begin().await?;
        prepay(&mut tx, account.as_str(), now).await?;
        tx.commit().await?;
        self.balance(account).await?.ok_or(StoreError::NotFound)
    }

    /// Whoever looked at a read-only account says that it may be spent from again, and who that was is in the audit log. Gateways that run
    /// follow within a second. Refused if it is not read-only.
    pub async fn unfreeze(&self, account: &Account, (by, now): (&Actor, i64)) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update ledger_accounts set read_only = 0, changed_at = $2 where name = $1 and read_only = 1";
        let done = sqlx::query(sql).bind(account.as_str().to_owned()).bind(now).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Refused(format!("account: {account} is not read-only")));
        }
        let (action, subject) = ("ledger.unfreeze", account.as_str());
        let detail = serde_json::json!({});
        let entry =
            Entry { at: now, actor: by, action, subject, team: None, detail: &detail, address: None, request_id: None };
        audit::append(&mut tx, entry).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn set_read_only(&self, account: &str, read_only: bool, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update ledger_accounts set read_only = $2, changed_at = $3 where name = $1";
        let query = sqlx::query(sql).bind(account.to_owned()).bind(i64::from(read_only)).bind(now);
        query.execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

async fn prepay(tx: &mut Transaction<'static, Any>, account: &str, now: i64) -> Result<(), StoreError> {
    // What it spent before was on account: it begins with nothing owed.
    let sql = "insert into ledger_accounts (name, prepaid, changed_at) values ($1, 1, $2) \
               on conflict (name) do update set prepaid = 1, changed_at = excluded.changed_at";
    let done = sqlx::query(sql).bind(account.to_owned()).bind(now).execute(&mut **tx).await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if is_check(&error) => Err(StoreError::Refused(format!(
            "{account} has spent more than it was given; give it credit for what it owes first"
        ))),
        Err(error) => Err(error.into()),
    }
}

fn is_check(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|told| told.is_check_violation())
}

/// Gives or takes credit. Where other nodes hold leases, only what nobody holds can be taken.
pub(crate) async fn grant(
    store: &Store,
    pen: Pen<'_>,
    grant: &Grant<'_>,
    note: Option<Entry<'_>>,
) -> Result<Balance, StoreError> {
    let mut tx = store.begin().await?;
    grant_within(&mut tx, pen, grant).await?;
    // Read before the end, so that nothing can fail once it is given: whoever is told so would give it again.
    let balance = balance_within(&mut tx, grant.account).await?;
    audit::note(&mut tx, note, Map::new()).await?;
    tx.commit().await?;
    Ok(balance)
}

pub(super) async fn balance_within(
    tx: &mut Transaction<'static, Any>,
    account: &Account,
) -> Result<Balance, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{BALANCE} where name = $1"));
    read(&sqlx::query(sql).bind(account.as_str().to_owned()).fetch_one(&mut **tx).await?)
}

/// The other side of a grant.
fn source_of(kind: Kind) -> Result<Account, StoreError> {
    match kind {
        Kind::Voucher => Ok(Account::vouchers()),
        Kind::TopUp | Kind::Adjustment => Ok(Account::adjustments()),
        Kind::Charge | Kind::Reversal | Kind::Correction => {
            Err(StoreError::Refused(format!("kind: nobody gives credit as a {}", kind.name())))
        }
    }
}

pub(super) async fn grant_within(
    tx: &mut Transaction<'static, Any>,
    pen: Pen<'_>,
    grant: &Grant<'_>,
) -> Result<(), StoreError> {
    let mut draft = Draft::of_operator(grant.id.to_owned(), grant.kind, grant.at, grant.actor, grant.reason);
    let amount = grant.amount.get();
    let back = amount.checked_neg().ok_or_else(super::post::too_much)?;
    draft.entries =
        vec![(grant.account.as_str().to_owned(), amount), (source_of(grant.kind)?.as_str().to_owned(), back)];
    write(tx, pen, draft, grant.at).await?;
    prepay(tx, grant.account.as_str(), grant.at).await
}

async fn write(tx: &mut Transaction<'static, Any>, pen: Pen<'_>, draft: Draft, at: i64) -> Result<(), StoreError> {
    let mut head = lock_head(tx, pen.node, at).await?;
    let account = draft.entries.first().map(|(account, _)| account.clone()).unwrap_or_default();
    match post(tx, pen.node, pen.key, &mut head, &[draft]).await {
        Err(StoreError::Query(error)) if is_check(&error) => Err(StoreError::Refused(format!(
            "{account} has less than that which is neither spent nor held; take less, or try again when requests have ended"
        ))),
        other => other,
    }
}

fn read(row: &sqlx::any::AnyRow) -> Result<Balance, StoreError> {
    Ok(Balance {
        account: row.try_get(0)?,
        prepaid: row.try_get::<i64, _>(1)? == 1,
        granted: NanoUsd(row.try_get(2)?),
        spent: NanoUsd(row.try_get(3)?),
        leased: NanoUsd(row.try_get(4)?),
        read_only: row.try_get::<i64, _>(5)? == 1,
    })
}
