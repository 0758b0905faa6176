//! Says the request in the upstream's words: the caller's own bytes where the dialects agree, else a translation.
//! Sends nothing. Tests: `it/identity.rs`, `it/v1/`.

use std::sync::Arc;

use waypost_core::GatewayError;
use waypost_core::capability::{Adaptation, Fit};
use waypost_core::operation::Operation;
use waypost_core::pricing::Pricing;
use waypost_core::route::Claim;
use waypost_core::snapshot::Deployment;
use waypost_wire::dialect::{StreamUsage, Tap, Target, UpstreamDialect};
use waypost_wire::loss::Losses;
use waypost_wire::splice::{Splice, quoted};

use crate::app::{App, Live};
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
    /// Whole, to be told as a stream.
    Retell(&'static dyn UpstreamDialect),
    Through,
}

pub(super) fn say(app: &App, live: &Live, claim: &Claim, call: &Call) -> Result<Said, GatewayError> {
    let deployment = &claim.deployment;
    let dialect = claim.endpoint.dialect;
    let adaptation = match deployment.capabilities.fit(&call.peek.needs, call.operation, live.snapshot.capabilities) {
        Fit::Adapt(adaptation) => adaptation,
        // What lacks something was passed over by the plan.
        Fit::Fits | Fit::Lacks(_) => Adaptation::default(),
    };
    let mut losses = Losses::default();
    if adaptation.whole {
        losses.emulated("stream");
    }
    if call.operation == Operation::Chat && dialect != call.face.dialect {
        let codec = dialect.codec();
        let mut request = call.decoded()?;
        app.seals.restore(deployment.channel.id, &mut request);
        if adaptation.whole {
            Arc::make_mut(&mut request).stream = false;
        }
        if let Some((_, cap)) = cap(live, deployment, call)
            && request.max_output_tokens.is_none()
        {
            Arc::make_mut(&mut request).max_output_tokens = Some(cap);
        }
        let target = Target { model: &deployment.upstream, traits: &deployment.traits };
        let body = codec.encode_request(&request, &target, &mut losses)?;
        refuse_losses(call, &losses)?;
        let mode = if adaptation.whole { Mode::Retell(codec) } else { Mode::Translate(codec) };
        return Ok(Said { body: OutBody::Full(body), mode, losses });
    }
    let (body, change) = relayed(live, deployment, call, adaptation, &mut losses);
    refuse_losses(call, &losses)?;
    if adaptation.whole {
        // Some dialects echo the request's settings in the stream; those of one that cannot be read are left out.
        let _ = call.decoded();
        return Ok(Said { body, mode: Mode::Retell(dialect.codec()), losses });
    }
    let mode = match call.tap() {
        Some(tap) => Mode::Relay(tap, change),
        None => Mode::Through,
    };
    Ok(Said { body, mode, losses })
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
fn relayed(
    live: &Live,
    deployment: &Deployment,
    call: &Call,
    adaptation: Adaptation,
    losses: &mut Losses,
) -> (OutBody, Change) {
    let renamed = call.model.as_deref().is_some_and(|model| model != &*deployment.upstream);
    // What the body says is another name where the request fell to another model.
    let respelled = call.peek.model.as_deref().is_some_and(|model| model != &*deployment.upstream);
    let asks_usage = call.peek.stream
        && !adaptation.whole
        && matches!(call.operation, Operation::Chat | Operation::Completions)
        && call.face.dialect == waypost_wire::Dialect::OpenaiChat
        && call.peek.include_usage != Some(true)
        && deployment.traits.stream_usage == StreamUsage::Asked;
    let unasked_usage = call.peek.stream && call.peek.include_usage != Some(true);
    let change = Change { model: if renamed { call.model.clone() } else { None }, hide_usage: unasked_usage };
    let body = match &call.payload {
        Payload::Arriving(upload) => match upload.take() {
            Some(upload) => upload.into_body(if respelled { &deployment.upstream } else { "" }),
            None => OutBody::empty(),
        },
        Payload::Whole(body) => {
            let mut splice = Splice::default();
            if let (true, Some(at)) = (respelled, call.peek.model_at.clone()) {
                splice.replace(at, quoted(&deployment.upstream));
            }
            if asks_usage {
                // The peek has read these bytes as JSON; if they were not, asking for nothing would be right.
                let _ = splice.ask_usage(body, &call.peek);
            }
            if let Some((field, cap)) = cap(live, deployment, call) {
                let _ = splice.put_cap(body, &call.peek, field, cap);
            }
            adapt(&mut splice, body, call, adaptation, losses);
            OutBody::Full(splice.apply(body))
        }
    };
    (body, change)
}

/// The output cap of a request whose payer has not unlimited money, and where the deployment reads it: what is held was worked
/// out with this cap.
fn cap(live: &Live, deployment: &Deployment, call: &Call) -> Option<(&'static str, u64)> {
    call.charge.filter(|charge| charge.limited)?;
    let field = match call.operation {
        Operation::Chat => call.face.dialect.cap_field(&deployment.traits),
        Operation::Completions => "max_tokens",
        Operation::Embeddings
        | Operation::CountTokens
        | Operation::Images
        | Operation::Audio
        | Operation::Models
        | Operation::Passthrough => return None,
    };
    let most = deployment.capabilities.max_output;
    Some((field, live.snapshot.pricing.output_cap(call.peek.max_output_tokens, most, Pricing::USUAL_OUTPUT)))
}

/// Changes what the model could not do as it was asked. The peek has read these bytes as JSON, so they can be spliced.
fn adapt(splice: &mut Splice, body: &[u8], call: &Call, adaptation: Adaptation, losses: &mut Losses) {
    if let Some(most) = adaptation.max_output
        && let Ok(budget) = splice.cap_output(body, &call.peek, most)
    {
        losses.clamped_to(call.peek.needs.output_field, most);
        budget.into_iter().for_each(|budget| losses.clamped_to("thinking.budget_tokens", budget));
    }
    if adaptation.whole {
        let _ = splice.unstream(body);
    }
}
