//! No body makes a peek panic; what it accepts is JSON, and the ranges it gives are the values it read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use waypost_wire::dialect::Face;
use waypost_wire::{anthropic, completions, embeddings};

fuzz_target!(|body: &[u8]| {
    let peeks = Face::ALL.iter().map(|face| face.codec.peek(body));
    let smaller = [anthropic::peek_count_tokens(body), completions::peek(body), embeddings::peek(body)];
    for peek in peeks.chain(smaller).flatten() {
        if let (Some(model), Some(range)) = (&peek.model, &peek.model_at) {
            let written: Value = serde_json::from_slice(&body[range.clone()]).expect("the model's range holds JSON");
            assert_eq!(written, Value::from(model.as_str()));
        }
        assert_eq!(body[peek.inside - 1], b'{');
    }
});
