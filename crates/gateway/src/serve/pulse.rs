//! What one connection is doing and since when, kept so cheaply that it can be kept for every request: no timer is set
//! here, a deadline is computed when the connection's one alarm asks. Tests: `tests/it/edge.rs`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::load::Load;
use super::stall::SHARED_PATIENCE;

/// How long a closing connection waits for a peer that is still sending.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of an HTTP/1 answer that may gather before they are written.
const MAX_UNWRITTEN: usize = 128 * 1024;

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
    load: Arc<Load>,
    requests: AtomicU32,
    /// Requests so far.
    total: AtomicU64,
    /// Requests whose answer has begun.
    answers: AtomicU32,
    seen_request: AtomicBool,
    multiplexed: AtomicBool,
    head_begun: AtomicBool,
    driven: AtomicBool,
    head_since: Moment,
    idle_since: Moment,
    write_since: Moment,
    linger_since: Moment,
    /// Bytes handed over since the socket last took some.
    unwritten: AtomicUsize,
    order: AtomicU8,
    wakers: Mutex<Wakers>,
}

/// Whom an order wakes.
#[derive(Default)]
struct Wakers {
    driver: Option<Waker>,
    /// Requests that are answered beside the connection, by their number.
    answers: HashMap<u64, Beside>,
}

/// An answer that HTTP/2 sends beside its connection.
struct Beside {
    waker: Option<Waker>,
    handed: Arc<Handed>,
}

/// Since when the last piece of an answer waits to be taken, if one does.
#[derive(Default)]
pub(super) struct Handed(Moment);

impl Pulse {
    pub(super) fn new(opened: Instant, load: Arc<Load>) -> Self {
        Self {
            opened,
            load,
            requests: AtomicU32::new(0),
            total: AtomicU64::new(0),
            answers: AtomicU32::new(0),
            seen_request: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            head_begun: AtomicBool::new(false),
            driven: AtomicBool::new(true),
            head_since: Moment::default(),
            idle_since: Moment::default(),
            write_since: Moment::default(),
            linger_since: Moment::default(),
            unwritten: AtomicUsize::new(0),
            order: AtomicU8::new(0),
            wakers: Mutex::default(),
        }
    }

    /// Answers the number of the request, and whether it is one more than the edge may answer.
    pub(super) fn request_begins(&self, multiplexed: bool) -> (u64, bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.seen_request.store(true, Ordering::Relaxed);
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        self.head_since.clear();
        self.idle_since.clear();
        (self.total.fetch_add(1, Ordering::Relaxed), self.load.enter())
    }

    pub(super) fn request_ends(&self) {
        self.load.leave();
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn answer_begins(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answer_ends(&self) {
        self.answers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn has_requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// A request is open, or the peer learns of the end without one: HTTP/2 has a frame for it.
    pub(super) fn is_busy(&self) -> bool {
        self.has_requests() || self.multiplexed.load(Ordering::Relaxed)
    }

    /// An answer has begun and is not at its end.
    pub(super) fn is_answering(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
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
        self.unwritten.store(0, Ordering::Relaxed);
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
        if self.has_requests() {
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
        self.wakers().driver = Some(waker.clone());
    }

    /// A request is answered beside the connection, until [`Pulse::forget`].
    pub(super) fn beside(&self, number: u64) -> Arc<Handed> {
        let handed = Arc::<Handed>::default();
        self.wakers().answers.insert(number, Beside { waker: None, handed: Arc::clone(&handed) });
        handed
    }

    /// Its answer waits: orders wake it too.
    pub(super) fn listen(&self, number: u64, waker: &Waker) {
        let mut wakers = self.wakers();
        if let Some(answer) = wakers.answers.get_mut(&number)
            && !answer.waker.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            answer.waker = Some(waker.clone());
        }
    }

    pub(super) fn mark_handed(&self, handed: &Handed) {
        handed.0.set_once(self.opened);
    }

    pub(super) fn mark_taken(&self, handed: &Handed) {
        handed.0.clear();
    }

    pub(super) fn answers_beside(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed) && self.is_answering()
    }

    /// The peer takes nothing of any answer, or for very long nothing of one.
    pub(super) fn is_stalled(&self, limits: &Limits) -> bool {
        let now = Instant::now();
        let wakers = self.wakers();
        let for_longer =
            |answer: &Beside, patience| answer.handed.0.after(self.opened, patience).is_some_and(|at| at <= now);
        let all = wakers.answers.len() == self.requests.load(Ordering::Relaxed) as usize;
        let still = |answer: &Beside| for_longer(answer, limits.write_timeout);
        all && wakers.answers.values().all(still)
            || wakers.answers.values().any(|answer| for_longer(answer, limits.write_timeout * SHARED_PATIENCE))
    }

    /// So many bytes of an answer were handed over for writing.
    pub(super) fn hands_over(&self, bytes: usize) {
        self.unwritten.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The peer took nothing of the last write: more would only be kept in memory.
    pub(super) fn is_blocked(&self) -> bool {
        self.write_since.is_set()
    }

    /// Much has gathered for the next write.
    pub(super) fn is_full(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) >= MAX_UNWRITTEN
    }

    pub(super) fn forget(&self, number: u64) {
        self.wakers().answers.remove(&number);
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is still being answered shall say its last words.
    pub(super) fn is_cut(&self) -> bool {
        self.order() == Order::Cut
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
        let (driver, answers) = {
            let wakers = self.wakers();
            (
                wakers.driver.clone(),
                wakers.answers.values().filter_map(|answer| answer.waker.clone()).collect::<Vec<_>>(),
            )
        };
        driver.into_iter().chain(answers).for_each(Waker::wake);
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

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn after(&self, opened: Instant, patience: Duration) -> Option<Instant> {
        let since = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(opened + Duration::from_millis(since) + patience)
    }
}
