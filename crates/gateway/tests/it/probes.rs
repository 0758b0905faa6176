//! Asking accounts on purpose: what a key's answer means, in each provider's words, and what probes change of what routing
//! knows.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use waypost_core::health::Phase;
use waypost_core::snapshot::{Channel, Deployment};
use waypost_core::verdict::Class;
use waypost_gateway::probe::{self, Finding, Tested};
use waypost_gateway::telemetry::{live, prometheus::Form};
use waypost_testkit::{ClosedPort, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const CHAT: &str = "/v1/chat/completions";
const LIST: &str = r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#;
const SECRET: &str = "sk-0123456789abcdef";

fn channel(provider: &str, url: &str, more: &str) -> String {
    format!("- {{name: a, provider: {provider}, base_url: '{url}', {more}}}\n")
}

async fn gateway(settings: &str, channels: &str) -> Gateway {
    Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\n{settings}\nchannels:\n{channels}")).await
}

/// Asks the first key of the only channel.
async fn tested(gateway: &Gateway, model: Option<&str>) -> Tested {
    let live = gateway.app.live();
    let channel = &live.snapshot.channels[0];
    probe::test(&gateway.app, &live, channel, &channel.credentials[0], model).await
}

async fn found(provider: &str, script: Script) -> Tested {
    let account = Upstream::always(script).await;
    let more = format!("api_key: {SECRET}, models: [m], timeouts: {{first_byte: 50ms}}");
    let gateway = gateway("", &channel(provider, &account.url(), &more)).await;
    let tested = tested(&gateway, None).await;
    let live = gateway.app.live();
    assert_eq!(live.snapshot.channels[0].credentials[0].state.standing().out, None, "a test changes nothing");
    tested
}

// === what a key's answer means ===

#[tokio::test]
async fn an_openai_key_is_told_valid_dead_spent_limited_barred_or_without_the_model_004_33() {
    let region = r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#;
    let too_short = r#"{"error":{"message":"Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.","type":"invalid_request_error","param":null,"code":null}}"#;
    let limited = |retry_after| Finding::Limited { retry_after };
    let cases = [
        (Script::reply(200, fixtures::openai_chat::PLAIN), Finding::Valid),
        (Script::reply(400, too_short), Finding::Valid),
        (Script::reply(401, fixtures::openai_chat::ERROR_401), Finding::InvalidKey),
        (Script::reply(429, fixtures::openai_chat::ERROR_429_QUOTA), Finding::NoQuota),
        (Script::reply(429, "{}").header("retry-after", "30"), limited(Some(Duration::from_secs(30)))),
        (Script::reply(429, "{}"), limited(None)),
        (Script::reply(403, region), Finding::RegionBlocked),
        (Script::reply(403, "{}"), Finding::Forbidden),
        (Script::reply(404, fixtures::openai_chat::ERROR_404_MODEL), Finding::ModelMissing),
        (Script::reply(500, fixtures::openai_chat::ERROR_500), Finding::Broken),
        (Script::reply(200, "<html>"), Finding::Broken),
        (Script::reply(200, fixtures::openai_chat::ERROR_401), Finding::InvalidKey),
        (Script::cut_before_answer(), Finding::Broken),
        (Script::never_answer(), Finding::Slow),
    ];
    for (script, finding) in cases {
        let tested = found("openai", script).await;
        assert_eq!(tested.finding, finding);
        assert_eq!(tested.model.as_deref(), Some("m"));
        assert!(tested.sentence().ends_with('.'));
    }
}

#[tokio::test]
async fn an_address_without_anybody_is_unreachable_004_33() {
    let closed = ClosedPort::take();
    let gateway = gateway("", &channel("openai", &closed.url(), "api_key: k, models: [m]")).await;
    let tested = tested(&gateway, None).await;
    assert_eq!((tested.finding, tested.status), (Finding::Unreachable, None));
}

#[tokio::test]
async fn each_provider_is_asked_for_one_token_in_its_own_dialect_004_33() {
    let cases = [
        (
            "openai",
            fixtures::openai_chat::PLAIN,
            "/v1/chat/completions",
            ("authorization", "Bearer k"),
            ("/max_completion_tokens", 1),
        ),
        (
            "openai_compatible",
            fixtures::openai_chat::PLAIN,
            "/v1/chat/completions",
            ("authorization", "Bearer k"),
            ("/max_tokens", 1),
        ),
        ("anthropic", fixtures::anthropic::PLAIN, "/v1/messages", ("x-api-key", "k"), ("/max_tokens", 1)),
        (
            "gemini",
            fixtures::gemini::PLAIN,
            "/v1beta/models/far-m:generateContent",
            ("x-goog-api-key", "k"),
            ("/generationConfig/maxOutputTokens", 1),
        ),
        (
            "openai, dialects: [openai_responses]",
            fixtures::openai_responses::PLAIN,
            "/v1/responses",
            ("authorization", "Bearer k"),
            ("/max_output_tokens", 16),
        ),
    ];
    for (provider, answer, path, (header, key), (cap, tokens)) in cases {
        let account = Upstream::always(Script::reply(200, answer)).await;
        let url = if provider == "openai_compatible" { format!("{}/v1", account.url()) } else { account.url() };
        let channels = channel(provider, &url, "api_key: k, models: [{name: m, upstream: far-m}]");
        let tested = tested(&gateway("", &channels).await, None).await;
        assert_eq!((tested.finding, tested.status), (Finding::Valid, Some(200)), "{provider}");
        let asked = account.last();
        assert_eq!((asked.method.as_str(), asked.path_and_query.as_str()), ("POST", path));
        assert_eq!(asked.header(header), Some(key), "{provider}");
        assert_eq!(asked.json().pointer(cap).and_then(serde_json::Value::as_u64), Some(tokens), "{provider}");
    }
}

#[tokio::test]
async fn anthropic_and_gemini_refuse_in_their_own_words_004_33() {
    let error =
        |kind: &str, message: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#);
    let gemini = r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#;
    let cases = [
        ("anthropic", 401, fixtures::anthropic::ERROR_401.to_owned(), Finding::InvalidKey),
        (
            "anthropic",
            400,
            error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            Finding::NoQuota,
        ),
        ("anthropic", 403, error("forbidden", "Claude is not available in your region."), Finding::RegionBlocked),
        ("anthropic", 404, fixtures::anthropic::ERROR_404_MODEL.to_owned(), Finding::ModelMissing),
        ("gemini", 400, fixtures::gemini::ERROR_400_KEY.to_owned(), Finding::InvalidKey),
        ("gemini", 400, gemini.to_owned(), Finding::RegionBlocked),
    ];
    for (provider, status, body, finding) in cases {
        assert_eq!(found(provider, Script::reply(status, body)).await.finding, finding, "{provider} {status}");
    }
    let limited = found("gemini", Script::reply(429, fixtures::gemini::ERROR_429)).await;
    assert!(matches!(limited.finding, Finding::Limited { retry_after: Some(_) }), "{limited:?}");
}

#[tokio::test]
async fn where_no_model_is_known_the_list_is_asked_for_and_a_named_one_outweighs_all_004_33() {
    let account = Upstream::by(|request| match request.method.as_str() {
        "GET" => Script::reply(200, LIST),
        _ => Script::reply(200, fixtures::openai_chat::PLAIN),
    })
    .await;
    let gateway = gateway("", &channel("openai", &account.url(), "api_key: k")).await;
    let listed = tested(&gateway, None).await;
    assert_eq!((listed.finding, listed.model.clone()), (Finding::Valid, None));
    assert_eq!(account.last().path_and_query, "/v1/models");
    let named = tested(&gateway, Some("gpt-4o")).await;
    assert_eq!((named.finding, named.model.as_deref()), (Finding::Valid, Some("gpt-4o")));
    assert_eq!(account.last().json()["model"], "gpt-4o");
}

#[tokio::test]
async fn a_list_that_everybody_is_told_is_not_taken_for_a_proof_of_the_key() {
    let account = Upstream::always(Script::reply(200, LIST)).await;
    let gateway = gateway("", &channel("openrouter", &account.url(), "api_key: k")).await;
    let tested = tested(&gateway, None).await;
    assert_eq!((tested.finding, tested.asked, account.hits()), (Finding::Broken, false, 0));
    assert!(tested.sentence().contains("name a model"));
}

#[tokio::test]
async fn nothing_an_account_says_is_repeated_and_no_key_either() {
    let body = format!(r#"{{"error":{{"message":"Key {SECRET} is a fine nonsense","type":"x","code":null}}}}"#);
    for status in [400, 401, 403, 404, 429, 500] {
        let tested = found("openai", Script::reply(status, body.clone())).await;
        let shown = format!("{tested:?} {}", tested.sentence());
        assert!(!shown.contains("nonsense") && !shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn the_simulator_can_be_asked_too() {
    let gateway = gateway("", "- {name: a, provider: simulator}\n").await;
    assert_eq!(tested(&gateway, None).await.finding, Finding::Valid);
    assert_eq!(tested(&gateway, Some("sim/fail-401")).await.finding, Finding::InvalidKey);
}

// === probes ===

/// The gateway's only channel, its first deployment, and a round of questions to it.
struct Probed {
    gateway: Gateway,
}

impl Probed {
    async fn start(account: &Upstream, more: &str) -> Self {
        let settings = "retry: {max_attempts: 1}\nbreaker: {failures: 2, open_for: 1h, reset_after: 1h, ramp: 1ms}";
        Self { gateway: gateway(settings, &channel("openai", &account.url(), more)).await }
    }

    fn channel(&self) -> Arc<Channel> {
        Arc::clone(&self.gateway.app.live().snapshot.channels[0])
    }

    fn deployment(&self) -> Arc<Deployment> {
        self.gateway.app.live().snapshot.deployment_on(&self.channel(), "m")
    }

    fn phase(&self) -> Phase {
        let deployment = self.deployment();
        deployment.state.breaker(&deployment.channel.policy, self.gateway.app.clock.now()).0
    }

    fn out(&self, key: usize) -> Option<Class> {
        self.channel().credentials[key].state.standing().out
    }

    async fn round(&self) {
        probe::round(&self.gateway.app, &self.gateway.app.live(), &self.channel()).await;
    }

    async fn request(&self) -> u16 {
        self.gateway.post(CHAT, ASK).await.status
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.gateway.app.probes.counts().into_iter().map(|(_, finding, count)| (finding, count)).collect()
    }
}

/// Answers so many times in this way, and then well, to every question.
async fn recovering(failure: Script, times: usize) -> Upstream {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Upstream::by(move |request| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < times {
            failure.clone()
        } else if request.method == "GET" {
            Script::reply(200, LIST)
        } else {
            Script::reply(200, fixtures::openai_chat::PLAIN)
        }
    })
    .await
}

#[tokio::test]
async fn a_probe_that_succeeds_is_the_trial_of_an_isolated_deployment_004_17() {
    let account = recovering(Script::reply(500, "{}"), 3).await;
    let probed = Probed::start(&account, "api_key: k, models: [m], probe: {kind: chat}").await;
    assert_eq!((probed.request().await, probed.request().await), (502, 502));
    assert_eq!((probed.phase(), probed.request().await, account.hits()), (Phase::Open, 503, 2));

    probed.round().await;
    assert_eq!((probed.phase(), account.hits()), (Phase::Open, 3), "a trial that fails keeps it open");
    probed.round().await;
    assert_eq!((probed.phase(), account.hits()), (Phase::Closed, 4));
    assert_eq!(probed.request().await, 200);
    assert_eq!(probed.counts(), [("broken", 1), ("valid", 1)]);
    let metrics = live::page(&probed.gateway.app, Form::Prometheus);
    assert!(metrics.contains("waypost_probes_total{channel=\"a\",finding=\"valid\"} 1"), "{metrics}");
}

#[tokio::test]
async fn probes_that_fail_isolate_a_deployment_before_a_user_notices_004_17() {
    let account = Upstream::always(Script::reply(503, "{}")).await;
    let probed = Probed::start(&account, "api_keys: [k1, k2], models: [m], probe: {kind: chat}").await;
    probed.round().await;
    assert_eq!(account.hits(), 1, "the account is to blame: its other keys would hear the same");
    probed.round().await;
    assert_eq!((probed.phase(), probed.request().await, account.hits()), (Phase::Open, 503, 2));
}

#[tokio::test]
async fn each_key_is_asked_and_one_that_works_again_is_used_again_004_17() {
    for kind in ["chat", "models"] {
        let account = recovering(Script::reply(401, "{}"), 2).await;
        let probe = format!("api_keys: [k1, k2], models: [m], probe: {{kind: {kind}}}");
        let probed = Probed::start(&account, &probe).await;
        probed.round().await;
        assert_eq!(
            (probed.out(0), probed.out(1)),
            (Some(Class::CredentialDead), Some(Class::CredentialDead)),
            "{kind}"
        );
        assert_eq!(probed.request().await, 503);
        probed.round().await;
        assert_eq!((probed.out(0), probed.out(1)), (None, None), "{kind}");
        assert_eq!(probed.request().await, 200);
        assert_eq!(probed.counts(), [("invalid_key", 2), ("valid", 2)]);
    }
}

#[tokio::test]
async fn an_account_without_money_is_used_again_when_a_word_of_a_model_proves_that_there_is_some() {
    for (kind, still_out) in [("chat", None), ("models", Some(Class::NoMoney))] {
        let account = recovering(Script::reply(402, "{}"), 1).await;
        let probed = Probed::start(&account, &format!("api_key: k, models: [m], probe: {{kind: {kind}}}")).await;
        assert_eq!(probed.request().await, 502);
        probed.round().await;
        assert_eq!(probed.out(0), still_out, "{kind}");
    }
}

#[tokio::test]
async fn an_account_that_asked_for_patience_gets_it_from_probes_too() {
    let limited = Script::reply(429, "{}").header("retry-after", "60");
    let account = recovering(limited, 1).await;
    let probed = Probed::start(&account, "api_key: k, models: [m], probe: {kind: chat}").await;
    probed.round().await;
    probed.round().await;
    assert_eq!(account.hits(), 1);
    assert_eq!(probed.counts(), [("limited", 1)]);
}

#[tokio::test]
async fn nobody_is_asked_while_the_gateway_stops() {
    let account = Upstream::always(Script::reply(200, LIST)).await;
    let probed = Probed::start(&account, "api_key: k, models: [m], probe: {}").await;
    probed.gateway.app.begin_leaving();
    probed.round().await;
    assert_eq!(account.hits(), 0);
}
