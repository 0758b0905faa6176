//! Changes to the catalog: several in one transaction, which counts them in its version, or none. Decides when a row counts as
//! changed; secrets are sealed on the way in and never come out here. Tests: `tests/it/catalog.rs`.

mod channels;
mod credentials;
mod keys;

use serde_json::{Map, Value};
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use waypost_core::secret::Secret;

use crate::seal::Dice;
use crate::{Store, StoreError, Vault, VaultError};

pub use channels::Before;

/// A provider as somebody wants it.
#[derive(Clone, Debug, Default)]
pub struct ProviderDraft {
    pub name: String,
    pub kind: String,
    pub base_url: Option<String>,
    pub settings: Map<String, Value>,
}

/// A channel as somebody wants it, without its credentials.
#[derive(Clone, Debug, Default)]
pub struct ChannelDraft {
    pub name: String,
    /// A kind, or the name of a provider in the catalog.
    pub provider: Option<String>,
    pub base_url: Option<String>,
    pub enabled: bool,
    /// `None` leaves those that are there.
    pub headers: Option<Map<String, Value>>,
    pub settings: Map<String, Value>,
    pub models: Vec<ModelDraft>,
}

/// A model as somebody wants it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelDraft {
    pub name: String,
    pub upstream: Option<String>,
    pub settings: Map<String, Value>,
}

/// A credential as somebody wants it.
#[derive(Clone, Debug)]
pub struct CredentialDraft {
    /// The id of its channel.
    pub channel: String,
    pub name: String,
    /// `None` leaves the one that is there.
    pub key: Option<Secret>,
    pub enabled: bool,
    pub limits: Map<String, Value>,
}

/// A model group as somebody wants it.
#[derive(Clone, Debug, Default)]
pub struct GroupDraft {
    pub name: String,
    pub enabled: bool,
    pub settings: Map<String, Value>,
}

/// What became of one draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    Created {
        id: String,
    },
    Changed {
        id: String,
    },
    /// It was so already.
    Same {
        id: String,
    },
}

impl Put {
    pub fn id(&self) -> &str {
        match self {
            Self::Created { id } | Self::Changed { id } | Self::Same { id } => id,
        }
    }
}

/// Changes that are made together. Dropped, none of them was made.
pub struct Changes<'v> {
    tx: Transaction<'static, Any>,
    vault: &'v Vault,
    dice: Dice,
    now: i64,
    count: usize,
}

impl Store {
    /// Begins to change the catalog.
    pub async fn change_catalog<'v>(&self, vault: &'v Vault, dice: Dice, now: i64) -> Result<Changes<'v>, VaultError> {
        let mut tx = self.begin().await?;
        // Taken first, so that those who change the catalog at the same time do so one after the other.
        let lock = "update catalog_version set version = version where id = 1";
        sqlx::query(lock).execute(&mut *tx).await.map_err(StoreError::from)?;
        vault.check_current(&mut tx).await?;
        Ok(Changes { tx, vault, dice, now, count: 0 })
    }
}

impl Changes<'_> {
    /// Makes the changes, if there are any. Gives the catalog's version.
    pub async fn commit(self) -> Result<i64, StoreError> {
        let (tx, version) = self.finish().await?;
        tx.commit().await?;
        Ok(version)
    }

    /// The transaction, for whoever writes something along with the changes and commits it. Gives the catalog's version.
    pub async fn finish(mut self) -> Result<(Transaction<'static, Any>, i64), StoreError> {
        let step = i64::from(self.count > 0);
        let sql = "update catalog_version set version = version + $1 where id = 1 returning version";
        let version = sqlx::query(sql).bind(step).fetch_one(&mut *self.tx).await?.try_get(0)?;
        Ok((self.tx, version))
    }

    /// How many rows were created, changed or deleted so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Creates the provider of that name, or makes it so.
    pub async fn put_provider(&mut self, draft: &ProviderDraft) -> Result<Put, StoreError> {
        let settings = text(&draft.settings);
        let sql = "select id, kind, base_url, settings from providers where name = $1";
        let known = sqlx::query(sql).bind(&draft.name).fetch_optional(&mut *self.tx).await?;
        let Some(row) = known else {
            let id = self.dice.id("prv");
            let sql = "insert into providers (id, name, kind, base_url, settings, revision, created_at, changed_at) \
                       values ($1, $2, $3, $4, $5, 1, $6, $6)";
            let insert = sqlx::query(sql).bind(&id).bind(&draft.name).bind(&draft.kind).bind(draft.base_url.as_deref());
            insert.bind(settings).bind(self.now).execute(&mut *self.tx).await?;
            return Ok(self.created(id));
        };
        let id: String = row.try_get(0)?;
        let same = row.try_get::<String, _>(1)? == draft.kind
            && row.try_get::<Option<String>, _>(2)? == draft.base_url
            && is_same(&row.try_get::<String, _>(3)?, &draft.settings);
        if same {
            return Ok(Put::Same { id });
        }
        let sql = "update providers set kind = $1, base_url = $2, settings = $3, revision = revision + 1, changed_at = $4 \
                   where id = $5";
        let update = sqlx::query(sql).bind(&draft.kind).bind(draft.base_url.as_deref()).bind(settings);
        update.bind(self.now).bind(&id).execute(&mut *self.tx).await?;
        Ok(self.changed(id))
    }

    /// Creates the model group of that name, or makes it so.
    pub async fn put_group(&mut self, draft: &GroupDraft) -> Result<Put, StoreError> {
        let sql = "select id, enabled, settings from model_groups where name = $1";
        let Some(row) = sqlx::query(sql).bind(&draft.name).fetch_optional(&mut *self.tx).await? else {
            let id = self.dice.id("grp");
            let sql = "insert into model_groups (id, name, enabled, settings, revision, created_at, changed_at) \
                       values ($1, $2, $3, $4, 1, $5, $5)";
            let insert = sqlx::query(sql).bind(&id).bind(&draft.name).bind(i64::from(draft.enabled));
            insert.bind(text(&draft.settings)).bind(self.now).execute(&mut *self.tx).await?;
            return Ok(self.created(id));
        };
        let id: String = row.try_get(0)?;
        let enabled = row.try_get::<i64, _>(1)? != 0;
        if enabled == draft.enabled && is_same(&row.try_get::<String, _>(2)?, &draft.settings) {
            return Ok(Put::Same { id });
        }
        let sql = "update model_groups set enabled = $1, settings = $2, revision = revision + 1, changed_at = $3 \
                   where id = $4";
        let update =
            sqlx::query(sql).bind(i64::from(draft.enabled)).bind(text(&draft.settings)).bind(self.now).bind(&id);
        update.execute(&mut *self.tx).await?;
        Ok(self.changed(id))
    }

    /// Sets a setting.
    pub async fn put_setting(&mut self, path: &str, value: &Value) -> Result<Put, StoreError> {
        let id = path.to_owned();
        let known = sqlx::query("select value from settings where path = $1").bind(path).fetch_optional(&mut *self.tx);
        let Some(row) = known.await? else {
            let sql = "insert into settings (path, value, revision, changed_at) values ($1, $2, 1, $3)";
            let insert = sqlx::query(sql).bind(path).bind(value.to_string()).bind(self.now);
            insert.execute(&mut *self.tx).await?;
            return Ok(self.created(id));
        };
        if serde_json::from_str::<Value>(&row.try_get::<String, _>(0)?).ok().as_ref() == Some(value) {
            return Ok(Put::Same { id });
        }
        let sql = "update settings set value = $1, revision = revision + 1, changed_at = $2 where path = $3";
        sqlx::query(sql).bind(value.to_string()).bind(self.now).bind(path).execute(&mut *self.tx).await?;
        Ok(self.changed(id))
    }

    async fn delete(&mut self, table: &'static str, id: &str, revision: Option<i64>) -> Result<(), StoreError> {
        let find = AssertSqlSafe(format!("select revision from {table} where id = $1"));
        let known: i64 = sqlx::query(find).bind(id).fetch_one(&mut *self.tx).await?.try_get(0)?;
        if revision.is_some_and(|revision| revision != known) {
            return Err(StoreError::Stale);
        }
        let delete = AssertSqlSafe(format!("delete from {table} where id = $1"));
        sqlx::query(delete).bind(id).execute(&mut *self.tx).await?;
        self.count += 1;
        Ok(())
    }

    fn created(&mut self, id: String) -> Put {
        self.count += 1;
        Put::Created { id }
    }

    fn changed(&mut self, id: String) -> Put {
        self.count += 1;
        Put::Changed { id }
    }
}

fn text(object: &Map<String, Value>) -> String {
    Value::Object(object.clone()).to_string()
}

fn is_same(text: &str, object: &Map<String, Value>) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|known| known == *object)
}
