//! Faults as a provider would have them: status, words in each dialect, and how an answer's bytes break.
//! Knows no request. Tests are in `tests.rs`.

use bytes::Bytes;
use waypost_wire::WireError;
use waypost_wire::error::Fault;

use super::body::Piece;

/// How long a rate-limited caller is asked to wait, in seconds.
pub(crate) const RETRY_AFTER: &str = "2";

/// One refusal: OpenAI's type and code, Anthropic's type, Gemini's status, and the sentence.
struct Row {
    status: u16,
    openai: (&'static str, Option<&'static str>),
    anthropic: &'static str,
    gemini: &'static str,
    message: &'static str,
}

const ROWS: [Row; 11] = [
    row(
        400,
        ("invalid_request_error", None),
        "invalid_request_error",
        "INVALID_ARGUMENT",
        "Simulated: the request cannot be carried out as it is.",
    ),
    row(
        401,
        ("invalid_request_error", Some("invalid_api_key")),
        "authentication_error",
        "UNAUTHENTICATED",
        "Simulated: the API key is not valid.",
    ),
    row(
        402,
        ("insufficient_quota", Some("insufficient_quota")),
        "billing_error",
        "RESOURCE_EXHAUSTED",
        "Simulated: the account has no credit left.",
    ),
    row(
        403,
        ("invalid_request_error", None),
        "permission_error",
        "PERMISSION_DENIED",
        "Simulated: the API key may not use this model.",
    ),
    row(
        404,
        ("invalid_request_error", Some("model_not_found")),
        "not_found_error",
        "NOT_FOUND",
        "Simulated: there is no such model or path.",
    ),
    row(
        408,
        ("server_error", Some("request_timeout")),
        "timeout_error",
        "DEADLINE_EXCEEDED",
        "Simulated: the request took too long.",
    ),
    row(
        429,
        ("requests", Some("rate_limit_exceeded")),
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
        "Simulated: too many requests.",
    ),
    row(500, ("server_error", None), "api_error", "INTERNAL", "Simulated: an internal error."),
    row(502, ("server_error", None), "api_error", "UNAVAILABLE", "Simulated: a bad gateway."),
    row(503, ("server_error", None), "api_error", "UNAVAILABLE", "Simulated: the service is unavailable."),
    row(
        529,
        ("server_error", Some("overloaded")),
        "overloaded_error",
        "UNAVAILABLE",
        "Simulated: the service is overloaded.",
    ),
];

const fn row(
    status: u16,
    openai: (&'static str, Option<&'static str>),
    anthropic: &'static str,
    gemini: &'static str,
    message: &'static str,
) -> Row {
    Row { status, openai, anthropic, gemini, message }
}

/// The refusal with this status; 500 stands in for what the table does not have.
pub(crate) fn refusal(status: u16, request_id: &str) -> Fault<'_> {
    let known = ROWS.iter().find(|row| row.status == status);
    let row = known.unwrap_or(&ROWS[7]);
    Fault {
        status: row.status,
        openai_type: row.openai.0,
        openai_code: row.openai.1,
        anthropic_type: row.anthropic,
        gemini_status: row.gemini,
        message: row.message,
        param: None,
        request_id,
    }
}

/// The refusal of a request that could not be read; `message` is the error's own sentence.
pub(crate) fn unreadable<'a>(error: &'a WireError, message: &'a str, request_id: &'a str) -> Fault<'a> {
    Fault { message, param: error.param(), ..refusal(400, request_id) }
}

/// The first half of a stream: up to and with the middle one of the pieces that carry the answer.
pub(crate) fn first_half(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.truncate(middle(&pieces) + 1);
    pieces
}

/// The same stream with the middle one of its answer's pieces cut short, as if a proxy had lost some bytes.
pub(crate) fn garbled(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let at = middle(&pieces);
    if let Some(piece) = pieces.get_mut(at) {
        let text = piece.bytes.strip_suffix(b"\n\n").unwrap_or(&piece.bytes);
        let kept = text.get(..text.len() - text.len() / 4).unwrap_or_default();
        piece.bytes = [kept, b"\n\n"].concat().into();
    }
    pieces
}

/// The first half of a whole body.
pub(crate) fn half(body: &Bytes) -> Bytes {
    body.slice(..body.len() / 2)
}

fn middle(pieces: &[Piece]) -> usize {
    let paced = pieces.iter().enumerate().filter(|(_, piece)| piece.paced);
    let places: Vec<usize> = paced.map(|(at, _)| at).collect();
    let place = places.get(places.len() / 2).copied();
    place.unwrap_or(pieces.len() / 2)
}
