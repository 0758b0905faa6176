//! `generationConfig`: how the answer is sampled, shaped and cut. Tests: `request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, put, put_list, put_object, thinking, unsupported};
use crate::chat::{Logprobs, Request, ResponseFormat, Sampling};
use crate::dialect::Traits;
use crate::loss::Losses;

/// How many stop strings the API takes.
const MAX_STOPS: usize = 5;

/// How many answers the API gives at once.
const MAX_CANDIDATES: u64 = 8;

/// The API's seed is a signed number of 32 bits.
const SEEDS: i64 = 1 << 31;

/// The format of the sound the API answers with, which cannot be chosen.
const SPOKEN_FORMAT: &str = "pcm16";

/// Writes the object, empty if the request asks for nothing special.
pub(super) fn write(request: &Request, traits: &Traits, losses: &mut Losses) -> Result<Map<String, Value>> {
    let mut config = Map::new();
    put_list(&mut config, "stopSequences", stop(request)?);
    response_format(request.response_format.as_ref(), &mut config, losses);
    put(&mut config, "candidateCount", candidates(request)?);
    put(&mut config, "maxOutputTokens", max_output_tokens(request, traits, losses));
    sampling(&request.sampling, &mut config, losses);
    logprobs(request.logprobs, &mut config);
    if let Some(audio) = &request.audio_output {
        speech(audio, &mut config, losses)?;
    }
    put_object(&mut config, "thinkingConfig", thinking::write(request.thinking.as_ref(), traits.thinking, losses));
    Ok(config)
}

fn stop(request: &Request) -> Result<Vec<Value>> {
    if request.stop.len() > MAX_STOPS {
        return Err(unsupported("stop", "this model takes at most 5 stop strings"));
    }
    Ok(request.stop.iter().map(|stop| stop.as_str().into()).collect())
}

fn response_format(format: Option<&ResponseFormat>, config: &mut Map<String, Value>, losses: &mut Losses) {
    let schema = match format {
        None | Some(ResponseFormat::Text) => return,
        Some(ResponseFormat::JsonObject) => None,
        Some(ResponseFormat::JsonSchema { description, schema, .. }) => {
            if description.is_some() {
                losses.dropped("response_format.json_schema.description");
            }
            Some(schema.clone())
        }
    };
    config.insert("responseMimeType".to_owned(), "application/json".into());
    put(config, "responseJsonSchema", schema);
}

fn candidates(request: &Request) -> Result<Option<u64>> {
    match request.n {
        Some(n) if n > MAX_CANDIDATES => Err(unsupported("n", "this model gives at most 8 answers for a request")),
        // One is the default, and models that give no more refuse the field.
        n => Ok(n.filter(|n| *n > 1)),
    }
}

fn max_output_tokens(request: &Request, traits: &Traits, losses: &mut Losses) -> Option<u64> {
    let wanted = request.max_output_tokens?;
    let most = traits.max_output_tokens.unwrap_or(u64::MAX);
    if wanted > most {
        losses.clamped("max_tokens");
    }
    Some(wanted.min(most))
}

fn sampling(wanted: &Sampling, config: &mut Map<String, Value>, losses: &mut Losses) {
    put(config, "temperature", wanted.temperature);
    put(config, "topP", wanted.top_p);
    put(config, "topK", wanted.top_k);
    if wanted.seed.is_some_and(|seed| !(-SEEDS..SEEDS).contains(&seed)) {
        losses.emulated("seed");
    }
    put(config, "seed", wanted.seed.map(seed));
    put(config, "presencePenalty", wanted.presence_penalty);
    put(config, "frequencyPenalty", wanted.frequency_penalty);
}

/// A seed only has to be the same each time, so one that is too large is folded into the range.
fn seed(wanted: i64) -> i64 {
    if (-SEEDS..SEEDS).contains(&wanted) { wanted } else { wanted.rem_euclid(SEEDS) }
}

fn logprobs(wanted: Option<Logprobs>, config: &mut Map<String, Value>) {
    let Some(wanted) = wanted else { return };
    config.insert("responseLogprobs".to_owned(), true.into());
    put(config, "logprobs", wanted.top.filter(|top| *top > 0));
}

/// The caller's `audio` object: spoken answers come with no text beside them.
fn speech(audio: &Value, config: &mut Map<String, Value>, losses: &mut Losses) -> Result<()> {
    let format = audio.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| format != SPOKEN_FORMAT) {
        return Err(unsupported("audio.format", "this model speaks `pcm16` only"));
    }
    config.insert("responseModalities".to_owned(), json!(["AUDIO"]));
    match audio.get("voice") {
        None => {}
        Some(Value::String(voice)) => {
            let voice = json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}});
            config.insert("speechConfig".to_owned(), voice);
        }
        Some(_) => losses.dropped("audio.voice"),
    }
    Ok(())
}
