//! The Anthropic Messages dialect, as applications speak it (API versions 2023-06-01 and 2026-10-21) and as upstreams do.
//!
//! Knows the format only: which version, beta headers and account apply is settled above. Source: Anthropic's Messages API
//! reference and the types of its official SDK. Tests stand beside each part; recorded bodies are in `tests/golden/chat/anthropic`.

mod blocks;
mod decode_request;
mod encode_request;
mod error;
mod finish;
mod lenient;
mod peek;
mod response;
mod splice;
mod stream_decoder;
mod stream_encoder;
mod usage;

use bytes::Bytes;

use crate::chat::{Request, Response};
use crate::dialect::{
    AnswerSplice, ClientDialect, Decoded, Reply, StreamDecoder, StreamEncoder, Survey, Tap, Target, UpstreamDialect,
};
use crate::error::{Fault, RemoteError, WireError};
use crate::loss::Losses;
use crate::peek::Peek;

pub use peek::peek_count_tokens;
pub use stream_encoder::PING;

/// Anthropic Messages.
///
/// Two things a request may ask for have no native form on some targets and are carried by tools with reserved names:
/// a JSON schema by the forced tool `waypost_json_response`, a free-text tool `x` by the function `waypost_custom_x`.
/// Decoding an answer recognises the names and gives back text or a custom call, streamed or not; callers do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl UpstreamDialect for Anthropic {
    fn encode_request(&self, request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes, WireError> {
        encode_request::encode(request, target, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError> {
        response::decode(body)
    }
}

impl Tap for Anthropic {
    fn survey_response(&self, body: &[u8]) -> Result<Survey, WireError> {
        response::survey(body)
    }

    fn decode_error(&self, body: &[u8]) -> RemoteError {
        error::decode(body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream_decoder::Decoder::default())
    }

    fn splice_answer(&self, json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
        splice::answer(json, splice)
    }

    fn terminal_mark(&self) -> &'static [u8] {
        b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    }
}

impl ClientDialect for Anthropic {
    fn peek(&self, body: &[u8]) -> Result<Peek, WireError> {
        peek::peek(body)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, WireError> {
        decode_request::decode(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
        response::encode(response, reply, losses)
    }

    fn encode_error(&self, fault: &Fault<'_>) -> Bytes {
        error::encode(fault)
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }
}
