//! `GET /admin/events`: what happens, as server-sent events. Decides who is one listener too many. Tests: `it/events.rs`.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::header::CONTENT_TYPE;
use waypost_core::GatewayError;

use super::query::Query;
use crate::app::App;
use crate::events::Filter;
use crate::http::body::Body;
use crate::http::reply;
use crate::identity::Signed;

/// When somebody may come back who was one too many.
const CROWDED: Duration = Duration::from_secs(30);

/// Whoever is signed in hears events as long as that session lives.
pub(super) fn listen(app: &App, query: &Query, signed: Option<&Signed>) -> Result<Response<Body>, GatewayError> {
    if app.is_draining() {
        return Err(GatewayError::shutting_down());
    }
    let filter = Filter { key: query.get("key").map(Box::from), model: query.get("model").map(Box::from) };
    let too_many = || GatewayError::rate_limited("So many listen to the events that nobody else can.", CROWDED);
    let feed = app.events.listen(filter).ok_or_else(too_many)?;
    let feed = match (app.identity(), signed) {
        (Some(identity), Some(signed)) => feed.while_signed_in(Arc::clone(identity), signed.clone()),
        (Some(_) | None, _) => feed,
    };
    let mut response = Response::new(Body::Feed(Box::new(feed)));
    response.headers_mut().insert(CONTENT_TYPE, reply::EVENT_STREAM);
    Ok(response)
}
