//! The list of dialects and what each must be able to do. A dialect is a codec; a vendor is data in a [`Target`].
//! To add one: a folder beside this file that implements [`UpstreamDialect`], and [`ClientDialect`] if applications speak it.

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

use crate::anthropic::Anthropic;
use crate::chat::event::Event;
use crate::chat::{Request, Response, Usage};
use crate::error::{Fault, RemoteError, WireError};
use crate::gemini::Gemini;
use crate::loss::Losses;
use crate::openai_chat::OpenaiChat;
use crate::openai_responses::OpenaiResponses;
use crate::peek::Peek;
use crate::sse::Frame;

/// An API format for chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Google Gemini `generateContent`. Spoken by upstreams only.
    Gemini,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::OpenaiChat, Self::OpenaiResponses, Self::Anthropic, Self::Gemini];

    /// The name used in configuration, metrics and response headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// The field of a request that caps one answer, at a deployment with these traits.
    pub fn cap_field(self, traits: &Traits) -> &'static str {
        match self {
            Self::OpenaiChat => match traits.max_tokens_field {
                MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
                MaxTokensField::MaxTokens => "max_tokens",
            },
            Self::OpenaiResponses => "max_output_tokens",
            Self::Anthropic => "max_tokens",
            Self::Gemini => "maxOutputTokens",
        }
    }

    /// What reads and writes it towards upstreams.
    pub fn codec(self) -> &'static dyn UpstreamDialect {
        match self {
            Self::OpenaiChat => &OpenaiChat,
            Self::OpenaiResponses => &OpenaiResponses,
            Self::Anthropic => &Anthropic,
            Self::Gemini => &Gemini,
        }
    }
}

/// What relaying needs of an operation: to read an answer beside the caller, and to change the few bytes Waypost owns.
/// Every chat dialect has it, and so have the smaller operations that are never translated.
pub trait Tap: Sync {
    /// Reads only what accounting needs from an answer that is relayed as it is. Fails if the body is not an answer of
    /// this kind, so that an error page dressed as a 200 can fail over.
    fn survey_response(&self, body: &[u8]) -> Result<Survey, WireError>;

    /// Reads an upstream's error body; never fails, an unreadable body gives an empty error.
    fn decode_error(&self, body: &[u8]) -> RemoteError;

    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;

    /// Renames the model in one relayed frame or body, and hides the usage the caller did not ask for.
    /// `None` means the bytes are right as they are; an empty result means the frame must not be sent at all.
    fn splice_answer(&self, json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes>;

    /// The terminal mark to add to a stream that was complete but lacked it; empty where the dialect has none.
    fn terminal_mark(&self) -> &'static [u8] {
        b""
    }
}

/// What every chat dialect can do: speak with an upstream. Implementations are stateless; the state of a stream lives in
/// what [`Tap::stream_decoder`] returns.
pub trait UpstreamDialect: Tap {
    /// Writes a request for an upstream. What the dialect cannot say is an error ([`WireError::Unsupported`]) or a loss.
    fn encode_request(&self, request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes, WireError>;

    /// Reads an upstream's whole answer. An error object inside is a [`Decoded::Error`].
    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError>;
}

/// What a dialect can do that applications speak to Waypost. The state of a stream lives in what
/// [`stream_encoder`](Self::stream_encoder) returns.
pub trait ClientDialect: Sync {
    /// Validates a request and reads what routing needs, in one pass and without building a document.
    /// Everything that has a closed set or a range is checked here, so a bad request never reaches an upstream.
    fn peek(&self, body: &[u8]) -> Result<Peek, WireError>;

    /// Reads a caller's request whole. Called only for requests that will be translated.
    fn decode_request(&self, body: &[u8]) -> Result<Request, WireError>;

    /// Writes a whole answer for a caller.
    fn encode_response(&self, response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes;

    /// Draws an error of ours as a whole body.
    fn encode_error(&self, fault: &Fault<'_>) -> Bytes;

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder>;

    /// The frame that says usage in a stream of the dialect which is relayed and whose upstream said none, to stand before the
    /// terminal mark. `id` is that of the stream. `None` where usage has no frame of its own.
    fn usage_frame(&self, _reply: &Reply, _id: Option<&str>, _usage: &Usage) -> Option<Bytes> {
        None
    }
}

/// A dialect that applications speak, with its codec: how Waypost looks to one caller.
#[derive(Clone, Copy)]
pub struct Face {
    pub dialect: Dialect,
    pub codec: &'static dyn ClientDialect,
}

impl Face {
    pub const OPENAI_CHAT: Self = Self { dialect: Dialect::OpenaiChat, codec: &OpenaiChat };
    pub const OPENAI_RESPONSES: Self = Self { dialect: Dialect::OpenaiResponses, codec: &OpenaiResponses };
    pub const ANTHROPIC: Self = Self { dialect: Dialect::Anthropic, codec: &Anthropic };
    pub const ALL: [Self; 3] = [Self::OPENAI_CHAT, Self::OPENAI_RESPONSES, Self::ANTHROPIC];

    /// The face of a dialect, if applications speak it.
    pub fn of(dialect: Dialect) -> Option<Self> {
        Self::ALL.into_iter().find(|face| face.dialect == dialect)
    }
}

/// Turns frames into events. One per stream.
pub trait StreamDecoder: Send {
    /// Reads one frame and appends its events. Unknown events are skipped; bytes that are not what the dialect promises
    /// are an error, after which the decoder must not be used again.
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), WireError>;

    /// The bytes ended. Appends [`Event::Done`] if the answer was complete without its terminal mark and says
    /// [`WireError::Unfinished`] if it was not. Appends nothing if `Done` or `Error` was already given.
    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), WireError>;
}

/// Turns events into frames. One per stream.
pub trait StreamEncoder: Send {
    /// Appends the frames that say this event; possibly none, if the event completes later.
    fn event(&mut self, event: &Event, out: &mut BytesMut);

    /// Appends the dialect's error event. Nothing may follow; in particular no terminal mark of success.
    fn error(&mut self, fault: &Fault<'_>, out: &mut BytesMut);

    /// What this dialect could not say so far.
    fn losses(&self) -> &Losses;
}

/// What an upstream's body turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    Response(Response),
    /// The body is an error object, whatever its status was.
    Error(RemoteError),
}

/// What accounting reads from a relayed answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    pub usage: Option<Usage>,
    /// The body is an error object, whatever its status was.
    pub error: Option<RemoteError>,
    /// How many bytes of text, arguments and reasoning the answer holds: the base of an estimate when usage is missing.
    /// 0 where the usage is complete and nobody needs it.
    pub output_bytes: u64,
}

/// What to change in relayed answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerSplice<'a> {
    /// The name to show instead of the upstream's.
    pub model: Option<&'a str>,
    /// The caller did not ask for usage in the stream, Waypost did.
    pub hide_usage: bool,
    /// A whole answer has no usage, or not all of it: put this one in, in the dialect's words.
    pub usage: Option<&'a Usage>,
}

/// Where an encoded request goes: the model's name there and what that model and vendor accept.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The name the upstream knows.
    pub model: &'a str,
    pub traits: &'a Traits,
}

/// What a vendor and model accept, as data. The defaults fit a current, complete implementation of the dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The most the model can write; caps `max_tokens` and is Anthropic's default for it.
    pub max_output_tokens: Option<u64>,
    /// Top-level request fields (in the target dialect's words) that the vendor answers with 400 and that are hints: dropped.
    pub drop: Vec<String>,
    /// Fields whose loss would change the meaning: refused with a 400 that names them.
    pub refuse: Vec<String>,
    /// Top-level fields that have another name here (`seed` -> `random_seed`).
    pub rename: Vec<(String, String)>,
    /// How a chat upstream is asked to end a stream with usage.
    pub stream_usage: StreamUsage,
    /// Chat: which field carries the output cap.
    pub max_tokens_field: MaxTokensField,
    /// Chat: the word for "some tool must be called" (`required`; Mistral says `any`).
    pub tool_choice_required: ToolChoiceRequired,
    /// Chat: does the vendor know role `developer`? Otherwise `system` is written.
    pub developer_role: bool,
    /// Chat: the assistant's thoughts must be sent back as `reasoning_content` (DeepSeek in tool loops).
    pub reasoning_content: bool,
    /// Anthropic: which thinking switch the model has. Gemini: level or budget.
    pub thinking: ThinkingStyle,
    /// Anthropic: are temperature, top_p and top_k accepted at all (not on API version 2026-10-21)?
    pub sampling: bool,
    /// Anthropic: native `output_config.format`; otherwise a forced tool stands in.
    pub json_schema: bool,
    /// Images by URL are accepted.
    pub image_urls: bool,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            max_output_tokens: None,
            drop: Vec::new(),
            refuse: Vec::new(),
            rename: Vec::new(),
            stream_usage: StreamUsage::Asked,
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            tool_choice_required: ToolChoiceRequired::Required,
            developer_role: true,
            reasoning_content: false,
            thinking: ThinkingStyle::Adaptive,
            sampling: true,
            json_schema: true,
            image_urls: true,
        }
    }
}

impl Traits {
    /// Applies what the vendor refuses, must not be asked, or takes under another name to an object of a request. For
    /// dialects whose requests hold no field that Waypost itself put in.
    pub(crate) fn obey(&self, object: &mut Map<String, Value>, losses: &mut Losses) -> Result<(), WireError> {
        if let Some(field) = self.refuse.iter().find(|field| object.contains_key(*field)) {
            return Err(WireError::unsupported(field, format!("`{field}`: this provider does not take it")));
        }
        for field in &self.drop {
            if object.shift_remove(field).is_some() {
                losses.dropped(field.as_str());
            }
        }
        for (from, to) in &self.rename {
            if let Some(value) = object.shift_remove(from) {
                object.insert(to.clone(), value);
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// `stream_options.include_usage` must be set.
    Asked,
    /// It comes by itself and `stream_options` is refused.
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokensField {
    MaxCompletionTokens,
    MaxTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoiceRequired {
    Required,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingStyle {
    /// The model does not think: reasoning settings are dropped.
    Never,
    /// A token budget (`thinking.budget_tokens`, `thinkingBudget`).
    Budget,
    /// The model paces itself, with an effort or level (`output_config.effort`, `thinkingLevel`).
    Adaptive,
}

/// How an answer is dressed for the caller. All values come from outside, so that encoding is a pure function.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Unique text that ids are made of where the upstream gave none: `chatcmpl-<id>`, `msg_<id>`, `resp_<id>`, `call_<id>_<n>`.
    pub id: String,
    /// Unix seconds, used where the upstream gave none.
    pub created: u64,
    /// The name the caller asked for.
    pub model: String,
    /// Show usage at the end of a chat stream.
    pub include_usage: bool,
    /// A guess at the input tokens, for dialects that must say it before the upstream has (`message_start`).
    pub input_estimate: u64,
    /// The request, for dialects that echo its settings (Responses). Messages are not echoed.
    pub request: std::sync::Arc<Request>,
}
