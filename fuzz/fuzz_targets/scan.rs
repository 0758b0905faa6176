//! The scanner accepts exactly what serde_json accepts, and `find` agrees with a parsed document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use waypost_wire::scan::Scanner;
use waypost_wire::splice;

fuzz_target!(|body: &[u8]| {
    let scanned = Scanner::document(body, |scanner| scanner.skip());
    let parsed = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
    // Numbers beyond a double's range are JSON, but no serde_json value; lone surrogates are neither text nor value.
    if parsed.is_some() {
        assert!(scanned.is_ok());
    }
    if let (Ok(Some(range)), Some(document)) = (splice::find(body, &["model"]), parsed) {
        let found: Value = serde_json::from_slice(&body[range]).expect("a found value is JSON");
        assert_eq!(Some(&found), document.get("model"));
    }
});
