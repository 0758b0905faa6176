use super::*;

fn text(name: &str, text: &str) -> Text {
    Text { name: name.to_owned(), format: Format::of(name), text: text.to_owned() }
}

fn together(texts: &[Text]) -> Result<Config, Vec<String>> {
    let variables = Variables::default();
    let inputs = Inputs {
        texts,
        variables: &variables,
        arguments: &[],
        catalog: None,
        dice: [0; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    load(&inputs).map(|loaded| loaded.config).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn files_of_a_folder_are_one_configuration_004_01() {
    let config = together(&[
        text("c/keys.yaml", "keys: [{name: a, key: wp-1}]\n"),
        text("c/more.json", r#"{"keys": [{"name": "b", "key": "wp-2"}], "server": {"maxBodyBytes": 2048}}"#),
        text("c/providers.yaml", "channels:\n- {name: x, provider: openai, api_key: k}\n"),
        text("c/system.yaml", "server: {port: 1}\nmodel_mappings: {global: {a: b}}\nrouting:\n"),
    ])
    .unwrap();
    let names: Vec<_> = config.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!((names, config.channels.len()), (vec!["a", "b"], 1));
    assert_eq!((config.server.port, config.server.max_body_bytes), (1, 2048));
}

#[test]
fn what_two_files_say_of_one_setting_is_an_error_that_names_both_places() {
    let errors = together(&[
        text("c/a.yaml", "server:\n  port: 1\nretry: {max_attempts: 2}\n"),
        text("c/b.json", "{\"server\": {\n \"port\": 2},\n \"retry\": []}"),
    ])
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "c/b.json:2:10: server.port: this was said already, at c/a.yaml:2; keep one of them",
            "c/b.json:3:11: retry: this was said already, at c/a.yaml:3; keep one of them",
        ]
    );
}

#[test]
fn a_mistake_is_shown_in_its_own_file() {
    let texts = [
        text("c/a.yaml", "channels:\n- {name: x, provider: openai, api_key: k}\n"),
        text("c/b.yaml", "channels:\n- {name: y, provider: opnai, api_key: k}\n- {name: z, tier: 11}\n"),
    ];
    let errors = together(&texts).unwrap_err();
    assert_eq!(errors, ["c/b.yaml:3:19: channels[2].tier: expected a whole number from 1 to 10, found 11"]);

    let broken = [texts[0].clone(), text("c/c.yaml", "keys: [\n")];
    let errors = together(&broken).unwrap_err();
    assert!(errors.len() == 1 && errors[0].starts_with("c/c.yaml:"), "{errors:?}");

    // What does not fit together is found later and has its place all the same.
    let fits = [
        texts[0].clone(),
        text("c/b.yaml", "keys: [{name: k, key: wp-1}]\nchannels:\n- {name: y, provider: opnai, api_key: k}\n"),
    ];
    let config = together(&fits).unwrap();
    let errors = crate::snapshot::compile(&config, &crate::health::States::default()).unwrap_err();
    assert!(errors[0].to_string().starts_with("c/b.yaml:3:13: channels[1].provider: "), "{errors:?}");
}

#[test]
fn the_command_line_comes_before_variables_and_those_before_files() {
    let variables = Variables::of([("PORT".to_owned(), "2".to_owned()), ("HOST".to_owned(), "::1".to_owned())]);
    let texts = [text("w.yaml", "server: {port: 1, host: 127.0.0.9, head_timeout: 3s}\n")];
    let arguments = [Argument { flag: "--port", path: &["server", "port"], value: "3".to_owned() }];
    let inputs = Inputs {
        texts: &texts,
        variables: &variables,
        arguments: &arguments,
        catalog: None,
        dice: [0; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    let server = load(&inputs).unwrap().config.server;
    assert_eq!((server.port, server.host.as_str(), server.head_timeout), (3, "::1", crate::config::Span::seconds(3)));

    let arguments = [Argument { flag: "--port", path: &["server", "port"], value: "many".to_owned() }];
    let errors = load(&Inputs { arguments: &arguments, ..inputs }).unwrap_err();
    assert!(errors[0].to_string().starts_with("--port: server.port: expected a whole number"), "{errors:?}");
}

#[test]
fn somebody_can_always_call() {
    let text = [text("w.yaml", "channels: [{name: x, provider: openai, api_key: k}]\n")];
    let variables = Variables::default();
    let inputs = Inputs {
        texts: &text,
        variables: &variables,
        arguments: &[],
        catalog: None,
        dice: [1; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    let loaded = load(&inputs).unwrap();
    assert_eq!(loaded.made_key.as_ref(), loaded.config.keys[0].key.as_ref());
    assert!(loaded.made_key.is_some_and(|key| key.expose().starts_with("wp-0101")) && !loaded.setup);
    let open = [Text { text: "open_mode: true\n".to_owned(), ..text[0].clone() }];
    assert!(load(&Inputs { texts: &open, ..inputs }).unwrap().made_key.is_none());
    let elsewhere = load(&Inputs { callers_elsewhere: true, ..inputs }).unwrap();
    assert!(elsewhere.made_key.is_none() && elsewhere.config.keys.is_empty());
}
