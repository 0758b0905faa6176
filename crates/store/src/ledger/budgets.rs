//! Budgets and their windows in the database: how they are defined, and what was spent in each. Decides nothing about who
//! may spend. Tests: `tests/it/ledger.rs`.

use std::sync::Arc;

use serde_json::Map;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::ledger::{Budget, Scope, WhenSpent, Window};
use waypost_core::money::NanoUsd;

use super::fold::Alert;
use crate::alerts::{self, Kind, Owner, Sighting};
use crate::audit::{self, Entry};
use crate::{Store, StoreError};

/// A window of a budget, as far as the journal is folded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    pub start: i64,
    pub amount: NanoUsd,
    pub spent: NanoUsd,
    /// What nodes have taken to themselves and not yet reported as spent.
    pub leased: NanoUsd,
}

/// A budget as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub budget: Budget,
    /// Grows with every change.
    pub version: i64,
    /// The team whose administrator made it, and nobody but them changed; none if it is the instance's.
    pub made_in: Option<String>,
}

/// A budget on its way into the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    pub(crate) budget: &'a Budget,
    /// Only over this version of it, if one is named.
    pub(crate) over: Option<i64>,
    pub(crate) deleted: bool,
    /// The start of its present window, and what may come together in it at most.
    pub(crate) window: (i64, NanoUsd),
    pub(crate) at: i64,
}

const COLUMNS: &str =
    "select id, scope, length, amount, hard, alerts, deleted, when_spent, version, made_in from ledger_budgets";

impl Store {
    /// A budget by its id, unless it was deleted.
    pub async fn budget(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} where id = $1 and deleted = 0"));
        let row = sqlx::query(sql).bind(id.to_owned()).fetch_optional(self.reader()).await?;
        row.map(|row| kept(&row)).transpose()
    }

    /// Budgets by id, after this one, of one scope or of all.
    pub async fn budgets(&self, scope: Option<&Scope>, after: &str, most: i64) -> Result<Vec<Kept>, StoreError> {
        let scope = scope.map_or(String::new(), Scope::to_string);
        let sql = format!("{COLUMNS} where deleted = 0 and ($1 = '' or scope = $1) and id > $2 order by id limit $3");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(scope).bind(after.to_owned()).bind(most);
        query.fetch_all(self.reader()).await?.iter().map(kept).collect()
    }

    /// The windows of a budget, the latest first.
    pub async fn windows(&self, budget: &str, most: i64) -> Result<Vec<Spent>, StoreError> {
        let sql = "select start_at, amount, spent, leased from ledger_windows where budget = $1 \
                   order by start_at desc limit $2";
        let rows = sqlx::query(sql).bind(budget.to_owned()).bind(most).fetch_all(self.reader()).await?;
        rows.iter().map(read_window).collect()
    }

    /// Every budget there ever was by its id: absent if it was deleted, an error if this version cannot read it.
    pub(crate) async fn every_budget(&self) -> Result<Vec<(String, Result<Option<Budget>, StoreError>)>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} order by id"));
        let rows = sqlx::query(sql).fetch_all(self.reader()).await?;
        let one = |row: &AnyRow| {
            let deleted = row.try_get::<i64, _>(6)? == 1;
            Ok((row.try_get(0)?, if deleted { Ok(None) } else { read(row).map(Some) }))
        };
        rows.iter().map(one).collect()
    }

    /// Writes a budget. Answers the new version; `Stale` if it is not the one that was named.
    pub(crate) async fn put_budget(&self, put: Put<'_>, note: Option<Entry<'_>>) -> Result<i64, StoreError> {
        let Put { budget, over, deleted, window: (start, cap), at } = put;
        let mut tx = self.begin().await?;
        // The window first, as whoever charges locks it; a budget's row takes the number of the change with it, which all wait for.
        let sql = "insert into ledger_windows (budget, start_at, amount, hard) values ($1, $2, $3, $4) \
                   on conflict (budget, start_at) do update set hard = excluded.hard, amount = case \
                   when ledger_windows.spent + ledger_windows.leased > excluded.amount \
                   then ledger_windows.spent + ledger_windows.leased else excluded.amount end";
        let row = sqlx::query(sql).bind(budget.id.to_string()).bind(start).bind(cap.get());
        // What was admitted may end at more than the amount: one that is gone limits nothing.
        row.bind(i64::from(budget.hard && !deleted)).execute(&mut *tx).await?;
        let sql = "insert into ledger_budgets (id, scope, length, amount, hard, alerts, deleted, changed_at, when_spent, \
                   made_in) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $11) on conflict (id) do update set scope = excluded.scope, \
                   length = excluded.length, amount = excluded.amount, hard = excluded.hard, alerts = excluded.alerts, \
                   deleted = excluded.deleted, changed_at = excluded.changed_at, when_spent = excluded.when_spent, \
                   made_in = case when excluded.made_in = '' then '' else ledger_budgets.made_in end, \
                   version = ledger_budgets.version + 1 where $10 = 0 or ledger_budgets.version = $10 returning version";
        let alerts = budget.alerts.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let row = sqlx::query(sql).bind(budget.id.to_string()).bind(budget.scope.to_string());
        let row = row.bind(budget.window.name()).bind(budget.amount.get()).bind(i64::from(budget.hard)).bind(alerts);
        let row = row.bind(i64::from(deleted)).bind(at).bind(budget.when_spent.name()).bind(over.unwrap_or(0));
        let row = row.bind(note.as_ref().and_then(|note| note.actor.team.as_deref()).unwrap_or_default().to_owned());
        let version = row.fetch_optional(&mut *tx).await?.ok_or(StoreError::Stale)?.try_get(0)?;
        audit::note(&mut tx, note, Map::new()).await?;
        tx.commit().await?;
        Ok(version)
    }
}

fn kept(row: &AnyRow) -> Result<Kept, StoreError> {
    Ok(Kept {
        budget: read(row)?,
        version: row.try_get(8)?,
        made_in: Some(row.try_get(9)?).filter(|team: &String| !team.is_empty()),
    })
}

fn read(row: &AnyRow) -> Result<Budget, StoreError> {
    let (id, scope, length): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (alerts, when_spent): (String, String) = (row.try_get(5)?, row.try_get(7)?);
    let bad = |what: &str| StoreError::Corrupt(format!("budget {id} has a {what} that this version does not know"));
    Ok(Budget {
        scope: Scope::parse(&scope).map_err(|_| bad("scope"))?,
        window: Window::parse(&length).ok_or_else(|| bad("window"))?,
        amount: NanoUsd(row.try_get(3)?),
        hard: row.try_get::<i64, _>(4)? == 1,
        alerts: alerts.split(',').filter_map(|mark| mark.parse().ok()).collect(),
        when_spent: WhenSpent::parse(&when_spent).ok_or_else(|| bad("when_spent"))?,
        id: Arc::from(id),
    })
}

fn read_window(row: &AnyRow) -> Result<Spent, StoreError> {
    Ok(Spent {
        start: row.try_get(0)?,
        amount: NanoUsd(row.try_get(1)?),
        spent: NanoUsd(row.try_get(2)?),
        leased: NanoUsd(row.try_get(3)?),
    })
}

/// The row of a window, where it is not there yet. What a hard budget admitted in it fits, though it was lowered since: `least`.
pub(super) async fn begin_window(
    tx: &mut Transaction<'static, Any>,
    budget: &str,
    start: i64,
    least: i64,
) -> Result<(), StoreError> {
    let sql = "insert into ledger_windows (budget, start_at, amount, hard) \
               select id, $2, case when hard = 1 and amount < $3 then $3 else amount end, hard from ledger_budgets where id = $1 \
               on conflict (budget, start_at) do nothing";
    sqlx::query(sql).bind(budget.to_owned()).bind(start).bind(least).execute(&mut **tx).await?;
    Ok(())
}

/// Counts what was spent in a window that was begun, and raises each mark that was passed, in the same database transaction.
pub(super) async fn count(
    tx: &mut Transaction<'static, Any>,
    budget: &str,
    start: i64,
    amount: i64,
    now: i64,
) -> Result<Vec<Alert>, StoreError> {
    let sql = "update ledger_windows set spent = spent + $3 where budget = $1 and start_at = $2 \
               returning spent, amount, alerted";
    let row = sqlx::query(sql).bind(budget.to_owned()).bind(start).bind(amount).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let (spent, limit, told): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let percent = i128::from(spent) * 100 / i128::from(limit.max(1));
    if percent <= i128::from(told) {
        return Ok(Vec::new());
    }
    let sql = "select alerts, scope from ledger_budgets where id = $1";
    let row = sqlx::query(sql).bind(budget.to_owned()).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let (marks, scope): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let marks = marks.split(',').filter_map(|mark| mark.parse::<i64>().ok());
    let mut passed: Vec<i64> = marks.filter(|mark| *mark > told && i128::from(*mark) <= percent).collect();
    passed.sort_unstable();
    let Some(highest) = passed.last() else { return Ok(Vec::new()) };
    let sql = "update ledger_windows set alerted = $3 where budget = $1 and start_at = $2";
    sqlx::query(sql).bind(budget.to_owned()).bind(start).bind(*highest).execute(&mut **tx).await?;
    let owner = match Scope::parse(&scope) {
        Ok(scope) => alerts::owner_of(tx, &scope).await?,
        Err(_) => Owner::default(),
    };
    for mark in &passed {
        let sighting = Sighting {
            kind: Kind::Budget,
            subject: budget.to_owned(),
            window_at: start,
            mark: *mark,
            reached: spent,
            bound: limit,
            unit: "nano_usd",
            owner: owner.clone(),
        };
        alerts::raise(tx, &sighting, now).await?;
    }
    let alert =
        |percent| Alert { budget: budget.to_owned(), start, percent, spent: NanoUsd(spent), amount: NanoUsd(limit) };
    Ok(passed.into_iter().map(alert).collect())
}
