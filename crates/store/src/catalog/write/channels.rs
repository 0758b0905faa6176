//! Changes to channels, with their models and headers. Decides when one counts as changed. Tests: `tests/it/catalog.rs`.

use serde_json::{Map, Value};
use sqlx::Row as _;
use waypost_core::secret::Secret;

use super::{Changes, ChannelDraft, ModelDraft, Put, is_same, text};
use crate::seal::{Place, SealError};
use crate::{StoreError, VaultError};

impl Changes<'_> {
    /// Creates the channel of that name, or makes it so.
    pub async fn put_channel(&mut self, draft: &ChannelDraft) -> Result<Put, VaultError> {
        let sql = "select id from channels where name = $1";
        let known = sqlx::query(sql).bind(&draft.name).fetch_optional(&mut *self.tx).await.map_err(StoreError::from)?;
        match known {
            Some(row) => {
                let id: String = row.try_get(0).map_err(StoreError::from)?;
                self.change_channel(&id, draft, None).await
            }
            None => self.create_channel(draft).await,
        }
    }

    /// Creates a channel; [`StoreError::Taken`] if there is one of that name.
    pub async fn create_channel(&mut self, draft: &ChannelDraft) -> Result<Put, VaultError> {
        let id = self.dice.id("chn");
        let headers = self.seal_headers(&id, draft)?;
        let sql = "insert into channels (id, name, provider, base_url, enabled, headers, settings, revision, created_at, \
                   changed_at) values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)";
        let insert = sqlx::query(sql).bind(&id).bind(&draft.name).bind(draft.provider.as_deref());
        let insert = insert.bind(draft.base_url.as_deref()).bind(i64::from(draft.enabled)).bind(headers);
        let done = insert.bind(text(&draft.settings)).bind(self.now).execute(&mut *self.tx).await;
        done.map_err(StoreError::from)?;
        self.put_models(&id, &draft.models).await?;
        Ok(self.created(id))
    }

    /// A channel as it is before it is changed, which nobody else does meanwhile.
    pub async fn before(&mut self, id: &str) -> Result<Before, StoreError> {
        let known = self.known_channel(id).await?;
        let sql = "select count(*) from credentials where channel_id = $1";
        let credentials: i64 = sqlx::query(sql).bind(id).fetch_one(&mut *self.tx).await?.try_get(0)?;
        Ok(Before {
            provider: known.provider,
            base_url: known.base_url,
            settings: serde_json::from_str(&known.settings).unwrap_or_default(),
            has_headers: known.headers.is_some(),
            has_credentials: credentials > 0,
        })
    }

    /// Makes a channel so. With a revision, only if nobody has changed it since.
    pub async fn change_channel(
        &mut self,
        id: &str,
        draft: &ChannelDraft,
        revision: Option<i64>,
    ) -> Result<Put, VaultError> {
        let known = self.known_channel(id).await?;
        if revision.is_some_and(|revision| revision != known.revision) {
            return Err(StoreError::Stale.into());
        }
        let headers_stay = match &draft.headers {
            Some(headers) => self.are_headers(id, known.headers.as_deref(), headers)?,
            None => true,
        };
        let settings_stay = known.name == draft.name
            && known.provider == draft.provider
            && known.base_url == draft.base_url
            && known.enabled == draft.enabled
            && is_same(&known.settings, &draft.settings);
        let models_changed = self.put_models(id, &draft.models).await?;
        if headers_stay && settings_stay && !models_changed {
            return Ok(Put::Same { id: id.to_owned() });
        }
        let headers = if headers_stay { known.headers } else { self.seal_headers(id, draft)? };
        let sql = "update channels set name = $1, provider = $2, base_url = $3, enabled = $4, headers = $5, settings = $6, \
                   revision = revision + 1, changed_at = $7 where id = $8";
        let update = sqlx::query(sql).bind(&draft.name).bind(draft.provider.as_deref()).bind(draft.base_url.as_deref());
        let update = update.bind(i64::from(draft.enabled)).bind(headers).bind(text(&draft.settings));
        update.bind(self.now).bind(id).execute(&mut *self.tx).await.map_err(StoreError::from)?;
        Ok(self.changed(id.to_owned()))
    }

    /// Deletes a channel with its models and credentials. With a revision, only if nobody has changed it since.
    pub async fn delete_channel(&mut self, id: &str, revision: Option<i64>) -> Result<(), StoreError> {
        self.delete("channels", id, revision).await?;
        for sql in ["delete from models where channel_id = $1", "delete from credentials where channel_id = $1"] {
            sqlx::query(sql).bind(id).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    // === parts ===

    async fn known_channel(&mut self, id: &str) -> Result<Known, StoreError> {
        let sql = "select name, provider, base_url, enabled, headers, settings, revision from channels where id = $1";
        let row = sqlx::query(sql).bind(id).fetch_one(&mut *self.tx).await?;
        Ok(Known {
            name: row.try_get(0)?,
            provider: row.try_get(1)?,
            base_url: row.try_get(2)?,
            enabled: row.try_get::<i64, _>(3)? != 0,
            headers: row.try_get(4)?,
            settings: row.try_get(5)?,
            revision: row.try_get(6)?,
        })
    }

    /// Makes a channel's models so; says whether they were not.
    async fn put_models(&mut self, channel: &str, drafts: &[ModelDraft]) -> Result<bool, StoreError> {
        let sql = "select id, name, upstream, settings from models where channel_id = $1";
        let mut changed = false;
        let mut known = Vec::new();
        for row in sqlx::query(sql).bind(channel).fetch_all(&mut *self.tx).await? {
            let (id, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (upstream, settings): (Option<String>, String) = (row.try_get(2)?, row.try_get(3)?);
            match drafts.iter().find(|draft| draft.name == name) {
                Some(draft) if draft.upstream == upstream && is_same(&settings, &draft.settings) => {}
                Some(draft) => {
                    let sql = "update models set upstream = $1, settings = $2 where id = $3";
                    let update = sqlx::query(sql).bind(draft.upstream.as_deref()).bind(text(&draft.settings)).bind(&id);
                    update.execute(&mut *self.tx).await?;
                    changed = true;
                }
                None => {
                    sqlx::query("delete from models where id = $1").bind(&id).execute(&mut *self.tx).await?;
                    changed = true;
                }
            }
            known.push(name);
        }
        for draft in drafts.iter().filter(|draft| !known.contains(&draft.name)) {
            let id = self.dice.id("mdl");
            let sql = "insert into models (id, channel_id, name, upstream, settings) values ($1, $2, $3, $4, $5)";
            let insert = sqlx::query(sql).bind(id).bind(channel).bind(&draft.name).bind(draft.upstream.as_deref());
            insert.bind(text(&draft.settings)).execute(&mut *self.tx).await?;
            changed = true;
        }
        Ok(changed)
    }

    fn seal_headers(&mut self, id: &str, draft: &ChannelDraft) -> Result<Option<Vec<u8>>, SealError> {
        let Some(headers) = draft.headers.as_ref().filter(|headers| !headers.is_empty()) else { return Ok(None) };
        let place = Place { table: "channels", row: id, tenant: "" };
        self.vault.seal(&place, &Secret::new(text(headers)), &mut self.dice).map(Some)
    }

    fn are_headers(&self, id: &str, sealed: Option<&[u8]>, wanted: &Map<String, Value>) -> Result<bool, SealError> {
        let Some(sealed) = sealed else { return Ok(wanted.is_empty()) };
        let known = self.vault.open(&Place { table: "channels", row: id, tenant: "" }, sealed);
        Ok(known.is_ok_and(|known| is_same(known.expose(), wanted)))
    }
}

/// Where a channel's secrets go, and which it has.
#[derive(Clone, Debug)]
pub struct Before {
    pub provider: Option<String>,
    pub base_url: Option<String>,
    pub settings: Map<String, Value>,
    pub has_headers: bool,
    pub has_credentials: bool,
}

struct Known {
    name: String,
    provider: Option<String>,
    base_url: Option<String>,
    enabled: bool,
    headers: Option<Vec<u8>>,
    settings: String,
    revision: i64,
}
