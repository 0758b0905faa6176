//! What the tests and benchmarks talk to: an upstream that plays scripts byte by byte, and a client that sees every byte.
//! It must not know any other crate of the workspace, nor use an HTTP library: it has to be able to break HTTP.
//! Every room has its tests at its foot; `tests/steps.rs` watches each script step through a raw socket.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "only tests and benchmarks use this crate, and a panic is how a test fails"
)]

pub mod client;
pub mod fixtures;
mod framing;
mod headers;
pub mod load;
mod peer;
mod play;
#[cfg(unix)]
pub mod postgres;
pub mod provider;
mod recorded;
mod script;
mod serve;
#[cfg(target_os = "linux")]
mod small_disk;
pub mod sse;
mod waypost;

pub use client::{Answer, Client, Ended, Live, Request};
pub use headers::Headers;
pub use peer::Peer;
pub use recorded::Recorded;
pub use script::{Gate, Script};
pub use serve::{Abandoned, ClosedPort, Upstream};
#[cfg(target_os = "linux")]
pub use small_disk::SmallDisk;
pub use waypost::Waypost;
