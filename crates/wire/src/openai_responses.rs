//! OpenAI Responses: what Codex and the OpenAI SDKs speak, and what newer OpenAI models prefer to be spoken to in.
//!
//! Decides how the neutral model looks in this dialect, in both directions; knows no vendor and keeps no history, so
//! requests that lean on stored responses are refused. Tests stand beside each part; fixtures are in `tests/golden/chat`.

mod answer;
mod decode_items;
mod decode_request;
mod encode_items;
mod encode_request;
mod error;
mod items;
mod peek;
mod response;
mod seal;
mod settings;
mod splice;
mod stream_decoder;
mod stream_encoder;
mod survey;

use bytes::Bytes;

use crate::chat::{Request, Response};
use crate::dialect::{
    AnswerSplice, ClientDialect, Decoded, Reply, StreamDecoder, StreamEncoder, Survey, Tap, Target, UpstreamDialect,
};
use crate::error::{Fault, RemoteError, WireError};
use crate::loss::Losses;
use crate::peek::Peek;

/// `POST /v1/responses`, stateless.
#[derive(Clone, Copy, Debug)]
pub struct OpenaiResponses;

impl Tap for OpenaiResponses {
    fn survey_response(&self, body: &[u8]) -> Result<Survey, WireError> {
        survey::survey(body)
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
}

impl UpstreamDialect for OpenaiResponses {
    fn encode_request(&self, request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes, WireError> {
        encode_request::encode(request, target, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError> {
        response::decode(body)
    }
}

impl ClientDialect for OpenaiResponses {
    fn peek(&self, body: &[u8]) -> Result<Peek, WireError> {
        peek::peek(body)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, WireError> {
        decode_request::decode(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
        answer::encode(response, reply, losses)
    }

    fn encode_error(&self, fault: &Fault<'_>) -> Bytes {
        error::encode(fault)
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }
}
