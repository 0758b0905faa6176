//! `/metrics`: valid text, what is counted as what, who may read it, and that callers cannot make it grow.

mod exposition;
mod shipped;

use serde_json::json;
use waypost_testkit::{Request, Script, Upstream, fixtures};

use self::exposition::Exposition;
use crate::harness::{Gateway, KEY, channel};

const CHAT: &str = "/v1/chat/completions";
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

fn ask(model: &str, stream: bool) -> String {
    let options = if stream { r#","stream_options":{"include_usage":true}"# } else { "" };
    format!(r#"{{"model":"{model}","stream":{stream}{options},"messages":[{{"role":"user","content":"Hi"}}]}}"#)
}

/// Sends a request and counts its record.
async fn counted(gateway: &mut Gateway, body: String) -> u16 {
    let answer = gateway.post(CHAT, body).await;
    let record = gateway.record().await;
    gateway.app.telemetry.metrics.observe(&[record]);
    answer.status
}

async fn page(gateway: &Gateway) -> Exposition {
    let answer = Request::get("/metrics").send(gateway.url()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    Exposition::read(answer.text(), false)
}

async fn ill_and_well() -> (Upstream, Upstream, Gateway) {
    let ill = Upstream::always(Script::reply(503, "{}")).await;
    let well = Upstream::by(|request| {
        let asked = request.json();
        if asked["model"].as_str().is_some_and(|name| name.starts_with("free-odd")) {
            return Script::reply(404, "{}");
        }
        match asked["stream"] == true {
            true => Script::stream(fixtures::events(fixtures::openai_chat::STREAM_USAGE)),
            false => Script::reply(200, fixtures::openai_chat::PLAIN),
        }
    })
    .await;
    let channels = format!(
        "{}{}",
        channel("ill", "openai", &format!("{}/v1", ill.url()), "[m]"),
        channel("well", "mistral", &format!("{}/v1", well.url()), "[{name: m, tier: 2}, n, 'free-*']"),
    );
    let gateway = Gateway::with_channels(&channels).await;
    (ill, well, gateway)
}

#[tokio::test]
async fn both_forms_are_valid_before_and_after_traffic_001_46_002_43() {
    let (_ill, _well, mut gateway) = ill_and_well().await;
    for _ in 0..2 {
        page(&gateway).await;
        let answer = Request::get("/metrics").header("accept", OPEN).send(gateway.url()).await;
        assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        let open = Exposition::read(answer.text(), true);
        assert!(open.families.contains_key("waypost_requests") && answer.text().contains("# EOF"));
        counted(&mut gateway, ask("m", false)).await;
        counted(&mut gateway, ask("m", true)).await;
    }
    assert_eq!(Request::post("/metrics", "{}").send(gateway.url()).await.status, 405);
}

#[tokio::test]
async fn requests_attempts_and_errors_are_counted_by_class_provider_and_model_000_60_000_61() {
    let (_ill, _well, mut gateway) = ill_and_well().await;
    assert_eq!(counted(&mut gateway, ask("m", false)).await, 200);
    assert_eq!(counted(&mut gateway, ask("m", true)).await, 200);
    assert_eq!(Request::post(CHAT, ask("m", false)).bearer("wp-nobody").send(gateway.url()).await.status, 401);
    let page = page(&gateway).await;
    let ok = [
        ("operation", "chat"),
        ("model", "m"),
        ("outcome", "complete"),
        ("status_class", "2xx"),
        ("error_kind", "none"),
    ];
    assert_eq!(page.sum("waypost_requests_total", &ok), 2.0);
    let failed = [("channel", "ill"), ("provider", "openai"), ("verdict", "overloaded")];
    assert_eq!(page.sum("waypost_attempts_total", &failed), 2.0);
    let answered = [("channel", "well"), ("provider", "mistral_ai"), ("verdict", "answered")];
    assert_eq!(page.sum("waypost_attempts_total", &answered), 2.0);
    assert_eq!(page.sum("waypost_failovers_total", &[("channel", "ill")]), 2.0);
    assert_eq!(page.sum("waypost_refusals_total", &[("kind", "unauthenticated")]), 1.0);
    assert_eq!(page.sum("waypost_refusals_total", &[]), 1.0);
    assert_eq!(page.sum("waypost_key_requests_total", &[("key", "test"), ("outcome", "complete")]), 2.0);
    let upstream = [("gen_ai_provider_name", "openai"), ("error_type", "overloaded")];
    assert_eq!(page.sum("gen_ai_client_operation_duration_seconds_count", &upstream), 2.0);
}

#[tokio::test]
async fn latency_tokens_and_their_pace_have_the_names_of_the_conventions_000_60_001_26() {
    let (_ill, _well, mut gateway) = ill_and_well().await;
    counted(&mut gateway, ask("m", false)).await;
    counted(&mut gateway, ask("m", true)).await;
    let page = page(&gateway).await;
    let labels =
        [("gen_ai_operation_name", "chat"), ("gen_ai_provider_name", "mistral_ai"), ("gen_ai_request_model", "m")];
    assert_eq!(page.sum("gen_ai_server_request_duration_seconds_count", &labels), 2.0);
    // Only the streamed answer has a first token that is not its last.
    assert_eq!(page.sum("gen_ai_server_time_to_first_token_seconds_count", &labels), 1.0);
    assert_eq!(page.sum("gen_ai_server_time_per_output_token_seconds_count", &labels), 1.0);
    let tokens = |class| page.sum("gen_ai_client_token_usage_sum", &[labels[2], ("gen_ai_token_type", class)]);
    assert_eq!((tokens("input"), tokens("output")), (38.0, 19.0));
    assert_eq!(
        page.sum("waypost_tokens_total", &[("model", "m"), ("token_type", "input"), ("basis", "provider")]),
        38.0
    );
    assert_eq!(page.sum("waypost_key_tokens_total", &[("key", "test"), ("token_type", "output")]), 19.0);
    assert_eq!(page.sum("waypost_overhead_seconds_count", &[]), 2.0);
}

#[tokio::test]
async fn a_request_that_nobody_answers_is_an_error_and_not_a_refusal() {
    let ill = Upstream::always(Script::reply(400, fixtures::openai_chat::ERROR_400_CONTEXT)).await;
    let mut gateway = Gateway::with_channels(&channel("one", "openai", &format!("{}/v1", ill.url()), "[m]")).await;
    assert_eq!(counted(&mut gateway, ask("m", false)).await, 400);
    let page = page(&gateway).await;
    let labels = [("outcome", "failed"), ("status_class", "4xx"), ("error_kind", "upstream_rejected")];
    assert_eq!(page.sum("waypost_requests_total", &labels), 1.0);
    assert_eq!(page.sum("gen_ai_server_request_duration_seconds_count", &[("error_type", "upstream_rejected")]), 1.0);
    assert_eq!(page.sum("waypost_refusals_total", &[]), 0.0);
    assert_eq!(page.sum("waypost_tokens_total", &[]), 0.0);
}

#[tokio::test]
async fn names_that_callers_invent_are_no_labels() {
    let (_ill, _well, mut gateway) = ill_and_well().await;
    // Names of a family that a provider answers to are shown, up to a number.
    for number in 0..130 {
        assert_eq!(counted(&mut gateway, ask(&format!("free-{number}"), false)).await, 200);
    }
    let shown = page(&gateway).await;
    let names = shown.values("model");
    assert!(names.contains("free-0") && names.contains("other") && names.len() <= 102, "{}", names.len());
    assert_eq!(shown.sum("waypost_requests_total", &[]), 130.0);
    // Those that nobody answers to are not.
    for number in 0..10 {
        counted(&mut gateway, ask(&format!("free-odd-{number}\\\"}}\\\\"), false)).await;
    }
    let page = page(&gateway).await;
    assert!(!page.values("model").iter().any(|name| name.starts_with("free-odd")));
    assert_eq!(page.sum("waypost_requests_total", &[("model", "free-*")]), 10.0);
    assert_eq!(page.values("gen_ai_request_model"), page.values("model"));
}

#[tokio::test]
async fn gauges_tell_the_moment_and_what_the_process_takes_000_62() {
    let gate = waypost_testkit::Gate::closed();
    let slow = Upstream::always(Script::stream(fixtures::events(fixtures::openai_chat::STREAM)).gated(&gate)).await;
    let gateway = Gateway::with_channels(&channel("slow", "openai", &format!("{}/v1", slow.url()), "[m]")).await;
    let asking = gateway.post(CHAT, ask("m", true));
    let looking = async {
        slow.wait_hits(1).await;
        let page = page(&gateway).await;
        gate.pass(100);
        page
    };
    let (_, page) = tokio::join!(asking, looking);
    assert_eq!(page.sum("waypost_in_flight", &[("channel", "slow"), ("provider", "openai")]), 1.0);
    assert_eq!(page.sum("waypost_requests_in_flight", &[]), 2.0, "the look is one of them");
    assert_eq!(page.sum("waypost_retry_budget_requests", &[]), 1.0);
    assert_eq!(page.sum("waypost_breaker_state", &[("deployment", "slow/m")]), 0.0);
    assert_eq!(page.sum("waypost_deployments", &[("state", "healthy")]), 1.0);
    assert_eq!(page.sum("waypost_config_last_reload_successful", &[]), 1.0);
    if cfg!(target_os = "linux") {
        for name in ["resident_memory_bytes", "open_fds", "max_fds", "threads", "start_time_seconds"] {
            assert!(page.sum(&format!("process_{name}"), &[]) > 0.0, "{name}");
        }
        assert!(page.families.contains_key("process_cpu_seconds_total"));
    }
}

#[tokio::test]
async fn breakers_and_reloads_are_seen() {
    let ill = Upstream::always(Script::reply(500, "{}")).await;
    let yaml = |key: &str| {
        format!(
            "keys: [{{name: test, key: {key}}}]\nbreaker: {{failures: 1}}\nretry: {{backoff: {{base: 1ms}}}}\nchannels:\n{}",
            channel("ill", "openai", &format!("{}/v1", ill.url()), "[m]")
        )
    };
    let mut gateway = Gateway::start(&yaml(KEY)).await;
    assert_ne!(counted(&mut gateway, ask("m", false)).await, 200);
    let page = page(&gateway).await;
    assert_eq!(page.sum("waypost_breaker_state", &[("deployment", "ill/m"), ("channel", "ill")]), 2.0);
    assert_eq!(page.sum("waypost_breaker_transitions_total", &[("channel", "ill"), ("to", "open")]), 1.0);
    assert_eq!(page.sum("waypost_channel_healthy", &[("channel", "ill")]), 0.0);
    assert_eq!(page.sum("waypost_deployments", &[("state", "unhealthy")]), 1.0);
}

#[tokio::test]
async fn metrics_are_the_administrators_where_there_is_one_unless_they_are_opened() {
    let token = "an-admin-token-0123456789";
    let status = async |gateway: &Gateway, bearer: Option<&str>| {
        let request = Request::get("/metrics");
        bearer.into_iter().fold(request, |request, token| request.bearer(token)).send(gateway.url()).await.status
    };
    let gateway = Gateway::start(&format!("admin: {{token: {token}}}\nkeys: [{{name: test, key: {KEY}}}]")).await;
    for (bearer, expected) in [(None, 401), (Some(KEY), 401), (Some("x"), 401), (Some(token), 200)] {
        assert_eq!(status(&gateway, bearer).await, expected, "{bearer:?}");
    }
    let gateway = Gateway::start(&format!("admin: {{token: {token}, metrics: open}}")).await;
    assert_eq!(status(&gateway, None).await, 200);
    let gateway = Gateway::start("open_mode: true").await;
    assert_eq!(status(&gateway, None).await, 200);
    // The same gateway on an address that others can reach.
    gateway.app.note_edge("192.0.2.1:1".parse().unwrap(), gateway.edge().glance());
    let answer = Request::get("/metrics").send(gateway.url()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("not_found")));
}
