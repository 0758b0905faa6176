use super::super::{Argument, Config, Format, Inputs, Loaded, Strategy, Text, Variables, load};
use super::*;
use crate::health::States;
use crate::snapshot::compile;

fn row(id: &str, name: &str) -> ChannelRow {
    ChannelRow {
        id: id.to_owned(),
        name: name.to_owned(),
        provider: Some("openai".to_owned()),
        base_url: None,
        enabled: true,
        headers: None,
        settings: r#"{"tier": 2}"#.to_owned(),
        models: vec![model_row("mdl_1", "gpt-4o", "{}")],
        credentials: vec![CredentialRow {
            id: "crd_1".to_owned(),
            name: "main".to_owned(),
            key: Secret::new("sk-${HOME}"),
            enabled: true,
            limits: r#"{"rpm": 10}"#.to_owned(),
        }],
    }
}

fn model_row(id: &str, name: &str, settings: &str) -> ModelRow {
    ModelRow { id: id.to_owned(), name: name.to_owned(), upstream: None, settings: settings.to_owned() }
}

fn setting_row(path: &str, value: &str) -> SettingRow {
    SettingRow { path: path.to_owned(), value: value.to_owned() }
}

fn over(catalog: &Catalog, file: &str) -> Result<Loaded, Vec<ConfigError>> {
    let texts = [Text { name: "w.yaml".to_owned(), format: Format::Yaml, text: file.to_owned() }];
    let texts = if file.is_empty() { &texts[..0] } else { &texts[..] };
    let variables = Variables::of([("HOME".to_owned(), "/root".to_owned())]);
    let arguments: [Argument; 0] = [];
    let catalog = Some(catalog);
    load(&Inputs {
        texts,
        variables: &variables,
        arguments: &arguments,
        catalog,
        dice: [1; 24],
        callers_elsewhere: false,
        simulated: &["sim/chat"],
    })
}

fn told(catalog: &Catalog, file: &str) -> Vec<String> {
    over(catalog, file).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_becomes_a_channel_as_if_it_stood_in_a_file_004_02() {
    let headers = Some(Secret::new(r#"{"x-team": "blue"}"#));
    let catalog = Catalog { channels: vec![ChannelRow { headers, ..row("chn_1", "one") }], ..Catalog::default() };
    let loaded = over(&catalog, "").unwrap();
    let channel = &loaded.config.channels[0];
    assert!(!loaded.setup && loaded.config.channels.len() == 1);
    assert_eq!((channel.name.as_str(), channel.tier, channel.headers["x-team"].as_str()), ("one", 2, "blue"));
    // No variable is put into what a database says.
    assert_eq!(channel.credentials[0].key.expose(), "sk-${HOME}");
    assert_eq!(channel.credentials[0].limits.rpm, Some(10));
    assert_eq!(channel.models.as_ref().unwrap()[0].0.name, "gpt-4o");
    assert!(compile(&loaded.config, &States::default()).is_ok());
}

#[test]
fn what_a_file_says_comes_before_what_the_database_says() {
    let settings = vec![
        setting_row("retry", r#"{"max_attempts": 7, "budget": {"percent": 50}}"#),
        setting_row("routing.strategy", "\"round_robin\""),
    ];
    let catalog = Catalog { channels: vec![row("chn_1", "one"), row("chn_2", "two")], settings, ..Catalog::default() };
    let file =
        "retry: {maxAttempts: 2}\nchannels: [{name: one, provider: openai, api_key: k}]\nkeys: [{name: a, key: b}]\n";
    let loaded = over(&catalog, file).unwrap();
    assert_eq!(loaded.config.retry.max_attempts, Some(2));
    assert_eq!(loaded.config.routing.strategy, Strategy::RoundRobin);
    let names: Vec<_> = loaded.config.channels.iter().map(|channel| (channel.name.as_str(), channel.tier)).collect();
    assert_eq!(names, [("one", 1), ("two", 2)]);
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["database, channels chn_1: name: `one` stands in w.yaml:2 too, which wins; rename one of them"]
    );
}

#[test]
fn a_mistake_names_table_row_and_field_and_no_secret() {
    let one = |change: fn(&mut ChannelRow)| {
        let mut row = row("chn_1", "one");
        change(&mut row);
        Catalog { channels: vec![row], ..Catalog::default() }
    };
    let cases: [(Catalog, &str); 7] = [
        (
            one(|row| row.settings = r#"{"tier": 11}"#.into()),
            "database, channels chn_1: tier: expected a whole number from 1",
        ),
        (one(|row| row.settings = "[]".into()), "database, channels chn_1: settings: this column holds a JSON object"),
        (one(|row| row.settings = "{".into()), "database, channels chn_1: not valid JSON"),
        (
            one(|row| row.settings = r#"{"api_key": "x"}"#.into()),
            "database, channels chn_1: settings: `api_key` does not",
        ),
        (one(|row| row.models[0].settings = r#"{"tier": 0}"#.into()), "database, models mdl_1: tier: expected"),
        (
            one(|row| row.credentials[0].limits = r#"{"rpm": "x"}"#.into()),
            "database, credentials crd_1: limits.rpm: expected",
        ),
        (
            Catalog { settings: vec![setting_row("server.port", "1")], ..Catalog::default() },
            "database, settings server.port: this is no setting for a database",
        ),
    ];
    for (catalog, beginning) in cases {
        let told = told(&catalog, "server: {port: 1}\n");
        assert!(told.len() == 1 && told[0].starts_with(beginning), "{told:?}");
        assert!(!told[0].contains("sk-"), "{told:?}");
    }
}

#[test]
fn what_does_not_fit_together_names_its_row_too_and_leaving_it_out_helps() {
    let good = row("chn_2", "two");
    let bad = ChannelRow { provider: Some("opnai".into()), ..row("chn_1", "one") };
    let catalog = Catalog { channels: vec![bad, good.clone()], ..Catalog::default() };
    let loaded = over(&catalog, "keys: [{name: a, key: b}]\n").unwrap();
    let errors = compile(&loaded.config, &States::default()).unwrap_err();
    assert!(errors[0].to_string().starts_with("database, channels chn_1: provider: "), "{errors:?}");
    let less = catalog.without(&errors).unwrap();
    assert_eq!(less.channels, [good]);
    // A mistake of a file is not mended by leaving rows out.
    let of_file = Config::parse("port: [\n", Format::Yaml, "w.yaml", &|_| None).unwrap_err();
    assert_eq!(catalog.without(&of_file), None);
}

#[test]
fn rows_that_could_not_be_opened_are_told_and_can_be_left_out() {
    let broken = vec![ConfigError::of_row("credentials", "crd_9", "sealed", "what is sealed there was changed")];
    let catalog = Catalog { channels: vec![row("chn_1", "one")], broken, ..Catalog::default() };
    let errors = over(&catalog, "").unwrap_err();
    assert_eq!(errors[0].to_string(), "database, credentials crd_9: sealed: what is sealed there was changed");
    assert!(over(&catalog.without(&errors).unwrap(), "").is_ok());
}
