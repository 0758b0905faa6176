//! One record, counted. Decides what a request is counted as; the families are `metrics.rs`'s. Tests: `it/metrics.rs`.

use waypost_core::usage::{AttemptOutcome, AttemptRecord, Outcome, UsageRecord};

use super::known::{Kind, Known};
use super::{Counts, FIRST_TOKEN, OVERHEAD, PER_TOKEN, REQUEST, TOKENS, WAIT};
use crate::telemetry::convention;
use crate::telemetry::registry::Word;

const MILLI: u64 = 1000;

impl Counts {
    pub(super) fn observe(&mut self, record: &UsageRecord, known: &Known) {
        let model = self.model(record, known);
        self.count_request(record, model);
        self.count_attempts(record, model);
        self.count_usage(record, model);
        self.count_cost(record, model);
        self.measure(record, model);
    }

    /// The model by the name that labels may show: the caller's if the file lists it or, up to a number, if a provider
    /// answered to it; else the pattern it fits.
    fn model(&mut self, record: &UsageRecord, known: &Known) -> Word {
        let Some(model) = record.model.as_deref() else { return Word::NONE };
        match known.kind(model) {
            Kind::Listed => self.models.word(&mut self.words, model),
            Kind::OfFamily(_) if record.stages.answered_us.is_some() && record.status < 300 => {
                self.served.word(&mut self.words, model)
            }
            Kind::OfFamily(pattern) => self.models.word(&mut self.words, pattern),
            Kind::Unknown => Word::OTHER,
        }
    }

    fn count_request(&mut self, record: &UsageRecord, model: Word) {
        let words = &mut self.words;
        let outcome = words.of(record.outcome.name());
        let labels = [
            words.of(record.operation),
            model,
            outcome,
            words.of(status_class(record.status)),
            words.of(record.error.map_or("none", |kind| kind.row().label)),
        ];
        *self.requests.at(labels) += 1;
        let key = self.keys.word(words, &record.key);
        *self.key_requests.at([key, outcome]) += 1;
    }

    fn count_attempts(&mut self, record: &UsageRecord, model: Word) {
        let operation = self.words.of(convention::operation(record.operation));
        for attempt in &record.trail {
            let channel = self.channels.word(&mut self.words, &attempt.channel);
            let provider = self.words.of(attempt.provider);
            let verdict = self.words.of(attempt.outcome.name());
            *self.attempts.at([channel, provider, verdict]) += 1;
            let error = match attempt.outcome {
                AttemptOutcome::Answered => Word::NONE,
                AttemptOutcome::Failed(_) | AttemptOutcome::Cancelled => verdict,
            };
            let taken = attempt.ended_us.saturating_sub(attempt.started_us);
            self.attempt_duration.at([operation, provider, model, error]).observe(&REQUEST, taken);
        }
        for pair in record.trail.windows(2) {
            let [before, after] = pair else { continue };
            self.count_step(before, after);
        }
        for hedge in record.trail.iter().filter(|attempt| attempt.hedge) {
            let won = hedge.outcome == AttemptOutcome::Answered;
            let result = self.words.of(if won { "won" } else { "lost" });
            *self.hedges.at([result]) += 1;
        }
    }

    /// From one attempt to the next. A hedge is neither a retry nor a failover: the first call went on.
    fn count_step(&mut self, before: &AttemptRecord, after: &AttemptRecord) {
        if after.hedge {
            return;
        }
        let left = self.channels.word(&mut self.words, &before.channel);
        let again = before.deployment == after.deployment;
        let family = if again { &mut self.retries } else { &mut self.failovers };
        *family.at([left]) += 1;
    }

    fn count_usage(&mut self, record: &UsageRecord, model: Word) {
        if record.stages.first_token_us.is_none() {
            return;
        }
        let words = &mut self.words;
        let (operation, provider) = (words.of(convention::operation(record.operation)), words.of(provider(record)));
        let basis = words.of(record.basis.name());
        let key = self.keys.word(words, &record.key);
        let usage = &record.usage;
        let classes = [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ];
        for (class, count) in classes.into_iter().filter_map(|(class, count)| Some((class, count?))) {
            let class_word = words.of(class);
            *self.tokens.at([model, class_word, basis]) += count;
            if matches!(class, "input" | "output") {
                *self.key_tokens.at([key, class_word]) += count;
                self.token_usage.at([operation, provider, model, class_word]).observe(&TOKENS, count);
            }
        }
    }

    fn count_cost(&mut self, record: &UsageRecord, model: Word) {
        let words = &mut self.words;
        let named = |record: &UsageRecord| record.deployment.clone().unwrap_or_default();
        match &record.cost {
            Some(cost) => {
                let deployment = self.deployments.word(words, &named(record));
                let nano_usd = u64::try_from(cost.nano_usd).unwrap_or_default();
                *self.cost.at([model, deployment]) += nano_usd;
                let key = self.keys.word(words, &record.key);
                *self.key_cost.at([key]) += nano_usd;
            }
            None if record.stages.first_token_us.is_some() => {
                let deployment = self.deployments.word(words, &named(record));
                *self.unpriced.at([model, deployment]) += 1;
            }
            None => {}
        }
    }

    fn measure(&mut self, record: &UsageRecord, model: Word) {
        let words = &mut self.words;
        let labels = [
            words.of(convention::operation(record.operation)),
            words.of(provider(record)),
            model,
            convention::error(record).map_or(Word::NONE, |error| words.of(error)),
        ];
        let taken = record.latency_ms.saturating_mul(MILLI);
        self.request_duration.at(labels).observe(&REQUEST, taken);
        let stages = &record.stages;
        if let (Some(first), true) = (stages.first_token_us, record.stream) {
            self.first_token.at(labels).observe(&FIRST_TOKEN, first);
            let more = record.usage.output.unwrap_or_default().saturating_sub(1);
            if record.outcome == Outcome::Complete
                && let Some(each) = taken.saturating_sub(first).checked_div(more)
            {
                self.per_token.at(labels).observe(&PER_TOKEN, each);
            }
        }
        if let Some(wait) = stages.queued_us {
            self.queue_wait.at([]).observe(&WAIT, wait);
        }
        if let Some(first) = record.trail.first() {
            let waited = stages.queued_us.unwrap_or_default();
            self.overhead.at([]).observe(&OVERHEAD, first.started_us.saturating_sub(waited));
        }
    }
}

/// Who answered, or was asked last.
fn provider(record: &UsageRecord) -> &'static str {
    let answered = record.trail.iter().find(|attempt| attempt.outcome == AttemptOutcome::Answered);
    answered.or(record.trail.last()).map_or("waypost", |attempt| attempt.provider)
}

fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
