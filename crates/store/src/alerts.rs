//! What people are to be told: that something has come to a mark of its bound. Each mark is raised once in a window, whichever
//! process sees it, and told by one of them. Decides no bound and tells nobody. Tests: `tests/it/alerts.rs`.

use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::ledger::{Account, Scope as For};
use waypost_core::money::NanoUsd;

use crate::ledger::grants::Balance;
use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError, id};

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A budget, in its window.
    Budget,
    /// Prepaid credit, since something was given the last time.
    Credit,
    /// A minute limit of a key, user, team or plan.
    KeyUsage,
    /// Its tokens of a day.
    TokenQuota,
    /// What all requests of an hour cost.
    Cost,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Budget, Self::Credit, Self::KeyUsage, Self::TokenQuota, Self::Cost];

    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Credit => "credit",
            Self::KeyUsage => "key_usage",
            Self::TokenQuota => "token_quota",
            Self::Cost => "cost",
        }
    }

    /// Reads a name as [`Kind::name`] says it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that has come to a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub kind: Kind,
    /// A budget's id, an account, `key:<id>` and so on; empty where it is the whole instance.
    pub subject: String,
    /// When its window began; with subject and mark it says whether this was raised before.
    pub window_at: i64,
    /// Per cent of the bound.
    pub mark: i64,
    pub reached: i64,
    pub bound: i64,
    /// `nano_usd`, `tokens` or `requests`.
    pub unit: &'static str,
    /// Whose it is; nobody's where that is not known.
    pub owner: Owner,
}

/// Who else may know of an alert than those who see all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: String,
    pub team: String,
}

/// An alert that was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// `alr_…`
    pub id: String,
    /// Milliseconds since 1970, as all times here.
    pub created_at: i64,
    pub kind: String,
    pub subject: String,
    pub window_at: i64,
    pub mark: i64,
    pub reached: i64,
    pub bound: i64,
    pub unit: String,
    pub owner: Owner,
    /// How often it was tried to tell of it.
    pub tries: i64,
    /// When everybody had been told; 0 if not yet.
    pub told_at: i64,
}

/// Which alerts a list shows; what is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    pub kind: Option<String>,
    pub subject: Option<String>,
}

const SELECT: &str = "select id, created_at, kind, subject, window_at, mark, reached, bound, unit, user_id, team_id, \
                      tries, told_at, tell_at from alerts";

/// Writes it down, unless that was done before. Says whether it is new.
pub(crate) async fn raise(
    tx: &mut Transaction<'static, Any>,
    sighting: &Sighting,
    now: i64,
) -> Result<bool, StoreError> {
    let Sighting { kind, subject, window_at, mark, reached, bound, unit, owner } = sighting;
    let written = sqlx::query(
        "insert into alerts (id, created_at, kind, subject, window_at, mark, reached, bound, unit, user_id, team_id, tell_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $2) on conflict do nothing",
    )
    .bind(id_of(sighting))
    .bind(now)
    .bind(kind.name())
    .bind(subject.clone())
    .bind(*window_at)
    .bind(*mark)
    .bind(*reached)
    .bind(*bound)
    .bind(*unit)
    .bind(owner.user.clone())
    .bind(owner.team.clone())
    .execute(&mut **tx)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// The same for whoever sees it.
fn id_of(sighting: &Sighting) -> String {
    let Sighting { kind, subject, window_at, mark, .. } = sighting;
    let digest = Sha256::digest(format!("{}\n{subject}\n{window_at}\n{mark}", kind.name()));
    let number = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    id::new("alr", number)
}

/// Whose a budget is.
pub(crate) async fn owner_of(tx: &mut Transaction<'static, Any>, scope: &For) -> Result<Owner, StoreError> {
    let (sql, id) = match scope {
        For::Global | For::Group(_) => return Ok(Owner::default()),
        For::Team(id) => return Ok(Owner { user: String::new(), team: id.to_string() }),
        For::User(id) => ("select id, coalesce(team, '') from users where id = $1", id),
        For::Key(id) => {
            let sql = "select coalesce(k.user_id, ''), coalesce(k.team_id, u.team, '') from keys k \
                       left join users u on u.id = k.user_id where k.id = $1";
            (sql, id)
        }
    };
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&mut **tx).await?;
    match (row, scope) {
        (Some(row), _) => Ok(Owner { user: row.try_get(0)?, team: row.try_get(1)? }),
        (None, For::User(id)) => Ok(Owner { user: id.to_string(), team: String::new() }),
        (None, _) => Ok(Owner::default()),
    }
}

impl Store {
    /// Writes down what was seen and not before. Says how much that was.
    pub async fn raise_alerts(&self, sightings: &[Sighting], now: i64) -> Result<usize, StoreError> {
        if sightings.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let mut raised = 0;
        for sighting in sightings {
            raised += usize::from(raise(&mut tx, sighting, now).await?);
        }
        tx.commit().await?;
        Ok(raised)
    }

    /// Alerts within the scope, the newest first.
    pub async fn alerts(
        &self,
        scope: &Scope,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Alert>, StoreError> {
        let cursor = |alert: &Alert| Cursor { at: alert.created_at, id: alert.id.clone() };
        Listing::of(SELECT)
            .within(scope, "team_id = $", "user_id = $")
            .only_if("kind = $", filter.kind.as_deref())
            .only_if("subject = $", filter.subject.as_deref())
            .page(self, after, limit, read, cursor)
            .await
    }

    /// Takes up to so many alerts of which somebody is to be told now, so that no other process tells of them before
    /// `again_at`.
    pub async fn take_alerts(&self, now: i64, again_at: i64, most: i64) -> Result<Vec<Alert>, StoreError> {
        let sql =
            sqlx::AssertSqlSafe(format!("{SELECT} where tell_at > 0 and tell_at <= $1 order by tell_at limit $2"));
        let rows = sqlx::query(sql).bind(now).bind(most).fetch_all(self.reader()).await?;
        let mut taken = Vec::new();
        for row in &rows {
            let (alert, tell_at): (Alert, i64) = (read(row)?, row.try_get(13)?);
            let mut tx = self.begin().await?;
            let sql = "update alerts set tell_at = $2, tries = tries + 1 where id = $1 and tell_at = $3 and tries = $4";
            let query = sqlx::query(sql).bind(alert.id.clone()).bind(again_at).bind(tell_at).bind(alert.tries);
            let done = query.execute(&mut *tx).await?;
            tx.commit().await?;
            if done.rows_affected() == 1 {
                taken.push(alert);
            }
        }
        Ok(taken)
    }

    /// When an alert is to be told again (0: never), and when it was told (0: it was not).
    pub async fn alert_told(&self, id: &str, tell_at: i64, told_at: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update alerts set tell_at = $2, told_at = $3 where id = $1";
        sqlx::query(sql).bind(id.to_owned()).bind(tell_at).bind(told_at).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets what is older, but for credit: that a mark of it was told is known by nothing else. Says how much that was.
    pub async fn prune_alerts(&self, before: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let pruned = sqlx::query("delete from alerts where created_at < $1 and kind <> 'credit'")
            .bind(before)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from alert_sums where window_at < $1").bind(before).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }

    /// Adds to what all processes have come to in a window, and answers that.
    pub async fn add_to_alert_sum(&self, kind: Kind, window_at: i64, amount: i64) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "insert into alert_sums (kind, window_at, amount) values ($1, $2, $3) on conflict (kind, window_at) \
                   do update set amount = alert_sums.amount + excluded.amount returning amount";
        let row = sqlx::query(sql).bind(kind.name()).bind(window_at).bind(amount).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(row.try_get(0)?)
    }

    /// Looks how far prepaid credit that changed since this time is used up, since something was given the last time, and
    /// raises what has come to a mark (per cents).
    pub async fn raise_credit_alerts(&self, marks: &[u16], since: i64, now: i64) -> Result<usize, StoreError> {
        let mut raised = 0;
        if marks.is_empty() {
            return Ok(0);
        }
        for balance in self.prepaid_since(since).await? {
            let Ok(account) = Account::parse(&balance.account) else { continue };
            if !self.is_news(marks, &balance).await? {
                continue;
            }
            let mut tx = self.begin().await?;
            let round = round(&mut tx, &balance).await?;
            let given = round.0.saturating_sub(round.1);
            let used = balance.spent.get().saturating_sub(round.1);
            let passed = marks
                .iter()
                .map(|mark| i64::from(*mark))
                .filter(|mark| given > 0 && i128::from(used) * 100 >= i128::from(*mark) * i128::from(given));
            for mark in passed {
                let sighting = Sighting {
                    kind: Kind::Credit,
                    subject: account.as_str().to_owned(),
                    window_at: round.0,
                    mark,
                    reached: used,
                    bound: given,
                    unit: "nano_usd",
                    owner: owner_of(&mut tx, &scope_of(&account)).await?,
                };
                raised += usize::from(raise(&mut tx, &sighting, now).await?);
            }
            tx.commit().await?;
        }
        Ok(raised)
    }

    /// Is there something to write about this credit: was something given since anybody looked, or is a mark behind it that was
    /// not told? Nearly always there is not, and the one who writes to the database is not kept from it.
    async fn is_news(&self, marks: &[u16], balance: &Balance) -> Result<bool, StoreError> {
        let sql = "select granted, spent, (select max(mark) from alerts where kind = 'credit' and subject = $1 \
                   and window_at = granted) from alert_rounds where account = $1";
        let row = sqlx::query(sql).bind(balance.account.clone()).fetch_optional(self.reader()).await?;
        let Some(row) = row else { return Ok(true) };
        let (granted, spent, told): (i64, i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (given, used) = (granted.saturating_sub(spent), balance.spent.get().saturating_sub(spent));
        let passed = |mark: i64| given > 0 && i128::from(used) * 100 >= i128::from(mark) * i128::from(given);
        let untold = marks.iter().map(|mark| i64::from(*mark)).any(|mark| Some(mark) > told && passed(mark));
        Ok(granted != balance.granted.get() || untold)
    }
}

/// What had been given and spent when the account was given something the last time, as far as anybody looked.
async fn round(tx: &mut Transaction<'static, Any>, balance: &Balance) -> Result<(i64, i64), StoreError> {
    let NanoUsd(granted) = balance.granted;
    let sql = "insert into alert_rounds (account, granted, spent) values ($1, $2, $3) on conflict (account) do update set \
               spent = case when alert_rounds.granted = excluded.granted then alert_rounds.spent else excluded.spent end, \
               granted = excluded.granted returning granted, spent";
    // What was given first was given before anything was spent of it.
    let first = "select count(*) from alert_rounds where account = $1";
    let known: i64 = sqlx::query(first).bind(balance.account.clone()).fetch_one(&mut **tx).await?.try_get(0)?;
    let spent = if known == 0 { 0 } else { balance.spent.get() };
    let row = sqlx::query(sql).bind(balance.account.clone()).bind(granted).bind(spent).fetch_one(&mut **tx).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn scope_of(account: &Account) -> For {
    For::parse(account.as_str()).unwrap_or(For::Global)
}

fn read(row: &AnyRow) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        kind: row.try_get(2)?,
        subject: row.try_get(3)?,
        window_at: row.try_get(4)?,
        mark: row.try_get(5)?,
        reached: row.try_get(6)?,
        bound: row.try_get(7)?,
        unit: row.try_get(8)?,
        owner: Owner { user: row.try_get(9)?, team: row.try_get(10)? },
        tries: row.try_get(11)?,
        told_at: row.try_get(12)?,
    })
}
