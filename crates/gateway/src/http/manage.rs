//! The administration and people's own pages over HTTP: finds the route in the table, finds out who asks, checks the role, and hands
//! over. What is not in the table is not there; what a role does not reach is refused before anything is read. Tests: `it/manage/`,
//! `it/auth/`.

mod alerts;
pub(crate) mod answer;
pub(crate) mod ask;
mod audit;
mod budgets;
mod captures;
mod catalog;
mod fault;
mod gateway;
mod invites;
mod keys;
mod logs;
mod money;
mod openapi;
mod plans;
mod prices;
mod rerate;
pub(crate) mod route;
mod sessions;
pub(crate) mod table;
mod teams;
mod usage;
mod users;
mod who;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use waypost_core::GatewayError;
use waypost_core::role::Actor;
use waypost_wire::dialect::Face;

use self::answer::Answer;
use self::ask::{Ask, Came};
use self::route::{Kind, Needs, Route};
use self::who::Who;
use super::body::Body;
use super::{Arrival, OVERLOAD_PAUSE, auth, reply, unreadable};
use crate::app::App;
use crate::serve::{Limits, Peer, read_body};

/// No change of anything needs more.
const MAX_BODY: u64 = 1 << 20;

/// Answers whatever the table has, and says so of what it does not have.
pub(crate) async fn answer(app: &App, arrival: Arrival, peer: Peer) -> Response<Body> {
    let Arrival { request, request_id, client, .. } = arrival;
    let (head, body) = request.into_parts();
    let came = Came { head: &head, client, peer: peer.addr.ip(), request_id: &request_id };
    let mut response = match routed(app, came, body).await {
        Ok(response) => response,
        Err(Refused { error, allow }) => {
            let at_door = is_at_door(head.uri.path());
            let mut response = if at_door {
                super::drawn(app, &error, Face::OPENAI_CHAT, &request_id, client)
            } else {
                app.log_refusal(&request_id, &error);
                reply::error(&error, Face::OPENAI_CHAT, &request_id)
            };
            if error.status() == 401 {
                if !at_door {
                    super::admin::note_wrong_token(app, &head.headers, client);
                }
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            if let Some(allow) = allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
                response.headers_mut().insert(ALLOW, allow);
            }
            response
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error, and the methods that there are if it is about them.
struct Refused {
    error: GatewayError,
    allow: Option<String>,
}

impl From<GatewayError> for Refused {
    fn from(error: GatewayError) -> Self {
        Self { error, allow: None }
    }
}

/// Is it below `/auth`?
fn is_of_people(path: &str) -> bool {
    path.strip_prefix("/auth").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Is it where people sign in and out? What is odd there is worth a note, and no admin token is tried there.
fn is_at_door(path: &str) -> bool {
    is_of_people(path)
        && table::at(path).iter().any(|(route, _)| matches!(route.needs, Needs::Nobody | Needs::SignedIn))
}

async fn routed(app: &App, came: Came<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
    let head = came.head;
    let path = head.uri.path();
    let reads = head.method == Method::HEAD;
    let method = if reads { "GET" } else { head.method.as_str() };
    let at_path = table::at(path);
    let found = at_path.iter().find(|(route, _)| route.method == method);
    let of_people = is_of_people(path);
    if of_people && app.identity().is_none() {
        return Err(GatewayError::not_found(path).into());
    }
    if let Some((route, varying)) = found
        && route.needs == Needs::Nobody
    {
        let body = read(app, route, head, body).await?;
        let ask = Ask::new(app, came, (route, varying.clone()), Who::unsigned(Actor::system()), body);
        return Ok(drawn(run(app, route, ask).await?, head));
    }
    // What people have is the same for everybody, and no secret.
    if of_people && found.is_none() {
        return Err(nothing_there(&at_path, head));
    }
    // Who asks comes before what there is, so that nobody learns of it.
    if !who::could_be_anybody(app) {
        return Err(GatewayError::not_found(path).into());
    }
    let who = who::asks(app, head, found.map(|(route, _)| route.needs)).await?;
    let Some((route, varying)) = found else { return Err(nothing_there(&at_path, head)) };
    check(route, &who.actor)?;
    if route.kind == Kind::Change && !head.headers.contains_key(IF_MATCH) {
        return Err(GatewayError::precondition_required().into());
    }
    let body = read(app, route, head, body).await?;
    let ask = Ask::new(app, came, (route, varying.clone()), who, body);
    Ok(drawn(run(app, route, ask).await?, head))
}

/// Does it, if there is a place for it. Nobody takes one by sending nothing: what a change needs is here by now.
async fn run(app: &App, route: &Route, ask: Ask<'_>) -> Result<Answer, GatewayError> {
    if route.kind.reads() {
        return ask.run().await;
    }
    let _place = app.places.try_acquire().map_err(|_| GatewayError::overloaded(OVERLOAD_PAUSE))?;
    ask.run().await
}

/// The body, as far as the route has one.
async fn read(app: &App, route: &Route, head: &Parts, body: Incoming) -> Result<Bytes, GatewayError> {
    if route.kind.reads() {
        return Ok(Bytes::new());
    }
    if route.confidential {
        return auth::body::read(body, head, app.limits()).await;
    }
    let limits = Limits { max_body_bytes: MAX_BODY.min(app.limits().max_body_bytes), ..app.limits().clone() };
    read_body(body, &limits).await.map_err(unreadable)
}

/// Does the role reach the route at all? What of it, the handler asks.
fn check(route: &Route, actor: &Actor) -> Result<(), GatewayError> {
    let admitted = match route.needs {
        // Whoever is signed in was found out already.
        Needs::Nobody | Needs::SignedIn => true,
        // The data plane lets keys in.
        Needs::Key => false,
        Needs::May(action) => actor.may(action),
        Needs::User(action) => actor.may(action) && who::is_user(actor),
    };
    if admitted { Ok(()) } else { Err(forbidden(actor)) }
}

/// The role does not reach so far.
fn forbidden(actor: &Actor) -> GatewayError {
    let whose = if actor.team.is_some() { " of a team" } else { "" };
    GatewayError::not_permitted(format!("As {}{whose} you may not do this.", actor.role))
}

fn nothing_there(at_path: &[(&Route, Vec<&str>)], head: &Parts) -> Refused {
    if at_path.is_empty() {
        return GatewayError::not_found(head.uri.path()).into();
    }
    let mut methods: Vec<&str> = at_path.iter().map(|(route, _)| route.method).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    Refused { error: GatewayError::method_not_allowed(head.method.as_str()), allow: Some(methods.join(", ")) }
}

fn drawn(answer: Answer, head: &Parts) -> Response<Body> {
    let Answer { status, body, version, headers, raw } = answer;
    if let Some(response) = raw {
        return response;
    }
    let tag = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
    let known = tag.is_some() && status == StatusCode::OK && head.headers.get(IF_NONE_MATCH) == tag.as_ref();
    let body = body.filter(|_| !known);
    let has_body = body.is_some();
    let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let mut response = Response::new(Body::Full(bytes));
    *response.status_mut() = if known { StatusCode::NOT_MODIFIED } else { status };
    response.headers_mut().extend(headers);
    if has_body {
        response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
    }
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
