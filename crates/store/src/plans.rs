//! Subscription plans: what a user or a team may use, how much of it, and at what price. Decides how rows are kept; the limits
//! are kept by core. Tests: `tests/it/people.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::page::{Cursor, Listing, Page};
use crate::{Store, StoreError};

/// What is the same for everybody who has the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPlan {
    /// `plan_…`
    pub id: String,
    pub created_at: i64,
    pub changed_at: i64,
    /// Grows with each change: the ETag.
    pub version: i64,
    pub enabled: bool,
    pub terms: Terms,
}

/// What a plan says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub name: String,
    /// Names with `*`; empty means all.
    pub models: Vec<String>,
    /// Operations such as `chat`; empty means all.
    pub endpoints: Vec<String>,
    pub rpm: Option<i64>,
    pub tpm: Option<i64>,
    pub concurrency: Option<i64>,
    pub tokens_per_day: Option<i64>,
    /// What a price is multiplied with, in thousandths: 1000 leaves it as it is.
    pub price_permille: i64,
    pub billing: Billing,
}

/// When there must be money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// Before a request: without credit there is no answer.
    Prepaid,
    /// Afterwards: only budgets stop anybody.
    Postpaid,
}

impl Billing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepaid => "prepaid",
            Self::Postpaid => "postpaid",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Prepaid, Self::Postpaid].into_iter().find(|billing| billing.name() == name)
    }
}

impl Terms {
    /// A plan of that name that allows everything, at the usual price, paid afterwards.
    pub fn open(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            models: Vec::new(),
            endpoints: Vec::new(),
            rpm: None,
            tpm: None,
            concurrency: None,
            tokens_per_day: None,
            price_permille: 1000,
            billing: Billing::Postpaid,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        let limits = [
            ("rpm", self.rpm),
            ("tpm", self.tpm),
            ("concurrency", self.concurrency),
            ("tokens_per_day", self.tokens_per_day),
        ];
        if let Some((name, _)) = limits.into_iter().find(|(_, limit)| limit.is_some_and(|limit| limit < 1)) {
            return Err(StoreError::Refused(format!("{name}: expected a number from 1; leave it out for no limit")));
        }
        if !(0..=1_000_000).contains(&self.price_permille) {
            let text = "price_permille: expected a number from 0 to 1000000; 1000 leaves prices as they are";
            return Err(StoreError::Refused(text.to_owned()));
        }
        Ok(())
    }
}

const SELECT: &str =
    "select id, created_at, changed_at, version, name, models, endpoints, rpm, tpm, concurrency, tokens_per_day,
     price_permille, billing, enabled from plans";

/// Adds a plan. A name that is there already is [`StoreError::Taken`].
pub async fn create(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    terms: &Terms,
    now: i64,
) -> Result<SubscriptionPlan, StoreError> {
    terms.check()?;
    sqlx::query(
        "insert into plans (name, models, endpoints, rpm, tpm, concurrency, tokens_per_day, price_permille, billing, enabled,
         changed_at, version, id, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(terms.name.clone())
    .bind(list(&terms.models))
    .bind(list(&terms.endpoints))
    .bind(terms.rpm)
    .bind(terms.tpm)
    .bind(terms.concurrency)
    .bind(terms.tokens_per_day)
    .bind(terms.price_permille)
    .bind(terms.billing.name())
    .bind(1_i64)
    .bind(now)
    .bind(1_i64)
    .bind(id.to_owned())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    let id = id.to_owned();
    Ok(SubscriptionPlan { id, created_at: now, changed_at: now, version: 1, enabled: true, terms: terms.clone() })
}

/// Replaces what a plan says. With `version`, only if that is still the version.
pub async fn change(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    version: Option<i64>,
    terms: &Terms,
    enabled: bool,
    now: i64,
) -> Result<SubscriptionPlan, StoreError> {
    terms.check()?;
    let row = sqlx::query("select created_at, version from plans where id = $1")
        .bind(id.to_owned())
        .fetch_one(&mut **tx)
        .await?;
    let (created_at, old): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if version.is_some_and(|version| version != old) {
        return Err(StoreError::Stale);
    }
    let written = sqlx::query(
        "update plans set name = $1, models = $2, endpoints = $3, rpm = $4, tpm = $5, concurrency = $6, tokens_per_day = $7,
         price_permille = $8, billing = $9, enabled = $10, changed_at = $11, version = $12 where id = $13 and version = $14",
    )
    .bind(terms.name.clone())
    .bind(list(&terms.models))
    .bind(list(&terms.endpoints))
    .bind(terms.rpm)
    .bind(terms.tpm)
    .bind(terms.concurrency)
    .bind(terms.tokens_per_day)
    .bind(terms.price_permille)
    .bind(terms.billing.name())
    .bind(i64::from(enabled))
    .bind(now)
    .bind(old + 1)
    .bind(id.to_owned())
    .bind(old)
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() != 1 {
        return Err(StoreError::Stale);
    }
    let (id, terms) = (id.to_owned(), terms.clone());
    Ok(SubscriptionPlan { id, created_at, changed_at: now, version: old + 1, enabled, terms })
}

/// A plan.
pub async fn get(store: &Store, id: &str) -> Result<SubscriptionPlan, StoreError> {
    Listing::of(SELECT).only("id = $", id).one(store, read).await
}

/// A page of plans, the newest first.
pub async fn page(store: &Store, after: Option<&Cursor>, limit: u32) -> Result<Page<SubscriptionPlan>, StoreError> {
    let cursor = |plan: &SubscriptionPlan| Cursor { at: plan.created_at, id: plan.id.clone() };
    Listing::of(SELECT).page(store, after, limit, read, cursor).await
}

/// All plans, for what is kept in memory.
pub async fn all(store: &Store) -> Result<Vec<SubscriptionPlan>, StoreError> {
    Listing::of(SELECT).rows(store, read).await
}

fn list(names: &[String]) -> String {
    serde_json::Value::from(names).to_string()
}

fn read(row: &AnyRow) -> Result<SubscriptionPlan, StoreError> {
    let id: String = row.try_get(0)?;
    let corrupt = |column: &str| StoreError::Corrupt(format!("plans.{column} of {id} cannot be read; correct the row"));
    let names = |place: usize, column: &str| {
        let text: String = row.try_get(place)?;
        serde_json::from_str::<Vec<String>>(&text).map_err(|_| corrupt(column))
    };
    let terms = Terms {
        name: row.try_get(4)?,
        models: names(5, "models")?,
        endpoints: names(6, "endpoints")?,
        rpm: row.try_get(7)?,
        tpm: row.try_get(8)?,
        concurrency: row.try_get(9)?,
        tokens_per_day: row.try_get(10)?,
        price_permille: row.try_get(11)?,
        billing: Billing::from_name(&row.try_get::<String, _>(12)?).ok_or_else(|| corrupt("billing"))?,
    };
    Ok(SubscriptionPlan {
        created_at: row.try_get(1)?,
        changed_at: row.try_get(2)?,
        version: row.try_get(3)?,
        enabled: row.try_get::<i64, _>(13)? != 0,
        terms,
        id,
    })
}
