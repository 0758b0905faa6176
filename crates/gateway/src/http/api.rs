//! The endpoints that are more than the corridor: lists, health, token counts, pass-through. One file each.

pub mod billing;
pub mod count_tokens;
pub mod estimate;
pub mod health;
pub mod metrics;
pub mod models;
