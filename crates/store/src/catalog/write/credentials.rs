//! Changes to credentials. Decides when one counts as changed and which letters of a key stay visible. Tests: `tests/it/catalog.rs`.

use sqlx::Row as _;
use waypost_core::secret::Secret;

use super::{Changes, CredentialDraft, Put, is_same, text};
use crate::seal::{Place, SealError};
use crate::{StoreError, VaultError};

/// Shorter secrets show none of their letters.
const MIN_HINTED: usize = 16;
const HINT: usize = 4;

impl Changes<'_> {
    /// Creates the credential of that name in its channel, or makes it so.
    pub async fn put_credential(&mut self, draft: &CredentialDraft) -> Result<Put, VaultError> {
        let sql = "select id from credentials where channel_id = $1 and name = $2";
        let known = sqlx::query(sql).bind(&draft.channel).bind(&draft.name).fetch_optional(&mut *self.tx).await;
        match known.map_err(StoreError::from)? {
            Some(row) => {
                let id: String = row.try_get(0).map_err(StoreError::from)?;
                self.change_credential(&id, draft, None).await
            }
            None => self.create_credential(draft).await,
        }
    }

    /// Creates a credential; [`StoreError::NotFound`] if there is no such channel, [`StoreError::Taken`] if it has one of that
    /// name.
    pub async fn create_credential(&mut self, draft: &CredentialDraft) -> Result<Put, VaultError> {
        let channel = sqlx::query("select id from channels where id = $1").bind(&draft.channel);
        channel.fetch_one(&mut *self.tx).await.map_err(StoreError::from)?;
        let Some(key) = &draft.key else {
            return Err(StoreError::Refused("key: a new credential needs one; give the provider's key".into()).into());
        };
        let id = self.dice.id("crd");
        let sealed = self.seal_key(&id, key)?;
        let sql = "insert into credentials (id, channel_id, name, sealed, hint, enabled, limits, revision, created_at, \
                   changed_at) values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)";
        let insert = sqlx::query(sql).bind(&id).bind(&draft.channel).bind(&draft.name).bind(sealed).bind(hint(key));
        let insert = insert.bind(i64::from(draft.enabled)).bind(text(&draft.limits)).bind(self.now);
        insert.execute(&mut *self.tx).await.map_err(StoreError::from)?;
        Ok(self.created(id))
    }

    /// Makes a credential so. With a revision, only if nobody has changed it since.
    pub async fn change_credential(
        &mut self,
        id: &str,
        draft: &CredentialDraft,
        revision: Option<i64>,
    ) -> Result<Put, VaultError> {
        let sql = "select name, sealed, hint, enabled, limits, revision from credentials where id = $1";
        let row = sqlx::query(sql).bind(id).fetch_one(&mut *self.tx).await.map_err(StoreError::from)?;
        let column = |error: sqlx::Error| StoreError::from(error);
        if revision.is_some_and(|wanted| row.try_get::<i64, _>(5).ok() != Some(wanted)) {
            return Err(StoreError::Stale.into());
        }
        let (known, hinted): (Vec<u8>, String) = (row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?);
        let place = Place { table: "credentials", row: id, tenant: "" };
        // A key that cannot be opened any more is replaced by the one that is given.
        let key_stays = draft.key.as_ref().is_none_or(|key| self.vault.open(&place, &known).as_ref() == Ok(key));
        let rest_stays = row.try_get::<String, _>(0).map_err(column)? == draft.name
            && (row.try_get::<i64, _>(3).map_err(column)? != 0) == draft.enabled
            && is_same(&row.try_get::<String, _>(4).map_err(column)?, &draft.limits);
        if key_stays && rest_stays {
            return Ok(Put::Same { id: id.to_owned() });
        }
        let (sealed, hint) = match &draft.key {
            Some(key) if !key_stays => (self.seal_key(id, key)?, hint(key)),
            Some(_) | None => (known, hinted),
        };
        let sql = "update credentials set name = $1, sealed = $2, hint = $3, enabled = $4, limits = $5, \
                   revision = revision + 1, changed_at = $6 where id = $7";
        let update = sqlx::query(sql).bind(&draft.name).bind(sealed).bind(hint).bind(i64::from(draft.enabled));
        let update = update.bind(text(&draft.limits)).bind(self.now).bind(id);
        update.execute(&mut *self.tx).await.map_err(StoreError::from)?;
        Ok(self.changed(id.to_owned()))
    }

    /// Deletes a credential. With a revision, only if nobody has changed it since.
    pub async fn delete_credential(&mut self, id: &str, revision: Option<i64>) -> Result<(), StoreError> {
        self.delete("credentials", id, revision).await
    }

    fn seal_key(&mut self, id: &str, key: &Secret) -> Result<Vec<u8>, SealError> {
        let place = Place { table: "credentials", row: id, tenant: "" };
        self.vault.seal(&place, key, &mut self.dice)
    }
}

/// The last letters of a secret that is long enough to lose them.
fn hint(key: &Secret) -> String {
    let letters: Vec<char> = key.expose().chars().collect();
    let shown = letters.len().checked_sub(HINT).filter(|_| letters.len() >= MIN_HINTED);
    shown.map_or_else(String::new, |from| letters.iter().skip(from).collect())
}
