//! Any split of any bytes gives the same frames, and the frames together are the bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use waypost_wire::sse::{Frame, Framer};

fuzz_target!(|stream: &[u8]| {
    // Made of the bytes themselves, so that recorded streams are seeds as they are.
    let step = 1 + usize::from(stream.last().copied().unwrap_or_default() % 64);
    let whole = frames([stream].into_iter());
    let parts = frames(stream.chunks(step));
    assert_eq!(joined(&whole), stream);
    assert_eq!(joined(&parts), stream);
    assert_eq!(said(&whole), said(&parts));
});

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = Framer::new(usize::MAX);
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Ok(Some(frame)) = framer.next_frame() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    frames
}

fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw().to_vec()).collect()
}

fn said(frames: &[Frame]) -> Vec<(Option<&str>, &[u8])> {
    frames.iter().filter_map(|frame| frame.data().map(|data| (frame.event(), data))).collect()
}
