//! What holds between dialects: the golden square, the laws of streams and codecs, and the byte identity of splicing.
//! Bytes come from `tests/golden`; to add a case, add a file there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what must hold in a test is asserted by panicking, in its fixtures too"
)]

mod codecs;
mod collect;
mod costly;
mod fixtures;
mod golden;
mod mutations;
mod needs;
mod smaller;
mod splices;
mod streams;
