//! Formats, and nothing else: bytes in, bytes out.
//!
//! This crate reads and writes the API formats ("dialects") that applications and providers speak, over one neutral
//! chat model. It is synchronous and free of IO: it knows no clock, environment, randomness, socket or file, and no
//! vendor; what differs between vendors reaches it as values in a [`dialect::Target`].
//! Golden files under `tests/golden` show each case in each dialect; laws in `tests/square` hold for all of them.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, which is its job"))]

pub mod anthropic;
pub mod chat;
pub mod completions;
pub mod dialect;
pub mod embeddings;
mod emulation;
pub mod error;
pub mod fields;
pub mod gemini;
pub mod listing;
pub mod loss;
pub mod openai_chat;
pub mod openai_responses;
pub mod peek;
pub mod scan;
pub mod splice;
pub mod sse;

pub use dialect::Dialect;
pub use error::WireError;
