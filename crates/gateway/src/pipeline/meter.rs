//! Knows what a request has used so far and files its one record, whatever happens to the connection.
//!
//! A meter is settled by whoever delivers the answer; dropped unsettled, it files the request as abandoned. It computes
//! no price, writes nothing and never waits. Tests: `it/usage.rs`.

mod tell;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::error::Kind;
use waypost_core::limit::Admission;
use waypost_core::route::Claim;
use waypost_core::snapshot::Deployment;
use waypost_core::usage::{
    AttemptOutcome, AttemptRecord, Basis, CostRecord, Degraded, Outcome, Stages, TraceContext, UsageRecord, Whose,
    clamp, estimate,
};
use waypost_core::verdict::Class;
use waypost_wire::chat::Usage;
use waypost_wire::chat::event::Event;
use waypost_wire::loss::Losses;

use super::admit::Counting;
use super::call::Carried;
use super::funds::Funds;
use super::kept::Written;
use super::queue::Queues;
use crate::app::App;
use crate::clock::Clock;
use crate::clock::unix_millis;
use crate::events::Events;
use crate::records::Records;
use crate::telemetry::trace_header::Way;

/// What is known of a request when it is admitted.
pub struct Opened {
    pub request_id: Arc<str>,
    pub key: Arc<str>,
    pub whose: Whose,
    pub client: Option<IpAddr>,
    pub model: Option<Arc<str>>,
    pub operation: &'static str,
    pub stream: bool,
    /// About how many tokens its body has, as far as that was here when it was admitted.
    pub input_estimate: u64,
    /// The rest, if it arrives while it is sent and has tokens.
    pub upload: Option<Arc<Carried>>,
    /// What counts against the caller's limits.
    pub counting: Counting,
    pub at: Instant,
    /// When the body was read and validated.
    pub read: Instant,
    /// The trace the caller says the request is part of.
    pub trace: Option<TraceContext>,
}

/// So many bytes of pictures and sound have about as many tokens as one of a text.
const MEDIA: usize = 25;

/// The meter of one admitted request.
pub struct Meter {
    opened: Opened,
    records: Records,
    clock: Clock,
    queues: Arc<Queues>,
    events: Arc<Events>,
    /// What it took of its caller's limits.
    admission: Admission,
    /// What was held for it, if it is charged.
    funds: Option<Funds>,
    /// Nobody may have the whole answer before this is done.
    written: Option<Written>,
    /// The attempt that answers, and its place in the trail.
    claim: Option<(Claim, usize)>,
    trail: Vec<AttemptRecord>,
    degraded: Option<Arc<Degraded>>,
    stages: Stages,
    usage: Usage,
    basis: Option<Basis>,
    output_bytes: u64,
    /// The answer has come to its end, so that counts are final.
    finished: bool,
    first_token: Option<Instant>,
    deployment: Option<Arc<str>>,
    attempts: u32,
    status: u16,
    error: Option<Kind>,
    translated: bool,
    settled: bool,
}

/// An upstream call under way: its place in the trail, and when it began.
pub struct Trial {
    place: usize,
    began: Instant,
}

impl Trial {
    /// How long it has been under way.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Meter {
    pub fn start(opened: Opened, admission: Admission, funds: Option<Funds>, app: &App) -> Self {
        let micros = |until: Instant| micros(until.duration_since(opened.at));
        let stages = Stages {
            read_us: Some(micros(opened.read)),
            planned_us: Some(micros(Instant::now())),
            ..Stages::default()
        };
        let meter = Self {
            opened,
            records: app.records.clone(),
            clock: app.clock,
            queues: Arc::clone(&app.queues),
            events: Arc::clone(&app.events),
            admission,
            funds,
            written: None,
            claim: None,
            trail: Vec::new(),
            degraded: None,
            stages,
            usage: Usage::default(),
            basis: None,
            output_bytes: 0,
            finished: false,
            first_token: None,
            deployment: None,
            attempts: 0,
            status: 200,
            error: None,
            translated: false,
            settled: false,
        };
        meter.tell_start();
        meter
    }

    pub fn request_id(&self) -> &str {
        &self.opened.request_id
    }

    /// How many upstream calls were made so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It waited so long for a free slot.
    pub fn queued(&mut self, wait: Duration) {
        self.stages.queued_us = Some(micros(wait));
    }

    /// Another upstream call begins.
    pub fn begin(&mut self, claim: &Claim, translated: bool, hedge: bool) -> Trial {
        self.attempts += 1;
        self.at(&claim.deployment);
        self.translated = translated;
        let began = Instant::now();
        let started_us = micros(began.duration_since(self.opened.at));
        self.trail.push(AttemptRecord {
            deployment: Arc::clone(&claim.deployment.label),
            channel: Arc::clone(&claim.deployment.channel.name),
            provider: claim.deployment.channel.provider.telemetry_name(),
            upstream: Arc::clone(&claim.deployment.upstream),
            credential: claim.credential().map_or_else(|| "".into(), |credential| Arc::clone(&credential.label)),
            started_us,
            ended_us: started_us,
            outcome: AttemptOutcome::Cancelled,
            status: None,
            hedge,
        });
        self.tell_attempt(claim, hedge);
        Trial { place: self.trail.len() - 1, began }
    }

    /// The deployment that is asked or answers: the record names it, and its price counts.
    fn at(&mut self, deployment: &Deployment) {
        self.deployment = Some(Arc::clone(&deployment.label));
        if let Some(funds) = &mut self.funds {
            funds.at(deployment);
        }
    }

    /// An upstream call is over without having answered.
    pub fn end(&mut self, trial: &Trial, outcome: AttemptOutcome, status: Option<u16>) {
        self.judge(trial, outcome, status);
        self.tell_end(trial.place);
    }

    fn judge(&mut self, trial: &Trial, outcome: AttemptOutcome, status: Option<u16>) {
        let ended_us = micros(self.opened.at.elapsed());
        if let Some(record) = self.trail.get_mut(trial.place) {
            *record = AttemptRecord { ended_us, outcome, status, ..record.clone() };
        }
    }

    /// An upstream call answers. Its claim is kept until the answer is delivered.
    pub fn answered(&mut self, claim: Claim, trial: Trial, status: u16) {
        self.at(&claim.deployment);
        self.judge(&trial, AttemptOutcome::Answered, Some(status));
        self.stages.answered_us = Some(micros(self.opened.at.elapsed()));
        self.claim = Some((claim, trial.place));
    }

    /// A budget had not enough for what was asked, so the request fell to this.
    pub fn fell(&mut self, to: Option<Arc<Degraded>>) {
        self.degraded = to;
    }

    /// What it fell to, if it did.
    pub fn degraded(&self) -> Option<&Degraded> {
        self.degraded.as_deref()
    }

    /// What is known of the way so far.
    pub fn way(&self) -> Way<'_> {
        Way { stages: &self.stages, degraded: self.degraded.as_deref(), trail: &self.trail }
    }

    /// Takes one event of the answer into account.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Text { text, .. }
            | Event::Refusal { text, .. }
            | Event::Reasoning { text, .. }
            | Event::ToolArguments { text, .. } => self.output_bytes += text.len() as u64,
            Event::Audio { transcript, .. } => self.output_bytes += transcript.len() as u64,
            Event::ToolCall { name, .. } => self.output_bytes += name.len() as u64,
            Event::Usage(usage) => self.usage.absorb(usage),
            Event::Finish { .. } => self.finished = true,
            Event::Start { .. }
            | Event::Citation { .. }
            | Event::ReasoningSeal { .. }
            | Event::Logprobs { .. }
            | Event::Opaque { .. }
            | Event::Error(_)
            | Event::Done => {}
        }
        if self.first_token.is_none() && event.is_meaningful() {
            self.first_token = Some(Instant::now());
        }
        self.checkpoint();
    }

    /// Tells the journal what was delivered so far, now and then.
    fn checkpoint(&mut self) {
        let due = self.funds.as_ref().is_some_and(|funds| funds.is_due(self.output_bytes));
        if self.settled || !due || self.first_token.is_none() {
            return;
        }
        let usage = self.delivered();
        if let Some(funds) = &mut self.funds {
            funds.checkpoint(&usage, self.output_bytes, unix_millis());
        }
    }

    /// Takes a whole answer into account.
    pub fn whole(&mut self, usage: Option<&Usage>, output_bytes: u64) {
        if let Some(usage) = usage {
            self.usage.absorb(usage);
        }
        self.output_bytes += output_bytes;
        self.first_token = Some(Instant::now());
    }

    /// Counts bytes of an answer whose format is unknown.
    pub fn bytes(&mut self, bytes: usize) {
        self.output_bytes += bytes as u64;
        self.first_token.get_or_insert_with(Instant::now);
        self.checkpoint();
    }

    /// Counts bytes of pictures and sound of which no usage is told yet.
    pub fn media(&mut self, bytes: usize) {
        if bytes > 0 {
            self.bytes(bytes / MEDIA);
        }
    }

    /// The status the caller sees.
    pub fn status(&mut self, status: u16) {
        self.status = status;
    }

    /// Usage as it stands, completed by estimates where the provider was silent; and how it is known.
    pub fn usage(&mut self) -> (Usage, Basis) {
        let mut usage = self.reported();
        let basis = *self.basis.get_or_insert(if usage.is_complete() { Basis::Provider } else { Basis::Estimated });
        usage.input.get_or_insert(self.input_estimate());
        usage.output.get_or_insert(estimate(self.output_bytes));
        (usage, basis)
    }

    fn input_estimate(&self) -> u64 {
        let uploaded = self.opened.upload.as_ref().map_or(0, |upload| upload.tokens());
        self.opened.input_estimate.saturating_add(uploaded)
    }

    /// What the provider said, as far as it can be true: servers that count nothing report zeros, but no request is
    /// empty, and words have tokens.
    fn reported(&self) -> Usage {
        let mut usage = self.usage;
        usage.input = usage.input.filter(|tokens| *tokens > 0);
        usage.output = usage.output.filter(|tokens| *tokens > 0 || self.output_bytes == 0);
        usage
    }

    /// Usage of an answer that did not come to its end: what a provider counted on the way was of what it had said then.
    fn usage_so_far(&mut self) -> (Usage, Basis) {
        let (whole, basis) = self.usage();
        let usage = self.delivered();
        (usage, if usage == whole { basis } else { Basis::Estimated })
    }

    /// What was delivered so far, as far as that is known, and else estimated.
    fn delivered(&self) -> Usage {
        let mut usage = self.reported();
        usage.input.get_or_insert(self.input_estimate());
        let delivered = Some(estimate(self.output_bytes));
        if !self.finished && usage.output < delivered {
            usage.output = delivered;
        }
        usage.output = usage.output.or(delivered);
        usage
    }

    /// Replaces what is not known by counts made here.
    pub fn counted(&mut self, input: u64, output: u64) {
        self.usage.input.get_or_insert(input);
        self.usage.output.get_or_insert(output);
        self.basis = Some(Basis::Counted);
    }

    /// No attempt answered: the caller is told this error.
    pub fn refuse(&mut self, error: &GatewayError) {
        self.status = error.status();
        self.error = Some(error.kind());
        self.settle(Outcome::Failed);
    }

    /// The provider's part of the answer is over because of this error. `class` says what the deployment is to blame for.
    pub fn fail(&mut self, error: &GatewayError, class: Option<Class>) {
        self.error = Some(error.kind());
        if let (Some((claim, _)), Some(class)) = (&mut self.claim, class) {
            let moved = claim.cut(class, self.clock.now());
            self.events.note_transition(&claim.deployment, moved);
        }
        tracing::warn!(
            request.id = %self.opened.request_id,
            deployment = self.deployment.as_deref(),
            origin = error.origin().name(),
            error = %Chain(error),
            "the request ended in an error"
        );
    }

    /// Notes what the answer's translation could not say.
    pub fn losses(&mut self, losses: &Losses) {
        for loss in losses.iter() {
            tracing::debug!(request.id = %self.opened.request_id, %loss, "the answer could not say everything");
        }
    }

    /// Ends the attempt that answered: its limits are corrected and given back, its deployment is told.
    fn release(&mut self, outcome: Outcome, usage: &Usage) {
        let Some((mut claim, place)) = self.claim.take() else { return };
        if let Some(record) = self.trail.get_mut(place) {
            record.ended_us = micros(self.opened.at.elapsed());
        }
        if let (Some(input), Some(output)) = (usage.input, usage.output) {
            claim.used(input.saturating_add(output));
        }
        match outcome {
            Outcome::Complete => {
                let moved = claim.succeed(self.clock.now());
                self.events.note_transition(&claim.deployment, moved);
            }
            Outcome::Broken | Outcome::Abandoned | Outcome::Failed => {}
        }
        drop(claim);
        self.tell_end(place);
    }

    /// What was used counts against its caller's limits, in the place of what was reserved.
    fn correct_limits(&mut self, usage: &Usage) {
        let used = match self.opened.counting {
            Counting::Usage => usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0)),
            Counting::Asked(tokens) => tokens,
        };
        self.admission.used(used);
    }

    /// May a provider have done anything that it bills?
    fn is_used(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Complete | Outcome::Broken => true,
            // An upstream that is still at it was asked, and nobody can say what it did until it was told to stop. One that has
            // failed has answered nothing.
            Outcome::Abandoned => {
                self.trail.iter().any(|attempt| !matches!(attempt.outcome, AttemptOutcome::Failed(_)))
            }
            Outcome::Failed => self.first_token.is_some(),
        }
    }

    /// Settles what was held.
    fn charge(&mut self, outcome: Outcome, usage: &Usage) -> Option<CostRecord> {
        let used = self.is_used(outcome);
        let funds = self.funds.as_mut()?;
        let usage = if used { *usage } else { Usage::default() };
        let (cost, written) = funds.settle(outcome, &usage, used, unix_millis());
        self.written = written;
        cost.map(|cost| CostRecord {
            nano_usd: cost.total.get(),
            price: Arc::clone(&cost.version),
            arithmetic: cost.to_string().into(),
        })
    }

    /// Waits for what has to be done before anybody may have the first byte of an answer.
    pub async fn held(&mut self) -> Result<(), GatewayError> {
        match &mut self.funds {
            Some(funds) => funds.durable().await,
            None => Ok(()),
        }
    }

    /// What has to be done before anybody may have the whole answer; told once, after the settlement.
    pub fn written(&mut self) -> Option<Written> {
        self.written.take()
    }

    /// Files the record. Later calls, and the drop, file nothing.
    pub fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (mut usage, basis) = match outcome {
            // Nothing was answered, so nothing was used that anybody could know of.
            Outcome::Failed | Outcome::Abandoned if !self.is_used(outcome) => (self.usage, Basis::Provider),
            Outcome::Complete => self.usage(),
            Outcome::Broken | Outcome::Abandoned | Outcome::Failed => self.usage_so_far(),
        };
        let clamped = clamp(&mut usage);
        self.release(outcome, &usage);
        self.correct_limits(&usage);
        let cost = self.charge(outcome, &usage);
        self.tell_left();
        // Also where no attempt answered: whatever it held is given back by now.
        self.queues.freed();
        self.stages.first_token_us = self.first_token.map(|at| micros(at.duration_since(self.opened.at)));
        let millis = |until: Instant| until.duration_since(self.opened.at).as_millis() as u64;
        let record = UsageRecord {
            request_id: Arc::clone(&self.opened.request_id),
            key: Arc::clone(&self.opened.key),
            whose: self.opened.whose.clone(),
            client: self.opened.client,
            model: self.opened.model.clone(),
            operation: self.opened.operation,
            deployment: self.deployment.take(),
            attempts: self.attempts,
            trail: std::mem::take(&mut self.trail),
            degraded: self.degraded.take(),
            stages: self.stages,
            outcome,
            status: self.status,
            error: self.error,
            stream: self.opened.stream,
            translated: self.translated,
            usage,
            basis,
            clamped,
            cost,
            latency_ms: millis(Instant::now()),
            first_token_ms: self.first_token.map(millis),
            peaks: self.admission.peaks(self.clock.now()),
            began: self.clock.moment(self.opened.at),
            trace: self.opened.trace,
        };
        self.tell_settled(&record);
        self.records.file(record);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.settle(Outcome::Abandoned);
    }
}

/// An error and its causes on one line, for the log only.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
