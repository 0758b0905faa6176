//! No bytes make a stream decoder panic; any split gives the same events; every dialect's encoder says them; and a
//! stream that did not end well is never given an end.
#![no_main]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use waypost_wire::Dialect;
use waypost_wire::chat::Request;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::{Face, Reply};
use waypost_wire::sse::Framer;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (step, stream) = input;
    for dialect in Dialect::ALL {
        let whole = events(dialect, [&stream[..]].into_iter());
        let parts = events(dialect, stream.chunks(usize::from(step) + 1));
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
        }
    }
});

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
