//! Time: the one clock that gives core its moments, what the wall clock says, and timers for connections that many deadlines share, so that a
//! request registers none. Knows nothing of HTTP; whoever polls a timer says what the deadline is. Tests: below.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, Sleep, sleep_until};
use waypost_core::moment::Moment;

/// Where core's moments come from. Monotonic: after its making a change of the wall clock is not seen.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    /// When that was, since midnight.
    since_midnight: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), since_midnight: Duration::from_micros(unix.as_micros() as u64 % 86_400_000_000) }
    }
}

impl Clock {
    /// Now.
    pub fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// An instant as a moment.
    pub fn moment(&self, at: Instant) -> Moment {
        Moment::START.plus(self.since_midnight + at.saturating_duration_since(self.began))
    }

    /// A moment as an instant; one that no timer can hold is now.
    pub fn instant(&self, at: Moment) -> Instant {
        let span = at.since(Moment::START.plus(self.since_midnight));
        self.began.checked_add(span).unwrap_or_else(Instant::now)
    }
}

/// Wall time in milliseconds since 1970.
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A timer asked for a deadline each time it is polled.
///
/// Deadlines that move later cost nothing: the timer keeps its old place, wakes the task once for nothing when that
/// passes, and only then moves on. So a connection that serves a thousand requests a second touches the timer wheel
/// about once per timeout instead of twice per request.
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// An alarm first set for `at`. Must be called inside a Tokio runtime with time enabled.
    pub fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)) }
    }

    /// Ready once `at` has passed; otherwise the task is woken at `at` or earlier.
    pub fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_deadline_of_the_last_poll_whether_it_moved_later_or_earlier() {
        let start = Instant::now();
        let mut alarm = Alarm::new(start + Duration::from_secs(10));

        poll_fn(|cx| alarm.poll_until(cx, start + Duration::from_secs(25))).await;
        assert_eq!(start.elapsed().as_secs(), 25, "a later deadline is kept");

        let early = Instant::now() + Duration::from_secs(60);
        let sooner = Instant::now() + Duration::from_secs(3);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll_until(cx, early))).await.is_pending());
        poll_fn(|cx| alarm.poll_until(cx, sooner)).await;
        assert_eq!(start.elapsed().as_secs(), 28, "an earlier deadline is obeyed");
    }
}
