//! Channels and credentials of the database over HTTP: made, shown, changed and deleted. A secret goes in and never comes out; what a
//! file owns is not touched here. What is written is in effect before the answer is sent, or the answer says why not. Tests:
//! `it/manage/catalog.rs`.

mod destination;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use waypost_core::GatewayError;
use waypost_core::config;
use waypost_core::role::Action;
use waypost_store::catalog::{Changes, ChannelDraft, Credential, CredentialDraft, ProviderDraft};
use waypost_store::{StoreError, VaultError};

use super::answer::Answer;
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};
use crate::catalog::{Feed, dice};
use crate::follow::Feed as _;
use crate::transfer::{self, ChannelPlan, CredentialPlan};

const READ: Needs = Needs::May(Action::ReadGateway);
const WRITE: Needs = Needs::May(Action::WriteCatalog);

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/catalog"),
        "catalog.export",
        "everything of the configuration that is in the database, without secrets",
        READ,
        Kind::Show,
        |ask| Box::pin(export(ask)),
    )
    .giving(shape::<Map<String, Value>>),
    Route::new(
        ("POST", "/admin/channels"),
        "channel.create",
        "make a channel, written as in a file, with its credentials",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create_channel(ask)),
    )
    .taking(shape::<config::Channel>)
    .giving(shape::<Written<ChannelShown>>),
    Route::new(("GET", "/admin/channels/{id}"), "channel.get", "one channel", READ, Kind::Show, |ask| {
        Box::pin(get_channel(ask))
    })
    .giving(shape::<ChannelShown>),
    Route::new(
        ("PATCH", "/admin/channels/{id}"),
        "channel.change",
        "change a channel; what is left out stays, null takes away; where its secrets go, only an owner changes while they stay",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change_channel(ask)),
    )
    .taking(shape::<Map<String, Value>>)
    .giving(shape::<Written<ChannelShown>>),
    Route::new(
        ("DELETE", "/admin/channels/{id}"),
        "channel.delete",
        "delete a channel with its credentials",
        WRITE,
        Kind::End,
        |ask| Box::pin(delete_channel(ask)),
    ),
    Route::new(
        ("POST", "/admin/credentials"),
        "credential.create",
        "give a channel a key: `channel`, `name`, `key`, `enabled`, `limits`",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create_credential(ask)),
    )
    .taking(shape::<NewCredential>)
    .giving(shape::<Written<CredentialShown>>),
    Route::new(
        ("GET", "/admin/credentials/{id}"),
        "credential.get",
        "one credential, without its key",
        READ,
        Kind::Show,
        |ask| Box::pin(get_credential(ask)),
    )
    .giving(shape::<CredentialShown>),
    Route::new(
        ("PATCH", "/admin/credentials/{id}"),
        "credential.change",
        "change a credential: `name`, `key`, `enabled`, `limits`; what is left out stays",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change_credential(ask)),
    )
    .taking(shape::<CredentialChange>)
    .giving(shape::<Written<CredentialShown>>),
    Route::new(
        ("DELETE", "/admin/credentials/{id}"),
        "credential.delete",
        "delete a credential",
        WRITE,
        Kind::End,
        |ask| Box::pin(delete_credential(ask)),
    ),
];

/// A channel, written as in a file but for its credentials, with what the database adds.
#[derive(JsonSchema)]
#[schemars(rename = "CatalogChannel")]
#[expect(dead_code, reason = "only its schema is used; `transfer` writes channels")]
struct ChannelShown {
    id: String,
    credentials: Vec<CredentialShown>,
    /// Whether it has headers of its own, which may be secrets and are not shown.
    has_headers: bool,
    /// What `ETag` says.
    version: i64,
    #[schemars(flatten)]
    channel: Map<String, Value>,
}

/// A credential, without its key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CatalogCredential")]
struct CredentialShown {
    id: String,
    /// The id of its channel.
    channel: String,
    name: String,
    /// The last characters of its key.
    hint: String,
    enabled: bool,
    limits: Value,
    created_at: i64,
    changed_at: i64,
    /// What `ETag` says.
    version: i64,
}

/// What was written just now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Written")]
struct Written<T> {
    #[serde(flatten)]
    thing: T,
    /// The next request is served by it.
    in_effect: bool,
    /// Why it is not; null if it is. It is kept in any case, and comes into effect when that is over.
    why: Option<String>,
}

impl<T> Written<T> {
    fn of(thing: T, why: Option<String>) -> Self {
        Self { thing, in_effect: why.is_none(), why }
    }
}

/// A credential to be made.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; `transfer` reads credentials")]
struct NewCredential {
    /// The id of the channel.
    channel: String,
    name: String,
    key: Option<String>,
    enabled: Option<bool>,
    limits: Option<Map<String, Value>>,
}

/// What is to be different of a credential.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; `transfer` reads credentials")]
struct CredentialChange {
    name: Option<String>,
    key: Option<String>,
    enabled: Option<bool>,
    limits: Option<Map<String, Value>>,
}

async fn export(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let document = transfer::export(ask.store()?, None).await.map_err(|error| ask.fault(error))?;
    Answer::shown(&document)
}

// === channels ===

async fn get_channel(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (view, revision) = channel_view(&ask, ask.id()).await?;
    Answer::of_version(&view, revision)
}

async fn create_channel(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let plan = planned(ask.input()?)?;
    check(&ask, &plan.draft, &plan.credentials).await?;
    refuse_if_filed(&ask, feed, &plan.draft.name)?;
    let mut changes = begin(&ask, feed).await?;
    let put = changes.create_channel(&plan.draft).await.map_err(|error| fault(&ask, error))?;
    for credential in plan.credentials {
        let draft = drafted(put.id(), credential);
        changes.create_credential(&draft).await.map_err(|error| fault(&ask, error))?;
    }
    let goes_to = destination::shown(plan.draft.provider.as_deref(), plan.draft.base_url.as_deref());
    let detail = json!({ "name": plan.draft.name, "destination": goes_to });
    let why = commit(&ask, feed, changes, put.id(), &detail).await?;
    let (view, revision) = channel_view(&ask, put.id()).await?;
    Answer::made(&Written::of(view, why), revision)
}

async fn change_channel(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let store = ask.store()?;
    let known = store.channel(ask.id()).await.map_err(|error| ask.fault(error))?;
    let mut wanted = transfer::channel(&known);
    let patch: Map<String, Value> = ask.input()?;
    let fields: Vec<String> = patch.keys().cloned().collect();
    if let Some(field) = fields.iter().find(|field| matches!(field.as_str(), "credentials" | "api_key" | "api_keys")) {
        let message = format!("`{field}` is changed at /admin/credentials.");
        return Err(GatewayError::invalid_request(message, Some(field)));
    }
    merge(&mut wanted, patch);
    let plan = planned(wanted)?;
    let credentials = store.credentials(Some(ask.id()), "", 1000).await.map_err(|error| ask.fault(error))?;
    let credentials: Vec<_> = credentials.iter().map(kept).collect();
    check(&ask, &plan.draft, &credentials).await?;
    if plan.draft.name != known.name {
        refuse_if_filed(&ask, feed, &plan.draft.name)?;
    }
    let mut changes = begin(&ask, feed).await?;
    let before = changes.before(ask.id()).await.map_err(|error| ask.fault(error))?;
    destination::check(&ask.actor, &before, &plan.draft)?;
    let changed = changes.change_channel(ask.id(), &plan.draft, ask.expected()?).await;
    changed.map_err(|error| fault(&ask, error))?;
    let mut detail = json!({ "name": plan.draft.name, "fields": fields });
    if let (Some(change), Some(said)) = (destination::change(&before, &plan.draft), detail.as_object_mut()) {
        said.insert("destination".to_owned(), change);
    }
    let why = commit(&ask, feed, changes, ask.id(), &detail).await?;
    let (view, revision) = channel_view(&ask, ask.id()).await?;
    Answer::of_version(&Written::of(view, why), revision)
}

async fn delete_channel(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let known = ask.store()?.channel(ask.id()).await.map_err(|error| ask.fault(error))?;
    let mut changes = begin(&ask, feed).await?;
    let deleted = changes.delete_channel(ask.id(), ask.expected_if_said()?).await;
    deleted.map_err(|error| ask.fault(error))?;
    commit(&ask, feed, changes, ask.id(), &json!({ "name": known.name })).await?;
    Ok(Answer::done())
}

/// A channel as the API shows it, with its credentials but not their keys.
async fn channel_view(ask: &Ask<'_>, id: &str) -> Result<(Map<String, Value>, i64), GatewayError> {
    let store = ask.store()?;
    let row = store.channel(id).await.map_err(|error| ask.fault(error))?;
    let credentials = store.credentials(Some(id), "", 1000).await.map_err(|error| ask.fault(error))?;
    let mut view = transfer::channel(&row);
    view.insert("id".to_owned(), json!(row.id));
    let credentials: Vec<CredentialShown> = credentials.iter().map(credential_view).collect();
    view.insert("credentials".to_owned(), json!(credentials));
    view.insert("has_headers".to_owned(), json!(row.has_headers));
    view.insert("version".to_owned(), json!(row.revision));
    Ok((view, row.revision))
}

/// The channel that a body describes.
fn planned(body: Map<String, Value>) -> Result<ChannelPlan, GatewayError> {
    transfer::channel_plan(body)
        .map_err(|reason| GatewayError::invalid_request(format!("The channel: {reason}."), None))
}

/// Puts a patch over a channel; null takes away.
fn merge(to: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (field, value) in patch {
        if value.is_null() {
            to.remove(&field);
        } else {
            to.insert(field, value);
        }
    }
}

// === credentials ===

async fn get_credential(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let row = ask.store()?.credential(ask.id()).await.map_err(|error| ask.fault(error))?;
    Answer::of_version(&credential_view(&row), row.revision)
}

async fn create_credential(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let mut body: Map<String, Value> = ask.input()?;
    let channel = body.remove("channel").and_then(|id| id.as_str().map(str::to_owned));
    let channel =
        channel.ok_or_else(|| GatewayError::invalid_request("`channel` is the id of one.", Some("channel")))?;
    let draft = drafted(&channel, credential_plan(body)?);
    check_credential(&ask, &draft).await?;
    let mut changes = begin(&ask, feed).await?;
    let put = changes.create_credential(&draft).await.map_err(|error| fault(&ask, error))?;
    let why = commit(&ask, feed, changes, put.id(), &json!({ "channel": channel, "name": draft.name })).await?;
    let row = ask.store()?.credential(put.id()).await.map_err(|error| ask.fault(error))?;
    Answer::made(&Written::of(credential_view(&row), why), row.revision)
}

async fn change_credential(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let known = ask.store()?.credential(ask.id()).await.map_err(|error| ask.fault(error))?;
    let mut wanted = Map::new();
    wanted.insert("name".to_owned(), json!(known.name));
    wanted.insert("enabled".to_owned(), json!(known.enabled));
    wanted.insert("limits".to_owned(), serde_json::from_str(&known.limits).unwrap_or_default());
    let patch: Map<String, Value> = ask.input()?;
    let fields: Vec<String> = patch.keys().cloned().collect();
    merge(&mut wanted, patch);
    let draft = drafted(&known.channel_id, credential_plan(wanted)?);
    check_credential(&ask, &draft).await?;
    let mut changes = begin(&ask, feed).await?;
    let changed = changes.change_credential(ask.id(), &draft, ask.expected()?).await;
    changed.map_err(|error| fault(&ask, error))?;
    let why = commit(&ask, feed, changes, ask.id(), &json!({ "name": draft.name, "fields": fields })).await?;
    let row = ask.store()?.credential(ask.id()).await.map_err(|error| ask.fault(error))?;
    Answer::of_version(&Written::of(credential_view(&row), why), row.revision)
}

async fn delete_credential(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let feed = feed(&ask)?;
    let known = ask.store()?.credential(ask.id()).await.map_err(|error| ask.fault(error))?;
    let mut changes = begin(&ask, feed).await?;
    let deleted = changes.delete_credential(ask.id(), ask.expected_if_said()?).await;
    deleted.map_err(|error| ask.fault(error))?;
    commit(&ask, feed, changes, ask.id(), &json!({ "channel": known.channel_id, "name": known.name })).await?;
    Ok(Answer::done())
}

fn credential_view(row: &Credential) -> CredentialShown {
    CredentialShown {
        id: row.id.clone(),
        channel: row.channel_id.clone(),
        name: row.name.clone(),
        hint: row.hint.clone(),
        enabled: row.enabled,
        limits: serde_json::from_str(&row.limits).unwrap_or_default(),
        created_at: row.created_at,
        changed_at: row.changed_at,
        version: row.revision,
    }
}

fn credential_plan(body: Map<String, Value>) -> Result<CredentialPlan, GatewayError> {
    let known = ["name", "key", "enabled", "limits"];
    if let Some(field) = body.keys().find(|field| !known.contains(&field.as_str())) {
        let message = format!("`{field}` is nothing of a credential; it has {}.", known.join(", "));
        return Err(GatewayError::invalid_request(message, Some(field)));
    }
    transfer::credential_plan(body)
        .ok_or_else(|| GatewayError::invalid_request("A credential needs a `name`.", Some("name")))
}

fn drafted(channel: &str, plan: CredentialPlan) -> CredentialDraft {
    let CredentialPlan { name, key, enabled, limits } = plan;
    CredentialDraft { channel: channel.to_owned(), name, key, enabled, limits }
}

/// A credential that is there, for checks: its key stays closed.
fn kept(row: &Credential) -> CredentialPlan {
    CredentialPlan {
        name: row.name.clone(),
        key: None,
        enabled: row.enabled,
        limits: serde_json::from_str(&row.limits).unwrap_or_default(),
    }
}

// === common to both ===

/// The catalog of this gateway. Where files hold the configuration, nothing can be changed.
fn feed<'a>(ask: &Ask<'a>) -> Result<&'a Feed, GatewayError> {
    let message =
        "Files hold the configuration of this gateway: change them, or start it with --mode auto, sqlite or postgres.";
    ask.app.catalog.get().map(|feed| &**feed).ok_or_else(|| GatewayError::conflict(message, None))
}

async fn begin<'f>(ask: &Ask<'_>, feed: &'f Feed) -> Result<Changes<'f>, GatewayError> {
    let dice = dice().ok_or_else(|| GatewayError::internal("the operating system gives no random numbers"))?;
    feed.store().change_catalog(feed.vault(), dice, ask.now()).await.map_err(|error| fault(ask, error))
}

/// Writes, with what was done in the audit log, and takes it into use. Says why it is not in use, if it is not.
async fn commit(
    ask: &Ask<'_>,
    feed: &Feed,
    changes: Changes<'_>,
    id: &str,
    detail: &Value,
) -> Result<Option<String>, GatewayError> {
    let (tx, _) = changes.finish().await.map_err(|error| ask.fault(error))?;
    ask.commit(tx, id, None, detail).await?;
    feed.refresh().await.map_err(|error| ask.fault(error))?;
    Ok(ask.reload().await)
}

/// Fails with everything that is wrong with the channel.
async fn check(ask: &Ask<'_>, draft: &ChannelDraft, credentials: &[CredentialPlan]) -> Result<(), GatewayError> {
    let rows = ask.store()?.providers().await.map_err(|error| ask.fault(error))?;
    let providers: Vec<_> = rows
        .into_iter()
        .map(|row| ProviderDraft {
            name: row.name,
            kind: row.kind,
            base_url: row.base_url,
            settings: serde_json::from_str(&row.settings).unwrap_or_default(),
        })
        .collect();
    transfer::check(draft, credentials, &providers).map_err(|errors| {
        let field = errors.first().map(|error| error.path.clone()).filter(|path| !path.is_empty());
        let said = errors.iter().map(|error| match (error.path.as_str(), &error.fix) {
            ("", _) => error.reason.clone(),
            (path, None) => format!("{path}: {}", error.reason),
            (path, Some(fix)) => format!("{path}: {}; {fix}", error.reason),
        });
        let message = format!("The channel cannot work: {}.", said.collect::<Vec<_>>().join("; "));
        GatewayError::invalid_request(message, field.as_deref())
    })
}

async fn check_credential(ask: &Ask<'_>, draft: &CredentialDraft) -> Result<(), GatewayError> {
    let row = ask.store()?.channel(&draft.channel).await.map_err(|error| ask.fault(error))?;
    let plan = planned(transfer::channel(&row))?;
    let credential = CredentialPlan {
        name: draft.name.clone(),
        key: draft.key.clone(),
        enabled: draft.enabled,
        limits: draft.limits.clone(),
    };
    check(ask, &plan.draft, &[credential]).await
}

/// A name that a file uses would never be served.
fn refuse_if_filed(ask: &Ask<'_>, feed: &Feed, name: &str) -> Result<(), GatewayError> {
    let kept = feed.catalog().channels.iter().any(|row| row.name == name);
    let serves = ask.app.live().snapshot.channels.iter().any(|channel| &*channel.name == name);
    if serves && !kept {
        let message = format!("A file or variable has a channel `{name}` already, which wins; take another name.");
        return Err(GatewayError::conflict(message, Some("name")));
    }
    Ok(())
}

fn fault(ask: &Ask<'_>, error: VaultError) -> GatewayError {
    match error {
        VaultError::Store(error @ StoreError::Refused(_)) => GatewayError::invalid_request(format!("{error}."), None),
        VaultError::Store(error) => ask.fault(error),
        VaultError::Seal(error) => GatewayError::internal(error),
    }
}
