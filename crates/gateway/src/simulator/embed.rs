//! Simulated embeddings, in OpenAI's format: unit vectors that are closer the more words two texts share.
//! Pure: bytes in, a document out. Tests are below.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waypost_wire::WireError;

use crate::tokens;

/// As long as those of OpenAI's small model, so that existing vector columns fit.
const DIMENSIONS: u64 = 1_536;
const MOST_DIMENSIONS: u64 = 4_096;
/// As many inputs as OpenAI takes.
const MOST_INPUTS: usize = 2_048;

/// The answer to an embeddings request.
pub(crate) fn answer(body: &[u8]) -> Result<Value, WireError> {
    let request: Value = parse(body)?;
    let inputs = inputs(&request["input"])?;
    let dimensions = dimensions(&request["dimensions"])?;
    let packed = match request["encoding_format"].as_str() {
        Some("base64") => true,
        Some("float") => false,
        None if request["encoding_format"].is_null() => false,
        _ => return Err(WireError::invalid("encoding_format", "encoding_format must be \"float\" or \"base64\"")),
    };
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = input.vector(dimensions);
        let embedding = if packed { pack(&vector) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let data: Vec<Value> = data.collect();
    let used: u64 = inputs.iter().map(Input::tokens).sum();
    Ok(json!({
        "object": "list",
        "data": data,
        "model": request["model"],
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }))
}

pub(crate) fn parse(body: &[u8]) -> Result<Value, WireError> {
    serde_json::from_slice(body)
        .map_err(|error| WireError::Syntax { at: offset(body, &error), message: "this is not JSON" })
}

/// Where in the body the error's line and column are.
fn offset(body: &[u8], error: &serde_json::Error) -> usize {
    let lines = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// One text to embed, or the token ids of one.
enum Input {
    Text(String),
    Ids(Vec<u64>),
}

impl Input {
    fn of_ids(ids: &[Value]) -> Option<Self> {
        let ids: Option<Vec<u64>> = ids.iter().map(Value::as_u64).collect();
        ids.filter(|ids| !ids.is_empty()).map(Self::Ids)
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if !text.is_empty() => Some(Self::Text(text.clone())),
            Value::Array(ids) => Self::of_ids(ids),
            _ => None,
        }
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens::count(text),
            Self::Ids(ids) => ids.len() as u64,
        }
    }

    /// The sum of one pseudo-random vector for each word, brought to length one.
    fn vector(&self, dimensions: usize) -> Vec<f32> {
        let mut sum = vec![0.0_f64; dimensions];
        match self {
            Self::Text(text) => {
                for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                    add_word(&mut sum, word.to_lowercase().as_bytes());
                }
                // Texts without words, and all texts a little, are told apart by what they are as a whole.
                add_word(&mut sum, text.as_bytes());
            }
            Self::Ids(ids) => ids.iter().for_each(|id| add_word(&mut sum, &id.to_le_bytes())),
        }
        let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        sum.iter().map(|value| (value / length) as f32).collect()
    }
}

fn inputs(value: &Value) -> Result<Vec<Input>, WireError> {
    let one = |value: &Value| Input::of(value);
    let inputs = match value {
        Value::Array(items) if items.first().is_some_and(Value::is_number) => one(value).map(|input| vec![input]),
        Value::Array(items) => items.iter().map(one).collect(),
        _ => one(value).map(|input| vec![input]),
    };
    let inputs = inputs.filter(|inputs| (1..=MOST_INPUTS).contains(&inputs.len()));
    let wanted = "input must be a text, an array of token ids, or an array of up to 2048 of either, none of them empty";
    inputs.ok_or_else(|| WireError::invalid("input", wanted))
}

fn dimensions(value: &Value) -> Result<usize, WireError> {
    let dimensions = if value.is_null() { Some(DIMENSIONS) } else { value.as_u64() };
    let dimensions = dimensions.filter(|count| (1..=MOST_DIMENSIONS).contains(count));
    let dimensions = dimensions.and_then(|count| usize::try_from(count).ok());
    dimensions.ok_or_else(|| WireError::invalid("dimensions", "dimensions must be a whole number from 1 to 4096"))
}

/// Adds the word's own direction: SplitMix64 from a hash of the word, one number for each dimension.
fn add_word(sum: &mut [f64], word: &[u8]) {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut state = word.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    for value in sum {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        *value += (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
    }
}

/// Little-endian 32-bit floats in base64, as OpenAI packs them.
fn pack(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(request: Value) -> Vec<Vec<f64>> {
        let answer = answer(request.to_string().as_bytes()).expect("an answer");
        let vectors = answer["data"].as_array().expect("data").iter();
        let numbers =
            |item: &Value| item["embedding"].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
        vectors.map(numbers).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_length_one_and_the_dimensions_asked_for() {
        for (dimensions, expected) in [(json!(null), 1_536), (json!(3), 3), (json!(4_096), 4_096)] {
            let vectors = embedded(json!({"model": "sim/embed", "input": "hello", "dimensions": dimensions}));
            assert_eq!(vectors[0].len(), expected);
            assert!((dot(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn texts_that_share_words_are_closer() {
        let vectors =
            embedded(json!({"model": "sim/embed", "input": ["the red cat", "The red dog!", "stock prices fell"]}));
        assert!(dot(&vectors[0], &vectors[1]) > 0.3);
        assert!(dot(&vectors[0], &vectors[2]).abs() < 0.2);
    }

    #[test]
    fn base64_holds_the_same_numbers_as_float() {
        let float = embedded(json!({"model": "m", "input": "hello", "dimensions": 2}));
        let packed =
            answer(br#"{"model":"m","input":"hello","dimensions":2,"encoding_format":"base64"}"#).expect("an answer");
        let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().expect("text")).expect("base64");
        let numbers: Vec<f32> =
            bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect();
        let expected: Vec<f32> = float[0].iter().map(|value| *value as f32).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn usage_is_the_tokens_of_all_inputs() {
        let texts = answer(br#"{"model":"m","input":["hello world","hello"]}"#).expect("an answer");
        assert_eq!(texts["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
        let ids = answer(br#"{"model":"m","input":[[1,2,3],[4]]}"#).expect("an answer");
        assert_eq!(ids["usage"]["total_tokens"], 4);
        assert_eq!(ids["data"].as_array().map(Vec::len), Some(2));
        let one = answer(br#"{"model":"m","input":[1,2,3]}"#).expect("an answer");
        assert_eq!(one["data"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_cannot_be_embedded_is_refused_by_name() {
        for (body, param) in [
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":""}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "input"),
            (r#"{"model":"m","input":["a",""]}"#, "input"),
            (r#"{"model":"m","input":["a",1]}"#, "input"),
            (r#"{"model":"m","input":"a","dimensions":0}"#, "dimensions"),
            (r#"{"model":"m","input":"a","dimensions":"3"}"#, "dimensions"),
            (r#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format"),
        ] {
            assert_eq!(answer(body.as_bytes()).expect_err(body).param(), Some(param), "{body}");
        }
        assert!(matches!(answer(b"{\n  x"), Err(WireError::Syntax { at: 4, .. })));
    }
}
