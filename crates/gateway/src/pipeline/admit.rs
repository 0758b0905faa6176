//! The doors a request passes before anything is done for it: whose key it carries, what that key may be used for, and what its
//! levels have left. Every operation comes through here, whatever its path. Decides nothing itself: core does.
//! Tests: `it/caller_limits.rs`, `it/scopes.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Response};
use waypost_core::access::{self, Caller};
use waypost_core::limit::{Admission, Ask, Levels};
use waypost_core::operation::Operation;
use waypost_core::{GatewayError, key_text};
use waypost_wire::dialect::Face;

use super::call::{Call, Inbound, media_tokens};
use crate::app::{App, Live};
use crate::http::body::Body;
use crate::http::{Arrival, drawn, rates, token};
use crate::security::Sign;

/// What is known of a request before its body is read.
pub struct Knock<'r> {
    pub headers: &'r HeaderMap,
    pub client: Option<IpAddr>,
    pub operation: Operation,
    /// What follows `/v1/`.
    pub path: &'r str,
}

impl<'r> Knock<'r> {
    pub fn of(inbound: &'r Inbound) -> Self {
        Self {
            headers: inbound.arrival.request.headers(),
            client: inbound.arrival.client,
            operation: inbound.operation,
            path: &inbound.rest,
        }
    }
}

/// Whose key it is, if it may be used for this from there.
pub fn enter(app: &App, live: &Live, knock: &Knock<'_>) -> Result<Arc<Caller>, GatewayError> {
    let token = token(knock.headers);
    let Some(caller) = access::find(&live.snapshot, &app.directory, token) else {
        return Err(token.map_or_else(GatewayError::unauthenticated, |token| unknown(app, live, knock, token)));
    };
    let suspect = |sign, error| {
        app.suspect(live, sign, knock.client, Some(&caller.name));
        error
    };
    let now = app.unix_millis();
    caller.check_in_force(now).map_err(|error| suspect(Sign::DeadKey, error))?;
    caller.check_address(knock.client).map_err(|error| suspect(Sign::ForeignAddress, error))?;
    caller.check_endpoint(knock.operation, knock.path)?;
    caller.last_use.note(now);
    Ok(caller)
}

/// The error for a key that nobody has. One that cannot be a key of ours is somebody's typing error: that is told, and guesses
/// nothing that a guess could hit.
fn unknown(app: &App, live: &Live, knock: &Knock<'_>, token: &str) -> GatewayError {
    if key_text::is_mistyped(token) {
        app.suspect(live, Sign::MistypedKey, knock.client, None);
        return GatewayError::mistyped_key();
    }
    app.suspect_key(live, knock.client, GatewayError::unauthenticated())
}

/// What the request takes of its caller's limits; it is given back when it is dropped, and corrected when the request is over.
pub async fn within_limits(app: &App, caller: &Caller, call: &Call) -> Result<Admission, GatewayError> {
    let now = app.clock.now();
    let admitted = app.caller_limits.admit(&caller.levels, call.ask(), now).await;
    admitted.map_err(|denied| {
        app.suspect(&app.live(), Sign::Burst, call.client, Some(&caller.name));
        GatewayError::denied(&denied, now)
    })
}

impl Call {
    /// What it asks of its caller's limits. Nothing in tokens where none are used that anybody counts.
    fn ask(&self) -> Ask {
        /// Where the caller sets no cap.
        const USUAL_OUTPUT: u64 = 256;
        let (prompt, n) = (self.prompt(), self.peek.n.max(1));
        match self.operation {
            Operation::Chat | Operation::Completions => match self.peek.max_output_tokens {
                Some(cap) => Ask { prompt, output: cap.saturating_mul(n), capped: true },
                None => Ask { prompt, output: USUAL_OUTPUT.saturating_mul(n), capped: false },
            },
            Operation::Embeddings | Operation::Images | Operation::Audio | Operation::Passthrough => {
                Ask { prompt, ..Ask::default() }
            }
            Operation::CountTokens | Operation::Models => Ask::default(),
        }
    }

    /// What of its usage counts against limits, which is what it took where nobody tells the usage.
    pub fn counting(&self) -> Counting {
        match self.operation {
            Operation::Chat | Operation::Completions | Operation::Embeddings => Counting::Usage,
            Operation::Images
            | Operation::Audio
            | Operation::Passthrough
            | Operation::CountTokens
            | Operation::Models => Counting::Asked(self.ask().prompt),
        }
    }

    /// About how many tokens its prompt has.
    fn prompt(&self) -> u64 {
        match self.operation {
            Operation::Chat | Operation::Completions | Operation::Embeddings => {
                let needs = &self.peek.needs;
                needs.input_tokens.saturating_add(media_tokens(needs.media_bytes))
            }
            // What names a model has a prompt, whatever it is called.
            Operation::Images | Operation::Audio | Operation::Passthrough if self.model.is_some() => {
                self.input_estimate()
            }
            Operation::Images | Operation::Audio | Operation::Passthrough => 0,
            Operation::CountTokens | Operation::Models => 0,
        }
    }
}

/// What counts against limits in the end.
#[derive(Clone, Copy, Debug)]
pub enum Counting {
    /// What was used.
    Usage,
    /// This, if it was done at all.
    Asked(u64),
}

/// How a caller's limits stand, told with every answer it gets, be it an error.
pub struct Told<'a> {
    app: &'a App,
    /// Whose limits: nobody's where there are none, so that nothing is told.
    levels: Levels,
    face: Face,
    request_id: Arc<str>,
    client: Option<IpAddr>,
}

impl<'a> Told<'a> {
    pub fn of(app: &'a App, caller: &Caller, inbound: &Inbound) -> Self {
        Self::with(app, caller, &inbound.arrival)
    }

    pub fn with(app: &'a App, caller: &Caller, arrival: &Arrival) -> Self {
        Self {
            app,
            levels: caller.levels.clone(),
            face: arrival.face,
            request_id: Arc::clone(&arrival.request_id),
            client: arrival.client,
        }
    }

    /// Tells it on an answer.
    pub fn on(self, answered: Result<Response<Body>, GatewayError>) -> Result<Response<Body>, GatewayError> {
        if self.levels.is_empty() {
            return answered;
        }
        let mut response =
            answered.unwrap_or_else(|error| drawn(self.app, &error, self.face, &self.request_id, self.client));
        let standing = self.levels.standing(self.app.clock.now());
        rates::tell(&standing, self.face.dialect, self.app.unix_millis(), response.headers_mut());
        Ok(response)
    }
}
