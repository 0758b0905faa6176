//! placeholder

pub mod clock;
pub mod jobs;
pub mod serve;
