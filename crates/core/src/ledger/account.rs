//! Names of accounts and of what a budget is for, as the ledger writes them. Knows no balances. Tests are below.

use std::fmt;
use std::sync::Arc;

/// One account of the ledger, by its name: `user:<id>`, `team:<id>`, `key:<id or name>` pay; `revenue`, `adjustments`,
/// `vouchers` and `overrun` are the other side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(Arc<str>);

/// What a budget is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All requests of the instance.
    Global,
    /// Requests with this key, by id (or name, for keys of the file).
    Key(Arc<str>),
    User(Arc<str>),
    Team(Arc<str>),
    /// Requests for this model group.
    Group(Arc<str>),
}

/// A text that names no account or no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    name: String,
    expected: &'static str,
}

const PAYERS: [&str; 3] = ["user", "team", "key"];
const OTHERS: [&str; 4] = ["revenue", "adjustments", "vouchers", "overrun"];

impl Account {
    pub fn user(id: &str) -> Self {
        Self(format!("user:{id}").into())
    }

    pub fn team(id: &str) -> Self {
        Self(format!("team:{id}").into())
    }

    pub fn key(id: &str) -> Self {
        Self(format!("key:{id}").into())
    }

    /// Who pays for a request of these: the user, else the team, else the key itself.
    pub fn payer(user: Option<&str>, team: Option<&str>, key: &str) -> Self {
        match (user, team) {
            (Some(user), _) => Self::user(user),
            (None, Some(team)) => Self::team(team),
            (None, None) => Self::key(key),
        }
    }

    /// Where charges go.
    pub fn revenue() -> Self {
        Self("revenue".into())
    }

    /// Where credit comes from that an operator gave.
    pub fn adjustments() -> Self {
        Self("adjustments".into())
    }

    /// Where credit comes from that a voucher gave.
    pub fn vouchers() -> Self {
        Self("vouchers".into())
    }

    /// Pays what a provider used beyond what was held: the operator's loss, never the caller's.
    pub fn overrun() -> Self {
        Self("overrun".into())
    }

    /// Reads a name as [`Account::as_str`] wrote it.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        let payer = name.split_once(':').is_some_and(|(kind, id)| PAYERS.contains(&kind) && !id.is_empty());
        if payer || OTHERS.contains(&name) {
            return Ok(Self(name.into()));
        }
        let expected = "user:<id>, team:<id>, key:<id>, revenue, adjustments, vouchers or overrun";
        Err(BadName { name: name.to_owned(), expected })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether requests can be charged to it.
    pub fn pays(&self) -> bool {
        self.0.contains(':')
    }
}

impl Scope {
    /// Reads a scope as its `Display` wrote it.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        let expected = "global, key:<id>, user:<id>, team:<id> or group:<name>";
        let bad = || BadName { name: name.to_owned(), expected };
        if name == "global" {
            return Ok(Self::Global);
        }
        let (kind, id) = name.split_once(':').filter(|(_, id)| !id.is_empty()).ok_or_else(bad)?;
        match kind {
            "key" => Ok(Self::Key(id.into())),
            "user" => Ok(Self::User(id.into())),
            "team" => Ok(Self::Team(id.into())),
            "group" => Ok(Self::Group(id.into())),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Team(id) => write!(f, "team:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is none of: {}", self.name, self.expected)
    }
}

impl std::error::Error for BadName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_others_refused() {
        assert_eq!(Account::payer(Some("u"), Some("t"), "k"), Account::user("u"));
        assert_eq!(Account::payer(None, Some("t"), "k"), Account::team("t"));
        assert_eq!(Account::payer(None, None, "k"), Account::key("k"));
        for account in [Account::user("usr_1"), Account::team("t"), Account::key("ci:1"), Account::overrun()] {
            assert_eq!(Account::parse(account.as_str()), Ok(account));
        }
        for bad in ["", "user:", "group:a", "Revenue", "user"] {
            assert!(Account::parse(bad).unwrap_err().to_string().contains("user:<id>"), "{bad}");
        }
        for scope in ["global", "key:k", "user:u", "team:t", "group:auto:fast"] {
            assert_eq!(Scope::parse(scope).unwrap().to_string(), scope);
        }
        for bad in ["", "all", "group:", "channel:x"] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }
}
