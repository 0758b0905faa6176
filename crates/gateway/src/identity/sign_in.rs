//! Signing in, staying in and signing out. Decides what a try costs, that each refresh token is good for one use, and that an
//! old one ends the session, since two have it. Tests: `it/auth/`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use waypost_core::secret::Secret;
use waypost_store::page::Scope;
use waypost_store::sessions::{self, Refresh, Rotation, Session};
use waypost_store::users::{self, User};
use waypost_store::{StoreError, audit, digest, teams};

use super::{Denied, Identity, Signed, Whence, actor, entry, password};

/// The cookies of browsers that ask for them. The prefix makes browsers refuse them from anywhere but this host over TLS.
pub const ACCESS_COOKIE: &str = "__Host-waypost";
pub const REFRESH_COOKIE: &str = "__Host-waypost-refresh";

/// What a refresh token begins with, so that scanners for secrets know it.
const PREFIX: &str = "wpr_";
const DAY: i64 = 24 * 60 * 60 * 1000;
/// In bytes; as in RFC 5321.
const LONGEST_EMAIL: usize = 254;
/// How much is kept of what a client calls itself.
const LONGEST_AGENT: usize = 200;

/// Somebody who has just been let in, with what proves it.
#[derive(Debug)]
pub struct SignedIn {
    pub user: User,
    pub session: String,
    pub access: Secret,
    /// In seconds.
    pub expires_in: i64,
    pub refresh: Secret,
    /// Milliseconds since 1970.
    pub session_expires_at: i64,
}

/// Every node keeps every session in memory: nobody fills it by signing in.
const MOST_SESSIONS: i64 = 100;

impl Identity {
    /// Lets somebody in who knows the password of that address. Whatever is wrong, the answer is the same and takes as long.
    pub async fn sign_in(&self, email: &str, given: &Secret, whence: &Whence<'_>) -> Result<SignedIn, Denied> {
        let given = given.expose();
        if given.len() > password::LONGEST || email.len() > LONGEST_EMAIL {
            return Err(Denied::WrongLogin);
        }
        self.throttle.enter(Some(email), whence.address, whence.now).map_err(Denied::Wait)?;
        let found = users::by_login(&self.store, email).await?;
        let (user, kept) = found.map_or((None, None), |(user, kept)| (Some(user), kept));
        let right = match self.hasher.matches(given, kept.as_ref()).await {
            Ok(right) => right,
            Err(busy) => {
                // Nothing was tried.
                self.throttle.passed(None, whence.address);
                return Err(busy.into());
            }
        };
        let Some(user) = user.filter(|user| right && user.enabled) else { return Err(Denied::WrongLogin) };
        if !self.team_is_enabled(&user).await? {
            return Err(Denied::WrongLogin);
        }
        self.throttle.passed(Some(email), whence.address);
        if let Some(old) = kept.filter(|kept| password::is_outdated(kept.expose())) {
            let new = self.hasher.hash(given, self.dice()?).await?;
            users::renew_password(&self.store, &user.id, &old, &new).await?;
        }
        self.begin(user, "password", whence).await
    }

    /// Begins a session for somebody who has proved who they are.
    pub(super) async fn begin(&self, user: User, how: &str, whence: &Whence<'_>) -> Result<SignedIn, Denied> {
        let refresh = NewRefresh { family: self.dice::<16>()?, current: self.dice::<32>()? };
        let agent = whence.agent.get(..whence.agent.floor_char_boundary(LONGEST_AGENT)).unwrap_or_default();
        let address = whence.address.to_canonical().to_string();
        let session = Session {
            id: self.new_id("ses")?,
            user: user.id.clone(),
            team: user.team.clone(),
            created_at: whence.now,
            changed_at: whence.now,
            expires_at: whence.now.saturating_add(DAY * i64::from(self.settings.session_days)),
            ended_at: None,
            ended_why: None,
            generation: user.generation,
            agent: agent.to_owned(),
            address: address.clone(),
        };
        let (family, current) = (digest::of(&refresh.family()), digest::of(&refresh.current()));
        let (who, detail) = (actor(&user), json!({ "how": how, "agent": agent }));
        let mut tx = self.store.begin().await?;
        sessions::create(&mut tx, &session, Refresh { family: &family, current: &current }).await?;
        sessions::end_oldest(&mut tx, &session.user, MOST_SESSIONS, whence.now).await?;
        audit::append(&mut tx, entry(&who, "session.begin", &session.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_session(&session);
        self.live.note_user(&user);
        let (access, expires_in) = self.access_token(&user.id, &session, whence.now);
        let (refresh, session_expires_at) = (refresh.token(), session.expires_at);
        Ok(SignedIn { user, session: session.id, access, expires_in, refresh, session_expires_at })
    }

    /// Gives new tokens for a refresh token that was not used before. One that was ends its session.
    pub async fn refresh(&self, token: &Secret, whence: &Whence<'_>) -> Result<SignedIn, Denied> {
        let (family, current) = halves(token.expose()).ok_or(Denied::NotSignedIn)?;
        let session = sessions::by_family(&self.store, &digest::of(family)).await?.ok_or(Denied::NotSignedIn)?;
        let user = users::get(&self.store, &Scope::All, &session.user).await.map_err(|error| match error {
            StoreError::NotFound => Denied::NotSignedIn,
            other => Denied::Store(other),
        })?;
        let lives = session.ended_at.is_none() && session.generation == user.generation && user.enabled;
        if !lives || !self.team_is_enabled(&user).await? {
            return Err(Denied::NotSignedIn);
        }
        let next = NewRefresh { family: [0; 16], current: self.dice()? };
        let new = digest::of(&next.current());
        let (old, expires_at) = (digest::of(current), session.expires_at);
        let mut tx = self.store.begin().await?;
        let rotation = sessions::rotate(&mut tx, &session.id, &old, &new, whence.now, expires_at).await?;
        match rotation {
            Rotation::Done => tx.commit().await.map_err(StoreError::from)?,
            Rotation::Reused => {
                let (who, address) = (actor(&user), whence.address.to_canonical().to_string());
                sessions::end(&mut tx, &Scope::All, &session.id, "refresh token used twice", whence.now).await?;
                let detail = json!({ "why": "refresh token used twice" });
                audit::append(&mut tx, entry(&who, "session.end", &session.id, &detail, &address, whence)).await?;
                tx.commit().await.map_err(StoreError::from)?;
                self.live.end_session(&session.id);
                tracing::warn!(
                    user = user.id,
                    session = session.id,
                    "a refresh token was used twice; its session has ended"
                );
                return Err(Denied::NotSignedIn);
            }
        }
        self.live.note_session(&session);
        self.live.note_user(&user);
        let (access, expires_in) = self.access_token(&user.id, &session, whence.now);
        let refresh = Secret::new(format!("{PREFIX}{family}.{}", next.current()));
        Ok(SignedIn { user, session: session.id, access, expires_in, refresh, session_expires_at: expires_at })
    }

    /// Ends the session of whoever asks.
    pub async fn sign_out(&self, signed: &Signed, whence: &Whence<'_>) -> Result<(), Denied> {
        self.end_session(&signed.actor, &Scope::Own(signed.actor.id.to_string()), &signed.session, whence).await
    }

    /// Ends all sessions of whoever asks, this one included.
    pub async fn sign_out_everywhere(&self, signed: &Signed, whence: &Whence<'_>) -> Result<(), Denied> {
        let id = &*signed.actor.id;
        let address = whence.address.to_canonical().to_string();
        let mut tx = self.store.begin().await?;
        let generation = users::end_sessions(&mut tx, id, whence.now).await?;
        let ended = sessions::end_all(&mut tx, id, None, "logout everywhere", whence.now).await?;
        let detail = json!({ "ended": ended });
        audit::append(&mut tx, entry(&signed.actor, "session.end_all", id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_generation(id, generation);
        self.live.end_session(&signed.session);
        Ok(())
    }

    pub(super) async fn team_is_enabled(&self, user: &User) -> Result<bool, Denied> {
        let Some(team) = &user.team else { return Ok(true) };
        match teams::get(&self.store, &Scope::All, team).await {
            Ok(team) => {
                self.live.note_team(&team);
                Ok(team.enabled)
            }
            Err(StoreError::NotFound) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// An access token for a session, and how long it is good for, in seconds.
    pub(super) fn access_token(&self, user: &str, session: &Session, now: i64) -> (Secret, i64) {
        let seconds = now.div_euclid(1000);
        let left = session.expires_at.saturating_sub(now).div_euclid(1000);
        let lasts = i64::try_from(self.settings.access_token.0.as_secs()).unwrap_or(900).clamp(1, left.max(1));
        let token = self.tokens.issue(user, &session.id, session.generation, seconds, seconds.saturating_add(lasts));
        (Secret::new(token), lasts)
    }
}

/// A refresh token in the making.
struct NewRefresh {
    family: [u8; 16],
    current: [u8; 32],
}

impl NewRefresh {
    fn family(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.family)
    }

    fn current(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.current)
    }

    fn token(&self) -> Secret {
        Secret::new(format!("{PREFIX}{}.{}", self.family(), self.current()))
    }
}

/// The half that stays and the half that changes.
fn halves(token: &str) -> Option<(&str, &str)> {
    let (family, current) = token.strip_prefix(PREFIX)?.split_once('.')?;
    (family.len() == 22 && current.len() == 43).then_some((family, current))
}
