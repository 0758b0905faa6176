//! Signing in at a provider of identities: OpenID Connect's authorization code with PKCE. Decides whom of theirs is whom of
//! ours, and that nobody comes in by a flow that another browser began. What their tokens must say is in
//! `id_token`, whether they are theirs in `keys`. Tests: beside the parts, and `it/auth/oidc.rs`.

mod ask;
mod id_token;
mod keys;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;
use waypost_core::config;
use waypost_core::secret::Secret;
use waypost_store::page::Scope;
use waypost_store::users::{self, NewUser, User};
use waypost_store::{StoreError, audit, identities, sessions};

use self::ask::{Exchange, Known, encoded};
use self::id_token::{Claims, Expected};
use super::{Denied, Identity, SignedIn, Whence, actor, entry};
use crate::upstream::Transport;

/// The cookie that ties the way back to the browser that went.
pub const FLOW_COOKIE: &str = "__Host-waypost-oidc";
/// How long somebody may take at the provider, in seconds.
pub const FLOW_LASTS: i64 = 600;
/// What a flow's cookie is sealed for.
const PURPOSE: &str = "oidc flow";
/// How long what the provider says of itself is believed, and how soon it is asked again for a key that is not known.
const BELIEVED: Duration = Duration::from_secs(3600);
const ASK_AGAIN: Duration = Duration::from_secs(60);

const NO_FLOW: &str = "Signing in took too long, or began in another browser. Begin again.";
const REFUSED: &str = "The provider did not let you in. Begin again, or ask an administrator.";
const UNVERIFIED: &str = "The provider does not vouch for your e-mail address, so nobody here can be found by it.";
const FOREIGN: &str = "Your e-mail address is of a domain that may not sign in here.";
const UNKNOWN: &str =
    "Nobody here has your e-mail address. Ask an administrator of this gateway to make an account for you.";
const ANOTHER: &str =
    "Your e-mail address belongs to another account of the provider here. Ask an administrator of this gateway.";
const UNVOUCHED: &str = "The account of your e-mail address has a password and is in a team, and nobody has verified the address. \
                         Ask an administrator of this gateway to unlink it: then it is yours.";
const DISABLED: &str = "Your account is disabled. Ask an administrator of this gateway.";

/// The provider, and what it has said of itself.
pub struct Provider {
    settings: config::Oidc,
    known: Mutex<Option<(Instant, Known)>>,
}

/// Where the browser is sent, and what it must bring back.
#[derive(Debug)]
pub struct Begun {
    pub location: String,
    pub cookie: String,
}

/// What a browser brings back.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a> {
    pub code: Option<&'a str>,
    pub state: Option<&'a str>,
    pub cookie: Option<&'a str>,
}

/// What a flow's cookie holds.
#[derive(Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    /// Seconds since 1970.
    until: i64,
}

impl Provider {
    /// With settings that were checked.
    pub fn new(settings: config::Oidc) -> Result<Self, String> {
        ask::target(&settings.issuer, settings.allow_private)
            .map_err(|_| "identity.oidc.issuer: this is no URL that can be asked".to_owned())?;
        Ok(Self { settings, known: Mutex::new(None) })
    }

    /// The page that the browser is sent to in the end.
    pub fn return_to(&self) -> &str {
        &self.settings.return_to
    }

    /// What the provider says of itself; asked again when it is old, or (`fresh`) when it lacks something.
    async fn known(&self, transport: &dyn Transport, fresh: bool) -> Result<Known, Denied> {
        let mut known = self.known.lock().await;
        let believed = if fresh { ASK_AGAIN } else { BELIEVED };
        if let Some((at, known)) = &*known
            && at.elapsed() < believed
        {
            return Ok(known.clone());
        }
        let found = ask::discover(transport, &self.settings).await.map_err(Denied::Provider)?;
        *known = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

impl Identity {
    /// Begins a flow.
    pub async fn begin_oidc(&self, transport: &dyn Transport, now: i64) -> Result<Begun, Denied> {
        let provider = self.oidc.as_ref().ok_or(Denied::NotFound)?;
        let known = provider.known(transport, false).await?;
        let word = |bytes: [u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        let until = now.div_euclid(1000).saturating_add(FLOW_LASTS);
        let flow = Flow { state: word(self.dice()?), nonce: word(self.dice()?), verifier: word(self.dice()?), until };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(flow.verifier.as_bytes()));
        let query = encoded(&[
            ("response_type", "code"),
            ("client_id", &provider.settings.client_id),
            ("redirect_uri", &provider.settings.redirect_uri),
            ("scope", &provider.settings.scopes.join(" ")),
            ("state", &flow.state),
            ("nonce", &flow.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let separator = if known.authorization_endpoint.contains('?') { '&' } else { '?' };
        let location = format!("{}{separator}{query}", known.authorization_endpoint);
        let cookie = self.tokens.seal(PURPOSE, &serde_json::to_string(&flow).unwrap_or_default());
        Ok(Begun { location, cookie })
    }

    /// Lets in whoever comes back from the provider with what they were sent away with.
    pub async fn finish_oidc(
        &self,
        transport: &dyn Transport,
        returned: Returned<'_>,
        whence: &Whence<'_>,
    ) -> Result<SignedIn, Denied> {
        let provider = self.oidc.as_ref().ok_or(Denied::NotFound)?;
        let seconds = whence.now.div_euclid(1000);
        let flow = returned.cookie.and_then(|cookie| self.tokens.unseal(PURPOSE, cookie));
        let flow: Option<Flow> = flow.and_then(|text| serde_json::from_str(&text).ok());
        let flow = flow
            .filter(|flow| flow.until > seconds && returned.state == Some(flow.state.as_str()))
            .ok_or(Denied::Forbidden(NO_FLOW))?;
        let code = returned.code.ok_or(Denied::Forbidden(REFUSED))?;
        let known = provider.known(transport, false).await?;
        let exchange = Exchange { settings: &provider.settings, known: &known, code, verifier: &flow.verifier };
        let token = Secret::new(exchange.id_token(transport).await.map_err(Denied::Provider)?);
        let expected = Expected {
            issuer: &provider.settings.issuer,
            client: &provider.settings.client_id,
            nonce: &flow.nonce,
            now: seconds,
        };
        let claims = match expected.read(token.expose(), &known.keys) {
            Err(id_token::Fault::UnknownKey) => {
                let known = provider.known(transport, true).await?;
                expected.read(token.expose(), &known.keys)
            }
            read => read,
        };
        let claims = claims.map_err(|fault| Denied::Provider(format!("the id_token is refused: {fault}")))?;
        let user = self.user_of(&provider.settings, &claims, whence).await?;
        if !user.enabled || !self.team_is_enabled(&user).await? {
            return Err(Denied::Forbidden(DISABLED));
        }
        self.begin(user, "oidc", whence).await
    }

    /// Whom of ours somebody of theirs is.
    async fn user_of(&self, settings: &config::Oidc, claims: &Claims, whence: &Whence<'_>) -> Result<User, Denied> {
        let email = claims.verified_email();
        if !settings.domains.is_empty() {
            let domain = email.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
            let fits = |allowed: &String| domain.is_some_and(|domain| domain.eq_ignore_ascii_case(allowed));
            if !settings.domains.iter().any(fits) {
                return Err(Denied::Forbidden(FOREIGN));
            }
        }
        if let Some(user) = users::by_identity(&self.store, &settings.issuer, &claims.sub).await? {
            return Ok(user);
        }
        let email = email.ok_or(Denied::Forbidden(UNVERIFIED))?;
        match users::by_login(&self.store, email).await? {
            // A team lets in whom it likes, by whatever address: it must not come by somebody of another one in that way.
            Some((user, Some(_))) if user.team.is_some() && user.team != settings.team => {
                Err(Denied::Forbidden(UNVOUCHED))
            }
            Some((user, _)) => self.link(settings, claims, user, whence).await,
            None if settings.creates_users(self.settings.registration) => {
                self.create_from(settings, claims, email, whence).await
            }
            None => Err(Denied::Forbidden(UNKNOWN)),
        }
    }

    /// Makes a user who is here already somebody of the provider's. That the address is theirs, only the provider has found out:
    /// whoever registered it may have been anybody. So the password and the sessions of before end, and so do resets. Who is
    /// linked already stays who they are, whoever has the address now.
    async fn link(
        &self,
        settings: &config::Oidc,
        claims: &Claims,
        user: User,
        whence: &Whence<'_>,
    ) -> Result<User, Denied> {
        let (who, address) = (actor(&user), whence.address.to_canonical().to_string());
        let mut tx = self.store.begin().await?;
        // First, so that of two who are to be linked at once the second sees the first.
        let generation = users::forget_password(&mut tx, &user.id, whence.now).await?;
        if identities::is_linked(&mut tx, &settings.issuer, &user.id).await? {
            return Err(Denied::Forbidden(ANOTHER));
        }
        identities::link(&mut tx, &settings.issuer, &claims.sub, &user.id, whence.now).await?;
        let ended = sessions::end_all(&mut tx, &user.id, None, "linked to the provider", whence.now).await?;
        let detail = json!({ "issuer": settings.issuer, "subject": claims.sub, "ended_sessions": ended });
        audit::append(&mut tx, entry(&who, "user.link", &user.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.live.note_generation(&user.id, generation);
        // If somebody ends these sessions from here on, this one as well.
        Ok(User { generation, ..users::get(&self.store, &Scope::All, &user.id).await? })
    }

    async fn create_from(
        &self,
        settings: &config::Oidc,
        claims: &Claims,
        email: &str,
        whence: &Whence<'_>,
    ) -> Result<User, Denied> {
        let (id, address) = (self.new_id("usr")?, whence.address.to_canonical().to_string());
        let (role, team) = (settings.role, settings.team.as_deref());
        let new = NewUser { id: &id, email, name: claims.name(), role, team, plan: None, password: None };
        let mut tx = self.store.begin().await?;
        let user = users::create(&mut tx, &new, whence.now).await?;
        identities::link(&mut tx, &settings.issuer, &claims.sub, &user.id, whence.now).await?;
        let (who, detail) = (actor(&user), json!({ "email": email, "role": role, "issuer": settings.issuer }));
        audit::append(&mut tx, entry(&who, "user.register", &user.id, &detail, &address, whence)).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(user)
    }
}
