//! One request as spans of a trace, in OTLP's JSON: the request, the rooms it went through, and each upstream call. Pure.
//! Decides names and attributes, which are those of OpenTelemetry's conventions for generative AI where there are any.
//! Tests: `it/traces.rs`.
//!
//! Ours rather than the `opentelemetry` crates: those make spans on the request path and bring an SDK, a client and protobuf,
//! while a settled record already holds all there is to say, and OTLP's JSON is a stable encoding.

use serde_json::{Value, json};
use waypost_core::usage::{AttemptOutcome, AttemptRecord, UsageRecord};

use super::convention;

/// A request that is traced: its record, and its place in the trace.
pub struct Sample {
    pub record: UsageRecord,
    /// When its head arrived, in microseconds since 1970.
    pub began_us: u64,
    pub trace_id: u128,
    /// The span of the request; those of rooms and attempts count on from it.
    pub span_id: u64,
    pub parent: Option<u64>,
}

/// The kinds of spans, by OTLP's numbers.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// The body of an export.
pub fn export(service: &str, samples: &[Sample]) -> Value {
    let spans: Vec<Value> = samples.iter().flat_map(Sample::spans).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [
                text("service.name", service),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("telemetry.sdk.name", "waypost"),
                text("telemetry.sdk.language", "rust"),
            ] },
            "scopeSpans": [{
                "scope": { "name": "waypost", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }],
    })
}

/// A span but for its place in the trace. Times are microseconds since the request's head arrived.
struct Span {
    name: String,
    kind: u8,
    from: u64,
    to: u64,
    failed: bool,
    attributes: Vec<Value>,
}

impl Span {
    fn room(name: &str, from: u64, to: u64) -> Self {
        Self { name: name.to_owned(), kind: INTERNAL, from, to, failed: false, attributes: Vec::new() }
    }
}

impl Sample {
    /// The request first, then the rooms and the attempts.
    pub fn spans(&self) -> Vec<Value> {
        let children = self.rooms().into_iter().chain(self.attempts());
        let numbered = children.zip(1_u64..);
        let mut spans = vec![self.drawn(self.root(), self.span_id, self.parent)];
        spans.extend(numbered.map(|(span, number)| self.drawn(span, self.child(number), Some(self.span_id))));
        spans
    }

    /// The id of a span below the request's: never 0, which is no id.
    fn child(&self, number: u64) -> u64 {
        self.span_id.wrapping_add(number).max(1)
    }

    fn drawn(&self, span: Span, id: u64, parent: Option<u64>) -> Value {
        let nanos = |micros: u64| self.began_us.saturating_add(micros).saturating_mul(1000).to_string();
        let mut drawn = json!({
            "traceId": format!("{:032x}", self.trace_id),
            "spanId": format!("{id:016x}"),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": nanos(span.from),
            "endTimeUnixNano": nanos(span.to.max(span.from)),
            "attributes": span.attributes,
            "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
        });
        if let (Some(parent), Some(drawn)) = (parent, drawn.as_object_mut()) {
            drawn.insert("parentSpanId".to_owned(), json!(format!("{parent:016x}")));
        }
        drawn
    }

    fn end(&self) -> u64 {
        let latency = self.record.latency_ms.saturating_mul(1000);
        self.record.trail.iter().map(|attempt| attempt.ended_us).fold(latency, u64::max)
    }

    fn root(&self) -> Span {
        let record = &self.record;
        let operation = convention::operation(record.operation);
        let name = record.model.as_deref().map_or(operation.to_owned(), |model| format!("{operation} {model}"));
        let answered = record.trail.iter().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
        let usage = &record.usage;
        let attributes = [
            Some(text("gen_ai.operation.name", operation)),
            answered.map(|attempt| text("gen_ai.provider.name", attempt.provider)),
            record.model.as_deref().map(|model| text("gen_ai.request.model", model)),
            answered.map(|attempt| text("gen_ai.response.model", &attempt.upstream)),
            usage.input.map(|count| number("gen_ai.usage.input_tokens", count)),
            usage.output.map(|count| number("gen_ai.usage.output_tokens", count)),
            usage.cache_read.map(|count| number("gen_ai.usage.cache_read.input_tokens", count)),
            usage.cache_write.map(|count| number("gen_ai.usage.cache_creation.input_tokens", count)),
            Some(number("http.response.status_code", u64::from(record.status))),
            convention::error(record).map(|error| text("error.type", error)),
            Some(text("waypost.request_id", &record.request_id)),
            Some(text("waypost.key", &record.key)),
            record.deployment.as_deref().map(|label| text("waypost.deployment", label)),
            Some(text("waypost.outcome", record.outcome.name())),
            Some(text("waypost.usage_basis", record.basis.name())),
            Some(number("waypost.attempts", u64::from(record.attempts))),
            Some(truth("waypost.stream", record.stream)),
            Some(truth("waypost.translated", record.translated)),
            record.stages.first_token_us.map(|first| number("waypost.first_token_us", first)),
        ];
        Span {
            name,
            kind: SERVER,
            from: 0,
            to: self.end(),
            failed: convention::error(record).is_some(),
            attributes: attributes.into_iter().flatten().collect(),
        }
    }

    /// The rooms that the request came through.
    fn rooms(&self) -> Vec<Span> {
        let stages = &self.record.stages;
        let first = self.record.trail.first().map(|attempt| attempt.started_us);
        let read = stages.read_us.map(|read| Span::room("read", 0, read));
        let plan = stages.read_us.zip(stages.planned_us).map(|(read, planned)| Span::room("plan", read, planned));
        let queue = stages.queued_us.zip(first.or(Some(self.end())));
        let queue = queue.map(|(wait, until)| Span::room("queue", until.saturating_sub(wait), until));
        let deliver = stages.answered_us.map(|answered| Span::room("deliver", answered, self.end()));
        [read, plan, queue, deliver].into_iter().flatten().collect()
    }

    fn attempts(&self) -> impl Iterator<Item = Span> {
        self.record.trail.iter().zip(1_u64..).map(|(attempt, place)| self.attempt(attempt, place))
    }

    fn attempt(&self, attempt: &AttemptRecord, place: u64) -> Span {
        let operation = convention::operation(self.record.operation);
        let verdict = attempt.outcome.name();
        let failed = matches!(attempt.outcome, AttemptOutcome::Failed(_));
        let upstream = &*attempt.upstream;
        let attributes = [
            Some(text("gen_ai.operation.name", operation)),
            Some(text("gen_ai.provider.name", attempt.provider)),
            (!upstream.is_empty()).then(|| text("gen_ai.request.model", upstream)),
            attempt.status.map(|status| number("http.response.status_code", u64::from(status))),
            failed.then(|| text("error.type", verdict)),
            Some(text("waypost.channel", &attempt.channel)),
            Some(text("waypost.deployment", &attempt.deployment)),
            Some(text("waypost.credential", &attempt.credential)),
            Some(text("waypost.verdict", verdict)),
            Some(number("waypost.attempt", place)),
            Some(truth("waypost.hedge", attempt.hedge)),
        ];
        Span {
            name: format!("{operation} {upstream}").trim_end().to_owned(),
            kind: CLIENT,
            from: attempt.started_us,
            to: attempt.ended_us,
            failed,
            attributes: attributes.into_iter().flatten().collect(),
        }
    }
}

// === attributes, as OTLP's JSON has them ===

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are strings there, as in all of protobuf's JSON.
fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn truth(key: &str, value: bool) -> Value {
    json!({ "key": key, "value": { "boolValue": value } })
}
