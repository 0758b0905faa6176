//! Codes that are worth credit: each works once, before it expires, and only its SHA-256 is kept. Tests: `tests/it/ledger.rs`.

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::grants::{Balance, Grant, Pen, balance_within, grant_within};
use super::post::Kind;
use crate::audit::{self, Entry};
use crate::{Store, StoreError, Tx};

/// A voucher, without its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    pub id: String,
    pub label: String,
    pub amount: NanoUsd,
    pub created_at: i64,
    pub created_by: String,
    /// 0: never.
    pub expires_at: i64,
    /// 0: not yet, like the next one.
    pub revoked_at: i64,
    pub redeemed_at: i64,
    pub redeemed_by: String,
}

/// What is kept of a code. Spaces, hyphens and case do not matter.
fn digest(code: &str) -> Vec<u8> {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    Sha256::digest(plain.to_ascii_lowercase()).to_vec()
}

const COLUMNS: &str = "select id, label, amount, created_at, created_by, expires_at, revoked_at, redeemed_at, redeemed_by \
                       from ledger_vouchers";

/// Keeps a new voucher. The code is unpredictable and shown to its maker only.
pub async fn add(tx: &mut Tx, voucher: &Voucher, code: &str) -> Result<(), StoreError> {
    if voucher.amount.get() <= 0 {
        return Err(StoreError::Refused("amount: a voucher is worth more than nothing".to_owned()));
    }
    let sql = "insert into ledger_vouchers (id, code, label, amount, created_at, created_by, expires_at) \
               values ($1, $2, $3, $4, $5, $6, $7)";
    let row = sqlx::query(sql).bind(voucher.id.clone()).bind(digest(code)).bind(voucher.label.clone());
    let row = row.bind(voucher.amount.get()).bind(voucher.created_at).bind(voucher.created_by.clone());
    row.bind(voucher.expires_at).execute(&mut **tx).await?;
    Ok(())
}

/// It cannot be redeemed any more. `Stale`: it was, or is revoked.
pub async fn revoke(tx: &mut Tx, id: &str, now: i64) -> Result<(), StoreError> {
    let sql = "update ledger_vouchers set revoked_at = $2 where id = $1 and revoked_at = 0 and redeemed_at = 0";
    let done = sqlx::query(sql).bind(id.to_owned()).bind(now).execute(&mut **tx).await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale) }
}

impl Store {
    /// Vouchers, the latest first, before this time and id.
    pub async fn vouchers(&self, before: (i64, &str), most: i64) -> Result<Vec<Voucher>, StoreError> {
        let sql = format!(
            "{COLUMNS} where created_at < $1 or (created_at = $1 and id < $2) order by created_at desc, id desc limit $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(before.0).bind(before.1.to_owned()).bind(most);
        let rows = query.fetch_all(self.reader()).await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Voucher {
                id: row.try_get(0)?,
                label: row.try_get(1)?,
                amount: NanoUsd(row.try_get(2)?),
                created_at: row.try_get(3)?,
                created_by: row.try_get(4)?,
                expires_at: row.try_get(5)?,
                revoked_at: row.try_get(6)?,
                redeemed_at: row.try_get(7)?,
                redeemed_by: row.try_get(8)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Somebody who has a code.
#[derive(Clone, Copy, Debug)]
pub struct Redemption<'a> {
    pub code: &'a str,
    /// Gets the credit.
    pub account: &'a Account,
    pub actor: &'a str,
    pub at: i64,
}

/// Turns a code into credit. `NotFound`, whether there is no such code, or it was used, revoked or has expired: nothing is
/// told to whoever guesses. The note also says which voucher it was, and what it was worth.
pub(crate) async fn redeem(
    store: &Store,
    pen: Pen<'_>,
    redemption: Redemption<'_>,
    note: Option<Entry<'_>>,
) -> Result<(NanoUsd, Balance), StoreError> {
    let Redemption { code, account, actor, at } = redemption;
    let mut tx = store.begin().await?;
    let sql = "update ledger_vouchers set redeemed_at = $2, redeemed_by = $3 where code = $1 and redeemed_at = 0 \
               and revoked_at = 0 and (expires_at = 0 or expires_at > $2) returning id, amount";
    let query = sqlx::query(sql).bind(digest(code)).bind(at).bind(account.as_str().to_owned());
    let row = query.fetch_optional(&mut *tx).await?.ok_or(StoreError::NotFound)?;
    let (id, amount): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    let amount = NanoUsd(amount);
    let name = format!("voucher:{id}");
    let grant = Grant { id: &name, account, amount, kind: Kind::Voucher, actor, reason: &id, at };
    grant_within(&mut tx, pen, &grant).await?;
    let balance = balance_within(&mut tx, account).await?;
    let more = [("voucher".to_owned(), id.into()), ("amount".to_owned(), amount.to_string().into())];
    audit::note(&mut tx, note, more.into_iter().collect()).await?;
    tx.commit().await?;
    Ok((amount, balance))
}
