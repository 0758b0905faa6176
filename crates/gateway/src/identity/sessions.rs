//! The sessions of somebody: shown, and ended one by one. Decides nothing about whose they may see; scopes do.
//! Tests: `it/auth/sessions.rs`.

use serde_json::json;
use waypost_core::role::{Action, Actor};
use waypost_store::page::{Cursor, Page, Scope};
use waypost_store::sessions::{self, Session};
use waypost_store::{StoreError, audit};

use super::{Denied, Identity, Whence, entry};

impl Identity {
    /// The sessions of one user that live now, the newest first.
    pub async fn sessions_of(
        &self,
        user: &str,
        now: i64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Session>, Denied> {
        Ok(sessions::page(&self.store, &Scope::Own(user.to_owned()), None, now, after, limit).await?)
    }

    /// Ends a session within the scope, at once.
    pub async fn end_session(&self, actor: &Actor, scope: &Scope, id: &str, whence: &Whence<'_>) -> Result<(), Denied> {
        if !actor.may(Action::EndSessions) {
            return Err(Denied::NotFound);
        }
        let address = whence.address.to_canonical().to_string();
        let mut tx = self.store.begin().await?;
        let session = sessions::end(&mut tx, scope, id, "logout", whence.now).await.map_err(|error| match error {
            StoreError::NotFound => Denied::NotFound,
            other => Denied::Store(other),
        })?;
        let detail = json!({ "user": session.user });
        let mut entry = entry(actor, "session.end", id, &detail, &address, whence);
        entry.team = session.team.as_deref();
        audit::append(&mut tx, entry).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.end_session(id);
        Ok(())
    }
}
