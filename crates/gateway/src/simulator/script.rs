//! From a call's bytes to what will be played: reads the request, has it answered, writes the answer in its dialect.
//! Pure; time and broken connections come later, in `simulator.rs`. Tests are in `tests.rs`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use waypost_core::operation::Operation;
use waypost_wire::chat::{Request, Response};
use waypost_wire::dialect::Reply;
use waypost_wire::loss::Losses;
use waypost_wire::{Dialect, WireError};

use super::answer::{self, CREATED};
use super::body::Piece;
use super::completions::Completion;
use super::model::{Behaviour, Fault, LISTING};
use super::{Call, embed, fault, stream};
use crate::tokens;

/// What to play, and the fault to play it with.
pub(crate) struct Script {
    /// The same for the same request.
    pub(crate) id: String,
    pub(crate) fault: Option<Fault>,
    pub(crate) play: Play,
}

pub(crate) enum Play {
    Whole(Bytes),
    /// Pieces, and the pause before each that carries some of the answer.
    Stream(Vec<Piece>, Duration),
    Refused(u16, Bytes),
}

pub(crate) fn write(call: &Call) -> Script {
    let seed = seed(call);
    let id = format!("req_{seed}");
    let written = match call.operation {
        Operation::Chat => chat(call, &seed),
        Operation::Completions => completions(call, &seed),
        Operation::Embeddings => embeddings(call),
        Operation::CountTokens => count_tokens(call),
        Operation::Models => Ok(models(call, &id)),
        Operation::Images | Operation::Audio | Operation::Passthrough => Ok((None, refused(call, &id, 404))),
    };
    let (fault, play) = written.unwrap_or_else(|error| (None, unreadable(call, &id, &error)));
    Script { id, fault, play }
}

type Written = (Option<Fault>, Play);

fn chat(call: &Call, seed: &str) -> Result<Written, WireError> {
    let request = Arc::new(call.codec.decode_request(&call.body)?);
    let behaviour = Behaviour::of(&request.model);
    let response = response(&request, &behaviour, call.dialect, seed);
    let reply = reply(&request, &response, seed);
    let play = if request.stream {
        let mut encoder = call.codec.stream_encoder(reply);
        let pieces = stream::encode(&stream::events(&response), encoder.as_mut());
        Play::Stream(pieces, behaviour.pace)
    } else {
        Play::Whole(call.codec.encode_response(&response, &reply, &mut Losses::default()))
    };
    Ok((behaviour.fault, play))
}

fn response(request: &Request, behaviour: &Behaviour, dialect: Dialect, seed: &str) -> Response {
    let mut response = answer::answer(request, behaviour.persona, dialect, seed);
    if behaviour.fault == Some(Fault::NoUsage) {
        response.usage = None;
    }
    response
}

fn reply(request: &Arc<Request>, response: &Response, seed: &str) -> Reply {
    Reply {
        id: seed.to_owned(),
        created: CREATED,
        model: request.model.clone(),
        include_usage: request.include_usage,
        input_estimate: response.usage.and_then(|usage| usage.input).unwrap_or(0),
        request: Arc::clone(request),
    }
}

fn completions(call: &Call, seed: &str) -> Result<Written, WireError> {
    let completion = Completion::read(&call.body, seed)?;
    let behaviour = Behaviour::of(completion.model());
    let answered = completion.chats.iter();
    let responses: Vec<Response> = answered.map(|chat| response(chat, &behaviour, call.dialect, seed)).collect();
    let play = if completion.stream {
        Play::Stream(completion.write_stream(&responses), behaviour.pace)
    } else {
        Play::Whole(completion.write(&responses))
    };
    Ok((behaviour.fault, play))
}

fn embeddings(call: &Call) -> Result<Written, WireError> {
    let mut answer = embed::answer(&call.body)?;
    let fault = Behaviour::of(answer["model"].as_str().unwrap_or_default()).fault;
    if fault == Some(Fault::NoUsage)
        && let Some(answer) = answer.as_object_mut()
    {
        answer.remove("usage");
    }
    Ok((fault, Play::Whole(answer.to_string().into())))
}

/// Anthropic's counter takes a message request that need not say `max_tokens`.
fn count_tokens(call: &Call) -> Result<Written, WireError> {
    let mut body = embed::parse(&call.body)?;
    if let Some(body) = body.as_object_mut() {
        body.entry("max_tokens").or_insert(json!(1));
    }
    let request = call.codec.decode_request(body.to_string().as_bytes())?;
    let count = json!({"input_tokens": tokens::count_request(&request)});
    Ok((Behaviour::of(&request.model).fault, Play::Whole(count.to_string().into())))
}

fn models(call: &Call, id: &str) -> Written {
    let entries = LISTING.iter().map(|listed| match call.dialect {
        Dialect::Anthropic => json!({
            "type": "model", "id": listed.name, "display_name": listed.name, "created_at": "2026-01-01T00:00:00Z",
        }),
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => json!({
            "id": listed.name, "object": "model", "created": CREATED, "owned_by": "waypost-simulator",
        }),
    });
    let mut entries: Vec<Value> = entries.collect();
    let play = match call.path.split_once("/models/") {
        None => Play::Whole(list(call.dialect, entries).to_string().into()),
        Some((_, name)) => match entries.iter().position(|entry| entry["id"] == name) {
            Some(at) => Play::Whole(entries.swap_remove(at).to_string().into()),
            None => refused(call, id, 404),
        },
    };
    (None, play)
}

fn list(dialect: Dialect, entries: Vec<Value>) -> Value {
    let name = |entry: Option<&Value>| entry.map(|entry| entry["id"].clone());
    match dialect {
        Dialect::Anthropic => json!({
            "first_id": name(entries.first()), "last_id": name(entries.last()), "has_more": false, "data": entries,
        }),
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => json!({"object": "list", "data": entries}),
    }
}

fn refused(call: &Call, id: &str, status: u16) -> Play {
    Play::Refused(status, call.codec.encode_error(&fault::refusal(status, id)))
}

fn unreadable(call: &Call, id: &str, error: &WireError) -> Play {
    let message = error.to_string();
    let refusal = fault::unreadable(error, &message, id);
    Play::Refused(400, call.codec.encode_error(&refusal))
}

/// Text that ids are made of: 24 hexadecimal digits of a hash over everything asked.
fn seed(call: &Call) -> String {
    let mut hash = Sha256::new();
    for part in [call.operation.name(), call.dialect.name(), &call.path] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(&call.body);
    let mut seed = String::new();
    for byte in hash.finalize().iter().take(12) {
        _ = write!(seed, "{byte:02x}");
    }
    seed
}
