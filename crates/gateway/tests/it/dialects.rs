//! The dialects as the stories need them: how a caller asks in each, how an upstream answers, and how an end looks.
//!
//! Upstreams speak the testkit's recorded bytes; nothing here asks a codec of ours.

use bytes::Bytes;
use waypost_testkit::sse::Event;
use waypost_testkit::{Answer, fixtures};

/// What every recorded stream says.
pub(crate) const SAID: &str = "Hello! The café opens at 9 ☕.";

/// A dialect that applications speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Chat,
    Messages,
    Responses,
}

impl Caller {
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Messages, Self::Responses];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
        }
    }

    /// A request for the model `m`.
    pub(crate) fn request(self) -> &'static str {
        match self {
            Self::Chat => r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#,
            Self::Messages => r#"{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#,
            Self::Responses => r#"{"model":"m","input":"Hello"}"#,
        }
    }

    /// The same, streamed.
    pub(crate) fn stream_request(self) -> String {
        self.request().replacen('{', r#"{"stream":true,"#, 1)
    }

    /// The upstream that speaks the same dialect.
    pub(crate) fn own(self) -> Upstream {
        match self {
            Self::Chat => Upstream::Chat,
            Self::Messages => Upstream::Anthropic,
            Self::Responses => Upstream::Responses,
        }
    }

    /// The stream says that the answer is complete.
    pub(crate) fn is_clean(self, events: &[Event]) -> bool {
        let is_mark = |event: &Event| match self {
            Self::Chat => event.data == "[DONE]",
            Self::Messages => event.json()["type"] == "message_stop",
            Self::Responses => event.json()["type"] == "response.completed",
        };
        events.iter().any(is_mark)
    }

    /// The stream's last event says that the answer failed.
    pub(crate) fn ends_in_error(self, events: &[Event]) -> bool {
        let Some(last) = events.last().filter(|last| last.data != "[DONE]") else { return false };
        let json = last.json();
        match self {
            Self::Chat => json["error"]["message"].is_string(),
            Self::Messages => {
                last.event.as_deref() == Some("error")
                    && json["type"] == "error"
                    && json["error"]["message"].is_string()
            }
            Self::Responses => {
                last.event.as_deref() == Some("response.failed")
                    && json["type"] == "response.failed"
                    && json["response"]["error"]["message"].is_string()
            }
        }
    }

    /// The text of a stream.
    pub(crate) fn text(self, events: &[Event]) -> String {
        let text = |event: &Event| {
            let json = if event.data == "[DONE]" { return None } else { event.json() };
            let place = match self {
                Self::Chat => "/choices/0/delta/content",
                Self::Messages => "/delta/text",
                Self::Responses if json["type"] == "response.output_text.delta" => "/delta",
                Self::Responses => return None,
            };
            json.pointer(place)?.as_str().map(str::to_owned)
        };
        events.iter().filter_map(text).collect()
    }

    /// A failure told with a status, in the caller's own words.
    pub(crate) fn is_error_body(self, answer: &Answer) -> bool {
        let json = answer.json();
        let told = json["error"]["message"].is_string();
        if self == Self::Messages { told && json["type"] == "error" } else { told }
    }
}

/// A dialect that upstreams speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upstream {
    Chat,
    Anthropic,
    Responses,
    Gemini,
}

impl Upstream {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Anthropic, Self::Responses, Self::Gemini];

    /// A channel that speaks it and serves the model `m`; `more` are further settings, each followed by a comma.
    pub(crate) fn channel(self, name: &str, url: &str, more: &str) -> String {
        let (provider, dialects) = match self {
            Self::Chat => ("openai", "dialects: [openai_chat],"),
            Self::Responses => ("openai", "dialects: [openai_responses],"),
            Self::Anthropic => ("anthropic", ""),
            Self::Gemini => ("gemini", ""),
        };
        format!(
            "- {{name: {name}, {more} {dialects} provider: {provider}, base_url: '{url}', \
             api_key: sk-secret-{name}, models: [m]}}\n"
        )
    }

    pub(crate) fn plain(self) -> &'static str {
        match self {
            Self::Chat => fixtures::openai_chat::PLAIN,
            Self::Anthropic => fixtures::anthropic::PLAIN,
            Self::Responses => fixtures::openai_responses::PLAIN,
            Self::Gemini => fixtures::gemini::PLAIN,
        }
    }

    pub(crate) fn stream(self) -> &'static str {
        match self {
            Self::Chat => fixtures::openai_chat::STREAM,
            Self::Anthropic => fixtures::anthropic::STREAM,
            Self::Responses => fixtures::openai_responses::STREAM,
            Self::Gemini => fixtures::gemini::STREAM,
        }
    }

    pub(crate) fn events(self) -> Vec<Bytes> {
        fixtures::events(self.stream())
    }

    /// After how many events something was said.
    pub(crate) fn speaks(self) -> usize {
        self.after("Hello")
    }

    /// After how many events the provider has said why the answer stopped: it is whole if the bytes end tidily there.
    pub(crate) fn finishes(self) -> usize {
        self.after(match self {
            Self::Chat => r#""finish_reason":"stop""#,
            Self::Anthropic => r#""stop_reason":"end_turn""#,
            Self::Responses => "event: response.completed",
            Self::Gemini => r#""finishReason": "STOP""#,
        })
    }

    /// After how many events the answer is whole however the connection ends; `None` if only a tidy end says so.
    pub(crate) fn ends(self) -> Option<usize> {
        match self {
            Self::Chat => Some(self.after("[DONE]")),
            Self::Anthropic => Some(self.after("event: message_stop")),
            Self::Responses => Some(self.finishes()),
            Self::Gemini => None,
        }
    }

    fn after(self, mark: &str) -> usize {
        let has_it = |event: &Bytes| std::str::from_utf8(event).is_ok_and(|text| text.contains(mark));
        self.events().iter().position(has_it).expect("the recorded stream has the mark") + 1
    }
}
