//! The ledger as text, for finance departments: CSV with a line for each movement, or JSON with a line for each
//! transaction. Nothing in it runs as a formula, whatever callers named their keys. Tests: `tests/it/verify.rs`.

use std::io::{self, Write};

use sqlx::{AssertSqlSafe, Row as _};
use waypost_core::money::NanoUsd;

use super::post::Draft;
use super::read::{COLUMNS, Link, add_entries, read};
use crate::{Store, StoreError};

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

/// Which transactions, by their time: from the first to before the second, in epoch milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Between(pub i64, pub i64);

const PAGE: i64 = 512;
const TEXTS: [&str; 13] = [
    "request",
    "kind",
    "outcome",
    "actor",
    "reason",
    "prices",
    "usage",
    "budgets",
    "key",
    "user",
    "team",
    "model",
    "deployment",
];

/// Writes what happened in a time, in its order. Answers how many transactions there were.
pub async fn export(
    store: &Store,
    format: Format,
    between: Between,
    out: &mut (dyn Write + Send),
) -> Result<u64, StoreError> {
    if format == Format::Csv {
        let columns = format!("node,number,at,{},cost,charged,held,account,amount\r\n", TEXTS.join(","));
        write(out, &columns)?;
    }
    let (mut after, mut count) = ((between.0, String::new(), 0), 0);
    loop {
        let page = page(store, &after, between.1).await?;
        if page.is_empty() {
            out.flush().map_err(file)?;
            return Ok(count);
        }
        let mut text = String::new();
        for Link { node, number, draft, .. } in page {
            let Some(draft) = draft else {
                return Err(StoreError::Corrupt(format!("transaction {number} of node {node} is of an unknown kind")));
            };
            match format {
                Format::Csv => csv(&mut text, &node, number, &draft),
                Format::Json => json(&mut text, &node, number, &draft),
            }
            after = (draft.at, node, number);
            count += 1;
        }
        write(out, &text)?;
    }
}

/// A place in the order of an export: time, node and number.
type Place = (i64, String, i64);

/// The next transactions, each with its entries. The ledger only grows, so that the two queries need not see the same moment.
async fn page(store: &Store, after: &Place, to: i64) -> Result<Vec<Link>, StoreError> {
    let mut connection = store.reader().acquire().await?;
    let sql = format!(
        "select {COLUMNS} from ledger_transactions where (at, node, number) > ($1, $2, $3) and at < $4 \
         order by at, node, number limit $5"
    );
    let (at, node, number) = after;
    let query = sqlx::query(AssertSqlSafe(sql)).bind(at).bind(node).bind(number).bind(to).bind(PAGE);
    let rows = query.fetch_all(&mut *connection).await?;
    let mut links = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some(last) = rows.last() {
        let last: Place = (last.try_get("at")?, last.try_get("node")?, last.try_get("number")?);
        let sql = "select e.node, e.number, e.account, e.amount from ledger_transactions t \
                   join ledger_entries e on e.node = t.node and e.number = t.number \
                   where (t.at, t.node, t.number) > ($1, $2, $3) and (t.at, t.node, t.number) <= ($4, $5, $6) \
                   order by e.node, e.number, e.place";
        let query = sqlx::query(sql).bind(at).bind(node).bind(number).bind(last.0).bind(last.1).bind(last.2);
        add_entries(&mut connection, &mut links, query).await?;
    }
    Ok(links)
}

fn write(out: &mut (dyn Write + Send), text: &str) -> Result<(), StoreError> {
    out.write_all(text.as_bytes()).map_err(file)
}

fn file(source: io::Error) -> StoreError {
    StoreError::File { path: "the export".into(), source }
}

fn csv(text: &mut String, node: &str, number: i64, draft: &Draft) {
    let nothing = [(String::new(), 0)];
    let entries = if draft.entries.is_empty() { &nothing[..] } else { &draft.entries };
    for (account, amount) in entries {
        let texts = draft.texts().map(safe);
        let [cost, charged, held, amount] = [draft.cost, draft.charged, draft.held, *amount].map(NanoUsd);
        text.push_str(&format!(
            "{},{number},{},{},{cost},{charged},{held},{},{amount}\r\n",
            safe(node),
            draft.at,
            texts.join(","),
            safe(account)
        ));
    }
}

/// A field that no spreadsheet takes for a formula or for more than one field.
fn safe(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']);
    let guarded = if formula { format!("'{field}") } else { field.to_owned() };
    if guarded.contains([',', '"', '\r', '\n']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

fn json(text: &mut String, node: &str, number: i64, draft: &Draft) {
    let mut line = serde_json::Map::new();
    line.insert("node".into(), node.into());
    line.insert("number".into(), number.into());
    line.insert("at".into(), draft.at.into());
    for (name, value) in TEXTS.iter().zip(draft.texts()) {
        if !value.is_empty() {
            line.insert((*name).into(), value.into());
        }
    }
    let amounts = [("cost", draft.cost), ("charged", draft.charged), ("held", draft.held)];
    for (name, amount) in amounts {
        line.insert(name.into(), NanoUsd(amount).to_string().into());
    }
    let entry = |(account, amount): &(String, i64)| serde_json::json!({ "account": account, "amount": NanoUsd(*amount).to_string() });
    line.insert("entries".into(), draft.entries.iter().map(entry).collect());
    text.push_str(&serde_json::Value::Object(line).to_string());
    text.push('\n');
}
