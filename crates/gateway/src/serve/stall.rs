//! Finds HTTP/2 peers that take nothing: flow control stops an answer without any write that would wait, so no write timer
//! sees it. Looks at intervals, so that answers that move pay next to nothing. Tests: `it/catalogue/clients/http2.rs`.

use tokio::time::Instant;

use super::Limits;
use super::pulse::Pulse;

/// How many times the write timeout one answer may stand still while others on its connection move: cutting it cuts them.
pub(super) const SHARED_PATIENCE: u32 = 10;

/// When a connection is looked at next.
#[derive(Default)]
pub(super) struct Sweep {
    next: Option<Instant>,
}

impl Sweep {
    /// Looks, if it is time; true if the connection is to be cut.
    pub(super) fn finds_stall(&mut self, pulse: &Pulse, limits: &Limits) -> bool {
        let due = self.next.is_some_and(|next| Instant::now() >= next);
        if due {
            self.next = None;
        }
        due && pulse.is_stalled(limits)
    }

    /// When to look next; `None` while nothing is answered beside the connection.
    pub(super) fn next(&mut self, pulse: &Pulse, limits: &Limits) -> Option<Instant> {
        if !pulse.answers_beside() {
            self.next = None;
            return None;
        }
        Some(*self.next.get_or_insert_with(|| Instant::now() + limits.write_timeout))
    }
}
