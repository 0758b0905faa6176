//! The corridor: the one place that knows the order of the rooms a request walks through. A room never calls the next.
//!
//! One request takes one snapshot and keeps it to its end; once admitted it files exactly one record.

pub mod admit;
pub mod attempt;
pub mod call;
pub mod degrade;
pub mod deliver;
pub mod frames;
pub mod funds;
pub mod kept;
pub mod later;
pub mod meter;
pub mod queue;
pub mod simulate;

use http::{HeaderName, HeaderValue, Response};
use waypost_core::access::Caller;
use waypost_core::dice::Dice;
use waypost_core::error::{GatewayError, Kind};
use waypost_core::limit::Admission;
use waypost_core::operation::Operation;
use waypost_core::route::{self, Plan};
use waypost_core::snapshot::Deployment;
use waypost_core::usage::Degraded;

use self::admit::{Knock, Told};
use self::call::{Call, Inbound};
use self::degrade::Descent;
use self::funds::NoFunds;
use self::meter::Meter;
use crate::app::{App, Live};
use crate::http::api::{count_tokens, estimate};
use crate::http::body::Body;
use crate::http::reply;
use crate::telemetry::trace_header;

/// Answers one request that needs an upstream.
pub async fn run(app: &App, inbound: Inbound) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let caller = admit::enter(app, &live, &Knock::of(&inbound))?;
    let told = Told::of(app, &caller, &inbound);
    told.on(walk(app, &live, &caller, inbound).await)
}

/// Answers a request for a token count: from an upstream that can count, else from the tokenizer.
pub async fn count(app: &App, inbound: Inbound) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let caller = admit::enter(app, &live, &Knock::of(&inbound))?;
    let told = Told::of(app, &caller, &inbound);
    told.on(walk_to_count(app, &live, &caller, inbound).await)
}

/// Answers what a chat request would cost. Nothing is sent, so nothing is recorded.
pub async fn estimate(app: &App, inbound: Inbound) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let caller = admit::enter(app, &live, &Knock::of(&inbound))?;
    let told = Told::of(app, &caller, &inbound);
    told.on(walk_to_estimate(app, &live, &caller, inbound).await)
}

async fn walk_to_estimate(
    app: &App,
    live: &Live,
    caller: &Caller,
    inbound: Inbound,
) -> Result<Response<Body>, GatewayError> {
    let mut call = Call::read(app, inbound).await?;
    funds::charge(app, caller, &mut call);
    let plan = route::plan(&live.snapshot, caller, &call.query(), app.clock.now(), &mut app.dice())?;
    // It is a request like any other, but no tokens are used.
    call.operation = Operation::CountTokens;
    let mut admission = admit::within_limits(app, caller, &call).await?;
    admission.used(0);
    estimate::answer(&live.snapshot.pricing, caller, &call, &plan, app.unix_millis()).await
}

async fn walk(app: &App, live: &Live, caller: &Caller, inbound: Inbound) -> Result<Response<Body>, GatewayError> {
    let mut call = Box::new(Call::read(app, inbound).await?);
    funds::charge(app, caller, &mut call);
    later::refuse(&call)?;
    let mut dice = app.dice();
    let plan = route::plan(&live.snapshot, caller, &call.query(), app.clock.now(), &mut dice)?;
    let admission = admit::within_limits(app, caller, &call).await?;
    follow(app, live, caller, plan, call, admission, dice).await
}

async fn walk_to_count(
    app: &App,
    live: &Live,
    caller: &Caller,
    inbound: Inbound,
) -> Result<Response<Body>, GatewayError> {
    let call = Box::new(Call::read(app, inbound).await?);
    let mut dice = app.dice();
    let plan = match route::plan(&live.snapshot, caller, &call.query(), app.clock.now(), &mut dice) {
        Ok(plan) => Some(plan),
        Err(error) if error.kind() == Kind::NoDeployment => None,
        Err(error) => return Err(error),
    };
    let mut admission = admit::within_limits(app, caller, &call).await?;
    match plan {
        Some(plan) => follow(app, live, caller, plan, call, admission, dice).await,
        None => {
            let body = call.body().cloned().unwrap_or_default();
            let counted = count_tokens::count_here(call.face, &body, &call.peek).await;
            admission.used(0);
            counted
        }
    }
}

async fn follow<'s>(
    app: &App,
    live: &'s Live,
    caller: &Caller,
    mut plan: Plan<'s>,
    // On the heap, because every hand it goes through would have room for it.
    mut call: Box<Call>,
    admission: Admission,
    mut dice: Dice,
) -> Result<Response<Body>, GatewayError> {
    let mut descent = Descent::of(&call, &plan);
    let funds = loop {
        let short = match funds::hold(app, live, caller, &call, &plan).await {
            Ok(funds) => break funds,
            Err(NoFunds::Short(short)) => short,
            Err(NoFunds::Refused(error)) => return Err(error),
        };
        let bound = |call: &Call, deployment: &Deployment| funds::most_at(live, caller, call, deployment);
        if !descent.down((app, live, caller), &mut call, &mut plan, &mut dice, &short, bound) {
            return Err(funds::refusal_of(&short));
        }
    };
    let mut meter = Meter::start(call.opened(caller), admission, funds, app);
    meter.fell(descent.fell());
    let tape = app.captures.tape(app, caller, &call);
    meter.planned(&plan);
    let answer = attempt::first_success(app, live, &mut plan, &call, &mut meter, dice).await;
    let answer = match answer {
        // The disk has had the time of the upstream for it.
        Ok(answer) => meter.held().await.map(|()| answer),
        Err(error) => Err(error),
    };
    let trace = wants_trace(live, &call).then(|| trace_header(&meter.way()));
    let degraded = degraded_header(meter.degraded());
    let mut response = match answer {
        Ok(answer) => {
            let (response, written) = deliver::reply(app, live, &call, answer, meter);
            if let Some(written) = written {
                // Nobody has an answer that the ledger does not know.
                written.await.map_err(GatewayError::internal)?;
            }
            response
        }
        Err(error) => {
            meter.refuse(&error);
            // Drawn here: what is handed out as an error is counted as refused before it was admitted.
            app.log_refusal(&call.request_id, &error);
            reply::error(&error, call.face, &call.request_id)
        }
    };
    if let Some(degraded) = degraded {
        response.headers_mut().insert(DEGRADED, degraded);
    }
    if let Some(trace) = trace.flatten() {
        response.headers_mut().insert(TRACE, trace);
    }
    Ok(match tape {
        Some(tape) => tape.on(response),
        None => response,
    })
}

/// The header by which callers ask how they were answered, and the one that says it.
const DEBUG: HeaderName = HeaderName::from_static("x-waypost-debug");
const TRACE: HeaderName = HeaderName::from_static("x-waypost-trace");
/// Says which budget had not enough for what was asked, so that something cheaper answers.
const DEGRADED: HeaderName = HeaderName::from_static("x-waypost-degraded");

fn degraded_header(degraded: Option<&Degraded>) -> Option<HeaderValue> {
    HeaderValue::from_str(&degraded?.budget).ok()
}

fn wants_trace(live: &Live, call: &Call) -> bool {
    live.snapshot.admin.debug_header && call.headers.get(DEBUG).is_some_and(|asked| asked == "true")
}
