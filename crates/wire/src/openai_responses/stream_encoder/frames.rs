//! Spells events and numbers them. Decides the order of an event's fields and nothing else.
//! Tested through the stream encoder.

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;

use crate::sse;

/// One event's fields, as far as it has them.
#[derive(Clone, Default, Serialize)]
pub(super) struct Body<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotation: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<&'a [Value]>,
}

/// Numbers events and writes them.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) sequence: u64,
    pub(super) scratch: Vec<u8>,
}

impl Frames {
    pub(super) fn send(&mut self, out: &mut BytesMut, mut body: Body<'_>) {
        body.sequence_number = self.sequence;
        self.sequence = self.sequence.saturating_add(1);
        self.scratch.clear();
        // Writing plain data to memory cannot fail.
        if serde_json::to_writer(&mut self.scratch, &body).is_ok() {
            sse::write(out, Some(body.kind), &self.scratch);
        }
    }
}

/// An event of the one summary of a reasoning item.
pub(super) fn summary<'a>(kind: &'static str, id: &'a str, index: usize) -> Body<'a> {
    Body { kind, item_id: Some(id), output_index: Some(index), summary_index: Some(0), ..Body::default() }
}
