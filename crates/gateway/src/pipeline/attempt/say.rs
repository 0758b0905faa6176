//! Says the request in the upstream's words: the caller's own bytes where the dialects agree, else a translation.
//! Sends nothing. Tests: `it/identity.rs`, `it/v1/`.

use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::route::Claim;
use waypost_core::snapshot::Deployment;
use waypost_wire::dialect::{StreamUsage, Tap, Target, UpstreamDialect};
use waypost_wire::loss::Losses;
use waypost_wire::splice::{Splice, quoted};

use crate::app::App;
use crate::pipeline::call::{Call, Payload};
use crate::pipeline::deliver::Change;
use crate::upstream::OutBody;

/// A request in the upstream's words.
pub(super) struct Said {
    pub(super) body: OutBody,
    pub(super) mode: Mode,
    pub(super) losses: Losses,
}

/// How the answer will be read.
pub(super) enum Mode {
    Relay(&'static dyn Tap, Change),
    Translate(&'static dyn UpstreamDialect),
    Through,
}

pub(super) fn say(app: &App, claim: &Claim, call: &Call) -> Result<Said, GatewayError> {
    let deployment = &claim.deployment;
    let dialect = claim.endpoint.dialect;
    if call.operation == Operation::Chat && dialect != call.face.dialect {
        let codec = dialect.codec();
        let mut request = call.decoded()?;
        app.seals.restore(deployment.channel.id, &mut request);
        let mut losses = Losses::default();
        let target = Target { model: &deployment.upstream, traits: &deployment.traits };
        let body = codec.encode_request(&request, &target, &mut losses)?;
        refuse_losses(call, &losses)?;
        return Ok(Said { body: OutBody::Full(body), mode: Mode::Translate(codec), losses });
    }
    let (body, change) = relayed(deployment, call);
    let mode = match call.tap() {
        Some(tap) => Mode::Relay(tap, change),
        None => Mode::Through,
    };
    Ok(Said { body, mode, losses: Losses::default() })
}

fn refuse_losses(call: &Call, losses: &Losses) -> Result<(), GatewayError> {
    let lost: Vec<&str> = losses.refused_when_strict().map(|loss| loss.field.as_str()).collect();
    match lost.first() {
        Some(first) if call.is_strict() => {
            let message = format!(
                "The model's provider cannot be told: {}. Leave it out, or drop `x-waypost-strict`.",
                lost.join(", ")
            );
            Err(GatewayError::unsupported(message, Some(first)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The caller's own bytes, with the few that Waypost owns spliced, and what must be undone in the answer.
fn relayed(deployment: &Deployment, call: &Call) -> (OutBody, Change) {
    let renamed = call.model.as_deref().is_some_and(|model| model != &*deployment.upstream);
    let asks_usage = call.peek.stream
        && matches!(call.operation, Operation::Chat | Operation::Completions)
        && call.face.dialect == waypost_wire::Dialect::OpenaiChat
        && call.peek.include_usage != Some(true)
        && deployment.traits.stream_usage == StreamUsage::Asked;
    let unasked_usage = call.peek.stream && call.peek.include_usage != Some(true);
    let change = Change { model: if renamed { call.model.clone() } else { None }, hide_usage: unasked_usage };
    let body = match &call.payload {
        Payload::Arriving(upload) => match upload.take() {
            Some(upload) => upload.into_body(if renamed { &deployment.upstream } else { "" }),
            None => OutBody::empty(),
        },
        Payload::Whole(body) => {
            let mut splice = Splice::default();
            if let (true, Some(at)) = (renamed, call.peek.model_at.clone()) {
                splice.replace(at, quoted(&deployment.upstream));
            }
            if asks_usage {
                // The peek has read these bytes as JSON; if they were not, asking for nothing would be right.
                let _ = splice.ask_usage(body, &call.peek);
            }
            OutBody::Full(splice.apply(body))
        }
    };
    (body, change)
}
