//! What happened to one account, page by page, the newest first. A page costs the same however much happened: each node's entries
//! are read along their index, and put together here. Tests: `tests/it/history.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sqlx::Row as _;
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::post::Kind;
use crate::page::BadCursor;
use crate::{Store, StoreError};

/// A transaction, as far as it moved this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub node: String,
    pub number: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    pub kind: Kind,
    /// The id of the request, or of what an operator did.
    pub request: String,
    /// What the account got; less than nothing if it was spent or taken.
    pub amount: NanoUsd,
    pub actor: String,
    pub reason: String,
    pub key: String,
    pub model: String,
}

/// Where a page ended: of each node, the number of what was shown last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(BTreeMap<String, i64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (node, number)) in self.0.iter().enumerate() {
            write!(f, "{}{node}:{number}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let ends = text.split(',').map(|end| {
            let (node, number) = end.rsplit_once(':')?;
            Some((node.to_owned(), number.parse().ok().filter(|number| *number > 0)?))
        });
        ends.collect::<Option<_>>().map(Self).ok_or(BadCursor)
    }
}

impl Store {
    /// At most so many of what happened to an account, after this place; and the place to go on from, if there is more. What is
    /// only in the journal yet is not in it.
    pub async fn history(
        &self,
        account: &Account,
        after: Option<&Place>,
        most: u32,
    ) -> Result<(Vec<Event>, Option<Place>), StoreError> {
        let mut place = after.cloned().unwrap_or_default();
        let mut lines = Vec::new();
        for node in self.nodes().await? {
            let before = place.0.get(&node.name).copied().unwrap_or(i64::MAX);
            let mut events = self.events(account, &node.name, before, most.saturating_add(1)).await?;
            events.reverse();
            lines.push(events);
        }
        let mut page = Vec::new();
        while page.len() < most as usize {
            // The newest of what each node has left.
            let Some(line) = lines.iter_mut().max_by_key(|line| line.last().map(|event| event.at)) else { break };
            let Some(event) = line.pop() else { break };
            place.0.insert(event.node.clone(), event.number);
            page.push(event);
        }
        let more = lines.iter().any(|line| !line.is_empty());
        Ok((page, more.then_some(place)))
    }

    /// What one node wrote before this number, the newest first.
    async fn events(&self, account: &Account, node: &str, before: i64, most: u32) -> Result<Vec<Event>, StoreError> {
        let sql = "select t.number, t.at, t.kind, t.request, t.actor, t.reason, t.key_id, t.model, \
                   (select cast(sum(amount) as bigint) from ledger_entries \
                    where account = $1 and node = $2 and number = t.number) \
                   from (select distinct number from ledger_entries where account = $1 and node = $2 and number < $3 \
                         order by number desc limit $4) e \
                   join ledger_transactions t on t.node = $2 and t.number = e.number order by t.number desc";
        let query = sqlx::query(sql).bind(account.as_str().to_owned()).bind(node.to_owned()).bind(before);
        let rows = query.bind(i64::from(most)).fetch_all(self.reader()).await?;
        let event = |row: &sqlx::any::AnyRow| {
            let (number, kind): (i64, String) = (row.try_get(0)?, row.try_get(2)?);
            let unknown = || StoreError::Corrupt(format!("transaction {number} of node {node} is of an unknown kind"));
            Ok(Event {
                node: node.to_owned(),
                number,
                at: row.try_get(1)?,
                kind: Kind::parse(&kind).ok_or_else(unknown)?,
                request: row.try_get(3)?,
                amount: NanoUsd(row.try_get(8)?),
                actor: row.try_get(4)?,
                reason: row.try_get(5)?,
                key: row.try_get(6)?,
                model: row.try_get(7)?,
            })
        };
        rows.iter().map(event).collect()
    }
}
