//! An answer that nobody reads here, passed on as it comes.
//!
//! Decides nothing but how a break is told, which is a cut connection, and what of it is counted: the usage that pictures and
//! sound tell, else the bytes of what is text. Tests: `it/v1/pass_through.rs`, `it/media.rs`.

use std::task::{Context, Poll};

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::usage::Outcome;
use waypost_wire::chat::event::Event;

use super::watch::Watch;
use crate::http::body::Broken;
use crate::pipeline::call::Call;
use crate::pipeline::frames::Break;
use crate::pipeline::kept::{Chunk, Stream};
use crate::pipeline::meter::Meter;
use crate::upstream::AnswerBody;

/// An answer nobody reads here, passed on as it comes.
pub struct Through {
    body: AnswerBody,
    meter: Meter,
    count: Count,
    /// How many bytes of pictures and sound were delivered of which no usage is known yet.
    untold: usize,
    /// It told a usage.
    told: bool,
}

/// What is counted of an answer that nobody reads.
pub struct Count {
    /// Reads the usage that it tells.
    watch: Option<Box<Watch>>,
    /// Its bytes are about a text.
    bytes: bool,
    /// It comes as events, the last of which tells the usage of all.
    events: bool,
}

impl Count {
    /// Pictures and sound have fewer tokens than bytes, and tell them where there are any; what is said of sound is a text.
    pub fn of(call: &Call, answer: &HeaderMap) -> Self {
        let kind = answer.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is = |kinds: &[&str]| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
        };
        let events = is(&["text/event-stream"]);
        let told = events || is(&["application/json"]);
        let (is_media, bytes) = match call.operation {
            Operation::Images => (true, false),
            Operation::Audio => (true, call.path.starts_with("/audio/trans") && !events),
            Operation::Chat
            | Operation::CountTokens
            | Operation::Completions
            | Operation::Embeddings
            | Operation::Models
            | Operation::Passthrough => (false, true),
        };
        Self { watch: (is_media && told).then(Box::default), bytes, events }
    }

    /// May the answer tell its usage?
    pub fn is_pending(&self) -> bool {
        self.watch.is_some()
    }
}

impl Through {
    pub fn new(body: AnswerBody, meter: Meter, count: Count) -> Self {
        Self { body, meter, count, untold: 0, told: false }
    }

    fn count(&mut self, bytes: &[u8]) {
        if let Some(watch) = &mut self.count.watch {
            self.untold = self.untold.saturating_add(bytes.len());
            if let Some(usage) = watch.see(bytes) {
                self.untold = 0;
                self.told = true;
                self.meter.see(&Event::Usage(usage));
            }
        }
        self.meter.bytes(if self.count.bytes { bytes.len() } else { 0 });
    }
}

impl Drop for Through {
    /// Usage comes last: whoever leaves before it has the pictures, or most of them.
    fn drop(&mut self) {
        if !self.count.bytes {
            self.meter.media(self.untold);
        }
    }
}

impl Stream for Through {
    /// An error cuts the caller's connection, which is all that an unknown format lets us say.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.body.poll_chunk(cx).map(|chunk| match chunk {
            Some(Ok(bytes)) => {
                self.count(&bytes);
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
                // Pictures that come whole are charged each; of events, the whole is worth no less than a part.
                if self.count.events && !self.told {
                    self.meter.media(std::mem::take(&mut self.untold));
                }
                self.meter.settle(Outcome::Complete);
                None
            }
        })
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}
