//! Any request that one dialect accepts is said, or refused, in every other without a panic; what is said is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use waypost_wire::Dialect;
use waypost_wire::dialect::{Face, Target, ThinkingStyle, Traits};
use waypost_wire::loss::Losses;

fuzz_target!(|body: &[u8]| {
    for face in Face::ALL {
        let Ok(request) = face.codec.decode_request(body) else { continue };
        for dialect in Dialect::ALL {
            for thinking in [ThinkingStyle::Adaptive, ThinkingStyle::Budget] {
                let traits = Traits { thinking, json_schema: false, ..Traits::default() };
                let mut losses = Losses::default();
                let target = Target { model: "m", traits: &traits };
                if let Ok(said) = dialect.codec().encode_request(&request, &target, &mut losses) {
                    serde_json::from_slice::<Value>(&said).expect("an encoded request is JSON");
                }
            }
        }
    }
});
