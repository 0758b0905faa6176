//! The recorded bytes, and how a stream of them is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use waypost_wire::chat::Request;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::{Reply, Tap};
use waypost_wire::sse::{Frame, Framer};
use waypost_wire::{Dialect, WireError};

/// One file under `tests/golden/<operation>/<dialect>`.
pub(crate) struct Fixture {
    pub(crate) case: String,
    pub(crate) bytes: Bytes,
}

/// The fixtures of one dialect whose names end in `kind` (`.request.json`, `.response.json`, `.sse`), by name.
pub(crate) fn chat(dialect: Dialect, kind: &str) -> Vec<Fixture> {
    operation(&format!("chat/{}", dialect.name()), kind)
}

/// The fixtures in a folder under `tests/golden`; none if there is no such folder.
pub(crate) fn operation(folder: &str, kind: &str) -> Vec<Fixture> {
    let folder = root().join(folder);
    let mut fixtures: Vec<Fixture> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let case = name.strip_suffix(kind)?.to_owned();
            Some(Fixture { case, bytes: fs::read(entry.path()).unwrap().into() })
        })
        .collect();
    fixtures.sort_by(|one, other| one.case.cmp(&other.case));
    fixtures
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// How answers are dressed in all tests.
pub(crate) fn reply() -> Reply {
    Reply {
        id: "0196f2".to_owned(),
        created: 1_800_000_000,
        model: "asked-for".to_owned(),
        include_usage: true,
        input_estimate: 7,
        request: Arc::new(Request { model: "asked-for".to_owned(), ..Request::default() }),
    }
}

/// The frames of a stream that arrives in these chunks.
pub(crate) fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 24);
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    frames
}

/// The events of a stream, and how its reading ended. As in a relay, nothing is read behind `Done` or an error.
pub(crate) fn read(tap: &dyn Tap, frames: &[Frame]) -> (Vec<Event>, Result<(), WireError>) {
    let mut decoder = tap.stream_decoder();
    let mut events = Vec::new();
    for frame in frames {
        if let Err(error) = decoder.frame(frame, &mut events) {
            return (events, Err(error));
        }
        if events.iter().any(|event| matches!(event, Event::Done | Event::Error(_))) {
            return (events, Ok(()));
        }
    }
    let end = decoder.end(&mut events);
    (events, end)
}
