//! The config of the Waypost that the SDK suites ask: one channel for each dialect the upstream can speak, and one for
//! each way it can fail, so that one failure's consequences never meet another test.

use std::fmt::Write;

/// The caller's key.
pub(super) const KEY: &str = "wp-sdk-test-key";

/// Whoever runs the gateway.
pub(super) const ADMIN_TOKEN: &str = "an-admin-token-of-the-sdk-tests";

/// What the upstream is asked for by `[fail <status>]`; `cut` and `break` by their names.
const FAULTS: &[&str] = &["400", "401", "404", "429", "500", "503", "break", "cut"];

/// A dialect of the upstream: its name in tests, its provider, the dialect, the end of its address, the model it knows.
struct Upstream {
    name: &'static str,
    provider: &'static str,
    dialect: &'static str,
    path: &'static str,
    model: &'static str,
}

const UPSTREAMS: &[Upstream] = &[
    Upstream { name: "chat", provider: "openai", dialect: "openai_chat", path: "/v1", model: "gpt-4o" },
    Upstream { name: "responses", provider: "openai", dialect: "openai_responses", path: "/v1", model: "gpt-4.1" },
    Upstream { name: "messages", provider: "anthropic", dialect: "anthropic", path: "", model: "claude-sonnet-4-5" },
    Upstream { name: "gemini", provider: "gemini", dialect: "gemini", path: "/v1beta", model: "gemini-2.5-flash" },
];

/// The config file, with the mock provider at that address. Model names: `via-chat`, `via-chat-fails-429` and so on.
pub(super) fn yaml(address: &str) -> String {
    let mut text = format!("keys:\n  - {{ name: sdk, key: {KEY} }}\nadmin: {{ token: {ADMIN_TOKEN} }}\n");
    text += "retry: { max_attempts: 1 }\nchannels:\n";
    for upstream in UPSTREAMS {
        let name = upstream.name;
        channel(&mut text, address, upstream, name, "key-good", &[(format!("via-{name}"), upstream.model)]);
        channel(
            &mut text,
            address,
            upstream,
            &format!("{name}-bad-key"),
            "key-nope",
            &[(format!("via-{name}-bad-key"), upstream.model)],
        );
        for fault in FAULTS {
            let channel_name = format!("{name}-fails-{fault}");
            let model = (format!("via-{name}-fails-{fault}"), upstream.model);
            channel(&mut text, address, upstream, &channel_name, "key-good", &[model]);
        }
    }
    let [chat, responses, _, gemini] = UPSTREAMS else {
        return text;
    };
    let others = ["text-embedding-3-small", "gpt-3.5-turbo-instruct"].map(|model| (model.to_owned(), model));
    channel(&mut text, address, chat, "others", "key-good", &others);
    channel(&mut text, address, chat, "reasoning-chat", "key-good", &[("via-chat-reasoning".to_owned(), "o3")]);
    channel(&mut text, address, responses, "reasoning", "key-good", &[("via-responses-reasoning".to_owned(), "gpt-5")]);
    let third = ("via-gemini-3".to_owned(), "gemini-3-pro-preview");
    channel(&mut text, address, gemini, "gemini-3", "key-good", &[third]);
    text
}

fn channel(text: &mut String, address: &str, upstream: &Upstream, name: &str, key: &str, models: &[(String, &str)]) {
    let Upstream { provider, dialect, path, .. } = upstream;
    let models: Vec<String> =
        models.iter().map(|(public, model)| format!("{{ name: {public}, upstream: {model} }}")).collect();
    // Writing to a string does not fail.
    writeln!(
        text,
        "  - {{ name: {name}, provider: {provider}, base_url: \"http://{address}{path}\", api_key: {key}, dialects: [{dialect}], models: [{}] }}",
        models.join(", ")
    )
    .ok();
}
