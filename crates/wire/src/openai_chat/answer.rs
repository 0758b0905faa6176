//! The typed, borrowed shape of an answer or of one streamed chunk, as wide as the vendors' extensions.
//! Decides only what can be parsed; what it means is decided in `response` and `stream_decoder`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::reasoning::Detail;
use super::usage::{Count, Reported, lenient};
use crate::chat::{Citation, FinishReason, Served, Signature, ToolKind, Usage};
use crate::error::WireError;

/// A string that is borrowed unless it holds escapes. (`Option<Cow<str>>` alone would always copy.)
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The text, if there is any.
pub(super) fn said<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty())
}

/// Reads an answer or a chunk; bytes of another shape are an error.
pub(super) fn parse(json: &[u8]) -> Result<Answer<'_>, WireError> {
    serde_json::from_slice(json).map_err(|error| WireError::Syntax {
        at: error.column(),
        message: "it is not what a chat completions API sends",
    })
}

/// A whole answer (`message`) or a chunk of one (`delta`).
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) object: Option<Text<'a>>,
    #[serde(default)]
    created: Count,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Reported>,
    x_groq: Option<Groq>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) system_fingerprint: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Groq {
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Reported>,
}

impl Answer<'_> {
    /// What was used so far; Groq streams it in a place of its own.
    pub(super) fn usage(&self) -> Option<Usage> {
        let groq = || self.x_groq.as_ref().and_then(|groq| groq.usage.as_ref());
        let usage = self.usage.as_ref().or_else(groq).and_then(Reported::usage)?;
        Some(Usage { served: self.served(), ..usage })
    }

    /// How it was served; every chunk may say so.
    pub(super) fn served(&self) -> Option<Served> {
        said(&self.service_tier).and_then(Served::of)
    }

    /// Unix seconds; Azure's filter results come with 0, which says nothing.
    pub(super) fn created(&self) -> Option<u64> {
        self.created.0.filter(|created| *created > 0)
    }

    /// The body says itself that it is an error.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || said(&self.object) == Some("error")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    /// What legacy completions say, whole or in part.
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
}

impl<'a> Choice<'a> {
    pub(super) fn number(&self) -> u32 {
        self.index.0.map_or(0, |index| u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// What is said in a chunk. Some vendors repeat the whole `message` at the end; the deltas said it already.
    pub(super) fn delta(&self) -> Option<&Message<'a>> {
        self.delta.as_ref()
    }

    /// The words said in a chunk, where they are one string.
    pub(super) fn plain_text(&self) -> Option<&str> {
        said(&self.text).or_else(|| match self.delta()?.content.as_ref()? {
            Content::Text(text) => Some(&**text),
            Content::Chunks(_) => None,
        })
    }

    /// What is said in a whole answer.
    pub(super) fn message(&self) -> Option<&Message<'a>> {
        self.message.as_ref()
    }
}

/// What the assistant says, whole or in part.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_details: Option<Vec<Detail<'a>>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    pub(super) function_call: Option<Function<'a>>,
    #[serde(borrow)]
    pub(super) annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    pub(super) audio: Option<Audio<'a>>,
    #[serde(borrow)]
    pub(super) images: Option<Vec<Image<'a>>>,
}

impl Message<'_> {
    /// Thoughts as plain text, in either of the two spellings.
    pub(super) fn plain_reasoning(&self) -> Option<&str> {
        said(&self.reasoning_content).or_else(|| said(&self.reasoning))
    }

    /// It holds a call or a piece of one, in either form.
    pub(super) fn has_calls(&self) -> bool {
        self.function_call.is_some() || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

/// `content`: a string, or (Mistral) a list of chunks.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Chunks(Vec<Chunk<'a>>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Content<'a>>,
}

/// One run of words in `content`.
#[derive(Debug, PartialEq)]
pub(super) enum Words<'t> {
    Said(&'t str),
    Thought(&'t str),
}

impl Content<'_> {
    /// The runs of words, empty ones left out.
    pub(super) fn words(&self) -> Vec<Words<'_>> {
        let mut words = Vec::new();
        match self {
            Content::Text(text) => words.push(Words::Said(text)),
            Content::Chunks(chunks) => {
                for chunk in chunks {
                    let thought = chunk.thinking.iter().flat_map(Content::words);
                    words.extend(thought.map(|words| match words {
                        Words::Said(text) | Words::Thought(text) => Words::Thought(text),
                    }));
                    words.extend(said(&chunk.text).map(Words::Said));
                }
            }
        }
        words.retain(|words| !matches!(words, Words::Said("") | Words::Thought("")));
        words
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or an array")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut chunks = Vec::new();
        while let Some(chunk) = items.next_element()? {
            chunks.push(chunk);
        }
        Ok(Content::Chunks(chunks))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    #[serde(default)]
    pub(super) index: Count,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
    #[serde(borrow)]
    extra_content: Option<ExtraContent<'a>>,
}

impl Call<'_> {
    pub(super) fn kind(&self) -> ToolKind {
        if self.custom.is_some() { ToolKind::Custom } else { ToolKind::Function }
    }

    pub(super) fn name(&self) -> &str {
        let function = self.function.as_ref().map(|function| &function.name);
        let name = function.or(self.custom.as_ref().map(|custom| &custom.name));
        name.and_then(said).unwrap_or_default()
    }

    /// The arguments, or what is said of them in a chunk.
    pub(super) fn arguments(&self) -> &str {
        let function = self.function.as_ref().map(|function| &function.arguments);
        let arguments = function.or(self.custom.as_ref().map(|custom| &custom.input));
        arguments.and_then(said).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> Option<Signature> {
        let google = self.extra_content.as_ref()?.google.as_ref()?;
        said(&google.thought_signature).map(super::reasoning::thought_signature)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct ExtraContent<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

#[derive(Debug, Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Annotation<'a> {
    #[serde(borrow)]
    url_citation: Option<UrlCitation<'a>>,
}

#[derive(Debug, Deserialize)]
struct UrlCitation<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    /// What OpenRouter quotes from the source.
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(default)]
    start_index: Count,
    #[serde(default)]
    end_index: Count,
}

impl Annotation<'_> {
    /// `None` for kinds of annotation that are no citation of a page.
    pub(super) fn citation(&self) -> Option<Citation> {
        let citation = self.url_citation.as_ref()?;
        Some(Citation {
            url: said(&citation.url).map(str::to_owned),
            title: said(&citation.title).map(str::to_owned),
            start: citation.start_index.0,
            end: citation.end_index.0,
            cited_text: said(&citation.content).map(str::to_owned),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Audio<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    transcript: Option<Text<'a>>,
}

impl Audio<'_> {
    pub(super) fn data(&self) -> &str {
        said(&self.data).unwrap_or_default()
    }

    pub(super) fn transcript(&self) -> &str {
        said(&self.transcript).unwrap_or_default()
    }
}

/// A picture in an answer, as OpenRouter shows them.
#[derive(Debug, Deserialize)]
pub(super) struct Image<'a> {
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
}

#[derive(Debug, Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

impl Image<'_> {
    pub(super) fn url(&self) -> Option<&str> {
        self.image_url.as_ref().and_then(|image| said(&image.url))
    }
}

/// Why a choice ended. `refused` says that it holds a refusal, `called` that it holds tool calls: OpenAI reports both
/// as `stop` at times (a refusal always, a call when the caller named the tool), and vendors do more often.
pub(super) fn finish(word: &str, refused: bool, called: bool) -> FinishReason {
    match word {
        "stop" | "eos" | "end_turn" | "content_filter" if refused => FinishReason::Refusal(None),
        "stop" | "eos" | "end_turn" if called => FinishReason::ToolCalls,
        "stop" | "eos" | "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence(None),
        "length" | "max_tokens" => FinishReason::Length,
        "model_length" => FinishReason::ContextWindow,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        // `error`, `insufficient_system_resource`, `abort` and whatever comes next: not known to be a clean end.
        other => FinishReason::Failed(other.to_owned()),
    }
}
