use std::time::Duration;

use super::super::{BreakerChoice, Span};
use super::super::{Config, Format, Inputs, KeyStrategy, Loaded, Preset, Text, Variables, load};

fn loaded(texts: &[&str], pairs: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let variables = Variables::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let texts: Vec<Text> = texts
        .iter()
        .map(|text| Text { name: "w.yaml".to_owned(), format: Format::Yaml, text: (*text).to_owned() })
        .collect();
    let inputs = Inputs {
        texts: &texts,
        variables: &variables,
        arguments: &[],
        catalog: None,
        dice: [0xab; 24],
        callers_elsewhere: false,
        simulated: &["sim/chat"],
    };
    load(&inputs).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn env(pairs: &[(&str, &str)]) -> Loaded {
    loaded(&[], pairs).expect("the variables make sense")
}

fn over(text: &str, pairs: &[(&str, &str)]) -> Config {
    loaded(&[text], pairs).expect(text).config
}

fn wrong(pairs: &[(&str, &str)]) -> Vec<String> {
    loaded(&[], pairs).expect_err("one of them is wrong")
}

#[test]
fn one_variable_is_one_account_003_25_003_26() {
    // 001-55
    let only = env(&[("ANTHROPIC_API_KEY", "sk-ant-1"), ("OPENAI_API_KEY", " ")]);
    assert!(!only.setup);
    assert_eq!(only.config.channels.len(), 1);
    assert_eq!(only.config.channels[0].name, "anthropic");

    let both = env(&[
        ("OPENAI_API_KEY", "sk-1"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ("ANTHROPIC_API_KEY", "sk-ant-1"),
        ("WAYPOST_API_KEY", "wp-mine"),
    ]);
    assert_eq!(both.config.channels.len(), 2);
    let openai = &both.config.channels[0];
    assert_eq!((openai.name.as_str(), openai.base_url.as_deref()), ("openai", Some("http://127.0.0.1:1/v1")));
    assert_eq!((openai.tier, openai.max_rps, openai.timeouts.first_byte), (1, None, None), "nothing else is meant");
    assert!(both.made_key.is_none());
    assert_eq!(both.config.retry.attempts(), 3);
}

#[test]
fn without_any_account_the_simulator_serves_under_the_key_of_the_readme() {
    let none = env(&[("PORT", "4000")]);
    assert!(none.setup);
    assert_eq!(none.config.channels[0].provider.as_deref(), Some("simulator"));
    assert_eq!(none.made_key.map(|key| key.expose().to_owned()).as_deref(), Some("wp-simulator"));
    assert_eq!(none.config.server.port, 4000);
}

#[test]
fn an_account_is_never_behind_a_key_that_everybody_knows() {
    let account = env(&[("OPENAI_API_KEY", "sk-1")]);
    let made = account.made_key.unwrap();
    assert_eq!(made.expose(), format!("wp-{}", "ab".repeat(24)));
    assert_eq!(account.config.keys[0].key.as_ref(), Some(&made));
}

#[test]
fn numbered_accounts_are_tiers_with_the_usual_numbers_003_20_003_21_003_22_003_23_003_24() {
    // As the document prints them.
    let two = env(&[
        ("OPENAI_API_KEY_1", "sk-your-official-key"),
        ("OPENAI_BASE_URL_1", "https://api.openai.com/v1"),
        ("OPENAI_PRIORITY_1", "1"),
        ("OPENAI_API_KEY_2", "your-proxy-key"),
        ("OPENAI_BASE_URL_2", "https://proxy-api.com/v1"),
        ("OPENAI_PRIORITY_2", "2"),
        ("OPENAI_FALLBACK_ENABLED", "true"),
        ("OPENAI_MAX_RETRIES", "3"),
    ]);
    let channels: Vec<_> = two.config.channels.iter().map(|channel| (channel.name.as_str(), channel.tier)).collect();
    assert_eq!(channels, [("openai-1", 1), ("openai-2", 2)]);
    let [official, proxy] = two.config.channels.as_slice() else { unreachable!("two channels") };
    for channel in [official, proxy] {
        assert_eq!((channel.max_rps, channel.weight, channel.enabled), (Some(100), 100, true));
        assert_eq!(channel.timeouts.first_byte, Some(Span::seconds(30)));
    }
    // A relay is spoken to in the dialect that every relay speaks.
    assert_eq!((official.dialects.len(), proxy.dialects.len()), (0, 1));
    assert!(two.config.retry.enabled);
    assert_eq!(two.config.retry.attempts(), 4);
    assert!(two.unread.is_empty() && two.warnings.is_empty(), "{:?}", two.unread);
}

#[test]
fn every_setting_of_a_numbered_account_is_obeyed_and_its_number_is_its_tier() {
    let config = env(&[
        ("OPENAI_API_KEY_10", "sk-10"),
        ("OPENAI_API_KEY_3", "sk-3"),
        ("OPENAI_MAX_RPS_3", "7"),
        ("OPENAI_TIMEOUT_3", "2500"),
        ("OPENAI_WEIGHT_3", "30"),
        ("OPENAI_ENABLED_3", "false"),
        ("OPENAI_HEALTH_CHECK_3", "yes"),
        ("ANTHROPIC_API_KEY_1", "sk-ant-1"),
        ("OPENAI_API_KEY", "sk-plain"),
        ("OPENAI_MODEL", "gpt-4-turbo-preview"),
    ])
    .config;
    let names: Vec<_> = config.channels.iter().map(|channel| (channel.name.as_str(), channel.tier)).collect();
    assert_eq!(names, [("openai-3", 3), ("openai-10", 10), ("anthropic-1", 1)], "numbered ones are meant alone");
    let third = &config.channels[0];
    assert_eq!((third.max_rps, third.weight, third.enabled), (Some(7), 30, false));
    assert_eq!(third.timeouts.first_byte, Some(Span(Duration::from_millis(2500))));
    assert!(third.probe.is_some());
    let models = third.models.as_ref().unwrap();
    assert_eq!(models[0].0.name, "gpt-4-turbo-preview");
    assert!(models.iter().any(|model| model.0.name == "gpt-*"), "callers may ask for others, too");
    assert!(config.channels[2].models.is_none());
}

#[test]
fn settings_for_all_go_over_a_file_and_accounts_do_not_002_33() {
    let text = "keys: [{name: a, key: wp-file-0123456789}]\nretry: {max_attempts: 9}\nserver: {port: 1}\n\
                breaker: {failures: 7}\nchannels: [{name: c, provider: openai, api_key: k}]\n";
    let config = over(
        text,
        &[
            ("PORT", "4000"),
            ("HOST", "0.0.0.0"),
            ("CORS_ORIGINS", "https://a.example, http://localhost:5173"),
            ("PROXY_KEY_STRATEGY", "least_used"),
            ("OPENAI_FALLBACK_ENABLED", "1"),
            ("OPENAI_MAX_RETRIES", "0"),
            ("OPENAI_BACKOFF_MS", "20000"),
            ("OPENAI_CIRCUIT_BREAKER", "true"),
            ("OPENAI_API_KEY_1", "sk-1"),
            ("WAYPOST_API_KEY", "wp-env-0123456789"),
            ("WAYPOST_ADMIN_TOKEN", "admin-0123456789"),
        ],
    );
    assert_eq!(config.admin.token.as_ref().map(|token| token.expose()), Some("admin-0123456789"));
    assert_eq!((config.server.port, config.server.host.as_str()), (4000, "0.0.0.0"));
    assert_eq!(config.server.cors.origins, ["https://a.example", "http://localhost:5173"]);
    assert_eq!(config.defaults.key_strategy, KeyStrategy::LeastUsed);
    assert_eq!(config.retry.attempts(), 1);
    assert_eq!((config.retry.backoff.base, config.retry.backoff.on_failover), (Span::seconds(20), true));
    assert_eq!(config.retry.backoff.cap, Span::seconds(20), "a pause is never longer than the longest");
    assert_eq!(config.breaker.numbers().failures, 7, "a breaker that is on stays as it is");
    assert_eq!((config.channels.len(), config.keys.len()), (1, 1));
    assert_eq!(config.keys[0].name, "a");

    let off = over(text, &[("OPENAI_CIRCUIT_BREAKER", "off"), ("OPENAI_FALLBACK_ENABLED", "false")]);
    assert_eq!((off.breaker, off.retry.enabled), (BreakerChoice::Preset(Preset::Off), false));
    let on = over("breaker: off\n", &[("OPENAI_CIRCUIT_BREAKER", "true"), ("WAYPOST_API_KEY", "wp-env-0123456789")]);
    assert!(on.breaker.numbers().enabled);
    assert_eq!(on.keys[0].key.as_ref().map(|key| key.expose()), Some("wp-env-0123456789"));
    for (word, strategy) in [
        ("round_robin", KeyStrategy::RoundRobin),
        ("random", KeyStrategy::Random),
        ("least_used", KeyStrategy::LeastUsed),
    ] {
        assert_eq!(over("", &[("PROXY_KEY_STRATEGY", word)]).defaults.key_strategy, strategy);
    }
}

#[test]
fn a_wrong_value_names_its_variable_the_reason_and_the_way_out() {
    let cases: [(&[(&str, &str)], &str); 7] = [
        (
            &[("OPENAI_API_KEY_2", "sk-2"), ("OPENAI_PRIORITY_2", "11")],
            "OPENAI_PRIORITY_2: channels[0].tier: expected a whole number from 1 to 10, found 11; correct the variable, or unset it",
        ),
        (
            &[("OPENAI_MAX_RETRIES", "abc")],
            "OPENAI_MAX_RETRIES: retry.max_retries: expected a whole number from 0 to 10, found text; correct the variable, or unset it",
        ),
        (
            &[("OPENAI_MAX_RETRIES", "11")],
            "OPENAI_MAX_RETRIES: retry.max_retries: expected a whole number from 0 to 10, found 11; correct the variable, or unset it",
        ),
        (
            &[("OPENAI_API_KEY_1", "sk"), ("OPENAI_TIMEOUT_1", "30s")],
            "OPENAI_TIMEOUT_1: expected a whole number of milliseconds; set it to a number such as 30000, or unset it",
        ),
        (
            &[("OPENAI_API_KEY_1", "sk"), ("OPENAI_ENABLED_1", "maybe")],
            "OPENAI_ENABLED_1: expected true or false; set it to true or false, or unset it",
        ),
        (
            &[("PORT", "many")],
            "PORT: server.port: expected a whole number from 0 to 65535, found text; correct the variable, or unset it",
        ),
        (
            &[("PROXY_KEY_STRATEGY", "rondom")],
            "PROXY_KEY_STRATEGY: defaults.key_strategy: expected one of; did you mean `random`?",
        ),
    ];
    for (pairs, expected) in cases {
        let errors = wrong(pairs);
        assert_eq!(errors.len(), 1, "{errors:?}");
        // Other words for the same may be listed in between.
        let (start, end) = (expected.split("; ").next().unwrap(), expected.rsplit("; ").next().unwrap());
        let start = start.split(", least_used").next().unwrap();
        assert!(errors[0].starts_with(start) && errors[0].ends_with(end), "{errors:?}");
    }
}

#[test]
fn variables_that_will_not_be_read_are_told() {
    let told = |pairs: &[(&str, &str)]| -> Vec<String> { env(pairs).unread.iter().map(ToString::to_string).collect() };
    let cases: [(&[(&str, &str)], &str); 4] = [
        (
            &[("OPENAI_MAX_RETRYS", "1")],
            "OPENAI_MAX_RETRYS: the variable means nothing to Waypost; did you mean `OPENAI_MAX_RETRIES`?",
        ),
        (
            &[("OPENAI_BASE_URL_3", "https://x")],
            "OPENAI_BASE_URL_3: the account with this number has no key; set OPENAI_API_KEY_3",
        ),
        (
            &[("OPENAI_API_KEY", "sk"), ("OPENAI_API_KEY_2", "sk-2")],
            "OPENAI_API_KEY: the variable is not read, because OPENAI_API_KEY_2 is set; give it a number too, or unset it",
        ),
        (
            &[("WAYPOST_API_KEY_1", "x")],
            "WAYPOST_API_KEY_1: the variable means nothing to Waypost; did you mean `WAYPOST_API_KEY`?",
        ),
    ];
    for (pairs, expected) in cases {
        assert_eq!(told(pairs), [expected]);
    }
    let with_file = loaded(&["keys: []"], &[("OPENAI_API_KEY", "sk"), ("PATH", "/bin")]).unwrap().unread;
    assert_eq!(with_file.len(), 1);
    assert!(with_file[0].to_string().contains("accounts come from the file"));
    let used = loaded(&["channels: [{name: a, api_key: '${OPENAI_API_KEY}'}]"], &[("OPENAI_API_KEY", "sk")]).unwrap();
    assert!(used.unread.is_empty(), "a file may use any variable: {:?}", used.unread);
}
