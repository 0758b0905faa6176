//! The commands beside serving: each asks, proves or simulates something, prints what came of it and ends with an exit code.
//! Tests: `it/cli.rs`, against the built binary.

pub mod admin;
pub mod alerts;
pub mod audit;
mod database;
pub mod export;
pub mod health;
pub mod import;
pub mod keys;
pub mod ledger;
pub mod migrate;
pub mod mock;
pub mod prices;
mod print;
mod remote;
pub mod secrets;
pub mod selftest;
pub mod test;
