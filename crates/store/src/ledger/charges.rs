//! Finds charges of the past with what was corrected of them, for whoever prices them anew. Changes nothing.
//! Tests: `tests/it/corrections.rs`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::post::{Draft, Kind};
use super::read::{self, Link};
use crate::rows::{database, places, portions};
use crate::{Store, StoreError};

/// Which charges; all that is given must fit.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// From this moment to before that one.
    pub from: i64,
    pub to: i64,
    /// By the name that callers used.
    pub model: Option<&'a str>,
    /// Only what was served without a price.
    pub unpriced: bool,
}

/// A place in the ledger, by time. As text it is `<milliseconds>_<node>_<number>`, and means nothing to whoever is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    at: i64,
    node: String,
    number: i64,
}

/// The text was never given out as a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMark;

/// A charge as it stands: what was settled, and what was corrected since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    pub mark: Mark,
    pub request: String,
    /// When it was settled.
    pub at: i64,
    /// The version of the price that counts; empty if there was none.
    pub price: String,
    /// Units by class, and unusual terms: `input=12,output=5`.
    pub usage: String,
    /// All of it.
    pub cost: NanoUsd,
    /// The payer's part; the rest is the operator's.
    pub charged: NanoUsd,
    pub held: NanoUsd,
    pub outcome: String,
    pub model: String,
    pub deployment: String,
    /// It or one of its corrections was undone, as only older ledgers have it.
    pub reversed: bool,
    /// How often it was corrected.
    pub(super) corrections: i64,
    pub(super) payer: Account,
    pub(super) budgets: String,
    pub(super) parties: [String; 5],
}

impl Charged {
    /// How often it was corrected.
    pub fn corrections(&self) -> i64 {
        self.corrections
    }
}

/// The id of the correction of a request with this number, from 1.
pub(super) fn correction_id(request: &str, number: i64) -> String {
    format!("correction:{request}:{number}")
}

/// The id of what undid the correction of this number; with 0, the charge itself.
fn reversal_id(request: &str, number: i64) -> String {
    match number {
        0 => format!("reversal:{request}"),
        _ => format!("reversal:{}", correction_id(request, number)),
    }
}

/// The request that a correction is of, and its number.
pub(super) fn corrected(id: &str) -> Option<(&str, i64)> {
    let (request, number) = id.strip_prefix("correction:")?.rsplit_once(':')?;
    Some((request, number.parse().ok().filter(|number| *number > 0)?))
}

impl Store {
    /// Charges in the order of their time, after this place. Requests that never reached a deployment are left out.
    pub async fn charges(
        &self,
        wanted: &Wanted<'_>,
        after: Option<&Mark>,
        most: i64,
    ) -> Result<Vec<Charged>, StoreError> {
        let first = Mark { at: i64::MIN, node: String::new(), number: 0 };
        let after = after.unwrap_or(&first);
        let columns = read::columns(self.kind());
        let sql = format!(
            "select {columns} from ledger_transactions where at >= $1 and at < $2 \
             and (at > $3 or (at = $3 and (node > $4 or (node = $4 and number > $5)))) and kind = 'charge' \
             and deployment <> '' and ($6 = '' or model = $6) and ($7 = 0 or prices = '') order by at, node, number limit $8"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(wanted.from).bind(wanted.to);
        let query = query.bind(after.at).bind(after.node.clone()).bind(after.number);
        let query = query.bind(wanted.model.unwrap_or_default().to_owned()).bind(i64::from(wanted.unpriced)).bind(most);
        let mut connection = self.reader().acquire().await?;
        let rows = query.fetch_all(&mut *connection).await?;
        let mut charges = Vec::with_capacity(rows.len());
        for row in rows {
            let Link { node, number, draft, .. } = read::read(&row)?;
            charges.extend(draft.map(|draft| charge(node, number, draft)));
        }
        follow(&mut connection, &mut charges).await?;
        Ok(charges)
    }
}

fn charge(node: String, number: i64, draft: Draft) -> Charged {
    let payer = payer(&draft);
    let [_, _, _, model, deployment] = draft.parties.clone();
    Charged {
        mark: Mark { at: draft.at, node, number },
        request: draft.request,
        at: draft.at,
        price: draft.prices,
        usage: draft.usage,
        cost: NanoUsd(draft.cost),
        charged: NanoUsd(draft.charged),
        held: NanoUsd(draft.held),
        outcome: draft.outcome,
        model,
        deployment,
        reversed: false,
        corrections: 0,
        payer,
        budgets: draft.budgets,
        parties: draft.parties,
    }
}

/// Who pays for a request: what cost nothing has no entry that says so.
fn payer(draft: &Draft) -> Account {
    let [key, user, team, ..] = &draft.parties;
    let [user, team] = [user, team].map(|id| Some(id.as_str()).filter(|id| !id.is_empty()));
    Account::payer(user, team, key)
}

/// Adds what was corrected since, correction by correction.
pub(super) async fn follow(connection: &mut AnyConnection, charges: &mut [Charged]) -> Result<(), StoreError> {
    let mut open: Vec<usize> = (0..charges.len()).collect();
    let mut number = 1;
    while !open.is_empty() {
        let mut ids = Vec::new();
        for charge in open.iter().filter_map(|at| charges.get(*at)) {
            ids.extend([correction_id(&charge.request, number), reversal_id(&charge.request, number - 1)]);
        }
        let found = look_up(connection, &ids).await?;
        open.retain(|at| charges.get_mut(*at).is_some_and(|charge| take(charge, number, &found)));
        number += 1;
    }
    Ok(())
}

/// Takes the correction of this number into account; there may be another one if there is this one.
fn take(charge: &mut Charged, number: i64, found: &HashMap<String, Posted>) -> bool {
    charge.reversed |= found.contains_key(&reversal_id(&charge.request, number - 1));
    let Some(posted) = found.get(&correction_id(&charge.request, number)) else { return false };
    charge.corrections = number;
    charge.price.clone_from(&posted.price);
    charge.cost = charge.cost.checked_add(posted.cost).unwrap_or(NanoUsd::MAX);
    charge.charged = charge.charged.checked_add(posted.charged).unwrap_or(NanoUsd::MAX);
    true
}

/// What a correction says.
struct Posted {
    price: String,
    cost: NanoUsd,
    charged: NanoUsd,
}

async fn look_up(connection: &mut AnyConnection, ids: &[String]) -> Result<HashMap<String, Posted>, StoreError> {
    let mut found = HashMap::new();
    for ids in portions(ids) {
        let places = places(connection, 1, ids.len());
        let sql = format!("select request, prices, cost, charged from ledger_transactions where request in {places}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(id.clone());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let (cost, charged) = (NanoUsd(row.try_get(2)?), NanoUsd(row.try_get(3)?));
            found.insert(row.try_get(0)?, Posted { price: row.try_get(1)?, cost, charged });
        }
    }
    Ok(found)
}

/// The charges of these requests as they stand; what is no charge is left out.
pub(super) async fn of_requests(
    connection: &mut AnyConnection,
    requests: &[String],
) -> Result<Vec<Charged>, StoreError> {
    let columns = read::columns(database(connection));
    let mut charges = Vec::new();
    for requests in portions(requests) {
        let places = places(connection, 1, requests.len());
        let sql = format!("select {columns} from ledger_transactions where request in {places}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for request in requests {
            query = query.bind(request.clone());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let Link { node, number, draft, .. } = read::read(&row)?;
            let draft = draft.filter(|draft| draft.kind == Kind::Charge);
            charges.extend(draft.map(|draft| charge(node, number, draft)));
        }
    }
    follow(connection, &mut charges).await?;
    Ok(charges)
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.at, self.node, self.number)
    }
}

impl FromStr for Mark {
    type Err = BadMark;

    fn from_str(text: &str) -> Result<Self, BadMark> {
        let parts = || {
            let (at, rest) = text.split_once('_')?;
            let (node, number) = rest.rsplit_once('_')?;
            Some(Self { at: at.parse().ok()?, node: node.to_owned(), number: number.parse().ok()? })
        };
        parts().ok_or(BadMark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_being_text_and_nothing_else_is_one() {
        let mark = Mark { at: -5, node: "node_0a-b".to_owned(), number: 7 };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", "1", "1_2", "x_node_1", "1_node_x"] {
            assert_eq!(text.parse::<Mark>(), Err(BadMark), "{text}");
        }
    }

    #[test]
    fn a_correction_says_what_it_corrects() {
        assert_eq!(corrected(&correction_id("a:b", 12)), Some(("a:b", 12)));
        for id in ["reversal:a:1", "correction:a", "correction:a:0", "correction:a:x"] {
            assert_eq!(corrected(id), None, "{id}");
        }
    }
}
