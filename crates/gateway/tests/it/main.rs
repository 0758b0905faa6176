//! The gateway's integration tests, one binary.

mod edge;
mod transport;
