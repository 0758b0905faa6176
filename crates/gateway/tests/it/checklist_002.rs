//! What an HTTP proxy for OpenAI promises (002-01..-06, -13..-19, -21), through a live gateway: its mount, its token, the
//! names models have at providers, and what goes to whom.

use serde_json::{Value, json};
use waypost_core::usage::Outcome;
use waypost_testkit::{Answer, Gate, Request, Script, Upstream, fixtures};

use crate::harness::Gateway;

const TOKEN: &str = "app_token_123";
const CHAT: &str = "/proxy/v1/chat/completions";
const HELLO: &str = r#"{
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Hello"}]
  }"#;
const HELLO_STREAMED: &str = r#"{
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": true
  }"#;
const MAPPINGS: &str = "
model_mappings:
  global:
    gpt-4: gpt-4-0613
    gpt-3.5-turbo: gpt-3.5-turbo-0613
  providers:
    azure:
      gpt-4: gpt-4-deployment
      gpt-3.5-turbo: gpt-35-turbo-deployment
    anthropic:
      gpt-4: claude-3-opus-20240229
      gpt-3.5-turbo: claude-3-sonnet-20240229
";

/// A gateway with the token, these channels (YAML list items) and whatever else the file says.
async fn gateway(channels: &str, more: &str) -> Gateway {
    Gateway::start(&format!("keys: [{{name: internal, key: {TOKEN}}}]\nchannels:\n{channels}\n{more}")).await
}

fn at(provider: &str, upstream: &Upstream, more: &str) -> String {
    format!("- {{name: main, provider: {provider}, base_url: '{}', api_key: sk-xxx{more}}}\n", upstream.url())
}

async fn post(gateway: &Gateway, path: &str, body: &'static str) -> Answer {
    Request::post(path, body).bearer(TOKEN).send(gateway.url()).await
}

async fn always(fixture: &'static str) -> Upstream {
    Upstream::always(Script::reply(200, fixture)).await
}

// === the mount and the token ===

#[tokio::test]
async fn the_two_printed_chat_calls_work_as_they_are_002_01() {
    let whole = always(fixtures::openai_chat::PLAIN).await;
    let answer = post(&gateway(&at("openai", &whole, ""), "").await, CHAT, HELLO).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::PLAIN));
    assert_eq!(whole.last().path_and_query, "/v1/chat/completions");

    let stream = Upstream::always(Script::stream(fixtures::events(fixtures::openai_chat::STREAM_USAGE))).await;
    let answer = post(&gateway(&at("openai", &stream, ""), "").await, CHAT, HELLO_STREAMED).await;
    let said: String = answer
        .events()
        .iter()
        .filter(|event| event.data != "[DONE]")
        .map(|event| event.json()["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!((answer.status, said.as_str()), (200, "Hello! The café opens at 9 ☕."));
    assert_eq!(answer.events().last().map(|event| event.data.clone()).as_deref(), Some("[DONE]"));
}

#[tokio::test]
async fn completions_whole_and_streamed_002_02() {
    const ASK: &str = r#"{"model":"gpt-3.5-turbo-instruct","prompt":"Say this is a test","max_tokens":7}"#;
    let upstream = always(fixtures::openai::COMPLETION).await;
    let mut whole = gateway(&at("openai", &upstream, ""), "").await;
    let answer = post(&whole, "/proxy/v1/completions", ASK).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai::COMPLETION));
    assert_eq!((upstream.last().path(), upstream.last().text()), ("/v1/completions", ASK));
    assert_eq!(whole.record().await.usage.output, Some(7));

    let upstream = Upstream::always(Script::stream(fixtures::events(fixtures::openai::COMPLETION_STREAM))).await;
    let streamed = gateway(&at("openai", &upstream, ""), "").await;
    const STREAMED: &str = r#"{"model":"gpt-3.5-turbo-instruct","prompt":"Say this is a test","stream":true}"#;
    let answer = post(&streamed, "/proxy/v1/completions", STREAMED).await;
    assert_eq!(answer.text(), fixtures::openai::COMPLETION_STREAM);
}

#[tokio::test]
async fn embeddings_002_03() {
    const ASK: &str = r#"{"model":"text-embedding-3-small","input":["one","two"]}"#;
    let upstream = always(fixtures::openai::EMBEDDINGS).await;
    let mut gateway = gateway(&at("openai", &upstream, ""), "").await;
    let answer = post(&gateway, "/proxy/v1/embeddings", ASK).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai::EMBEDDINGS));
    assert_eq!((upstream.last().path(), upstream.last().text()), ("/v1/embeddings", ASK));
    assert_eq!(gateway.record().await.usage.input, Some(12));
}

#[tokio::test]
async fn models_are_listed_and_each_can_be_looked_up_002_04() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&at("openai", &upstream, ", models: [gpt-4, gpt-3.5-turbo]"), "").await;
    let answer = Request::get("/proxy/v1/models").bearer(TOKEN).send(gateway.url()).await;
    let listed = answer.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((answer.status, names), (200, vec!["gpt-3.5-turbo", "gpt-4"]));
    let one = Request::get("/proxy/v1/models/gpt-4").bearer(TOKEN).send(gateway.url()).await;
    assert_eq!((one.status, &one.json()["id"]), (200, &json!("gpt-4")));
}

#[tokio::test]
async fn only_the_internal_token_opens_the_door_and_it_never_goes_upstream_002_05() {
    let upstream = always(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway(&at("openai", &upstream, ""), "").await;
    for wrong in ["app_token_124", "app_token_12", "app_token_1234", "sk-xxx", "APP_TOKEN_123", "secret"] {
        let answer = Request::post(CHAT, HELLO).bearer(wrong).send(gateway.url()).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("invalid_api_key")), "{wrong}");
    }
    assert_eq!(Request::post(CHAT, HELLO).send(gateway.url()).await.status, 401);
    assert_eq!(upstream.hits(), 0);

    assert_eq!(post(&gateway, CHAT, HELLO).await.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("authorization"), Some("Bearer sk-xxx"));
    assert!(!seen.headers.iter().any(|(_, value)| value.contains(TOKEN)));
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece_and_a_whole_answer_whole_002_06() {
    let gate = Gate::closed();
    let events = fixtures::events(fixtures::openai_chat::STREAM);
    let upstream = Upstream::always(Script::stream(events.clone()).gated(&gate)).await;
    let mut gateway = gateway(&at("openai", &upstream, ""), "").await;
    gate.pass(2);
    let mut live = Request::post(CHAT, HELLO_STREAMED).bearer(TOKEN).open(gateway.url()).await;
    for _ in 0..2 {
        assert!(live.next_event().await.is_some());
    }
    gate.pass(events.len());
    let mut last = String::new();
    while let Some(event) = live.next_event().await {
        last = event.what.data;
    }
    assert_eq!(last, "[DONE]");
    assert_eq!(gateway.record().await.outcome, Outcome::Complete);
}

// === names ===

fn ask(model: &str) -> String {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).to_string()
}

async fn asked(gateway: &Gateway, model: &str) -> Answer {
    Request::post(CHAT, ask(model)).bearer(TOKEN).send(gateway.url()).await
}

#[tokio::test]
async fn global_rules_rename_models_everywhere_002_13() {
    let upstream = always(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway(&at("openai", &upstream, ""), MAPPINGS).await;
    for (asked_for, sent) in [("gpt-4", "gpt-4-0613"), ("gpt-3.5-turbo", "gpt-3.5-turbo-0613"), ("gpt-4o", "gpt-4o")] {
        assert_eq!(asked(&gateway, asked_for).await.status, 200);
        assert_eq!(upstream.last().json()["model"], sent);
        assert_eq!(upstream.last().text(), ask(asked_for).replace(asked_for, sent));
    }
}

#[tokio::test]
async fn azure_names_its_deployment_in_the_path_with_key_and_version_002_14() {
    let upstream = always(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway(&at("azure", &upstream, ", api_version: '2024-10-21'"), MAPPINGS).await;
    for (asked_for, deployment) in [("gpt-4", "gpt-4-deployment"), ("gpt-3.5-turbo", "gpt-35-turbo-deployment")] {
        assert_eq!(asked(&gateway, asked_for).await.status, 200);
        let seen = upstream.last();
        let path = format!("/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21");
        assert_eq!(seen.path_and_query, path);
        assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("sk-xxx"), None));
    }
}

#[tokio::test]
async fn anthropic_knows_gpt_names_as_its_own_models_002_15() {
    let upstream = always(fixtures::anthropic::PLAIN).await;
    let gateway = gateway(&at("anthropic", &upstream, ""), MAPPINGS).await;
    for (asked_for, sent) in [("gpt-4", "claude-3-opus-20240229"), ("gpt-3.5-turbo", "claude-3-sonnet-20240229")] {
        let answer = asked(&gateway, asked_for).await;
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(asked_for)));
        assert_eq!((upstream.last().path(), &upstream.last().json()["model"]), ("/v1/messages", &json!(sent)));
    }
}

/// The models an answer names, whole or in every event.
fn named(answer: &Answer) -> Vec<Value> {
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return vec![answer.json()["model"].clone()];
    }
    let events = answer.events();
    let mut models: Vec<_> =
        events.iter().filter(|event| event.data != "[DONE]").map(|event| event.json()["model"].clone()).collect();
    models.dedup();
    models
}

#[tokio::test]
async fn an_answer_keeps_the_asked_name_unless_the_file_shows_the_actual_one_002_16() {
    let openai = (fixtures::openai_chat::PLAIN, fixtures::openai_chat::STREAM, "gpt-4o-mini-2024-07-18");
    let anthropic = (fixtures::anthropic::PLAIN, fixtures::anthropic::STREAM, "claude-sonnet-4-5-20250929");
    for (provider, (whole, stream, actual)) in [("openai", openai), ("anthropic", anthropic)] {
        for exposed in [false, true] {
            let upstream = Upstream::by(move |request| {
                let streams = request.json()["stream"] == true;
                if streams { Script::stream(fixtures::events(stream)) } else { Script::reply(200, whole) }
            })
            .await;
            let more = format!("{MAPPINGS}  expose_actual: {exposed}\n");
            let gateway = gateway(&at(provider, &upstream, ""), &more).await;
            let expected = json!(if exposed { actual } else { "gpt-3.5-turbo" });
            for body in [HELLO, HELLO_STREAMED] {
                let answer = post(&gateway, CHAT, body).await;
                assert_eq!(named(&answer), std::slice::from_ref(&expected), "{provider} {exposed} {body}");
            }
        }
    }
}

#[tokio::test]
async fn the_kind_of_provider_is_told_from_the_key_or_from_the_address_alone_002_17() {
    // An Anthropic key at some relay's address, an OpenAI key there, and no key at all.
    let cases = [
        ("sk-ant-api03-x", fixtures::anthropic::PLAIN, "/v1/messages", "x-api-key", "sk-ant-api03-x"),
        ("gsk_x", fixtures::openai_chat::PLAIN, "/openai/v1/chat/completions", "authorization", "Bearer gsk_x"),
        ("sk-x", fixtures::openai_chat::PLAIN, "/v1/chat/completions", "authorization", "Bearer sk-x"),
    ];
    for (key, fixture, path, header, value) in cases {
        let upstream = always(fixture).await;
        let channel = format!("- {{name: some, base_url: '{}', api_key: {key}, models: [m]}}", upstream.url());
        let gateway = gateway(&channel, "").await;
        assert_eq!(asked(&gateway, "m").await.status, 200, "{key}");
        assert_eq!((upstream.last().path(), upstream.last().header(header)), (path, Some(value)));
    }

    let detected = |channel: &str| {
        let yaml = format!("channels: [{{name: a, {channel}}}]");
        let config =
            waypost_core::config::Config::parse(&yaml, waypost_core::config::Format::Yaml, "a.yaml", &|_| None);
        waypost_core::snapshot::compile(&config.unwrap(), &waypost_core::health::States::default()).unwrap().channels[0]
            .provider
            .kind
    };
    for (channel, kind) in [
        ("base_url: 'https://api.openai.com/v1', api_key: sk-1", "openai"),
        ("base_url: 'https://my.openai.azure.com', api_key: abc", "azure_openai"),
        ("base_url: 'https://api.deepseek.com', api_key: sk-1", "deepseek"),
        ("base_url: 'https://relay.example.com/v1', api_key: sk-1", "openai_compatible"),
        ("base_url: 'http://localhost:11434'", "ollama"),
        ("api_key: sk-1", "openai"),
        ("api_key: sk-ant-1", "anthropic"),
    ] {
        assert_eq!(detected(channel), kind, "{channel}");
    }
}

// === forwarding ===

#[tokio::test]
async fn a_request_goes_on_byte_for_byte_with_only_the_headers_that_matter_002_18() {
    const BODY: &str = r#"{"model":"gpt-4","x_foo":1,"messages":[{"role":"user","content":"Hello","y":[ ]}]}"#;
    let upstream = always(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway(&at("openai", &upstream, ""), "").await;
    let request = Request::post(CHAT, BODY)
        .bearer(TOKEN)
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("idempotency-key", "once")
        .header("openai-organization", "org-of-the-caller");
    assert_eq!(request.send(gateway.url()).await.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.text(), BODY);
    assert_eq!(seen.header("idempotency-key"), Some("once"));
    for private in ["cookie", "x-forwarded-for", "openai-organization"] {
        assert_eq!(seen.header(private), None, "{private}");
    }
    assert_eq!(seen.header("host"), Some(upstream.address().to_string().as_str()));
}

#[tokio::test]
async fn a_stream_goes_back_byte_for_byte_however_its_bytes_are_cut_002_19() {
    const ASK: &str = r#"{"model":"gpt-4","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#;
    for size in [1, 7, 100, 100_000] {
        let script = Script::stream([fixtures::openai_chat::STREAM_USAGE]).split_every(size);
        let upstream = Upstream::always(script).await;
        let gateway = gateway(&at("openai", &upstream, ""), "").await;
        let answer = post(&gateway, CHAT, ASK).await;
        assert_eq!(answer.text(), fixtures::openai_chat::STREAM_USAGE, "pieces of {size}");
    }
}

#[tokio::test]
async fn each_provider_gets_its_own_login_002_21() {
    let cases = [
        ("openai", "", "authorization", "Bearer sk-xxx", fixtures::openai_chat::PLAIN),
        ("azure", "", "api-key", "sk-xxx", fixtures::openai_chat::PLAIN),
        ("anthropic", "", "x-api-key", "sk-xxx", fixtures::anthropic::PLAIN),
        ("gemini", "", "x-goog-api-key", "sk-xxx", fixtures::gemini::PLAIN),
        ("anthropic", ", auth: bearer", "authorization", "Bearer sk-xxx", fixtures::anthropic::PLAIN),
    ];
    for (provider, more, header, value, fixture) in cases {
        let upstream = always(fixture).await;
        let gateway = gateway(&at(provider, &upstream, &format!(", models: [m]{more}")), "").await;
        assert_eq!(asked(&gateway, "m").await.status, 200, "{provider}");
        let seen = upstream.last();
        for name in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
            assert_eq!(seen.header(name), (name == header).then_some(value), "{provider} {name}");
        }
    }
}
