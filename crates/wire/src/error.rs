//! What can go wrong between bytes and meaning, and what an error looks like in each direction.
//! Decides nothing about status codes of our own: those are core's one table.

use std::fmt;

/// Why bytes could not be read, or a meaning could not be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Not JSON at all, or JSON of the wrong outer shape. `at` is a byte offset.
    Syntax { at: usize, message: &'static str },
    /// A field is missing, of the wrong type, out of range or unknown where the set is closed.
    /// `param` is its path as the caller wrote it (`messages[2].role`); the message says how to mend it.
    Invalid { param: String, message: String },
    /// The field is understood, but the target dialect cannot say it and dropping it would change the meaning.
    Unsupported { param: String, message: String },
    /// A stream ended without its terminal event.
    Unfinished,
}

impl WireError {
    /// A field that is missing, mistyped or out of range.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { param: param.into(), message: message.into() }
    }

    /// A field that the target dialect has no words for.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unsupported { param: param.into(), message: message.into() }
    }

    /// The path of the field at fault, where there is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } | Self::Unsupported { param, .. } => Some(param),
            Self::Syntax { .. } | Self::Unfinished => None,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, message } => {
                write!(f, "the body is not valid JSON: {message} at byte {at}")
            }
            Self::Invalid { message, .. } | Self::Unsupported { message, .. } => f.write_str(message),
            Self::Unfinished => f.write_str("the stream ended without its terminal event"),
        }
    }
}

impl std::error::Error for WireError {}

/// An error as the far side told it: the neutral view of an upstream's error body or error event.
/// Used for judgement, and for the message of a caller's own mistake; never echoed otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteError {
    /// The provider's error class: OpenAI `type`, Anthropic `type`, Gemini `status`.
    pub kind: Option<String>,
    /// The provider's finer code, such as `insufficient_quota`; numbers are kept as text.
    pub code: Option<String>,
    /// The field the provider blames.
    pub param: Option<String>,
    /// The provider's sentence; empty if it gave none.
    pub message: String,
    /// How long the body asks to wait, in milliseconds (Gemini's `RetryInfo`). Headers are not read here.
    pub retry_after_ms: Option<u64>,
}

/// An error of ours, ready to be drawn in any dialect. Built from core's table, drawn by [`crate::dialect::ClientDialect::encode_error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    pub status: u16,
    pub openai_type: &'a str,
    pub openai_code: Option<&'a str>,
    pub anthropic_type: &'a str,
    pub gemini_status: &'a str,
    pub message: &'a str,
    pub param: Option<&'a str>,
    pub request_id: &'a str,
}
