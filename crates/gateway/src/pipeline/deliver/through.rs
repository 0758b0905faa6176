//! An answer that nobody reads here, passed on as it comes.
//!
//! Decides nothing but how a break is told, which is a cut connection. Does not know what the bytes say, so that only they are
//! counted. Tests: `it/v1/pass_through.rs`.

use std::task::{Context, Poll};

use waypost_core::GatewayError;
use waypost_core::usage::Outcome;

use crate::http::body::Broken;
use crate::pipeline::frames::Break;
use crate::pipeline::kept::{Chunk, Stream};
use crate::pipeline::meter::Meter;
use crate::upstream::AnswerBody;

/// An answer nobody reads here, passed on as it comes.
pub struct Through {
    body: AnswerBody,
    meter: Meter,
}

impl Through {
    pub fn new(body: AnswerBody, meter: Meter) -> Self {
        Self { body, meter }
    }
}

impl Stream for Through {
    /// An error cuts the caller's connection, which is all that an unknown format lets us say.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.body.poll_chunk(cx).map(|chunk| match chunk {
            Some(Ok(bytes)) => {
                self.meter.bytes(bytes.len());
                Some(Ok(bytes))
            }
            Some(Err(failure)) => {
                let class = Break::Transport(failure).class();
                let error = GatewayError::stream_broken().caused_by(failure);
                self.meter.fail(&error, class);
                self.meter.settle(Outcome::Broken);
                Some(Err(Broken))
            }
            None => {
                self.meter.settle(Outcome::Complete);
                None
            }
        })
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}
