//! Server-sent events, both ways: cuts bytes into frames wherever the network cut them, and writes frames.
//!
//! Follows the WHATWG HTML standard, section 9.2: lines end in LF, CR or CRLF, a blank line ends a frame, a colon starts
//! a comment. A frame keeps its own bytes, so that relaying all frames relays the stream byte for byte.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// One frame: the bytes up to and including its blank line, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
    /// Where the name stands in `raw`.
    event: Option<Range<usize>>,
    data: Option<Data>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    /// On one line, which stands here in `raw`.
    At(Range<usize>),
    /// On several lines.
    Joined(Vec<u8>),
}

impl Frame {
    /// The frame as it arrived.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The same, without what was read of it.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// The `event:` field; `None` if absent or not UTF-8.
    pub fn event(&self) -> Option<&str> {
        std::str::from_utf8(self.raw.get(self.event.clone()?)?).ok()
    }

    /// The `data:` lines, joined with LF; `None` for a frame of comments or other fields only.
    pub fn data(&self) -> Option<&[u8]> {
        match self.data.as_ref()? {
            Data::At(at) => self.raw.get(at.clone()),
            Data::Joined(data) => Some(data),
        }
    }

    /// The frame's bytes with other data, which must hold no line break; line ends, comments and other fields stay.
    pub fn with_data(&self, data: &[u8]) -> Bytes {
        let Some(Data::At(at)) = &self.data else {
            let mut out = BytesMut::new();
            write(&mut out, self.event(), data);
            return out.freeze();
        };
        let before = self.raw.get(..at.start).unwrap_or_default();
        let behind = self.raw.get(at.end..).unwrap_or_default();
        [before, data, behind].concat().into()
    }

    fn read(raw: Bytes) -> Self {
        let mut event = None;
        let mut data = None;
        for line in lines(&raw) {
            let bytes = raw.get(line.clone()).unwrap_or_default();
            let colon = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
            let value = bytes.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let at = line.end - value.len()..line.end;
            match bytes.get(..colon).unwrap_or_default() {
                b"event" => event = Some(at),
                b"data" => {
                    data = Some(match data {
                        None => Data::At(at),
                        Some(Data::At(before)) => {
                            Data::Joined([raw.get(before).unwrap_or_default(), value].join(&b'\n'))
                        }
                        Some(Data::Joined(mut joined)) => {
                            joined.push(b'\n');
                            joined.extend_from_slice(value);
                            Data::Joined(joined)
                        }
                    });
                }
                _ => {}
            }
        }
        Self { raw, event, data }
    }
}

/// The stream holds a frame longer than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong;

/// Cuts a byte stream into frames. Whole frames in one chunk are sliced out of it without a copy.
#[derive(Debug)]
pub struct Framer {
    /// Bytes of frames not yet handed out.
    pending: BytesMut,
    /// The chunk being cut, while nothing is pending before it.
    chunk: Bytes,
    cap: usize,
    cut: Cut,
}

/// Where the search for a blank line stands, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    /// Bytes of the current frame already searched.
    searched: usize,
    /// Where the current line began.
    line_start: usize,
    /// The last byte searched was a CR that ended a line; a LF right after it belongs to it.
    after_cr: bool,
}

impl Framer {
    /// A framer that refuses frames longer than `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { pending: BytesMut::new(), chunk: Bytes::new(), cap, cut: Cut::default() }
    }

    /// Adds the next bytes of the stream. Take all frames with [`Framer::next_frame`] before pushing again.
    pub fn push(&mut self, chunk: Bytes) {
        if self.pending.is_empty() && self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        self.settle_chunk();
        self.pending.extend_from_slice(&chunk);
    }

    /// The next whole frame, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        let bytes: &[u8] = if self.chunk.is_empty() { &self.pending } else { &self.chunk };
        let Some(end) = self.cut.find_end(bytes) else {
            if bytes.len() > self.cap {
                return Err(FrameTooLong);
            }
            self.settle_chunk();
            return Ok(None);
        };
        if end > self.cap {
            return Err(FrameTooLong);
        }
        let raw = if self.chunk.is_empty() { self.pending.split_to(end).freeze() } else { self.chunk.split_to(end) };
        Ok(Some(Frame::read(raw)))
    }

    /// What is left when the stream ends: a last frame without its blank line.
    pub fn finish(&mut self) -> Option<Frame> {
        self.settle_chunk();
        let rest = self.pending.split().freeze();
        (!rest.is_empty()).then(|| Frame::read(rest))
    }

    fn settle_chunk(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.pending.extend_from_slice(&chunk);
    }
}

impl Cut {
    /// The length of the first frame, blank line included; keeps its place if there is none yet.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            if self.after_cr {
                if *bytes.get(self.searched)? == b'\n' {
                    self.searched += 1;
                    self.line_start = self.searched;
                }
                self.after_cr = false;
            }
            let rest = bytes.get(self.searched..).unwrap_or_default();
            let Some(offset) = memchr2(b'\n', b'\r', rest) else {
                self.searched = bytes.len();
                return None;
            };
            let at = self.searched + offset;
            let blank = at == self.line_start;
            let is_cr = rest.get(offset) == Some(&b'\r');
            self.searched = at + 1;
            self.line_start = at + 1;
            self.after_cr = is_cr;
            if !blank {
                continue;
            }
            // A LF that follows this CR, now or in the next chunk, belongs to this blank line; if it is here, take it.
            let mut end = at + 1;
            let mut pending_lf = is_cr;
            if is_cr && bytes.get(end) == Some(&b'\n') {
                end += 1;
                pending_lf = false;
            }
            *self = Self { searched: 0, line_start: 0, after_cr: pending_lf };
            return Some(end);
        }
    }
}

/// Appends a frame. `data` must hold no line break, which JSON written on one line never does.
pub fn write(out: &mut BytesMut, event: Option<&str>, data: &[u8]) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// The lines of a frame, without their ends and without a leading byte order mark.
fn lines(raw: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = if raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    std::iter::from_fn(move || {
        let rest = raw.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = start..start + length;
        start = line.end + 1;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The event name and the data of a frame.
    type Said = (Option<String>, Option<String>);

    /// What the chunks say, with the bytes of all frames joined.
    fn cut(chunks: &[&[u8]]) -> (Vec<Said>, Vec<u8>) {
        let mut framer = Framer::new(1 << 20);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(Bytes::copy_from_slice(chunk));
            while let Some(frame) = framer.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        frames.extend(framer.finish());
        let raw = frames.iter().flat_map(|frame| frame.raw().to_vec()).collect();
        let said = frames
            .iter()
            .map(|frame| {
                let data = frame.data().map(|data| String::from_utf8_lossy(data).into_owned());
                (frame.event().map(str::to_owned), data)
            })
            .filter(|said| *said != (None, None))
            .collect();
        (said, raw)
    }

    const STREAM: &[u8] = b"\xef\xbb\xbfdata: one\n\n: ping\n\nevent: e\r\ndata:two\r\ndata:  three\r\n\r\ndata: caf\xc3\xa9\r\rid: 7\ndata\n\ndata: last";

    #[test]
    fn frames_are_read_as_the_standard_says() {
        let (said, raw) = cut(&[STREAM]);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            said,
            [
                (None, text("one")),
                (text("e"), text("two\n three")),
                (None, text("café")),
                (None, text("")),
                (None, text("last")),
            ]
        );
        assert_eq!(raw, STREAM);
    }

    #[test]
    fn data_is_replaced_in_its_place() {
        let with = |raw: &'static str| Frame::read(Bytes::from(raw)).with_data(b"new");
        assert_eq!(
            with(": hi\r\nid:7\r\ndata:old\r\nretry: 1\r\n\r\n"),
            ": hi\r\nid:7\r\ndata:new\r\nretry: 1\r\n\r\n"
        );
        assert_eq!(with("data: old"), "data: new");
        assert_eq!(with("event: e\ndata: two\ndata: lines\n\n"), "event: e\ndata: new\n\n");
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_whether_or_not_it_ends() {
        let mut endless = Framer::new(8);
        endless.push(Bytes::from_static(b"data: 123456789"));
        assert_eq!(endless.next_frame(), Err(FrameTooLong));
        let mut ended = Framer::new(8);
        ended.push(Bytes::from_static(b"data: 123456789\n\n"));
        assert_eq!(ended.next_frame(), Err(FrameTooLong));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames_and_bytes(stream in proptest::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), Just(b'a'), Just(b't')], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let stream = [STREAM, &stream].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at * stream.len() / 60).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for at in cuts.into_iter().chain([stream.len()]) {
                chunks.push(&stream[from..at]);
                from = at;
            }
            let whole = cut(&[&stream]);
            let parts = cut(&chunks);
            prop_assert_eq!(&whole.0, &parts.0);
            prop_assert_eq!(whole.1, stream.clone());
            prop_assert_eq!(parts.1, stream);
        }
    }
}
