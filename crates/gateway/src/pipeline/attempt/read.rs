//! Reads an upstream's answer until it is known to be one. An error inside a success, an unreadable body, a stream that ends
//! before it has said anything: all of these are verdicts. Nothing an upstream says is passed on unscrubbed.
//! Tests: `it/failover.rs`, `it/streams.rs`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};
use waypost_core::operation::Operation;
use waypost_core::rate_headers;
use waypost_core::route::Claim;
use waypost_core::verdict::{Outcome, Trouble, Verdict, judge};
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Choice, FinishReason, Response};
use waypost_wire::dialect::{Decoded, UpstreamDialect};
use waypost_wire::error::RemoteError;
use waypost_wire::{Dialect, WireError};

use super::say::Mode;
use super::send::trouble;
use super::{Content, Fallen};
use crate::app::App;
use crate::pipeline::call::Call;
use crate::pipeline::deliver::Opening;
use crate::pipeline::frames::{Break, Frames, MAX_PIECE, Step, media_bytes};
use crate::upstream::AnswerBody;

/// The largest whole answer taken from an upstream.
const MAX_ANSWER: u64 = MAX_PIECE as u64;
/// The largest error body read for its words.
const MAX_ERROR: u64 = 64 << 10;

/// Reads an error answer for its words and judges it.
pub(super) async fn refusal(
    app: &App,
    call: &Call,
    claim: &Claim,
    status: StatusCode,
    headers: &HeaderMap,
    body: AnswerBody,
) -> Verdict {
    // An error page that is too large or broken still has its status.
    let body = body.collect(MAX_ERROR).await.unwrap_or_default();
    let remote = scrubbed(claim.endpoint.dialect.codec().decode_error(&body), claim);
    let retry_after = rate_headers::retry_after(headers, &remote, app.unix_seconds());
    judge(Outcome::Status { status: status.as_u16(), remote: &remote, retry_after }, call.model.as_deref())
}

pub(super) async fn read(
    call: &Call,
    claim: &Claim,
    mode: Mode,
    headers: &HeaderMap,
    body: AnswerBody,
    first_token_by: Instant,
) -> Result<Content, Fallen> {
    let model = call.model.as_deref();
    let choices = choices(call, claim);
    let streams = headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    match mode {
        Mode::Through => Ok(Content::Through(body)),
        Mode::Relay(..) | Mode::Translate(_) if streams != call.peek.stream => {
            Err(judge(Outcome::Unreadable, model).into())
        }
        Mode::Retell(_) if streams => Err(judge(Outcome::Unreadable, model).into()),
        Mode::Relay(tap, change) if streams => {
            let opening = open(Frames::new(body, tap.stream_decoder(), choices), claim, model, first_token_by).await?;
            Ok(Content::RelayedStream { opening, tap, change })
        }
        Mode::Translate(codec) if streams => {
            let opening =
                open(Frames::new(body, codec.stream_decoder(), choices), claim, model, first_token_by).await?;
            Ok(Content::TranslatedStream(opening))
        }
        Mode::Relay(tap, change) => {
            let body = collect(body, model).await?;
            let survey = tap.survey_response(&body).map_err(|error| unreadable(&error, model))?;
            match survey.error {
                Some(remote) => Err(inside(remote, claim, model)),
                None => Ok(Content::Relayed { body, survey, tap, change }),
            }
        }
        Mode::Translate(codec) => Ok(Content::Translated(decoded(codec, body, claim, model).await?)),
        Mode::Retell(codec) => Ok(Content::Retold(decoded(codec, body, claim, model).await?)),
    }
}

async fn decoded(
    codec: &dyn UpstreamDialect,
    body: AnswerBody,
    claim: &Claim,
    model: Option<&str>,
) -> Result<Box<Response>, Fallen> {
    let body = collect(body, model).await?;
    match codec.decode_response(&body).map_err(|error| unreadable(&error, model))? {
        Decoded::Error(remote) => Err(inside(remote, claim, model)),
        Decoded::Response(response) => match failure(&response) {
            Some(remote) => Err(inside(remote, claim, model)),
            None => Ok(Box::new(response)),
        },
    }
}

/// How many answers a stream without a terminal mark must have finished to be whole; 0 where its dialect alone says.
fn choices(call: &Call, claim: &Claim) -> u64 {
    let chats = call.operation == Operation::Chat && claim.endpoint.dialect == Dialect::OpenaiChat;
    if chats { call.peek.choices() } else { 0 }
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    content_type.as_bytes().get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

/// An answer that says of itself that it failed, or that nothing ended it, is none.
fn failure(response: &Response) -> Option<RemoteError> {
    let unfinished = |choice: &Choice| matches!(choice.finish, None | Some(FinishReason::Failed(_)));
    let failed = response.choices.is_empty() || response.choices.iter().any(unfinished);
    failed.then(RemoteError::default)
}

async fn collect(body: AnswerBody, model: Option<&str>) -> Result<Bytes, Fallen> {
    let collected = body.collect(MAX_ANSWER).await;
    collected.map_err(|failure| judge(Outcome::Trouble(trouble(&failure)), model).into())
}

fn unreadable(error: &WireError, model: Option<&str>) -> Fallen {
    tracing::debug!(%error, "an upstream's answer could not be read");
    judge(Outcome::Unreadable, model).into()
}

/// Holds a stream back until it has said something.
async fn open(
    mut frames: Frames,
    claim: &Claim,
    model: Option<&str>,
    first_token_by: Instant,
) -> Result<Opening, Fallen> {
    let mut held = Vec::new();
    let mut events = Vec::new();
    let (mut media, mut size) = (0, 0);
    loop {
        let before = events.len();
        let step = frames.step(&mut events).map_err(|cause| broken(cause, claim, model))?;
        let meaningful = events.iter().skip(before).any(Event::is_meaningful);
        match step {
            Step::Frame(frame) => {
                media += media_bytes(&frame, events.get(before..).unwrap_or_default());
                size += frame.raw().len();
                held.push(frame);
                if size > MAX_ANSWER as usize {
                    return Err(broken(Break::FrameTooLong, claim, model));
                }
            }
            // Even an empty answer says why it stopped, which is meaningful. This one failed, or is no answer.
            Step::End => return Err(speechless(&events, model)),
            Step::Starved => {
                let more = timeout_at(first_token_by, std::future::poll_fn(|cx| frames.poll_more(cx))).await;
                let late = |_| judge(Outcome::Trouble(Trouble::Timeout), model);
                more.map_err(late)?.map_err(|cause| broken(cause, claim, model))?;
            }
        }
        if meaningful {
            return Ok(Opening { frames, held, events, media });
        }
    }
}

fn inside(remote: RemoteError, claim: &Claim, model: Option<&str>) -> Fallen {
    judge(Outcome::Inside(&scrubbed(remote, claim)), model).into()
}

/// Shorter texts are no secrets, and may stand in any sentence.
const MIN_SECRET: usize = 8;

/// What an upstream says of a request, without the channel's keys and the values of its own headers: some echo them.
fn scrubbed(mut remote: RemoteError, claim: &Claim) -> RemoteError {
    let channel = &claim.deployment.channel;
    let keys = channel.credentials.iter().filter_map(|credential| Some(&credential.header.as_ref()?.1));
    let values = keys.chain(channel.headers.iter().map(|(_, value)| value));
    for value in values.filter_map(|value| value.to_str().ok()) {
        let secret = value.strip_prefix("Bearer ").unwrap_or(value);
        if secret.len() < MIN_SECRET {
            continue;
        }
        let words = [&mut remote.kind, &mut remote.code, &mut remote.param].into_iter().flatten();
        for text in words.chain([&mut remote.message]).filter(|text| text.contains(secret)) {
            *text = text.replace(secret, "[redacted]");
        }
    }
    remote
}

fn speechless(events: &[Event], model: Option<&str>) -> Fallen {
    let failed = events.iter().any(|event| matches!(event, Event::Finish { .. }));
    let outcome = if failed { Outcome::Inside(&RemoteError::default()) } else { Outcome::Unreadable };
    judge(outcome, model).into()
}

fn broken(cause: Break, claim: &Claim, model: Option<&str>) -> Fallen {
    let outcome = match cause {
        Break::Transport(failure) => Outcome::Trouble(trouble(&failure)),
        Break::Remote(remote) => return inside(remote, claim, model),
        Break::Unfinished => Outcome::Trouble(Trouble::Broken),
        Break::Garbled(_) | Break::FrameTooLong => Outcome::Unreadable,
    };
    judge(outcome, model).into()
}
