//! The local answer to `POST /v1/messages/count_tokens`, for models whose providers cannot count.
//! Decides only how to count; the corridor decides when. Tests: `it/v1/count_tokens.rs`.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::usage::Basis;
use waypost_wire::dialect::Face;
use waypost_wire::peek::Peek;
use waypost_wire::splice::Splice;

use crate::http::body::Body;
use crate::http::reply;
use crate::pipeline::deliver::COST_BASIS;
use crate::tokens;

/// Counts a request with the built-in tokenizer.
pub async fn count_here(face: Face, body: &Bytes, peek: &Peek) -> Result<Response<Body>, GatewayError> {
    let mut splice = Splice::default();
    if peek.max_output_tokens.is_none() {
        // The decoder reads whole requests, which have a cap; a count has none.
        splice.replace(peek.inside..peek.inside, "\"max_tokens\":1,");
    }
    let request = face.codec.decode_request(&splice.apply(body))?;
    // Counting a long prompt takes milliseconds, in which this thread would serve nobody else.
    let counting = tokio::task::spawn_blocking(move || tokens::count_request(&request));
    let input_tokens = counting.await.map_err(GatewayError::internal)?;
    let mut response = reply::json(StatusCode::OK, &json!({ "input_tokens": input_tokens }));
    response.headers_mut().insert(COST_BASIS, HeaderValue::from_static(Basis::Counted.name()));
    Ok(response)
}
