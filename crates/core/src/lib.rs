//! Decisions, and nothing else: who may call, where a request goes, who is to blame when it fails, what it means.
//!
//! This crate is synchronous and free of IO: it knows no clock, environment, randomness, socket or file. Time, dice and
//! the environment are arguments. Above [`waypost_wire`] and below the gateway, which acts on what is decided here.
//! Tests are tables beside the code; there is nothing to mock.
#![deny(clippy::indexing_slicing)]
#![warn(clippy::wildcard_enum_match_arm, clippy::float_arithmetic)]
#![cfg_attr(test, expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, which is its job"))]

pub mod access;
pub mod address;
pub mod capability;
pub mod config;
pub mod dice;
pub mod directory;
pub mod error;
pub mod health;
pub mod ids;
pub mod key_text;
pub mod ledger;
pub mod limit;
pub mod mapping;
pub mod moment;
pub mod money;
pub mod nearest;
pub mod operation;
pub mod pattern;
pub mod pricing;
pub mod provider;
pub mod rate_headers;
pub mod redact;
pub mod role;
pub mod route;
pub mod secret;
pub mod snapshot;
pub mod usage;
pub mod verdict;

pub use error::GatewayError;
pub use secret::Secret;
