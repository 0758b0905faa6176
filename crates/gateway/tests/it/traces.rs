//! Traces on their way to a collector: the shape OTLP wants, whose trace it is, and that no collector can hurt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use waypost_core::config::{Otlp, Share, Span};
use waypost_core::dice::Dice;
use waypost_core::usage::{TraceContext, UsageRecord};
use waypost_gateway::clock::Clock;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::telemetry::otlp::{Exporter, Tracer};
use waypost_gateway::telemetry::{SpanCounts, Wall};
use waypost_gateway::upstream::{HttpTransport, PoolSettings};
use waypost_testkit::{ClosedPort, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY, channel};
use crate::start::Waypost;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"a secret question"}]}"#;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tracer with its exporter at work.
struct Tracing {
    tracer: Tracer,
    counts: Arc<SpanCounts>,
    jobs: Jobs,
}

impl Tracing {
    fn to(endpoint: &str, share: Share) -> Self {
        let every = Span(Duration::from_millis(20));
        let settings = Otlp { endpoint: Some(endpoint.to_owned()), every, ..Otlp::default() };
        let (counts, jobs) = (Arc::<SpanCounts>::default(), Jobs::new());
        let mut exporter = Exporter::new(&settings, "edge", Arc::clone(&counts)).unwrap().unwrap();
        exporter.pause = Duration::from_millis(1);
        let (tracer, samples) = Tracer::new(share, Dice::seeded(1), Arc::clone(&counts));
        // The jobs of the connections are not among those that are waited for.
        let transport = Box::new(HttpTransport::new(PoolSettings::default(), Jobs::new()));
        jobs.spawn("trace export", exporter.run(samples, transport, jobs.clone()));
        Self { tracer, counts, jobs }
    }

    fn offer(&mut self, record: UsageRecord) {
        self.tracer.offer(record, &Wall::now(&Clock::default()));
    }

    fn exported(&self) -> u64 {
        self.counts.exported.load(Ordering::Relaxed)
    }

    fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the exporter has ended by itself, as it does when nothing more can come.
    async fn end(self) -> Arc<SpanCounts> {
        let Self { tracer, counts, jobs } = self;
        drop(tracer);
        let ended = async {
            while jobs.live() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the exporter ends");
        counts
    }
}

/// The record of a request that failed over and was streamed, as a gateway files it.
async fn record(trace: Option<&str>) -> UsageRecord {
    let ill = Upstream::always(Script::reply(503, "{}")).await;
    let well = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let mut gateway = Gateway::with_channels(&format!(
        "{}{}",
        channel("ill", "openai", &format!("{}/v1", ill.url()), "[m]"),
        channel("well", "mistral", &format!("{}/v1", well.url()), "[{name: m, upstream: big, tier: 2}]"),
    ))
    .await;
    let request = Request::post(CHAT, ASK).bearer(KEY);
    let request = trace.into_iter().fold(request, |request, parent| request.header("traceparent", parent));
    assert_eq!(request.send(gateway.url()).await.status, 200);
    gateway.record().await
}

/// The spans of an export, after a look at everything around them.
fn spans(export: &Value) -> Vec<Value> {
    let resource = &export["resourceSpans"][0];
    let named = &resource["resource"]["attributes"][0];
    assert_eq!(named["key"], "service.name");
    assert!(named["value"]["stringValue"].is_string());
    let scope = &resource["scopeSpans"][0];
    assert_eq!(scope["scope"]["name"], "waypost");
    let spans = scope["spans"].as_array().expect("there are spans").clone();
    spans.iter().for_each(check_span);
    spans
}

/// What the protocol wants of every span.
fn check_span(span: &Value) {
    let hex = |value: &Value, length: usize| {
        let text = value.as_str().unwrap_or_default();
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain && text.len() == length && text.bytes().any(|byte| byte != b'0')
    };
    assert!(hex(&span["traceId"], 32) && hex(&span["spanId"], 16), "{span}");
    assert!(span.get("parentSpanId").is_none_or(|parent| hex(parent, 16)), "{span}");
    assert!(span["kind"].as_u64().is_some_and(|kind| (1..=5).contains(&kind)), "{span}");
    assert!(span["name"].as_str().is_some_and(|name| !name.is_empty()), "{span}");
    let nanos =
        |field: &str| span[field].as_str().and_then(|nanos| nanos.parse::<u64>().ok()).expect("64 bits as text");
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano") && nanos("startTimeUnixNano") > 1_600_000_000 << 30);
    for attribute in span["attributes"].as_array().expect("a list") {
        let value = attribute["value"].as_object().expect("a value");
        let (kind, value) = value.iter().next().expect("one kind");
        let right = match kind.as_str() {
            "stringValue" => value.is_string(),
            "intValue" => value.as_str().is_some_and(|number| number.parse::<i64>().is_ok()),
            "boolValue" => value.is_boolean(),
            _ => false,
        };
        assert!(attribute["key"].is_string() && right, "{attribute}");
    }
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let found = span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next()?.as_str()
}

#[tokio::test]
async fn a_request_is_a_span_with_its_rooms_and_attempts_below_it() {
    let collector = Upstream::always(Script::reply(200, "{}")).await;
    let mut tracing = Tracing::to(&collector.url(), Share(0));
    tracing.offer(record(Some(PARENT)).await);
    let counts = tracing.end().await;
    let sent = collector.last();
    assert_eq!((sent.method.as_str(), sent.path()), ("POST", "/v1/traces"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert!(!sent.text().contains("secret"), "{}", sent.text());
    let spans = spans(&sent.json());
    assert_eq!(counts.exported.load(Ordering::Relaxed), spans.len() as u64);
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["chat m", "read", "plan", "deliver", "chat m", "chat big"]);

    let root = &spans[0];
    assert_eq!(
        (&root["traceId"], &root["parentSpanId"]),
        (&json!("4bf92f3577b34da6a3ce929d0e0e4736"), &json!("00f067aa0ba902b7"))
    );
    assert_eq!((&root["kind"], &root["status"]), (&json!(2), &json!({})));
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "mistral_ai"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.response.model", "big"),
        ("gen_ai.usage.input_tokens", "19"),
        ("gen_ai.usage.output_tokens", "10"),
        ("http.response.status_code", "200"),
        ("waypost.key", "test"),
        ("waypost.deployment", "well/m"),
        ("waypost.attempts", "2"),
    ] {
        assert_eq!(attribute(root, key), Some(value), "{key}");
    }
    assert_eq!(attribute(root, "error.type"), None);
    let mut ids = std::collections::HashSet::new();
    for span in &spans {
        assert_eq!(span["traceId"], root["traceId"]);
        assert!(ids.insert(span["spanId"].as_str().unwrap().to_owned()), "{span}");
    }
    assert!(spans[1..].iter().all(|span| span["parentSpanId"] == root["spanId"]));
    let (failed, answered) = (&spans[4], &spans[5]);
    assert_eq!((&failed["kind"], &failed["status"]["code"]), (&json!(3), &json!(2)));
    assert_eq!(attribute(failed, "error.type"), Some("overloaded"));
    assert_eq!(
        (attribute(failed, "waypost.channel"), attribute(failed, "http.response.status_code")),
        (Some("ill"), Some("503"))
    );
    assert_eq!(
        (attribute(answered, "waypost.verdict"), attribute(answered, "waypost.attempt")),
        (Some("answered"), Some("2"))
    );
}

#[tokio::test]
async fn the_caller_decides_what_of_its_trace_is_recorded_and_else_the_share_does() {
    let untraced = record(None).await;
    let context = |sampled| Some(TraceContext { trace_id: 7, span_id: 8, sampled });
    let with = |trace| UsageRecord { trace, ..untraced.clone() };
    for (share, trace, expected) in [
        (Share(0), context(true), true),
        (Share(0), None, false),
        (Share::WHOLE, context(false), false),
        (Share::WHOLE, None, true),
    ] {
        let collector = Upstream::always(Script::reply(200, "{}")).await;
        let mut tracing = Tracing::to(&collector.url(), share);
        tracing.offer(with(trace));
        tracing.end().await;
        assert_eq!(collector.hits(), usize::from(expected), "{share:?} {trace:?}");
        if expected && trace.is_none() {
            let root = &spans(&collector.last().json())[0];
            assert!(root.get("parentSpanId").is_none(), "{root}");
        }
    }
    // The dice are the same in every run.
    let collector = Upstream::always(Script::reply(200, "{}")).await;
    let mut tracing = Tracing::to(&collector.url(), Share(100_000));
    (0..1000).for_each(|_| tracing.offer(untraced.clone()));
    tracing.end().await;
    let sent = collector.requests();
    let roots =
        sent.iter().flat_map(|sent| spans(&sent.json())).filter(|span| span.get("parentSpanId").is_none()).count();
    assert!((80..=120).contains(&roots), "{roots} of 1000");
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let record = record(None).await;
    let busy = Upstream::start(vec![
        Script::reply(503, "{}"),
        Script::reply(429, "{}").header("retry-after", "0"),
        Script::cut_before_answer(),
        Script::reply(200, "{}"),
    ])
    .await;
    let mut tracing = Tracing::to(&busy.url(), Share::WHOLE);
    tracing.offer(record.clone());
    let counts = tracing.end().await;
    assert_eq!((busy.hits(), counts.dropped.load(Ordering::Relaxed)), (4, 0));
    assert!(counts.exported.load(Ordering::Relaxed) > 0);
    let bodies: std::collections::HashSet<_> = busy.requests().iter().map(|sent| sent.text().to_owned()).collect();
    assert_eq!(bodies.len(), 1, "the same spans each time");

    for (script, hits) in [(Script::reply(400, "{}"), 1), (Script::reply(503, "{}"), 5)] {
        let collector = Upstream::always(script).await;
        let mut tracing = Tracing::to(&collector.url(), Share::WHOLE);
        tracing.offer(record.clone());
        let counts = tracing.end().await;
        assert_eq!((collector.hits(), counts.exported.load(Ordering::Relaxed)), (hits, 0));
        assert!(counts.dropped.load(Ordering::Relaxed) > 0);
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_or_is_not_there_costs_spans_and_nothing_else() {
    let record = record(None).await;
    let silent = Upstream::always(Script::never_answer()).await;
    let mut tracing = Tracing::to(&silent.url(), Share::WHOLE);
    tracing.offer(record.clone());
    silent.wait_hits(1).await;
    // Far more than may wait: none of this waits for the collector.
    (0..3000).for_each(|_| tracing.offer(record.clone()));
    assert!(tracing.dropped() > 0 && tracing.exported() == 0);
    let left = tracing.jobs.drain(Instant::now() + Duration::from_millis(10)).await;
    assert_eq!(left, ["trace export"]);

    let gone = ClosedPort::take();
    let mut tracing = Tracing::to(&gone.url(), Share::WHOLE);
    tracing.offer(record);
    let counts = tracing.end().await;
    assert!(counts.dropped.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn the_usual_variables_name_the_collector_and_what_is_left_is_sent_at_the_end() {
    let collector = Upstream::always(Script::reply(200, "{}")).await;
    let mut waypost = Waypost::new()
        .arguments(&["--port", "0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-login=abc")
        .env("OTEL_SERVICE_NAME", "edge-7")
        .env("OTEL_TRACES_SAMPLER_ARG", "1")
        .start()
        .await;
    let body = r#"{"model":"sim/chat","messages":[{"role":"user","content":"Hi"}]}"#;
    let answer = Request::post(CHAT, body).bearer("wp-simulator").send(waypost.url()).await;
    assert_eq!(answer.status, 200);
    waypost.log_line().await;
    waypost.terminate();
    assert_eq!(waypost.exit_code().await, Some(0));
    let sent = collector.last();
    assert_eq!(sent.header("x-login"), Some("abc"));
    let export = sent.json();
    assert_eq!(export["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "edge-7");
    let spans = spans(&export);
    assert_eq!(attribute(&spans[0], "waypost.request_id"), answer.header("x-request-id"));
}

#[tokio::test]
async fn a_wrong_address_or_share_is_said_at_the_start() {
    for (name, value, words) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "telemetry.otlp.endpoint"),
        ("OTEL_TRACES_SAMPLER_ARG", "1%", "OTEL_TRACES_SAMPLER_ARG: this is no share of requests"),
    ] {
        let (code, _, error) = Waypost::new().arguments(&["--port", "0"]).env(name, value).run().await;
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
