//! The commands beside serving: each asks, proves or simulates something, prints what came of it and ends with an exit code.
//! Tests: `it/cli.rs`, against the built binary.

pub mod admin;
pub mod alerts;
mod asking;
pub mod audit;
pub mod budgets;
pub mod channels;
pub mod credentials;
pub mod credits;
pub(crate) mod database;
pub mod deployments;
pub mod export;
pub mod gateway;
pub mod health;
pub mod import;
pub mod invites;
pub mod keys;
pub mod ledger;
pub mod logs;
pub mod migrate;
pub mod mock;
pub mod plans;
pub mod prices;
mod print;
mod remote;
pub mod secrets;
pub mod security;
pub mod selftest;
pub mod sessions;
pub mod teams;
pub mod test;
pub mod usage;
pub mod users;
pub mod vouchers;
