//! The log, page by page, newest first. A page does a bounded amount of work whatever is asked: where few rows fit, it may be
//! short and still say where to go on. Tests: `it/logbook.rs`.

use sqlx::Row as _;

use super::row::{COLUMNS, LoggedCall, read};
use super::{Conditions, Logbook, Scope, Value, asked};
use crate::StoreError;

/// How many rows a page looks at, at most.
const MOST_LOOKED_AT: i64 = 2000;

/// What rows must fit; absent means anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    pub request_id: Option<String>,
    pub key: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
    pub model: Option<String>,
    pub deployment: Option<String>,
    pub channel: Option<String>,
    pub operation: Option<String>,
    pub outcome: Option<String>,
    /// The hundreds of the status: 4 for 400 to 499.
    pub status_class: Option<i64>,
    /// The class of the error.
    pub error: Option<String>,
    /// Only what ended in an error.
    pub only_errors: bool,
    /// Not before this, in milliseconds since 1970.
    pub from: Option<i64>,
    /// Before this.
    pub to: Option<i64>,
    /// In nano-USD.
    pub min_cost: Option<i64>,
}

/// A place in the log: what comes after it is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: i64,
    pub seq: i64,
}

/// Some rows, and where to go on; the last page has no further place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    pub rows: Vec<LoggedCall>,
    pub next: Option<Place>,
}

impl Logbook<'_> {
    /// Rows of the scope that fit, older than the place, at most so many.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &LogFilter,
        after: Option<Place>,
        limit: i64,
    ) -> Result<LogPage, StoreError> {
        let question = Question::of(scope, filter, after);
        let mut rows = Vec::new();
        for row in &question.rows(limit + 1).fetch_all(self.store.reader()).await? {
            rows.push(read(row)?);
        }
        let place = |call: &LoggedCall| Place { at: call.row.at, seq: call.seq };
        if rows.len() as i64 > limit {
            rows.truncate(usize::try_from(limit).unwrap_or_default());
            return Ok(LogPage { next: rows.last().map(place), rows });
        }
        let next = match question.horizon() {
            Some(horizon) => horizon.fetch_optional(self.store.reader()).await?,
            None => None,
        };
        let next =
            next.map(|row| Ok::<_, sqlx::Error>(Place { at: row.try_get(0)?, seq: row.try_get(1)? })).transpose()?;
        Ok(LogPage { rows, next })
    }

    /// The newest call with this request id in the scope; callers may have chosen the same id twice.
    pub async fn call(&self, scope: &Scope, request_id: &str) -> Result<Option<LoggedCall>, StoreError> {
        let filter = LogFilter { request_id: Some(request_id.to_owned()), ..LogFilter::default() };
        Ok(self.list(scope, &filter, None, 1).await?.rows.pop())
    }
}

/// What is an error; the text is that of the index over them.
const ERRORS: &str = "(status >= 400 or error <> '')";

/// A question in two parts: what an index answers in the order of the log, and what each row is then asked.
struct Question {
    /// Conditions on the log itself, with their values.
    within: Conditions,
    /// Conditions on what these let through.
    then: Vec<Fit>,
}

/// A condition; `$` in it stands for the value.
struct Fit {
    condition: &'static str,
    value: Option<Value>,
}

impl Question {
    fn of(scope: &Scope, filter: &LogFilter, after: Option<Place>) -> Self {
        let mut fits = indexed(filter);
        let mut within = Conditions::default();
        // The scope bounds what is looked at, and not only what is shown: where a page goes on is a row that was looked at, and
        // nobody is told of a row of somebody else.
        match (bound(scope), &filter.request_id) {
            (Some(bound), None) => within.and(&format!("{} = $", bound.column), bound.value),
            // A request id is the better index of the two. No index is over an expression, so that the other is not taken.
            (Some(bound), Some(_)) => within.and(&format!("{} || '' = $", bound.column), bound.value),
            (None, _) => {}
        }
        if (within.text.is_empty() || filter.request_id.is_some()) && !fits.is_empty() {
            fits.remove(0).add_to(&mut within);
        }
        fits.extend(others(filter));
        if let Some(from) = filter.from {
            within.number("at >= $", from);
        }
        if let Some(to) = filter.to {
            within.number("at < $", to);
        }
        if let Some(Place { at, seq }) = after {
            let (at, seq) = (within.place(Value::Number(at)), within.place(Value::Number(seq)));
            within.and_bare(&format!("(at, seq) < ({at}, {seq})"));
        }
        Self { within, then: fits }
    }

    /// The rows that fit.
    fn rows(&self, limit: i64) -> super::Query {
        let within = format!("from request_log{} order by at desc, seq desc", self.within.text);
        if self.then.is_empty() {
            return asked(format!("select seq, {COLUMNS} {within} limit {limit}"), self.within.values.clone());
        }
        let mut then = Conditions { text: String::new(), values: self.within.values.clone() };
        self.then.iter().for_each(|fit| fit.add_to(&mut then));
        let sql = format!(
            "select seq, {COLUMNS} from (select seq, {COLUMNS} {within} limit {MOST_LOOKED_AT}) as seen{} \
             order by at desc, seq desc limit {limit}",
            then.text
        );
        asked(sql, then.values)
    }

    /// The last row that is looked at; none where the log ends before, or where every row fits.
    fn horizon(&self) -> Option<super::Query> {
        if self.then.is_empty() {
            return None;
        }
        let within = &self.within;
        let sql = format!(
            "select at, seq from request_log{} order by at desc, seq desc limit 1 offset {}",
            within.text,
            MOST_LOOKED_AT - 1
        );
        Some(asked(sql, within.values.clone()))
    }
}

impl Fit {
    fn text(condition: &'static str, value: &Option<String>) -> Option<Self> {
        value.as_ref().map(|value| Self { condition, value: Some(Value::Text(value.clone())) })
    }

    fn number(condition: &'static str, value: Option<i64>) -> Option<Self> {
        value.map(|value| Self { condition, value: Some(Value::Number(value)) })
    }

    fn add_to(&self, conditions: &mut Conditions) {
        match &self.value {
            Some(value) => conditions.and(self.condition, value.clone()),
            None => conditions.and_bare(self.condition),
        }
    }
}

/// What a scope bounds: a column that has an index, and its value.
struct Bound {
    column: &'static str,
    value: Value,
}

fn bound(scope: &Scope) -> Option<Bound> {
    let (column, id) = match scope {
        Scope::Everything => return None,
        Scope::Key(id) => ("key_id", id),
        Scope::User(id) => ("user_id", id),
        Scope::Team(id) => ("team_id", id),
    };
    Some(Bound { column, value: Value::Text(id.clone()) })
}

/// The conditions that have an index, the most selective first.
fn indexed(filter: &LogFilter) -> Vec<Fit> {
    let errors = filter.only_errors || filter.error.is_some() || filter.status_class.is_some_and(|class| class >= 4);
    [
        Fit::text("request_id = $", &filter.request_id),
        Fit::text("key_id = $", &filter.key),
        Fit::text("user_id = $", &filter.user),
        Fit::text("deployment = $", &filter.deployment),
        Fit::text("model = $", &filter.model),
        Fit::text("team_id = $", &filter.team),
        errors.then_some(Fit { condition: ERRORS, value: None }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The conditions that have none.
fn others(filter: &LogFilter) -> impl Iterator<Item = Fit> {
    [
        Fit::text("channel = $", &filter.channel),
        Fit::text("operation = $", &filter.operation),
        Fit::text("outcome = $", &filter.outcome),
        Fit::text("error = $", &filter.error),
        Fit::number("status >= $ * 100", filter.status_class),
        Fit::number("status < ($ + 1) * 100", filter.status_class),
        Fit::number("cost >= $", filter.min_cost),
    ]
    .into_iter()
    .flatten()
}
