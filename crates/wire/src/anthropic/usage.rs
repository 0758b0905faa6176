//! Token counts: Messages leaves cache tokens out of `input_tokens`, the neutral [`Usage`] counts them in.

use serde_json::{Map, Value, json};

use crate::chat::{Served, Usage};
use crate::fields::token_count;

/// The counts as Messages writes them. Streams report them twice, so the latest known figure of each stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    uncached: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    tier: Option<Served>,
    speed: Option<Served>,
    /// Of what was read and written to make the conversation shorter, which the other counts leave out.
    compaction: Usage,
}

impl Counts {
    /// Takes the counts of a `usage` object; what it does not say, or says as null, stands as it was.
    pub(super) fn take(&mut self, usage: &Value) {
        let count = |key: &str| usage.get(key).and_then(token_count);
        self.uncached = count("input_tokens").or(self.uncached);
        self.cache_read = count("cache_read_input_tokens").or(self.cache_read);
        self.cache_write = count("cache_creation_input_tokens").or_else(|| by_lifetime(usage)).or(self.cache_write);
        let created = usage.get("cache_creation");
        let long = created.and_then(|created| created.get("ephemeral_1h_input_tokens")).and_then(token_count);
        self.cache_write_1h = long.or(self.cache_write_1h);
        self.output = count("output_tokens").or(self.output);
        let details = usage.get("output_tokens_details");
        let served = |key: &str| usage.get(key).and_then(Value::as_str).and_then(Served::of);
        self.tier = served("service_tier").or(self.tier);
        self.speed = served("speed").or(self.speed);
        self.thinking = details.and_then(|it| it.get("thinking_tokens")).and_then(token_count).or(self.thinking);
        if let Some(iterations) = usage.get("iterations").and_then(Value::as_array) {
            self.compaction = compaction(iterations);
        }
    }

    /// The counts in neutral terms; `None` if nothing was said.
    pub(super) fn usage(&self) -> Option<Usage> {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        let answer = Usage {
            input: self.uncached.map(|uncached| uncached.saturating_add(cached)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h.filter(|tokens| *tokens > 0),
            reasoning: self.thinking,
            audio_input: None,
            audio_output: None,
            // A speed that is not the usual one is what is charged, whatever the tier.
            served: self.speed.filter(|speed| *speed != Served::Standard).or(self.tier),
        };
        (*self != Self::default()).then(|| both(&answer, &self.compaction))
    }
}

/// Reads one `usage` object.
pub(super) fn decode(usage: &Value) -> Option<Usage> {
    let mut counts = Counts::default();
    counts.take(usage);
    counts.usage()
}

/// Draws a `usage` object; figures nobody gave are the estimate for the input and 0 for the rest.
pub(super) fn encode(usage: &Usage, input_estimate: u64) -> Map<String, Value> {
    let cache_read = usage.cache_read.unwrap_or(0);
    let cache_write = usage.cache_write.unwrap_or(0);
    let uncached =
        usage.input.map_or(input_estimate, |input| input.saturating_sub(cache_read.saturating_add(cache_write)));
    let mut counts = Map::new();
    counts.insert("input_tokens".to_owned(), uncached.into());
    counts.insert("cache_creation_input_tokens".to_owned(), cache_write.into());
    counts.insert("cache_read_input_tokens".to_owned(), cache_read.into());
    counts.insert("output_tokens".to_owned(), usage.output.unwrap_or(0).into());
    if let Some(thinking) = usage.reasoning {
        counts.insert("output_tokens_details".to_owned(), json!({"thinking_tokens": thinking}));
    }
    counts
}

/// What all compactions among the iterations used.
fn compaction(iterations: &[Value]) -> Usage {
    let compactions = iterations.iter().filter(|it| it.get("type").and_then(Value::as_str) == Some("compaction"));
    compactions.filter_map(decode).fold(Usage::default(), |sum, usage| both(&sum, &usage))
}

/// The counts of both together, served as the first.
fn both(first: &Usage, second: &Usage) -> Usage {
    let sum = |count: fn(&Usage) -> Option<u64>| match (count(first), count(second)) {
        (Some(first), Some(second)) => Some(first.saturating_add(second)),
        (first, second) => first.or(second),
    };
    Usage {
        input: sum(|usage| usage.input),
        output: sum(|usage| usage.output),
        cache_read: sum(|usage| usage.cache_read),
        cache_write: sum(|usage| usage.cache_write),
        cache_write_1h: sum(|usage| usage.cache_write_1h),
        reasoning: sum(|usage| usage.reasoning),
        audio_input: None,
        audio_output: None,
        served: first.served,
    }
}

/// Cache writes told only per lifetime.
fn by_lifetime(usage: &Value) -> Option<u64> {
    let created = usage.get("cache_creation")?;
    let count = |key: &str| created.get(key).and_then(token_count);
    match (count("ephemeral_5m_input_tokens"), count("ephemeral_1h_input_tokens")) {
        (None, None) => None,
        (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_an_hour_is_told_apart() {
        let split = json!({"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30});
        let wire =
            json!({"input_tokens": 1, "cache_creation_input_tokens": 50, "cache_creation": split, "output_tokens": 2});
        let usage = decode(&wire).unwrap();
        assert_eq!((usage.input, usage.cache_write, usage.cache_write_1h), (Some(51), Some(50), Some(30)));
    }

    #[test]
    fn input_includes_the_cache_in_neutral_terms_and_excludes_it_again_on_the_way_back() {
        let wire = json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
            "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 30}});
        let usage = decode(&wire).unwrap();
        assert_eq!((usage.input, usage.output, usage.reasoning), (Some(3210), Some(40), Some(30)));
        assert_eq!((usage.cache_read, usage.cache_write), (Some(3000), Some(200)));
        assert_eq!(Value::Object(encode(&usage, 99)), wire);
    }

    #[test]
    fn what_a_compaction_used_is_charged_beside_the_answer() {
        let told = json!({"input_tokens": 23000, "output_tokens": 1000, "cache_read_input_tokens": 5, "iterations": [
            {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500, "cache_read_input_tokens": 20,
             "cache_creation": {"ephemeral_1h_input_tokens": 7}},
            {"type": "message", "input_tokens": 23000, "output_tokens": 1000}]});
        let usage = decode(&told).unwrap();
        assert_eq!((usage.input, usage.output), (Some(203_032), Some(4500)));
        assert_eq!((usage.cache_read, usage.cache_write, usage.cache_write_1h), (Some(25), Some(7), Some(7)));
        // A stream says it twice; the later statement stands, and silence takes nothing back.
        let mut counts = Counts::default();
        counts.take(
            &json!({"input_tokens": 10, "iterations": [{"type": "compaction", "input_tokens": 1, "output_tokens": 1}]}),
        );
        let later = json!([{"type": "compaction", "input_tokens": 5, "output_tokens": 6}, {"type": "message", "input_tokens": 10}]);
        counts.take(&json!({"output_tokens": 2, "iterations": later}));
        counts.take(&json!({"output_tokens": 3}));
        let usage = counts.usage().unwrap();
        assert_eq!((usage.input, usage.output), (Some(15), Some(9)));
        assert_eq!(decode(&json!({"iterations": [{"type": "message", "input_tokens": 3}]})), None);
    }

    #[test]
    fn a_fast_answer_says_so_beside_its_tier_and_a_later_silence_does_not_slow_it() {
        let mut counts = Counts::default();
        counts.take(&json!({"input_tokens": 1, "service_tier": "standard", "speed": "fast"}));
        counts.take(&json!({"output_tokens": 2, "service_tier": "standard"}));
        assert_eq!(counts.usage().unwrap().served, Some(Served::Priority));
        let usual = json!({"input_tokens": 1, "service_tier": "priority", "speed": "standard"});
        assert_eq!(decode(&usual).unwrap().served, Some(Served::Priority));
        assert_eq!(decode(&json!({"input_tokens": 1, "speed": "standard"})).unwrap().served, None);
    }

    #[test]
    fn more_cache_than_input_never_goes_below_zero() {
        let usage = Usage { input: Some(5), cache_read: Some(9), ..Usage::default() };
        assert_eq!(encode(&usage, 1)["input_tokens"], 0);
    }

    #[test]
    fn a_later_null_does_not_erase_and_odd_values_break_nothing() {
        let mut counts = Counts::default();
        counts.take(&json!({"input_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}}));
        counts.take(&json!({"input_tokens": null, "output_tokens": -4, "cache_read_input_tokens": "many"}));
        let usage = counts.usage().unwrap();
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.cache_write), (Some(12), None, None, Some(5)));
    }

    #[test]
    fn an_unknown_input_is_the_estimate_and_silence_stays_silence() {
        assert_eq!(encode(&Usage::default(), 17)["input_tokens"], 17);
        assert_eq!(decode(&json!({})), None);
    }
}
