//! The real transport: connections kept alive per origin, the last one used first, and the one silent repeat when a
//! kept connection turns out to be dead. Tests: `tests/it/transport.rs`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::Wire;
use super::connect::connect;
use super::exchange::{Lane, Link, Lost, Stream, Trunk};
use super::resolve::{Lookup, Resolver, system_lookup};
use super::{Answer, AnswerBody, BoxFuture, Failure, Origin, Outgoing, Timeouts, Transport};
use crate::jobs::Jobs;

/// How many connections are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Idle HTTP/1 connections kept per origin; more are closed after use.
    pub max_idle_per_origin: usize,
    /// How long a connection may lie idle. Shorter than what common servers grant.
    pub idle_for: Duration,
    /// How long the body of an answer may take whose status is no success: it is read for its words only, and whatever
    /// is tried next should not wait for them.
    pub error_body: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { max_idle_per_origin: 512, idle_for: Duration::from_secs(90), error_body: Duration::from_secs(3) }
    }
}

/// Sends requests over its own pool of hyper connections: HTTP/1.1, and HTTP/2 where a TLS peer chooses it.
///
/// Connections belong to the runtime that opened them: with one current-thread runtime per core, give each its own.
pub struct HttpTransport {
    pool: Arc<Pool>,
    resolver: Resolver,
    jobs: Jobs,
}

/// Idle connections by origin.
pub(super) struct Pool {
    settings: PoolSettings,
    origins: Mutex<HashMap<Arc<Origin>, Kept>>,
}

#[derive(Default)]
struct Kept {
    /// In the order of their return, so the oldest come first.
    links: Vec<(Instant, Box<Link>)>,
    trunks: Vec<Trunk>,
}

impl HttpTransport {
    /// A transport with an empty pool; its sweeper and HTTP/2 connections run as `jobs`.
    pub fn new(settings: PoolSettings, jobs: Jobs) -> Self {
        Self::with_lookup(settings, jobs, system_lookup())
    }

    /// The same with names looked up in another way.
    pub fn with_lookup(settings: PoolSettings, jobs: Jobs, lookup: Lookup) -> Self {
        let pool = Arc::new(Pool { settings, origins: Mutex::default() });
        jobs.spawn("pool sweeper", sweep(Arc::downgrade(&pool), jobs.clone(), settings.idle_for / 3));
        Self { pool, resolver: Resolver::new(lookup, jobs.clone()), jobs }
    }

    async fn run(&self, outgoing: Outgoing, timeouts: Timeouts) -> Result<Answer, Failure> {
        let origin = Arc::clone(&outgoing.target.origin);
        let Some(lane) = self.pool.take(&origin, &timeouts).await else {
            return self.run_anew(origin, outgoing, timeouts).await;
        };
        let spare = again(&outgoing);
        match self.run_over(lane, Arc::clone(&origin), outgoing, timeouts).await {
            Ok(answer) => Ok(answer),
            Err(Lost { failure, unanswered }) => match spare {
                Some(spare) if unanswered => self.run_anew(origin, spare, timeouts).await,
                Some(_) | None => Err(failure),
            },
        }
    }

    async fn run_anew(&self, origin: Arc<Origin>, outgoing: Outgoing, timeouts: Timeouts) -> Result<Answer, Failure> {
        let lane = self.open(&origin, &timeouts).await?;
        self.run_over(lane, origin, outgoing, timeouts).await.map_err(|lost| lost.failure)
    }

    async fn run_over(
        &self,
        mut lane: Lane,
        origin: Arc<Origin>,
        outgoing: Outgoing,
        mut timeouts: Timeouts,
    ) -> Result<Answer, Lost> {
        let (head, incoming) = lane.exchange(outgoing, &timeouts).await?.into_parts();
        if !head.status.is_success() {
            timeouts.deadline = timeouts.deadline.min(Instant::now() + self.pool.settings.error_body);
        }
        let mut wire = Wire::new(incoming, lane, Arc::clone(&self.pool), origin, &timeouts);
        poll_fn(|cx| {
            wire.settle(cx);
            Poll::Ready(())
        })
        .await;
        Ok(Answer { status: head.status, headers: head.headers, body: AnswerBody::from_wire(wire) })
    }

    async fn open(&self, origin: &Arc<Origin>, timeouts: &Timeouts) -> Result<Lane, Failure> {
        let connect_by = Instant::now() + timeouts.connect;
        let socket = match connect(origin, &self.resolver, connect_by.min(timeouts.deadline)).await {
            Err(Failure::ConnectTimeout) if timeouts.deadline < connect_by => {
                return Err(Failure::Deadline);
            }
            socket => socket?,
        };
        if !socket.speaks_h2() {
            return Link::open(socket, timeouts).await.map(Lane::Link);
        }
        let trunk = Trunk::open(socket, &self.jobs).await?;
        let stream = trunk.stream(timeouts).ok_or(Failure::ClosedBeforeHead)?;
        self.pool.share(origin, trunk);
        Ok(Lane::Stream(stream))
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Outgoing, timeouts: Timeouts) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.run(request, timeouts))
    }
}

impl Pool {
    /// A live connection to `origin`, if one is kept.
    async fn take(&self, origin: &Origin, timeouts: &Timeouts) -> Option<Lane> {
        if origin.secure
            && let Some(stream) = self.take_stream(origin, timeouts)
        {
            return Some(Lane::Stream(stream));
        }
        let now = Instant::now();
        while let Some(mut link) = self.take_link(origin, now) {
            if link.is_alive().await {
                return Some(Lane::Link(link));
            }
        }
        None
    }

    fn take_stream(&self, origin: &Origin, timeouts: &Timeouts) -> Option<Box<Stream>> {
        self.origins().get(origin)?.trunks.iter().find_map(|trunk| trunk.stream(timeouts))
    }

    fn take_link(&self, origin: &Origin, now: Instant) -> Option<Box<Link>> {
        let (since, link) = self.origins().get_mut(origin)?.links.pop()?;
        // The last one returned is the youngest: if it is too old, all are, and the sweeper takes them.
        (now.duration_since(since) < self.settings.idle_for).then_some(link)
    }

    /// Keeps a connection whose exchange ended cleanly.
    pub(super) fn put(&self, origin: &Arc<Origin>, link: Box<Link>) {
        let now = Instant::now();
        let mut origins = self.origins();
        if let Some(kept) = origins.get_mut(origin) {
            if kept.links.len() < self.settings.max_idle_per_origin {
                kept.links.push((now, link));
            }
        } else if self.settings.max_idle_per_origin > 0 {
            origins.entry(Arc::clone(origin)).or_default().links.push((now, link));
        }
    }

    fn share(&self, origin: &Arc<Origin>, trunk: Trunk) {
        self.origins().entry(Arc::clone(origin)).or_default().trunks.push(trunk);
    }

    /// Closes what lay idle too long. An HTTP/2 connection goes when a sweep finds it without an exchange.
    fn sweep(&self) {
        let now = Instant::now();
        let old = |since: &Instant| now.duration_since(*since) >= self.settings.idle_for;
        let mut swept = Vec::new();
        let mut origins = self.origins();
        origins.retain(|_, kept| {
            let count = kept.links.iter().take_while(|(since, _)| old(since)).count();
            swept.extend(kept.links.drain(..count));
            kept.trunks.retain(|trunk| !trunk.is_closed() && !trunk.is_unused());
            !(kept.links.is_empty() && kept.trunks.is_empty())
        });
        drop(origins);
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Arc<Origin>, Kept>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>, jobs: Jobs, every: Duration) {
    loop {
        tokio::select! {
            () = jobs.stopping() => return,
            () = sleep(every) => {}
        }
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep();
    }
}

/// The same request once more, if its body can be had again.
fn again(outgoing: &Outgoing) -> Option<Outgoing> {
    Some(Outgoing {
        body: outgoing.body.again()?,
        method: outgoing.method.clone(),
        target: outgoing.target.clone(),
        headers: outgoing.headers.clone(),
    })
}
