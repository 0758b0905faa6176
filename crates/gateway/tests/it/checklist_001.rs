//! What an OpenAI router promises its applications (001-13..-20, -39, -44, -45), through a live gateway: tools, images,
//! models, conversion, routing by name, request ids, streams and callers who hang up.

use serde_json::{Value, json};
use waypost_core::usage::{Basis, Outcome};
use waypost_testkit::{Gate, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY, channel};

const CHAT: &str = "/v1/chat/completions";

async fn openai(fixture: &'static str) -> Upstream {
    Upstream::always(Script::reply(200, fixture)).await
}

async fn gateway_to(provider: &str, upstream: &Upstream, models: &str) -> Gateway {
    Gateway::with_channels(&channel("main", provider, &upstream.url(), models)).await
}

fn weather_tool() -> Value {
    json!({"type": "function", "function": {"name": "get_weather", "description": "Current weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}})
}

// === tools ===

#[tokio::test]
async fn tools_reach_an_openai_upstream_as_written_and_its_calls_come_back_001_13() {
    let upstream = openai(fixtures::openai_chat::TOOLS).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let choices = [
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({"type": "function", "function": {"name": "get_weather"}}),
    ];
    for choice in choices {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Weather in Paris?"}],
            "tools": [weather_tool()], "tool_choice": choice, "parallel_tool_calls": true})
        .to_string();

        let answer = gateway.post(CHAT, body.clone()).await;

        assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::TOOLS));
        assert_eq!(upstream.last().text(), body);
    }
}

#[tokio::test]
async fn the_older_functions_reach_an_openai_upstream_as_written_001_13() {
    let upstream = openai(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Weather?"},{"role":"assistant","content":null,"function_call":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}},{"role":"function","name":"get_weather","content":"18 C"}],"functions":[{"name":"get_weather","parameters":{"type":"object","properties":{}}}],"function_call":{"name":"get_weather"}}"#;

    let answer = gateway.post(CHAT, body).await;

    assert_eq!(answer.status, 200);
    assert_eq!(upstream.last().text(), body);
}

#[tokio::test]
async fn tools_work_through_an_anthropic_upstream_there_and_back_001_13() {
    let upstream = openai(fixtures::anthropic::TOOL_USE).await;
    let gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let choices = [
        (json!("auto"), json!({"type": "auto"})),
        (json!("required"), json!({"type": "any"})),
        (
            json!({"type": "function", "function": {"name": "get_weather"}}),
            json!({"type": "tool", "name": "get_weather"}),
        ),
    ];
    for (asked, said) in choices {
        let body = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Weather in Paris?"}],
            "tools": [weather_tool()], "tool_choice": asked});

        let answer = gateway.post(CHAT, body.to_string()).await;

        let seen = upstream.last().json();
        assert_eq!(seen["tools"][0]["name"], "get_weather");
        assert_eq!(seen["tools"][0]["input_schema"], weather_tool()["function"]["parameters"]);
        assert_eq!(seen["tool_choice"], said, "{asked}");
        let choice = &answer.json()["choices"][0];
        assert_eq!((answer.status, &choice["finish_reason"]), (200, &json!("tool_calls")));
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        let names: Vec<_> = calls.iter().map(|call| call["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["get_weather", "get_time"]);
        let arguments: Value = serde_json::from_str(calls[0]["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"city": "Paris"}));
    }
}

#[tokio::test]
async fn the_second_turn_of_a_tool_loop_goes_back_to_anthropic_as_a_tool_result_001_13() {
    let upstream = openai(fixtures::anthropic::PLAIN).await;
    let gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let call = json!({"id": "toolu_01T8", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}});
    let body = json!({"model": "claude-sonnet-4-5", "tools": [weather_tool()], "messages": [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "toolu_01T8", "content": "18 C"}]});

    let answer = gateway.post(CHAT, body.to_string()).await;

    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello! How can I help you today?");
    let messages = upstream.last().json()["messages"].clone();
    let used = json!({"type": "tool_use", "id": "toolu_01T8", "name": "get_weather", "input": {"city": "Paris"}});
    assert_eq!(messages[1]["content"], json!([used]));
    assert_eq!((&messages[2]["role"], &messages[2]["content"][0]["type"]), (&json!("user"), &json!("tool_result")));
    assert_eq!(messages[2]["content"][0]["tool_use_id"], "toolu_01T8");
}

#[tokio::test]
async fn the_older_functions_are_tools_through_an_anthropic_upstream_001_13() {
    let upstream = openai(fixtures::anthropic::TOOL_USE).await;
    let gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let body = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Weather in Paris?"}],
        "functions": [weather_tool()["function"]], "function_call": {"name": "get_weather"}});

    let answer = gateway.post(CHAT, body.to_string()).await;

    let seen = upstream.last().json();
    assert_eq!(seen["tools"][0]["name"], "get_weather");
    assert_eq!(seen["tool_choice"]["name"], "get_weather");
    let choice = &answer.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "get_weather");
}

#[tokio::test]
async fn streamed_calls_of_an_anthropic_upstream_join_to_whole_arguments_001_13() {
    let upstream = Upstream::always(Script::stream(fixtures::events(fixtures::anthropic::TOOL_USE_STREAM))).await;
    let gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let body = json!({"model": "claude-sonnet-4-5", "stream": true, "tools": [weather_tool()],
        "messages": [{"role": "user", "content": "Weather in Paris?"}]});

    let answer = gateway.post(CHAT, body.to_string()).await;

    let (mut names, mut arguments) = (vec![String::new(); 2], vec![String::new(); 2]);
    for event in answer.events().iter().filter(|event| event.data != "[DONE]") {
        for call in event.json()["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            names[at].push_str(call["function"]["name"].as_str().unwrap_or_default());
            arguments[at].push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    assert_eq!(names, ["get_weather", "get_time"]);
    let arguments: Vec<Value> = arguments.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(arguments, [json!({"city": "Paris"}), json!({"zone": "Europe/Paris"})]);
}

// === images ===

/// One red pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

fn picture(model: &str, url: &str) -> String {
    json!({"model": model, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]}]})
    .to_string()
}

#[tokio::test]
async fn images_reach_an_openai_upstream_as_written_001_14() {
    let upstream = openai(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    for url in ["https://example.com/cat.png".to_owned(), format!("data:image/png;base64,{PIXEL}")] {
        let body = picture("gpt-4o", &url);
        assert_eq!(gateway.post(CHAT, body.clone()).await.status, 200);
        assert_eq!(upstream.last().text(), body);
    }
}

#[tokio::test]
async fn images_reach_an_anthropic_upstream_in_its_own_form_001_14() {
    let upstream = openai(fixtures::anthropic::PLAIN).await;
    let gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let cases = [
        ("https://example.com/cat.png".to_owned(), json!({"type": "url", "url": "https://example.com/cat.png"})),
        (format!("data:image/png;base64,{PIXEL}"), json!({"type": "base64", "media_type": "image/png", "data": PIXEL})),
    ];
    for (url, source) in cases {
        let answer = gateway.post(CHAT, picture("claude-sonnet-4-5", &url)).await;
        assert_eq!(answer.status, 200);
        let content = upstream.last().json()["messages"][0]["content"].clone();
        assert_eq!(content[0]["text"], "What is this?");
        assert_eq!((&content[1]["type"], &content[1]["source"]), (&json!("image"), &source));
    }
}

// === models ===

#[tokio::test]
async fn one_model_is_described_and_an_unknown_one_is_a_404_with_the_nearest_name_001_16() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o, {name: mine, upstream: gpt-4o, max_tokens: 900}]").await;

    let listed = gateway.get("/v1/models").await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!((listed["object"].as_str(), names), (Some("list"), vec![json!("gpt-4o"), json!("mine")]));

    let model = gateway.get("/v1/models/mine").await.json();
    assert_eq!(
        (&model["id"], &model["object"], &model["owned_by"]),
        (&json!("mine"), &json!("model"), &json!("openai"))
    );
    assert!(model["created"].as_u64().is_some());
    assert_eq!(model["max_output_tokens"], 900);

    let missing = gateway.get("/v1/models/gpt-4x").await;
    assert_eq!((missing.status, &missing.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert!(missing.text().contains("gpt-4o"), "{}", missing.text());
}

#[tokio::test]
async fn a_model_says_its_context_length_and_whether_it_takes_functions_and_images_001_16() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o, gpt-3.5-turbo, nobody-knows-it]").await;

    let model = gateway.get("/v1/models/gpt-4o").await.json();
    assert_eq!((&model["context_length"], &model["max_output_tokens"]), (&json!(128_000), &json!(16_384)));
    let can = &model["capabilities"];
    assert_eq!((&can["functions"], &can["vision"], &can["audio"]), (&json!(true), &json!(true), &json!(false)));

    let older = gateway.get("/v1/models/gpt-3.5-turbo").await.json();
    assert_eq!((&older["context_length"], &older["capabilities"]["vision"]), (&json!(16_385), &json!(false)));

    // What is not known is not guessed.
    let unknown = gateway.get("/v1/models/nobody-knows-it").await.json();
    assert!(unknown.get("context_length").is_none() && unknown.get("capabilities").is_none(), "{unknown}");
}

// === relay, conversion, routing ===

#[tokio::test]
async fn an_openai_upstream_gets_the_callers_bytes_and_the_caller_gets_its_001_17() {
    let upstream = openai(fixtures::openai_chat::PLAIN).await;
    let gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let body = "{ \"x_foo\" : 1.50e0,\n\t\"messages\":[{\"content\":\"h\\u00e9 ☕\",\"role\":\"user\",\"x\":null}],  \"temperature\":1.0, \"model\":\"gpt-4o\"}\n";

    let answer = gateway.post(CHAT, body).await;

    assert_eq!(upstream.last().body, body.as_bytes());
    assert_eq!((upstream.last().method.as_str(), upstream.last().path_and_query.as_str()), ("POST", CHAT));
    assert_eq!(answer.body, fixtures::openai_chat::PLAIN.as_bytes());
}

#[tokio::test]
async fn a_claude_model_is_asked_in_anthropics_words_and_answers_in_openais_001_18() {
    let upstream = openai(fixtures::anthropic::PLAIN).await;
    let mut gateway = gateway_to("anthropic", &upstream, "[claude-sonnet-4-5]").await;
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]});

    let answer = gateway.post(CHAT, body.to_string()).await;

    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path_and_query.as_str()), ("POST", "/v1/messages"));
    assert_eq!(seen.header("x-api-key"), Some("sk-main"));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(seen.header("authorization"), None);
    let asked = seen.json();
    assert_eq!((&asked["model"], &asked["max_tokens"]), (&json!("claude-sonnet-4-5"), &json!(50)));
    assert!(asked["system"].to_string().contains("Be brief."), "{asked}");
    assert_eq!(asked["messages"].as_array().unwrap().len(), 1);

    let said = answer.json();
    assert_eq!((answer.status, said["object"].as_str()), (200, Some("chat.completion")));
    assert_eq!(said["model"], "claude-sonnet-4-5");
    let choice = &said["choices"][0];
    assert_eq!(choice["message"]["content"], "Hello! How can I help you today?");
    assert_eq!(choice["finish_reason"], "stop");
    // Anthropic counts cached tokens beside the others, OpenAI among them.
    let usage = &said["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(1036), &json!(12)));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 1024);
    let record = gateway.record().await;
    assert_eq!((record.translated, record.basis, record.usage.input), (true, Basis::Provider, Some(1036)));
}

#[tokio::test]
async fn a_models_name_alone_finds_its_provider_001_20() {
    let (one, two) = (openai(fixtures::openai_chat::PLAIN).await, openai(fixtures::anthropic::PLAIN).await);
    let channels = format!(
        "- {{name: o, provider: openai, base_url: '{}', api_key: sk-o}}\n- {{name: a, provider: anthropic, base_url: '{}', api_key: sk-a}}\n",
        one.url(),
        two.url()
    );
    let gateway = Gateway::with_channels(&channels).await;
    let ask = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).to_string();

    let answer = gateway.post(CHAT, ask("gpt-4.1-mini")).await;
    assert_eq!(answer.header("x-waypost-deployment"), Some("o/gpt-4.1-mini"));
    assert_eq!((one.hits(), two.hits()), (1, 0));

    let answer = gateway.post(CHAT, ask("claude-opus-4-1")).await;
    assert_eq!(answer.header("x-waypost-deployment"), Some("a/claude-opus-4-1"));
    assert_eq!((one.hits(), two.hits()), (1, 1));
    assert_eq!(two.last().json()["model"], "claude-opus-4-1");

    let nobody = gateway.post(CHAT, ask("llama-9")).await;
    assert_eq!((nobody.status, one.hits(), two.hits()), (404, 1, 1));
}

// === request ids ===

#[tokio::test]
async fn every_request_has_an_id_of_its_own_in_answer_and_record_001_39() {
    let upstream = openai(fixtures::openai_chat::PLAIN).await;
    let mut gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let answer = gateway.post(CHAT, body).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(*gateway.record().await.request_id, *id);
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);

    let own = Request::post(CHAT, body).bearer(KEY).header("x-request-id", "trace-7");
    assert_eq!(own.send(gateway.url()).await.header("x-request-id"), Some("trace-7"));
    assert_eq!(&*gateway.record().await.request_id, "trace-7");

    // A word that could forge a line of the log or a header is not taken over.
    let forged = Request::post(CHAT, body).bearer(KEY).header("x-request-id", "a b\"c");
    let id = forged.send(gateway.url()).await.header("x-request-id").unwrap().to_owned();
    assert!(id.starts_with("req_"), "{id}");
    let refused = Request::post(CHAT, body).send(gateway.url()).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("x-request-id").is_some());
}

// === streams ===

#[tokio::test]
async fn each_event_of_a_stream_arrives_before_the_upstream_sends_the_next_001_44() {
    let gate = Gate::closed();
    let events = fixtures::events(fixtures::openai_chat::STREAM_USAGE);
    let upstream = Upstream::always(Script::stream(events.clone()).gated(&gate)).await;
    let mut gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let body = r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#;
    let url = gateway.url().to_owned();
    // The first piece says nothing yet, so the head waits for the second.
    gate.pass(2);
    let mut live = Request::post(CHAT, body).bearer(KEY).open(&url).await;
    assert_eq!(live.headers.get("content-type"), Some("text/event-stream; charset=utf-8"));

    let mut seen = Vec::new();
    for sent in 2..=events.len() {
        while seen.len() < sent {
            seen.push(live.next_event().await.unwrap().what.data);
        }
        gate.pass(1);
    }

    let sent = waypost_testkit::sse::parse(fixtures::openai_chat::STREAM_USAGE.as_bytes());
    assert_eq!(seen, sent.into_iter().map(|event| event.data).collect::<Vec<_>>());
    assert_eq!(seen.last().map(String::as_str), Some("[DONE]"));
    assert!(live.next_event().await.is_none());
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.stream, record.usage.output), (Outcome::Complete, true, Some(9)));
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_upstreams_work_and_is_recorded_001_45() {
    let cases = [
        ("openai", "gpt-4o", fixtures::openai_chat::STREAM, 3),
        ("anthropic", "claude-sonnet-4-5", fixtures::anthropic::STREAM, 4),
    ];
    for (provider, model, stream, pieces) in cases {
        let upstream = Upstream::always(Script::stream(fixtures::events(stream)).stall_after(pieces)).await;
        let mut gateway = gateway_to(provider, &upstream, &format!("[{model}]")).await;
        let body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
        let mut live = Request::post(CHAT, body.to_string()).bearer(KEY).open(gateway.url()).await;
        assert!(live.next_event().await.is_some());

        live.hang_up();

        assert_eq!(upstream.wait_aborted(1).await.len(), 1);
        let record = gateway.record().await;
        assert_eq!(record.outcome, Outcome::Abandoned, "{provider}");
        // Five or six bytes were delivered. Anthropic's own count at that point is a placeholder.
        assert_eq!((record.usage.output, record.basis), (Some(2), Basis::Estimated), "{provider}");
        gateway.assert_no_record();
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_waiting_ends_the_upstreams_work_too_001_45() {
    let upstream = Upstream::always(Script::never_answer()).await;
    let mut gateway = gateway_to("openai", &upstream, "[gpt-4o]").await;
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut client = waypost_testkit::Client::connect(gateway.url()).await;
    client.write(&Request::post(CHAT, body).bearer(KEY).to_bytes("gateway")).await.unwrap();
    upstream.wait_hits(1).await;

    client.hang_up();

    assert_eq!(upstream.wait_aborted(1).await.len(), 1);
    assert_eq!(gateway.record().await.outcome, Outcome::Abandoned);
}
