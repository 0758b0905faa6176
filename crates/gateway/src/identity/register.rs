//! Becoming a user: by oneself where that is open, else by an invite; and getting in again by a reset that an administrator
//! made. Decides that nobody learns from it who is a user already. Tests: `it/auth/register.rs`.

use serde_json::json;
use waypost_core::config::Registration;
use waypost_core::role::{Action, Role};
use waypost_core::secret::Secret;
use waypost_store::invites::{self, Invite};
use waypost_store::page::Scope;
use waypost_store::users::{self, NewUser};
use waypost_store::{StoreError, audit, digest, id, sessions};

use super::profile::check_name;
use super::{Denied, Identity, Whence, actor, entry, password};

const NO_INVITE: &str = "Registration needs a valid invite. Ask an administrator of this gateway for one.";
const CLOSED: &str = "Registration is closed. Ask an administrator of this gateway to make an account for you.";
const BAD_RESET: &str = "This reset is not valid, or no longer. Ask an administrator of this gateway for another one.";

/// What invites and resets begin with.
const PREFIX: &str = "wpi_";

/// What somebody gives of themselves.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub email: &'a str,
    pub name: &'a str,
    pub password: &'a Secret,
}

/// It was done as far as anybody may know: that the address was taken already is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered;

impl Identity {
    /// Makes a user of somebody. If the address is somebody's already, nothing is changed and nothing is said.
    pub async fn register(
        &self,
        wanted: Wanted<'_>,
        invite: Option<&Secret>,
        whence: &Whence<'_>,
    ) -> Result<Registered, Denied> {
        check(wanted)?;
        self.throttle.enter(None, whence.address, whence.now).map_err(Denied::Wait)?;
        let invite = self.admission(invite, wanted.email, whence.now).await?;
        let hash = self.hasher.hash(wanted.password.expose(), self.dice()?).await?;
        let (role, team, plan) = match &invite {
            Some(invite) => (invite.role, invite.team.as_deref(), invite.plan.as_deref()),
            None => (Role::Member, None, None),
        };
        let id = self.new_id("usr")?;
        let Wanted { email, name, .. } = wanted;
        let new = NewUser { id: &id, email, name, role, team, plan, password: Some(&hash) };
        let address = whence.address.to_canonical().to_string();
        let mut tx = self.store.begin().await?;
        let user = match users::create(&mut tx, &new, whence.now).await {
            Ok(user) => user,
            Err(StoreError::Taken(_)) => {
                drop(tx);
                return self.registered_again(email, &address, whence).await;
            }
            Err(other) => return Err(other.into()),
        };
        let who = actor(&user);
        if let Some(invite) = &invite {
            invites::redeem(&mut tx, &invite.id, &user.id, whence.now).await.map_err(used_up)?;
        }
        let detail = json!({ "email": user.email, "role": role, "invite": invite.as_ref().map(|invite| &invite.id) });
        audit::append(&mut tx, entry(&who, "user.register", &user.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Registered)
    }

    /// Leaves a trace, which takes as long as making a user.
    async fn registered_again(&self, email: &str, address: &str, whence: &Whence<'_>) -> Result<Registered, Denied> {
        let Some((user, _)) = users::by_login(&self.store, email).await? else { return Ok(Registered) };
        let mut tx = self.store.begin().await?;
        let (who, detail) = (waypost_core::role::Actor::system(), json!({ "already": true }));
        let mut entry = entry(&who, "user.register_again", &user.id, &detail, address, whence);
        entry.team = user.team.as_deref();
        audit::append(&mut tx, entry).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Registered)
    }

    /// May somebody with this invite become a user now?
    async fn admission(&self, given: Option<&Secret>, email: &str, now: i64) -> Result<Option<Invite>, Denied> {
        match (self.settings.registration, given) {
            (Registration::Closed, _) => return Err(Denied::Forbidden(CLOSED)),
            (Registration::Open, None) => return Ok(None),
            (Registration::Invite, None) => return Err(Denied::Forbidden(NO_INVITE)),
            (Registration::Open | Registration::Invite, Some(_)) => {}
        }
        let hash = digest::of(given.map(Secret::expose).unwrap_or_default());
        let invite = invites::usable(&self.store, &hash, now).await?;
        let theirs = |invite: &Invite| {
            let address = invite.email.as_deref().map(users::login_of);
            invite.user.is_none() && address.is_none_or(|address| address == users::login_of(email))
        };
        let invite = invite.filter(theirs).ok_or(Denied::Forbidden(NO_INVITE))?;
        if self.is_vouched_for(&invite).await? { Ok(Some(invite)) } else { Err(Denied::Forbidden(NO_INVITE)) }
    }

    /// Could whoever made it make it now? Those who have no row, the admin token and commands, can.
    async fn is_vouched_for(&self, invite: &Invite) -> Result<bool, Denied> {
        if !id::is("usr", &invite.made_by) {
            return Ok(true);
        }
        let maker = match users::get(&self.store, &Scope::All, &invite.made_by).await {
            Ok(maker) => maker,
            Err(StoreError::NotFound) => return Ok(false),
            Err(other) => return Err(other.into()),
        };
        let who = actor(&maker);
        let reaches =
            Scope::of(&who, Action::WriteUsers).is_some_and(|scope| scope.holds(None, invite.team.as_deref()));
        Ok(reaches && who.may_grant(invite.role) && maker.enabled && self.team_is_enabled(&maker).await?)
    }

    /// A new secret for an invite or a reset, and the hash to keep of it.
    pub fn new_invite_secret(&self) -> Result<(Secret, String), Denied> {
        let secret = format!("{PREFIX}{}", digest::hex(&self.dice::<24>()?));
        let hash = digest::of(&secret);
        Ok((Secret::new(secret), hash))
    }

    /// Sets another password for whoever has the secret of a reset, which an administrator made for them as they are: in
    /// another role or team it is void. All their sessions end, and their other resets.
    pub async fn reset_password(&self, secret: &Secret, new: &Secret, whence: &Whence<'_>) -> Result<(), Denied> {
        check_password("password", new.expose(), "")?;
        self.throttle.enter(None, whence.address, whence.now).map_err(Denied::Wait)?;
        let reset = invites::usable(&self.store, &digest::of(secret.expose()), whence.now).await?;
        let hash = self.hasher.hash(new.expose(), self.dice()?).await?;
        let (Some(id), Some(reset)) = (reset.as_ref().and_then(|reset| reset.user.as_deref()), &reset) else {
            return Err(Denied::Forbidden(BAD_RESET));
        };
        let user = users::get(&self.store, &Scope::All, id).await?;
        // Whoever made it may have had less to say about what the user is now.
        if (user.role, &user.team) != (reset.role, &reset.team) || !self.is_vouched_for(reset).await? {
            return Err(Denied::Forbidden(BAD_RESET));
        }
        let (who, address) = (actor(&user), whence.address.to_canonical().to_string());
        let mut tx = self.store.begin().await?;
        // The user before invites, as everybody locks them.
        users::lock(&mut tx, id).await?;
        invites::redeem(&mut tx, &reset.id, id, whence.now).await.map_err(|error| match error {
            StoreError::NotFound => Denied::Forbidden(BAD_RESET),
            other => Denied::Store(other),
        })?;
        let generation = users::set_password(&mut tx, id, &hash, whence.now).await?;
        let ended = sessions::end_all(&mut tx, id, None, "password reset", whence.now).await?;
        let detail = json!({ "reset": reset.id, "ended_sessions": ended });
        audit::append(&mut tx, entry(&who, "user.password", id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_generation(id, generation);
        Ok(())
    }
}

fn used_up(error: StoreError) -> Denied {
    match error {
        StoreError::NotFound => Denied::Forbidden(NO_INVITE),
        other => Denied::Store(other),
    }
}

/// Can this become a user?
pub(super) fn check(wanted: Wanted<'_>) -> Result<(), Denied> {
    check_email(wanted.email)?;
    check_name(wanted.name)?;
    check_password("password", wanted.password.expose(), wanted.email)
}

/// Could mail be sent there? Whether somebody reads it, only mail could tell.
fn check_email(email: &str) -> Result<(), Denied> {
    let plain =
        |text: &str| !text.is_empty() && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    let parts = email.trim().rsplit_once('@');
    let good = parts.is_some_and(|(local, domain)| {
        plain(local) && plain(domain) && !local.contains('@') && !domain.starts_with('.') && !domain.ends_with('.')
    });
    if good && email.len() <= 254 {
        return Ok(());
    }
    let message = "Expected an e-mail address such as name@example.org.".to_owned();
    Err(Denied::Invalid { field: "email", message })
}

/// Is this a password that is taken?
pub(super) fn check_password(field: &'static str, password: &str, email: &str) -> Result<(), Denied> {
    match password::refusal(password, email) {
        Some(why) => Err(Denied::Invalid { field, message: why.to_owned() }),
        None => Ok(()),
    }
}
