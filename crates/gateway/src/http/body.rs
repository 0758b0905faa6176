//! The body of an answer, in the few shapes Waypost gives one. Knows how bytes leave, not what they say.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::captures::Taped;
use crate::events::Feed;
use crate::pipeline::deliver::{Relay, Through, Translate};
use crate::pipeline::kept::Keeping;
use crate::serve::LastWords;

/// What a caller is sent. Dropping it before its end means that the caller left: whatever is behind it is cancelled.
pub enum Body {
    /// Known whole.
    Full(Bytes),
    /// A stream in the upstream's own dialect, tapped.
    Relay(Box<Keeping<Relay>>),
    /// A stream rewritten from another dialect.
    Translate(Box<Keeping<Translate>>),
    /// Bytes nobody reads here.
    Through(Box<Keeping<Through>>),
    /// What happens, as it happens.
    Feed(Box<Feed>),
    /// Any of them, taken down as it leaves.
    Taped(Box<Taped>),
}

impl Body {
    /// The bytes of a body that is known whole; nothing of any other.
    pub fn into_whole(self) -> Bytes {
        match self {
            Self::Full(bytes) => bytes,
            Self::Taped(taped) => taped.into_body().into_whole(),
            Self::Relay(_) | Self::Translate(_) | Self::Through(_) | Self::Feed(_) => Bytes::new(),
        }
    }
}

/// The stream broke in a way that only a broken connection can tell.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was cut off by its source")
    }
}

impl std::error::Error for Broken {}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let chunk = match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Relay(relay) => relay.poll_chunk(cx),
            Self::Translate(translate) => translate.poll_chunk(cx),
            Self::Through(through) => through.poll_chunk(cx),
            Self::Feed(feed) => feed.poll_chunk(cx).map(|chunk| chunk.map(Ok)),
            Self::Taped(taped) => return taped.poll_frame(cx),
        };
        chunk.map(|chunk| chunk.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Taped(taped) => taped.is_end_stream(),
            Self::Relay(_) | Self::Translate(_) | Self::Through(_) | Self::Feed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Taped(taped) => taped.size_hint(),
            Self::Relay(_) | Self::Translate(_) | Self::Through(_) | Self::Feed(_) => SizeHint::default(),
        }
    }
}

impl LastWords for Body {
    fn last_words(self: Pin<&mut Self>) -> Option<Bytes> {
        match self.get_mut() {
            Self::Relay(relay) => Some(relay.stream().cut_short()),
            Self::Translate(translate) => Some(translate.stream().cut_short()),
            Self::Taped(taped) => taped.last_words(),
            Self::Full(_) | Self::Through(_) | Self::Feed(_) => None,
        }
    }

    fn whole(bytes: Bytes) -> Option<Self> {
        Some(Self::Full(bytes))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}
