//! Where the secrets of a channel go, and how. Decides who may change that while they stay: whoever could, could have them sent to
//! themselves. Tests are below, and in `it/manage/catalog.rs`.

use http::Uri;
use serde_json::{Map, Value, json};
use waypost_core::GatewayError;
use waypost_core::role::{Action, Actor};
use waypost_store::catalog::{Before, ChannelDraft};

/// What of a channel has no part in it. Whatever is not named here has, and so has what channels learn later, until somebody has
/// thought about it.
const APART: &[&str] = &[
    "api_version",
    "breaker",
    "cooldowns",
    "default",
    "dialects",
    "discover",
    "key_limits",
    "key_strategy",
    "limits",
    "max_rps",
    "model_mapping",
    "priority",
    "probe",
    "tier",
    "timeout",
    "timeouts",
    "weight",
];

/// Fails if secrets of the channel that this actor may not use would go another way than before.
pub(super) fn check(actor: &Actor, before: &Before, draft: &ChannelDraft) -> Result<(), GatewayError> {
    let keeps = before.has_credentials || (before.has_headers && draft.headers.is_none());
    match moved(before, draft) {
        Some(field) if keeps && !actor.may(Action::UseSecrets) => Err(GatewayError::not_permitted(format!(
            "`{field}` says where the secrets of this channel go, or how, and only an owner may change that while they stay: make a new \
             channel with keys of its own, or, where it has no keys, give its `headers` anew."
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The destination for the audit log: the kind of provider and the host, and nothing else of an address.
pub(super) fn shown(provider: Option<&str>, base_url: Option<&str>) -> Value {
    let uri = base_url.and_then(|url| url.trim().parse::<Uri>().ok());
    let host = uri.as_ref().and_then(|uri| {
        let host = uri.host()?;
        Some(uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    json!({ "provider": provider, "host": host })
}

/// The destination before and after, if it is another one.
pub(super) fn change(before: &Before, draft: &ChannelDraft) -> Option<Value> {
    moved(before, draft)?;
    let was = shown(before.provider.as_deref(), before.base_url.as_deref());
    let is = shown(draft.provider.as_deref(), draft.base_url.as_deref());
    Some(json!({ "before": was, "after": is }))
}

/// The first field by which the destination is another one.
fn moved<'f>(before: &'f Before, draft: &'f ChannelDraft) -> Option<&'f str> {
    if before.base_url != draft.base_url {
        return Some("base_url");
    }
    if before.provider != draft.provider {
        return Some("provider");
    }
    let differs = |field: &&'f String, other: &Map<String, Value>, own: &Map<String, Value>| {
        !APART.contains(&field.as_str()) && other.get(*field) != own.get(*field)
    };
    let fields = before.settings.keys().chain(draft.settings.keys());
    fields.into_iter().find(|field| differs(field, &before.settings, &draft.settings)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use waypost_core::config::Config;

    use super::*;

    /// Whoever adds something to channels decides here whether secrets could go another way by it.
    #[test]
    fn every_field_of_a_channel_is_part_of_its_destination_or_stands_apart() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        let fields: BTreeSet<&str> =
            schema["$defs"]["Channel"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        // What has a column of its own, and the other names of what a file says.
        let elsewhere =
            ["api_key", "api_keys", "base_url", "credentials", "enabled", "headers", "models", "name", "provider"];
        let part = ["allow_private", "auth", "verify_tls"];
        let known: BTreeSet<&str> =
            APART.iter().copied().chain(elsewhere).chain(part).filter(|field| *field != "priority").collect();
        assert_eq!(fields, known);
    }

    #[test]
    fn nothing_of_an_address_but_its_host_is_shown() {
        for (url, host) in [
            ("https://api.openai.com/v1", json!("api.openai.com")),
            ("http://user:secret@relay.example:8080/secret?key=secret", json!("relay.example:8080")),
            ("no address, but a secret", Value::Null),
        ] {
            assert_eq!(shown(Some("openai"), Some(url)), json!({ "provider": "openai", "host": host }));
        }
    }

    #[test]
    fn what_has_no_part_in_it_moves_nothing_and_everything_else_does() {
        let settings = |field: &str| Map::from_iter([(field.to_owned(), json!(1))]);
        let before = Before {
            provider: Some("openai".to_owned()),
            base_url: None,
            settings: settings("tier"),
            has_headers: false,
            has_credentials: true,
        };
        let same = ChannelDraft { provider: Some("openai".to_owned()), ..ChannelDraft::default() };
        assert_eq!(moved(&before, &same), None);
        for field in ["auth", "verify_tls", "verify_ssl", "allow_private", "url", "whatever_comes_later"] {
            let draft = ChannelDraft { settings: settings(field), ..same.clone() };
            assert_eq!(moved(&before, &draft), Some(field));
        }
        let taken_away = Before { settings: settings("auth"), ..before };
        assert_eq!(moved(&taken_away, &same), Some("auth"));
    }
}
