//! What somebody may see and change of themselves. Decides that a password is changed only by whoever knows the old one, and
//! that all other sessions end with it. Tests: `it/auth/profile.rs`.

use serde_json::json;
use waypost_core::secret::Secret;
use waypost_store::page::Scope;
use waypost_store::users::{self, Change, User};
use waypost_store::{StoreError, audit, sessions};

use super::register::check_password;
use super::{Denied, Identity, Signed, Whence, entry, password};

/// What may be different.
#[derive(Clone, Copy, Debug, Default)]
pub struct Profile<'a> {
    pub name: Option<&'a str>,
}

/// In characters.
const LONGEST_NAME: usize = 100;

impl Identity {
    /// Somebody as they are now.
    pub async fn profile(&self, signed: &Signed) -> Result<User, Denied> {
        let id = &*signed.actor.id;
        users::get(&self.store, &Scope::Own(id.to_owned()), id).await.map_err(|error| match error {
            StoreError::NotFound => Denied::NotSignedIn,
            other => Denied::Store(other),
        })
    }

    /// Changes what somebody may change of themselves; with `version`, only if that is still the version.
    pub async fn change_profile(
        &self,
        signed: &Signed,
        profile: Profile<'_>,
        version: Option<i64>,
        whence: &Whence<'_>,
    ) -> Result<User, Denied> {
        if let Some(name) = profile.name {
            check_name(name)?;
        }
        let id = &*signed.actor.id;
        let address = whence.address.to_canonical().to_string();
        let change = Change { name: profile.name, ..Change::default() };
        let mut tx = self.store.begin().await?;
        let user = users::change(&mut tx, &Scope::Own(id.to_owned()), id, version, &change, whence.now).await?;
        let detail = json!({ "name": user.name });
        audit::append(&mut tx, entry(&signed.actor, "user.change", id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_user(&user);
        Ok(user)
    }

    /// Sets another password for whoever knows the old one. All sessions end but this one, which gets a new access token: it
    /// and how long it is good for, in seconds.
    pub async fn change_password(
        &self,
        signed: &Signed,
        old: &Secret,
        new: &Secret,
        whence: &Whence<'_>,
    ) -> Result<(Secret, i64), Denied> {
        let user = self.profile(signed).await?;
        check_password("new_password", new.expose(), &user.email)?;
        if old.expose().len() > password::LONGEST {
            return Err(Denied::WrongLogin);
        }
        self.throttle.enter(Some(&user.email), whence.address, whence.now).map_err(Denied::Wait)?;
        let kept = users::password(&self.store, &user.id).await?;
        if !self.hasher.matches(old.expose(), kept.as_ref()).await? {
            return Err(Denied::WrongLogin);
        }
        self.throttle.passed(Some(&user.email), whence.address);
        let hash = self.hasher.hash(new.expose(), self.dice()?).await?;
        let address = whence.address.to_canonical().to_string();
        let mut tx = self.store.begin().await?;
        let generation = users::set_password(&mut tx, &user.id, &hash, whence.now).await?;
        let ended = sessions::end_all(&mut tx, &user.id, Some(&signed.session), "new password", whence.now).await?;
        sessions::keep(&mut tx, &signed.session, generation, whence.now).await?;
        let detail = json!({ "ended_sessions": ended });
        audit::append(&mut tx, entry(&signed.actor, "user.password", &user.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_generation(&user.id, generation);
        self.live.keep_session(&signed.session, generation);
        let session = sessions::get(&self.store, &Scope::All, &signed.session).await?;
        Ok(self.access_token(&user.id, &session, whence.now))
    }
}

/// Is this a name to be shown?
pub(super) fn check_name(name: &str) -> Result<(), Denied> {
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let message = "The name is too long, or has control characters: use at most 100 plain ones.".to_owned();
        return Err(Denied::Invalid { field: "name", message });
    }
    Ok(())
}
