//! One listener: events that pass its filter as server-sent events, a sign of life when there are none, an end. Decides nothing
//! about what is told. Tests: `events/tests.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, interval_at};

use super::{Events, Told};
use crate::clock::unix_millis;
use crate::identity::{Identity, Signed};

/// How often a listener is shown that the gateway lives.
const BEAT: Duration = Duration::from_secs(15);

/// What a listener wants to hear of. What is nobody's request, passes any filter it has no answer to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The name of a caller's key.
    pub key: Option<Box<str>>,
    /// A public name.
    pub model: Option<Box<str>>,
}

impl Filter {
    fn passes(&self, told: &Told) -> bool {
        let fits = |asked: &Option<Box<str>>, is: &Option<Box<str>>| match (asked, is) {
            (Some(asked), Some(is)) => asked == is,
            (Some(_) | None, None) | (None, Some(_)) => true,
        };
        fits(&self.key, &told.key) && fits(&self.model, &told.model)
    }
}

type Heard = (Result<Option<Arc<Told>>, RecvError>, Receiver<Option<Arc<Told>>>);

/// The events one listener hears; stops listening when dropped.
pub struct Feed {
    events: Arc<Events>,
    filter: Filter,
    next: Pin<Box<dyn Future<Output = Heard> + Send>>,
    beat: Interval,
    /// Whose session it ends with, if it is somebody's.
    session: Option<(Arc<Identity>, Signed)>,
    greeted: bool,
    over: bool,
}

impl Feed {
    pub(super) fn new(events: Arc<Events>, way: Receiver<Option<Arc<Told>>>, filter: Filter) -> Self {
        let beat = interval_at(Instant::now() + BEAT, BEAT);
        Self { events, filter, next: heard(way), beat, session: None, greeted: false, over: false }
    }

    /// The same, as long as the session lives.
    #[must_use]
    pub fn while_signed_in(mut self, identity: Arc<Identity>, signed: Signed) -> Self {
        self.session = Some((identity, signed));
        self
    }

    /// The next bytes to send; `None` when there will be none. Once the session has ended, nothing that happens is told any more,
    /// and with what would have been the next, or the next sign of life, it is over.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let chunk = ready!(self.poll_next(cx));
        self.over |= self.session.as_ref().is_some_and(|(identity, signed)| !identity.lasts(signed, unix_millis()));
        Poll::Ready(chunk.filter(|_| !self.over))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Poll::Ready(Some(Bytes::from_static(b": listening\n\n")));
        }
        while !self.over {
            let Poll::Ready((heard, way)) = self.next.as_mut().poll(cx) else {
                // Who came too late for the word that it is over, finds out here.
                self.over = self.events.ended.load(Ordering::Acquire);
                if self.over {
                    break;
                }
                return self.beat.poll_tick(cx).map(|_| Some(Bytes::from_static(b": alive\n\n")));
            };
            self.next = self::heard(way);
            match heard {
                Ok(Some(told)) if self.filter.passes(&told) => return Poll::Ready(Some(told.frame.clone())),
                Ok(Some(_)) => {}
                Ok(None) | Err(RecvError::Closed) => self.over = true,
                Err(RecvError::Lagged(missed)) => return Poll::Ready(Some(lagged(missed))),
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.events.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

fn heard(mut way: Receiver<Option<Arc<Told>>>) -> Pin<Box<dyn Future<Output = Heard> + Send>> {
    Box::pin(async move { (way.recv().await, way) })
}

fn lagged(missed: u64) -> Bytes {
    format!("event: lagged\ndata: {{\"event\":\"lagged\",\"missed\":{missed}}}\n\n").into()
}
