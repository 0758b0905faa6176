//! `POST /v1/chat/completions`: what is refused before an upstream hears of it, and what reaches it untouched.

use waypost_testkit::{Request, Script, Upstream, fixtures};

use super::{CHAT, as_anthropic, not_json, openai, openai_error, refused};
use crate::harness::{Gateway, KEY, channel};

const PATH: &str = "/v1/chat/completions";

/// A sound request with one more field.
fn with(field: &str) -> String {
    format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"Hello"}}],{field}}}"#)
}

#[tokio::test]
async fn unknown_fields_reach_the_upstream_untouched_000_03() {
    let (upstream, gateway) = openai().await;
    let body = r#"{ "x_foo":1,"model" : "gpt-4o","x_bar":{"z":1e2,"a":[9007199254740993]},"messages":[{"role":"user","content":"Hi","x_m":null}] }"#;

    let answer = gateway.post(PATH, body).await;

    assert_eq!((answer.status, upstream.last().text()), (200, body));
    assert_eq!(answer.text(), fixtures::openai_chat::PLAIN);
}

#[tokio::test]
async fn what_was_read_as_json_is_sent_as_json_whatever_its_caller_calls_it() {
    let (upstream, gateway) = openai().await;
    for kind in ["application/json; charset=utf-7", "text/plain", "application/json"] {
        let request = Request::new("POST", PATH).bearer(KEY).header("content-type", kind).body(CHAT);
        assert_eq!(request.send(gateway.url()).await.status, 200, "{kind}");
        assert_eq!(upstream.last().header("content-type"), Some("application/json"), "{kind}");
    }
}

#[tokio::test]
async fn an_empty_object_and_missing_fields_are_refused_by_name_000_07() {
    let (upstream, gateway) = openai().await;
    let cases = [
        ("{}", "model"),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"","messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":null,"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"gpt-4o"}"#, "messages"),
        (r#"{"model":"gpt-4o","messages":[]}"#, "messages"),
        (r#"{"model":"gpt-4o","messages":null}"#, "messages"),
        (r#"{"model":"gpt-4o","messages":"hi"}"#, "messages"),
        (r#"{"model":7,"messages":[{"role":"user","content":"x"}]}"#, "model"),
        ("[]", ""),
    ];
    refused(&gateway, &upstream, PATH, &cases).await;
}

#[tokio::test]
async fn messages_are_checked_one_by_one_000_10() {
    let (upstream, gateway) = openai().await;
    let cases = [
        ("[1]", "messages[0]"),
        (r#"[{"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"robot","content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":null,"content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"user","content":"x"},{"role":"User","content":"x"}]"#, "messages[1].role"),
        (r#"[{"role":"user","role":"system","content":"x"}]"#, "messages[0].role"),
        (r#"[{"role":"user"}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":7}]"#, "messages[0].content"),
        (r#"[{"role":"system","content":{"type":"text"}}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":["x"]}]"#, "messages[0].content[0]"),
        (r#"[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b"}]}]"#, "messages[0].content[1].type"),
        (r#"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
        (r#"[{"role":"tool","tool_call_id":1,"content":"x"}]"#, "messages[0].tool_call_id"),
        (r#"[{"role":"assistant","tool_calls":{}}]"#, "messages[0].tool_calls"),
    ];
    let bodies = cases.map(|(messages, param)| (format!(r#"{{"model":"gpt-4o","messages":{messages}}}"#), param));
    let cases: Vec<(&str, &str)> = bodies.iter().map(|(body, param)| (body.as_str(), *param)).collect();
    refused(&gateway, &upstream, PATH, &cases).await;
}

#[tokio::test]
async fn what_is_out_of_range_or_of_the_wrong_type_is_refused_by_name_000_10() {
    let (upstream, gateway) = openai().await;
    let cases = [
        (r#""temperature":9"#, "temperature"),
        (r#""temperature":-0.1"#, "temperature"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""temperature":1e400"#, "temperature"),
        (r#""top_p":1.01"#, "top_p"),
        (r#""presence_penalty":3"#, "presence_penalty"),
        (r#""frequency_penalty":-2.5"#, "frequency_penalty"),
        (r#""n":0"#, "n"),
        (r#""n":-1"#, "n"),
        (r#""n":1.5"#, "n"),
        (r#""n":1e400"#, "n"),
        (r#""n":18446744073709551616"#, "n"),
        (r#""n":"2""#, "n"),
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_tokens":-5"#, "max_tokens"),
        (r#""max_completion_tokens":1.5"#, "max_completion_tokens"),
        (r#""max_tokens":5,"max_completion_tokens":5"#, "max_tokens"),
        (r#""stream":"yes""#, "stream"),
        (r#""stream":1"#, "stream"),
        (r#""stream_options":true"#, "stream_options"),
        (r#""stream_options":{"include_usage":"yes"}"#, "stream_options.include_usage"),
        (r#""stop":7"#, "stop"),
        (r#""stop":["a","b","c","d","e"]"#, "stop"),
        (r#""stop":["a",1]"#, "stop[1]"),
        (r#""seed":"x""#, "seed"),
        (r#""top_logprobs":21"#, "top_logprobs"),
        (r#""logprobs":1"#, "logprobs"),
        (r#""tools":{}"#, "tools"),
        (r#""tools":"get_weather""#, "tools"),
        (r#""tools":[1]"#, "tools[0]"),
        (r#""tools":[{"function":{"name":"f"}}]"#, "tools[0].type"),
        (r#""tool_choice":"sometimes""#, "tool_choice"),
        (r#""tool_choice":1"#, "tool_choice"),
        (r#""response_format":"json""#, "response_format"),
        (r#""response_format":{"type":"xml"}"#, "response_format.type"),
        (r#""reasoning_effort":"huge""#, "reasoning_effort"),
        (r#""metadata":[]"#, "metadata"),
        (r#""logit_bias":[]"#, "logit_bias"),
        (r#""user":1"#, "user"),
        (r#""parallel_tool_calls":"no""#, "parallel_tool_calls"),
        (r#""model":"other""#, "model"),
        (r#""mod\u0065l":"other""#, "model"),
    ];
    let bodies = cases.map(|(field, param)| (with(field), param));
    let cases: Vec<(&str, &str)> = bodies.iter().map(|(body, param)| (body.as_str(), *param)).collect();
    refused(&gateway, &upstream, PATH, &cases).await;
}

#[tokio::test]
async fn what_is_no_json_is_a_400_and_no_upstream_hears_of_it_000_35() {
    let (upstream, gateway) = openai().await;
    for body in not_json() {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let error = openai_error(&gateway.post(PATH, body).await, 400);
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn every_documented_value_at_the_edge_of_its_range_is_let_through_000_10() {
    let (upstream, gateway) = openai().await;
    for field in [
        r#""temperature":0"#,
        r#""temperature":2"#,
        r#""temperature":null"#,
        r#""n":128"#,
        r#""stop":null"#,
        r#""stop":["a","b","c","d"]"#,
        r#""seed":-9223372036854775808"#,
        r#""tools":[]"#,
        r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
        r#""stream":false"#,
        r#""stream_options":null"#,
        r#""max_tokens":null,"max_completion_tokens":4"#,
    ] {
        assert_eq!(gateway.post(PATH, with(field)).await.status, 200, "{field}");
        assert_eq!(upstream.last().text(), with(field));
    }
    let history = r#"{"model":"gpt-4o","messages":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://e.example/a.png"}}]},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":""},{"role":"assistant","content":null,"refusal":"no"},{"content":"late","role":"user"}]}"#;
    assert_eq!(gateway.post(PATH, history).await.status, 200);
    assert_eq!(upstream.last().text(), history);
}

#[tokio::test]
async fn an_answer_without_usage_gets_one_and_says_how_it_is_known_000_15() {
    const BARE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1763712000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?"},"finish_reason":"stop"}]}"#;
    let upstream = Upstream::always(Script::reply(200, BARE)).await;
    let mut gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;

    let answer = gateway.post(PATH, CHAT).await;

    let usage = answer.json()["usage"].clone();
    let (input, output) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert!(input > 0 && output > 0, "{usage}");
    assert_eq!(usage["total_tokens"], input + output);
    let basis = answer.header("x-waypost-cost-basis").unwrap();
    assert_eq!(basis, gateway.record().await.basis.name());
    assert!(["estimated", "counted"].contains(&basis), "{basis}");
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("usage");
    assert_eq!(json, serde_json::from_str::<serde_json::Value>(BARE).unwrap());
}

#[tokio::test]
async fn a_translated_answer_is_openais_own_shape_000_14() {
    let upstream = Upstream::by(as_anthropic).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "[claude-sonnet-4-5]")).await;

    let answer = gateway.post(PATH, CHAT.replace("gpt-4o", "claude-sonnet-4-5")).await;

    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let json = answer.json();
    assert_eq!((json["object"].as_str(), json["model"].as_str()), (Some("chat.completion"), Some("claude-sonnet-4-5")));
    let choice = &json["choices"][0];
    assert_eq!(choice["message"]["content"], "Hello! How can I help you today?");
    assert_eq!((choice["index"].as_u64(), choice["finish_reason"].as_str()), (Some(0), Some("stop")));
    assert_eq!(
        (json["usage"]["prompt_tokens"].as_u64(), json["usage"]["completion_tokens"].as_u64()),
        (Some(1036), Some(12))
    );
    assert_eq!(upstream.last().header("x-api-key"), Some("sk-claude"));
}

#[tokio::test]
async fn a_lossy_translation_names_its_losses_and_is_refused_when_it_must_be_strict() {
    let upstream = Upstream::by(as_anthropic).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "[gpt-4o]")).await;
    let body = with(r#""seed":7"#);

    let lossy = gateway.post(PATH, body.clone()).await;
    assert_eq!(lossy.status, 200);
    assert!(lossy.header("x-waypost-losses").is_some_and(|losses| losses.contains("seed")), "{:?}", lossy.headers);
    assert_eq!(upstream.hits(), 1);

    for word in ["true", "TRUE"] {
        let strict = Request::post(PATH, body.clone()).bearer(KEY).header("x-waypost-strict", word);
        let error = openai_error(&strict.send(gateway.url()).await, 400);
        assert_eq!((error["param"].as_str(), error["code"].as_str()), (Some("seed"), Some("unsupported_parameter")));
    }
    assert_eq!(upstream.hits(), 1);

    let exact = Request::post(PATH, CHAT).bearer(KEY).header("x-waypost-strict", "true").send(gateway.url()).await;
    assert_eq!((exact.status, exact.header("x-waypost-losses")), (200, None));
}
