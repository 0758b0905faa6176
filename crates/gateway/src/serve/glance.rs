//! A look at the edge from outside, for gauges. Keeps nothing alive. Tests: `it/metrics.rs`.

use std::sync::Weak;

use super::Shared;

/// How much the edge has to do. Clones look at the same edge.
#[derive(Clone)]
pub struct Glance(pub(super) Weak<Shared>);

impl Glance {
    /// Open connections and requests being answered; `None` once the edge is gone.
    pub fn now(&self) -> Option<(usize, usize)> {
        let shared = self.0.upgrade()?;
        let connections = shared.open().connections.len();
        Some((connections, shared.load.in_flight()))
    }
}
