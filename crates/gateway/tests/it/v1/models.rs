//! `GET /v1/models` and `/v1/models/{id}`, in both protocols.

use serde_json::Value;
use waypost_testkit::{Answer, Request, Upstream};

use super::{anthropic_error, openai_error};
use crate::harness::Gateway;

const ALL: &str = "wp-all-0123456789abcdef";
const FEW: &str = "wp-few-0123456789abcdef";

async fn gateway(upstream: &Upstream) -> Gateway {
    let url = upstream.url();
    Gateway::start(&format!(
        "keys: [{{name: all, key: {ALL}}}, {{name: few, key: {FEW}, models: ['gpt-*']}}]\nchannels:\n\
         - {{name: a, provider: openai, base_url: '{url}', api_key: k, models: [gpt-4o, gpt-4o-mini, 'vendor/tool:8b']}}\n\
         - {{name: b, provider: anthropic, base_url: '{url}', api_key: k, models: [claude-sonnet-4-5]}}\n\
         - {{name: c, provider: openai, base_url: '{url}', api_key: k, models: ['ft:*']}}\n"
    ))
    .await
}

async fn get(gateway: &Gateway, key: &str, path: &str) -> Answer {
    Request::get(path).bearer(key).send(gateway.url()).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let models = body["data"].as_array().unwrap();
    models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_list_is_openais_and_holds_what_the_key_may_use_001_15() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream).await;

    for path in ["/v1/models", "/v1/openai/models", "/proxy/v1/models"] {
        let all = get(&gateway, ALL, path).await;
        assert_eq!((all.status, all.json()["object"].as_str()), (200, Some("list")));
        assert_eq!(ids(&all), ["claude-sonnet-4-5", "gpt-4o", "gpt-4o-mini", "vendor/tool:8b"]);
        for model in all.json()["data"].as_array().unwrap() {
            assert_eq!(model["object"], "model");
            assert!(model["created"].is_u64() && model["owned_by"].is_string());
        }
        assert_eq!(ids(&get(&gateway, FEW, path).await), ["gpt-4o", "gpt-4o-mini"]);
    }
    openai_error(&Request::get("/v1/models").send(gateway.url()).await, 401);
}

#[tokio::test]
async fn the_list_is_anthropics_where_its_header_or_mount_says_so() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream).await;
    let by_header =
        Request::get("/v1/models?limit=20").header("x-api-key", FEW).header("anthropic-version", "2023-06-01");
    let by_mount = Request::get("/v1/anthropic/v1/models").header("x-api-key", FEW);
    for request in [by_header, by_mount] {
        let answer = request.send(gateway.url()).await;
        let body = answer.json();
        assert_eq!((body["has_more"].as_bool(), body.get("object")), (Some(false), None));
        assert_eq!((body["first_id"].as_str(), body["last_id"].as_str()), (Some("gpt-4o"), Some("gpt-4o-mini")));
        let first = &body["data"][0];
        assert_eq!((first["type"].as_str(), first["display_name"].as_str()), (Some("model"), Some("gpt-4o")));
        assert!(first["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    }
}

#[tokio::test]
async fn one_model_is_told_and_an_unknown_one_is_404_with_near_names_000_12() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream).await;

    let known = get(&gateway, ALL, "/v1/models/gpt-4o").await;
    assert_eq!((known.status, known.json()["id"].as_str()), (200, Some("gpt-4o")));

    let nope = openai_error(&get(&gateway, ALL, "/v1/models/nope").await, 404);
    assert_eq!((nope["code"].as_str(), nope["param"].as_str()), (Some("model_not_found"), Some("model")));
    let near = openai_error(&get(&gateway, ALL, "/v1/models/gpt4o").await, 404);
    assert!(near["message"].as_str().unwrap().contains("`gpt-4o`"), "{near}");

    // A key sees neither the models it may not use nor their names.
    let hidden = openai_error(&get(&gateway, FEW, "/v1/models/claude-sonnet-4-6").await, 404);
    assert!(!hidden["message"].as_str().unwrap().contains("claude-sonnet-4-5"), "{hidden}");
    openai_error(&get(&gateway, FEW, "/v1/models/claude-sonnet-4-5").await, 404);

    let request = Request::get("/v1/models/nope").header("x-api-key", ALL).header("anthropic-version", "2023-06-01");
    assert_eq!(anthropic_error(&request.send(gateway.url()).await, 404)["type"], "not_found_error");
}

#[tokio::test]
async fn ids_with_slashes_are_found_raw_and_encoded_and_families_answer_too() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream).await;
    for path in ["/v1/models/vendor/tool:8b", "/v1/models/vendor%2Ftool:8b", "/v1/models/vendor%2ftool%3A8b"] {
        let answer = get(&gateway, ALL, path).await;
        assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("vendor/tool:8b")), "{path}");
    }
    let tuned = get(&gateway, ALL, "/v1/models/ft:gpt-4o:acme::7p4l").await;
    assert_eq!((tuned.status, &tuned.json()["id"]), (200, &Value::from("ft:gpt-4o:acme::7p4l")));
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_model_says_what_it_can_do_by_the_file_or_the_dated_catalogue_000_24() {
    let upstream = Upstream::start(vec![]).await;
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        "keys: [{{name: all, key: {ALL}}}]\nmodel_mappings: {{global: {{best: gpt-4o}}}}\nchannels:\n\
         - {{name: a, provider: openai, base_url: '{url}', api_key: k, models: [gpt-4o, text-embedding-3-small, {{name: gpt-4, capabilities: [vision], \
            supports_streaming: false, context_length: 1000, max_output_tokens: 50}}, local]}}\n"
    ))
    .await;
    let model = async |id: &str| get(&gateway, ALL, &format!("/v1/models/{id}")).await.json();

    let documented = model("gpt-4o").await;
    assert_eq!((&documented["context_length"], &documented["max_output_tokens"]), (&128_000.into(), &16_384.into()));
    assert_eq!((documented["modality"].as_str(), documented.get("alias_of")), (Some("chat"), None));
    assert!(documented["catalogue"].as_str().is_some_and(|day| day.starts_with("20") && day.len() == 10));
    let can = |model: &Value, what: &str| model["capabilities"][what].as_bool();
    for (what, can_it) in [
        ("streaming", true),
        ("functions", true),
        ("vision", true),
        ("audio", false),
        ("json_schema", true),
        ("reasoning", false),
    ] {
        assert_eq!(can(&documented, what), Some(can_it), "{what}");
    }

    let told = model("gpt-4").await;
    assert_eq!((&told["context_length"], &told["max_output_tokens"]), (&1000.into(), &50.into()));
    assert_eq!(
        (can(&told, "streaming"), can(&told, "vision"), can(&told, "functions")),
        (Some(false), Some(true), Some(false))
    );

    let unknown = model("local").await;
    for field in ["context_length", "max_output_tokens", "capabilities", "catalogue", "modality"] {
        assert_eq!(unknown.get(field), None, "nothing is guessed");
    }
    assert_eq!(model("text-embedding-3-small").await["modality"], "embedding");

    let alias = model("best").await;
    assert_eq!((alias["alias_of"].as_str(), can(&alias, "vision")), (Some("gpt-4o"), Some(true)));
    let list = ids(&get(&gateway, ALL, "/v1/models").await);
    assert_eq!(list, ["best", "gpt-4", "gpt-4o", "local", "text-embedding-3-small"], "each name once");

    let request = Request::get("/v1/models/gpt-4o").header("x-api-key", ALL).header("anthropic-version", "2023-06-01");
    let body = request.send(gateway.url()).await.json();
    assert_eq!((&body["max_input_tokens"], &body["max_tokens"]), (&128_000.into(), &16_384.into()));
}
