//! The catalog: providers, channels with their models and credentials, model groups and settings, as rows. Decides how they are kept
//! and how they become what [`waypost_core::config`] reads; whether they make sense is decided there. Tests: `tests/it/catalog.rs`.

mod list;
mod write;

use std::collections::HashMap;

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::config::{Catalog, ChannelRow, ConfigError, CredentialRow, GroupRow, ModelRow, SettingRow};
use waypost_core::secret::Secret;

use crate::seal::Place;
use crate::{Store, StoreError, Vault};

pub use list::{Channel, Credential, Group, Model, Provider, Setting};
pub use write::{Before, Changes, ChannelDraft, CredentialDraft, GroupDraft, ModelDraft, ProviderDraft, Put};

/// A catalog as it was at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Edition {
    pub version: i64,
    pub catalog: Catalog,
}

impl Store {
    /// Counts the writes to the catalog; whoever has read an edition need not read it again while this stays the same.
    pub async fn catalog_version(&self) -> Result<i64, StoreError> {
        let row = sqlx::query(VERSION).fetch_one(self.reader()).await?;
        Ok(row.try_get(0)?)
    }

    /// Everything in the catalog, with its secrets opened. A row that cannot be read is told in it; it fails only if the database
    /// does.
    pub async fn catalog(&self, vault: &Vault) -> Result<Edition, StoreError> {
        let mut tx = self.reader().begin().await?;
        if self.kind() == crate::Kind::Postgres {
            sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        }
        let version = sqlx::query(VERSION).fetch_one(&mut *tx).await?.try_get(0)?;
        let mut reading = Reading { vault, broken: Vec::new() };
        let providers = providers(&mut tx).await?;
        let mut models = models(&mut tx).await?;
        let mut credentials = reading.credentials(&mut tx).await?;
        let mut channels = Vec::new();
        for row in all(&mut tx, CHANNELS).await? {
            let id: String = row.try_get("id")?;
            let parts = Parts {
                models: models.remove(&id).unwrap_or_default(),
                credentials: credentials.remove(&id).unwrap_or_default(),
            };
            channels.extend(reading.channel(&row, id, parts, &providers)?);
        }
        let groups = all(&mut tx, "select id, name, enabled, settings from model_groups order by name").await?;
        let groups = groups.iter().map(group).collect::<Result<_, StoreError>>()?;
        let settings = all(&mut tx, "select path, value from settings order by path").await?;
        let settings = settings.iter().map(|row| Ok(SettingRow { path: row.try_get(0)?, value: row.try_get(1)? }));
        let settings = settings.collect::<Result<_, StoreError>>()?;
        tx.commit().await?;
        Ok(Edition { version, catalog: Catalog { channels, groups, settings, broken: reading.broken } })
    }
}

const VERSION: &str = "select version from catalog_version where id = 1";
const CHANNELS: &str = "select id, name, provider, base_url, enabled, headers, settings from channels order by name";

async fn all(tx: &mut Transaction<'static, Any>, sql: &'static str) -> Result<Vec<AnyRow>, StoreError> {
    Ok(sqlx::query(sql).fetch_all(&mut **tx).await?)
}

/// A provider that channels may name instead of a kind.
struct Named {
    kind: String,
    base_url: Option<String>,
    settings: String,
}

async fn providers(tx: &mut Transaction<'static, Any>) -> Result<HashMap<String, Named>, StoreError> {
    let rows = all(tx, "select name, kind, base_url, settings from providers").await?;
    let named = |row: &AnyRow| {
        let named = Named { kind: row.try_get(1)?, base_url: row.try_get(2)?, settings: row.try_get(3)? };
        Ok((row.try_get(0)?, named))
    };
    rows.iter().map(named).collect()
}

async fn models(tx: &mut Transaction<'static, Any>) -> Result<HashMap<String, Vec<ModelRow>>, StoreError> {
    let mut models: HashMap<String, Vec<ModelRow>> = HashMap::new();
    for row in all(tx, "select channel_id, id, name, upstream, settings from models order by name").await? {
        models.entry(row.try_get(0)?).or_default().push(ModelRow {
            id: row.try_get(1)?,
            name: row.try_get(2)?,
            upstream: row.try_get(3)?,
            settings: row.try_get(4)?,
        });
    }
    Ok(models)
}

fn group(row: &AnyRow) -> Result<GroupRow, StoreError> {
    Ok(GroupRow {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        enabled: row.try_get::<i64, _>(2)? != 0,
        settings: row.try_get(3)?,
    })
}

/// What belongs to a channel.
struct Parts {
    models: Vec<ModelRow>,
    credentials: Vec<CredentialRow>,
}

struct Reading<'v> {
    vault: &'v Vault,
    broken: Vec<ConfigError>,
}

impl Reading<'_> {
    async fn credentials(
        &mut self,
        tx: &mut Transaction<'static, Any>,
    ) -> Result<HashMap<String, Vec<CredentialRow>>, StoreError> {
        let sql = "select channel_id, id, name, sealed, enabled, limits from credentials order by name";
        let mut credentials: HashMap<String, Vec<CredentialRow>> = HashMap::new();
        for row in all(tx, sql).await? {
            let (id, sealed): (String, Vec<u8>) = (row.try_get(1)?, row.try_get(3)?);
            let Some(key) = self.open("credentials", &id, "sealed", &sealed) else { continue };
            let (name, limits) = (row.try_get(2)?, row.try_get(5)?);
            let enabled = row.try_get::<i64, _>(4)? != 0;
            credentials.entry(row.try_get(0)?).or_default().push(CredentialRow { id, name, key, enabled, limits });
        }
        Ok(credentials)
    }

    fn channel(
        &mut self,
        row: &AnyRow,
        id: String,
        parts: Parts,
        providers: &HashMap<String, Named>,
    ) -> Result<Option<ChannelRow>, StoreError> {
        let headers = match row.try_get::<Option<Vec<u8>>, _>("headers")? {
            Some(sealed) => match self.open("channels", &id, "headers", &sealed) {
                Some(headers) => Some(headers),
                None => return Ok(None),
            },
            None => None,
        };
        let said: Option<String> = row.try_get("provider")?;
        let named = said.as_deref().and_then(|name| providers.get(name));
        let own: String = row.try_get("settings")?;
        let base_url: Option<String> = row.try_get("base_url")?;
        Ok(Some(ChannelRow {
            name: row.try_get("name")?,
            provider: named.map(|named| named.kind.clone()).or(said),
            base_url: base_url.or_else(|| named.and_then(|named| named.base_url.clone())),
            enabled: row.try_get::<i64, _>("enabled")? != 0,
            headers,
            settings: named.map_or_else(|| own.clone(), |named| over(&own, &named.settings)),
            models: parts.models,
            credentials: parts.credentials,
            id,
        }))
    }

    fn open(&mut self, table: &str, id: &str, column: &str, sealed: &[u8]) -> Option<Secret> {
        match self.vault.open(&Place { table, row: id, tenant: "" }, sealed) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.broken.push(ConfigError::of_row(table, id, column, error.to_string()));
                None
            }
        }
    }
}

/// A channel's settings over those of its provider. What is no JSON object is left for the reader of the channel to refuse.
fn over(own: &str, provider: &str) -> String {
    let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    match (object(own), object(provider)) {
        (Some(own), Some(mut both)) if !both.is_empty() => {
            both.extend(own);
            Value::Object(both).to_string()
        }
        _ => own.to_owned(),
    }
}
