use std::time::Duration;

use super::*;

fn lookup(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" => Some("sk-1".to_owned()),
        "PORT" => Some("4000".to_owned()),
        _ => None,
    }
}

fn yaml(text: &str) -> Result<Config, Vec<ConfigError>> {
    Config::parse(text, Format::Yaml, "waypost.yaml", &lookup)
}

/// The errors as people see them.
fn shown(text: &str) -> Vec<String> {
    yaml(text).expect_err(text).iter().map(ToString::to_string).collect()
}

const FULL: &str = r#"
server: { port: "${PORT}", max_body_bytes: 1_048_576 }
keys:
  - name: laptop
    key: wp-1
    models: [gpt-*]
channels:
  - name: openai-main
    provider: openai
    api_key: ${OPENAI_API_KEY}
    models: [gpt-4o, {name: gpt-4, upstream: gpt-4-0613, max_output_tokens: 4096}]
    priority: 2
    timeouts: { connect: 5s, idle: 1.5m }
    timeout: 30
  - name: backup
    baseUrl: http://127.0.0.1:9000/v1
    apiKeys: [a, b]
    headers: { X-Team: blue }
model_mappings: { global: { a: b }, providers: { azure_openai: { c: d } } }
fallback: { enabled: true, maxRetries: 3 }
defaults: { connect_timeout: 3, user_agent: Probe/1.0, verify_ssl: false }
"#;

#[test]
fn a_whole_file_is_read() {
    let config = yaml(FULL).unwrap();
    assert_eq!(config.server.port, 4000);
    assert_eq!(config.server.max_body_bytes, 1_048_576);
    assert_eq!(config.server.host, "127.0.0.1");
    let main = &config.channels[0];
    assert_eq!(main.api_key.as_ref().unwrap().expose(), "sk-1");
    assert_eq!((main.tier, main.weight), (2, 100));
    let models = main.models.as_ref().unwrap();
    assert_eq!(models[0], ModelEntry::named("gpt-4o"));
    assert_eq!(models[1].0.upstream.as_deref(), Some("gpt-4-0613"));
    assert_eq!(main.timeouts.idle, Some(Span(Duration::from_secs(90))));
    assert_eq!(main.timeout, Some(Span::seconds(30)));
    assert_eq!(config.channels[1].api_keys.len(), 2);
    assert_eq!(config.channels[1].headers["X-Team"], "blue");
    // 003-10: retries come after the first attempt.
    assert_eq!(config.retry.attempts(), 4);
    assert!(!config.defaults.verify_tls);
}

#[test]
fn json_is_read_by_the_same_schema() {
    let text = r#"{"server": {"port": "${PORT:-1}"}, "channels": [{"name": "a", "models": ["x", {"name": "y"}]}]}"#;
    let config = Config::parse(text, Format::Json, "waypost.json", &lookup).unwrap();
    assert_eq!(config.server.port, 4000);
    assert_eq!(config.channels[0].models.as_ref().unwrap().len(), 2);

    let text = "{\n  \"server\": {\n    \"prot\": 1\n  }\n}";
    let errors = Config::parse(text, Format::of("A.JSON"), "a.json", &lookup).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "a.json:3:13: server.prot: there is no such key; did you mean `port`?");
}

#[test]
fn a_wrong_type_is_shown_with_file_line_and_key() {
    // 004-13
    assert_eq!(
        shown("server:\n  port: many\n"),
        ["waypost.yaml:2:9: server.port: expected a whole number from 0 to 65535, found text"]
    );
    assert_eq!(
        shown("channels:\n  - name: a\n    enabled: maybe\n"),
        ["waypost.yaml:3:14: channels[0].enabled: expected a boolean, found text"]
    );
    assert_eq!(shown("channels: 5\n"), ["waypost.yaml:1:11: channels: expected a sequence, found a number"]);
}

#[test]
fn every_mistake_is_reported_in_one_go_in_the_order_of_the_file() {
    let text = "
server: { prot: 1, port: x }
keys:
  - key: wp-1
channels:
  - name: a
    tier: 11
    api_key: ${NOT_SET}
  - nmae: b
  - name: c
    models: [x, {nam: y}]
    timeouts: { idle: 5 days }
retry: { max_attempts: 0 }
chanels: []
";
    assert_eq!(
        shown(text),
        [
            "waypost.yaml:2:11: server.prot: there is no such key; did you mean `port`?",
            "waypost.yaml:2:26: server.port: expected a whole number from 0 to 65535, found text",
            "waypost.yaml:4:5: keys[0]: `name` is missing",
            "waypost.yaml:7:11: channels[0].tier: expected a whole number from 1 to 10, found 11",
            "waypost.yaml:8:14: channels[0].api_key: the environment variable `NOT_SET` is not set; set it, or write `${NOT_SET:-default}`",
            "waypost.yaml:9:5: channels[1].nmae: there is no such key; did you mean `name`?",
            "waypost.yaml:11:18: channels[2].models[1].nam: there is no such key; did you mean `name`?",
            "waypost.yaml:12:23: channels[2].timeouts.idle: expected a time such as 500ms, 5s, 2m or a number of seconds, up to 24h, found text",
            "waypost.yaml:13:24: retry.max_attempts: expected a whole number from 1 to 11, found 0",
            "waypost.yaml:14:1: chanels: there is no such key; did you mean `channels`?",
        ]
    );
}

#[test]
fn what_is_missing_because_it_was_wrong_is_reported_once() {
    assert_eq!(shown("keys:\n  - name: [a]\n"), ["waypost.yaml:2:11: keys[0].name: expected a string, found a list"]);
}

#[test]
fn no_error_shows_a_value() {
    for text in [
        "channels:\n  - {name: a, api_keys: sk-secret}\n",
        "keys: sk-secret\n",
        "open_mode: sk-secret\n",
        "channels:\n  - {name: a, auth: sk-secret}\n",
        "keys:\n  - {name: a, key: {x: sk-secret}}\n",
    ] {
        for line in shown(text) {
            assert!(!line.contains("secret"), "{line}");
        }
    }
}

#[test]
fn nothing_written_is_nothing_set() {
    let config = yaml("keys:\nchannels: ~\nserver:\n").unwrap();
    assert!(config.keys.is_empty() && config.channels.is_empty());
    assert_eq!(config.server, Server::default());
    let config = yaml("channels:\n  - {name: a, api_key: \"${NOT_SET:-}\"}\n").unwrap();
    assert_eq!(config.channels[0].api_key, None);
}

#[test]
fn the_same_setting_under_two_names_is_refused() {
    assert_eq!(
        shown("channels:\n  - {name: a, tier: 1, priority: 2}\n"),
        ["waypost.yaml:2:5: channels[0]: `tier` is given under two names"]
    );
}

#[test]
fn a_file_may_wrap_everything_in_the_bundles_key() {
    let config = yaml("open_ai_http_proxy:\n  retry: {max_attempts: 5}\n").unwrap();
    assert_eq!(config.retry.attempts(), 5);
}

#[test]
fn the_schema_describes_every_section() {
    let schema = Config::schema();
    let properties = schema["properties"].as_object().unwrap();
    for section in ["server", "keys", "channels", "model_mappings", "retry", "defaults", "open_mode"] {
        assert!(properties.contains_key(section), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
    let tier = &schema["$defs"]["Channel"]["properties"]["tier"];
    assert_eq!((&tier["minimum"], &tier["maximum"]), (&1.into(), &10.into()));
    assert!(tier["description"].as_str().unwrap().contains("priority"));
}

#[test]
fn how_the_gateway_listens_is_read_with_bounds_and_places() {
    let text = "server:\n  tls: {cert: c.pem, key: k.pem}\n  cors: {origins: ['*'], max_age: 1h}\n  drain_delay: 0s\n  max_requests: 5\n";
    let server = yaml(text).unwrap().server;
    assert_eq!(server.tls, Some(Tls { cert: "c.pem".to_owned(), key: "k.pem".to_owned() }));
    assert_eq!(server.cors, Cors { origins: vec!["*".to_owned()], max_age: Span::seconds(3600) });
    assert_eq!((server.drain_delay, server.max_requests), (Span::ZERO, 5));
    let plain = Server::default();
    assert_eq!((plain.tls, plain.drain_delay, plain.cors.origins.len()), (None, Span::ZERO, 0));
    for (text, error) in [
        ("server: {tls: {cert: c.pem}}\n", "waypost.yaml:1:15: server.tls"),
        ("server: {tls: {crt: c.pem, key: k}}\n", "server.tls.crt: there is no such key; did you mean `cert`?"),
        (
            "server:\n  cors: {origin: ['*']}\n",
            "waypost.yaml:2:10: server.cors.origin: there is no such key; did you mean `origins`?",
        ),
        (
            "server:\n  max_requests: 0\n",
            "waypost.yaml:2:17: server.max_requests: expected a whole number from 1 to 1000000",
        ),
        ("server:\n  shutdown_grace: 0s\n", "waypost.yaml:2:19: server.shutdown_grace"),
        ("server:\n  drain_delay: soon\n", "waypost.yaml:2:16: server.drain_delay"),
    ] {
        let all = shown(text);
        assert!(all.iter().any(|one| one.contains(error)), "{all:?}");
    }
}
