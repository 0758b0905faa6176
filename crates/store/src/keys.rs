//! Virtual keys: whose they are, what they may do, and the hashes of the texts they are known by; never a text itself.
//! Decides how keys are kept, changed and found page by page; what a key means to a request is core's.
//! Tests: `tests/it/keys.rs`, on both databases.

mod list;
mod row;
mod write;

pub use list::{Filter, get, holders, holders_of, is_any_usable, page, texts, texts_between};
pub use write::{New, change, count, create, follow_user, note_uses, revoke, rotate};

/// A virtual key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub name: String,
    /// The last characters of its newest text.
    pub hint: String,
    pub owner: Owner,
    pub plan: Option<String>,
    pub scopes: Scopes,
    pub limits: Limits,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    /// `api`, or where it was imported from.
    pub origin: String,
    pub created_at: i64,
    /// Who made it: a user's id, `token`, or the name of an import.
    pub created_by: String,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
    /// Grows by one with every change; what `ETag` says.
    pub version: i64,
}

/// Whose a key is. A user's key belongs to the user's team, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: Option<String>,
    pub team: Option<String>,
}

/// What a key may be used for; `None` is no restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    pub models: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub endpoints: Option<Vec<String>>,
    /// Addresses or networks it may be used from.
    pub addresses: Option<Vec<String>>,
}

/// How much a key may be used; `None` is no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub rpm: Option<i64>,
    pub tpm: Option<i64>,
    pub concurrency: Option<i64>,
    pub tokens_per_day: Option<i64>,
}

/// A text that a key is known by, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub hash: [u8; 32],
    pub key: String,
    pub created_at: i64,
    /// When it stops working although the key goes on; `None` for the newest.
    pub valid_until: Option<i64>,
}

/// A key with what its owner adds to it, as requests need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub key: Key,
    /// Are the user and the team there and enabled, as far as the key has them?
    pub owner_enabled: bool,
    /// The plan of its user, and of its team.
    pub user_plan: Option<String>,
    pub team_plan: Option<String>,
}
