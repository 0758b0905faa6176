//! Could a gateway use this channel? Asked before it is written, so that no broken row gets into the database. Decides nothing of its
//! own: the channel is read and compiled as it would be from the database. Tests: `it/transfer.rs`.

use serde_json::{Map, Value};
use waypost_core::config::{Catalog, ChannelRow, ConfigError, CredentialRow, Inputs, ModelRow, Variables, load};
use waypost_core::health::States;
use waypost_core::secret::Secret;
use waypost_core::snapshot::compile;
use waypost_store::catalog::{ChannelDraft, ProviderDraft};

use super::CredentialPlan;

/// Stands for a key that is kept already, or is yet to come.
const SOME_KEY: &str = "wp-some-key-0123456789";

/// What is wrong with a channel, by its fields. `providers` are those it may name.
pub fn check(
    draft: &ChannelDraft,
    credentials: &[CredentialPlan],
    providers: &[ProviderDraft],
) -> Result<(), Vec<ConfigError>> {
    let named = providers.iter().find(|provider| draft.provider.as_deref() == Some(provider.name.as_str()));
    let mut settings = named.map(|provider| provider.settings.clone()).unwrap_or_default();
    settings.extend(draft.settings.clone());
    let credential = |plan: &CredentialPlan| CredentialRow {
        id: plan.name.clone(),
        name: plan.name.clone(),
        key: plan.key.clone().unwrap_or(Secret::new(SOME_KEY)),
        enabled: plan.enabled,
        limits: text(&plan.limits),
    };
    let model = |draft: &waypost_store::catalog::ModelDraft| ModelRow {
        id: draft.name.clone(),
        name: draft.name.clone(),
        upstream: draft.upstream.clone(),
        settings: text(&draft.settings),
    };
    let row = ChannelRow {
        id: draft.name.clone(),
        name: draft.name.clone(),
        provider: named.map(|provider| provider.kind.clone()).or(draft.provider.clone()),
        base_url: draft.base_url.clone().or(named.and_then(|provider| provider.base_url.clone())),
        enabled: draft.enabled,
        headers: draft.headers.as_ref().map(|headers| Secret::new(text(headers))),
        settings: text(&settings),
        models: draft.models.iter().map(model).collect(),
        credentials: credentials.iter().map(credential).collect(),
    };
    let catalog = Catalog { channels: vec![row], ..Catalog::default() };
    let variables = Variables::default();
    let inputs = Inputs {
        texts: &[],
        variables: &variables,
        arguments: &[],
        catalog: Some(&catalog),
        dice: [0; 24],
        callers_elsewhere: false,
        simulated: &[],
    };
    let loaded = load(&inputs)?;
    compile(&loaded.config, &States::default()).map(drop)
}

fn text(object: &Map<String, Value>) -> String {
    Value::Object(object.clone()).to_string()
}
