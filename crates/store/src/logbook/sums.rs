//! What is added up of calls, and the tables that keep it: by everything, then without the key, without the user, without the
//! team. A question goes to the shortest table that can answer it. Tests: `it/logbook.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AnyConnection;

use super::DAY_MS;
use super::row::{Cells, LogRow, storable};
use crate::rows::{Query, insert_all};

/// Sums over calls. Tokens that nobody told count as none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub requests: i64,
    /// Those that ended in an error.
    pub errors: i64,
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    pub audio_input: i64,
    pub audio_output: i64,
    /// In nano-USD.
    pub cost: i64,
    /// Requests whose cost is not known.
    pub unpriced: i64,
}

/// The columns of [`Sums`], in the order of [`Sums::cells`].
const SUMS: [&str; 11] = [
    "requests",
    "errors",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "audio_input",
    "audio_output",
    "cost",
    "unpriced",
];

impl Sums {
    /// What one call adds.
    pub fn of(row: &LogRow) -> Self {
        Self {
            requests: 1,
            errors: i64::from(row.is_error()),
            input: row.input.unwrap_or_default(),
            output: row.output.unwrap_or_default(),
            cache_read: row.cache_read.unwrap_or_default(),
            cache_write: row.cache_write.unwrap_or_default(),
            reasoning: row.reasoning.unwrap_or_default(),
            audio_input: row.audio_input.unwrap_or_default(),
            audio_output: row.audio_output.unwrap_or_default(),
            cost: row.cost.unwrap_or_default(),
            unpriced: i64::from(row.cost.is_none()),
        }
    }

    /// Adds another; a sum beyond what a column holds stays at its bound.
    pub fn add(&mut self, more: &Self) {
        for (mine, theirs) in self.cells_mut().into_iter().zip(more.cells()) {
            *mine = mine.saturating_add(theirs);
        }
    }

    fn cells(&self) -> [i64; 11] {
        let mut copy = *self;
        copy.cells_mut().map(|cell| *cell)
    }

    fn cells_mut(&mut self) -> [&mut i64; 11] {
        [
            &mut self.requests,
            &mut self.errors,
            &mut self.input,
            &mut self.output,
            &mut self.cache_read,
            &mut self.cache_write,
            &mut self.reasoning,
            &mut self.audio_input,
            &mut self.audio_output,
            &mut self.cost,
            &mut self.unpriced,
        ]
    }

    /// Reads what [`summed`] asks for.
    pub(super) fn read(cells: &mut Cells<'_>) -> Result<Self, sqlx::Error> {
        let mut sums = Self::default();
        for cell in sums.cells_mut() {
            *cell = cells.perhaps()?.unwrap_or_default();
        }
        Ok(sums)
    }
}

/// The sums of a group, as a question names them. Postgres would answer them in a type of its own.
pub(super) fn summed() -> String {
    SUMS.map(|name| format!("cast(sum({name}) as bigint)")).join(", ")
}

/// A table of sums, the longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Keys,
    Users,
    Teams,
    Models,
}

impl Table {
    const ALL: [Self; 4] = [Self::Keys, Self::Users, Self::Teams, Self::Models];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keys => "usage_daily",
            Self::Users => "usage_daily_users",
            Self::Teams => "usage_daily_teams",
            Self::Models => "usage_daily_models",
        }
    }

    /// What it keeps apart, beside the day.
    fn dimensions(self) -> &'static [&'static str] {
        let all: &'static [&'static str; 6] = &["key_id", "user_id", "team_id", "model", "deployment", "channel"];
        match self {
            Self::Keys => all,
            Self::Users => all.get(1..).unwrap_or_default(),
            Self::Teams => all.get(2..).unwrap_or_default(),
            Self::Models => all.get(3..).unwrap_or_default(),
        }
    }

    fn place(self, row: &LogRow) -> Group {
        let all = [&row.key_id, &row.user_id, &row.team_id, &row.model, &row.deployment, &row.channel];
        let kept = all.into_iter().skip(6 - self.dimensions().len());
        Group { day: row.at.div_euclid(DAY_MS), names: kept.map(Arc::clone).collect() }
    }
}

/// What a row of sums is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    day: i64,
    names: Vec<Arc<str>>,
}

struct Added {
    group: Group,
    key_name: Arc<str>,
    sums: Sums,
}

/// Adds rows to every table of sums. Groups are written in their order, so that two nodes cannot wait for each other.
pub(super) async fn add(connection: &mut AnyConnection, rows: &[LogRow]) -> Result<(), sqlx::Error> {
    for table in Table::ALL {
        let mut groups: BTreeMap<Group, (Arc<str>, Sums)> = BTreeMap::new();
        for row in rows {
            let (name, sums) = groups.entry(table.place(row)).or_default();
            *name = Arc::clone(&row.key_name);
            sums.add(&Sums::of(row));
        }
        let added: Vec<Added> =
            groups.into_iter().map(|(group, (key_name, sums))| Added { group, key_name, sums }).collect();
        write(connection, table, &added).await?;
    }
    Ok(())
}

async fn write(connection: &mut AnyConnection, table: Table, added: &[Added]) -> Result<(), sqlx::Error> {
    let (name, dimensions) = (table.name(), table.dimensions());
    let group = format!("day, {}", dimensions.join(", "));
    let named = table == Table::Keys;
    let key_name = if named { ", key_name" } else { "" };
    let before = format!("insert into {name} ({group}{key_name}, {}) values", SUMS.join(", "));
    let sums = SUMS.map(|sum| format!("{sum} = {name}.{sum} + excluded.{sum}")).join(", ");
    let renamed = if named { ", key_name = excluded.key_name" } else { "" };
    let after = format!("on conflict ({group}) do update set {sums}{renamed}");
    let width = 1 + dimensions.len() + usize::from(named) + SUMS.len();
    insert_all(connection, (&before, &after), width, added, |query, added| bind(query, added, named)).await
}

fn bind(query: Query, added: &Added, named: bool) -> Query {
    let query = query.bind(added.group.day);
    let query = added.group.names.iter().fold(query, |query, name| query.bind(storable(name)));
    let query = if named { query.bind(storable(&added.key_name)) } else { query };
    added.sums.cells().into_iter().fold(query, |query, cell| query.bind(cell))
}
