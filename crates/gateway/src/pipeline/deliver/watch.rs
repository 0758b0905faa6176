//! Reads the usage that an answer tells about itself, while it passes through. Knows only that it is a JSON object, or a stream of
//! them, with `usage` at its top, and keeps nothing else: the rest may be pictures. Tests are below.

use memchr::memchr2;
use serde_json::Value;
use waypost_wire::chat::Usage;

const WORD: &[u8] = b"usage";
/// A `usage` object may have so many bytes.
const LONGEST: usize = 4096;

/// Watches an answer go by.
#[derive(Default)]
pub(super) struct Watch {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The string that was begun last, as far as it can be the word.
    word: Vec<u8>,
    step: Step,
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Seeking,
    /// The word was read, and what follows is its value.
    Named,
    /// In the value.
    Keeping,
}

impl Watch {
    /// Reads on; answers a usage that ended here.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Option<Usage> {
        let mut told = None;
        while let Some((byte, rest)) = bytes.split_first() {
            // A picture is one string of megabytes.
            if self.in_string && !self.escaped && self.step != Step::Keeping {
                let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                let room = (WORD.len() + 1).saturating_sub(self.word.len());
                self.word.extend(bytes.iter().take(plain.min(room)));
                if plain > 0 {
                    bytes = bytes.get(plain..).unwrap_or_default();
                    continue;
                }
            }
            bytes = rest;
            told = self.byte(*byte).or(told);
        }
        told
    }

    fn byte(&mut self, byte: u8) -> Option<Usage> {
        if self.step == Step::Keeping {
            self.kept.push(byte);
            if self.kept.len() > LONGEST {
                self.step = Step::Seeking;
            }
        }
        if self.in_string {
            let escaped = std::mem::replace(&mut self.escaped, false);
            self.escaped = !escaped && byte == b'\\';
            self.in_string = escaped || byte != b'"';
            return None;
        }
        match byte {
            // What stands between the objects of a stream is no JSON.
            b'"' if self.depth > 0 => {
                self.in_string = true;
                self.word.clear();
            }
            b'{' if self.depth == 1 && self.step == Step::Named => {
                self.depth = 2;
                self.step = Step::Keeping;
                self.kept = vec![byte];
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 1 && self.step == Step::Keeping {
                    self.step = Step::Seeking;
                    return usage(&self.kept);
                }
            }
            b':' if self.depth == 1 && self.word == WORD => self.step = Step::Named,
            b',' if self.step == Step::Named => self.step = Step::Seeking,
            _ => {}
        }
        None
    }
}

/// Tokens, as pictures and transcripts tell them. A duration is no tokens.
fn usage(object: &[u8]) -> Option<Usage> {
    let object: Value = serde_json::from_slice(object).ok()?;
    let count = |value: &Value, names: [&str; 2]| names.iter().find_map(|name| value.get(name)?.as_u64());
    let detail = |names: [&str; 2], count: &str| names.iter().find_map(|name| object.get(name)?.get(count)?.as_u64());
    let inputs = ["input_tokens_details", "input_token_details"];
    let usage = Usage {
        input: count(&object, ["input_tokens", "prompt_tokens"]),
        output: count(&object, ["output_tokens", "completion_tokens"]),
        cache_read: detail(inputs, "cached_tokens"),
        audio_input: detail(inputs, "audio_tokens"),
        audio_output: detail(["output_tokens_details", "output_token_details"], "audio_tokens"),
        ..Usage::default()
    };
    (usage.input.is_some() || usage.output.is_some()).then_some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last usage told, whatever the pieces.
    fn told(answer: &str) -> Option<(Option<u64>, Option<u64>)> {
        let of = |size: usize| {
            let mut watch = Watch::default();
            answer.as_bytes().chunks(size).fold(None, |told, piece| watch.see(piece).or(told))
        };
        let whole = of(answer.len());
        for size in 1..answer.len() {
            assert_eq!(of(size), whole, "{size}");
        }
        whole.map(|usage| (usage.input, usage.output))
    }

    #[test]
    fn usage_at_the_top_is_read_wherever_a_piece_ends() {
        let painted = r#"{"created":1,"data":[{"b64_json":"aGk\"=","usage":{"input_tokens":9}}],"quality":"high", "usage" : {"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}"#;
        assert_eq!(told(painted), Some((Some(50), Some(50))));
        let heard = r#"{"text":"\\\"usage\": {\"input_tokens\":1}","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#;
        assert_eq!(told(heard), Some((Some(14), Some(45))));
        let mut watch = Watch::default();
        assert_eq!(watch.see(heard.as_bytes()).unwrap().audio_input, Some(14));
    }

    #[test]
    fn a_stream_tells_it_in_its_last_event() {
        let stream = "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"aaaa\",\"usage\":null}\n\n\
                      event: image_generation.completed\ndata: {\"b64_json\":\"bbbb\",\"usage\":{\"input_tokens\":7,\"output_tokens\":8}}\n\ndata: [DONE]\n\n";
        assert_eq!(told(stream), Some((Some(7), Some(8))));
    }

    #[test]
    fn what_tells_no_tokens_tells_nothing() {
        for answer in [
            r#"{"text":"hi","usage":{"type":"duration","seconds":3}}"#,
            r#"{"usage":null,"a":{"input_tokens":1}}"#,
            r#"{"data":[{"usage":{"input_tokens":1}}]}"#,
            r#"["usage",{"input_tokens":1}]"#,
            "usage: {\"input_tokens\":1}",
            "RIFF\u{1}\"{{{",
        ] {
            assert_eq!(told(answer), None, "{answer}");
        }
        let long = format!(r#"{{"usage":{{"x":"{}","input_tokens":1}}}}"#, "a".repeat(LONGEST));
        let mut watch = Watch::default();
        assert_eq!(watch.see(long.as_bytes()), None);
    }
}
