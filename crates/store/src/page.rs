//! Lists that are read page by page: the newest first, each page going on where the last one ended, whatever was added
//! meanwhile. Decides the SQL around a list's own conditions. Tests: `tests/it/people.rs`.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, query::Query};
use waypost_core::role::{Action, Actor, Reach};

use crate::{Store, StoreError};

/// The largest page there is.
pub const MAX_PAGE: u32 = 500;

/// Which rows somebody may know of. It is part of every query: what is out of scope does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// What belongs to the team of that id.
    Team(String),
    /// What belongs to the user of that id.
    Own(String),
}

impl Scope {
    /// What the actor may know of when doing this; `None` if nothing, so that the action is to be refused.
    pub fn of(actor: &Actor, action: Action) -> Option<Self> {
        match (actor.reach(action), &actor.team) {
            (Reach::All, _) => Some(Self::All),
            (Reach::Team, Some(team)) => Some(Self::Team(team.to_string())),
            (Reach::Own, _) => Some(Self::Own(actor.id.to_string())),
            (Reach::Team, None) | (Reach::Nothing, _) => None,
        }
    }

    /// Is what belongs to this user in this team within it?
    pub fn holds(&self, user: Option<&str>, team: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Team(id) => team == Some(id),
            Self::Own(id) => user == Some(id),
        }
    }
}

/// Where a page ended. As text it is `<milliseconds>_<id>`, and means nothing to whoever is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub at: i64,
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.at, self.id)
    }
}

/// The text was never given out as a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCursor;

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (at, id) = text.split_once('_').ok_or(BadCursor)?;
        let plain =
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let at = at.parse().map_err(|_| BadCursor)?;
        if plain { Ok(Self { at, id: id.to_owned() }) } else { Err(BadCursor) }
    }
}

/// Some rows, and where to go on; `next` is absent at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<Cursor>,
}

/// A value of a condition.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A list in the making: a query, and conditions that all must hold. Column names are ours, values are bound.
pub struct Listing {
    sql: String,
    values: Vec<Value>,
}

impl Listing {
    /// `select` is a whole query without conditions.
    pub fn of(select: &'static str) -> Self {
        Self { sql: format!("{select} where 1 = 1"), values: Vec::new() }
    }

    /// Only rows for which `condition` holds, in which `$` stands for the value; no column of it may come from outside.
    #[must_use]
    pub fn only(mut self, condition: &'static str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.sql.push_str(" and ");
        self.sql.push_str(&condition.replace('$', &place));
        self
    }

    /// The same, if there is a value.
    #[must_use]
    pub fn only_if<V: Into<Value>>(self, condition: &'static str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.only(condition, value),
            None => self,
        }
    }

    /// What follows the conditions.
    #[must_use]
    pub fn then(mut self, tail: &'static str) -> Self {
        self.sql.push(' ');
        self.sql.push_str(tail);
        self
    }

    /// Only rows within the scope.
    #[must_use]
    pub fn within(self, scope: &Scope, in_team: &'static str, own: &'static str) -> Self {
        match scope {
            Scope::All => self,
            Scope::Team(id) => self.only(in_team, id.as_str()),
            Scope::Own(id) => self.only(own, id.as_str()),
        }
    }

    /// Reads the page after `after`, newest first, of a table with `created_at` and `id`.
    pub async fn page<T>(
        self,
        store: &Store,
        after: Option<&Cursor>,
        limit: u32,
        read: fn(&AnyRow) -> Result<T, StoreError>,
        cursor: fn(&T) -> Cursor,
    ) -> Result<Page<T>, StoreError> {
        let mut listing = self;
        if let Some(Cursor { at, id }) = after {
            listing.values.extend([Value::Number(*at), Value::Text(id.clone())]);
            let last = listing.values.len();
            listing.sql.push_str(&format!(" and (created_at, id) < (${}, ${last})", last - 1));
        }
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        // One more than is shown tells whether there is a next page.
        listing.sql.push_str(&format!(" order by created_at desc, id desc limit {}", limit + 1));
        let mut rows = listing.rows(store, read).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(Page { rows, next })
    }

    /// Reads all rows, in no order.
    pub async fn rows<T>(
        self,
        store: &Store,
        read: fn(&AnyRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(self.sql));
        let query = self.values.into_iter().fold(query, bind);
        query.fetch_all(store.reader()).await?.iter().map(read).collect()
    }

    /// Reads the one row there is.
    pub async fn one<T>(self, store: &Store, read: fn(&AnyRow) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.rows(store, read).await?.into_iter().next().ok_or(StoreError::NotFound)
    }
}

fn bind<'q>(query: Query<'q, Any, sqlx::any::AnyArguments>, value: Value) -> Query<'q, Any, sqlx::any::AnyArguments> {
    match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text_and_nothing_else_is_one() {
        let cursor = Cursor { at: 1_700_000_000_000, id: "usr_0abc".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "x", "1", "1_", "_usr", "a_usr", "1_usr'--", "1_usr x"] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor), "{text}");
        }
    }

    #[test]
    fn a_scope_follows_from_the_table_of_roles() {
        use waypost_core::role::Role;
        let actor = |role, team: Option<&str>| Actor { id: "usr_a".into(), role, team: team.map(Into::into) };
        let scope = |role, team, action| Scope::of(&actor(role, team), action);
        assert_eq!(scope(Role::Admin, None, Action::ReadUsers), Some(Scope::All));
        assert_eq!(scope(Role::Admin, Some("team_a"), Action::ReadUsers), Some(Scope::Team("team_a".to_owned())));
        assert_eq!(scope(Role::Member, Some("team_a"), Action::ReadKeys), Some(Scope::Own("usr_a".to_owned())));
        assert_eq!(scope(Role::Member, None, Action::WriteUsers), None);
        assert!(Scope::Team("team_a".to_owned()).holds(None, Some("team_a")));
        assert!(!Scope::Team("team_a".to_owned()).holds(Some("usr_a"), None));
    }
}
