//! Prices that were set while the gateway ran: every version is kept, none is ever changed, and one that has not come into effect
//! can be taken back. Decides how rows are kept; what a price means is core's. Tests: `tests/it/prices.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::page::{Cursor, Listing, Page};
use crate::{Store, StoreError};

/// A version of a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceVersion {
    /// `price_…`
    pub id: String,
    /// A name, or a pattern with `*`.
    pub model: String,
    /// The kind of provider that it is for; all if there is none.
    pub provider: Option<String>,
    /// The moment from which on it holds.
    pub effective_at: i64,
    /// The price as the configuration spells it, as a JSON object.
    pub body: String,
    pub created_at: i64,
    /// Who set it.
    pub created_by: String,
}

/// Which versions a list shows; all that are given must fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of exactly this name or pattern.
    pub model: Option<&'a str>,
    pub provider: Option<&'a str>,
}

const SELECT: &str = "select id, model, provider, effective_at, body, created_at, created_by from prices";

/// Adds a version.
pub async fn add(tx: &mut Transaction<'static, Any>, version: &PriceVersion) -> Result<(), StoreError> {
    sqlx::query(
        "insert into prices (id, model, provider, effective_at, body, created_at, created_by)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(version.id.clone())
    .bind(version.model.clone())
    .bind(version.provider.clone())
    .bind(version.effective_at)
    .bind(version.body.clone())
    .bind(version.created_at)
    .bind(version.created_by.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a version back that has not come into effect. One that has is [`StoreError::Refused`]: requests may have been charged
/// at it.
pub async fn withdraw(tx: &mut Transaction<'static, Any>, id: &str, now: i64) -> Result<(), StoreError> {
    let row = sqlx::query("select effective_at from prices where id = $1").bind(id.to_owned());
    let effective_at: i64 = row.fetch_one(&mut **tx).await?.try_get(0)?;
    let done = sqlx::query("delete from prices where id = $1 and effective_at > $2").bind(id.to_owned()).bind(now);
    match (effective_at > now, done.execute(&mut **tx).await?.rows_affected()) {
        (true, 1) => Ok(()),
        (true, _) => Err(StoreError::NotFound),
        (false, _) => {
            let why = format!("{id} is in effect, and requests may have been charged at it; set another price instead");
            Err(StoreError::Refused(why))
        }
    }
}

/// A version.
pub async fn get(store: &Store, id: &str) -> Result<PriceVersion, StoreError> {
    Listing::of(SELECT).only("id = $", id).one(store, read).await
}

/// A page of versions, the newest first.
pub async fn page(
    store: &Store,
    filter: &Filter<'_>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<PriceVersion>, StoreError> {
    let cursor = |version: &PriceVersion| Cursor { at: version.created_at, id: version.id.clone() };
    let listing = Listing::of(SELECT).only_if("model = $", filter.model).only_if("provider = $", filter.provider);
    listing.page(store, after, limit, read, cursor).await
}

/// All versions, the newest first: of two for the same from the same moment on, the first is meant.
pub async fn all(store: &Store) -> Result<Vec<PriceVersion>, StoreError> {
    Listing::of(SELECT).then("order by created_at desc, id desc").rows(store, read).await
}

fn read(row: &AnyRow) -> Result<PriceVersion, StoreError> {
    Ok(PriceVersion {
        id: row.try_get(0)?,
        model: row.try_get(1)?,
        provider: row.try_get(2)?,
        effective_at: row.try_get(3)?,
        body: row.try_get(4)?,
        created_at: row.try_get(5)?,
        created_by: row.try_get(6)?,
    })
}
