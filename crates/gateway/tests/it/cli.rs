//! The commands beside serving, against the built binary: exit codes, and what they print.

use serde_json::Value;
use waypost_testkit::{ClosedPort, Request, Script, Upstream, fixtures};

use crate::harness::Gateway;
use crate::start::{Running, Waypost};
use crate::tls::pem;

const CHAT: &str = "/v1/chat/completions";

async fn ran(waypost: Waypost, arguments: &[&str]) -> (Option<i32>, String, String) {
    waypost.arguments(arguments).run().await
}

// === test channels ===

/// Two keys of one account, of which the second is dead, and an account whose model is not there.
async fn accounts() -> (Upstream, String) {
    let account = Upstream::by(|request| {
        match (request.header("authorization"), request.json()["model"].as_str().unwrap_or_default()) {
            (Some("Bearer sk-dead-0123456789"), _) => Script::reply(401, fixtures::openai_chat::ERROR_401),
            (_, "nope") => Script::reply(404, fixtures::openai_chat::ERROR_404_MODEL),
            _ => Script::reply(200, fixtures::openai_chat::PLAIN),
        }
    })
    .await;
    let url = account.url();
    let yaml = format!(
        "keys: [{{name: app, key: wp-app-0123456789}}]\nchannels:
- {{name: main, provider: openai, base_url: '{url}/v1', models: [m], credentials: [{{name: good, key: sk-good-0123456789}}, {{name: old, key: sk-dead-0123456789}}]}}
- {{name: relay, provider: openai_compatible, base_url: '{url}/v1', api_key: sk-good-0123456789, models: [m]}}
- {{name: asleep, provider: openai_compatible, base_url: '{url}/v1', api_key: sk-dead-0123456789, models: [nope], enabled: false}}\n"
    );
    (account, yaml)
}

#[tokio::test]
async fn every_key_of_every_channel_is_tested_and_one_dead_key_fails_it_003_32_004_33() {
    let (account, yaml) = accounts().await;
    for command in ["channels", "endpoints"] {
        let (code, said, complaint) = ran(Waypost::new().file("waypost.yaml", &yaml), &["test", command]).await;
        assert_eq!((code, &*complaint), (Some(1), ""));
        let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["CHANNEL", "KEY", "FINDING", "MS", "MODEL"]);
        let row = |number: usize| [rows[number][0], rows[number][1], rows[number][2], rows[number].last().unwrap()];
        assert_eq!(row(1), ["main", "good", "valid", "m"]);
        assert_eq!(row(2), ["main", "old", "invalid_key", "m"]);
        assert_eq!(row(3), ["relay", "key", "valid", "m"]);
        assert_eq!(row(4), ["asleep", "key", "off", "-"]);
        assert!(said.contains("main / old: The provider does not accept the key"), "{said}");
        assert!(!said.contains("sk-"), "{said}");
    }
    assert_eq!(account.hits(), 6);
}

#[tokio::test]
async fn named_channels_are_tested_alone_and_json_tells_it_to_scripts_003_32() {
    let (_account, yaml) = accounts().await;
    let test = |arguments: &'static [&'static str]| ran(Waypost::new().file("waypost.yaml", &yaml), arguments);
    let (code, said, _) = test(&["test", "channels", "relay", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["ok"].as_bool(), said["keys"].as_array().map(Vec::len)), (Some(0), Some(true), Some(1)));
    let key = &said["keys"][0];
    assert_eq!((&key["channel"], &key["finding"], &key["status"]), (&"relay".into(), &"valid".into(), &200.into()));
    assert!(key["latency_ms"].is_u64());

    let (code, said, _) = test(&["test", "channels", "relay", "--model", "nope"]).await;
    assert!(code == Some(1) && said.contains("model_missing"), "{said}");
    let (code, said, _) = test(&["test", "channels", "asleep"]).await;
    assert!(code == Some(1) && said.contains("invalid_key"), "{said}");
    let (code, _, complaint) = test(&["test", "channels", "relais"]).await;
    assert_eq!((code, &*complaint), (Some(1), "waypost: there is no channel `relais`; did you mean `relay`?\n"));
}

// === health ===

#[tokio::test]
async fn a_gateway_that_is_ready_not_ready_or_not_there_has_three_exit_codes_003_34() {
    let gateway = Gateway::with_channels("- {name: sim, provider: simulator}").await;
    let health = |url: &str| ran(Waypost::new().env("WAYPOST_URL", url), &["health"]);
    let (code, said, complaint) = health(gateway.url()).await;
    assert_eq!((code, said.lines().count(), &*complaint), (Some(0), 1, ""));
    assert!(said.starts_with(&format!("ready: {} is ok, version", gateway.url())), "{said}");
    assert!(said.contains("1 of 1 channels are well"), "{said}");

    gateway.app.begin_leaving();
    let (code, said, _) = health(gateway.url()).await;
    assert!(code == Some(1) && said.starts_with("not ready: "), "{said}");

    let closed = ClosedPort::take();
    let (code, said, _) = health(&closed.url()).await;
    assert!(code == Some(2) && said.starts_with("not reachable: ") && said.contains("refused"), "{said}");
    let other = Upstream::always(Script::reply(200, "<html>")).await;
    let (code, said, _) = health(&other.url()).await;
    assert!(code == Some(2) && said.contains("something else answers there"), "{said}");
}

#[tokio::test]
async fn health_finds_the_port_by_itself_and_speaks_json_003_34() {
    let gateway = Gateway::with_channels("- {name: sim, provider: simulator}").await;
    let port = gateway.url().rsplit(':').next().unwrap().to_owned();
    let (code, said, _) = ran(Waypost::new().env("PORT", &port), &["health", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ready"], &said["health"]["status"]), (Some(0), &true.into(), &"ok".into()));
    let (code, _, complaint) = ran(Waypost::new(), &["health", "--url", "gateway:3000"]).await;
    assert!(code == Some(1) && complaint.contains("--url"), "{complaint}");
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_accepted_on_this_machine_if_ordered_003_34() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let yaml = "server: {host: 127.0.0.1, port: 0, tls: {cert: cert.pem, key: key.pem}}
keys: [{name: app, key: wp-app-0123456789}]
channels: [{name: sim, provider: simulator}]\n";
    let files = Waypost::new().file("waypost.yaml", yaml).file("cert.pem", &pem("CERTIFICATE", signed.cert.der()));
    let gateway = files.file("key.pem", &pem("PRIVATE KEY", &signed.signing_key.serialize_der())).start().await;
    let url = gateway.url().replace("http://", "https://");
    let (code, said, _) = ran(Waypost::new(), &["health", "--url", &url]).await;
    assert!(code == Some(2) && said.contains("--insecure"), "{said}");
    let (code, said, _) = ran(Waypost::new(), &["health", "--url", &url, "--insecure"]).await;
    assert_eq!(code, Some(0), "{said}");
}

// === selftest ===

#[tokio::test]
async fn everything_is_proved_on_the_users_own_machine_003_33() {
    let (code, said, complaint) = ran(Waypost::new(), &["selftest"]).await;
    assert_eq!((code, &*complaint), (Some(0), ""), "{said}");
    for proof in ["byte for byte", "Anthropic caller", "500", "dead key", "refused", "dies", "rate limit", "tried out"]
    {
        let line = said.lines().find(|line| line.contains(proof)).unwrap();
        assert!(line.starts_with("ok") && line.ends_with(" ms"), "{line}");
    }
    assert!(said.contains("11 of 11 proofs hold"), "{said}");
}

// === mock ===

async fn mock() -> (Running, String) {
    let mut mock = Waypost::new().arguments(&["mock", "--port", "0"]).run_on();
    let line = mock.print_line().await;
    let url = line.split_whitespace().last().unwrap().to_owned();
    (mock, url)
}

#[tokio::test]
async fn the_mock_is_a_provider_for_another_gateway_000_70() {
    let (mock, url) = mock().await;
    let channels = format!(
        "- {{name: o, provider: openai, base_url: '{url}/v1', api_key: any, models: [sim/fast, {{name: bad, upstream: sim/fail-401}}]}}
- {{name: a, provider: anthropic, base_url: '{url}', api_key: any, models: [{{name: claude, upstream: sim/echo@0ms}}]}}"
    );
    let gateway = Gateway::with_channels(&channels).await;
    let ask = |model: &str, stream| {
        format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"Hello, mock!"}}]}}"#)
    };
    let answer = gateway.post(CHAT, ask("sim/fast", false)).await;
    assert_eq!((answer.status, &answer.json()["object"]), (200, &"chat.completion".into()));
    let stream = gateway.post(CHAT, ask("sim/fast", true)).await;
    assert!(stream.status == 200 && stream.text().trim_end().ends_with("data: [DONE]"));
    let echo = gateway.post(CHAT, ask("claude", false)).await;
    assert_eq!(echo.json()["choices"][0]["message"]["content"], "Hello, mock!");
    assert_eq!(gateway.post(CHAT, ask("bad", false)).await.status, 502);
    drop(mock);
}

#[tokio::test]
async fn the_mock_lists_its_models_fails_as_they_say_and_ends_on_a_signal_000_70() {
    let (mut mock, url) = mock().await;
    let models = Request::get("/v1/models").send(&url).await.json();
    assert!(models["data"].as_array().unwrap().iter().any(|model| model["id"] == "sim/chat"));
    let ask = |model: &str| format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#);
    for (model, status) in [("sim/fail-401", 401), ("sim/fail-429", 429), ("sim/fail-529", 529)] {
        assert_eq!(Request::post(CHAT, ask(model)).send(&url).await.status, status);
    }
    let limited = Request::post(CHAT, ask("sim/fail-429")).send(&url).await;
    assert!(limited.header("retry-after").is_some());
    assert_eq!(Request::get("/v1/files").send(&url).await.status, 404);
    assert_eq!(Request::post(CHAT, "{").send(&url).await.status, 400);
    assert_eq!(Request::get("/health").send(&url).await.status, 200);
    mock.terminate();
    assert_eq!(mock.exit_code().await, Some(0));
}
