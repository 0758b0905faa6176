//! The gateway's integration tests, one binary. Endpoints mirror the URLs; the rest are named after what they prove.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]
#![expect(clippy::disallowed_methods, reason = "scripted peers end with the test's runtime")]

mod admin;
mod auth;
mod billing;
mod caller_limits;
mod canary;
mod capabilities;
mod capacity;
mod catalog;
mod catalogue;
mod checklist_001;
mod checklist_002;
mod checklist_003;
mod cli;
mod config_files;
mod cors;
mod cuts;
mod database;
mod deploy;
mod dialects;
mod discovery;
mod drain;
mod edge;
mod events;
mod failover;
mod founding;
#[cfg(target_os = "linux")]
mod full_disk;
mod hang_up;
mod harness;
mod hedging;
mod identity;
mod killed;
mod ledger_cli;
mod limits;
mod load;
mod logbook;
mod logs;
mod manage;
mod mappings;
mod metrics;
mod money;
mod outage;
mod probes;
mod providers;
mod relay;
mod reload;
mod reload_storm;
mod reports;
mod resilience;
mod scopes;
mod security;
mod simulator;
mod ssrf;
mod start;
mod streams;
mod tls;
mod traces;
mod transfer;
mod transport;
mod transport_h2;
mod usage;
mod v1;
