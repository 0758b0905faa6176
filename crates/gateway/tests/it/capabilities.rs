//! What models cannot do: passed over, adapted, lowered or refused, as the configuration says, and told to the caller.

use serde_json::{Value, json};
use waypost_testkit::{Answer, Script, Upstream};

use crate::harness::{Gateway, KEY};

const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"Hello there."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}"#;
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","created_at":1700000000,"status":"completed","model":"up","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello there.","annotations":[]}]}],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}"#;

async fn gateway(upstream: &Upstream, provider: &str, model: &str, policy: &str) -> Gateway {
    Gateway::start(&format!(
        "keys: [{{name: test, key: {KEY}}}]\ncapabilities: {policy}\nchannels:\n\
         - {{name: a, provider: {provider}, base_url: '{}', api_key: k, models: [{model}]}}\n",
        upstream.url()
    ))
    .await
}

fn chat(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#)
}

fn losses(answer: &Answer) -> Option<&str> {
    answer.header("x-waypost-losses")
}

#[tokio::test]
async fn a_cap_above_the_models_is_lowered_in_every_dialect_and_the_caller_told_000_34() {
    let cases = [
        ("/v1/chat/completions", "openai", WHOLE, chat(r#","max_tokens": 9000 ,"x":1e0"#), "max_tokens"),
        ("/v1/chat/completions", "openai", WHOLE, chat(r#","max_completion_tokens":9000"#), "max_completion_tokens"),
        (
            "/v1/responses",
            "openai",
            RESPONSE,
            r#"{"model":"m","input":"hi","max_output_tokens":9000}"#.to_owned(),
            "max_output_tokens",
        ),
        ("/v1/messages", "anthropic", MESSAGE, chat(r#","max_tokens":9000"#), "max_tokens"),
        (
            "/v1/completions",
            "openai",
            r#"{"choices":[{"index":0,"text":"x","finish_reason":"stop"}]}"#,
            r#"{"model":"m","prompt":"a","max_tokens":9000}"#.to_owned(),
            "max_tokens",
        ),
    ];
    for (path, provider, answer, body, field) in cases {
        let upstream = Upstream::start(vec![Script::reply(200, answer)]).await;
        let gateway = gateway(&upstream, provider, "{name: m, max_output_tokens: 4096}", "{}").await;
        let answer = gateway.post(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(losses(&answer), Some(&*format!("{field}=clamped(4096)")), "{path}");
        let sent = String::from_utf8(upstream.last().body.to_vec()).unwrap();
        assert_eq!(sent, body.replace("9000", "4096"), "{path}: every other byte is the caller's");
    }
}

#[tokio::test]
async fn a_cap_above_the_models_is_refused_where_the_policy_says_so_or_the_caller_is_strict_000_34() {
    let upstream = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let refusing = gateway(&upstream, "openai", "{name: m, max_output_tokens: 4096}", "{over_limit: refuse}").await;
    let refused = refusing.post("/v1/chat/completions", chat(r#","max_tokens":9000"#)).await;
    let error = &refused.json()["error"];
    assert_eq!(
        (refused.status, error["param"].as_str(), error["code"].as_str()),
        (400, Some("max_tokens"), Some("unsupported_parameter"))
    );
    assert_eq!(refusing.post("/v1/chat/completions", chat(r#","max_tokens":4096"#)).await.status, 200);

    let clamping = gateway(&upstream, "openai", "{name: m, max_output_tokens: 4096}", "{}").await;
    let strict = waypost_testkit::Request::post("/v1/chat/completions", chat(r#","max_tokens":9000"#))
        .bearer(KEY)
        .header("x-waypost-strict", "true");
    assert_eq!(strict.send(clamping.url()).await.status, 400);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn a_thinking_budget_stays_below_a_lowered_cap() {
    let upstream = Upstream::start(vec![Script::reply(200, MESSAGE)]).await;
    let gateway = gateway(&upstream, "anthropic", "{name: m, max_output_tokens: 4096}", "{}").await;
    let body = chat(r#","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}"#);
    let answer = gateway.post("/v1/messages", body).await;
    assert_eq!(losses(&answer), Some("max_tokens=clamped(4096), thinking.budget_tokens=clamped(4095)"));
    let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    assert_eq!((&sent["max_tokens"], &sent["thinking"]["budget_tokens"]), (&json!(4096), &json!(4095)));
}

#[tokio::test]
async fn a_stream_of_a_model_that_has_none_is_told_from_its_whole_answer_in_every_dialect_000_24() {
    let model = "{name: m, upstream: up, supports_streaming: false}";
    let options = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let cases = [
        ("/v1/chat/completions", "openai", WHOLE, chat(options), "data: [DONE]"),
        ("/v1/chat/completions", "anthropic", MESSAGE, chat(options), "data: [DONE]"),
        (
            "/v1/responses",
            "openai",
            RESPONSE,
            r#"{"model":"m","input":"hi","stream":true}"#.to_owned(),
            "event: response.completed",
        ),
        ("/v1/messages", "anthropic", MESSAGE, chat(r#","max_tokens":9,"stream":true"#), "event: message_stop"),
        ("/v1/messages", "openai_compatible", WHOLE, chat(r#","max_tokens":9,"stream":true"#), "event: message_stop"),
    ];
    for (path, provider, whole, body, end) in cases {
        let upstream = Upstream::start(vec![Script::reply(200, whole)]).await;
        let mut gateway = gateway(&upstream, provider, model, "{}").await;
        let answer = gateway.post(path, body).await;
        let told = answer.text();
        assert_eq!(answer.status, 200, "{path} {provider}: {told}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")), "{path}");
        assert!(losses(&answer).is_some_and(|losses| losses.contains("stream=emulated")), "{path} {provider}");
        assert!(told.contains("Hello there.") && told.contains(end), "{path} {provider}: {told}");
        assert!(!told.contains("\"up\""), "{path} {provider}: the upstream's name is shown: {told}");
        let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
        assert_ne!(sent.get("stream"), Some(&json!(true)), "{path} {provider}");
        assert_eq!(sent.get("stream_options"), None, "{path} {provider}");
        let record = gateway.record().await;
        assert_eq!((record.usage.input, record.usage.output), (Some(9), Some(3)), "{path} {provider}");
    }
}

#[tokio::test]
async fn a_stream_of_a_model_that_has_none_is_refused_where_the_policy_says_so_000_24() {
    let upstream = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let gateway = gateway(&upstream, "openai", "{name: m, supports_streaming: false}", "{streaming: refuse}").await;
    let refused = gateway.post("/v1/chat/completions", chat(r#","stream":true"#)).await;
    assert_eq!((refused.status, refused.json()["error"]["param"].as_str()), (400, Some("stream")));
    // Legacy completions have no words to tell a whole answer in.
    let legacy = gateway.post("/v1/completions", r#"{"model":"m","prompt":"a","stream":true}"#).await;
    assert_eq!((legacy.status, legacy.json()["error"]["param"].as_str()), (400, Some("stream")));
    assert_eq!(gateway.post("/v1/chat/completions", chat("")).await.status, 200);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn a_failure_of_a_model_without_streams_fails_over_before_anything_is_told() {
    let broken = Upstream::start(vec![Script::reply(500, "{}")]).await;
    let well = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let gateway = Gateway::with_channels(&format!(
        "- {{name: a, provider: openai, base_url: '{}', api_key: k, tier: 1, models: [{{name: m, supports_streaming: false}}]}}\n\
         - {{name: b, provider: openai, base_url: '{}', api_key: k, tier: 2, models: [{{name: m, supports_streaming: false}}]}}\n",
        broken.url(),
        well.url()
    ))
    .await;
    let answer = gateway.post("/v1/chat/completions", chat(r#","stream":true"#)).await;
    assert_eq!((answer.status, answer.header("x-waypost-attempts")), (200, Some("2")));
    assert!(answer.text().contains("Hello there."));
}

const PICTURE: &str = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]}"#;

#[tokio::test]
async fn a_request_with_a_picture_goes_to_a_deployment_that_sees_004_r8() {
    let blind = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let seeing = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let gateway = Gateway::with_channels(&format!(
        "- {{name: a, provider: openai, base_url: '{}', api_key: k, tier: 1, models: [{{name: m, capabilities: [tools]}}]}}\n\
         - {{name: b, provider: openai, base_url: '{}', api_key: k, tier: 2, models: [{{name: m, capabilities: [tools, vision]}}]}}\n",
        blind.url(),
        seeing.url()
    ))
    .await;
    assert_eq!(gateway.post("/v1/chat/completions", PICTURE).await.header("x-waypost-deployment"), Some("b/m"));
    assert_eq!(gateway.post("/v1/chat/completions", chat("")).await.header("x-waypost-deployment"), Some("a/m"));
    assert_eq!((blind.hits(), seeing.hits()), (1, 1));
}

#[tokio::test]
async fn what_no_deployment_can_do_is_refused_with_the_field_and_the_models_that_could() {
    let upstream = Upstream::start(vec![]).await;
    let models = "{name: m, capabilities: []}, gpt-4o, gpt-3.5-turbo";
    let mut gateway = gateway(&upstream, "openai", models, "{}").await;
    let schema = r#","response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}}"#;
    for (body, param) in [
        (PICTURE.to_owned(), "messages"),
        (chat(r#","tools":[{"type":"function","function":{"name":"f"}}]"#), "tools"),
        (chat(schema), "response_format"),
        (PICTURE.replace(r#""m""#, r#""gpt-3.5-turbo""#), "messages"),
    ] {
        let refused = gateway.post("/v1/chat/completions", body).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status, error["param"].as_str()), (400, Some(param)), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("Models that can:") && message.contains("`gpt-4o`"), "{error}");
    }
    assert_eq!(upstream.hits(), 0);
    gateway.assert_no_record();
}

#[tokio::test]
async fn a_model_nobody_knows_is_asked_for_anything() {
    let upstream = Upstream::start(vec![Script::reply(200, WHOLE)]).await;
    let gateway =
        gateway(&upstream, "openai_compatible", "m", "{missing: refuse, over_limit: refuse, streaming: refuse}").await;
    let body = PICTURE.replacen('{', r#"{"max_tokens":99999999,"#, 1);
    assert_eq!(gateway.post("/v1/chat/completions", body.clone()).await.status, 200);
    assert!(String::from_utf8(upstream.last().body.to_vec()).unwrap().contains("99999999"));
}
