//! The access log and the debugging header: what a line says, in both styles, and as the configuration wants it.

use serde_json::{Value, json};
use waypost_core::config::{Config, Format};
use waypost_core::usage::CostRecord;
use waypost_gateway::clock::Clock;
use waypost_gateway::telemetry::Wall;
use waypost_gateway::telemetry::access_log::{Lines, LogStyle};
use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY, channel};
use crate::start::Waypost;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"a secret question"}]}"#;

/// A channel that fails before one that answers.
async fn failing_over() -> (Upstream, Upstream, String) {
    let ill = Upstream::always(Script::reply(503, "{}")).await;
    let well = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let channels = format!(
        "{}{}",
        channel("ill", "openai", &format!("{}/v1", ill.url()), "[m]"),
        channel(
            "well",
            "openai",
            &format!("{}/v1", well.url()),
            "[{name: m, tier: 2, price: {input: 1.5, output: 6}}]"
        ),
    );
    (ill, well, channels)
}

#[tokio::test]
async fn a_line_tells_every_attempt_and_when_it_began_001_38_002_31_003_31_004_35() {
    let (_ill, _well, channels) = failing_over().await;
    let file = format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{channels}");
    let mut waypost = Waypost::new().file("waypost.yaml", &file).arguments(&["--port", "0"]).start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let answer = Request::post(CHAT, ASK).bearer(KEY).header("traceparent", parent).send(waypost.url()).await;
    assert_eq!(answer.status, 200);
    let line = waypost.log_line().await;
    assert_eq!(line["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(
        (&line["deployment"], &line["attempts"], &line["outcome"], &line["error_kind"]),
        (&json!("well/m"), &json!(2), &json!("complete"), &Value::Null)
    );
    let trail = line["trail"].as_array().unwrap();
    let told = |at: usize| ["deployment", "credential", "outcome", "status"].map(|field| trail[at][field].clone());
    assert_eq!(told(0), [json!("ill/m"), json!("key"), json!("overloaded"), json!(503)]);
    assert_eq!(told(1), [json!("well/m"), json!("key"), json!("answered"), json!(200)]);
    assert!(trail.iter().all(|attempt| attempt["ms"].is_u64()) && trail.len() == 2);
    // 19 tokens at 1.5 USD a million and 10 at 6.
    assert_eq!(line["cost"], "0.0000885");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[tokio::test]
async fn the_file_chooses_style_and_level_and_what_lines_say_002_31() {
    let (_ill, _well, channels) = failing_over().await;
    let file = format!(
        "logging: {{format: json, level: error, log_request: false, log_response: false}}\nkeys: [{{name: test, key: {KEY}}}]\nchannels:\n{channels}"
    );
    let waypost = Waypost::new().file("waypost.yaml", &file).arguments(&["--port", "0", "--log-level", "info"]);
    let mut waypost = waypost.start().await;
    Request::post(CHAT, ASK).bearer(KEY).send(waypost.url()).await;
    let line = waypost.log_line().await;
    assert_eq!((&line["status"], &line["outcome"]), (&json!(200), &json!("complete")));
    for field in ["key", "model", "deployment", "trail", "input_tokens", "cost"] {
        assert!(line.get(field).is_none(), "{line}");
    }
    let off = format!("logging: {{enabled: false, log_body: true}}\nkeys: [{{name: test, key: {KEY}}}]\n");
    let (code, _, error) = Waypost::new().file("waypost.yaml", &off).arguments(&["check"]).run().await;
    assert_eq!(code, Some(1));
    assert!(error.contains("logging.log_body: prompts and answers are never written to the log"), "{error}");
}

#[tokio::test]
async fn a_line_for_people_names_what_failed_004_35() {
    let (_ill, _well, channels) = failing_over().await;
    let mut gateway = Gateway::with_channels(&channels).await;
    gateway.post(CHAT, ASK).await;
    let mut record = gateway.record().await;
    record.cost = Some(CostRecord { nano_usd: 88_500, price: "p".into(), arithmetic: "".into() });
    let wall = Wall::now(&Clock::default());
    let mut text = Vec::new();
    Lines::whole(LogStyle::Pretty).append(&mut text, &record, &wall);
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("200 complete  chat m -> well/m "), "{text}");
    assert!(text.contains(", failed: ill/m (overloaded 503, ") && text.ends_with(" ms)\n"), "{text}");
    assert!(text.contains(", 0.0000885 USD, key test, "), "{text}");
    let mut short = Vec::new();
    Lines { style: LogStyle::Pretty, request: false, response: false }.append(&mut short, &record, &wall);
    let short = String::from_utf8(short).unwrap();
    assert!(!short.contains("well") && !short.contains("test") && short.contains(&*record.request_id), "{short}");
}

#[tokio::test]
async fn a_caller_who_asks_is_told_where_the_time_went_000_29() {
    let (_ill, _well, channels) = failing_over().await;
    let gateway = Gateway::with_channels(&channels).await;
    let ask = async |gateway: &Gateway, key: &str, model: &str| {
        let body = ASK.replace("\"m\"", &format!("\"{model}\""));
        Request::post(CHAT, body).bearer(key).header("x-waypost-debug", "true").send(gateway.url()).await
    };
    let answer = ask(&gateway, KEY, "m").await;
    let told: Value = serde_json::from_str(answer.header("x-waypost-trace").expect("it is told")).unwrap();
    assert!(told["read_us"].as_u64() <= told["planned_us"].as_u64());
    assert!(told["planned_us"].as_u64() <= told["answered_us"].as_u64() && told["answered_us"].is_u64(), "{told}");
    let tried: Vec<_> = told["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["deployment"]).collect();
    assert_eq!(tried, ["ill/m", "well/m"]);
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-trace"), None, "nobody asked");
    assert_eq!(ask(&gateway, "wp-nobody", "m").await.header("x-waypost-trace"), None);

    let ill = Upstream::always(Script::reply(500, "{}")).await;
    let yaml = |more: &str| {
        let channel = channel("ill", "openai", &format!("{}/v1", ill.url()), "[m]");
        format!("{more}keys: [{{name: test, key: {KEY}}}]\nretry: {{enabled: false}}\nchannels:\n{channel}")
    };
    let gateway = Gateway::start(&yaml("")).await;
    let answer = ask(&gateway, KEY, "m").await;
    assert_eq!(answer.status, 502);
    assert!(answer.header("x-waypost-trace").expect("errors tell it too").contains(r#""outcome":"server_error""#));
    let gateway = Gateway::start(&yaml("admin: {debug_header: false}\n")).await;
    assert_eq!(ask(&gateway, KEY, "m").await.header("x-waypost-trace"), None, "it is switched off");
}

#[test]
fn a_file_without_a_word_about_logging_logs_everything_but_bodies() {
    let config = Config::parse("keys: []", Format::Yaml, "w.yaml", &|_| None).unwrap();
    let logging = config.logging;
    assert!(logging.enabled && logging.log_request && logging.log_response && !logging.log_body);
}
