//! What was done, by whom, to what: rows that are only ever added, each chained to the one before by its hash, so that no
//! row can be changed, moved or taken out unseen. Decides what a hash covers. Whoever could rewrite the whole chain is
//! found by a head that was kept elsewhere. Tests: `tests/it/audit.rs`.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::role::Actor;

use crate::page::{Listing, Scope};
use crate::{Store, StoreError, digest};

/// What is to be written down.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Milliseconds since 1970.
    pub at: i64,
    pub actor: &'a Actor,
    /// Noun and verb, such as `user.create`.
    pub action: &'static str,
    /// The id of what it was done to.
    pub subject: &'a str,
    /// The team whose auditors may see it.
    pub team: Option<&'a str>,
    /// What has changed. Never a secret nor its hash.
    pub detail: &'a Value,
    /// Where the actor was.
    pub address: Option<&'a str>,
    pub request_id: Option<&'a str>,
}

/// A row as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// 1, 2, 3 and so on, without a gap.
    pub number: i64,
    pub at: i64,
    pub actor: String,
    pub team: Option<String>,
    pub action: String,
    pub subject: String,
    /// JSON text.
    pub detail: String,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// The hash of the row before; empty for the first.
    pub previous: String,
    /// 64 hexadecimal digits.
    pub hash: String,
}

/// The end of the chain. Kept elsewhere, it proves that nothing before it was touched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    pub number: i64,
    pub hash: String,
}

impl Row {
    /// The hash that the row must have. Each field is preceded by its length, so that none can run into the next.
    fn expected(&self) -> String {
        let (number, at) = (self.number.to_string(), self.at.to_string());
        let mut hash = Sha256::new();
        hash.update(b"waypost audit 1\n");
        let fields = [
            Some(&*self.previous),
            Some(&number),
            Some(&at),
            Some(&self.actor),
            self.team.as_deref(),
            Some(&self.action),
            Some(&self.subject),
            Some(&self.detail),
            self.address.as_deref(),
            self.request_id.as_deref(),
        ];
        for field in fields {
            match field {
                Some(text) => hash.update(format!("{}:{text}\n", text.len())),
                None => hash.update("-\n"),
            }
        }
        digest::hex(&hash.finalize())
    }
}

/// Adds a row, in the transaction of what it tells of. Do it last: it makes whoever appends next wait until the commit.
pub async fn append(tx: &mut Transaction<'static, Any>, entry: Entry<'_>) -> Result<(), StoreError> {
    let head = lock(tx).await?;
    let mut row = Row {
        number: head.number + 1,
        at: entry.at,
        actor: entry.actor.id.to_string(),
        team: entry.team.map(str::to_owned),
        action: entry.action.to_owned(),
        subject: entry.subject.to_owned(),
        detail: entry.detail.to_string(),
        address: entry.address.map(str::to_owned),
        request_id: entry.request_id.map(str::to_owned),
        previous: head.hash,
        hash: String::new(),
    };
    row.hash = row.expected();
    sqlx::query(
        "insert into audit (number, at, actor, team, action, subject, detail, address, request_id, previous, hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(row.number)
    .bind(row.at)
    .bind(row.actor)
    .bind(row.team)
    .bind(row.action)
    .bind(row.subject)
    .bind(row.detail)
    .bind(row.address)
    .bind(row.request_id)
    .bind(row.previous)
    .bind(row.hash.clone())
    .execute(&mut **tx)
    .await?;
    sqlx::query("update audit_head set number = $1, hash = $2 where one = 1")
        .bind(row.number)
        .bind(row.hash)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The same for whoever may have nothing to tell, with what of it is known only where it is written.
pub(crate) async fn note(
    tx: &mut Transaction<'static, Any>,
    entry: Option<Entry<'_>>,
    more: Map<String, Value>,
) -> Result<(), StoreError> {
    let Some(entry) = entry else { return Ok(()) };
    let mut detail = entry.detail.clone();
    if let Some(known) = detail.as_object_mut() {
        known.extend(more);
    }
    append(tx, Entry { detail: &detail, ..entry }).await
}

/// Makes every other audited write wait until this transaction ends, and tells where the chain ends.
pub(crate) async fn lock(tx: &mut Transaction<'static, Any>) -> Result<Head, StoreError> {
    let row = sqlx::query("update audit_head set number = number where one = 1 returning number, hash")
        .fetch_one(&mut **tx)
        .await?;
    Ok(Head { number: row.try_get(0)?, hash: row.try_get(1)? })
}

const SELECT: &str =
    "select number, at, actor, team, action, subject, detail, address, request_id, previous, hash from audit";

/// Which rows a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub actor: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub action: Option<&'a str>,
    /// Not before, in milliseconds since 1970.
    pub since: Option<i64>,
}

/// The rows below `before`, the newest first; with the number to go on below, if there are more.
pub async fn page(
    store: &Store,
    scope: &Scope,
    filter: &Filter<'_>,
    before: Option<i64>,
    limit: u32,
) -> Result<(Vec<Row>, Option<i64>), StoreError> {
    let limit = limit.clamp(1, crate::page::MAX_PAGE);
    let listing = Listing::of(SELECT)
        .within(scope, "team = $", "actor = $")
        .only_if("actor = $", filter.actor)
        .only_if("subject = $", filter.subject)
        .only_if("action = $", filter.action)
        .only_if("at >= $", filter.since)
        .only_if("number < $", before)
        .then("order by number desc limit 501");
    let mut rows = listing.rows(store, read).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.number);
    Ok((rows, next))
}

/// Some rows after a number, in order.
pub async fn after(store: &Store, number: i64, limit: i64) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query(
        "select number, at, actor, team, action, subject, detail, address, request_id, previous, hash from audit
         where number > $1 order by number limit $2",
    )
    .bind(number)
    .bind(limit)
    .fetch_all(store.reader())
    .await?;
    rows.iter().map(read).collect()
}

/// Where the chain says that it ends.
pub async fn head(store: &Store) -> Result<Head, StoreError> {
    let row = sqlx::query("select number, hash from audit_head where one = 1").fetch_one(store.reader()).await?;
    Ok(Head { number: row.try_get(0)?, hash: row.try_get(1)? })
}

/// What the verifier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many rows were looked at.
    pub rows: i64,
    pub head: Head,
    /// What is wrong, each with the number of its row; empty if nothing is.
    pub faults: Vec<String>,
}

/// More than this nobody needs to know that the log cannot be trusted.
const MAX_FAULTS: usize = 20;

/// How many rows are in memory at a time.
const BATCH: i64 = 1000;

/// Walks the chain from its first row to its end, and through `kept`, a head that was noted earlier, if there is one. Rows
/// that are added meanwhile are left for the next time.
pub async fn verify(store: &Store, kept: Option<&Head>) -> Result<Verified, StoreError> {
    let head = head(store).await?;
    let mut walk = Walk::new(kept);
    'all: loop {
        let batch = after(store, walk.last.number, BATCH).await?;
        if batch.is_empty() {
            break;
        }
        for row in batch {
            if row.number > head.number || walk.faults.len() >= MAX_FAULTS {
                break 'all;
            }
            walk.step(row);
        }
    }
    Ok(walk.end(head))
}

/// A walk along a chain, row by row: of a database, or of an export.
pub struct Walk<'k> {
    last: Head,
    kept: Option<&'k Head>,
    rows: i64,
    faults: Vec<String>,
}

impl<'k> Walk<'k> {
    /// Begins before the first row. `kept` is a head that was noted earlier.
    pub fn new(kept: Option<&'k Head>) -> Self {
        Self { last: Head { number: 0, hash: String::new() }, kept, rows: 0, faults: Vec::new() }
    }

    /// Looks at the next row.
    pub fn step(&mut self, row: Row) {
        self.rows += 1;
        let number = row.number;
        if number != self.last.number.saturating_add(1) {
            let missing = self.last.number.saturating_add(1);
            self.faults.push(format!("row {number}: rows {missing} to {} are missing", number.saturating_sub(1)));
        } else if row.previous != self.last.hash {
            self.faults.push(format!("row {number}: it does not follow the row before"));
        }
        if row.hash != row.expected() {
            self.faults.push(format!("row {number}: it was changed"));
        }
        if self.kept.is_some_and(|kept| kept.number == number && kept.hash != row.hash) {
            self.faults.push(format!("row {number}: it is not the one whose hash was kept"));
        }
        self.last = Head { number, hash: row.hash };
    }

    /// Where the chain must end, and what was found.
    pub fn end(self, head: Head) -> Verified {
        let Self { last, kept, rows, mut faults } = self;
        if faults.len() < MAX_FAULTS && last != head {
            faults.push(format!("row {}: the chain should end at row {} and does not", last.number, head.number));
        }
        if let Some(kept) = kept.filter(|kept| kept.number > last.number) {
            faults.push(format!("row {}: it was there when the head was kept, and is gone", kept.number));
        }
        faults.truncate(MAX_FAULTS);
        Verified { rows, head, faults }
    }
}

fn read(row: &AnyRow) -> Result<Row, StoreError> {
    Ok(Row {
        number: row.try_get(0)?,
        at: row.try_get(1)?,
        actor: row.try_get(2)?,
        team: row.try_get(3)?,
        action: row.try_get(4)?,
        subject: row.try_get(5)?,
        detail: row.try_get(6)?,
        address: row.try_get(7)?,
        request_id: row.try_get(8)?,
        previous: row.try_get(9)?,
        hash: row.try_get(10)?,
    })
}
