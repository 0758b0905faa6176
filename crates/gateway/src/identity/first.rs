//! The first owner: made by whoever has the token that was printed at the first start. There is no default password, and once
//! there is an owner there is no set-up either. Tests: `it/auth/setup.rs`.

use serde_json::json;
use waypost_core::role::Role;
use waypost_core::secret::Secret;
use waypost_store::users::{self, NewUser};
use waypost_store::{StoreError, audit, digest, meta};

use super::register::check;
use super::{Denied, Identity, SignedIn, Wanted, Whence, actor, entry};

/// Its name in the table of small things; the value is a hash.
const NAME: &str = "setup_token";
/// What the token begins with.
const PREFIX: &str = "wps_";

const WRONG: &str = "This is not the set-up token. It was printed when the gateway was started for the first time.";

impl Identity {
    /// Makes a set-up token if there is nobody and none was made before; takes it back if there is somebody.
    pub(super) async fn offer_setup(&self, now: i64) -> Result<Option<Secret>, Denied> {
        let token = Secret::new(format!("{PREFIX}{}", digest::hex(&self.dice::<24>()?)));
        let empty = users::is_empty(&self.store).await?;
        let mut tx = self.store.begin().await?;
        let made = if empty {
            meta::put(&mut tx, NAME, &digest::of(token.expose()), now).await?
        } else {
            meta::remove(&mut tx, NAME).await?;
            false
        };
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Some(token).filter(|_| made))
    }

    /// Makes the first owner and lets them in. [`Denied::NotFound`] once that was done.
    pub async fn set_up(&self, token: &Secret, wanted: Wanted<'_>, whence: &Whence<'_>) -> Result<SignedIn, Denied> {
        if !self.awaits_setup().await? {
            return Err(Denied::NotFound);
        }
        check(wanted)?;
        self.throttle.enter(None, whence.address, whence.now).map_err(Denied::Wait)?;
        let hash = self.hasher.hash(wanted.password.expose(), self.dice()?).await?;
        let id = self.new_id("usr")?;
        let Wanted { email, name, .. } = wanted;
        let new = NewUser { id: &id, email, name, role: Role::Owner, team: None, plan: None, password: Some(&hash) };
        let address = whence.address.to_canonical().to_string();
        let mut tx = self.store.begin().await?;
        if !meta::take(&mut tx, NAME, &digest::of(token.expose())).await? {
            return Err(Denied::Forbidden(WRONG));
        }
        let user = users::create(&mut tx, &new, whence.now).await?;
        let (who, detail) = (actor(&user), json!({ "email": user.email, "role": Role::Owner }));
        audit::append(&mut tx, entry(&who, "user.set_up", &user.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.begin(user, "set-up", whence).await
    }

    /// Is there nobody yet, and a token that was printed?
    pub async fn awaits_setup(&self) -> Result<bool, Denied> {
        if !users::is_empty(&self.store).await? {
            return Ok(false);
        }
        Ok(meta::get(&self.store, NAME).await?.is_some())
    }
}
