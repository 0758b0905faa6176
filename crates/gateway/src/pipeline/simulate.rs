//! Sends an attempt to the built-in simulator, under the same timeouts as an upstream on the network.
//! Decides nothing. Tests: `it/simulator.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, timeout_at};
use waypost_core::operation::Operation;
use waypost_wire::dialect::Face;

use crate::clock::Alarm;
use crate::simulator::{self, Simulator};
use crate::upstream::{Answer, AnswerBody, Failure, Timeouts};

/// Asks the simulator and waits for its head no longer than for any other upstream's.
pub async fn send(
    simulator: &Simulator,
    operation: Operation,
    face: Face,
    path: &str,
    body: Bytes,
    timeouts: Timeouts,
) -> Result<Answer, Failure> {
    let call = simulator::Call { operation, dialect: face.dialect, codec: face.codec, path: path.to_owned(), body };
    let head_by = (Instant::now() + timeouts.first_byte).min(timeouts.deadline);
    let answer = timeout_at(head_by, simulator.answer(call)).await.map_err(|_| Failure::HeadTimeout)?;
    let body = Patient { body: answer.body, silence: Silence::new(&timeouts) };
    Ok(Answer { status: answer.status, headers: answer.headers, body: AnswerBody::from_body(body) })
}

/// A simulated body that may not be silent for ever.
struct Patient {
    body: simulator::Body,
    silence: Silence,
}

struct Silence {
    idle: Duration,
    deadline: Instant,
    since: Option<Instant>,
    alarm: Alarm,
}

impl Silence {
    fn new(timeouts: &Timeouts) -> Self {
        Self { idle: timeouts.idle, deadline: timeouts.deadline, since: None, alarm: Alarm::new(timeouts.deadline) }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let silent = *self.since.get_or_insert_with(Instant::now) + self.idle;
        let (at, failure) =
            if silent < self.deadline { (silent, Failure::IdleTimeout) } else { (self.deadline, Failure::Deadline) };
        self.alarm.poll_until(cx, at).map(|()| failure)
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence.since = None;
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Failure::BodyCut)))
            }
            Poll::Pending => self.silence.poll_over(cx).map(|failure| Some(Err(failure))),
        }
    }
}
