//! What the catalog holds, for people to look at: no secret, only its last letters. Decides order and pages. Tests:
//! `tests/it/catalog.rs`.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Store, StoreError};

/// A provider that channels may name instead of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    pub id: String,
    pub name: String,
    pub kind: String,
    pub base_url: Option<String>,
    /// A JSON object.
    pub settings: String,
    pub revision: i64,
}

/// A channel without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub provider: Option<String>,
    pub base_url: Option<String>,
    pub enabled: bool,
    /// It has headers of its own, which are secret.
    pub has_headers: bool,
    /// A JSON object.
    pub settings: String,
    pub models: Vec<Model>,
    /// For `If-Match`: another number after every change.
    pub revision: i64,
    pub created_at: i64,
    pub changed_at: i64,
}

/// A model of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub id: String,
    pub name: String,
    pub upstream: Option<String>,
    /// A JSON object.
    pub settings: String,
}

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    pub channel_id: String,
    pub name: String,
    /// The last letters of the secret; none if it is short.
    pub hint: String,
    pub enabled: bool,
    /// A JSON object.
    pub limits: String,
    pub revision: i64,
    pub created_at: i64,
    pub changed_at: i64,
}

/// A virtual model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    /// A JSON object.
    pub settings: String,
    pub revision: i64,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub path: String,
    /// JSON.
    pub value: String,
    pub revision: i64,
}

impl Store {
    /// At most `limit` channels by id, after this one.
    pub async fn channels(&self, after: &str, limit: i64) -> Result<Vec<Channel>, StoreError> {
        let sql = concat!(
            "select id, name, provider, base_url, enabled, cast(case when headers is null then 0 else 1 end as bigint) as has_headers, ",
            "settings, revision, created_at, changed_at from channels where id > $1 order by id limit $2"
        );
        let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(self.reader()).await?;
        let mut channels = rows.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (channels.first(), channels.last()) else { return Ok(channels) };
        let sql = "select channel_id, id, name, upstream, settings from models where channel_id >= $1 and channel_id <= $2 \
                   order by channel_id, name";
        let rows = sqlx::query(sql).bind(&first.id).bind(&last.id).fetch_all(self.reader()).await?;
        let mut models: HashMap<String, Vec<Model>> = HashMap::new();
        for row in &rows {
            models.entry(row.try_get(0)?).or_default().push(Model {
                id: row.try_get(1)?,
                name: row.try_get(2)?,
                upstream: row.try_get(3)?,
                settings: row.try_get(4)?,
            });
        }
        for channel in &mut channels {
            channel.models = models.remove(&channel.id).unwrap_or_default();
        }
        Ok(channels)
    }

    /// One channel, by its id.
    pub async fn channel(&self, id: &str) -> Result<Channel, StoreError> {
        let sql = concat!(
            "select id, name, provider, base_url, enabled, cast(case when headers is null then 0 else 1 end as bigint) as has_headers, ",
            "settings, revision, created_at, changed_at from channels where id = $1"
        );
        let row = sqlx::query(sql).bind(id).fetch_one(self.reader()).await?;
        let mut channel = channel(&row)?;
        let sql = "select id, name, upstream, settings from models where channel_id = $1 order by name";
        for row in sqlx::query(sql).bind(id).fetch_all(self.reader()).await? {
            channel.models.push(Model {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                upstream: row.try_get(2)?,
                settings: row.try_get(3)?,
            });
        }
        Ok(channel)
    }

    /// At most `limit` credentials by id, after this one; of one channel only if it is given.
    pub async fn credentials(
        &self,
        channel: Option<&str>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Credential>, StoreError> {
        let sql = "select id, channel_id, name, hint, enabled, limits, revision, created_at, changed_at from credentials \
                   where id > $1 and ($2 = '' or channel_id = $2) order by id limit $3";
        let query = sqlx::query(sql).bind(after).bind(channel.unwrap_or_default()).bind(limit);
        query.fetch_all(self.reader()).await?.iter().map(credential).collect()
    }

    /// One credential, by its id.
    pub async fn credential(&self, id: &str) -> Result<Credential, StoreError> {
        let sql = "select id, channel_id, name, hint, enabled, limits, revision, created_at, changed_at from credentials \
                   where id = $1";
        credential(&sqlx::query(sql).bind(id).fetch_one(self.reader()).await?)
    }

    /// Every provider, by name.
    pub async fn providers(&self) -> Result<Vec<Provider>, StoreError> {
        let sql = "select id, name, kind, base_url, settings, revision from providers order by name";
        let provider = |row: &AnyRow| {
            Ok(Provider {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                kind: row.try_get(2)?,
                base_url: row.try_get(3)?,
                settings: row.try_get(4)?,
                revision: row.try_get(5)?,
            })
        };
        sqlx::query(sql).fetch_all(self.reader()).await?.iter().map(provider).collect()
    }

    /// Every model group, by name.
    pub async fn model_groups(&self) -> Result<Vec<Group>, StoreError> {
        let sql = "select id, name, enabled, settings, revision from model_groups order by name";
        let group = |row: &AnyRow| {
            Ok(Group {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                enabled: row.try_get::<i64, _>(2)? != 0,
                settings: row.try_get(3)?,
                revision: row.try_get(4)?,
            })
        };
        sqlx::query(sql).fetch_all(self.reader()).await?.iter().map(group).collect()
    }

    /// Every setting, by its path.
    pub async fn settings(&self) -> Result<Vec<Setting>, StoreError> {
        let sql = "select path, value, revision from settings order by path";
        let setting =
            |row: &AnyRow| Ok(Setting { path: row.try_get(0)?, value: row.try_get(1)?, revision: row.try_get(2)? });
        sqlx::query(sql).fetch_all(self.reader()).await?.iter().map(setting).collect()
    }
}

fn channel(row: &AnyRow) -> Result<Channel, StoreError> {
    Ok(Channel {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        provider: row.try_get("provider")?,
        base_url: row.try_get("base_url")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        has_headers: row.try_get::<i64, _>("has_headers")? != 0,
        settings: row.try_get("settings")?,
        models: Vec::new(),
        revision: row.try_get("revision")?,
        created_at: row.try_get("created_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}

fn credential(row: &AnyRow) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: row.try_get(0)?,
        channel_id: row.try_get(1)?,
        name: row.try_get(2)?,
        hint: row.try_get(3)?,
        enabled: row.try_get::<i64, _>(4)? != 0,
        limits: row.try_get(5)?,
        revision: row.try_get(6)?,
        created_at: row.try_get(7)?,
        changed_at: row.try_get(8)?,
    })
}
