//! The gateway: HTTP in and out, the pipeline, jobs and telemetry.

pub mod simulator;
pub mod tokens;
