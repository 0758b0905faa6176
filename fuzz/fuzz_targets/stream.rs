//! No bytes make a stream decoder panic; any split gives the same events; every dialect's encoder says them; and a
//! stream that did not end well is never given an end.
#![no_main]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use waypost_wire::Dialect;
use waypost_wire::chat::Request;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::{Face, Reply};
use waypost_wire::error::Fault;
use waypost_wire::sse::Framer;

fuzz_target!(|stream: &[u8]| {
    // Made of the bytes themselves, so that recorded streams are seeds as they are.
    let step = 1 + usize::from(stream.last().copied().unwrap_or_default() % 64);
    for dialect in Dialect::ALL {
        let whole = events(dialect, [stream].into_iter());
        let parts = events(dialect, stream.chunks(step));
        assert_eq!(whole, parts);
        let (events, ended) = whole;
        if !ended {
            assert!(!events.contains(&Event::Done));
        }
        for face in Face::ALL {
            let request = Arc::new(Request::default());
            let reply = Reply { id: "r".into(), created: 1, model: "m".into(), include_usage: true, input_estimate: 1, request };
            let mut encoder = face.codec.stream_encoder(reply);
            let mut out = BytesMut::new();
            events.iter().for_each(|event| encoder.event(event, &mut out));
            if !ended {
                encoder.error(&FAULT, &mut out);
            }
            told(&out, ended);
        }
    }
});

const FAULT: Fault<'static> = Fault {
    status: 502,
    openai_type: "server_error",
    openai_code: None,
    anthropic_type: "api_error",
    gemini_status: "UNAVAILABLE",
    message: "it broke",
    param: None,
    request_id: "r",
};

/// What callers get is JSON, and has no mark of success unless the stream ended well.
fn told(out: &[u8], ended: bool) {
    let mut framer = Framer::new(usize::MAX);
    framer.push(Bytes::copy_from_slice(out));
    while let Ok(Some(frame)) = framer.next_frame() {
        let data = frame.data().expect("every frame has data");
        let mark = matches!(frame.event(), Some("message_stop" | "response.completed" | "response.incomplete"));
        assert!(ended || !(mark || data == b"[DONE]"), "a broken stream is told as a success");
        if data != b"[DONE]" {
            serde_json::from_slice::<Value>(data).expect("every frame is JSON");
        }
    }
}

/// The events, and whether the stream ended well.
fn events<'a>(dialect: Dialect, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let mut framer = Framer::new(usize::MAX);
    let mut decoder = dialect.codec().stream_decoder();
    let mut events = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Ok(Some(frame)) = framer.next_frame() {
            if decoder.frame(&frame, &mut events).is_err() {
                return (events, false);
            }
            if events.iter().any(|event| matches!(event, Event::Done | Event::Error(_))) {
                let ended = events.contains(&Event::Done);
                return (events, ended);
            }
        }
    }
    if let Some(frame) = framer.finish()
        && decoder.frame(&frame, &mut events).is_err()
    {
        return (events, false);
    }
    let ended = decoder.end(&mut events).is_ok() && events.contains(&Event::Done);
    (events, ended)
}
