//! The `x-waypost-trace` header: where a request's time went and which deployments were tried, for callers who ask. Pure.
//! Names deployments and credentials as the configuration does, never a secret. Tests are below.

use http::HeaderValue;
use serde::Serialize;
use serde_json::{Map, Value, json};
use waypost_core::usage::{AttemptRecord, Degraded, Stages};

/// The longest header; clients and proxies refuse heads that are much longer.
const MOST_BYTES: usize = 4096;

/// The header's value, as JSON in ASCII. What does not fit is counted in `more`; `None` if not even that can be said.
pub fn trace_header(way: &Way<'_>) -> Option<HeaderValue> {
    let Way { stages, degraded, trail } = way;
    let times = [
        ("read_us", stages.read_us),
        ("planned_us", stages.planned_us),
        ("queued_us", stages.queued_us),
        ("answered_us", stages.answered_us),
        ("first_token_us", stages.first_token_us),
    ];
    let known = times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?))));
    let mut trace: Map<String, Value> = known.collect();
    if let Some(degraded) = degraded {
        trace.insert("degraded".to_owned(), json!(Fell::of(degraded)));
    }
    let mut attempts: Vec<Value> = trail.iter().map(|record| json!(Told::of(record))).collect();
    loop {
        trace.insert("attempts".to_owned(), Value::Array(attempts.clone()));
        let left_out = trail.len() - attempts.len();
        if left_out > 0 {
            trace.insert("more".to_owned(), json!(left_out));
        }
        let text = ascii(&Value::Object(trace.clone()).to_string());
        if text.len() <= MOST_BYTES {
            return HeaderValue::from_str(&text).ok();
        }
        attempts.pop()?;
    }
}

/// What is known of a request's way.
pub struct Way<'a> {
    pub stages: &'a Stages,
    /// What it fell to before anything was asked.
    pub degraded: Option<&'a Degraded>,
    pub trail: &'a [AttemptRecord],
}

/// What a request fell to and why, as logs and headers tell it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fell<'a> {
    /// The budget that had not enough.
    budget: &'a str,
    asked: Option<&'a str>,
    given: Option<&'a str>,
    /// Nano-USD.
    needed: i64,
    left: i64,
}

impl<'a> Fell<'a> {
    pub fn of(degraded: &'a Degraded) -> Self {
        Self {
            budget: &degraded.budget,
            asked: degraded.asked.as_deref(),
            given: degraded.given.as_deref(),
            needed: degraded.needed,
            left: degraded.left,
        }
    }
}

/// One attempt, as logs and headers tell it.
#[derive(Serialize)]
pub struct Told<'a> {
    deployment: &'a str,
    credential: &'a str,
    outcome: &'static str,
    status: Option<u16>,
    ms: u64,
    #[serde(skip_serializing_if = "is_usual")]
    hedge: bool,
}

impl<'a> Told<'a> {
    pub fn of(record: &'a AttemptRecord) -> Self {
        Self {
            deployment: &record.deployment,
            credential: &record.credential,
            outcome: record.outcome.name(),
            status: record.status,
            ms: record.ended_us.saturating_sub(record.started_us).div_ceil(1000),
            hedge: record.hedge,
        }
    }
}

/// Serde asks by reference.
fn is_usual(hedge: &bool) -> bool {
    !hedge
}

/// The same JSON without a letter that cannot stand in a header.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for letter in json.chars() {
        if letter.is_ascii_graphic() || letter == ' ' {
            text.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use waypost_core::usage::AttemptOutcome;
    use waypost_core::verdict::Class;

    use super::*;

    fn header(stages: &Stages, trail: &[AttemptRecord]) -> Option<HeaderValue> {
        trace_header(&Way { stages, degraded: None, trail })
    }

    fn record(deployment: &str, outcome: AttemptOutcome) -> AttemptRecord {
        AttemptRecord {
            deployment: deployment.into(),
            channel: "main".into(),
            provider: "openai",
            upstream: "gpt-4o".into(),
            credential: "key-1".into(),
            started_us: 100,
            ended_us: 2600,
            outcome,
            status: Some(503),
            hedge: false,
        }
    }

    fn read(value: &HeaderValue) -> Value {
        serde_json::from_str(value.to_str().unwrap()).unwrap()
    }

    #[test]
    fn stages_and_attempts_are_told_in_one_line_000_29() {
        let stages = Stages { read_us: Some(20), planned_us: Some(30), ..Stages::default() };
        let hedge = AttemptRecord { hedge: true, status: None, ..record("b/m", AttemptOutcome::Answered) };
        let trail = [record("a/m", AttemptOutcome::Failed(Class::Overloaded)), hedge];
        let told = header(&stages, &trail).unwrap();
        assert_eq!(
            told.to_str().unwrap(),
            r#"{"read_us":20,"planned_us":30,"attempts":[{"deployment":"a/m","credential":"key-1","outcome":"overloaded","status":503,"ms":3},{"deployment":"b/m","credential":"key-1","outcome":"answered","status":null,"ms":3,"hedge":true}]}"#
        );
    }

    #[test]
    fn it_is_ascii_and_bounded_whatever_names_are() {
        let strange = record("k\u{e4}nal\u{1f600}\n\u{7f}/m", AttemptOutcome::Cancelled);
        let told = header(&Stages::default(), std::slice::from_ref(&strange)).unwrap();
        assert!(told.to_str().unwrap().is_ascii());
        assert_eq!(read(&told)["attempts"][0]["deployment"], &*strange.deployment);

        let trail = vec![record(&"x".repeat(1000), AttemptOutcome::Cancelled); 11];
        let told = header(&Stages::default(), &trail).unwrap();
        assert!(told.len() <= MOST_BYTES);
        let shown = read(&told)["attempts"].as_array().unwrap().len() as u64;
        assert!(shown > 0 && shown + read(&told)["more"].as_u64().unwrap() == 11);

        let endless = [record(&"x".repeat(5000), AttemptOutcome::Cancelled)];
        assert_eq!(read(&header(&Stages::default(), &endless).unwrap())["more"], 1);
    }
}
