//! Asks the accounts that want it, each as often as its file says: one job a channel, which follows reloads and ends when its
//! channel does. What is found goes the way of real requests: an isolated deployment is tried out by it, a refused key that
//! works is used again, and failures count. Never while the gateway is stopping. Tests: `it/probes.rs` and below.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waypost_core::dice::Dice;
use waypost_core::ids::{ChannelId, CredentialId};
use waypost_core::route::{Claim, account_answered, account_failed};
use waypost_core::snapshot::{Channel, Credential};
use waypost_core::verdict::Blame;

use super::ask::{Heard, Question, ask};
use super::{Finding, Tested};
use crate::app::{App, Live};
use crate::jobs::Jobs;

/// What probes have found since the start.
#[derive(Default)]
pub struct Probes(Mutex<Book>);

#[derive(Default)]
struct Book {
    counts: BTreeMap<(Arc<str>, &'static str), u64>,
    /// What was found last, so that only changes are news.
    last: HashMap<CredentialId, &'static str>,
    /// Channels that have a job.
    asked: HashSet<ChannelId>,
}

impl Probes {
    /// Channel, finding and how often that was found, in the order of their names.
    pub fn counts(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let book = self.book();
        book.counts.iter().map(|((channel, finding), count)| (Arc::clone(channel), *finding, *count)).collect()
    }

    /// Counts and tells what was found.
    fn note(&self, channel: &Channel, credential: &Credential, tested: &Tested) {
        let finding = tested.finding.name();
        let mut book = self.book();
        *book.counts.entry((Arc::clone(&channel.name), finding)).or_default() += 1;
        let before = book.last.insert(credential.id, finding);
        drop(book);
        let (status, latency_ms) = (tested.status, u64::try_from(tested.latency.as_millis()).unwrap_or(u64::MAX));
        let (channel, credential) = (&*channel.name, &*credential.label);
        match (tested.finding, before) {
            (_, Some(before)) if before == finding => {
                tracing::debug!(channel, credential, finding, status, latency_ms, "a probe found no change");
            }
            (Finding::Valid, None) => {
                tracing::debug!(channel, credential, finding, status, latency_ms, "a probe found the account well");
            }
            (Finding::Valid, Some(before)) => {
                tracing::info!(channel, credential, before, latency_ms, "a probe found the account well again");
            }
            (_, _) => {
                tracing::warn!(channel, credential, finding, status, latency_ms, "a probe found the account unwell");
            }
        }
    }

    /// Says that a channel has a job from now on; `false` if it has one already.
    fn begin(&self, channel: ChannelId) -> bool {
        self.book().asked.insert(channel)
    }

    fn end(&self, channel: ChannelId) {
        self.book().asked.remove(&channel);
    }

    /// Forgets what is kept of channels that are gone.
    fn tidy(&self, live: &Live) {
        let names: HashSet<_> = live.snapshot.channels.iter().map(|channel| &channel.name).collect();
        let keys = live.snapshot.channels.iter().flat_map(|channel| &channel.credentials);
        let keys: HashSet<_> = keys.map(|credential| credential.id).collect();
        let mut book = self.book();
        book.counts.retain(|(channel, _), _| names.contains(channel));
        book.last.retain(|credential, _| keys.contains(credential));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to it that every channel that wants to be asked has its job, until the jobs are told to stop.
pub async fn run(app: Arc<App>, jobs: Jobs) {
    let mut changes = app.changes();
    loop {
        let live = app.live();
        app.probes.tidy(&live);
        for channel in live.snapshot.channels.iter().filter(|channel| channel.probe.is_some()) {
            if app.probes.begin(channel.id) {
                jobs.spawn(
                    "probe",
                    Asking { app: Arc::clone(&app), channel: channel.id, seated: true }.run(jobs.clone()),
                );
            }
        }
        drop(live);
        tokio::select! {
            () = jobs.stopping() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// The job of one channel.
struct Asking {
    app: Arc<App>,
    channel: ChannelId,
    /// It is the one that is listed.
    seated: bool,
}

impl Asking {
    async fn run(mut self, jobs: Jobs) {
        tokio::select! {
            () = jobs.stopping() => {}
            () = self.ask_again_and_again() => {}
        }
    }

    async fn ask_again_and_again(&mut self) {
        let mut changes = self.app.changes();
        let mut schedule = Schedule::new(Instant::now(), self.app.dice());
        while let Some(every) = self.every() {
            tokio::select! {
                // Whether and how often it is to be asked may be another thing now.
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep_until(schedule.next(every)) => {
                    schedule.asked(Instant::now());
                    let live = self.app.live();
                    if !self.app.is_ready() {
                        return;
                    }
                    if let Some(channel) = wanted(&live, self.channel) {
                        round(&self.app, &live, channel).await;
                    }
                }
            }
        }
    }

    /// How often to ask; `None` when there is nobody to ask any more.
    fn every(&mut self) -> Option<Duration> {
        if let Some(every) = self.wish() {
            return Some(every);
        }
        self.app.probes.end(self.channel);
        self.seated = false;
        // It may have come back before the place was free: then somebody has to take it.
        let every = self.wish()?;
        self.seated = self.app.probes.begin(self.channel);
        self.seated.then_some(every)
    }

    fn wish(&self) -> Option<Duration> {
        let live = self.app.live();
        wanted(&live, self.channel).and_then(|channel| channel.probe).map(|probe| probe.every)
    }
}

/// However it ends, another may begin.
impl Drop for Asking {
    fn drop(&mut self) {
        if self.seated {
            self.app.probes.end(self.channel);
        }
    }
}

fn wanted(live: &Live, id: ChannelId) -> Option<&Arc<Channel>> {
    live.snapshot.channels.iter().find(|channel| channel.id == id && channel.probe.is_some())
}

/// When to ask. The first time comes after a random part of the usual wait, so that accounts do not take turns in step.
struct Schedule {
    began: Instant,
    /// Of 256.
    part: u32,
    last: Option<Instant>,
}

impl Schedule {
    fn new(began: Instant, mut dice: Dice) -> Self {
        Self { began, part: u32::try_from(dice.below(256)).unwrap_or_default(), last: None }
    }

    fn next(&self, every: Duration) -> Instant {
        match self.last {
            Some(last) => last + every,
            None => self.began + every / 256 * self.part,
        }
    }

    fn asked(&mut self, at: Instant) {
        self.last = Some(at);
    }
}

/// Asks each key of a channel once, one after another; where the account itself fails, the others would hear the same.
pub async fn round(app: &App, live: &Live, channel: &Arc<Channel>) {
    let Some(probe) = channel.probe else { return };
    let Some(question) = Question::of(live, channel, probe.kind, None) else { return };
    for (position, credential) in channel.credentials.iter().enumerate() {
        if !app.is_ready() {
            return;
        }
        let heard = match &question.chat {
            None => Some(ask_account(app, live, credential, &question).await),
            Some(_) => ask_model(app, live, credential, position, &question).await,
        };
        let Some(heard) = heard else { continue };
        app.probes.note(channel, credential, &heard.tested);
        if heard.verdict.is_some_and(|verdict| verdict.blame == Blame::Deployment) {
            return;
        }
    }
}

/// Asks for the list of models.
async fn ask_account(app: &App, live: &Live, credential: &Credential, question: &Question) -> Heard {
    let heard = ask(app, live, credential, question).await;
    let (now, deployments) = (app.clock.now(), live.snapshot.deployments_of(question.channel()));
    let changes = match &heard.verdict {
        None => account_answered(question.channel(), credential, &deployments, now),
        Some(verdict) => account_failed(credential, &deployments, verdict, now),
    };
    for (deployment, change) in changes {
        app.note_transition(deployment, Some(change));
    }
    heard
}

/// Asks for a word, under every limit that a request is under; `None` if it would have to wait.
async fn ask_model(
    app: &App,
    live: &Live,
    credential: &Credential,
    position: usize,
    question: &Question,
) -> Option<Heard> {
    let (deployment, endpoint) = question.chat.as_ref()?;
    let mut claim = Claim::for_probe(deployment, endpoint, position, app.clock.now())?;
    let heard = ask(app, live, credential, question).await;
    app.hear(&claim, &heard.headers);
    let now = app.clock.now();
    let changes = match &heard.verdict {
        None => [claim.began(heard.tested.latency, now), claim.succeed(now)],
        Some(verdict) => [claim.fail(verdict, now), None],
    };
    for change in changes {
        app.note_transition(deployment, change);
    }
    drop(claim);
    app.queues.freed();
    Some(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_question_comes_after_a_part_of_the_wait_and_the_others_after_the_whole() {
        let (began, every) = (Instant::now(), Duration::from_secs(256));
        let firsts: HashSet<Duration> = (0..50)
            .map(|seed| Schedule::new(began, Dice::seeded(seed)).next(every) - began)
            .inspect(|first| assert!(*first < every))
            .collect();
        assert!(firsts.len() > 10, "they are in step");
        let mut schedule = Schedule::new(began, Dice::seeded(1));
        schedule.asked(began + Duration::from_secs(5));
        assert_eq!(schedule.next(every), began + Duration::from_secs(261));
        assert_eq!(schedule.next(every * 2), began + Duration::from_secs(517), "a reload changes the wait");
    }
}
