//! The way of traces to a collector: OTLP over HTTP, in JSON, in batches, by a job of its own. A collector that is slow, full or
//! gone costs spans, which are counted, and nothing else: requests never wait for it.
//! Decides which requests are traced, and how often a batch is tried. Tests: `it/traces.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use waypost_core::config::{Otlp, Share};
use waypost_core::dice::Dice;
use waypost_core::usage::UsageRecord;

use super::spans::{Sample, export};
use super::{SpanCounts, Wall};
use crate::http::reply::JSON;
use crate::jobs::Jobs;
use crate::upstream::{Origin, OutBody, Outgoing, Target, Timeouts, TlsProfile, Transport};

/// How many requests may wait for the collector.
const WAITING: usize = 2048;
/// How many requests one export holds at most.
const BATCH: usize = 256;
/// How often a batch is tried.
const TRIES: u32 = 5;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest a collector can ask us to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long what is left at the end of the process may take.
const LAST_TRY: Duration = Duration::from_millis(1500);

/// Chooses the requests to trace, and hands them on. Never waits.
pub struct Tracer {
    way: Sender<Sample>,
    share: Share,
    dice: Dice,
    counts: Arc<SpanCounts>,
}

impl Tracer {
    /// A tracer, and the end of its way, for [`Exporter::run`].
    pub fn new(share: Share, dice: Dice, counts: Arc<SpanCounts>) -> (Self, Receiver<Sample>) {
        let (way, samples) = channel(WAITING);
        (Self { way, share, dice, counts }, samples)
    }

    /// Traces the request if its caller does, or else its turn has come.
    pub fn offer(&mut self, record: UsageRecord, wall: &Wall) {
        let chosen = match record.trace {
            Some(trace) => trace.sampled,
            None => self.dice.below(u64::from(Share::WHOLE.0)) < u64::from(self.share.0),
        };
        if !chosen {
            return;
        }
        let throw = |dice: &mut Dice| dice.throw().max(1);
        let fresh = u128::from(throw(&mut self.dice)) << 64 | u128::from(throw(&mut self.dice));
        let sample = Sample {
            began_us: wall.unix_us(record.began),
            trace_id: record.trace.map_or(fresh, |trace| trace.trace_id),
            span_id: throw(&mut self.dice),
            parent: record.trace.map(|trace| trace.span_id),
            record,
        };
        if let Err(TrySendError::Full(sample) | TrySendError::Closed(sample)) = self.way.try_send(sample) {
            self.counts.dropped.fetch_add(sample.spans().len() as u64, Ordering::Relaxed);
        }
    }
}

/// Sends what a tracer chose.
pub struct Exporter {
    target: Target,
    headers: HeaderMap,
    service: String,
    every: Duration,
    counts: Arc<SpanCounts>,
    /// The first pause between two tries.
    pub pause: Duration,
}

impl Exporter {
    /// To the collector of these settings; `None` if they name none. An error is a sentence about what is wrong with them.
    pub fn new(settings: &Otlp, service: &str, counts: Arc<SpanCounts>) -> Result<Option<Self>, String> {
        let Some(address) = settings.address() else { return Ok(None) };
        let wrong = || format!("telemetry.otlp.endpoint: `{address}` is no address; write it as http://host:4318");
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        let path = uri.path_and_query().map_or("/v1/traces", |path| path.as_str());
        // The owner's own collector is most often on the same network.
        let origin = Origin::parse(&format!("{scheme}://{authority}"), TlsProfile::Public).map_err(|_| wrong())?;
        let target = Target::at(Arc::new(origin.allow_private(true)), path).map_err(|_| wrong())?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
        for (name, secret) in &settings.headers {
            let wrong = || format!("telemetry.otlp.headers.{name}: this cannot stand in a header");
            let header: HeaderName = name.parse().map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let (service, every) = (service.to_owned(), settings.every.0);
        Ok(Some(Self { target, headers, service, every, counts, pause: PAUSE }))
    }

    /// Sends batches until the tracer is gone, and then what is left.
    pub async fn run(self, mut samples: Receiver<Sample>, transport: Box<dyn Transport>, jobs: Jobs) {
        let mut batch = Vec::new();
        loop {
            let more = gather(&mut samples, &mut batch, self.every, &jobs).await;
            if !batch.is_empty() {
                self.send(&*transport, &batch, &jobs).await;
                batch.clear();
            }
            if !more {
                return;
            }
        }
    }

    /// Tries a batch until it is taken, refused for good, or has been tried often enough.
    async fn send(&self, transport: &dyn Transport, batch: &[Sample], jobs: &Jobs) {
        let document = export(&self.service, batch);
        let spans = batch.iter().map(|sample| sample.spans().len() as u64).sum();
        let body = Bytes::from(document.to_string());
        let mut pause = self.pause;
        for turn in 1..=TRIES {
            let tried = tokio::select! {
                biased;
                tried = self.once(transport, body.clone(), PATIENCE) => tried,
                () = late(jobs) => Err(Refusal { what: "the process ends".to_owned(), again: None }),
            };
            let refusal = match tried {
                Ok(()) => {
                    self.counts.exported.fetch_add(spans, Ordering::Relaxed);
                    return;
                }
                Err(refusal) => refusal,
            };
            let wait = refusal.again.map(|asked| asked.unwrap_or(pause).min(LONGEST_PAUSE));
            let Some(wait) = wait.filter(|_| turn < TRIES) else {
                tracing::warn!(
                    spans,
                    tries = turn,
                    reason = refusal.what,
                    "spans were lost: the collector did not take them"
                );
                break;
            };
            tracing::debug!(turn, reason = refusal.what, "the collector did not take spans; trying again");
            tokio::select! {
                () = sleep(wait) => {}
                () = jobs.stopping() => {}
            }
            pause = pause.saturating_mul(2);
        }
        self.counts.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    async fn once(&self, transport: &dyn Transport, body: Bytes, patience: Duration) -> Result<(), Refusal> {
        let deadline = Instant::now() + patience;
        let outgoing = Outgoing {
            method: Method::POST,
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: OutBody::Full(body),
        };
        let answer = timeout_at(deadline, transport.send(outgoing, Timeouts::until(deadline))).await;
        match answer {
            Ok(Ok(answer)) if answer.status.is_success() => {
                // Read to its end, so that the connection can be used again. What it says of single spans helps nobody.
                let _ = answer.body.collect(64 << 10).await;
                Ok(())
            }
            Ok(Ok(answer)) => Err(Refusal::of(answer.status, &answer.headers)),
            Ok(Err(failure)) => Err(Refusal { what: failure.to_string(), again: Some(None) }),
            Err(_) => Err(Refusal { what: "no answer in time".to_owned(), again: Some(None) }),
        }
    }
}

/// Why a batch was not taken.
struct Refusal {
    what: String,
    /// Whether trying again makes sense, and after how long, if the collector says so.
    again: Option<Option<Duration>>,
}

impl Refusal {
    /// Which statuses are worth another try is the protocol's word.
    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let asked =
            headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok().map(Duration::from_secs));
        let again = matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(asked);
        Self { what: format!("status {}", status.as_u16()), again }
    }
}

/// Some time after the order to stop: what is under way then is given up.
async fn late(jobs: &Jobs) {
    jobs.stopping().await;
    sleep(LAST_TRY).await;
}

/// Gathers samples until there are enough, it is time, or no more come; says whether more may come.
async fn gather(samples: &mut Receiver<Sample>, batch: &mut Vec<Sample>, every: Duration, jobs: &Jobs) -> bool {
    let Some(first) = samples.recv().await else { return false };
    batch.push(first);
    let until = Instant::now() + every;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            biased;
            more = samples.recv_many(batch, room) => {
                if more == 0 {
                    return false;
                }
            }
            () = sleep_until(until) => return true,
            () = jobs.stopping() => return true,
        }
    }
    true
}
