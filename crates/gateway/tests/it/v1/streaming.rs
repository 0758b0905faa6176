//! Streams on every endpoint that has them: as they come, in the right clothes, and ended as the dialect ends them.

use bytes::Bytes;
use waypost_testkit::{Gate, Request, Script, Upstream, fixtures};

use super::{anthropic, openai};
use crate::harness::{Gateway, KEY, channel};

const CHAT: &str = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const RESPONSE: &str = r#"{"model":"gpt-4o","stream":true,"input":"Hello"}"#;
const COMPLETION: &str = r#"{"model":"gpt-4o","stream":true,"prompt":"Hello"}"#;
const MESSAGE: &str =
    r#"{"model":"gpt-4o","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;

/// The upstream may send no further than the first word until the caller has it.
async fn arrives_while_it_is_made(provider: &str, recorded: &str, path: &str, body: &str, word: &str) {
    let pieces = fixtures::events(recorded);
    let holds = |piece: &Bytes| std::str::from_utf8(piece).unwrap().contains(word);
    let first = pieces.iter().position(holds).unwrap() + 1;
    let rest = pieces.len() - first;
    assert!(rest > 0, "{path}: the word is the last piece");
    let gate = Gate::closed();
    let upstream = Upstream::start(vec![Script::stream(pieces).gated(&gate)]).await;
    let gateway = Gateway::with_channels(&channel("main", provider, &upstream.url(), "[gpt-4o]")).await;

    gate.pass(first);
    let mut live = Request::post(path, body.to_owned()).bearer(KEY).open(gateway.url()).await;
    assert_eq!(live.status, 200);
    let mut seen = String::new();
    while !seen.contains(word) {
        seen.push_str(&live.next_event().await.expect("the word comes while the upstream waits").what.data);
    }

    gate.pass(rest);
    live.rest().await;
    assert_eq!(live.ended(), Some(&waypost_testkit::Ended::Whole), "{path}");
}

#[tokio::test]
async fn the_first_word_arrives_before_the_upstream_made_the_last_000_17() {
    arrives_while_it_is_made("openai", fixtures::openai_chat::STREAM_USAGE, "/v1/chat/completions", CHAT, "Hello")
        .await;
    arrives_while_it_is_made("openai", fixtures::openai_responses::STREAM, "/v1/responses", RESPONSE, "Hello").await;
    arrives_while_it_is_made("openai", fixtures::openai::COMPLETION_STREAM, "/v1/completions", COMPLETION, "This")
        .await;
    arrives_while_it_is_made("anthropic", fixtures::anthropic::STREAM, "/v1/messages", MESSAGE, "Hello").await;
}

#[tokio::test]
async fn a_translated_first_word_arrives_before_the_upstream_made_the_last_000_17() {
    arrives_while_it_is_made("anthropic", fixtures::anthropic::STREAM, "/v1/chat/completions", CHAT, "Hello").await;
    arrives_while_it_is_made("anthropic", fixtures::anthropic::STREAM, "/v1/responses", RESPONSE, "Hello").await;
    arrives_while_it_is_made("openai", fixtures::openai_chat::STREAM_USAGE, "/v1/messages", MESSAGE, "Hello").await;
}

#[tokio::test]
async fn streams_are_event_streams_and_end_with_their_dialects_mark_000_18() {
    let (_upstream, openai) = openai().await;
    let (_other, anthropic) = anthropic().await;
    for gateway in [&openai, &anthropic] {
        for (path, body) in [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSE), ("/v1/messages", MESSAGE)] {
            let answer = gateway.post(path, body).await;
            assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"), "{path}");
            assert_eq!(answer.header("x-waypost-attempts"), Some("1"));
            let events = answer.events();
            let last = events.last().unwrap();
            match path {
                "/v1/chat/completions" => assert_eq!(last.data, "[DONE]"),
                "/v1/responses" => assert_eq!(last.event.as_deref(), Some("response.completed")),
                _ => assert_eq!(last.event.as_deref(), Some("message_stop")),
            }
            let marks = events.iter().filter(|event| event.data == "[DONE]").count();
            assert_eq!(marks, usize::from(path == "/v1/chat/completions"), "{path}");
        }
    }
    let answer = openai.post("/v1/completions", COMPLETION).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.events().last().unwrap().data, "[DONE]");
}
