//! Moves money between what all nodes share and what one node may spend by itself, each way in one database transaction:
//! whatever happens, the leases and what is left never come to more than there is. Tests: `tests/it/leases.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::ledger::PurseId;
use waypost_core::money::NanoUsd;
use waypost_core::role::Actor;

use super::budgets::begin_window;
use crate::audit::{self, Entry};
use crate::{Store, StoreError, Tx};

/// What a refill gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) amount: NanoUsd,
    /// There is no more, for now.
    pub(crate) dry: bool,
}

/// A node takes this part of what is left, or more if it needs it at once.
const PART: i64 = 16;

/// Moves a block to the node: at least `needed` if there is so much, otherwise all there is. It is the node's once the caller has
/// committed.
pub(crate) async fn refill(
    store: &Store,
    node: &str,
    purse: &PurseId,
    start: i64,
    needed: NanoUsd,
) -> Result<(Given, Tx), StoreError> {
    let mut tx = store.begin().await?;
    let free = free(&mut tx, purse, start).await?.max(0);
    let block = (free / PART).max(needed.get()).clamp(0, free);
    if block > 0 {
        take(&mut tx, purse, start, block).await?;
        let sql = "insert into ledger_leases (node, purse, start_at, unspent) values ($1, $2, $3, $4) \
                   on conflict (node, purse, start_at) do update set unspent = ledger_leases.unspent + excluded.unspent";
        let lease = sqlx::query(sql).bind(node.to_owned()).bind(purse.as_str().to_owned()).bind(start).bind(block);
        lease.execute(&mut *tx).await?;
        // Otherwise there would be a line more for each window.
        let sql = "delete from ledger_leases where node = $1 and purse = $2 and start_at < $3 and unspent = 0";
        let spent = sqlx::query(sql).bind(node.to_owned()).bind(purse.as_str().to_owned()).bind(start);
        spent.execute(&mut *tx).await?;
    }
    Ok((Given { amount: NanoUsd(block), dry: block == free }, tx))
}

/// Moves so much of a lease back to what all nodes share, once the caller has committed.
pub(crate) async fn give_back(
    store: &Store,
    node: &str,
    purse: &PurseId,
    start: i64,
    amount: NanoUsd,
) -> Result<Tx, StoreError> {
    let mut tx = store.begin().await?;
    // The purse before the lease, as everybody locks them: so nobody waits for another in a circle.
    let lease = limit(&mut tx, node, purse, start, || 0).await?.lease;
    // There is less if the node was written off, so that all of it went back then, or if what was spent without a lease, before the
    // account was prepaid or the budget hard, was paid out of it.
    let amount = NanoUsd(lease.min(amount.get()));
    if amount.get() > 0 {
        consume(&mut tx, node, purse, start, amount).await?;
    }
    if let PurseId::Budget(id) = purse {
        lower(&mut tx, id, start).await?;
    }
    Ok(tx)
}

/// Of a budget that was lowered, what comes back into its latest window is lent to nobody again. That of a window which is over
/// stays as it was.
async fn lower(tx: &mut Transaction<'static, Any>, budget: &str, start: i64) -> Result<(), StoreError> {
    // The window is locked, and whoever changes a budget locks its window first: so this is the amount that counts.
    let sql = "select amount from ledger_budgets where id = $1 and not exists \
               (select 1 from ledger_windows where budget = $1 and start_at > $2)";
    let row = sqlx::query(sql).bind(budget.to_owned()).bind(start).fetch_optional(&mut **tx).await?;
    let Some(amount) = row.map(|row| row.try_get::<i64, _>(0)).transpose()? else { return Ok(()) };
    let sql = "update ledger_windows set amount = case when spent + leased > $3 then spent + leased else $3 end \
               where budget = $1 and start_at = $2 and amount > $3";
    sqlx::query(sql).bind(budget.to_owned()).bind(start).bind(amount).execute(&mut **tx).await?;
    Ok(())
}

/// What a node can still spend of a purse.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limit {
    /// Nothing if the purse refuses nothing.
    free: Option<i64>,
    pub(super) lease: i64,
    pub(super) spent: i64,
}

impl Limit {
    pub(super) fn fits(&self, amount: i64) -> bool {
        let wanted = i128::from(self.spent) + i128::from(amount);
        self.free.is_none_or(|free| wanted <= i128::from(free) + i128::from(self.lease))
    }
}

/// What a node can still spend of a purse, its own lease included; locked until the database transaction ends. Where nobody has written
/// down the window of a budget yet, it is begun with what is known to be `admitted` in it.
pub(super) async fn limit(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    purse: &PurseId,
    start: i64,
    admitted: impl FnOnce() -> i64,
) -> Result<Limit, StoreError> {
    let sql = match purse {
        PurseId::Credit(_) => {
            "update ledger_accounts set leased = leased where name = $1 and $2 = 0 \
             returning prepaid, granted - spent - leased"
        }
        PurseId::Budget(_) => {
            "update ledger_windows set leased = leased where budget = $1 and start_at = $2 \
             returning hard, amount - spent - leased"
        }
    };
    let query = || sqlx::query(sql).bind(purse.as_str().to_owned()).bind(start);
    let mut row = query().fetch_optional(&mut **tx).await?;
    if let (None, PurseId::Budget(id)) = (&row, purse) {
        begin_window(tx, id, start, admitted()).await?;
        row = query().fetch_optional(&mut **tx).await?;
    }
    let Some(row) = row else { return Ok(Limit::default()) };
    let free = if row.try_get::<i64, _>(0)? == 1 { Some(row.try_get(1)?) } else { None };
    let sql = "select unspent from ledger_leases where node = $1 and purse = $2 and start_at = $3";
    let query = sqlx::query(sql).bind(node.to_owned()).bind(purse.as_str().to_owned()).bind(start);
    let lease = query.fetch_optional(&mut **tx).await?.map(|row| row.try_get(0)).transpose()?;
    Ok(Limit { free, lease: lease.unwrap_or(0), spent: 0 })
}

/// So much leaves a lease, because it was spent, which the caller counts, or because it is given back.
pub(super) async fn consume(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    purse: &PurseId,
    start: i64,
    amount: NanoUsd,
) -> Result<(), StoreError> {
    let sql = "update ledger_leases set unspent = unspent - $4 where node = $1 and purse = $2 and start_at = $3";
    let lease = sqlx::query(sql).bind(node.to_owned()).bind(purse.as_str().to_owned()).bind(start);
    lease.bind(amount.get()).execute(&mut **tx).await?;
    take(tx, purse, start, -amount.get()).await
}

/// Says that the node lives.
pub(crate) async fn heartbeat(store: &Store, node: &str, now: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let sql = "update ledger_nodes set seen_at = $2 where node = $1";
    sqlx::query(sql).bind(node.to_owned()).bind(now).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

impl Store {
    /// A node that was written off has replayed its journal: what it takes from now on counts again.
    pub(crate) async fn is_back(&self, node: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update ledger_nodes set written_off = 0 where node = $1 and written_off = 1";
        sqlx::query(sql).bind(node.to_owned()).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// What a node holds of a purse, in the window that began at `start`.
    pub(crate) async fn lease(&self, node: &str, purse: &PurseId, start: i64) -> Result<NanoUsd, StoreError> {
        let sql = "select unspent from ledger_leases where node = $1 and purse = $2 and start_at = $3";
        let query = sqlx::query(sql).bind(node.to_owned()).bind(purse.as_str().to_owned()).bind(start);
        let row = query.fetch_optional(self.reader()).await?;
        Ok(NanoUsd(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0)))
    }

    /// The nodes that ever wrote into the ledger, by name.
    pub async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let sql = "select node, seen_at, written_off from ledger_nodes order by node";
        let rows = sqlx::query(sql).fetch_all(self.reader()).await?;
        let node = |row: &AnyRow| {
            Ok(Node { name: row.try_get(0)?, seen_at: row.try_get(1)?, written_off: row.try_get::<i64, _>(2)? == 1 })
        };
        rows.iter().map(node).collect()
    }

    /// What a node holds, by the names of purses.
    pub async fn leases(&self, node: &str) -> Result<Vec<Lease>, StoreError> {
        sqlx::query(LEASES).bind(node.to_owned()).fetch_all(self.reader()).await?.iter().map(read_lease).collect()
    }

    /// Gives back everything that a node holds which will not come back, and writes into the audit log who said so. What it admitted
    /// and nobody folded in is lost to the operator: when its journal is replayed after all, the operator pays for it. Refused if the
    /// node was seen at `alive_since` or later.
    pub async fn write_off(
        &self,
        node: &str,
        alive_since: i64,
        (by, now): (&Actor, i64),
    ) -> Result<Vec<Lease>, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update ledger_nodes set written_off = 1 where node = $1 and seen_at < $2";
        let marked = sqlx::query(sql).bind(node.to_owned()).bind(alive_since).execute(&mut *tx).await?;
        if marked.rows_affected() == 0 {
            return Err(StoreError::Refused(format!(
                "node {node} is unknown or alive; only a node that has not been seen for a while can be written off"
            )));
        }
        let leases = sqlx::query(LEASES).bind(node.to_owned()).fetch_all(&mut *tx).await?;
        let mut leases = leases.iter().map(read_lease).collect::<Result<Vec<_>, _>>()?;
        // In the order in which nodes lock them, which is not that of every database's language.
        leases.sort_by(|one, other| (&one.purse, one.start).cmp(&(&other.purse, other.start)));
        for Lease { purse, start, unspent } in &leases {
            take(&mut tx, &id_of(purse), *start, -unspent.get()).await?;
        }
        sqlx::query("delete from ledger_leases where node = $1").bind(node.to_owned()).execute(&mut *tx).await?;
        let given_back = leases.iter().map(|Lease { purse, start, unspent }| {
            serde_json::json!({ "purse": purse, "start": start, "amount": unspent.to_string() })
        });
        let detail = serde_json::json!({ "given_back": given_back.collect::<Vec<_>>() });
        let entry = Entry {
            at: now,
            actor: by,
            action: "ledger.write_off",
            subject: node,
            team: None,
            detail: &detail,
            address: None,
            request_id: None,
        };
        audit::append(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(leases)
    }
}

/// A process that writes into the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Its last sign of life, in epoch milliseconds.
    pub seen_at: i64,
    /// Somebody said that it does not come back.
    pub written_off: bool,
}

/// What a node has taken to itself and not yet reported as spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// An account, or the id of a budget.
    pub purse: String,
    /// When the window of a budget began; 0 for accounts, and for what lasts for ever.
    pub start: i64,
    pub unspent: NanoUsd,
}

const LEASES: &str = "select purse, start_at, unspent from ledger_leases where node = $1 order by purse, start_at";

fn read_lease(row: &AnyRow) -> Result<Lease, StoreError> {
    Ok(Lease { purse: row.try_get(0)?, start: row.try_get(1)?, unspent: NanoUsd(row.try_get(2)?) })
}

/// The purse of that name.
pub(crate) fn id_of(name: &str) -> PurseId {
    match waypost_core::ledger::Account::parse(name) {
        Ok(account) => PurseId::Credit(account),
        Err(_) => PurseId::Budget(name.into()),
    }
}

/// What nobody holds, locked until the database transaction ends.
async fn free(tx: &mut Transaction<'static, Any>, purse: &PurseId, start: i64) -> Result<i64, StoreError> {
    let query = match purse {
        PurseId::Credit(account) => {
            let sql = "update ledger_accounts set leased = leased where name = $1 and read_only = 0 \
                       returning granted - spent - leased";
            sqlx::query(sql).bind(account.as_str().to_owned())
        }
        PurseId::Budget(id) => {
            begin_window(tx, id, start, 0).await?;
            let sql = "update ledger_windows set leased = leased where budget = $1 and start_at = $2 \
                       returning amount - spent - leased";
            sqlx::query(sql).bind(id.to_string()).bind(start)
        }
    };
    let row = query.fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

async fn take(tx: &mut Transaction<'static, Any>, purse: &PurseId, start: i64, amount: i64) -> Result<(), StoreError> {
    let query = match purse {
        PurseId::Credit(account) => {
            let sql = "update ledger_accounts set leased = leased + $2 where name = $1";
            sqlx::query(sql).bind(account.as_str().to_owned()).bind(amount)
        }
        PurseId::Budget(id) => {
            let sql = "update ledger_windows set leased = leased + $2 where budget = $1 and start_at = $3";
            sqlx::query(sql).bind(id.to_string()).bind(amount).bind(start)
        }
    };
    query.execute(&mut **tx).await?;
    Ok(())
}
