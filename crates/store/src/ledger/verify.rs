//! Proves that the ledger is whole: every link of every chain, movements that add up to nothing, sums that are what they
//! are sums of. Names what was changed, taken out, put in, swapped or cut off. The same pass runs over everything, or over
//! what is new since the last time. Tests: `tests/it/verify.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::chain::ChainKey;
use super::charges;
use super::post::{Draft, Kind};
use super::read::{self, Link};
use crate::journal::Anchor;
use crate::rows::database;
use crate::{Kind as Database, Store, StoreError};

/// What was proved so far. Kept between two passes, the second looks only at what is new.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: ChainKey,
    /// Each chain's last good link.
    nodes: BTreeMap<String, (i64, Vec<u8>)>,
    /// Given and spent.
    accounts: HashMap<String, (i128, i128)>,
    windows: HashMap<(String, i64), i128>,
    /// What this pass touched.
    touched: BTreeSet<String>,
    touched_windows: BTreeSet<(String, i64)>,
    begun: bool,
    /// What was found, and told by no pass yet.
    found: Report,
}

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub transactions: u64,
    pub accounts: u64,
    pub flaws: Vec<Flaw>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The transaction or its entries are not those that were written there.
    Changed { node: String, number: i64 },
    /// Transactions are missing: this one and those up to the next that is there.
    Missing { node: String, number: i64 },
    /// The chain ends before this link, which was written once.
    Cut { node: String, number: i64 },
    /// There are entries of a transaction that is not there.
    Stray { node: String, number: i64 },
    /// The movements do not add up to nothing.
    Unbalanced { node: String, number: i64 },
    /// What is kept of an account is not the sum of its entries.
    Balance { account: String },
    /// An account has spent more than it was given.
    Overdrawn { account: String },
    /// What is kept of a budget's window is not the sum of what was charged in it.
    Window { budget: String, start: i64 },
    /// What nodes hold of a purse is not what it says is held.
    Leases { purse: String },
    /// A request has two ends.
    Twice { request: String },
    /// A correction follows from no charge, or takes more than there is.
    Correction { id: String },
}

const PAGE: i64 = 512;

impl Verifier {
    /// A verifier that has proved nothing yet.
    pub fn new(key: ChainKey) -> Self {
        Self {
            key,
            nodes: BTreeMap::new(),
            accounts: HashMap::new(),
            windows: HashMap::new(),
            touched: BTreeSet::new(),
            touched_windows: BTreeSet::new(),
            begun: false,
            found: Report::default(),
        }
    }

    /// Proves the next few hundred links of every chain ahead of the next pass, which tells what was found, and says whether
    /// there may be more. For a job that leaves the machine to others in between.
    pub async fn step(&mut self, store: &Store) -> Result<bool, StoreError> {
        let mut tx = store.reader().begin().await?;
        let mut more = false;
        for row in sqlx::query("select node from ledger_nodes order by node").fetch_all(&mut *tx).await? {
            more |= self.walk_on(&mut tx, &row.try_get::<String, _>(0)?).await?;
        }
        tx.rollback().await?;
        Ok(more)
    }

    /// Looks at everything that is new, and at the sums it changed; the first time, at everything. `anchors` are links that
    /// are known from elsewhere, by node. After an error nothing is forgotten and nothing counted twice: the next pass goes on, and
    /// tells what was found until then.
    pub async fn pass(&mut self, store: &Store, anchors: &[(&str, &Anchor)]) -> Result<Report, StoreError> {
        let mut tx = store.reader().begin().await?;
        if store.kind() == Database::Postgres {
            sqlx::query("set transaction isolation level repeatable read").execute(&mut *tx).await?;
        }
        // Nothing was written: whether the transaction ends well says nothing of what was found.
        self.pass_in(&mut tx, anchors).await
    }

    /// The same within a database transaction, which must see one state of everything.
    pub async fn pass_in(
        &mut self,
        tx: &mut Transaction<'static, Any>,
        anchors: &[(&str, &Anchor)],
    ) -> Result<Report, StoreError> {
        let all = !self.begun;
        for node in nodes(tx).await? {
            while self.walk_on(tx, &node).await? {}
        }
        // Apart, because after an error the next pass finds all of it again.
        let mut sums = Report::default();
        self.heads(tx, anchors, &mut sums).await?;
        self.balances(tx, all, &mut sums).await?;
        self.windows(tx, all, &mut sums).await?;
        if all {
            strays(tx, &mut sums).await?;
            leases(tx, &mut sums).await?;
        }
        self.touched.clear();
        self.touched_windows.clear();
        self.begun = true;
        self.keep(sums);
        Ok(std::mem::take(&mut self.found))
    }

    /// What was found is to be told by the next pass.
    pub(crate) fn keep(&mut self, report: Report) {
        self.found.transactions += report.transactions;
        self.found.accounts += report.accounts;
        self.found.flaws.extend(report.flaws);
    }

    /// Proves the next page of a chain, all of it or, after an error, nothing. False at its end.
    async fn walk_on(&mut self, tx: &mut Transaction<'static, Any>, node: &str) -> Result<bool, StoreError> {
        let (mut number, mut hash) = self.nodes.get(node).cloned().unwrap_or_default();
        let page = page(tx, node, number).await?;
        if page.is_empty() {
            return Ok(false);
        }
        // Everything that may fail comes before the first sum that is moved.
        let unfounded = unfounded(tx, &page).await?;
        for Link { number: at, draft, hash: stored, .. } in page {
            let follows = at == number + 1;
            if !follows {
                self.found.flaws.push(Flaw::Missing { node: node.to_owned(), number: number + 1 });
            }
            match draft {
                // Without its predecessor a link cannot be proved; the next one can.
                Some(draft) => {
                    if follows && self.key.link(&hash, node, at, &draft) != stored {
                        self.found.flaws.push(Flaw::Changed { node: node.to_owned(), number: at });
                    }
                    self.add(node, at, &draft);
                }
                None => self.found.flaws.push(Flaw::Changed { node: node.to_owned(), number: at }),
            }
            (number, hash) = (at, stored);
            self.found.transactions += 1;
        }
        self.found.flaws.extend(unfounded);
        self.nodes.insert(node.to_owned(), (number, hash));
        Ok(true)
    }

    fn add(&mut self, node: &str, number: i64, draft: &Draft) {
        let sum: i128 = draft.entries.iter().map(|(_, amount)| i128::from(*amount)).sum();
        if sum != 0 {
            self.found.flaws.push(Flaw::Unbalanced { node: node.to_owned(), number });
        }
        for (account, amount) in &draft.entries {
            let (granted, spent) = self.accounts.entry(account.clone()).or_default();
            if draft.kind.spends() {
                *spent -= i128::from(*amount);
            } else {
                *granted += i128::from(*amount);
            }
            self.touched.insert(account.clone());
        }
        for (budget, start) in draft.uses() {
            let window = (budget.to_owned(), start);
            *self.windows.entry(window.clone()).or_default() += i128::from(draft.charged);
            self.touched_windows.insert(window);
        }
    }

    /// The ends that are written down elsewhere are the ends that are there.
    async fn heads(
        &self,
        tx: &mut Transaction<'static, Any>,
        anchors: &[(&str, &Anchor)],
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let rows =
            sqlx::query("select node, number, hash from ledger_nodes order by node").fetch_all(&mut **tx).await?;
        // Nobody ever takes a node's row away.
        let mut gone: BTreeSet<&String> = self.nodes.keys().collect();
        for row in rows {
            let (node, number, hash): (String, i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            gone.remove(&node);
            let (last, stored) = self.nodes.get(&node).cloned().unwrap_or_default();
            if last < number {
                report.flaws.push(Flaw::Cut { node, number: last + 1 });
            } else if last > number || stored != hash {
                report.flaws.push(Flaw::Changed { node, number: last });
            }
        }
        for node in gone {
            let sql = "select max(number) from ledger_transactions where node = $1";
            let left = sqlx::query(sql).bind(node.clone()).fetch_one(&mut **tx).await?.try_get::<Option<i64>, _>(0)?;
            let node = node.clone();
            report.flaws.push(match left {
                Some(number) => Flaw::Changed { node, number },
                None => Flaw::Cut { node, number: 1 },
            });
        }
        for (node, anchor) in anchors {
            let (last, _) = self.nodes.get(*node).cloned().unwrap_or_default();
            let sql = "select hash from ledger_transactions where node = $1 and number = $2";
            let row = sqlx::query(sql).bind((*node).to_owned()).bind(anchor.number).fetch_optional(&mut **tx).await?;
            let there: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
            let node = (*node).to_owned();
            if last < anchor.number {
                report.flaws.push(Flaw::Cut { node, number: last + 1 });
            } else if anchor.number > 0 && there.as_ref() != Some(&anchor.hash) {
                report.flaws.push(Flaw::Changed { node, number: anchor.number });
            }
        }
        Ok(())
    }

    async fn balances(
        &self,
        tx: &mut Transaction<'static, Any>,
        all: bool,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let mut expected: BTreeMap<&str, (i128, i128)> = BTreeMap::new();
        for account in &self.touched {
            expected.insert(account, self.accounts.get(account).copied().unwrap_or_default());
        }
        let mut after = String::new();
        loop {
            let sql = "select name, prepaid, granted, spent, leased from ledger_accounts where name > $1 \
                       order by name limit $2";
            let rows = sqlx::query(sql).bind(after.clone()).bind(PAGE).fetch_all(&mut **tx).await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0)?;
            for row in rows {
                let account: String = row.try_get(0)?;
                let known = expected.remove(account.as_str());
                let Some((granted, spent)) = known.or_else(|| all.then_some((0, 0))) else { continue };
                let kept = (i128::from(row.try_get::<i64, _>(2)?), i128::from(row.try_get::<i64, _>(3)?));
                let leased = i128::from(row.try_get::<i64, _>(4)?);
                report.accounts += 1;
                if kept != (granted, spent) {
                    report.flaws.push(Flaw::Balance { account });
                } else if row.try_get::<i64, _>(1)? == 1 && spent + leased > granted {
                    report.flaws.push(Flaw::Overdrawn { account });
                }
            }
        }
        let gone = expected.into_iter().filter(|(_, sums)| *sums != (0, 0));
        report.flaws.extend(gone.map(|(account, _)| Flaw::Balance { account: account.to_owned() }));
        Ok(())
    }

    async fn windows(
        &self,
        tx: &mut Transaction<'static, Any>,
        all: bool,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let mut expected: BTreeMap<(String, i64), i128> = BTreeMap::new();
        for window in &self.touched_windows {
            expected.insert(window.clone(), self.windows.get(window).copied().unwrap_or_default());
        }
        let (mut budget, mut start) = (String::new(), i64::MIN);
        loop {
            let sql = "select budget, start_at, spent from ledger_windows where budget > $1 or (budget = $1 and start_at > $2) \
                       order by budget, start_at limit $3";
            let rows = sqlx::query(sql).bind(budget.clone()).bind(start).bind(PAGE).fetch_all(&mut **tx).await?;
            let Some(last) = rows.last() else { break };
            (budget, start) = (last.try_get(0)?, last.try_get(1)?);
            for row in rows {
                let window: (String, i64) = (row.try_get(0)?, row.try_get(1)?);
                let Some(sum) = expected.remove(&window).or_else(|| all.then_some(0)) else { continue };
                if i128::from(row.try_get::<i64, _>(2)?) != sum {
                    report.flaws.push(Flaw::Window { budget: window.0, start: window.1 });
                }
            }
        }
        // A budget that was never defined has no windows.
        for ((budget, start), _) in expected.into_iter().filter(|(_, sum)| *sum != 0) {
            let sql = "select 1 from ledger_budgets where id = $1";
            if sqlx::query(sql).bind(budget.clone()).fetch_optional(&mut **tx).await?.is_some() {
                report.flaws.push(Flaw::Window { budget, start });
            }
        }
        Ok(())
    }
}

async fn nodes(tx: &mut Transaction<'static, Any>) -> Result<Vec<String>, StoreError> {
    let sql = "select node from ledger_nodes union select distinct node from ledger_transactions order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The next links of a chain.
async fn page(tx: &mut Transaction<'static, Any>, node: &str, after: i64) -> Result<Vec<Link>, StoreError> {
    let columns = read::columns(database(tx));
    let sql =
        format!("select {columns} from ledger_transactions where node = $1 and number > $2 order by number limit $3");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(node.to_owned()).bind(after).bind(PAGE);
    query.fetch_all(&mut **tx).await?.iter().map(read::read).collect()
}

/// Corrections that do not continue a charge: it is not there, one before is missing, or together they come to less than nothing or
/// charge the payer more than the whole.
async fn unfounded(tx: &mut Transaction<'static, Any>, page: &[Link]) -> Result<Vec<Flaw>, StoreError> {
    let drafts = page.iter().filter_map(|link| link.draft.as_ref());
    let corrections = drafts.filter(|draft| draft.kind == Kind::Correction);
    let ids: Vec<&str> = corrections.map(|draft| draft.request.as_str()).collect();
    let requests: BTreeSet<String> =
        ids.iter().filter_map(|id| charges::corrected(id).map(|(request, _)| request.to_owned())).collect();
    let requests: Vec<String> = requests.into_iter().collect();
    let charged = charges::of_requests(tx, &requests).await?;
    let charged: HashMap<&str, _> = charged.iter().map(|charge| (charge.request.as_str(), charge)).collect();
    let is_founded = |id: &str| {
        let Some((request, number)) = charges::corrected(id) else { return false };
        charged.get(request).is_some_and(|charge| {
            let (cost, paid) = (charge.cost.get(), charge.charged.get());
            number <= charge.corrections && (0..=cost).contains(&paid)
        })
    };
    let unfounded = ids.into_iter().filter(|id| !is_founded(id));
    Ok(unfounded.map(|id| Flaw::Correction { id: id.to_owned() }).collect())
}

/// Entries without their transaction, and requests with two ends.
async fn strays(tx: &mut Transaction<'static, Any>, report: &mut Report) -> Result<(), StoreError> {
    let sql = "select distinct e.node, e.number from ledger_entries e left join ledger_transactions t \
               on t.node = e.node and t.number = e.number where t.node is null order by 1, 2 limit 100";
    for row in sqlx::query(sql).fetch_all(&mut **tx).await? {
        report.flaws.push(Flaw::Stray { node: row.try_get(0)?, number: row.try_get(1)? });
    }
    let sql = "select request from ledger_transactions group by request having count(*) > 1 order by 1 limit 100";
    for row in sqlx::query(sql).fetch_all(&mut **tx).await? {
        report.flaws.push(Flaw::Twice { request: row.try_get(0)? });
    }
    Ok(())
}

/// What purses say that nodes hold is what nodes hold.
async fn leases(tx: &mut Transaction<'static, Any>, report: &mut Report) -> Result<(), StoreError> {
    let sql = "select purse from ( \
               select name as purse, 0 as start_at, leased as amount from ledger_accounts where leased <> 0 union all \
               select budget, start_at, leased from ledger_windows where leased <> 0 union all \
               select purse, start_at, -unspent from ledger_leases where unspent <> 0) as held \
               group by purse, start_at having sum(amount) <> 0 order by 1 limit 100";
    for row in sqlx::query(sql).fetch_all(&mut **tx).await? {
        report.flaws.push(Flaw::Leases { purse: row.try_get(0)? });
    }
    Ok(())
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { node, number } => write!(f, "transaction {number} of node {node} was changed"),
            Self::Missing { node, number } => write!(f, "transaction {number} of node {node} is missing"),
            Self::Cut { node, number } => {
                write!(f, "the ledger of node {node} was cut off: transaction {number} and what followed are missing")
            }
            Self::Stray { node, number } => {
                write!(f, "there are entries of transaction {number} of node {node}, which is not there")
            }
            Self::Unbalanced { node, number } => {
                write!(f, "the entries of transaction {number} of node {node} do not add up to nothing")
            }
            Self::Balance { account } => write!(f, "the balance of {account} is not the sum of its entries"),
            Self::Overdrawn { account } => write!(f, "{account} has spent more than it was given"),
            Self::Window { budget, start } => {
                write!(f, "what was spent of budget {budget} in the window from {start} is not the sum of its charges")
            }
            Self::Leases { purse } => write!(f, "what nodes hold of {purse} is not what it says that they hold"),
            Self::Twice { request } => write!(f, "request {request} has two ends"),
            Self::Correction { id } => write!(f, "{id} does not follow from a charge, or takes more than there is"),
        }
    }
}
