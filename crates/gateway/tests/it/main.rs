//! The gateway's integration tests, one binary. Endpoints mirror the URLs; the rest are named after what they prove.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]
#![expect(clippy::disallowed_methods, reason = "scripted peers end with the test's runtime")]

mod checklist_001;
mod checklist_002;
mod checklist_003;
mod edge;
mod harness;
mod providers;
mod relay;
mod simulator;
mod start;
mod transport;
mod v1;
