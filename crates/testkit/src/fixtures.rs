//! Answers as providers send them: field order, spacing, ids and line ends, written by hand from the public references.
//! No code of ours made them, and none may rewrite them. The tests at the foot check that they are well formed.

use bytes::Bytes;

/// Cuts the raw text of an event stream into its events, blank lines kept. Joined again they are the text.
pub fn events(raw: &str) -> Vec<Bytes> {
    let blank = if raw.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    raw.split_inclusive(blank).map(|event| Bytes::copy_from_slice(event.as_bytes())).collect()
}

/// OpenAI `POST /v1/chat/completions` (API reference, "Chat").
pub mod openai_chat {
    /// A whole text answer: 19 tokens in, 10 out.
    pub const PLAIN: &str = include_str!("../fixtures/openai_chat/plain.json");
    /// Two parallel tool calls, `get_weather` and `get_time`; 64 of 94 input tokens cached, 46 out.
    pub const TOOLS: &str = include_str!("../fixtures/openai_chat/tools.json");
    /// "Hello! The café opens at 9 ☕." streamed, usage not asked for.
    pub const STREAM: &str = include_str!("../fixtures/openai_chat/stream.sse");
    /// The same with `include_usage`: 19 in, 9 out, in a last chunk without choices.
    pub const STREAM_USAGE: &str = include_str!("../fixtures/openai_chat/stream_usage.sse");
    /// The calls of [`TOOLS`] streamed, with usage.
    pub const TOOLS_STREAM: &str = include_str!("../fixtures/openai_chat/tools_stream.sse");
    /// A stream that says "Hello", then reports a `server_error`, without `[DONE]`.
    pub const ERROR_IN_STREAM: &str = include_str!("../fixtures/openai_chat/error_in_stream.sse");
    /// 400 `context_length_exceeded`.
    pub const ERROR_400_CONTEXT: &str = include_str!("../fixtures/openai_chat/error_400_context.json");
    /// 401 `invalid_api_key`.
    pub const ERROR_401: &str = include_str!("../fixtures/openai_chat/error_401.json");
    /// 404 `model_not_found`.
    pub const ERROR_404_MODEL: &str = include_str!("../fixtures/openai_chat/error_404_model.json");
    /// 429 `rate_limit_exceeded` on tokens; trying again helps.
    pub const ERROR_429: &str = include_str!("../fixtures/openai_chat/error_429.json");
    /// 429 `insufficient_quota`; trying again does not help.
    pub const ERROR_429_QUOTA: &str = include_str!("../fixtures/openai_chat/error_429_quota.json");
    /// 500 `server_error`.
    pub const ERROR_500: &str = include_str!("../fixtures/openai_chat/error_500.json");
}

/// OpenAI `POST /v1/responses` (API reference, "Responses"). Other errors look as those of [`openai_chat`].
pub mod openai_responses {
    /// A whole text answer: 19 tokens in, 9 out.
    pub const PLAIN: &str = include_str!("../fixtures/openai_responses/plain.json");
    /// One `function_call` of `get_weather`: 58 in, 16 out.
    pub const FUNCTION_CALL: &str = include_str!("../fixtures/openai_responses/function_call.json");
    /// The answer of [`PLAIN`] streamed.
    pub const STREAM: &str = include_str!("../fixtures/openai_responses/stream.sse");
    /// The call of [`FUNCTION_CALL`] streamed.
    pub const FUNCTION_CALL_STREAM: &str = include_str!("../fixtures/openai_responses/function_call_stream.sse");
    /// A stream that ends in `response.failed` with `server_error`.
    pub const FAILED_STREAM: &str = include_str!("../fixtures/openai_responses/failed_stream.sse");
    /// 400 `previous_response_not_found`.
    pub const ERROR_400_PREVIOUS: &str = include_str!("../fixtures/openai_responses/error_400_previous.json");
}

/// OpenAI endpoints beside chat and responses.
pub mod openai {
    /// `POST /v1/embeddings`: two short float vectors, 12 tokens.
    pub const EMBEDDINGS: &str = include_str!("../fixtures/openai/embeddings.json");
    /// The vector 1, -0.5, 0.25, 0 as base64 of little-endian floats, 5 tokens.
    pub const EMBEDDINGS_BASE64: &str = include_str!("../fixtures/openai/embeddings_base64.json");
    /// `POST /v1/completions`: 5 tokens in, 7 out, ended by `length`.
    pub const COMPLETION: &str = include_str!("../fixtures/openai/completion.json");
    /// The text of [`COMPLETION`] streamed, without usage.
    pub const COMPLETION_STREAM: &str = include_str!("../fixtures/openai/completion_stream.sse");
    /// `GET /v1/models`: four models, one of them fine-tuned.
    pub const MODELS: &str = include_str!("../fixtures/openai/models.json");
}

/// Anthropic `POST /v1/messages` (API reference, "Messages"), version 2023-06-01.
pub mod anthropic {
    /// A whole text answer: 12 tokens in beside 1024 read from the cache, 12 out.
    pub const PLAIN: &str = include_str!("../fixtures/anthropic/plain.json");
    /// Text, then `get_weather` and `get_time`: 412 in, 98 out.
    pub const TOOL_USE: &str = include_str!("../fixtures/anthropic/tool_use.json");
    /// A signed thinking block, then text: 37 in, 62 out.
    pub const THINKING: &str = include_str!("../fixtures/anthropic/thinking.json");
    /// "Hello! The café opens at 9 ☕." streamed: 12 in, 1024 from the cache, 15 out.
    pub const STREAM: &str = include_str!("../fixtures/anthropic/stream.sse");
    /// The blocks of [`TOOL_USE`] streamed.
    pub const TOOL_USE_STREAM: &str = include_str!("../fixtures/anthropic/tool_use_stream.sse");
    /// The blocks of [`THINKING`] streamed.
    pub const THINKING_STREAM: &str = include_str!("../fixtures/anthropic/thinking_stream.sse");
    /// A stream that says "Hello", then reports `overloaded_error`, without `message_stop`.
    pub const ERROR_IN_STREAM: &str = include_str!("../fixtures/anthropic/error_in_stream.sse");
    /// 400 `invalid_request_error`.
    pub const ERROR_400: &str = include_str!("../fixtures/anthropic/error_400.json");
    /// 401 `authentication_error`.
    pub const ERROR_401: &str = include_str!("../fixtures/anthropic/error_401.json");
    /// 404 `not_found_error`.
    pub const ERROR_404_MODEL: &str = include_str!("../fixtures/anthropic/error_404_model.json");
    /// 429 `rate_limit_error`.
    pub const ERROR_429: &str = include_str!("../fixtures/anthropic/error_429.json");
    /// 500 `api_error`.
    pub const ERROR_500: &str = include_str!("../fixtures/anthropic/error_500.json");
    /// 529 `overloaded_error`.
    pub const ERROR_529: &str = include_str!("../fixtures/anthropic/error_529.json");
}

/// Gemini `models/{model}:generateContent` and `:streamGenerateContent?alt=sse` (Gemini API reference). Streams have CRLF.
pub mod gemini {
    /// A whole text answer: 8 tokens in, 9 out and 36 thought.
    pub const PLAIN: &str = include_str!("../fixtures/gemini/plain.json");
    /// Calls of `get_weather` (with a signature) and `get_time`: 82 in, 31 out and 59 thought.
    pub const FUNCTION_CALL: &str = include_str!("../fixtures/gemini/function_call.json");
    /// "Hello! The café opens at 9 ☕." streamed, tokens as in [`PLAIN`].
    pub const STREAM: &str = include_str!("../fixtures/gemini/stream.sse");
    /// The calls of [`FUNCTION_CALL`] streamed, `STOP` in a later piece without a call.
    pub const FUNCTION_CALL_STREAM: &str = include_str!("../fixtures/gemini/function_call_stream.sse");
    /// A 200 without candidates: the prompt was blocked.
    pub const BLOCKED: &str = include_str!("../fixtures/gemini/blocked.json");
    /// 400 `INVALID_ARGUMENT` that means a bad key.
    pub const ERROR_400_KEY: &str = include_str!("../fixtures/gemini/error_400_key.json");
    /// 429 `RESOURCE_EXHAUSTED` with a retry delay of 28 s.
    pub const ERROR_429: &str = include_str!("../fixtures/gemini/error_429.json");
    /// 503 `UNAVAILABLE`.
    pub const ERROR_503: &str = include_str!("../fixtures/gemini/error_503.json");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sse::{self, Event};

    const DOCUMENTS: &[&str] = &[
        openai_chat::PLAIN,
        openai_chat::TOOLS,
        openai_chat::ERROR_400_CONTEXT,
        openai_chat::ERROR_401,
        openai_chat::ERROR_404_MODEL,
        openai_chat::ERROR_429,
        openai_chat::ERROR_429_QUOTA,
        openai_chat::ERROR_500,
        openai::EMBEDDINGS,
        openai::EMBEDDINGS_BASE64,
        openai::COMPLETION,
        openai::MODELS,
        anthropic::PLAIN,
        anthropic::TOOL_USE,
        anthropic::THINKING,
        anthropic::ERROR_400,
        anthropic::ERROR_401,
        anthropic::ERROR_404_MODEL,
        anthropic::ERROR_429,
        anthropic::ERROR_500,
        anthropic::ERROR_529,
        openai_responses::PLAIN,
        openai_responses::FUNCTION_CALL,
        openai_responses::ERROR_400_PREVIOUS,
        gemini::PLAIN,
        gemini::FUNCTION_CALL,
        gemini::BLOCKED,
        gemini::ERROR_400_KEY,
        gemini::ERROR_429,
        gemini::ERROR_503,
    ];
    const STREAMS: &[&str] = &[
        openai_chat::STREAM,
        openai_chat::STREAM_USAGE,
        openai_chat::TOOLS_STREAM,
        openai_chat::ERROR_IN_STREAM,
        openai::COMPLETION_STREAM,
        anthropic::STREAM,
        anthropic::TOOL_USE_STREAM,
        anthropic::THINKING_STREAM,
        anthropic::ERROR_IN_STREAM,
        openai_responses::STREAM,
        openai_responses::FUNCTION_CALL_STREAM,
        openai_responses::FAILED_STREAM,
        gemini::STREAM,
        gemini::FUNCTION_CALL_STREAM,
    ];
    const SAID: &str = "Hello! The café opens at 9 ☕.";

    /// The JSON of each event, the end mark left out.
    fn json_of(raw: &str) -> Vec<Value> {
        let events = sse::parse(raw.as_bytes());
        events.iter().filter(|event| event.data != "[DONE]").map(Event::json).collect()
    }

    /// The texts at that place in each event, joined.
    fn joined(raw: &str, pointer: &str) -> String {
        json_of(raw).iter().filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned)).collect()
    }

    /// The texts at that place in the events of which another place has that value.
    fn joined_where(raw: &str, at: &str, is: u64, pointer: &str) -> Value {
        let events = json_of(raw).into_iter().filter(|event| event.pointer(at).and_then(Value::as_u64) == Some(is));
        let text: String = events.filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned)).collect();
        serde_json::from_str(&text).unwrap()
    }

    fn parsed(document: &str) -> Value {
        serde_json::from_str(document).unwrap()
    }

    #[test]
    fn documents_are_json_objects() {
        for document in DOCUMENTS {
            assert!(parsed(document).is_object(), "{document}");
        }
    }

    #[test]
    fn streams_are_whole_events_that_join_to_the_text() {
        for raw in STREAMS {
            let frames = events(raw);
            assert_eq!(frames.concat(), raw.as_bytes());
            assert_eq!(frames.len(), sse::parse(raw.as_bytes()).len());
            assert!(frames.iter().all(|frame| sse::parse(frame).len() == 1), "{raw}");
            assert!(json_of(raw).iter().all(Value::is_object));
        }
    }

    #[test]
    fn named_events_carry_their_name_as_type() {
        for raw in STREAMS {
            for event in sse::parse(raw.as_bytes()) {
                if let Some(name) = &event.event {
                    assert_eq!(event.json()["type"], name.as_str());
                }
            }
        }
    }

    #[test]
    fn every_dialect_streams_the_same_sentence() {
        assert_eq!(joined(openai_chat::STREAM, "/choices/0/delta/content"), SAID);
        assert_eq!(joined(openai_chat::STREAM_USAGE, "/choices/0/delta/content"), SAID);
        assert_eq!(joined(openai_responses::STREAM, "/delta"), SAID);
        assert_eq!(joined(anthropic::STREAM, "/delta/text"), SAID);
        assert_eq!(joined(gemini::STREAM, "/candidates/0/content/parts/0/text"), SAID);
    }

    #[test]
    fn streamed_tool_arguments_join_to_those_of_the_whole_answer() {
        let call = "/choices/0/delta/tool_calls/0";
        let (weather, time) = (serde_json::json!({"city": "Paris"}), serde_json::json!({"zone": "Europe/Paris"}));
        for (index, expected) in [(0, &weather), (1, &time)] {
            let streamed = joined_where(
                openai_chat::TOOLS_STREAM,
                &format!("{call}/index"),
                index,
                &format!("{call}/function/arguments"),
            );
            assert_eq!(&streamed, expected);
            let streamed = joined_where(anthropic::TOOL_USE_STREAM, "/index", index + 1, "/delta/partial_json");
            assert_eq!(&streamed, expected);
        }
        assert_eq!(parsed(anthropic::TOOL_USE)["content"][2]["input"], time);
        assert_eq!(parsed(&joined(openai_responses::FUNCTION_CALL_STREAM, "/delta")), weather);
    }

    #[test]
    fn streamed_thinking_joins_to_the_whole_block() {
        let whole = parsed(anthropic::THINKING);
        assert_eq!(joined(anthropic::THINKING_STREAM, "/delta/thinking"), whole["content"][0]["thinking"]);
        assert_eq!(joined(anthropic::THINKING_STREAM, "/delta/signature"), whole["content"][0]["signature"]);
    }

    #[test]
    fn token_counts_add_up() {
        let sum = |usage: &Value, parts: &[&str]| parts.iter().filter_map(|part| usage[*part].as_u64()).sum::<u64>();
        for document in [openai_chat::PLAIN, openai_chat::TOOLS, openai::COMPLETION] {
            let usage = &parsed(document)["usage"];
            assert_eq!(usage["total_tokens"], sum(usage, &["prompt_tokens", "completion_tokens"]));
        }
        for document in [gemini::PLAIN, gemini::FUNCTION_CALL] {
            let usage = &parsed(document)["usageMetadata"];
            let parts = ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"];
            assert_eq!(usage["totalTokenCount"], sum(usage, &parts));
        }
        let last = json_of(openai_chat::STREAM_USAGE).pop().unwrap();
        assert_eq!(last["choices"], Value::Array(vec![]));
        assert_eq!(last["usage"]["total_tokens"], sum(&last["usage"], &["prompt_tokens", "completion_tokens"]));
    }

    #[test]
    fn responses_events_are_numbered_without_a_gap() {
        for raw in [openai_responses::STREAM, openai_responses::FUNCTION_CALL_STREAM, openai_responses::FAILED_STREAM] {
            for (place, event) in json_of(raw).iter().enumerate() {
                assert_eq!(event["sequence_number"], place);
            }
        }
    }

    #[test]
    fn gemini_streams_have_no_bare_line_feed() {
        for raw in [gemini::STREAM, gemini::FUNCTION_CALL_STREAM] {
            assert_eq!(raw.matches('\n').count(), raw.matches("\r\n").count());
        }
    }
}
