//! placeholder

pub mod clock;
pub mod jobs;
pub mod serve;
pub mod upstream;
