//! Writes transactions with their entries at the end of a node's chain, and moves the sums that are kept beside them, all
//! within one database transaction. Decides nothing about who may. Tests: `tests/it/ledger.rs`.

use std::collections::BTreeMap;

use sqlx::{Any, Row as _, Transaction};

use super::chain::ChainKey;
use crate::StoreError;
use crate::rows::insert_all;

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request ended, whether it cost something or not.
    Charge,
    /// An operator gave credit.
    TopUp,
    /// An operator gave or took credit.
    Adjustment,
    Voucher,
    /// What another transaction did was undone. Nothing writes it any more; ledgers may have it.
    Reversal,
    /// A charge was priced anew.
    Correction,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Charge, Self::TopUp, Self::Adjustment, Self::Voucher, Self::Reversal, Self::Correction];

    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::TopUp => "top_up",
            Self::Adjustment => "adjustment",
            Self::Voucher => "voucher",
            Self::Reversal => "reversal",
            Self::Correction => "correction",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Does it count as spent, or as given?
    pub(super) fn spends(self) -> bool {
        match self {
            Self::Charge | Self::Correction => true,
            Self::TopUp | Self::Adjustment | Self::Voucher | Self::Reversal => false,
        }
    }
}

/// A transaction that is to be written, or was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) request: String,
    pub(crate) kind: Kind,
    pub(crate) at: i64,
    pub(crate) outcome: String,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) prices: String,
    /// `input=12,output=5`
    pub(crate) usage: String,
    pub(crate) cost: i64,
    pub(crate) charged: i64,
    pub(crate) held: i64,
    /// `<budget>@<start>;...`
    pub(crate) budgets: String,
    /// Key, user, team, model, deployment; empty if there is none.
    pub(crate) parties: [String; 5],
    pub(crate) entries: Vec<(String, i64)>,
}

impl Draft {
    /// What an operator did.
    pub(crate) fn of_operator(request: String, kind: Kind, at: i64, actor: &str, reason: &str) -> Self {
        Self {
            request,
            kind,
            at,
            outcome: String::new(),
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            prices: String::new(),
            usage: String::new(),
            cost: 0,
            charged: 0,
            held: 0,
            budgets: String::new(),
            parties: Default::default(),
            entries: Vec::new(),
        }
    }

    /// All columns that are text, in the order of the table.
    pub(super) fn texts(&self) -> [&str; 13] {
        let [key, user, team, model, deployment] = &self.parties;
        [
            &self.request,
            self.kind.name(),
            &self.outcome,
            &self.actor,
            &self.reason,
            &self.prices,
            &self.usage,
            &self.budgets,
            key,
            user,
            team,
            model,
            deployment,
        ]
    }

    pub(super) fn amounts(&self) -> [i64; 4] {
        [self.at, self.cost, self.charged, self.held]
    }

    /// The windows of budgets it counts in.
    pub(super) fn uses(&self) -> impl Iterator<Item = (&str, i64)> {
        let uses = self.budgets.split(';').filter_map(|text| text.rsplit_once('@'));
        uses.filter_map(|(budget, start)| Some((budget, start.parse().ok()?)))
    }
}

/// The end of a node's chain, and how far its journal is folded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) segment: i64,
    pub(crate) offset: i64,
    pub(crate) written_off: bool,
}

/// Reads the end of the chain; nobody else writes to it until the database transaction ends.
pub(crate) async fn lock_head(tx: &mut Transaction<'static, Any>, node: &str, now: i64) -> Result<Head, StoreError> {
    let sql = "insert into ledger_nodes (node, number, hash, segment, byte_offset, seen_at) values ($1, 0, $2, 0, 0, $3) \
               on conflict (node) do update set seen_at = excluded.seen_at \
               returning number, hash, segment, byte_offset, written_off";
    let row = sqlx::query(sql).bind(node).bind(Vec::new()).bind(now).fetch_one(&mut **tx).await?;
    Ok(Head {
        number: row.try_get(0)?,
        hash: row.try_get(1)?,
        segment: row.try_get(2)?,
        offset: row.try_get(3)?,
        written_off: row.try_get::<i64, _>(4)? == 1,
    })
}

/// Appends to the chain and moves the sums of accounts. The caller has the head locked, and moves windows and leases.
pub(crate) async fn post(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    key: &ChainKey,
    head: &mut Head,
    drafts: &[Draft],
) -> Result<(), StoreError> {
    insert(tx, node, key, head, drafts).await?;
    let mut moved: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for draft in drafts {
        for (account, amount) in &draft.entries {
            let (granted, spent, at) = moved.entry(account).or_default();
            let sum = if draft.kind.spends() { spent } else { granted };
            let amount = if draft.kind.spends() { amount.checked_neg() } else { Some(*amount) };
            *sum = amount.and_then(|amount| sum.checked_add(amount)).ok_or_else(too_much)?;
            *at = draft.at.max(*at);
        }
    }
    // In the order of their names, so that two nodes never wait for each other.
    for (account, (granted, spent, at)) in moved {
        let sql = "insert into ledger_accounts (name, granted, spent, changed_at) values ($1, $2, $3, $4) \
                   on conflict (name) do update set granted = ledger_accounts.granted + excluded.granted, \
                   spent = ledger_accounts.spent + excluded.spent, changed_at = excluded.changed_at \
                   returning granted, spent";
        let sums = sqlx::query(sql).bind(account).bind(granted).bind(spent).bind(at).fetch_one(&mut **tx).await;
        let sums = sums.map_err(|error| if is_out_of_range(&error) { too_much() } else { error.into() })?;
        // An embedded database makes a number with a fraction of what is too much for it, and says nothing.
        if [0, 1].into_iter().any(|place| sums.try_get::<i64, _>(place).is_err()) {
            return Err(too_much());
        }
    }
    let sql = "update ledger_nodes set number = $2, hash = $3, segment = $4, byte_offset = $5 where node = $1";
    let place = sqlx::query(sql).bind(node).bind(head.number).bind(head.hash.as_slice());
    place.bind(head.segment).bind(head.offset).execute(&mut **tx).await?;
    Ok(())
}

fn is_out_of_range(error: &sqlx::Error) -> bool {
    const OUT_OF_RANGE: &str = "22003";
    error.as_database_error().and_then(|told| told.code()).is_some_and(|code| code == OUT_OF_RANGE)
}

pub(crate) fn too_much() -> StoreError {
    StoreError::Refused("the amount is larger than the books can hold".to_owned())
}

/// How many values a transaction and an entry have.
const COLUMNS: (usize, usize) = (20, 5);

async fn insert(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    key: &ChainKey,
    head: &mut Head,
    drafts: &[Draft],
) -> Result<(), StoreError> {
    let (mut links, mut entries) = (Vec::with_capacity(drafts.len()), Vec::new());
    for draft in drafts {
        head.number += 1;
        head.hash = key.link(&head.hash, node, head.number, draft);
        links.push((head.number, head.hash.clone(), draft));
        let numbered = (0_i64..).zip(&draft.entries);
        entries.extend(numbered.map(|(place, (account, amount))| (head.number, place, account, *amount)));
    }
    let before = "insert into ledger_transactions (node, number, request, kind, outcome, actor, reason, prices, \
                  usage_counts, budgets, key_id, user_id, team_id, model, deployment, at, cost, charged, held, hash) values";
    insert_all(tx, (before, ""), COLUMNS.0, &links, |query, (number, hash, draft)| {
        let query = query.bind(node).bind(*number);
        let query = draft.texts().into_iter().fold(query, |query, text| query.bind(text));
        let query = draft.amounts().into_iter().fold(query, |query, amount| query.bind(amount));
        // As a slice: of a vector that is bound two copies are made.
        query.bind(hash.as_slice())
    })
    .await?;
    let before = "insert into ledger_entries (node, number, place, account, amount) values";
    insert_all(tx, (before, ""), COLUMNS.1, &entries, |query, (number, place, account, amount)| {
        query.bind(node).bind(*number).bind(*place).bind(account.as_str()).bind(*amount)
    })
    .await?;
    Ok(())
}
