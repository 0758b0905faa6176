//! Looking at a running gateway and steering it. Decides which view a path means; who may is for the table of routes in
//! [`super::manage`]. No view names a secret. Tests: `it/admin.rs`.

mod accounts;
mod config;
mod deployments;
mod events;
mod explain;
mod kinds;
mod place;
pub(super) mod query;
mod security;

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Response, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use waypost_core::GatewayError;
use waypost_core::access::fingerprint;
use waypost_core::health::view::Time;
use waypost_core::snapshot::Snapshot;

pub(super) use self::accounts::{Channels, Credentials};
pub(super) use self::deployments::Deployments;
pub(super) use self::explain::Explanation;
pub(super) use self::kinds::ProviderKinds;
use self::query::Query;
pub(super) use self::security::{EventView, Pardoned, State as SecurityState};
use super::body::Body;
use super::manage::table;
use super::{auth, reply};
use crate::app::App;
use crate::identity::Signed;
use crate::reload::Report;
use crate::security::Sign;

/// Does the request carry the admin token? Never a caller's key, and nowhere but in `Authorization: Bearer`.
pub fn is_administrator(snapshot: &Snapshot, headers: &HeaderMap) -> bool {
    snapshot.admin.admits(auth::bearer(headers))
}

/// Notes that a request came with a token that opens nothing where the administrator's would. A session's token whose time is
/// over is no guess, nor is a caller's key that went to the wrong path.
pub fn note_wrong_token(app: &App, headers: &HeaderMap, client: Option<IpAddr>) {
    let live = app.live();
    let token = auth::bearer(headers);
    let ours = |token: &str| {
        let print = fingerprint(token);
        let is_key = live.snapshot.keys.contains_key(&print) || app.directory.find(&print).is_some();
        is_key || app.identity().is_some_and(|identity| identity.made(token))
    };
    if headers.contains_key(AUTHORIZATION) && !token.is_some_and(ours) {
        app.suspect(&live, Sign::BadAdminToken, client, None);
    }
}

/// What is shown or done at a path that the table of routes has.
/// `signed` is the session of whoever asks, if they have one.
pub(super) async fn view(app: &App, uri: &Uri, signed: Option<&Signed>) -> Result<Response<Body>, GatewayError> {
    let page = Page::at(uri.path()).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let query = Query::of(uri);
    match page {
        Page::Index => Ok(index(app)),
        Page::Deployments => deployments::list(app, &query),
        Page::ResetDeployment(id) => deployments::reset(app, id, uri),
        Page::Channels => accounts::channels(app, &query),
        Page::Credentials => accounts::credentials(app, &query),
        Page::ResetCredential(id) => accounts::reset(app, id, uri),
        Page::TestCredential(id) => accounts::test(app, id, uri, &query).await,
        Page::Explain => explain::answer(app, &query),
        Page::Config => Ok(config::answer(app)),
        Page::ProviderKinds => Ok(kinds::list()),
        Page::Events => events::listen(app, &query, signed),
        Page::Security => security::list(app, &query),
        Page::SecurityEvents => security::events(app, &query).await,
        Page::Pardon(address) => security::pardon(app, address, uri),
        Page::Reload => reload(app).await,
    }
}

/// What is acted upon at such a path, as the audit log is told: its id, and what it is called. An error if it is not there, before
/// anything is done.
pub(super) fn target(app: &App, uri: &Uri) -> Result<(String, Value), GatewayError> {
    match Page::at(uri.path()) {
        Some(Page::ResetDeployment(id)) => Ok((id.to_owned(), deployments::named(app, id, uri)?)),
        Some(Page::ResetCredential(id) | Page::TestCredential(id)) => {
            Ok((id.to_owned(), accounts::named(app, id, uri)?))
        }
        Some(Page::Pardon(address)) => Ok((security::address(address, uri)?.to_string(), json!({}))),
        Some(Page::Reload) => Ok(("gateway".to_owned(), json!({}))),
        Some(
            Page::Index
            | Page::Deployments
            | Page::Channels
            | Page::Credentials
            | Page::Explain
            | Page::Config
            | Page::ProviderKinds
            | Page::Events
            | Page::Security
            | Page::SecurityEvents,
        )
        | None => Err(GatewayError::not_found(uri.path())),
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reload")]
pub struct ReloadView<'r> {
    /// Milliseconds since 1970.
    at: u64,
    /// `file`, `signal`, `order`, `discovery`, `database` or `start`.
    trigger: &'static str,
    ok: bool,
    /// Why the old configuration is still in use.
    errors: &'r [String],
    /// What is in use, but worth a look.
    warnings: &'r [String],
    /// What has changed and needs a restart.
    needs_restart: &'r [&'static str],
    /// How often a configuration was taken into use.
    generation: u64,
    /// How many reloads were refused since the start.
    refused: u64,
}

/// What came of a reload, as it is shown.
pub fn last_reload(report: &Report) -> ReloadView<'_> {
    ReloadView {
        at: report.at.saturating_mul(1000),
        trigger: report.trigger,
        ok: report.is_ok(),
        errors: &report.errors,
        warnings: &report.warnings,
        needs_restart: &report.restart,
        generation: report.generation,
        refused: report.refused,
    }
}

/// What there is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GatewayIndex")]
pub(super) struct Index<'r> {
    version: &'static str,
    /// Milliseconds since 1970.
    started: u64,
    last_reload: ReloadView<'r>,
    paths: Vec<IndexPath>,
}

/// A route.
#[derive(Serialize, JsonSchema)]
struct IndexPath {
    method: &'static str,
    path: &'static str,
    description: &'static str,
}

fn index(app: &App) -> Response<Body> {
    let paths =
        table::all().map(|route| IndexPath { method: route.method, path: route.path, description: route.summary });
    shown(&Index {
        version: env!("CARGO_PKG_VERSION"),
        started: app.started().saturating_mul(1000),
        last_reload: last_reload(&app.last_reload()),
        paths: paths.collect(),
    })
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
