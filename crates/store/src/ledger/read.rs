//! Reads transactions as they were written, a page of them with all of its entries in two queries. Decides the order of their
//! columns; which transactions is for those who ask. Tests: `tests/it/verify.rs`, `tests/it/corrections.rs`.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::post::{Draft, Kind};
use crate::StoreError;
use crate::rows::Query;

/// What [`read`] reads, in its order.
pub(super) const COLUMNS: &str = "number, request, kind, outcome, actor, reason, prices, usage_counts, budgets, key_id, user_id, \
                                  team_id, model, deployment, at, cost, charged, held, hash, node";

/// A transaction as it is in its row.
pub(super) struct Link {
    pub(super) node: String,
    pub(super) number: i64,
    /// Absent if its kind is unknown.
    pub(super) draft: Option<Draft>,
    pub(super) hash: Vec<u8>,
}

/// A transaction without its entries.
pub(super) fn read(row: &AnyRow) -> Result<Link, StoreError> {
    let text = |place: usize| row.try_get::<String, _>(place);
    let amount = |place: usize| row.try_get::<i64, _>(place);
    let (number, hash, node) = (amount(0)?, row.try_get(18)?, text(19)?);
    let Some(kind) = Kind::parse(&text(2)?) else { return Ok(Link { node, number, draft: None, hash }) };
    let draft = Draft {
        request: text(1)?,
        kind,
        outcome: text(3)?,
        actor: text(4)?,
        reason: text(5)?,
        prices: text(6)?,
        usage: text(7)?,
        budgets: text(8)?,
        parties: [text(9)?, text(10)?, text(11)?, text(12)?, text(13)?],
        at: amount(14)?,
        cost: amount(15)?,
        charged: amount(16)?,
        held: amount(17)?,
        entries: Vec::new(),
    };
    Ok(Link { node, number, draft: Some(draft), hash })
}

/// Gives each transaction its entries. The query finds at least those of all of them: node, number, account and amount, those of one
/// transaction in the order of their places.
pub(super) async fn add_entries(
    connection: &mut AnyConnection,
    links: &mut [Link],
    query: Query,
) -> Result<(), StoreError> {
    let mut entries: HashMap<(String, i64), Vec<(String, i64)>> = HashMap::new();
    for row in query.fetch_all(connection).await? {
        entries.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push((row.try_get(2)?, row.try_get(3)?));
    }
    for Link { node, number, draft, .. } in links {
        if let Some(draft) = draft {
            draft.entries = entries.remove(&(node.clone(), *number)).unwrap_or_default();
        }
    }
    Ok(())
}
