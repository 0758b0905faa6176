//! Names to addresses: one look-up for a burst of connections, a short memory, and the last good answer for five minutes
//! when look-ups fail. Judges no address: `address.rs` does, each time one is used. Tests: below, in virtual time.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::BoxFuture;
use crate::jobs::Jobs;

/// Asks for a name's addresses. The real one is [`system_lookup`]; tests script their own.
pub type Lookup = Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The operating system's resolver, with its hosts file and search domains.
pub fn system_lookup() -> Lookup {
    Arc::new(|host| Box::pin(async move { Ok(lookup_host((&*host, 0)).await?.map(|address| address.ip()).collect()) }))
}

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(30);
/// How long an answer is used although asking again failed or is under way.
const GOOD: Duration = Duration::from_secs(300);
/// How long one look-up may take before another may begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// A name's addresses, remembered. Clones share the memory.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    jobs: Jobs,
    names: Arc<Mutex<HashMap<Arc<str>, watch::Sender<Known>>>>,
}

/// What is known of a name.
#[derive(Clone, Default)]
struct Known {
    /// The last good answer and its time.
    found: Option<(Arc<[IpAddr]>, Instant)>,
    looking: bool,
}

impl Known {
    fn younger_than(&self, age: Duration) -> Option<Arc<[IpAddr]>> {
        let (addresses, at) = self.found.as_ref()?;
        (at.elapsed() < age).then(|| Arc::clone(addresses))
    }
}

impl Resolver {
    /// A resolver that knows nothing yet; its look-ups run as `jobs`.
    pub(super) fn new(lookup: Lookup, jobs: Jobs) -> Self {
        Self { lookup, jobs, names: Arc::default() }
    }

    /// The addresses of a name, in the order to try them; empty if it has none or nobody could say in time.
    ///
    /// An answer of the last five minutes is given at once; one older than half a minute is renewed behind it. Without
    /// one, it waits as long as the caller does.
    pub(super) async fn addresses(&self, host: &Arc<str>) -> Arc<[IpAddr]> {
        let mut name = self.look(host);
        let known = name.borrow().younger_than(GOOD);
        match known {
            Some(addresses) => addresses,
            None => {
                // Its sender is in the map or with the look-up, so this ends with the look-up.
                let _ = name.wait_for(|known| !known.looking).await;
                let known = name.borrow().younger_than(GOOD);
                known.unwrap_or_default()
            }
        }
    }

    /// What is known of the name, with a look-up under way if that is not fresh. There is at most one.
    fn look(&self, host: &Arc<str>) -> watch::Receiver<Known> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains_key(host) {
            // Names come from the configuration; those it no longer has go when a new one comes.
            names.retain(|_, name| name.borrow().looking || name.borrow().younger_than(GOOD).is_some());
        }
        let name = names.entry(Arc::clone(host)).or_insert_with(|| watch::Sender::new(Known::default()));
        let begins = name.send_if_modified(|known| {
            let begins = !known.looking && known.younger_than(FRESH).is_none();
            known.looking |= begins;
            begins
        });
        if begins {
            let asked = (self.lookup)(Arc::clone(host));
            let (told, jobs) = (Told(name.clone()), self.jobs.clone());
            self.jobs.spawn("name look-up", async move {
                tokio::select! {
                    () = jobs.stopping() => {}
                    answer = timeout(PATIENCE, asked) => {
                        told.tell(answer.ok().and_then(Result::ok).unwrap_or_default());
                    }
                }
            });
        }
        name.subscribe()
    }
}

/// Ends a look-up, also when its job is aborted.
struct Told(watch::Sender<Known>);

impl Told {
    /// An answer without addresses is none.
    fn tell(self, found: Vec<IpAddr>) {
        if !found.is_empty() {
            self.0.send_modify(|known| known.found = Some((found.into(), Instant::now())));
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send_modify(|known| known.looking = false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What a look-up does.
    #[derive(Clone, Copy)]
    enum Act {
        Finds(u8),
        Fails,
        FindsNothing,
        Hangs,
    }

    /// A resolver that plays `acts` in order, each after a tenth of a second, the last one for ever.
    fn scripted(acts: &'static [Act]) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let lookup: Lookup = Arc::new(move |_| {
            let turn = count.fetch_add(1, Ordering::SeqCst);
            let act = acts[turn.min(acts.len() - 1)];
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                match act {
                    Act::Finds(last) => Ok(vec![IpAddr::from([192, 0, 2, last])]),
                    Act::Fails => Err(io::ErrorKind::Other.into()),
                    Act::FindsNothing => Ok(Vec::new()),
                    Act::Hangs => std::future::pending().await,
                }
            })
        });
        (Resolver::new(lookup, Jobs::new()), asked)
    }

    /// The last byte of the one address, or 0.
    async fn ask(resolver: &Resolver) -> u8 {
        match *resolver.addresses(&"api.example".into()).await {
            [IpAddr::V4(address)] => address.octets()[3],
            _ => 0,
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_connections_asks_once_and_so_does_the_next_half_minute() {
        let (resolver, asked) = scripted(&[Act::Finds(1), Act::Finds(2)]);
        let burst = [(); 8].map(|()| ask(&resolver));
        let [a, b, c, d, e, f, g, h] = burst;
        assert_eq!(tokio::join!(a, b, c, d, e, f, g, h), (1, 1, 1, 1, 1, 1, 1, 1));
        pass(29).await;
        assert_eq!((ask(&resolver).await, asked.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_answer_is_given_at_once_and_renewed_behind_it() {
        let (resolver, asked) = scripted(&[Act::Finds(1), Act::Finds(2)]);
        assert_eq!(ask(&resolver).await, 1);
        pass(31).await;
        let before = Instant::now();
        assert_eq!((ask(&resolver).await, before.elapsed()), (1, Duration::ZERO));
        pass(1).await;
        assert_eq!((ask(&resolver).await, asked.load(Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn when_look_ups_fail_the_last_good_answer_serves_for_five_minutes_and_no_longer() {
        for acts in
            [&[Act::Finds(1), Act::Fails][..], &[Act::Finds(1), Act::FindsNothing], &[Act::Finds(1), Act::Hangs]]
        {
            let (resolver, _) = scripted(acts);
            assert_eq!(ask(&resolver).await, 1);
            for _ in 0..29 {
                pass(10).await;
                assert_eq!(ask(&resolver).await, 1);
            }
            pass(10).await;
            assert_eq!(ask(&resolver).await, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_remembered() {
        let (resolver, asked) = scripted(&[Act::Fails, Act::Finds(1)]);
        assert_eq!(ask(&resolver).await, 0);
        assert_eq!((ask(&resolver).await, asked.load(Ordering::SeqCst)), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_hangs_is_given_up_and_begun_anew() {
        let (resolver, asked) = scripted(&[Act::Hangs, Act::Finds(1)]);
        let impatient = tokio::time::timeout(Duration::from_secs(1), ask(&resolver)).await;
        assert!(impatient.is_err(), "the caller's own patience ends first");
        assert_eq!((ask(&resolver).await, asked.load(Ordering::SeqCst)), (0, 1));
        assert_eq!((ask(&resolver).await, asked.load(Ordering::SeqCst)), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_are_gone_are_forgotten() {
        let (resolver, _) = scripted(&[Act::Finds(1)]);
        for turn in 0..5 {
            resolver.addresses(&format!("{turn}.example").into()).await;
            pass(301).await;
        }
        assert_eq!(resolver.names.lock().unwrap().len(), 1);
    }
}
