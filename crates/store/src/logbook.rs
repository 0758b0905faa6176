//! What every call did: one row each, and sums over them by day that stay when rows are pruned. Rows and sums are written in one
//! transaction, so they agree to the token. Knows nothing of balances: the ledger is apart. Tests: `it/logbook.rs`.

mod list;
mod prune;
mod report;
mod row;
mod sums;
mod write;

pub use self::list::{LogFilter, LogPage, Place};
pub use self::report::{Dimension, GroupBy, Report, UsageFilter, UsagePage, UsageRow};
pub use self::row::{LogRow, LoggedCall};
pub use self::sums::Sums;

use crate::Store;
use crate::rows::Query;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Whose calls may be seen. It bounds every question; a filter can only narrow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Team(String),
    User(String),
    Key(String),
}

/// The log and its sums.
#[derive(Clone, Copy)]
pub struct Logbook<'s> {
    store: &'s Store,
}

impl Store {
    /// The log of calls.
    pub fn logbook(&self) -> Logbook<'_> {
        Logbook { store: self }
    }
}

/// A condition under way: its text and what its `$n` stand for.
#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

#[derive(Clone)]
enum Value {
    Number(i64),
    Text(String),
}

impl Conditions {
    /// Adds one more, joined by `and`; `$` in it stands for the value.
    fn and(&mut self, condition: &str, value: Value) {
        let place = self.place(value);
        self.and_bare(&condition.replace('$', &place));
    }

    /// Adds one that has no value, or whose values have their places.
    fn and_bare(&mut self, condition: &str) {
        self.text.push_str(if self.text.is_empty() { " where " } else { " and " });
        self.text.push_str(condition);
    }

    /// The place of a value, for a condition that is written elsewhere.
    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn number(&mut self, condition: &str, value: i64) {
        self.and(condition, Value::Number(value));
    }

    fn text(&mut self, condition: &str, value: &str) {
        self.and(condition, Value::Text(value.to_owned()));
    }
}

/// A question with its values, in their order. Its text is made here of constants and places, never of what a caller said.
fn asked(sql: String, values: Vec<Value>) -> Query {
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    values.into_iter().fold(query, |query, value| match value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
    })
}
