//! Who somebody is: passwords, sessions, invites, the first owner. Decides whether somebody is let in and for how long; what
//! they may do is for core's roles, how it is asked and answered for `http/auth`. Every refusal is the same whatever was
//! wrong, and takes as long. Tests: beside the parts, and `it/auth/`.

mod first;
mod gate;
mod hasher;
mod live;
pub mod oidc;
pub mod password;
mod profile;
mod register;
mod secret;
mod sessions;
mod sign_in;
mod throttle;
pub mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use waypost_core::GatewayError;
use waypost_core::config;
use waypost_core::role::Actor;
use waypost_core::secret::Secret;
use waypost_store::audit::Entry;
use waypost_store::teams::Team;
use waypost_store::users::User;
use waypost_store::{Store, StoreError, id};

pub use self::gate::Presented;
pub use self::live::Signed;
pub use self::profile::Profile;
pub use self::register::{Registered, Wanted};
pub use self::sign_in::{ACCESS_COOKIE, REFRESH_COOKIE, SignedIn};

use self::hasher::{Busy, Hasher};
use self::live::Live;
use self::throttle::Throttle;
use self::token::{BadToken, Tokens};

/// When somebody may try again who came while all were busy.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// All that is needed to let people in.
pub struct Identity {
    store: Store,
    settings: config::Identity,
    tokens: Tokens,
    hasher: Hasher,
    live: Live,
    throttle: Throttle,
    random: SystemRandom,
    oidc: Option<oidc::Provider>,
}

/// An identity that is ready, with what is to be told once.
pub struct Opened {
    pub identity: Arc<Identity>,
    /// What makes the first owner. Shown now and never again; absent if there are users, or if it was shown before.
    pub setup_token: Option<Secret>,
}

/// From where somebody comes, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Whence<'a> {
    pub address: IpAddr,
    /// What the client calls itself.
    pub agent: &'a str,
    pub request_id: &'a str,
    /// Milliseconds since 1970.
    pub now: i64,
}

/// Why somebody is not let in, or something is not done.
#[derive(Debug)]
pub enum Denied {
    NotSignedIn,
    WrongLogin,
    /// Too many tries; how long to wait.
    Wait(Duration),
    /// Too many at this moment.
    Busy,
    /// A field is wrong, whoever sends it.
    Invalid {
        field: &'static str,
        message: String,
    },
    Forbidden(&'static str),
    /// There is no such thing, or no longer.
    NotFound,
    /// The provider of identities did not answer as it should; the text is for the log.
    Provider(String),
    Store(StoreError),
    /// The operating system gives no random numbers.
    NoRandom,
}

impl Identity {
    /// Makes it ready: the secret that sessions are signed with is the configuration's, or else the one in the database, made
    /// at the first start. A mistake is told in words for whoever started the gateway.
    pub async fn open(store: Store, settings: &config::Identity, now: i64) -> Result<Opened, String> {
        let random = SystemRandom::new();
        let secret = match &settings.jwt_secret {
            Some(secret) => secret.clone(),
            None => secret::kept(&store, &random, now).await?,
        };
        let oidc = settings.oidc.clone().map(oidc::Provider::new).transpose()?;
        let identity = Self {
            store,
            settings: settings.clone(),
            tokens: Tokens::new(secret.expose().as_bytes()),
            hasher: Hasher::default(),
            live: Live::default(),
            throttle: Throttle::default(),
            random,
            oidc,
        };
        let setup_token = identity.offer_setup(now).await.map_err(|denied| denied.to_string())?;
        Ok(Opened { identity: Arc::new(identity), setup_token })
    }

    /// Takes note of a user whom somebody has changed: what was taken away is gone at once.
    pub fn note_user(&self, user: &User) {
        self.live.note_user(user);
    }

    /// Takes note of a team that somebody has changed.
    pub fn note_team(&self, team: &Team) {
        self.live.note_team(team);
    }

    /// Takes note of a session that somebody has ended.
    pub fn note_session_end(&self, id: &str) {
        self.live.end_session(id);
    }

    /// The database that people are kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who may become a user.
    pub fn registration(&self) -> config::Registration {
        self.settings.registration
    }

    /// The provider of identities, if there is one.
    pub fn oidc(&self) -> Option<&oidc::Provider> {
        self.oidc.as_ref()
    }

    fn dice<const N: usize>(&self) -> Result<[u8; N], Denied> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| Denied::NoRandom)?;
        Ok(bytes)
    }

    fn new_id(&self, prefix: &str) -> Result<String, Denied> {
        Ok(id::new(prefix, u128::from_le_bytes(self.dice()?)))
    }
}

/// An entry of the audit log.
fn entry<'a>(
    actor: &'a Actor,
    action: &'static str,
    subject: &'a str,
    detail: &'a Value,
    address: &'a str,
    whence: &Whence<'a>,
) -> Entry<'a> {
    Entry {
        at: whence.now,
        actor,
        action,
        subject,
        team: actor.team.as_deref(),
        detail,
        address: Some(address),
        request_id: Some(whence.request_id),
    }
}

/// A user as somebody who acts.
fn actor(user: &User) -> Actor {
    Actor { id: user.id.as_str().into(), role: user.role, team: user.team.as_deref().map(Into::into) }
}

// === impl Denied ===

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Busy> for Denied {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<BadToken> for Denied {
    fn from(_: BadToken) -> Self {
        Self::NotSignedIn
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSignedIn => f.write_str("not signed in"),
            Self::WrongLogin => f.write_str("the address or the password is wrong"),
            Self::Wait(wait) => write!(f, "too many tries; wait {} s", wait.as_secs()),
            Self::Busy => f.write_str("too many sign in at this moment"),
            Self::Invalid { field, message } => write!(f, "{field}: {message}"),
            Self::Forbidden(why) => f.write_str(why),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Provider(why) => f.write_str(why),
            Self::Store(error) => write!(f, "{error}"),
            Self::NoRandom => f.write_str("the operating system gives no random numbers"),
        }
    }
}

impl std::error::Error for Denied {}

/// As callers see it. `NotFound` is drawn by whoever knows the path.
impl From<Denied> for GatewayError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NotSignedIn => Self::not_signed_in(),
            Denied::WrongLogin => Self::wrong_login(),
            Denied::Wait(wait) => Self::rate_limited("Too many tries. Wait before the next one.", wait),
            Denied::Busy => Self::rate_limited("Too many people sign in at this moment.", BUSY_PAUSE),
            Denied::Invalid { field, message } => Self::invalid_request(message, Some(field)),
            Denied::Forbidden(why) => Self::not_permitted(why),
            Denied::NotFound => Self::not_found("/auth"),
            Denied::Provider(_) => {
                Self::upstream_failed("The provider of identities did not answer as it should.").caused_by(denied)
            }
            Denied::Store(StoreError::Stale) => Self::precondition_failed(),
            Denied::Store(StoreError::Unavailable(_)) => Self::database_away().caused_by(denied),
            Denied::Store(_) | Denied::NoRandom => Self::internal(denied),
        }
    }
}
