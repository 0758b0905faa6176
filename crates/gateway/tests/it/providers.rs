//! Every kind of provider once, against a scripted upstream as its address: path, login, and what it must not be told.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use waypost_core::provider;
use waypost_testkit::{Answer, Recorded, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

const PLAIN: &str = fixtures::openai_chat::PLAIN;

/// What a provider saw of one request, and what the caller got.
struct Seen {
    upstream: Recorded,
    answer: Answer,
}

/// Sends this body to a channel of that kind, with more settings (`, key: value`), whose upstream answers with `script`.
async fn through(kind: &str, more: &str, script: Script, path: &str, body: &Value) -> Seen {
    let upstream = Upstream::always(script).await;
    let channel = format!("- {{name: main, provider: {kind}, base_url: '{}', models: ['*']{more}}}\n", upstream.url());
    let gateway = Gateway::with_channels(&channel).await;
    let answer = gateway.post(path, body.to_string()).await;
    assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    Seen { upstream: upstream.last(), answer }
}

/// A refusal that no upstream saw.
async fn refused(kind: &str, more: &str, path: &str, body: &Value) -> Answer {
    let upstream = Upstream::start(vec![]).await;
    let channel = format!("- {{name: main, provider: {kind}, base_url: '{}', models: ['*']{more}}}\n", upstream.url());
    Gateway::with_channels(&channel).await.post(path, body.to_string()).await
}

fn chat() -> Value {
    json!({"model": "m-1", "messages": [{"role": "user", "content": "Hello"}]})
}

fn messages() -> Value {
    json!({"model": "m-1", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]})
}

fn responses() -> Value {
    json!({"model": "m-1", "input": "Hello"})
}

const WITH_KEY: &str = ", api_key: key-1";

#[tokio::test]
async fn every_kind_is_reached_at_its_path_with_its_login_002_21() {
    let bearer = ("authorization", "Bearer key-1");
    let anthropic = fixtures::anthropic::PLAIN;
    let cases = [
        ("openai", "/v1/chat/completions", bearer, PLAIN),
        ("anthropic", "/v1/messages", ("x-api-key", "key-1"), anthropic),
        ("azure_openai", "/openai/v1/chat/completions", ("api-key", "key-1"), PLAIN),
        ("gemini", "/v1beta/models/m-1:generateContent", ("x-goog-api-key", "key-1"), fixtures::gemini::PLAIN),
        ("groq", "/openai/v1/chat/completions", bearer, PLAIN),
        ("openrouter", "/api/v1/chat/completions", bearer, PLAIN),
        ("deepseek", "/chat/completions", bearer, PLAIN),
        ("siliconflow", "/v1/chat/completions", bearer, PLAIN),
        ("mistral", "/v1/chat/completions", bearer, PLAIN),
        ("xai", "/v1/chat/completions", bearer, PLAIN),
        ("moonshot", "/v1/chat/completions", bearer, PLAIN),
        ("zhipu", "/api/paas/v4/chat/completions", bearer, PLAIN),
        ("qwen", "/compatible-mode/v1/chat/completions", bearer, PLAIN),
        ("ollama", "/v1/chat/completions", bearer, PLAIN),
        ("vllm", "/v1/chat/completions", bearer, PLAIN),
        ("openai_compatible", "/v1/chat/completions", bearer, PLAIN),
    ];
    for (kind, path, (header, value), fixture) in cases {
        let seen = through(kind, WITH_KEY, Script::reply(200, fixture), CHAT, &chat()).await;
        assert_eq!((seen.upstream.method.as_str(), seen.upstream.path_and_query.as_str()), ("POST", path), "{kind}");
        for name in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
            assert_eq!(seen.upstream.header(name), (name == header).then_some(value), "{kind} {name}");
        }
        assert_eq!(seen.upstream.header("content-type"), Some("application/json"), "{kind}");
        assert!(
            seen.answer.json()["choices"][0]["message"]["content"].as_str().unwrap().starts_with("Hello!"),
            "{kind}"
        );
    }
    let proved: BTreeSet<_> = cases.iter().map(|case| case.0).chain(["simulator"]).collect();
    // Whoever only speaks OpenAI's dialect at its usual path has nothing of its own to prove.
    let special = |kind: &&provider::Provider| {
        let plain = kind.prefix == "/v1" && kind.auth == provider::Auth::Bearer && kind.endpoints.len() == 2;
        !plain || proved.contains(kind.kind)
    };
    let known: BTreeSet<_> = provider::ALL.iter().copied().filter(special).map(|kind| kind.kind).collect();
    assert_eq!(known, proved);
}

#[tokio::test]
async fn a_base_url_with_a_path_is_taken_as_it_is_003_02() {
    let upstream = Upstream::always(Script::reply(200, PLAIN)).await;
    for (kind, base, path) in [
        ("openai", "/v1", "/v1/chat/completions"),
        ("openai", "/team/openai/v1/", "/team/openai/v1/chat/completions"),
        ("groq", "/openai/v1", "/openai/v1/chat/completions"),
        ("azure_openai", "/openai/v1", "/openai/v1/chat/completions"),
        ("zhipu", "/api/coding/paas/v4", "/api/coding/paas/v4/chat/completions"),
        ("qwen", "/compatible-mode/v1", "/compatible-mode/v1/chat/completions"),
    ] {
        let channel = format!(
            "- {{name: main, provider: {kind}, base_url: '{}{base}', api_key: k, models: ['*']}}\n",
            upstream.url()
        );
        let gateway = Gateway::with_channels(&channel).await;
        assert_eq!(gateway.post(CHAT, chat().to_string()).await.status, 200);
        assert_eq!(upstream.last().path_and_query, path, "{kind} {base}");
    }
}

#[tokio::test]
async fn servers_of_ones_own_need_no_key() {
    for kind in ["ollama", "vllm", "openai_compatible"] {
        let seen = through(kind, "", Script::reply(200, PLAIN), CHAT, &chat()).await;
        for name in ["authorization", "api-key", "x-api-key"] {
            assert_eq!(seen.upstream.header(name), None, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_request_in_the_provider_s_second_dialect_is_relayed_as_it_is() {
    let anthropic = [
        ("openrouter", "/api/v1/messages"),
        ("deepseek", "/anthropic/v1/messages"),
        ("moonshot", "/anthropic/v1/messages"),
        ("zhipu", "/api/anthropic/v1/messages"),
        ("ollama", "/v1/messages"),
        ("vllm", "/v1/messages"),
    ];
    for (kind, path) in anthropic {
        let script = Script::reply(200, fixtures::anthropic::PLAIN);
        let seen = through(kind, WITH_KEY, script, MESSAGES, &messages()).await;
        assert_eq!((seen.upstream.path_and_query.as_str(), seen.upstream.json()), (path, messages()), "{kind}");
        assert_eq!(seen.answer.text(), fixtures::anthropic::PLAIN);
    }
    let openai = [
        ("openai", "", "/v1/responses"),
        ("azure_openai", "", "/openai/v1/responses"),
        ("azure_openai", ", api_version: 2025-03-01-preview", "/openai/responses?api-version=2025-03-01-preview"),
        ("groq", "", "/openai/v1/responses"),
        ("openrouter", "", "/api/v1/responses"),
        ("xai", "", "/v1/responses"),
        ("ollama", "", "/v1/responses"),
        ("vllm", "", "/v1/responses"),
    ];
    for (kind, more, path) in openai {
        let script = Script::reply(200, fixtures::openai_responses::PLAIN);
        let seen = through(kind, &format!("{WITH_KEY}{more}"), script, RESPONSES, &responses()).await;
        assert_eq!((seen.upstream.path_and_query.as_str(), seen.upstream.json()), (path, responses()), "{kind}");
    }
}

#[tokio::test]
async fn azures_older_paths_take_a_version_and_name_the_deployment_002_14() {
    let classic = format!("{WITH_KEY}, api_version: 2024-10-21");
    let cases = [
        (CHAT, chat(), PLAIN, "/openai/deployments/m-1/chat/completions?api-version=2024-10-21"),
        (
            "/v1/completions",
            json!({"model": "m-1", "prompt": "Hi"}),
            fixtures::openai::COMPLETION,
            "/openai/deployments/m-1/completions?api-version=2024-10-21",
        ),
        (
            "/v1/embeddings",
            json!({"model": "m-1", "input": "Hi"}),
            fixtures::openai::EMBEDDINGS,
            "/openai/deployments/m-1/embeddings?api-version=2024-10-21",
        ),
    ];
    for (path, body, fixture, expected) in cases {
        let seen = through("azure", &classic, Script::reply(200, fixture), path, &body).await;
        assert_eq!(seen.upstream.path_and_query, expected);
        assert_eq!(seen.upstream.header("api-key"), Some("key-1"));
    }
}

#[tokio::test]
async fn gemini_streams_at_a_path_of_its_own() {
    let script = Script::stream(fixtures::events(fixtures::gemini::STREAM));
    let body = json!({"model": "gemini-2.5-flash", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let seen = through("gemini", WITH_KEY, script, CHAT, &body).await;
    assert_eq!(seen.upstream.path_and_query, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    let said: String =
        seen.answer.events().iter().filter(|event| event.data != "[DONE]").fold(String::new(), |said, event| {
            said + event.json()["choices"][0]["delta"]["content"].as_str().unwrap_or_default()
        });
    assert_eq!(said, "Hello! The café opens at 9 ☕.");
}

#[tokio::test]
async fn anthropics_version_is_pinned_unless_the_caller_says_its_own_001_18() {
    let upstream = Upstream::always(Script::reply(200, fixtures::anthropic::PLAIN)).await;
    let channel =
        format!("- {{name: a, provider: anthropic, base_url: '{}', api_key: k, models: ['*']}}\n", upstream.url());
    let gateway = Gateway::with_channels(&channel).await;
    gateway.post(CHAT, chat().to_string()).await;
    assert_eq!(upstream.last().header("anthropic-version"), Some("2023-06-01"));
    let own = Request::post(MESSAGES, messages().to_string())
        .header("x-api-key", KEY)
        .header("anthropic-version", "2023-01-01")
        .header("anthropic-beta", "some-beta");
    assert_eq!(own.send(gateway.url()).await.status, 200);
    let seen = upstream.last();
    assert_eq!(
        (seen.header("anthropic-version"), seen.header("anthropic-beta")),
        (Some("2023-01-01"), Some("some-beta"))
    );
    assert_eq!(seen.header("x-api-key"), Some("k"));
}

// === deviations ===

#[tokio::test]
async fn groq_is_not_asked_for_log_probabilities() {
    let translated = format!("{WITH_KEY}, dialects: [openai_chat]");
    let body =
        json!({"model": "m-1", "input": "Hello", "top_logprobs": 3, "include": ["message.output_text.logprobs"]});
    let answer = refused("groq", &translated, RESPONSES, &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("logprobs"), "{}", answer.text());
    assert!(answer.json()["error"]["param"].as_str().unwrap().contains("logprobs"), "{}", answer.text());

    let plain = through("groq", &translated, Script::reply(200, PLAIN), RESPONSES, &responses()).await;
    assert_eq!(plain.upstream.path(), "/openai/v1/chat/completions");
    let asked = through("openai", &translated, Script::reply(200, PLAIN), RESPONSES, &body).await;
    assert_eq!((&asked.upstream.json()["logprobs"], &asked.upstream.json()["top_logprobs"]), (&json!(true), &json!(3)));
}

#[tokio::test]
async fn mistral_has_its_own_word_for_a_forced_tool_and_is_not_told_who_asks() {
    let mut body = messages();
    body["tools"] = json!([{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}]);
    body["tool_choice"] = json!({"type": "any"});
    body["metadata"] = json!({"user_id": "u-1"});
    let mistral = through("mistral", WITH_KEY, Script::reply(200, PLAIN), MESSAGES, &body).await;
    let asked = mistral.upstream.json();
    assert_eq!((&asked["tool_choice"], &asked["max_tokens"]), (&json!("any"), &json!(64)));
    assert!(asked.get("user").is_none() && asked.get("metadata").is_none(), "{asked}");
    assert!(mistral.answer.header("x-waypost-losses").unwrap().contains("=dropped"));

    let openai = through("openai", WITH_KEY, Script::reply(200, PLAIN), MESSAGES, &body).await;
    let asked = openai.upstream.json();
    assert_eq!((&asked["tool_choice"], &asked["max_completion_tokens"]), (&json!("required"), &json!(64)));
}

#[tokio::test]
async fn usage_is_asked_for_in_a_stream_only_where_that_is_known() {
    let streamed = || Script::stream(fixtures::events(fixtures::openai_chat::STREAM_USAGE));
    let mut body = messages();
    body["stream"] = json!(true);
    for (kind, asks) in [("openai", true), ("groq", true), ("mistral", false)] {
        let translated = through(kind, WITH_KEY, streamed(), MESSAGES, &body).await;
        assert_eq!(translated.upstream.json()["stream_options"]["include_usage"] == true, asks, "{kind}");
        let mut relayed = chat();
        relayed["stream"] = json!(true);
        let relayed = through(kind, WITH_KEY, streamed(), CHAT, &relayed).await;
        assert_eq!(relayed.upstream.json()["stream_options"]["include_usage"] == true, asks, "{kind}");
        // The caller did not ask for it.
        assert!(!relayed.answer.text().contains("prompt_tokens"), "{kind}");
    }
}

#[tokio::test]
async fn older_servers_are_told_of_the_cap_and_the_system_in_older_words() {
    let mut body = responses();
    body["instructions"] = json!("Be brief.");
    body["max_output_tokens"] = json!(99);
    let translated = format!("{WITH_KEY}, dialects: [openai_chat]");
    for (kind, cap, role) in [
        ("openai", "max_completion_tokens", None),
        ("xai", "max_completion_tokens", Some("system")),
        ("deepseek", "max_tokens", Some("system")),
        ("qwen", "max_tokens", Some("system")),
        ("siliconflow", "max_tokens", Some("system")),
        ("openai_compatible", "max_tokens", Some("system")),
    ] {
        let asked = through(kind, &translated, Script::reply(200, PLAIN), RESPONSES, &body).await.upstream.json();
        assert_eq!(asked[cap], 99, "{kind}: {asked}");
        if let Some(role) = role {
            assert_eq!(asked["messages"][0]["role"], role, "{kind}");
        }
    }
}

#[tokio::test]
async fn deepseek_gets_its_thoughts_back_in_a_tool_loop() {
    let mut body = messages();
    body["tools"] = json!([{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}]);
    body["messages"] = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I should look.", "signature": ""},
            {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "18 C"}]}]);
    let translated = format!("{WITH_KEY}, dialects: [openai_chat]");
    let asked = through("deepseek", &translated, Script::reply(200, PLAIN), MESSAGES, &body).await.upstream.json();
    assert_eq!(asked["messages"][1]["reasoning_content"], "I should look.", "{asked}");
    let asked = through("groq", &translated, Script::reply(200, PLAIN), MESSAGES, &body).await.upstream.json();
    assert!(asked["messages"][1].get("reasoning_content").is_none(), "{asked}");
}

#[tokio::test]
async fn ollama_is_not_told_to_choose_a_tool_nor_to_fetch_an_image() {
    let translated = ", dialects: [openai_chat]";
    let mut body = messages();
    body["tools"] = json!([{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}]);
    body["tool_choice"] = json!({"type": "any"});
    let seen = through("ollama", translated, Script::reply(200, PLAIN), MESSAGES, &body).await;
    assert!(seen.upstream.json().get("tool_choice").is_none());
    assert!(seen.answer.header("x-waypost-losses").unwrap().contains("tool_choice=dropped"));

    let mut picture = messages();
    picture["messages"][0]["content"] =
        json!([{"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}]);
    let answer = refused("ollama", translated, MESSAGES, &picture).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    let openai = through("openai", WITH_KEY, Script::reply(200, PLAIN), MESSAGES, &picture).await;
    assert_eq!(openai.upstream.json()["messages"][0]["content"][0]["image_url"]["url"], "https://example.com/cat.png");
}

#[tokio::test]
async fn xais_reasoning_models_take_no_stop_words() {
    let mut body = messages();
    body["model"] = json!("grok-4");
    body["stop_sequences"] = json!(["END"]);
    let answer = refused("xai", WITH_KEY, MESSAGES, &body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("stop"), "{}", answer.text());
    body["model"] = json!("grok-3");
    let older = through("xai", WITH_KEY, Script::reply(200, PLAIN), MESSAGES, &body).await;
    assert_eq!(older.upstream.json()["stop"], json!(["END"]));
}
