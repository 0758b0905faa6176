use super::super::{
    BackoffStrategy, BreakerChoice, Capability, Config, Format, Inputs, Preset, ProbeKind, Span, Strategy, Text,
    Variables, load,
};
use crate::health::States;
use crate::provider::Auth;
use crate::snapshot::compile;

fn loaded(name: &str, text: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    let texts = [Text { name: name.to_owned(), format: Format::of(name), text: text.to_owned() }];
    let variables = Variables::of([("KEY".to_owned(), "sk-env".to_owned())]);
    let inputs = Inputs {
        texts: &texts,
        variables: &variables,
        arguments: &[],
        catalog: None,
        dice: [0; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    load(&inputs)
        .map(|loaded| (loaded.config, loaded.notes.iter().map(ToString::to_string).collect()))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// A file that is read and whose parts fit.
fn good(name: &str, text: &str) -> (Config, Vec<String>) {
    let (config, notes) = loaded(name, text).expect(text);
    compile(&config, &States::default()).expect(text);
    (config, notes)
}

fn said(notes: &[String], what: &str) {
    assert!(notes.iter().any(|note| note == what), "{what}\nis none of\n{}", notes.join("\n"));
}

const MODELS_PROVIDERS: &str = r#"{
  "models": {
    "gpt-4o": {"provider": "main", "maxTokens": 4096, "supportsStreaming": true, "cost": 0.01},
    "claude-3-opus": {"provider": "claude", "maxTokens": 2048, "supportsStreaming": false, "cost": 0.02}
  },
  "providers": {
    "main": {"type": "openai", "baseUrl": "https://api.openai.com/v1", "apiKey": "${KEY}", "timeout": 30000},
    "claude": {"type": "anthropic", "baseUrl": "https://api.anthropic.com", "apiKey": "sk-ant-1", "timeout": 60000},
    "backup": {"type": "custom", "baseUrl": "http://127.0.0.1:9000/v1", "timeout": 5000}
  },
  "routing": {"strategy": "round-robin", "fallbackProvider": "backup"}
}"#;

#[test]
fn models_providers_and_routing_are_read_as_written_000_30_000_31_000_32_000_33() {
    let (config, notes) = good("openai.json", MODELS_PROVIDERS);
    let names: Vec<_> = config.channels.iter().map(|c| (c.name.as_str(), c.provider.as_deref().unwrap())).collect();
    assert_eq!(names, [("main", "openai"), ("claude", "anthropic"), ("backup", "openai_compatible")]);
    let main = &config.channels[0];
    assert_eq!(main.api_key.as_ref().unwrap().expose(), "sk-env");
    assert_eq!(main.base_url.as_deref(), Some("https://api.openai.com/v1"));
    assert_eq!(main.timeouts.first_byte, Some(Span::seconds(30)));
    let model = &main.models.as_ref().unwrap()[0].0;
    assert_eq!(
        (model.name.as_str(), model.max_output_tokens, model.supports_streaming),
        ("gpt-4o", Some(4096), Some(true))
    );
    assert_eq!(config.channels[1].models.as_ref().unwrap()[0].0.supports_streaming, Some(false));
    assert_eq!(config.channels[2].models.as_deref(), Some(&[][..]), "the fallback serves what it is asked");
    assert_eq!(config.routing.fallback_channel.as_deref(), Some("backup"));
    assert_eq!(config.routing.strategy, Strategy::RoundRobin);
    said(&notes, "openai.json:6:16: providers: understood: 3 providers and 2 models");
    said(
        &notes,
        "openai.json:3:90: models.gpt-4o.cost: kept for later: what it is the price of is not said; set `price`",
    );
    let changed = "openai.json:7:103: providers.main.timeout: changed: until the first byte of an answer";
    assert!(notes.iter().any(|note| note.starts_with(changed)), "{notes:#?}");

    let (config, _) = good("a.json", &MODELS_PROVIDERS.replace("round-robin", "load-based"));
    assert_eq!(config.routing.strategy, Strategy::LeastBusy);
    let (config, notes) = good("a.json", &MODELS_PROVIDERS.replace("round-robin", "custom"));
    assert_eq!(config.routing.strategy, Strategy::Weighted);
    said(
        &notes,
        "a.json:11:27: routing.strategy: kept for later: strategies of your own; `weighted` is used until then",
    );
}

#[test]
fn a_mistake_in_another_format_has_its_line_too() {
    let errors = |from: &str, to: &str| loaded("a.json", &MODELS_PROVIDERS.replace(from, to)).unwrap_err();
    assert_eq!(
        errors("\"provider\": \"main\"", "\"provider\": \"mian\""),
        ["a.json:3:28: models.gpt-4o.provider: there is no provider `mian`; did you mean `main`?"]
    );
    assert_eq!(
        errors("\"timeout\": 5000", "\"timeout\": \"soon\""),
        ["a.json:9:84: providers.backup.timeout: expected a whole number of milliseconds; write it as 30000"]
    );
    let typo = errors("\"apiKey\": \"sk-ant-1\"", "\"apiKye\": \"sk-ant-1\"");
    assert_eq!(typo, ["a.json:8:87: channels[1].apiKye: there is no such key; did you mean `api_key`?"]);
    assert_eq!(errors("4096", "\"many\"").len(), 1);
}

/// As the document prints it.
const BUNDLE: &str = "\
# config/packages/open_ai_http_proxy.yaml
open_ai_http_proxy:
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
  
  defaults:
    timeout: 30
    connect_timeout: 5
    user_agent: 'OpenAiHttpProxyBundle/1.0'
    verify_ssl: true
  
  retry:
    enabled: true
    max_attempts: 3
    strategy: exponential
    retry_on: [429, 500, 502, 503, 504]
  
  logging:
    enabled: true
    log_request: true
    log_response: true
    log_body: false  # 保护敏感信息
";

#[test]
fn the_bundle_is_read_as_printed_002_22_002_23_002_24_002_25_002_26_002_27_002_28_002_29_002_30_002_31_002_32() {
    let (config, notes) = good("open_ai_http_proxy.yaml", BUNDLE);
    assert_eq!(config.model_mappings.global["gpt-4"], "gpt-4-0613");
    assert_eq!(config.model_mappings.providers["azure"]["gpt-3.5-turbo"], "gpt-35-turbo-deployment");
    let defaults = &config.defaults;
    assert_eq!((defaults.timeout, defaults.connect_timeout), (Some(Span::seconds(30)), Some(Span::seconds(5))));
    assert_eq!((defaults.user_agent.as_deref(), defaults.verify_tls), (Some("OpenAiHttpProxyBundle/1.0"), true));
    assert_eq!((config.retry.enabled, config.retry.attempts()), (true, 3));
    assert_eq!(config.retry.backoff.strategy, BackoffStrategy::Exponential);
    assert_eq!(config.retry.retry_on.as_deref(), Some(&[429, 500, 502, 503, 504][..]));
    said(
        &notes,
        "open_ai_http_proxy.yaml:2:1: open_ai_http_proxy: understood: the configuration of an OpenAI HTTP proxy bundle",
    );
    let logging = &config.logging;
    assert_eq!(
        (logging.enabled, logging.log_request, logging.log_response, logging.log_body),
        (true, true, true, false)
    );
    assert_eq!(notes.len(), 1);

    let (_, notes) = good("a.yaml", &BUNDLE.replace("log_body: false", "log_body: true"));
    said(&notes, "a.yaml:31:5: open_ai_http_proxy.logging.log_body: kept for later: bodies are not logged at all");
    let (config, _) = good("a.yaml", &BUNDLE.replace("enabled: true\n    max", "enabled: false\n    max"));
    assert_eq!(config.retry.attempts(), 1);
    let (config, _) = good("a.yaml", &BUNDLE.replace("strategy: exponential", "strategy: fixed"));
    assert_eq!(config.retry.backoff.strategy, BackoffStrategy::Constant);
    let errors = loaded("a.yaml", &BUNDLE.replace("log_body", "log_boddy")).unwrap_err();
    assert!(
        errors[0].starts_with("a.yaml:31:5: logging.log_boddy: there is no such key; did you mean `log_body`?"),
        "{errors:?}"
    );
}

#[test]
fn endpoints_are_channels_in_the_order_of_their_priority_003_02_003_03_003_04_003_08_003_10_003_11_003_12() {
    let text = r#"{
      "endpoints": [
        {"url": "https://api.openai.com/v1", "apiKey": "sk-1", "priority": 1, "maxRPS": 100, "timeout": 30000, "weight": 3, "enabled": true},
        {"url": "https://proxy-api.com/v1", "apiKey": "proxy-key", "priority": 2, "maxRPS": 50, "timeout": 500, "weight": 1, "enabled": false}
      ],
      "fallback": {"enabled": true, "maxRetries": 3, "backoffMs": 1000, "circuitBreaker": false}
    }"#;
    let (config, notes) = good("endpoints.json", text);
    let [first, second] = config.channels.as_slice() else { unreachable!("two channels") };
    assert_eq!((first.name.as_str(), first.tier, first.weight, first.max_rps), ("endpoint-1", 1, 3, Some(100)));
    assert_eq!((second.name.as_str(), second.tier, second.enabled), ("endpoint-2", 2, false));
    assert_eq!(second.timeouts.first_byte, Some(Span(std::time::Duration::from_millis(500))));
    assert_eq!((config.retry.enabled, config.retry.attempts()), (true, 4));
    assert_eq!((config.retry.backoff.base, config.retry.backoff.on_failover), (Span::seconds(1), true));
    assert_eq!(config.breaker, BreakerChoice::Preset(Preset::Off));
    said(&notes, "endpoints.json:2:20: endpoints: understood: 2 endpoints of OpenAI's API");

    let errors = loaded(
        "a.json",
        &text.replace("\"priority\": 2", "\"priority\": 11").replace(": 3, \"backoff", ": 11, \"backoff"),
    );
    assert_eq!(
        errors.unwrap_err(),
        [
            "a.json:4:80: channels[1].tier: expected a whole number from 1 to 10, found 11",
            "a.json:6:51: retry.maxRetries: expected a whole number from 0 to 10, found 11",
        ]
    );
}

#[test]
fn the_code_form_says_the_same_in_a_file_003_28() {
    let text = r#"{
      "name": "production-setup",
      "endpoints": [
        {"apiKey": "sk-official-key", "baseUrl": "https://api.openai.com/v1", "priority": 1, "maxRPS": 100},
        {"apiKey": "proxy-key", "baseUrl": "https://proxy-api.com/v1", "priority": 2, "maxRPS": 50}
      ],
      "options": {"model": "gpt-4-turbo-preview", "maxRetries": 3, "backoffMs": 1000}
    }"#;
    let beside = text.replace("\"options\": {", "").replace("1000}", "1000");
    for text in [text, &beside] {
        let (config, notes) = good("a.json", text);
        let names: Vec<_> = config.channels.iter().map(|c| (c.name.as_str(), c.tier, c.max_rps)).collect();
        assert_eq!(names, [("production-setup-1", 1, Some(100)), ("production-setup-2", 2, Some(50))]);
        assert_eq!(config.channels[1].models.as_ref().unwrap()[0].0.name, "gpt-4-turbo-preview");
        assert_eq!((config.retry.attempts(), config.retry.backoff.base), (4, Span::seconds(1)));
        assert!(notes.iter().any(|note| note.contains("model: changed: `gpt-4-turbo-preview` is listed")), "{notes:?}");
    }
}

const ROUTER: &str = "\
server: {host: 127.0.0.1, port: 8000, debug: false, request_timeout: 300, max_request_size: 10485760, cors_origins: [\"*\"]}
auth: {enabled: true, api_token: wp-token-0123456789}
providers:
  openai:
    display_name: OpenAI
    adapter_class: OpenAIAdapter
    base_url: https://api.openai.com
    auth_type: bearer
    rate_limit: 60
    capabilities: [text]
  anthropic: {adapter_class: AnthropicAdapter, base_url: https://api.anthropic.com, auth_type: x-api-key}
  relay: {adapter_class: app.adapters.OpenAIAdapter, base_url: https://relay.example/v1}
channels:
  - id: openai_gpt4o
    name: GPT-4o
    provider: openai
    model_name: gpt-4o
    api_key: sk-1
    enabled: true
    priority: 1
    weight: 1.5
    daily_limit: 1000
    cost_per_token: {input: 0.000005, output: 0.000015}
    capabilities: [text, vision, function_calling, streaming, code]
  - {id: claude, provider: anthropic, model_name: claude-3-opus, api_key: sk-2, priority: 2, weight: 1}
  - {id: cheap, provider: relay, model_name: qwen, api_key: sk-3, priority: 3, enabled: false}
model_groups:
  auto:free: {routing_strategy: multi_layer, daily_budget: 5, max_cost_per_request: 0.1}
routing:
  default_strategy: multi_layer
  max_retry_attempts: 3
  health_check_interval: 300
  error_cooldown: 60
  cooldown: {rate_limit: 60, timeout: 30}
  enable_cache: false
cost_control: {global_daily_budget: 100, alert_threshold: 0.8}
";

#[test]
fn router_config_is_read_as_written_004_25() {
    let (config, notes) = good("router_config.yaml", ROUTER);
    assert_eq!((config.server.port, config.server.max_body_bytes), (8000, 10_485_760));
    assert_eq!((config.defaults.timeout, config.server.cors.origins.len()), (Some(Span::seconds(300)), 1));
    assert_eq!(config.keys[0].key.as_ref().unwrap().expose(), "wp-token-0123456789");
    let [gpt, claude, cheap] = config.channels.as_slice() else { unreachable!("three channels") };
    assert_eq!(
        (gpt.name.as_str(), gpt.provider.as_deref(), gpt.auth),
        ("openai_gpt4o", Some("openai"), Some(Auth::Bearer))
    );
    assert_eq!((gpt.tier, gpt.weight, gpt.limits.rpd, gpt.limits.rpm), (1, 150, Some(1000), Some(60)));
    let model = &gpt.models.as_ref().unwrap()[0].0;
    assert_eq!(model.capabilities.as_deref(), Some(&[Capability::Vision, Capability::Tools][..]));
    assert_eq!((model.name.as_str(), model.supports_streaming), ("gpt-4o", Some(true)));
    let price = model.price.as_ref().unwrap();
    assert_eq!(format!("{:?} {:?}", price.input, price.output), "Some(5) Some(15)");
    assert_eq!((claude.provider.as_deref(), claude.auth, claude.weight), (Some("anthropic"), Some(Auth::XApiKey), 100));
    assert_eq!((cheap.provider.as_deref(), cheap.enabled, cheap.weight), (None, false, 100));
    let probe = gpt.probe.as_ref().unwrap();
    assert_eq!((probe.kind, probe.every), (ProbeKind::Models, Span::seconds(300)));
    assert_eq!((config.retry.attempts(), config.routing.strategy), (4, Strategy::Weighted));
    let cooldowns = config.cooldowns;
    assert_eq!(
        (cooldowns.rate_limit, cooldowns.timeout, cooldowns.server_error),
        (Span::seconds(60), Span::seconds(30), Span::seconds(60))
    );
    for note in [
        "router_config.yaml:13:1: channels: understood: 3 providers and 3 channels",
        "router_config.yaml:23:21: channels[0].cost_per_token: understood: USD for a token is a millionth of USD for a million tokens",
        "router_config.yaml:27:1: model_groups: kept for later: virtual model groups",
        "router_config.yaml:30:21: routing.default_strategy: kept for later: the scores of `multi_layer`; by tier and weight until then",
        "router_config.yaml:36:1: cost_control: kept for later: budgets",
        "router_config.yaml:21:13: channels.weight: changed: weights are whole: all are taken a hundredfold",
        "router_config.yaml:9:5: providers.openai.rate_limit: changed: requests in a minute, of each channel of the provider",
        "router_config.yaml:24:63: channels[0].capabilities: ignored: requests do not ask for `code`",
    ] {
        said(&notes, note);
    }
    let errors = loaded("a.yaml", &ROUTER.replace("provider: relay", "provider: rely")).unwrap_err();
    assert_eq!(errors, ["a.yaml:26:27: channels[2].provider: there is no provider `rely`; did you mean `relay`?"]);
}

#[test]
fn layered_files_of_that_router_are_one_configuration_004_01() {
    let cut = |from: &str, to: &str| {
        let start = ROUTER.find(from).unwrap();
        let end = if to.is_empty() { ROUTER.len() } else { ROUTER.find(to).unwrap() };
        ROUTER.get(start..end).unwrap().to_owned()
    };
    let file = |name: &str, text: String| Text { name: name.to_owned(), format: Format::Yaml, text };
    let texts = [
        file("config/channels.yaml", cut("channels:", "model_groups:")),
        file("config/model_groups.yaml", cut("model_groups:", "routing:")),
        file("config/providers.yaml", cut("providers:", "channels:")),
        file("config/system.yaml", cut("server:", "providers:") + &cut("routing:", "")),
    ];
    let variables = Variables::default();
    let inputs = Inputs {
        texts: &texts,
        variables: &variables,
        arguments: &[],
        catalog: None,
        dice: [0; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    let loaded = load(&inputs).unwrap();
    compile(&loaded.config, &States::default()).unwrap();
    assert_eq!((loaded.config.channels.len(), loaded.config.server.port), (3, 8000));
    assert!(loaded.notes.iter().any(|note| note.file.as_deref() == Some("config/model_groups.yaml")));
}

#[test]
fn a_file_in_waypost_s_own_words_has_nothing_to_report() {
    let (_, notes) = good("w.yaml", "channels: [{name: a, provider: openai, api_key: k}]\nretry: {max_attempts: 2}\n");
    assert!(notes.is_empty());
    let (config, _) = good("w.yaml", "fallback: {maxRetries: 1}\n");
    assert_eq!(config.retry.attempts(), 2);
}
