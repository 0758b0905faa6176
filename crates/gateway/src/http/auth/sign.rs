//! Registering, signing in, staying in and signing out. Decides how a session is handed over: in the body, or to a browser that
//! asks for it in cookies, and then nowhere else. Tests: `it/auth/`.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_core::{GatewayError, Secret};

use super::cookie::{self, Along};
use super::profile::ProfileView;
use super::who;
use crate::http::manage::answer::Answer;
use crate::http::manage::ask::Ask;
use crate::http::manage::route::{Handler, Kind, Needs, Route, shape};
use crate::identity::{ACCESS_COOKIE, Denied, REFRESH_COOKIE, SignedIn, Wanted};
use crate::security::Sign;

pub(in crate::http) const ROUTES: &[Route] = &[
    open(
        "/auth/register",
        "auth.register",
        "become a user; nobody learns whether the address was taken",
        Kind::Make,
        |ask| Box::pin(register(ask)),
    )
    .taking(shape::<Register>)
    .giving(shape::<Registration>),
    open(
        "/auth/setup",
        "auth.set_up",
        "become the first owner, by the token that was shown at the start",
        Kind::Make,
        |ask| Box::pin(set_up(ask)),
    )
    .taking(shape::<SetUp>)
    .giving(shape::<SessionBegun>),
    open("/auth/login", "auth.login", "sign in", Kind::Act, |ask| Box::pin(login(ask)))
        .taking(shape::<Login>)
        .giving(shape::<SessionBegun>),
    open("/auth/refresh", "auth.refresh", "stay signed in; a refresh token is good once", Kind::Act, |ask| {
        Box::pin(refresh(ask))
    })
    .taking(shape::<Refresh>)
    .giving(shape::<SessionBegun>),
    Route {
        needs: Needs::SignedIn,
        ..open("/auth/logout", "auth.logout", "sign out here", Kind::Act, |ask| Box::pin(logout(ask)))
    },
    Route {
        needs: Needs::SignedIn,
        ..open("/auth/logout-all", "auth.logout_all", "sign out everywhere", Kind::Act, |ask| {
            Box::pin(logout_everywhere(ask))
        })
    },
];

const fn open(path: &'static str, name: &'static str, summary: &'static str, kind: Kind, handler: Handler) -> Route {
    Route::new(("POST", path), name, summary, Needs::Nobody, kind, handler).confidentially()
}

/// What everybody is told who registers, whether or not the address was free.
const REGISTERED: &str =
    "You can sign in with this address and password, unless somebody had registered the address before.";

/// Somebody who wants to be a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Register {
    email: String,
    #[schemars(with = "String")]
    password: Secret,
    #[serde(default)]
    name: String,
    /// The secret of an invite, where only who is invited may register.
    #[schemars(with = "Option<String>")]
    invite: Option<Secret>,
}

/// It was done, as far as anybody may know.
#[derive(Debug, Serialize, JsonSchema)]
struct Registration {
    /// `registration`.
    object: &'static str,
    email: String,
    message: &'static str,
}

/// Somebody who wants to be the first owner.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetUp {
    #[schemars(with = "String")]
    token: Secret,
    email: String,
    #[schemars(with = "String")]
    password: Secret,
    #[serde(default)]
    name: String,
    /// The session in cookies of this host, for a browser.
    #[serde(default)]
    cookie: bool,
}

/// Somebody who wants in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    email: String,
    #[schemars(with = "String")]
    password: Secret,
    /// The session in cookies of this host, for a browser.
    #[serde(default)]
    cookie: bool,
}

/// What a session goes on by; a browser leaves it out and sends its cookie.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    #[schemars(with = "Option<String>")]
    refresh_token: Option<Secret>,
}

/// A session that begins or goes on. The tokens are not here if they are in cookies.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionBegun {
    /// `session`.
    object: &'static str,
    id: String,
    /// How long the access token is good for, in seconds.
    expires_in: i64,
    session_expires_at: i64,
    user: ProfileView,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// `Bearer`, beside the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

async fn register(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let Register { email, password, name, invite } = ask.input()?;
    let wanted = Wanted { email: &email, name: &name, password: &password };
    let registering = ask.identity()?.register(wanted, invite.as_ref(), &ask.whence()).await;
    registering.map_err(|denied| ask.denied(denied))?;
    let view = Registration { object: "registration", email: email.trim().to_owned(), message: REGISTERED };
    Ok(Answer { status: StatusCode::CREATED, ..Answer::shown(&view)? })
}

async fn set_up(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let SetUp { token, email, password, name, cookie } = ask.input()?;
    let wanted = Wanted { email: &email, name: &name, password: &password };
    let signed_in = ask.identity()?.set_up(&token, wanted, &ask.whence()).await;
    let signed_in = signed_in.map_err(|denied| ask.denied(denied))?;
    Ok(Answer { status: StatusCode::CREATED, ..handed_over(&ask, &signed_in, cookie)? })
}

async fn login(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let Login { email, password, cookie } = ask.input()?;
    let signed_in = ask.identity()?.sign_in(&email, &password, &ask.whence()).await;
    if matches!(signed_in, Err(Denied::WrongLogin)) {
        ask.suspect(Sign::BadLogin);
    }
    handed_over(&ask, &signed_in.map_err(|denied| ask.denied(denied))?, cookie)
}

async fn refresh(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let Refresh { refresh_token } = ask.input()?;
    let (token, cookie) = match refresh_token {
        Some(token) => (token, false),
        None => {
            let token = cookie::get(ask.headers(), REFRESH_COOKIE).ok_or_else(GatewayError::not_signed_in)?;
            who::check_origin(ask.head())?;
            (Secret::new(token), true)
        }
    };
    let signed_in = ask.identity()?.refresh(&token, &ask.whence()).await;
    handed_over(&ask, &signed_in.map_err(|denied| ask.denied(denied))?, cookie)
}

async fn logout(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let ending = ask.identity()?.sign_out(ask.signed()?, &ask.whence()).await;
    ending.map_err(|denied| ask.denied(denied))?;
    forgotten()
}

async fn logout_everywhere(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let ending = ask.identity()?.sign_out_everywhere(ask.signed()?, &ask.whence()).await;
    ending.map_err(|denied| ask.denied(denied))?;
    forgotten()
}

fn forgotten() -> Result<Answer, GatewayError> {
    let mut answer = Answer::done();
    for name in [ACCESS_COOKIE, REFRESH_COOKIE] {
        cookie::set(&mut answer.headers, name, "", 0, Along::Strict)?;
    }
    Ok(answer)
}

/// A session, in the body or in cookies.
fn handed_over(ask: &Ask<'_>, signed_in: &SignedIn, in_cookies: bool) -> Result<Answer, GatewayError> {
    let shown = |secret: &Secret| (!in_cookies).then(|| secret.expose().to_owned());
    let mut answer = Answer::shown(&SessionBegun {
        object: "session",
        id: signed_in.session.clone(),
        expires_in: signed_in.expires_in,
        session_expires_at: signed_in.session_expires_at,
        user: ProfileView::of(&signed_in.user),
        token: shown(&signed_in.access),
        token_type: (!in_cookies).then_some("Bearer"),
        refresh_token: shown(&signed_in.refresh),
    })?;
    if in_cookies {
        keep(&mut answer.headers, signed_in, ask.whence().now)?;
    }
    Ok(answer)
}

/// Has a browser keep a session.
pub(super) fn keep(headers: &mut http::HeaderMap, signed_in: &SignedIn, now: i64) -> Result<(), GatewayError> {
    let left = signed_in.session_expires_at.saturating_sub(now).div_euclid(1000);
    cookie::set(headers, ACCESS_COOKIE, signed_in.access.expose(), signed_in.expires_in, Along::Strict)?;
    cookie::set(headers, REFRESH_COOKIE, signed_in.refresh.expose(), left, Along::Strict)
}
