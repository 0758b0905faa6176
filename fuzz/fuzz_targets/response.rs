//! Any answer that one dialect accepts is said in every other without a panic; what is said is JSON. Splicing an answer
//! leaves JSON as well.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use waypost_wire::Dialect;
use waypost_wire::chat::{Request, Usage};
use waypost_wire::dialect::{AnswerSplice, Decoded, Face, Reply};
use waypost_wire::loss::Losses;

fuzz_target!(|body: &[u8]| {
    let request = Arc::new(Request::default());
    let reply = Reply { id: "r".into(), created: 1, model: "m".into(), include_usage: true, input_estimate: 1, request };
    for dialect in Dialect::ALL {
        let codec = dialect.codec();
        let _ = codec.survey_response(body);
        let _ = codec.decode_error(body);
        let usage = Usage { input: Some(1), output: Some(2), ..Usage::default() };
        let splice = AnswerSplice { model: Some("asked \"for\""), hide_usage: true, usage: Some(&usage) };
        if let Some(spliced) = codec.splice_answer(body, &splice).filter(|spliced| !spliced.is_empty())
            && serde_json::from_slice::<Value>(body).is_ok()
        {
            serde_json::from_slice::<Value>(&spliced).expect("a spliced answer is JSON");
        }
        let Ok(Decoded::Response(response)) = codec.decode_response(body) else { continue };
        for face in Face::ALL {
            let said = face.codec.encode_response(&response, &reply, &mut Losses::default());
            serde_json::from_slice::<Value>(&said).expect("an encoded answer is JSON");
        }
    }
});
