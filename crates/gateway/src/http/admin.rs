//! `/admin`: looking at a running gateway and steering it, for whoever has the admin token. Without a token configured there is
//! nothing here. Decides who may and which view a path means; no view names a secret. Tests: `it/admin.rs`.

mod accounts;
mod config;
mod deployments;
mod events;
mod explain;
mod kinds;
pub(super) mod query;
mod security;

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response};
use serde::Serialize;
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::error::Kind;
use waypost_core::health::view::Time;
use waypost_core::snapshot::Snapshot;
use waypost_wire::dialect::Face;

use self::query::Query;
use super::body::Body;
use super::{Arrival, reply};
use crate::app::App;
use crate::reload::Report;
use crate::security::Sign;

/// What there is, for whoever asks at `/admin`.
const INDEX: [(&str, &str, &str); 16] = [
    ("GET", "/admin/deployments", "every deployment, how it is doing; ?after=&limit=&channel=&model="),
    ("POST", "/admin/deployments/{id}/reset", "forget its failures"),
    ("GET", "/admin/channels", "every channel with the sums over its deployments, and its credentials"),
    ("GET", "/admin/endpoints", "the same as /admin/channels"),
    ("GET", "/admin/credentials", "every credential, how often it was used and whether it works; ?channel="),
    ("POST", "/admin/credentials/{id}/reset", "use it again"),
    ("POST", "/admin/credentials/{id}/test", "ask its provider whether it works; ?model="),
    ("GET", "/admin/explain", "where a request would go now, and why; ?model=&operation=&dialect="),
    ("GET", "/admin/config", "what is in effect, without its secrets"),
    ("GET", "/admin/provider-kinds", "every kind of provider that channels may be accounts of"),
    ("GET", "/admin/events", "what happens, as it happens (server-sent events); ?key=&model="),
    ("GET", "/admin/security", "what was suspicious, and which addresses are refused for it; ?limit="),
    ("GET", "/admin/security/events", "the same as far as the database remembers; ?after=&limit=&kind=&address=&key="),
    ("POST", "/admin/security/{address}/pardon", "let an address in again"),
    ("POST", "/admin/reload", "read the configuration again"),
    ("GET", "/health/detailed", "with the admin token: health with the names of channels"),
];

/// Answers whatever is asked below `/admin`.
pub async fn answer(app: &App, arrival: &Arrival) -> Response<Body> {
    let answered = match admitted(&app.live().snapshot, arrival) {
        Ok(()) => view(app, arrival).await,
        Err(error) => Err(error),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            app.log_refusal(&arrival.request_id, &error);
            if error.kind() == Kind::Unauthenticated && arrival.request.headers().contains_key(AUTHORIZATION) {
                app.suspect(&app.live(), Sign::BadAdminToken, arrival.client, None);
            }
            let mut response = reply::error(&error, Face::OPENAI_CHAT, &arrival.request_id);
            if error.status() == 401 {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Does the request carry the admin token? Never a caller's key, and nowhere but in `Authorization: Bearer`.
pub fn is_administrator(snapshot: &Snapshot, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return false };
    let bearer = only.to_str().ok().and_then(|value| value.split_once(' '));
    let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    snapshot.admin.admits(token)
}

fn admitted(snapshot: &Snapshot, arrival: &Arrival) -> Result<(), GatewayError> {
    if snapshot.admin.is_off() {
        return Err(GatewayError::not_found(arrival.request.uri().path()));
    }
    if is_administrator(snapshot, arrival.request.headers()) { Ok(()) } else { Err(GatewayError::not_administrator()) }
}

async fn view(app: &App, arrival: &Arrival) -> Result<Response<Body>, GatewayError> {
    let (uri, method) = (arrival.request.uri(), arrival.request.method());
    let page = Page::at(uri.path()).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let acts = page.acts();
    if acts != (*method == Method::POST) || !(acts || *method == Method::GET || *method == Method::HEAD) {
        return Ok(wrong_method(arrival, if acts { "POST" } else { "GET, HEAD" }));
    }
    let query = Query::of(uri);
    match page {
        Page::Index => Ok(index(app)),
        Page::Deployments => deployments::list(app, &query),
        Page::ResetDeployment(id) => deployments::reset(app, id, uri),
        Page::Channels => Ok(accounts::channels(app)),
        Page::Credentials => Ok(accounts::credentials(app, &query)),
        Page::ResetCredential(id) => accounts::reset(app, id, uri),
        Page::TestCredential(id) => accounts::test(app, id, uri, &query).await,
        Page::Explain => explain::answer(app, &query),
        Page::Config => Ok(config::answer(app)),
        Page::ProviderKinds => Ok(kinds::list()),
        Page::Events => events::listen(app, &query),
        Page::Security => security::list(app, &query),
        Page::SecurityEvents => security::events(app, &query).await,
        Page::Pardon(address) => security::pardon(app, address, uri),
        Page::Reload => reload(app).await,
    }
}

/// What a path means.
enum Page<'p> {
    Index,
    Deployments,
    ResetDeployment(&'p str),
    Channels,
    Credentials,
    ResetCredential(&'p str),
    TestCredential(&'p str),
    Explain,
    Config,
    ProviderKinds,
    Events,
    Security,
    SecurityEvents,
    Pardon(&'p str),
    Reload,
}

impl<'p> Page<'p> {
    fn at(path: &'p str) -> Option<Self> {
        let rest = path.strip_prefix("/admin")?;
        let page = match rest.strip_prefix('/').unwrap_or(rest) {
            "" => Self::Index,
            "deployments" => Self::Deployments,
            "channels" | "endpoints" => Self::Channels,
            "credentials" => Self::Credentials,
            "explain" => Self::Explain,
            "config" => Self::Config,
            "provider-kinds" => Self::ProviderKinds,
            "events" => Self::Events,
            "security" => Self::Security,
            "security/events" => Self::SecurityEvents,
            "reload" => Self::Reload,
            other => {
                let (rest, act) = other.rsplit_once('/')?;
                match (rest.split_once('/')?, act) {
                    (("deployments", id), "reset") => Self::ResetDeployment(id),
                    (("credentials", id), "reset") => Self::ResetCredential(id),
                    (("credentials", id), "test") => Self::TestCredential(id),
                    (("security", address), "pardon") => Self::Pardon(address),
                    _ => return None,
                }
            }
        };
        Some(page)
    }

    /// Does it change something, rather than show it?
    fn acts(&self) -> bool {
        match self {
            Self::ResetDeployment(_)
            | Self::ResetCredential(_)
            | Self::TestCredential(_)
            | Self::Pardon(_)
            | Self::Reload => true,
            Self::Index
            | Self::Deployments
            | Self::Channels
            | Self::Credentials
            | Self::Explain
            | Self::Config
            | Self::ProviderKinds
            | Self::Events
            | Self::Security
            | Self::SecurityEvents => false,
        }
    }
}

/// Reads the configuration again; an error if it cannot be used, so that scripts notice.
async fn reload(app: &App) -> Result<Response<Body>, GatewayError> {
    let refused = |message: String| GatewayError::invalid_request(message, None);
    let report = app.reloads.reload().await;
    let report = report.ok_or_else(|| refused("This gateway has no configuration that it could read again.".into()))?;
    if !report.is_ok() {
        let errors = report.errors.join("; ");
        return Err(refused(format!("The changed configuration is wrong, and the old one stays in use: {errors}")));
    }
    Ok(shown(&last_reload(&report)))
}

/// What came of a reload.
pub fn last_reload(report: &Report) -> serde_json::Value {
    json!({
        "at": report.at.saturating_mul(1000),
        "trigger": report.trigger,
        "ok": report.is_ok(),
        "errors": report.errors,
        "warnings": report.warnings,
        "needs_restart": report.restart,
        "generation": report.generation,
        "refused": report.refused,
    })
}

fn wrong_method(arrival: &Arrival, allow: &'static str) -> Response<Body> {
    let error = GatewayError::method_not_allowed(arrival.request.method().as_str());
    let mut response = reply::error(&error, Face::OPENAI_CHAT, &arrival.request_id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn index(app: &App) -> Response<Body> {
    let paths = INDEX.map(|(method, path, says)| json!({ "method": method, "path": path, "description": says }));
    shown(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": app.started().saturating_mul(1000),
        "last_reload": last_reload(&app.last_reload()),
        "paths": paths,
    }))
}

/// A view as a body.
fn shown(view: &impl Serialize) -> Response<Body> {
    // Writing to memory cannot fail, and the views have no maps with odd keys.
    let mut response = Response::new(Body::Full(serde_json::to_vec(view).unwrap_or_default().into()));
    response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
    response
}

/// The time of a look.
pub fn time(app: &App) -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { now: app.clock.now(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}
