//! The neutral chat model: what a chat request and its answer mean, whatever dialect they were written in.
//!
//! Every dialect decodes into it and encodes from it, so a pair of dialects needs no code of its own. Types here are
//! values without behaviour beyond small questions; they do not serialise. Stream events are in [`event`].

pub mod event;
mod replay;
mod usage;

use serde_json::{Map, Value};

use crate::Dialect;
pub use replay::replay;
pub use usage::{Served, Usage};

/// A chat request. Absent fields mean that the caller did not say; encoders then leave the provider's default alone
/// unless the target dialect requires a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The name the caller asked for. Encoders write [`crate::dialect::Target::model`] instead.
    pub model: String,
    /// The conversation in order. System and developer messages stand where the caller put them.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub max_output_tokens: Option<u64>,
    pub sampling: Sampling,
    pub stop: Vec<String>,
    /// How many answers; absent means one.
    pub n: Option<u64>,
    pub logprobs: Option<Logprobs>,
    pub response_format: Option<ResponseFormat>,
    pub thinking: Option<Thinking>,
    /// `low`, `medium` or `high`.
    pub verbosity: Option<String>,
    /// A stable name of the end user.
    pub user: Option<String>,
    pub metadata: Map<String, Value>,
    pub service_tier: Option<String>,
    pub prompt_cache_key: Option<String>,
    pub store: Option<bool>,
    /// Audio out, as the caller's `audio` object; present only if audio is among the wanted modalities.
    pub audio_output: Option<Value>,
    pub stream: bool,
    /// Did the caller ask to see usage at the end of a stream? Dialects that always show it decode to `true`.
    pub include_usage: bool,
    /// What the source dialect knows but the model above has no place for: field path and the value. An encoder of the
    /// same dialect writes them back; others report each as dropped, or refuse those in their refuse list.
    pub extra: Map<String, Value>,
}

/// Sampling knobs, as numbers the caller wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub logit_bias: Option<Value>,
}

/// Token log probabilities wanted, with how many alternatives each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logprobs {
    pub top: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
    /// OpenAI's per-message participant name.
    pub name: Option<String>,
}

/// Who speaks. `Tool` messages hold only [`Content::ToolResult`] parts, and only they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// One piece of a message, with what may be attached to any piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub content: Content,
    /// A prompt-cache breakpoint after this part.
    pub cache: Option<CacheBreakpoint>,
    /// A provider's seal over this part (thinking signature, thought signature, encrypted reasoning). Valid only for
    /// the dialect that made it; encoders of other dialects leave it out and never alter it.
    pub signature: Option<Signature>,
}

impl From<Content> for Part {
    fn from(content: Content) -> Self {
        Self { content, cache: None, signature: None }
    }
}

impl Part {
    /// A plain text part.
    pub fn text(text: impl Into<String>) -> Self {
        Content::Text(Text { text: text.into(), citations: Vec::new() }).into()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(Text),
    Image(Image),
    File(File),
    Audio(Audio),
    /// The model declined; its words.
    Refusal(String),
    Reasoning(Reasoning),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    /// A block that only its own dialect can carry (hosted-tool calls and results, search results). `kind` is its type tag.
    Opaque {
        dialect: Dialect,
        kind: String,
        value: Value,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    pub text: String,
    pub citations: Vec<Citation>,
}

/// A source the answer cites. Offsets are in characters of the text, where the provider gives them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation {
    pub url: Option<String>,
    pub title: Option<String>,
    pub start: Option<u64>,
    pub end: Option<u64>,
    pub cited_text: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub source: Media,
    /// OpenAI's `detail`.
    pub detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub source: Media,
    pub filename: Option<String>,
}

/// Audio in a prompt or an answer. `format` is OpenAI's short name (`wav`, `mp3`).
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    pub data: String,
    pub format: String,
}

/// Where bytes of a picture or document are.
#[derive(Clone, Debug, PartialEq)]
pub enum Media {
    /// Base64 text without any `data:` prefix.
    Base64 {
        media_type: String,
        data: String,
    },
    Url(String),
    /// An id in one provider account.
    FileId(String),
    /// A document that is plain text.
    Text(String),
}

/// What the model thought. The text may be empty when the provider shows only a seal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    pub text: String,
    /// The provider withheld the text; the part's signature is all there is.
    pub redacted: bool,
    /// The item's id, where the dialect gives one (Responses `rs_…`).
    pub id: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// For functions a JSON text, possibly cut short by a length stop; for custom tools free text.
    pub arguments: String,
    pub kind: ToolKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolKind {
    #[default]
    Function,
    /// OpenAI's free-text tool.
    Custom,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    pub call_id: String,
    /// The tool's name, if the source dialect said it; encoders that need it look the call up by id.
    pub name: Option<String>,
    /// Text, images and files only.
    pub content: Vec<Part>,
    pub is_error: bool,
    /// Which kind of call it answers.
    pub kind: ToolKind,
}

/// A provider's seal over a part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    pub dialect: Dialect,
    pub seal: String,
}

/// A prompt-cache breakpoint; `ttl` as Anthropic writes it (`5m`, `1h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheBreakpoint {
    pub ttl: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    Function(Function),
    /// OpenAI's free-text tool; `format` as Chat writes it, with a grammar in an object of its own.
    Custom {
        name: String,
        description: Option<String>,
        format: Option<Value>,
    },
    /// Web search run by the provider; the options as OpenAI's `web_search_options` (may be an empty object).
    WebSearch(Value),
    /// A tool the provider runs itself, in its dialect's own words. Never offered as a client function.
    Hosted {
        dialect: Dialect,
        kind: String,
        value: Value,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    /// A JSON Schema; absent means no parameters.
    pub parameters: Option<Value>,
    pub strict: Option<bool>,
    pub cache: Option<CacheBreakpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    None,
    Auto,
    Required,
    Named {
        name: String,
        kind: ToolKind,
    },
    /// Only these may be called; `required` says that one must be.
    Allowed {
        names: Vec<String>,
        required: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { name: String, description: Option<String>, schema: Value, strict: Option<bool> },
}

/// How much the model should think first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    pub mode: ThinkingMode,
    pub effort: Option<Effort>,
    /// Should the caller see a summary of the thoughts (`auto`, `concise`, `detailed`)?
    pub summary: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThinkingMode {
    /// Not said: the effort, or the model's default, decides.
    #[default]
    Unsaid,
    Off,
    /// The model decides how long.
    Adaptive,
    /// At most this many tokens.
    Budget(u64),
}

/// OpenAI's `reasoning_effort` steps, in order. `none` is [`ThinkingMode::Off`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    pub id: Option<String>,
    /// The model's name as the provider gave it.
    pub model: Option<String>,
    /// Unix seconds.
    pub created: Option<u64>,
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
    pub system_fingerprint: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub index: u32,
    /// In the order the model made them: reasoning, text, calls.
    pub parts: Vec<Part>,
    /// Absent only if the provider gave none; an encoder then reports an error rather than invent a clean finish.
    pub finish: Option<FinishReason>,
    /// OpenAI's `logprobs` object, opaque.
    pub logprobs: Option<Value>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    Stop,
    /// A stop string matched; which one, if the provider says.
    StopSequence(Option<String>),
    Length,
    /// The context window was full.
    ContextWindow,
    ToolCalls,
    ContentFilter,
    /// The model declined; why, if the provider says.
    Refusal(Option<String>),
    /// The provider paused a long turn; the caller should send the answer back to go on.
    Pause,
    /// The provider says that generation failed; its word for it. Never rendered as a clean finish.
    Failed(String),
}
