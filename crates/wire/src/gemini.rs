//! Google Gemini `generateContent`, as upstreams speak it: requests are written, answers and streams are read.
//! Decides what each neutral field becomes there; knows no URL but the path of the method, and no key. Tests stand beside
//! each part and read `tests/golden/chat/gemini`. Source: <https://ai.google.dev/api/generate-content>.

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
use crate::dialect::{AnswerSplice, Decoded, StreamDecoder, Survey, Target, UpstreamDialect};
use crate::error::{RemoteError, WireError};
use crate::loss::Losses;
use crate::splice::{self, Splice};

/// The dialect. The model's name and the wish to stream are in the path, so callers also need [`path`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl UpstreamDialect for Gemini {
    fn encode_request(
        &self,
        request: &Request,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<Bytes, WireError> {
        request::encode(request, target.traits, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Decoded, WireError> {
        response::decode(body)
    }

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

/// The path and query of a call, to be put behind the API version: `models/{model}:generateContent`, or
/// `:streamGenerateContent?alt=sse`. The model is percent-encoded, so that no name can leave its place; the collections
/// `models/` and `tunedModels/` may stand before it.
pub fn path(model: &str, stream: bool) -> String {
    let (collection, name) = match model.split_once('/') {
        Some((collection @ ("models" | "tunedModels"), name)) => (collection, name),
        Some(_) | None => ("models", model),
    };
    let method = if stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    format!("{collection}/{}:{method}", percent_encoded(name))
}

/// Everything but RFC 3986's unreserved characters is encoded.
fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_method_and_keeps_the_model_in_its_place() {
        assert_eq!(
            path("gemini-3-pro", false),
            "models/gemini-3-pro:generateContent"
        );
        assert_eq!(
            path("models/gemini-2.5-flash", true),
            "models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            path("tunedModels/mine", false),
            "tunedModels/mine:generateContent"
        );
        assert_eq!(
            path("../x?key=ä:b#", false),
            "models/..%2Fx%3Fkey%3D%C3%A4%3Ab%23:generateContent"
        );
    }

    #[test]
    fn only_the_model_version_is_respelled_and_only_if_it_differs() {
        let json = br#"{"candidates":[{"index":0}],"modelVersion":"gemini-3-pro", "x":1e0}"#;
        let named = |model| AnswerSplice {
            model: Some(model),
            hide_usage: true,
        };
        assert_eq!(
            Gemini.splice_answer(json, &named("mine")).unwrap(),
            &br#"{"candidates":[{"index":0}],"modelVersion":"mine", "x":1e0}"#[..]
        );
        assert_eq!(Gemini.splice_answer(json, &named("gemini-3-pro")), None);
        assert_eq!(Gemini.splice_answer(b"{}", &named("mine")), None);
        assert_eq!(Gemini.splice_answer(json, &AnswerSplice::default()), None);
    }
}
