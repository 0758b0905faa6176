//! How the books are kept. Decides form only. Tests are in `tests.rs` beside this.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;

/// How the books are kept. Changing it needs a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// What an answer waits for before it leaves.
    pub durability: Durability,
    /// The folder of this gateway's journal, on a disk of its own machine. If left out: beside the embedded database, or
    /// `journal` in the folder of `database.path` where the database is on a server.
    pub journal: Option<String>,
    /// What requests cost that were running when the process died.
    pub unfinished: Unfinished,
    /// Start though records of the journal are missing, with those that can be read. Only for once, after Waypost has said
    /// which are damaged.
    pub salvage: bool,
    /// With Postgres: money that a gateway has taken to itself and that no request has wanted for so long goes back, so that
    /// another one can spend it.
    pub idle_lease: Span,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            journal: None,
            unfinished: Unfinished::default(),
            salvage: false,
            idle_lease: Span::seconds(60),
        }
    }
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The operating system has its settlement before its last byte leaves: the end of the process loses nothing, a power cut the last
    /// moment.
    #[default]
    Process,
    /// The disk has what is held for it before its first byte leaves, and its settlement before the last.
    Power,
}

/// What an unfinished request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unfinished {
    /// What was delivered of it.
    #[default]
    Delivered,
    /// All that was held for it.
    FullHold,
    /// Nothing.
    None,
}
