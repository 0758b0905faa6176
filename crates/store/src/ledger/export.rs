//! The ledger as text, for finance departments: CSV with a line for each movement, or JSON with a line for each
//! transaction. Nothing in it runs as a formula, whatever callers named their keys. Tests: `tests/it/verify.rs`.

use std::io::{self, Write};

use sqlx::AssertSqlSafe;
use waypost_core::money::NanoUsd;

use super::post::Draft;
use super::read;
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
    let (mut after, mut count) = ((i64::MIN, String::new(), 0_i64), 0);
    loop {
        let columns = read::columns(store.kind());
        let sql = format!(
            "select {columns} from ledger_transactions where at >= $1 and at < $2 \
             and (at > $3 or (at = $3 and (node > $4 or (node = $4 and number > $5)))) order by at, node, number limit $6"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(between.0).bind(between.1);
        let query = query.bind(after.0).bind(after.1.clone()).bind(after.2).bind(PAGE);
        let rows = query.fetch_all(store.reader()).await?;
        if rows.is_empty() {
            out.flush().map_err(file)?;
            return Ok(count);
        }
        let mut text = String::new();
        for row in rows {
            let link = read::read(&row)?;
            let (node, number) = (link.node.clone(), link.number);
            let draft = link.draft()?;
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
