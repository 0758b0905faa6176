//! OpenAI Chat Completions, as callers speak it and as OpenAI and the vendors that follow it answer.
//!
//! Decides how this dialect maps to the neutral model and back. Knows no vendor: what they accept comes as
//! [`Traits`](crate::dialect::Traits), and their odd answers are read wherever they come from. Tests stand beside the code.

mod answer;
mod content;
mod decode_request;
mod encode_request;
mod encode_response;
mod error;
mod glance;
mod peek;
mod reasoning;
mod response;
pub(crate) mod splice;
pub(crate) mod stream_decoder;
mod stream_encoder;
pub(crate) mod survey;
mod usage;

use bytes::Bytes;

use crate::chat::{Request, Response, Usage};
use crate::dialect::{
    AnswerSplice, ClientDialect, Decoded, Reply, StreamDecoder, StreamEncoder, Survey, Tap, Target, UpstreamDialect,
};
use crate::error::{Fault, RemoteError, WireError};
use crate::loss::Losses;
use crate::peek::Peek;

pub(crate) use error::told;
pub(crate) use usage::{Reported, lenient};

/// What ends a stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// `POST /v1/chat/completions`.
#[derive(Clone, Copy, Debug)]
pub struct OpenaiChat;

impl Tap for OpenaiChat {
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

    fn terminal_mark(&self) -> &'static [u8] {
        DONE
    }
}

impl UpstreamDialect for OpenaiChat {
    fn encode_request(&self, request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes, WireError> {
        encode_request::encode(request, target, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError> {
        response::decode(body)
    }
}

impl ClientDialect for OpenaiChat {
    fn peek(&self, body: &[u8]) -> Result<Peek, WireError> {
        peek::peek(body)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, WireError> {
        decode_request::decode(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
        encode_response::encode(response, reply, losses)
    }

    fn encode_error(&self, fault: &Fault<'_>) -> Bytes {
        error::encode(fault)
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }

    fn usage_frame(&self, reply: &Reply, id: Option<&str>, usage: &Usage) -> Option<Bytes> {
        Some(stream_encoder::usage_frame(reply, id, usage))
    }
}
