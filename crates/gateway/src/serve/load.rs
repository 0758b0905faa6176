//! How many requests are being answered, on all connections together, and how many may be. Decides nothing about them: a
//! request above the limit is handed on with the word that it is. Tests: `it/catalogue/overload.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests in flight under a limit.
pub(super) struct Load {
    max: usize,
    in_flight: AtomicUsize,
    /// Told the log, and not yet back below the limit.
    shedding: AtomicBool,
}

impl Load {
    pub(super) fn new(max: usize) -> Self {
        Self { max, in_flight: AtomicUsize::new(0), shedding: AtomicBool::new(false) }
    }

    /// Another request begins; true if it is one too many. [`Load::leave`] must follow in either case.
    pub(super) fn enter(&self) -> bool {
        let over = self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.max;
        if over && !self.shedding.swap(true, Ordering::Relaxed) {
            tracing::warn!(max_requests = self.max, "overloaded: further requests are refused until others end");
        }
        over
    }

    /// It ended.
    pub(super) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        // Well below the limit, so that a load around it is told once and not again and again.
        if self.shedding.load(Ordering::Relaxed) && before <= self.max - self.max / 10 {
            self.shedding.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}
