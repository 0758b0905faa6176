//! Hashes passwords beside the requests: two at a time, and few may wait, so that a storm of sign-ins takes neither the
//! processor nor the memory from everybody else. Knows no user. Tests are below.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use waypost_core::secret::Secret;

use super::password;

/// How many are hashed at a time: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// How many may wait for that.
const WAITING: usize = 16;

/// The pool.
pub(super) struct Hasher {
    running: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
}

/// Too many wait already, or the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Default for Hasher {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(AT_ONCE)), inside: Arc::default() }
    }
}

impl Hasher {
    /// The hash to keep of a password.
    pub(super) async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<Secret, Busy> {
        let password = Secret::new(password);
        self.work(move || password::hash(password.expose(), salt)).await?.ok_or(Busy)
    }

    /// Is this the password of that hash? Takes as long where there is none.
    pub(super) async fn matches(&self, password: &str, kept: Option<&Secret>) -> Result<bool, Busy> {
        let password = Secret::new(password);
        let (real, kept) = (kept.is_some(), kept.cloned().unwrap_or_else(|| Secret::new(password::DUMMY)));
        self.work(move || password::matches(password.expose(), kept.expose()) && real).await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Place::take(&self.inside).ok_or(Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Busy)?;
        // Whoever leaves meanwhile leaves the work behind: it keeps its place until it is done.
        let working = tokio::task::spawn_blocking(move || {
            let (_place, _turn) = (place, turn);
            work()
        });
        working.await.map_err(|_| Busy)
    }
}

/// One of the places inside.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(inside: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(inside));
        (inside.fetch_add(1, Ordering::AcqRel) < AT_ONCE + WAITING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_into_the_queue_is_told_so_at_once() {
        let hasher = Hasher::default();
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let mut inside: Vec<_> = (0..AT_ONCE + WAITING)
            .map(|_| {
                let gate = Arc::clone(&gate);
                // Waits until the test lets go.
                Box::pin(hasher.work(move || drop(gate.lock().map(|gate| gate.recv()))))
            })
            .collect();
        let polled = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(inside.iter_mut().all(|one| one.as_mut().poll(cx).is_pending()))
        });
        assert!(polled.await);
        assert_eq!(hasher.matches("x", None).await, Err(Busy));
        drop(open);
        for one in inside {
            one.await.unwrap();
        }
        assert_eq!(hasher.matches("x", None).await, Ok(false));
    }
}
