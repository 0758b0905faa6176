//! What one connection is doing and since when, kept so cheaply that it can be kept for every request: no timer is set
//! here, a deadline is computed when the connection's one alarm asks. Tests: `tests/it/edge.rs`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// How long a closing connection waits for a peer that is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection was told from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    None,
    Drain,
    Cut,
}

/// Shared by the connection's driver, its socket and its requests. Fields named `*_since` are [`Moment`]s.
///
/// Only h2 requests run outside the connection's own task, so nothing here orders memory: `Relaxed` will do.
pub(super) struct Pulse {
    opened: Instant,
    requests: AtomicU32,
    seen_request: AtomicBool,
    multiplexed: AtomicBool,
    head_begun: AtomicBool,
    driven: AtomicBool,
    head_since: Moment,
    idle_since: Moment,
    write_since: Moment,
    linger_since: Moment,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Pulse {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            opened,
            requests: AtomicU32::new(0),
            seen_request: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            head_begun: AtomicBool::new(false),
            driven: AtomicBool::new(true),
            head_since: Moment::default(),
            idle_since: Moment::default(),
            write_since: Moment::default(),
            linger_since: Moment::default(),
            order: AtomicU8::new(0),
            waker: Mutex::new(None),
        }
    }

    pub(super) fn request_begins(&self, multiplexed: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.seen_request.store(true, Ordering::Relaxed);
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        self.head_since.clear();
        self.idle_since.clear();
    }

    pub(super) fn request_ends(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes while no request is open are the beginning of the next head.
    pub(super) fn bytes_came(&self) {
        if self.requests.load(Ordering::Relaxed) == 0 {
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn write_waits(&self) {
        self.write_since.set_once(self.opened);
    }

    pub(super) fn write_moved(&self) {
        self.write_since.clear();
    }

    pub(super) fn lingers(&self) {
        self.linger_since.set_once(self.opened);
    }

    /// False once nobody asks for deadlines any more, as after an upgrade.
    pub(super) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Relaxed)
    }

    pub(super) fn driver_leaves(&self) {
        self.driven.store(false, Ordering::Relaxed);
    }

    /// Notes what the last poll of the connection left it in and answers when its patience ends, if ever.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let write = self.write_since.after(self.opened, limits.write_timeout);
        let linger = self.linger_since.after(self.opened, LINGER);
        [write, linger, self.read_deadline(limits)].into_iter().flatten().min()
    }

    fn read_deadline(&self, limits: &Limits) -> Option<Instant> {
        if self.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if !self.seen_request.load(Ordering::Relaxed) {
            return Some(self.opened + limits.head_timeout);
        }
        // Between the requests of an h2 connection bytes mean little (acknowledgements, pings): only silence counts.
        if self.head_begun.load(Ordering::Relaxed) && !self.multiplexed.load(Ordering::Relaxed) {
            self.head_since.set_once(self.opened);
            return self.head_since.after(self.opened, limits.head_timeout);
        }
        self.idle_since.set_once(self.opened);
        self.idle_since.after(self.opened, limits.keep_alive_idle?)
    }

    /// Must come first: orders wake the task that called this.
    pub(super) fn attach(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::None,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }

    pub(super) fn order_drain(&self) {
        self.give(1);
    }

    pub(super) fn order_cut(&self) {
        self.give(2);
    }

    fn give(&self, order: u8) {
        self.order.fetch_max(order, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Milliseconds since the connection opened, plus one; zero is "not now".
#[derive(Default)]
struct Moment(AtomicU64);

impl Moment {
    fn set_once(&self, opened: Instant) {
        if self.0.load(Ordering::Relaxed) == 0 {
            let millis = u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.store(millis + 1, Ordering::Relaxed);
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn after(&self, opened: Instant, patience: Duration) -> Option<Instant> {
        let since = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(opened + Duration::from_millis(since) + patience)
    }
}
