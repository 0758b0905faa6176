//! Usage by any one or two of key, user, team, model, deployment, channel and day, page by page in the order of the groups. Decides
//! which table answers and how little of it has to be read. Tests: `it/logbook.rs`.

use std::sync::Arc;

use super::row::Cells;
use super::sums::{Sums, Table, summed};
use super::{Conditions, Logbook, Scope, Value, asked};
use crate::StoreError;
use crate::rows::Query;

/// What usage is told apart by. The order is that in which groups are sorted: what has the most values comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Key,
    User,
    Team,
    Deployment,
    Model,
    Channel,
    Day,
}

impl Dimension {
    pub const ALL: [Self; 7] =
        [Self::Key, Self::User, Self::Team, Self::Deployment, Self::Model, Self::Channel, Self::Day];

    /// The word in questions and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Deployment => "deployment",
            Self::Model => "model",
            Self::Channel => "channel",
            Self::Day => "day",
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Key => "key_id",
            Self::User => "user_id",
            Self::Team => "team_id",
            Self::Deployment => "deployment",
            Self::Model => "model",
            Self::Channel => "channel",
            Self::Day => "day",
        }
    }

    /// The shortest table that keeps it apart.
    fn table(self) -> Table {
        match self {
            Self::Key => Table::Keys,
            Self::User => Table::Users,
            Self::Team => Table::Teams,
            Self::Deployment | Self::Model | Self::Channel | Self::Day => Table::Models,
        }
    }
}

/// One or two dimensions, in the order of [`Dimension`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    first: Dimension,
    second: Option<Dimension>,
}

impl GroupBy {
    pub fn one(first: Dimension) -> Self {
        Self { first, second: None }
    }

    /// Both; none if they are the same.
    pub fn two(one: Dimension, other: Dimension) -> Option<Self> {
        (one != other).then(|| Self { first: one.min(other), second: Some(one.max(other)) })
    }

    pub fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        std::iter::once(self.first).chain(self.second)
    }
}

/// What usage must fit; absent means anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    pub key: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
    pub deployment: Option<String>,
    pub model: Option<String>,
    pub channel: Option<String>,
}

impl UsageFilter {
    fn of(&self, dimension: Dimension) -> Option<&str> {
        match dimension {
            Dimension::Key => self.key.as_deref(),
            Dimension::User => self.user.as_deref(),
            Dimension::Team => self.team.as_deref(),
            Dimension::Deployment => self.deployment.as_deref(),
            Dimension::Model => self.model.as_deref(),
            Dimension::Channel => self.channel.as_deref(),
            Dimension::Day => None,
        }
    }
}

/// A question about usage. Days are counted since 1970, in UTC, and both ends are part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub group_by: GroupBy,
    pub first_day: i64,
    pub last_day: i64,
    pub filter: UsageFilter,
    /// The last group of the page before: its values, in the order of [`GroupBy::dimensions`]; days as numbers.
    pub after: Option<Vec<String>>,
    pub limit: i64,
}

/// The usage of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// In the order of [`GroupBy::dimensions`]; days as numbers.
    pub group: Vec<Arc<str>>,
    /// The key's name when it was last used; absent if the key is no part of the group.
    pub key_name: Option<Arc<str>>,
    pub sums: Sums,
}

/// Some groups, and whether there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePage {
    pub rows: Vec<UsageRow>,
    pub more: bool,
}

impl Logbook<'_> {
    /// The groups of a page, in their order.
    pub async fn usage(&self, scope: &Scope, report: &Report) -> Result<UsagePage, StoreError> {
        let mut asking = Asking::of(scope, report);
        if let Some(question) = asking.leads() {
            // They come in their order.
            let rows = question.fetch_all(self.store.reader()).await?;
            let Some(last) = rows.last() else { return Ok(UsagePage { rows: Vec::new(), more: false }) };
            asking.last_lead = Some(Cells::of(last).text()?.to_string());
        }
        let limit = usize::try_from(report.limit).unwrap_or_default();
        let mut rows = Vec::new();
        for row in &asking.groups().fetch_all(self.store.reader()).await? {
            rows.push(asking.read(&mut Cells::of(row))?);
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(UsagePage { rows, more })
    }

    /// The sums over all groups.
    pub async fn total(&self, scope: &Scope, report: &Report) -> Result<Sums, StoreError> {
        let asking = Asking::of_total(scope, report);
        let row = asking.total().fetch_one(self.store.reader()).await?;
        Ok(Sums::read(&mut Cells::of(&row))?)
    }
}

/// A report on its way to the database.
struct Asking<'r> {
    report: &'r Report,
    /// The columns that have one value.
    fixed: Vec<(Dimension, &'r str)>,
    table: Table,
    /// The last value of the first dimension that this page can need.
    last_lead: Option<String>,
}

impl<'r> Asking<'r> {
    fn of(scope: &'r Scope, report: &'r Report) -> Self {
        let mut asking = Self::of_total(scope, report);
        let grouped = report.group_by.dimensions().map(Dimension::table).min();
        asking.table = grouped.map_or(asking.table, |grouped| grouped.min(asking.table));
        asking
    }

    fn of_total(scope: &'r Scope, report: &'r Report) -> Self {
        let bound = match scope {
            Scope::Everything => None,
            Scope::Team(id) => Some((Dimension::Team, id.as_str())),
            Scope::User(id) => Some((Dimension::User, id.as_str())),
            Scope::Key(id) => Some((Dimension::Key, id.as_str())),
        };
        let filters = Dimension::ALL.into_iter().filter_map(|of| Some((of, report.filter.of(of)?)));
        let fixed: Vec<_> = bound.into_iter().chain(filters).collect();
        let table = fixed.iter().map(|(of, _)| of.table()).min().unwrap_or(Table::Models);
        Self { report, fixed, table, last_lead: None }
    }

    /// Is the first dimension one with so many values that a page must not read them all?
    fn is_long(&self) -> bool {
        matches!(self.report.group_by.first, Dimension::Key | Dimension::User | Dimension::Team)
    }

    /// An index leads from one of these to few rows, whatever the day.
    fn has_index(&self) -> bool {
        self.fixed.iter().any(|(of, _)| matches!(of, Dimension::Key | Dimension::User | Dimension::Team))
    }

    fn fixed_into(&self, conditions: &mut Conditions) {
        for (of, value) in &self.fixed {
            conditions.text(&format!("{} = $", of.column()), value);
        }
    }

    /// The days. Where another index leads to fewer rows, the one over days is kept out of it by the plus sign.
    fn days_into(&self, conditions: &mut Conditions, by_index: bool) {
        let day = if by_index { "day" } else { "+day" };
        conditions.number(&format!("{day} >= $"), self.report.first_day);
        conditions.number(&format!("{day} <= $"), self.report.last_day);
    }

    /// The values of the first dimension that this page can need: each has a group at least. From one value the index leads to
    /// the next, whatever is between them.
    fn leads(&self) -> Option<super::Query> {
        if !self.is_long() {
            return None;
        }
        let (column, table) = (self.report.group_by.first.column(), self.table.name());
        let mut conditions = Conditions::default();
        self.fixed_into(&mut conditions);
        let joined = if conditions.text.is_empty() { " where" } else { " and" };
        let fixed = format!("{}{joined}", conditions.text);
        let after = self.report.after.as_ref().and_then(|after| after.first()).map_or("", String::as_str);
        let again = self.report.after.is_none() || self.report.group_by.second.is_some();
        let relation = if again { ">=" } else { ">" };
        let after = conditions.place(Value::Text(after.to_owned()));
        let Report { first_day, last_day, limit, .. } = self.report;
        let (first_day, last_day) =
            (conditions.place(Value::Number(*first_day)), conditions.place(Value::Number(*last_day)));
        let sql = format!(
            "with recursive leads(value) as ( \
             select (select {column} from {table}{fixed} {column} {relation} {after} order by {column} limit 1) \
             union all \
             select (select {column} from {table}{fixed} {column} > leads.value order by {column} limit 1) \
             from leads where leads.value is not null) \
             select value from leads where value is not null and exists (select 1 from {table}{fixed} {column} = leads.value \
             and day >= {first_day} and day <= {last_day}) limit {}",
            limit + 1
        );
        Some(asked(sql, conditions.values))
    }

    /// The groups of the page and one more.
    fn groups(&self) -> Query {
        let columns: Vec<&str> = self.report.group_by.dimensions().map(Dimension::column).collect();
        let columns = columns.join(", ");
        let mut conditions = Conditions::default();
        self.fixed_into(&mut conditions);
        let lead = self.report.group_by.first.column();
        if let Some(last) = &self.last_lead {
            conditions.text(&format!("{lead} <= $"), last);
        }
        self.days_into(&mut conditions, self.last_lead.is_none() && !self.has_index());
        self.after_into(&mut conditions);
        let key_name = if self.named() { "max(key_name), " } else { "" };
        let sql = format!(
            "select {columns}, {key_name}{} from {}{} group by {columns} order by {columns} limit {}",
            summed(),
            self.table.name(),
            conditions.text,
            self.report.limit + 1
        );
        asked(sql, conditions.values)
    }

    fn after_into(&self, conditions: &mut Conditions) {
        let Some(after) = &self.report.after else { return };
        let value = |of: Dimension, text: &String| match of {
            Dimension::Day => Value::Number(text.parse().unwrap_or(i64::MAX)),
            Dimension::Key
            | Dimension::User
            | Dimension::Team
            | Dimension::Deployment
            | Dimension::Model
            | Dimension::Channel => Value::Text(text.clone()),
        };
        let pairs: Vec<(Dimension, &String)> = self.report.group_by.dimensions().zip(after).collect();
        let columns: Vec<&str> = pairs.iter().map(|(of, _)| of.column()).collect();
        let places: Vec<String> = pairs.iter().map(|(of, text)| conditions.place(value(*of, text))).collect();
        // The first one by itself too: it leads into the index.
        if let (Some(column), Some(place)) = (columns.first(), places.first()) {
            conditions.and_bare(&format!("{column} >= {place}"));
        }
        conditions.and_bare(&format!("({}) > ({})", columns.join(", "), places.join(", ")));
    }

    fn total(&self) -> Query {
        let mut conditions = Conditions::default();
        self.fixed_into(&mut conditions);
        self.days_into(&mut conditions, !self.has_index());
        asked(format!("select {} from {}{}", summed(), self.table.name(), conditions.text), conditions.values)
    }

    fn named(&self) -> bool {
        self.report.group_by.first == Dimension::Key
    }

    fn read(&self, cells: &mut Cells<'_>) -> Result<UsageRow, sqlx::Error> {
        let mut group = Vec::with_capacity(2);
        for of in self.report.group_by.dimensions() {
            group.push(match of {
                Dimension::Day => cells.number()?.to_string().into(),
                Dimension::Key
                | Dimension::User
                | Dimension::Team
                | Dimension::Deployment
                | Dimension::Model
                | Dimension::Channel => cells.text()?,
            });
        }
        let key_name = if self.named() { Some(cells.text()?) } else { None };
        Ok(UsageRow { group, key_name, sums: Sums::read(cells)? })
    }
}
