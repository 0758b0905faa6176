use super::*;
use crate::Dialect;
use crate::chat::{FinishReason, Reasoning, Served, Signature, Usage};
use crate::error::RemoteError;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".response.json"))
    };
}

fn read(body: &[u8]) -> Response {
    match decode(body).unwrap() {
        Decoded::Response(response) => response,
        Decoded::Error(error) => panic!("an error: {error:?}"),
    }
}

fn first(body: &[u8]) -> (Vec<Part>, Option<FinishReason>) {
    let choice = read(body).choices.swap_remove(0);
    (choice.parts, choice.finish)
}

fn weather(id: &str, city: &str) -> Part {
    Content::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: format!(r#"{{"city":"{city}"}}"#),
        kind: ToolKind::Function,
    })
    .into()
}

#[test]
fn a_plain_answer_is_read_with_its_envelope() {
    let response = read(golden!("text"));
    assert_eq!(response.id.as_deref(), Some("chatcmpl-CdQ4x1Zk8vYw"));
    assert_eq!(response.created, Some(1_795_000_000));
    assert_eq!(response.service_tier.as_deref(), Some("default"));
    assert_eq!(response.system_fingerprint.as_deref(), Some("fp_3d2a1c9b70"));
    assert_eq!(response.choices[0].parts, [Part::text("Paris is the capital of France.")]);
    assert_eq!(response.choices[0].finish, Some(FinishReason::Stop));
}

#[test]
fn text_and_parallel_calls_stand_side_by_side() {
    let (parts, finish) = first(golden!("parallel_tools"));
    assert_eq!(parts, [Part::text("I'll look up both."), weather("call_a1", "Paris"), weather("call_b2", "Rome")]);
    assert_eq!(finish, Some(FinishReason::ToolCalls));
}

#[test]
fn a_thought_told_twice_is_read_once_with_its_seal() {
    let (parts, _) = first(golden!("thinking"));
    let text = "The user wants a sum: 2+2.".to_owned();
    let thought = Content::Reasoning(Reasoning { text, ..Reasoning::default() });
    let seal = Signature { dialect: Dialect::Anthropic, seal: "EqQBCkYIBxgCKkAx".to_owned() };
    assert_eq!(parts, [Part { content: thought, cache: None, signature: Some(seal) }, Part::text("4")]);
}

#[test]
fn thoughts_inside_content_are_thoughts() {
    let (parts, _) = first(golden!("thinking_chunks"));
    assert_eq!(parts, [thought("Two and two."), Part::text("4")]);
}

#[test]
fn a_refusal_is_no_plain_stop() {
    let (parts, finish) = first(golden!("refusal"));
    assert_eq!(parts, [Content::Refusal("I'm sorry, but I can't help with that.".to_owned()).into()]);
    assert_eq!(finish, Some(FinishReason::Refusal(None)));
}

#[test]
fn usage_keeps_its_details() {
    let expected = Usage {
        input: Some(2048),
        output: Some(12),
        cache_read: Some(1920),
        cache_write: Some(100),
        cache_write_1h: None,
        reasoning: Some(8),
        audio_input: Some(0),
        audio_output: Some(0),
        served: Some(Served::Standard),
    };
    assert_eq!(read(golden!("usage_cached")).usage, Some(expected));
    let groq = read(br#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":4,"completion_tokens":2}}}"#);
    assert_eq!(groq.usage.and_then(|usage| usage.input), Some(4));
}

#[test]
fn parallel_answers_and_log_probabilities_are_kept() {
    let choices = read(golden!("n")).choices;
    assert_eq!((choices[1].index, &choices[1].parts), (1, &vec![Part::text("Tails.")]));
    let logprobs = read(golden!("logprobs")).choices.swap_remove(0).logprobs.unwrap();
    assert_eq!(logprobs["content"][0]["token"], "Yes");
}

#[test]
fn the_odd_spellings_of_vendors_mean_the_same() {
    let message = |message: &str| {
        first(format!(r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#).as_bytes())
    };
    assert_eq!(message(r#"{"content":"a","reasoning_content":"b"}"#).0, [thought("b"), Part::text("a")]);

    let (parts, finish) =
        message(r#"{"content":null,"function_call":{"name":"get_weather","arguments":"{\"city\":\"Rome\"}"}}"#);
    assert_eq!((parts, finish), (vec![weather("", "Rome")], Some(FinishReason::ToolCalls)));

    let (parts, _) = message(
        r#"{"tool_calls":[{"id":"c","type":"custom","custom":{"name":"sh","input":"ls"}},
        {"id":"g","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
    );
    assert!(
        matches!(&parts[0].content, Content::ToolCall(ToolCall { kind: ToolKind::Custom, arguments, .. }) if arguments == "ls")
    );
    assert_eq!(parts[1].signature, Some(Signature { dialect: Dialect::Gemini, seal: "s".to_owned() }));

    let (parts, _) = message(
        r#"{"content":"see","annotations":[{"type":"url_citation","url_citation":{"url":"https://a","title":"A","start_index":0,"end_index":3}}]}"#,
    );
    let cited = Citation {
        url: Some("https://a".into()),
        title: Some("A".into()),
        start: Some(0),
        end: Some(3),
        cited_text: None,
    };
    assert_eq!(parts, [Content::Text(Text { text: "see".into(), citations: vec![cited] }).into()]);
}

#[test]
fn every_end_is_told_apart_and_unknown_ones_are_failures() {
    let end = |word: &str| {
        first(format!(r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":{word}}}]}}"#).as_bytes()).1
    };
    assert_eq!(end("null"), None);
    assert_eq!(end("\"length\""), Some(FinishReason::Length));
    assert_eq!(end("\"model_length\""), Some(FinishReason::ContextWindow));
    assert_eq!(end("\"content_filter\""), Some(FinishReason::ContentFilter));
    assert_eq!(end("\"error\""), Some(FinishReason::Failed("error".into())));
    assert_eq!(
        end("\"insufficient_system_resource\""),
        Some(FinishReason::Failed("insufficient_system_resource".into()))
    );
}

#[test]
fn errors_are_seen_whatever_they_are_dressed_as() {
    let error = |body: &[u8]| match decode(body).unwrap() {
        Decoded::Error(error) => error,
        Decoded::Response(response) => panic!("an answer: {response:?}"),
    };
    assert_eq!(error(golden!("error")).code.as_deref(), Some("context_length_exceeded"));
    assert_eq!(error(br#"[{"error":{"code":429,"message":"slow"}}]"#).code.as_deref(), Some("429"));
    assert_eq!(error(br#"{"id":"x","error":{"code":502,"message":"gone"},"choices":[]}"#).message, "gone");
    assert_eq!(error(br#"{"error":{}}"#), RemoteError::default());
    assert!(decode(b"<html>").is_err());
    assert_eq!(decode(b"{}").unwrap_err().param(), Some("choices"));
}
