use std::time::Duration;

use super::*;
use crate::access::identify;
use crate::config::Format;
use crate::directory::Directory;
use crate::limit::{Ask, CallerLimits};
use crate::moment::Moment;
use crate::provider::Place;
use crate::snapshot::Deployment;

fn compiled(text: &str) -> Result<Snapshot, Vec<String>> {
    let config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).expect(text);
    compile(&config, &States::default()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn snapshot(text: &str) -> Snapshot {
    compiled(text).unwrap()
}

/// `channel:upstream` of everything that serves a name, in tier order.
fn serving(snapshot: &Snapshot, model: &str) -> Vec<String> {
    let show = |deployment: &Arc<Deployment>| format!("{}:{}", deployment.channel.name, deployment.upstream);
    let Some(route) = snapshot.route(model) else { return Vec::new() };
    route.tiers.iter().flat_map(|tier| &tier.deployments).map(show).collect()
}

fn url(snapshot: &Snapshot, channel: usize, model: &str) -> String {
    let channel = &snapshot.channels[channel];
    let endpoint = channel.endpoint(Operation::Chat, Dialect::OpenaiChat).unwrap();
    let version = channel.api_version.as_deref().unwrap_or_default();
    let place = Place { prefix: &channel.prefix, model, version, ..Place::default() };
    format!("{}{}", channel.origin, endpoint.path_and_query(&place).unwrap())
}

#[test]
fn a_channel_limited_to_dialects_is_spoken_to_in_the_caller_s_or_the_first_of_them() {
    let snapshot = snapshot(
        "channels:
  - {name: all, provider: openrouter, api_key: k}
  - {name: some, provider: openrouter, api_key: k, dialects: [openai_responses, anthropic]}",
    );
    let spoken = |channel: usize, operation, dialect| {
        snapshot.channels[channel].endpoint(operation, dialect).map(|endpoint| endpoint.dialect)
    };
    let (chat, responses, messages) = (Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::Anthropic);
    assert_eq!(spoken(0, Operation::Chat, chat), Some(chat));
    assert_eq!(spoken(1, Operation::Chat, chat), Some(responses));
    assert_eq!(spoken(1, Operation::Chat, responses), Some(responses));
    assert_eq!(spoken(1, Operation::Chat, messages), Some(messages));
    assert_eq!(spoken(1, Operation::Embeddings, chat), Some(chat));
}

#[test]
fn a_dialect_the_provider_does_not_speak_is_refused_with_those_it_does() {
    let errors =
        compiled("channels: [{name: o, provider: openai, api_key: k, dialects: [openai_chat, gemini]}]").unwrap_err();
    assert_eq!(
        errors,
        ["w.yaml:1:76: channels[0].dialects[1]: OpenAI does not speak gemini; use openai_chat or openai_responses"]
    );
}

#[test]
fn two_keys_are_all_it_takes_to_route_by_name() {
    // 001-20
    let snapshot = snapshot(
        "channels:
  - {name: o, provider: openai, api_key: sk-1}
  - {name: a, provider: anthropic, api_key: sk-ant-1}",
    );
    assert_eq!(serving(&snapshot, "gpt-4o"), ["o:gpt-4o"]);
    assert_eq!(serving(&snapshot, "claude-opus-4-6"), ["a:claude-opus-4-6"]);
    assert!(serving(&snapshot, "mistral-large").is_empty());
    assert_eq!(url(&snapshot, 0, "gpt-4o"), "https://api.openai.com/v1/chat/completions");
    assert_eq!(url(&snapshot, 1, "claude-opus-4-6"), "https://api.anthropic.com/v1/messages");
}

#[test]
fn a_name_is_mapped_by_the_models_own_rule_then_the_providers_then_the_global_one() {
    // 002-13 to 002-15, 002-R9
    let snapshot = snapshot(
        "channels:
  - {name: o, provider: openai, api_key: sk-1, models: [gpt-4, gpt-3.5-turbo, plain, {name: own, upstream: mine}]}
  - {name: z, provider: azure_openai, api_key: k, base_url: https://r.openai.azure.com, api_version: 2024-02-01, models: [gpt-4]}
  - {name: a, provider: anthropic, api_key: sk-ant-1}
model_mappings:
  global: {gpt-4: gpt-4-0613, gpt-3.5-turbo: gpt-3.5-turbo-0613, own: never}
  providers:
    azure: {gpt-4: gpt-4-deployment}
    anthropic: {gpt-4: claude-3-opus-20240229, gpt-3.5-turbo: claude-3-sonnet-20240229}",
    );
    assert_eq!(serving(&snapshot, "gpt-4"), ["o:gpt-4-0613", "z:gpt-4-deployment", "a:claude-3-opus-20240229"]);
    assert_eq!(serving(&snapshot, "gpt-3.5-turbo"), ["o:gpt-3.5-turbo-0613", "a:claude-3-sonnet-20240229"]);
    assert_eq!(serving(&snapshot, "plain"), ["o:plain"]);
    assert_eq!(serving(&snapshot, "own"), ["o:mine"]);
    assert_eq!(
        url(&snapshot, 1, "gpt-4-deployment"),
        "https://r.openai.azure.com/openai/deployments/gpt-4-deployment/chat/completions?api-version=2024-02-01"
    );
    let (name, _) = snapshot.channels[1].credentials[0].header.as_ref().unwrap();
    assert_eq!(name, "api-key");
}

#[test]
fn a_global_rule_makes_its_left_side_a_name() {
    let snapshot = snapshot(
        "channels:
  - {name: o, provider: openai, api_key: sk-1}
  - {name: r, base_url: http://127.0.0.1:1, models: [fast], tier: 2}
model_mappings: {global: {fast: gpt-4o-mini, lost: nowhere}}",
    );
    assert_eq!(serving(&snapshot, "fast"), ["o:gpt-4o-mini", "r:gpt-4o-mini"]);
    assert!(serving(&snapshot, "lost").is_empty());
}

#[test]
fn a_pattern_counts_for_names_that_others_write_out() {
    let snapshot = snapshot(
        "channels:
  - {name: relay, base_url: http://127.0.0.1:1, models: ['*'], priority: 2}
  - {name: main, provider: openai, api_key: sk-1, models: [gpt-4o]}
  - {name: twice, base_url: http://127.0.0.1:2, models: [gpt-4o, 'gpt-*'], tier: 3}",
    );
    assert_eq!(serving(&snapshot, "gpt-4o"), ["main:gpt-4o", "relay:gpt-4o", "twice:gpt-4o"]);
    assert_eq!(serving(&snapshot, "gpt-9"), ["relay:gpt-9", "twice:gpt-9"]);
    assert_eq!(snapshot.models.len(), 1);
    assert_eq!(&*snapshot.models[0].name, "gpt-4o");
    assert_eq!(snapshot.models[0].owned_by, "openai");
}

#[test]
fn what_only_disabled_channels_have_is_known_but_not_served() {
    let snapshot = snapshot(
        "channels:
  - {name: off, provider: openai, models: [gpt-4o, 'o1*'], enabled: false}
  - {name: keyless, provider: openai, models: [gpt-5], credentials: [{name: a, key: k, enabled: false}]}",
    );
    for model in ["gpt-4o", "gpt-5"] {
        assert!(snapshot.routes[model].tiers.is_empty(), "{model}");
    }
    assert!(serving(&snapshot, "o1-mini").is_empty());
    assert!(snapshot.models.is_empty() && snapshot.default.is_none());
}

#[test]
fn all_that_does_not_fit_is_reported_with_its_place() {
    // 003-36
    let errors = compiled(
        "keys:
  - {name: a, key: wp-0123456789abcdef}
  - {name: a, key: wp-0123456789abcdef}
  - {name: b}
  - {name: c, key_sha256: abc}
channels:
  - {name: one, provider: opnai}
  - {name: one, provider: openai, models: [x, x]}
  - {name: two, base_url: 'https://u:p@h/', api_key: 'a b'}
  - {name: three, provider: azure_openai, api_key: k}
  - {name: four, provider: openai, api_key: k, headers: {Authorization: x}, api_version: v1}
  - {name: five}
  - {name: six, provider: openai, api_key: k, default: true, models: [{name: 'g*', upstream: x}]}
  - {name: seven, provider: openai, api_key: k, default: true}
model_mappings: {providers: {azur: {a: b}}}
retry: {max_attempts: 1, max_retries: 1}
open_mode: true
server: {host: 0.0.0.0}
",
    )
    .unwrap_err();
    // Every provider is offered; the list is not repeated here, so that adding one stays one file and one line.
    let kinds: Vec<_> = provider::ALL.iter().map(|provider| provider.kind).collect();
    let errors: Vec<_> = errors.iter().map(|error| error.replace(&kinds.join(", "), "<every kind>")).collect();
    assert_eq!(
        errors,
        [
            "w.yaml:3:5: keys[1]: this is the same key as that of `a`",
            "w.yaml:3:6: keys[1].name: another key is named `a`; give each key a name of its own",
            "w.yaml:4:5: keys[2]: the key itself is missing; give `key`, or `key_sha256`",
            "w.yaml:5:15: keys[3].key_sha256: expected 64 hexadecimal digits",
            "w.yaml:7:17: channels[0].provider: there is no such provider; use one of <every kind>",
            "w.yaml:8:5: channels[1]: OpenAI needs a key; set `api_key`",
            "w.yaml:8:6: channels[1].name: another channel is named `one`; give each channel a name of its own",
            "w.yaml:8:47: channels[1].models[1]: the channel lists `x` twice",
            "w.yaml:9:17: channels[2].base_url: the address holds a user name or password; write it as https://host/path",
            "w.yaml:10:5: channels[3]: Azure OpenAI has no address of its own; set `base_url`",
            "w.yaml:11:58: channels[4].headers.Authorization: the gateway sets this header itself; for keys there are `api_key` and `auth`",
            "w.yaml:11:77: channels[4].api_version: OpenAI has no API versions; remove it",
            "w.yaml:12:5: channels[5]: neither the address nor the key tells the provider; set `provider` or `base_url`",
            "w.yaml:13:84: channels[6].models[0].upstream: this describes one model, not a pattern; list the model by its name",
            "w.yaml:14:49: channels[7].default: another channel is the default already",
            "w.yaml:15:30: model_mappings.providers.azur: there is no such provider; did you mean `azure`?",
            "w.yaml:16:26: retry.max_retries: `max_attempts` says the same; keep one of them",
            "w.yaml:17:1: open_mode: only possible while the gateway listens on a loopback address; set `server.host: 127.0.0.1`, or give every caller a key",
        ]
    );
}

#[test]
fn what_works_but_is_unwise_is_a_warning() {
    let compiled = compiled(
        "keys: [{name: a, key: short}]
channels:
  - {name: clear, base_url: http://relay.example.com/v1, api_key: k}
  - {name: near, base_url: http://10.0.0.1/v1, api_key: k}",
    );
    let warnings: Vec<_> = compiled.unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "w.yaml:1:18: keys[0].key: the key is short enough to be guessed; use at least 16 random characters",
            "w.yaml:3:19: channels[0].base_url: the key goes over an unencrypted connection; use https://",
        ]
    );
}

#[test]
fn headers_and_waits_come_from_the_nearest_place() {
    // 002-23 to 002-26, 003-06
    let snapshot = snapshot(
        "channels:
  - {name: a, provider: anthropic, api_key: k, timeout: 7, headers: {Anthropic-Version: '2026-10-21', x-team: blue}}
  - {name: o, provider: openai, api_key: k, timeouts: {connect: 1s}, verify_ssl: true}
defaults: {timeout: 30, connect_timeout: 4, user_agent: OpenAiHttpProxyBundle/1.0, verify_ssl: false}",
    );
    let [a, o] = snapshot.channels.as_slice() else { unreachable!("two channels") };
    let seconds = Duration::from_secs;
    assert_eq!((a.timeouts.total, a.timeouts.connect), (seconds(7), seconds(4)));
    assert_eq!((o.timeouts.total, o.timeouts.connect), (seconds(30), seconds(1)));
    assert_eq!(o.timeouts.idle, seconds(60));
    assert_eq!((a.verify_tls, o.verify_tls), (false, true));
    let shown: Vec<_> = a.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(shown, ["user-agent: OpenAiHttpProxyBundle/1.0", "anthropic-version: 2026-10-21", "x-team: blue"]);
}

#[test]
fn the_default_channel_takes_what_names_no_model() {
    let snapshot = snapshot(
        "channels:
  - {name: a, provider: anthropic, api_key: k}
  - {name: first, provider: openai, api_key: k}
  - {name: chosen, provider: openai, api_key: k, default: true}",
    );
    assert_eq!(&*snapshot.default.as_ref().unwrap().tiers[0].deployments[0].channel.name, "chosen");
    let only = self::snapshot("channels: [{name: a, provider: anthropic, api_key: k}]");
    assert!(only.default.is_none());
}

#[test]
fn identities_survive_a_new_secret_and_a_new_address() {
    let with = |key: &str, url: &str| {
        let text = format!("channels: [{{name: c, base_url: '{url}', api_key: {key}, models: [m]}}]");
        let snapshot = snapshot(&text);
        let deployment = &snapshot.route("m").unwrap().tiers[0].deployments[0];
        (deployment.id, deployment.channel.credentials[0].id)
    };
    assert_eq!(with("one", "http://127.0.0.1:1"), with("two", "http://127.0.0.1:2"));
}

#[test]
fn nothing_in_a_snapshot_shows_a_secret() {
    let snapshot = snapshot(
        "keys: [{name: a, key: wp-secret-0123456789}]
channels: [{name: c, provider: openai, api_keys: [sk-secret, sk-secret2], headers: {x-a: secret}}]",
    );
    assert!(!format!("{snapshot:?}").contains("secret"));
}

#[test]
fn a_setup_without_accounts_compiles_and_serves_the_simulator() {
    let inputs = crate::config::Inputs {
        texts: &[],
        variables: &crate::config::Variables::default(),
        arguments: &[],
        catalog: None,
        dice: [1; 24],
        callers_elsewhere: false,
        simulated: &["sim/chat"],
    };
    let environment = crate::config::load(&inputs).unwrap();
    let snapshot = compile(&environment.config, &States::default()).unwrap();
    assert_eq!(serving(&snapshot, "sim/echo"), ["simulator:sim/echo"]);
    assert!(snapshot.channels[0].provider.built_in);
}

#[test]
fn a_key_is_known_by_its_text_or_its_hash() {
    // 002-05
    let snapshot = snapshot(
        "keys:
  - {name: plain, key: wp-plain-key-0123456789}
  - {name: hashed, key_sha256: 2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE, models: ['gpt-*']}
  - {name: off, key: wp-off-key-0123456789, enabled: false}",
    );
    let caller = |key| identify(&snapshot, &Directory::default(), Some(key), 0);
    assert_eq!(&*caller("wp-plain-key-0123456789").unwrap().name, "plain");
    assert!(caller("wp-plain-key-0123456789").unwrap().scopes.models.is_none());
    let hashed = caller("foo").unwrap();
    assert!(hashed.may_use("gpt-4o") && !hashed.may_use("claude-opus-4-6"));
    assert!(caller("wp-off-key-0123456789").is_err() && caller("nobody").is_err());
}

#[test]
fn a_key_of_the_file_has_scopes_and_limits() {
    let snapshot = snapshot(
        "keys:
  - {name: a, key: wp-plain-key-0123456789, endpoints: [embeddings, '/v1/files*'], addresses: [10.0.0.0/8, '::1'],
     expires_at: 2027-01-31, limits: {rpm: 2, tpm: 100, concurrency: 3, tokens_per_day: 5000}, user: alice, team: search}
  - {name: b, key: wp-other-key-0123456789, expires_at: '2027-01-31T12:00:00+02:00'}",
    );
    let caller = |key| identify(&snapshot, &Directory::default(), Some(key), 0).unwrap();
    let a = caller("wp-plain-key-0123456789");
    assert_eq!(a.scopes.endpoints.as_ref().unwrap().words().collect::<Vec<_>>(), ["embeddings", "/v1/files*"]);
    assert!(a.scopes.admits_address("10.9.9.9".parse().ok()) && !a.scopes.admits_address("11.0.0.1".parse().ok()));
    assert_eq!(a.scopes.expires_at, Some(1_801_440_000_000), "the end of the day");
    assert_eq!((a.user.as_deref(), a.team.as_deref()), (Some("alice"), Some("search")));
    let limits = CallerLimits { rpm: Some(2), tpm: Some(100), concurrency: Some(3), tokens_per_day: Some(5000) };
    assert_eq!(a.levels.iter().map(|level| level.limits).collect::<Vec<_>>(), [limits]);
    assert_eq!(caller("wp-other-key-0123456789").scopes.expires_at, Some(1_801_389_600_000));
    assert!(caller("wp-other-key-0123456789").levels.is_empty());
}

#[test]
fn scopes_that_mean_nothing_are_refused_with_their_place_and_the_fix() {
    let of = |key: &str| compiled(&format!("keys: [{{name: a, key: wp-plain-key-0123456789, {key}}}]")).unwrap_err();
    for (key, expected) in [
        (
            "endpoints: [chat, embedings]",
            "keys[0].endpoints[1]: `embedings` names no endpoint; did you mean `embeddings`?",
        ),
        (
            "endpoints: [rerank]",
            "keys[0].endpoints[0]: `rerank` names no endpoint; use chat, completions, embeddings, images, audio, passthrough, or a path such as `/v1/files*`",
        ),
        (
            "addresses: [here]",
            "keys[0].addresses[0]: `here` is neither an address nor a network; write 192.0.2.7 or 10.0.0.0/8",
        ),
        ("expires_at: soon", "keys[0].expires_at: `soon` is no time; write 2027-01-31, or 2027-01-31T12:00:00Z"),
        (
            "expires_at: 2027-02-29",
            "keys[0].expires_at: `2027-02-29` is no time; write 2027-01-31, or 2027-01-31T12:00:00Z",
        ),
    ] {
        let errors = of(key);
        assert!(errors.len() == 1 && errors[0].ends_with(expected), "{errors:?}");
    }
    let proxies = compiled("server: {trusted_proxies: [10.0.0.0/8, proxy.example]}").unwrap_err();
    assert!(proxies[0].contains("server.trusted_proxies[1]: `proxy.example` is neither"), "{proxies:?}");
}

#[test]
fn what_was_taken_of_a_keys_limits_is_kept_over_reloads() {
    let states = States::default();
    let compiled = |rpm: u32| {
        let text = format!("keys: [{{name: a, key: wp-plain-key-0123456789, limits: {{rpm: {rpm}}}}}]");
        let snapshot = compile(&Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).unwrap(), &states).unwrap();
        let caller = snapshot.keys.values().next().map(Arc::clone).unwrap();
        caller.levels.clone()
    };
    let now = Moment::seconds(1);
    for rpm in [2, 3] {
        compiled(rpm).admit(Ask::default(), now).unwrap().used(0);
        states.sweep(now);
    }
    assert!(compiled(2).admit(Ask::default(), now).is_err());
    assert!(compiled(3).admit(Ask::default(), now).is_ok());
}

#[test]
fn an_open_gateway_lets_everybody_in_on_loopback_only() {
    let open = |host: &str| compiled(&format!("open_mode: true\nserver: {{host: '{host}'}}"));
    for host in ["127.0.0.1", "localhost", "::1"] {
        assert!(open(host).unwrap().anybody.is_some(), "{host}");
    }
    for host in ["0.0.0.0", "::", "192.168.1.2", "example.com"] {
        assert!(open(host).is_err(), "{host}");
    }
    assert!(snapshot("").anybody.is_none());
}

#[test]
fn attempts_are_counted_with_the_first() {
    // 002-27, 002-28, 003-09, 003-10
    let attempts = |text: &str| snapshot(text).retry.max_attempts;
    assert_eq!(attempts(""), 3);
    assert_eq!(attempts("retry: {max_attempts: 5}"), 5);
    assert_eq!(attempts("fallback: {enabled: true, maxRetries: 3}"), 4);
    assert_eq!(attempts("fallback: {enabled: false, maxRetries: 3}"), 1);
}

#[test]
fn the_fallback_channel_is_the_last_resort_of_every_model_000_33() {
    let snapshot = snapshot(
        "channels:
  - {name: first, provider: openai, api_key: sk-1, models: [gpt-4o, gpt-x]}
  - {name: last, provider: openai_compatible, base_url: https://b.example.com/v1, api_key: k, models: [gpt-x]}
routing: {fallback_channel: last}",
    );
    assert_eq!(serving(&snapshot, "gpt-4o"), ["first:gpt-4o", "last:gpt-4o"]);
    assert_eq!(serving(&snapshot, "gpt-x"), ["first:gpt-x", "last:gpt-x"], "it is not there twice");
    assert!(serving(&snapshot, "nobody-has-it").is_empty());
}

#[test]
fn a_fallback_channel_that_is_not_there_is_an_error_with_its_place() {
    let errors = compiled(
        "channels: [{name: first, provider: openai, api_key: sk-1}]
routing: {fallback_channel: frist}",
    )
    .unwrap_err();
    assert_eq!(errors, ["w.yaml:2:11: routing.fallback_channel: there is no channel `frist`; did you mean `first`?"]);
}

#[test]
fn health_stays_with_a_deployment_over_reloads_and_a_new_secret_starts_anew() {
    let states = States::default();
    let compiled = |key: &str, url: &str| {
        let text = format!(
            "channels: [{{name: o, provider: openai_compatible, base_url: {url}, api_key: {key}, models: [m]}}]"
        );
        let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).unwrap();
        compile(&config, &states).unwrap()
    };
    let first = |snapshot: &Snapshot| Arc::clone(&snapshot.route("m").unwrap().tiers[0].deployments[0]);
    let before = first(&compiled("sk-1", "https://a.example.com/v1"));
    let moved = first(&compiled("sk-1", "https://b.example.com/v1"));
    assert!(Arc::ptr_eq(&before.state, &moved.state) && Arc::ptr_eq(&before.lanes[0], &moved.lanes[0]));
    let credential = |deployment: &Deployment| Arc::clone(&deployment.channel.credentials[0].state);
    assert!(Arc::ptr_eq(&credential(&before), &credential(&moved)));
    let changed = first(&compiled("sk-2", "https://b.example.com/v1"));
    assert!(!Arc::ptr_eq(&credential(&before), &credential(&changed)));
}

#[test]
fn a_name_of_a_family_is_compiled_once() {
    let snapshot = snapshot("channels: [{name: o, provider: openai, api_key: k, models: [gpt-*]}]");
    let first = |snapshot: &Snapshot| Arc::clone(&snapshot.route("gpt-9").unwrap().tiers[0].deployments[0]);
    assert!(Arc::ptr_eq(&first(&snapshot), &first(&snapshot)));
}

#[test]
fn a_channel_has_the_first_word_about_its_names_but_for_a_models_own_upstream() {
    let snapshot = snapshot(
        "channels:
  - {name: o, provider: openai, api_key: k, models: [gpt-4, {name: own, upstream: mine}, left], model_mapping: {gpt-4: here, own: no, 'le*': ri*}}
  - {name: p, provider: openai, api_key: k, models: [gpt-4], tier: 2}
  - {name: q, provider: vllm, base_url: 'http://127.0.0.1:1', models: [gpt-4], tier: 3}
  - {name: r, provider: vllm, base_url: 'http://127.0.0.1:1', tier: 4, model_mapping: {named: real}}
model_mappings: {global: {gpt-4: everywhere, left: wrong}, providers: {openai: {gpt-4: at-openai}}}",
    );
    assert_eq!(serving(&snapshot, "gpt-4"), ["o:here", "p:at-openai", "q:everywhere", "r:everywhere"]);
    assert_eq!(serving(&snapshot, "own"), ["o:mine", "r:own"]);
    assert_eq!(serving(&snapshot, "left"), ["o:rift", "r:wrong"]);
    assert_eq!(serving(&snapshot, "named"), ["r:real"]);
}

#[test]
fn a_rule_with_a_star_is_a_rule_for_every_name_it_fits() {
    let snapshot = snapshot(
        "channels:
  - {name: o, provider: openrouter, api_key: k, models: [vendor/gpt-4o, vendor/gpt-4.1, other]}
  - {name: r, provider: vllm, base_url: 'http://127.0.0.1:1', models: ['claude-*'], model_mapping: {'claude-*': 'anthropic/claude-*'}}
model_mappings: {global: {'gpt-*': 'vendor/gpt-*'}}",
    );
    assert_eq!(serving(&snapshot, "gpt-4o"), ["o:vendor/gpt-4o"]);
    assert_eq!(serving(&snapshot, "gpt-9"), Vec::<String>::new());
    assert_eq!(serving(&snapshot, "claude-x"), ["r:anthropic/claude-x"]);
    let shown: Vec<_> = snapshot.models.iter().map(|model| (&*model.name, model.alias_of.as_deref())).collect();
    assert_eq!(shown[..2], [("gpt-4.1", Some("vendor/gpt-4.1")), ("gpt-4o", Some("vendor/gpt-4o"))]);
}

#[test]
fn rules_that_cannot_be_meant_are_refused_with_their_place() {
    let errors = compiled(
        "channels:
  - {name: o, provider: openai, api_key: k, model_mapping: {a: 'b-*'}}
model_mappings:
  global: {one: two, two: one, same: same}
  providers: {openai: {'*-*': x}}",
    )
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "w.yaml:2:61: channels[0].model_mapping.a: a `*` on the right needs one on the left",
            "w.yaml:4:12: model_mappings.global.one: this name leads back to itself; let each rule lead to the name that the provider knows",
            "w.yaml:5:24: model_mappings.providers.openai.*-*: each side takes one `*`",
        ]
    );
}

#[test]
fn discovered_models_are_served_as_if_they_were_listed() {
    let text = "channels: [{name: o, provider: openai, api_key: k, models: [listed], discover: {every: 1m}}]";
    let mut config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).unwrap();
    config.channels[0].discovered = vec!["found".to_owned(), "listed".to_owned()];
    let snapshot = compile(&config, &States::default()).unwrap();
    assert_eq!(snapshot.models.iter().map(|model| &*model.name).collect::<Vec<_>>(), ["found", "listed"]);
    assert_eq!(serving(&snapshot, "listed"), ["o:listed"]);
    let errors = compiled(&text.replace("1m", "1s")).unwrap_err();
    assert!(
        errors[0].ends_with("channels[0].discover.every: this is too often; ask every 10s or less often"),
        "{errors:?}"
    );
}
