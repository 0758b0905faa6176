//! `/auth`: signing in and out, and what users see and change of themselves. Decides which page a path means and who is let
//! in to it; whether a password is right or a session lives is for [`crate::identity`]. Nothing here is for other origins.
//! Tests: `it/auth/`.

mod body;
mod cookie;
mod oidc;
mod profile;
mod sessions;
mod sign;
mod who;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use waypost_core::GatewayError;
use waypost_core::config::Registration;
use waypost_wire::dialect::Face;

use self::body::read;
use super::admin::query::Query;
use super::{Arrival, drawn, reply};
use crate::app::App;
use crate::http::body::Body;
use crate::identity::{Identity, Whence};
use crate::serve::Peer;

pub use self::who::signed_in;

/// One call, with what every page needs of it.
struct Call<'a> {
    app: &'a App,
    identity: &'a Identity,
    head: &'a Parts,
    body: &'a [u8],
    whence: Whence<'a>,
}

/// Answers whatever is asked below `/auth`.
pub async fn answer(app: &App, arrival: Arrival, peer: Peer) -> Response<Body> {
    let (request_id, client) = (arrival.request_id.clone(), arrival.client);
    let mut response = match answered(app, arrival, peer).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = drawn(app, &error, Face::OPENAI_CHAT, &request_id, client);
            if error.status() == 401 {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answered(app: &App, arrival: Arrival, peer: Peer) -> Result<Response<Body>, GatewayError> {
    let (head, body) = arrival.request.into_parts();
    let path = head.uri.path();
    let nothing = || GatewayError::not_found(path);
    let identity = app.identity().ok_or_else(nothing)?;
    let page = Page::at(path).ok_or_else(nothing)?;
    let allowed = page.methods();
    if !allowed.split(", ").any(|method| method == head.method.as_str()) {
        let error = GatewayError::method_not_allowed(head.method.as_str());
        let mut response = reply::error(&error, Face::OPENAI_CHAT, &arrival.request_id);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return Ok(response);
    }
    let body = read(body, &head, app.limits()).await?;
    let agent = head.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let whence = Whence {
        address: arrival.client.unwrap_or_else(|| peer.addr.ip()),
        agent,
        request_id: &arrival.request_id,
        now: app.unix_millis(),
    };
    let call = Call { app, identity, head: &head, body: &body, whence };
    // Whatever is asked for may be gone: the page's own path says so, not a path within.
    page.show(call).await.map_err(|error| if error.status() == 404 { nothing() } else { error })
}

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page<'p> {
    Index,
    Register,
    SetUp,
    Login,
    Refresh,
    Logout,
    LogoutEverywhere,
    Profile,
    ChangePassword,
    ResetPassword,
    Sessions,
    Session(&'p str),
    OidcStart,
    OidcCallback,
}

impl<'p> Page<'p> {
    /// `api-keys`, `usage` and `billing` are in other tables, which are looked at first.
    fn at(path: &'p str) -> Option<Self> {
        if path == "/auth" {
            return Some(Self::Index);
        }
        let page = match path.strip_prefix("/auth/")? {
            "register" => Self::Register,
            "setup" => Self::SetUp,
            "login" => Self::Login,
            "refresh" => Self::Refresh,
            "logout" => Self::Logout,
            "logout-all" => Self::LogoutEverywhere,
            "profile" => Self::Profile,
            "change-password" => Self::ChangePassword,
            "reset-password" => Self::ResetPassword,
            "sessions" => Self::Sessions,
            "oidc/start" => Self::OidcStart,
            "oidc/callback" => Self::OidcCallback,
            other => Self::Session(other.strip_prefix("sessions/").filter(|id| waypost_store::id::is("ses", id))?),
        };
        Some(page)
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Index | Self::Sessions | Self::OidcStart | Self::OidcCallback => "GET, HEAD",
            Self::Profile => "GET, HEAD, PATCH",
            Self::Session(_) => "DELETE",
            Self::Register
            | Self::SetUp
            | Self::Login
            | Self::Refresh
            | Self::Logout
            | Self::LogoutEverywhere
            | Self::ChangePassword
            | Self::ResetPassword => "POST",
        }
    }

    async fn show(self, call: Call<'_>) -> Result<Response<Body>, GatewayError> {
        match self {
            Self::Index => Ok(index(&call)),
            Self::Register => sign::register(&call).await,
            Self::SetUp => sign::set_up(&call).await,
            Self::Login => sign::login(&call).await,
            Self::Refresh => sign::refresh(&call).await,
            Self::Logout => sign::logout(&call).await,
            Self::LogoutEverywhere => sign::logout_everywhere(&call).await,
            Self::Profile if call.head.method == Method::PATCH => profile::change(&call).await,
            Self::Profile => profile::show(&call).await,
            Self::ChangePassword => profile::change_password(&call).await,
            Self::ResetPassword => profile::reset_password(&call).await,
            Self::Sessions => sessions::list(&call).await,
            Self::Session(id) => sessions::end(&call, id).await,
            Self::OidcStart => oidc::start(&call).await,
            Self::OidcCallback => oidc::callback(&call).await,
        }
    }
}

/// The ways in, for whoever draws a page of them.
fn index(call: &Call<'_>) -> Response<Body> {
    let registration = match call.identity.registration() {
        Registration::Open => "open",
        Registration::Invite => "invite",
        Registration::Closed => "closed",
    };
    shown(
        StatusCode::OK,
        &json!({ "password": true, "registration": registration, "oidc": call.identity.oidc().is_some() }),
    )
}

fn shown(status: StatusCode, view: &Value) -> Response<Body> {
    reply::json(status, view)
}

/// An answer without words.
fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::Full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

impl<'a> Call<'a> {
    fn query(&self) -> Query {
        Query::of(&self.head.uri)
    }

    /// Somebody who is signed in.
    async fn signed(&self) -> Result<crate::identity::Signed, GatewayError> {
        signed_in(self.app, &self.head.method, &self.head.headers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_page_or_none() {
        let session = waypost_store::id::new("ses", 7);
        let path = format!("/auth/sessions/{session}");
        assert_eq!(Page::at(&path), Some(Page::Session(&session)));
        assert_eq!((Page::at("/auth"), Page::at("/auth/login")), (Some(Page::Index), Some(Page::Login)));
        for path in [
            "/auth/",
            "/auth//login",
            "/auth/login/",
            "/auth/Login",
            "/auth/sessions/",
            "/auth/sessions/x",
            "/auth/sessions/ses_../x",
            "/auth/%6cogin",
            "/authlogin",
        ] {
            assert_eq!(Page::at(path), None, "{path}");
        }
    }
}
