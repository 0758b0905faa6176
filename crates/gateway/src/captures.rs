//! Which keys' bodies are kept at the moment, and the way from a request to them. Decides, at the beginning of a request, whether it is
//! captured; nearly always nothing is, and then it costs one look. What may be kept of a body is core's, how it is kept the store's.
//! Tests: `it/captures.rs`.

mod keep;
mod tape;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use waypost_core::access::Caller;
use waypost_core::secret::Secret;
use waypost_store::captures::{self, Capture};
use waypost_store::keys::Owner;
use waypost_store::{Store, StoreError, Vault};

pub use self::tape::Taped;
use self::tape::{Reel, Tape};
use crate::app::App;
use crate::catalog::dice;
use crate::http::token;
use crate::jobs::Jobs;
use crate::pipeline::call::Call;

/// How many captured requests may wait to be kept.
const INBOX: usize = 1024;
/// How many bytes those that wait and those that are being answered may hold together.
const ROOM: usize = 64 << 20;

/// The captures of the moment.
#[derive(Default)]
pub struct Captures {
    /// By key; absent while there are none.
    orders: ArcSwapOption<HashMap<Box<str>, Vec<Arc<Order>>>>,
    /// The way to the job that keeps bodies, where there is one.
    inbox: OnceLock<mpsc::Sender<Reel>>,
    room: Arc<Room>,
    pub counts: Arc<Counts>,
}

/// What became of requests that were meant by a capture.
#[derive(Debug, Default)]
pub struct Counts {
    pub kept: AtomicU64,
    pub lost: AtomicU64,
}

/// A capture as requests need it.
struct Order {
    capture: Capture,
    /// Requests that were begun to be captured, and not lost since.
    begun: AtomicI64,
    /// Requests that were lost, and that the database does not know of yet.
    lost: AtomicI64,
}

/// How much is in memory.
#[derive(Default)]
struct Room(AtomicUsize);

/// A part of it, given back when it is dropped.
struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Captures {
    /// Begins to keep what is captured from now on. Only the first one counts. False if the operating system gives no random numbers.
    pub fn start(&self, store: Store, vault: Arc<Vault>, jobs: &Jobs) -> bool {
        self.start_with(INBOX, store, vault, jobs)
    }

    /// The same where so many may wait.
    pub fn start_with(&self, waiting: usize, store: Store, vault: Arc<Vault>, jobs: &Jobs) -> bool {
        let Some(dice) = dice() else { return false };
        let (inbox, reels) = mpsc::channel(waiting);
        if self.inbox.set(inbox).is_ok() {
            jobs.spawn("captured bodies", keep::run(reels, store, vault, dice, Arc::clone(&self.counts)));
        }
        true
    }

    /// Would anything that is ordered be kept?
    pub fn can_keep(&self) -> bool {
        self.inbox.get().is_some()
    }

    /// Of how many keys bodies are kept, at this time (milliseconds since 1970) or later.
    pub fn keys(&self, now: i64) -> usize {
        let is_over = |order: &Arc<Order>| order.capture.until <= now;
        let orders = self.orders.load();
        orders.iter().flat_map(|orders| orders.values()).filter(|orders| !orders.iter().all(is_over)).count()
    }

    /// Takes over what the database says is ordered at this time, in milliseconds since 1970. When it returns, requests see it.
    pub async fn load(&self, store: &Store, now: i64) -> Result<(), StoreError> {
        let all = captures::all(store, now).await?;
        let known = self.orders.load_full();
        let mut orders: HashMap<Box<str>, Vec<Arc<Order>>> = HashMap::new();
        for capture in all {
            let of_key = known.as_ref().and_then(|known| known.get(capture.key.as_str()));
            let same = of_key.and_then(|orders| orders.iter().find(|order| order.capture.id == capture.id));
            let order = same.map_or_else(|| Arc::new(Order::of(capture.clone())), Arc::clone);
            order.begun.fetch_max(capture.taken, Ordering::Relaxed);
            orders.entry(capture.key.into_boxed_str()).or_default().push(order);
        }
        self.orders.store(Some(orders).filter(|orders| !orders.is_empty()).map(Arc::new));
        Ok(())
    }

    /// What takes down the bodies of an admitted request, if its key is captured.
    pub(crate) fn tape(&self, app: &App, caller: &Caller, call: &Call) -> Option<Box<Tape>> {
        // Nearly always there are none.
        let orders = self.orders.load();
        let of_key = orders.as_ref()?.get(&*caller.id)?;
        let inbox = self.inbox.get()?;
        let now = app.unix_millis();
        let order = of_key.iter().find(|order| order.means(caller, now))?;
        let request = call.body().cloned().unwrap_or_default();
        let answer = usize::try_from(order.capture.limits.body_bytes).unwrap_or(usize::MAX);
        let Some(held) = Held::take(&self.room, request.len().saturating_add(answer)) else {
            order.lose(&self.counts);
            return None;
        };
        if !order.begin() {
            return None;
        }
        let reel = Reel {
            order: Arc::clone(order),
            request_id: Arc::clone(&call.request_id),
            at: now,
            request_bytes: call.length().unwrap_or_default(),
            request: call.body().is_some().then_some(request),
            answer: tape::Recorded::default(),
            token: token(&call.headers).map(Secret::new),
            live: app.live(),
            held,
        };
        Some(Box::new(Tape::new(reel, inbox.clone(), Arc::clone(&self.counts))))
    }
}

impl Order {
    fn of(capture: Capture) -> Self {
        Self { begun: AtomicI64::new(capture.taken), lost: AtomicI64::new(0), capture }
    }

    /// Is the caller the one that was meant, and is it time? A key that has another owner since is not that key any more.
    fn means(&self, caller: &Caller, now: i64) -> bool {
        let Owner { user, team } = &self.capture.owner;
        let same = user.as_deref() == caller.user.as_deref() && team.as_deref() == caller.team.as_deref();
        same && self.capture.is_in_force(now)
    }

    /// One more, if no more than was ordered.
    fn begin(&self) -> bool {
        let most = self.capture.limits.calls;
        let more = |begun| (begun < most).then_some(begun + 1);
        self.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// One that was begun could not be kept: another one may be in its place.
    fn give_back(&self, counts: &Counts) {
        self.begun.fetch_sub(1, Ordering::Relaxed);
        self.lose(counts);
    }

    fn lose(&self, counts: &Counts) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        counts.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Held {
    fn take(room: &Arc<Room>, bytes: usize) -> Option<Self> {
        room.add(bytes).then(|| Self { room: Arc::clone(room), bytes })
    }

    /// So much more, if there is room.
    fn grow(&mut self, bytes: usize) -> bool {
        let grown = self.room.add(bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }
}

impl Room {
    fn add(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= ROOM);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use waypost_store::captures::Limits;

    use super::*;

    fn order() -> Order {
        Order::of(Capture {
            id: "cap_1".to_owned(),
            created_at: 0,
            key: "key_1".to_owned(),
            key_name: "app".to_owned(),
            owner: Owner { user: Some("usr_a".to_owned()), team: Some("team_a".to_owned()) },
            from: 1000,
            until: 2000,
            ordered_by: "token".to_owned(),
            why: "a test".to_owned(),
            limits: Limits { body_bytes: 1024, calls: 3 },
            taken: 1,
            lost: 0,
        })
    }

    #[test]
    fn a_request_is_meant_in_its_time_and_of_the_owner_it_was_ordered_for() {
        let of = |user: &str, team: &str| Caller {
            user: Some(user.into()),
            team: Some(team.into()),
            ..Caller::new("key_1", "app")
        };
        let (order, caller) = (order(), of("usr_a", "team_a"));
        for (now, meant) in [(999, false), (1000, true), (1999, true), (2000, false)] {
            assert_eq!(order.means(&caller, now), meant, "{now}");
        }
        for other in [of("usr_b", "team_a"), of("usr_a", "team_b"), Caller::new("key_1", "app")] {
            assert!(!order.means(&other, 1500), "{other:?}");
        }
    }

    #[test]
    fn no_more_are_begun_than_are_left_and_what_is_lost_may_be_begun_again() {
        let (order, counts) = (order(), Counts::default());
        assert_eq!([order.begin(), order.begin(), order.begin()], [true, true, false]);
        order.give_back(&counts);
        assert_eq!([order.begin(), order.begin()], [true, false]);
        assert_eq!((order.lost.into_inner(), counts.lost.into_inner()), (1, 1));
    }

    #[test]
    fn keys_whose_captures_are_over_are_not_counted() {
        let captures = Captures::default();
        assert_eq!(captures.keys(0), 0);
        captures.orders.store(Some(Arc::new(HashMap::from([("key_1".into(), vec![Arc::new(order())])]))));
        assert_eq!([0, 1999, 2000].map(|now| captures.keys(now)), [1, 1, 0]);
    }

    #[test]
    fn room_is_taken_up_to_its_end_and_given_back() {
        let room = Arc::<Room>::default();
        let mut first = Held::take(&room, ROOM - 10).unwrap();
        assert!(Held::take(&room, 11).is_none() && !first.grow(11) && first.grow(10));
        assert!(Held::take(&room, 1).is_none() && Held::take(&room, usize::MAX).is_none());
        drop(first);
        assert!(Held::take(&room, ROOM).is_some());
    }
}
