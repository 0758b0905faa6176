//! Plays OpenAI, Anthropic and Gemini from one door: judges each request as strictly as the provider does, then answers
//! with recorded bytes chosen by what was asked. It must not know any encoder of ours: a wrong translation has to fail here.
//! Tests at the foot of each room; `tests/mock_provider.rs` asks the program.
#![expect(clippy::result_large_err, reason = "a refusal is an answer, and nobody waits for a test's provider")]

mod anthropic;
mod ask;
mod gemini;
mod openai;
mod shape;

use serde_json::Value;

use crate::recorded::Recorded;
use crate::script::Script;

/// Credentials this provider knows. Any other is a 401, and `key-limited` is always out of quota.
pub const KEYS: &[&str] = &["key-good", "key-other", "key-limited"];

/// What the provider answers to that request. Paths as the real ones: `/v1/chat/completions`, `/v1/responses`,
/// `/v1/embeddings`, `/v1/completions`, `/v1/models`, `/v1/messages`, `/v1/messages/count_tokens` and
/// `/v1beta/models/{model}:{generateContent,streamGenerateContent}`.
///
/// The answer follows from the request alone:
/// - a text with `[fail 429]` (or another status), `[break]` or `[cut]` asks for that error, for an error inside the
///   stream, or for a stream that just ends;
/// - tools named `get_weather` and `get_time` are called, both when both are offered and parallel calls are allowed;
/// - a history that ends with a tool's result gets the final sentence;
/// - an image is described, a JSON schema is filled in, and everything else is greeted.
pub fn answer(request: &Recorded) -> Script {
    let path = request.path();
    match (request.method.as_str(), path) {
        ("POST", "/v1/chat/completions") => openai::guarded(request, openai::chat::answer),
        ("POST", "/v1/responses") => openai::guarded(request, openai::responses::answer),
        ("POST", "/v1/embeddings") => openai::guarded(request, openai::embeddings),
        ("POST", "/v1/completions") => openai::guarded(request, openai::completions),
        ("POST", "/v1/messages") => anthropic::messages(request),
        ("POST", "/v1/messages/count_tokens") => anthropic::count_tokens(request),
        ("GET", "/v1/models") => openai::models(request),
        ("POST", _) if path.starts_with("/v1beta/models/") => gemini::answer(request),
        _ => openai::not_found(request),
    }
}

/// An answer recorded twice: whole and streamed.
#[derive(Debug, Clone, Copy)]
struct Take {
    whole: &'static str,
    stream: &'static str,
}

/// A take whose files are `name.json` and `name_stream.sse`.
macro_rules! take {
    ($name:literal) => {
        $crate::provider::Take {
            whole: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/", $name, ".json")),
            stream: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/", $name, "_stream.sse")),
        }
    };
}
use take;

impl Take {
    /// As it was asked for: whole, or one write for each event.
    fn play(self, streamed: bool) -> Script {
        if streamed { Script::stream(crate::fixtures::events(self.stream)) } else { Script::reply(200, self.whole) }
    }
}

/// A stream that ends after so many events as if nothing were missing.
fn cut(stream: &str, events: usize) -> Script {
    Script::stream(crate::fixtures::events(stream)).cut_after(events)
}

/// The body as a JSON object, or `None`.
fn object(request: &Recorded) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
