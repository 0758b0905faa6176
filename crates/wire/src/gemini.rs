//! Google Gemini `generateContent`, as upstreams speak it: requests are written, answers and streams are read.
//! Decides what each neutral field becomes there; knows no URL and no key. Tests stand beside each part and read
//! `tests/golden/chat/gemini`. Source: <https://ai.google.dev/api/generate-content>.

mod call_ids;
mod error;
mod grounding;
mod logprobs;
mod part;
mod piece;
mod request;
mod response;
mod stream;
mod usage;

use bytes::Bytes;

use crate::chat::Request;
use crate::dialect::{AnswerSplice, Decoded, StreamDecoder, Survey, Tap, Target, UpstreamDialect};
use crate::error::{RemoteError, WireError};
use crate::loss::Losses;
use crate::splice::{self, Splice};

/// The dialect. The model's name and the wish to stream are not in the body: the URL's path says both.
///
/// A free-text tool `x` has no native form; it is offered as the function `waypost_custom_x`, and decoding an answer gives
/// back a custom call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl UpstreamDialect for Gemini {
    fn encode_request(&self, request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes, WireError> {
        request::encode(request, target.traits, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError> {
        response::decode(body)
    }
}

impl Tap for Gemini {
    fn survey_response(&self, body: &[u8]) -> Result<Survey, WireError> {
        response::survey(body)
    }

    fn decode_error(&self, body: &[u8]) -> RemoteError {
        error::decode(body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn splice_answer(&self, json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
        let quoted = splice::quoted(splice.model?);
        let range = splice::find(json, &["modelVersion"]).ok()??;
        if json.get(range.clone()) == Some(quoted.as_bytes()) {
            return None;
        }
        let mut edits = Splice::default();
        edits.replace(range, quoted);
        Some(edits.apply(&Bytes::copy_from_slice(json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_version_is_respelled_and_only_if_it_differs() {
        let json = br#"{"candidates":[{"index":0}],"modelVersion":"gemini-3-pro", "x":1e0}"#;
        let named = |model| AnswerSplice { model: Some(model), hide_usage: true, usage: None };
        assert_eq!(
            Gemini.splice_answer(json, &named("mine")).unwrap(),
            &br#"{"candidates":[{"index":0}],"modelVersion":"mine", "x":1e0}"#[..]
        );
        assert_eq!(Gemini.splice_answer(json, &named("gemini-3-pro")), None);
        assert_eq!(Gemini.splice_answer(b"{}", &named("mine")), None);
        assert_eq!(Gemini.splice_answer(json, &AnswerSplice::default()), None);
    }
}
