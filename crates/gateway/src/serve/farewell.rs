//! How a connection ends when the edge does: an idle one is kept for a moment, so that a request on its way meets an
//! answer and not a reset; a stream is cut with a word. Knows no bytes. Tests: `tests/it/edge.rs`, `tests/it/drain.rs`.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::pulse::{Order, Pulse};

/// How long answers that are cut have to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the connection knows of its end.
#[derive(Default)]
pub(super) struct Farewell {
    /// hyper knows that no request follows.
    told: bool,
    /// Until when an idle connection waits for a request on its way.
    idle_until: Option<Instant>,
    /// When it ends, whatever is on it.
    cut_at: Option<Instant>,
}

impl Farewell {
    /// Obeys the order of the moment; true once, when no further request may follow.
    pub(super) fn is_due(&mut self, pulse: &Pulse, limits: &Limits) -> bool {
        let order = pulse.order();
        if order == Order::None {
            return false;
        }
        let now = Instant::now();
        if order == Order::Cut {
            self.cut_at.get_or_insert_with(|| if pulse.has_requests() { now + LAST_WORDS } else { now });
        }
        if self.told {
            return false;
        }
        let until = *self.idle_until.get_or_insert(now + limits.drain_idle);
        self.told = order == Order::Cut || pulse.is_busy() || now >= until;
        self.told
    }

    /// When to ask again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.cut_at.or(self.idle_until.filter(|_| !self.told))
    }

    /// Whatever is still open is not waited for.
    pub(super) fn is_over(&self) -> bool {
        self.cut_at.is_some_and(|at| Instant::now() >= at)
    }
}
