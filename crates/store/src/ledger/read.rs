//! Reads transactions whole, each with its entries as one JSON value that the database puts together: the driver takes longer for
//! each value of a row than the proof of what it says. Decides nothing of what is right. Tests: `tests/it/verify.rs`, on both
//! databases.

use serde::Deserialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::post::{Draft, Kind};
use crate::{Kind as Database, StoreError};

/// A transaction as it is in the database.
pub(super) struct Link {
    pub(super) node: String,
    pub(super) number: i64,
    pub(super) hash: Vec<u8>,
    /// Absent if it says what no transaction says: a kind that is unknown, an amount that is none.
    pub(super) draft: Option<Draft>,
}

impl Link {
    /// The transaction, where one that cannot be read is an error.
    pub(super) fn draft(self) -> Result<Draft, StoreError> {
        let (node, number) = (self.node, self.number);
        self.draft.ok_or_else(|| StoreError::Corrupt(format!("transaction {number} of node {node} cannot be read")))
    }
}

/// What a statement over `ledger_transactions` selects for [`read`].
pub(super) fn columns(database: Database) -> String {
    let of_it =
        "from ledger_entries e where e.node = ledger_transactions.node and e.number = ledger_transactions.number";
    let (array, entries) = match database {
        // Without `json`, what a subquery answers would be a text within the text.
        Database::Sqlite => (
            "json_array",
            format!("json((select json_group_array(json_array(account, amount) order by place) {of_it}))"),
        ),
        Database::Postgres => (
            "json_build_array",
            format!("(select coalesce(json_agg(json_build_array(account, amount) order by place), '[]') {of_it})"),
        ),
    };
    format!(
        "node, number, hash, cast({array}(\
         {array}(request, kind, outcome, actor, reason, prices, usage_counts, budgets, key_id, user_id, team_id, model, deployment), \
         {array}(at, cost, charged, held), \
         {entries}) as text)"
    )
}

/// Texts, amounts and entries, in the order of the columns.
#[derive(Deserialize)]
struct Whole([String; 13], [i64; 4], Vec<(String, i64)>);

/// Reads what [`columns`] selects.
pub(super) fn read(row: &AnyRow) -> Result<Link, StoreError> {
    let whole = serde_json::from_str(row.try_get(3)?).ok();
    Ok(Link { node: row.try_get(0)?, number: row.try_get(1)?, hash: row.try_get(2)?, draft: whole.and_then(draft) })
}

fn draft(Whole(texts, [at, cost, charged, held], entries): Whole) -> Option<Draft> {
    let [request, kind, outcome, actor, reason, prices, usage, budgets, key, user, team, model, deployment] = texts;
    Some(Draft {
        request,
        kind: Kind::parse(&kind)?,
        at,
        outcome,
        actor,
        reason,
        prices,
        usage,
        cost,
        charged,
        held,
        budgets,
        parties: [key, user, team, model, deployment],
        entries,
    })
}
