//! Neutral stream events: the same answer as [`super::Response`], in the order it arrives.
//!
//! Laws: collecting the events of a stream gives the response a non-streamed call would have given; any split of the
//! bytes gives the same events.

use super::{Citation, FinishReason, Signature, ToolKind, Usage};
use crate::error::RemoteError;

/// One step of a streamed answer. `choice` counts parallel answers from 0; `call` counts tool calls within a choice from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// First event of a stream that says who answers.
    Start {
        id: Option<String>,
        model: Option<String>,
        created: Option<u64>,
    },
    Text {
        choice: u32,
        text: String,
    },
    Citation {
        choice: u32,
        citation: Citation,
    },
    Refusal {
        choice: u32,
        text: String,
    },
    Reasoning {
        choice: u32,
        text: String,
    },
    /// Ends the reasoning block that is open, or is a block of its own if none is (`redacted`, or a seal without text).
    /// `id` is the item's id where the dialect gives one.
    ReasoningSeal {
        choice: u32,
        signature: Signature,
        redacted: bool,
        id: Option<String>,
    },
    /// A tool call begins; its arguments follow. Sealed calls carry their signature here.
    ToolCall {
        choice: u32,
        call: u32,
        id: String,
        name: String,
        kind: ToolKind,
        signature: Option<Signature>,
    },
    ToolArguments {
        choice: u32,
        call: u32,
        text: String,
    },
    /// A piece of spoken answer: base64 data and/or its transcript.
    Audio {
        choice: u32,
        data: String,
        transcript: String,
    },
    /// OpenAI's `logprobs` object of a chunk, opaque.
    Logprobs {
        choice: u32,
        value: serde_json::Value,
    },
    /// A block that only its own dialect can carry, or a piece of it, was seen; its type tag.
    Opaque {
        kind: String,
    },
    /// Cumulative so far; a later one replaces it ([`Usage::absorb`]).
    Usage(Usage),
    Finish {
        choice: u32,
        reason: FinishReason,
    },
    /// The provider reported a failure in the stream. Nothing follows.
    Error(RemoteError),
    /// The stream's terminal mark: nothing follows.
    Done,
}

impl Event {
    /// Does this event show that the upstream is really answering? The first such event commits an attempt;
    /// until then a failure can still fail over.
    pub fn is_meaningful(&self) -> bool {
        match self {
            Self::Text { text, .. } | Self::Refusal { text, .. } | Self::Reasoning { text, .. } => !text.is_empty(),
            Self::ToolCall { .. } | Self::ToolArguments { .. } | Self::Audio { .. } | Self::ReasoningSeal { .. } => {
                true
            }
            Self::Finish { reason, .. } => !matches!(reason, FinishReason::Failed(_)),
            Self::Start { .. }
            | Self::Citation { .. }
            | Self::Logprobs { .. }
            | Self::Opaque { .. }
            | Self::Usage(_)
            | Self::Error(_)
            | Self::Done => false,
        }
    }

    /// Does it tell of a picture, or of sound whose words it does not tell? What a provider's tools have found is neither: that is of
    /// the prompt.
    pub fn is_media(&self) -> bool {
        match self {
            Self::Opaque { kind } => PICTURES.contains(&kind.as_str()),
            Self::Audio { data, transcript, .. } => transcript.is_empty() && !data.is_empty(),
            _ => false,
        }
    }
}

/// What the dialects call a picture that only their own can carry.
const PICTURES: [&str; 4] = ["image", "image_url", "image_generation_call", "inlineData"];
