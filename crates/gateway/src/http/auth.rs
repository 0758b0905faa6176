//! `/auth`: signing in and out, and what users see and change of themselves, as lines of the one table of routes. Decides how a
//! session is handed over and what a user sees; whether a password is right or a session lives is for [`crate::identity`]. Nothing
//! here is for other origins. Tests: `it/auth/`.

pub(super) mod body;
mod cookie;
mod oidc;
mod profile;
mod sessions;
mod sign;
mod who;

use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_core::config::Registration;

use super::manage::answer::Answer;
use super::manage::ask::Ask;
use super::manage::route::{Kind, Needs, Route, shape};

pub(super) use self::oidc::ROUTES as OIDC;
pub(super) use self::profile::ROUTES as PROFILE;
pub(super) use self::sessions::ROUTES as SESSIONS;
pub(super) use self::sign::ROUTES as SIGN;
pub(in crate::http) use self::who::{bearer, signed_in};

pub(super) const ROUTES: &[Route] = &[Route::new(
    ("GET", "/auth"),
    "auth.index",
    "the ways in, for whoever draws a page of them",
    Needs::Nobody,
    Kind::Show,
    |ask| Box::pin(async move { index(&ask) }),
)
.giving(shape::<WaysIn>)];

/// How somebody can become a user, and sign in.
#[derive(Debug, Serialize, JsonSchema)]
struct WaysIn {
    /// With an address and a password.
    password: bool,
    registration: Registering,
    /// Through a provider of identities.
    oidc: bool,
}

/// Who may register: everybody, whoever is invited, or nobody.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RegistrationPolicy")]
enum Registering {
    Open,
    Invite,
    Closed,
}

fn index(ask: &Ask<'_>) -> Result<Answer, GatewayError> {
    let identity = ask.identity()?;
    let registration = match identity.registration() {
        Registration::Open => Registering::Open,
        Registration::Invite => Registering::Invite,
        Registration::Closed => Registering::Closed,
    };
    Answer::shown(&WaysIn { password: true, registration, oidc: identity.oidc().is_some() })
}
