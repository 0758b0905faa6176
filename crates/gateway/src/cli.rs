//! The commands beside serving: each asks, proves or simulates something, prints what came of it and ends with an exit code.
//! Tests: `it/cli.rs`, against the built binary.

pub mod audit;
pub mod health;
pub mod mock;
mod print;
pub mod selftest;
pub mod test;
