//! The store's tests: each runs on SQLite and on Postgres.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![expect(clippy::disallowed_methods, reason = "tests race tasks of their own")]

mod alerts;
mod audit;
mod captures;
mod catalog;
mod changes;
mod corrections;
mod full;
mod harness;
mod history;
mod invariants;
mod journal;
mod keys;
mod leases;
mod logbook;
mod migrate;
mod money;
mod people;
mod prices;
mod security;
mod simulation;
mod vault;
mod verify;
