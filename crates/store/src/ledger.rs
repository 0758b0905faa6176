//! The ledger in the database: accounts, what happened to them as double entry, and a chain per node that no change of the
//! past survives unseen. Decides how money lies in tables; who may spend is decided in memory (`waypost_core::ledger`).
//! Tests: `tests/it/ledger.rs`, `tests/it/invariants.rs`.

pub mod budgets;
mod chain;
pub mod charges;
pub mod correct;
pub mod export;
mod fold;
pub mod grants;
pub mod history;
mod leases;
mod post;
mod read;
pub mod verify;
pub mod vouchers;

pub use chain::ChainKey;
pub use fold::{Alert, Fold, Folded, Trip};
pub(crate) use fold::{Running, place};
pub use leases::{Lease, Node};
pub(crate) use leases::{give_back, heartbeat, id_of, refill};
pub use post::Kind;
pub(crate) use post::lock_head;
