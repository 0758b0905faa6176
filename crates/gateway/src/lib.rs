//! HTTP in and out: the edge, the corridor, the upstreams. Decisions are core's, formats are wire's.
//! The map is in ARCHITECTURE.md; tests are under `tests/it`, in one binary.

pub mod alerts;
pub mod app;
pub mod callers;
pub mod captures;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config_cli;
pub mod config_sources;
pub mod discovery;
pub mod events;
pub mod follow;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod ledger;
pub mod limits;
pub mod logbook;
pub mod master_key;
pub mod pipeline;
pub mod prices;
pub mod probe;
pub mod records;
pub mod reload;
pub mod rerate;
pub mod seals;
pub mod security;
pub mod serve;
pub mod simulator;
pub mod start;
pub mod telemetry;
pub mod tokens;
pub mod transfer;
pub mod upstream;
