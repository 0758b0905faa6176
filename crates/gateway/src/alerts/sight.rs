//! What is seen of settled requests that may be worth telling: what they cost in an hour, and how far their callers' limits
//! are used. Bounded, and never waits. Writes nothing. Tests are below.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waypost_core::config;
use waypost_core::limit::{Dimension, LevelKind, Peak};
use waypost_core::usage::UsageRecord;
use waypost_store::alerts::{Kind, Owner, Sighting};

use super::{DAY, HOUR};

/// No more sightings wait for the database.
const MOST_WAITING: usize = 4096;
/// No more keys are shown.
const MOST_KEYS: usize = 1000;
/// How long a minute's usage is worth showing, in milliseconds.
const FRESH: i64 = 60_000;

/// What is seen by one process.
#[derive(Debug, Default)]
pub struct Sight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By hour, in nano-USD, since it was asked for.
    spent: BTreeMap<i64, i64>,
    /// The latest hour, and what all processes have spent in it.
    hour: (i64, i64),
    waiting: Vec<Sighting>,
    /// What was seen in these windows, so that it is not seen again with every request.
    known: HashSet<(Kind, String, i64)>,
    keys: HashMap<Arc<str>, Usage>,
}

/// How far a key's limits were used when it was used last, in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The fullest of its limits of a minute.
    pub minute: Option<u64>,
    pub day: Option<u64>,
}

impl Sight {
    /// Takes a request into account that began at this time.
    pub fn see(&self, settings: &config::Alerts, record: &UsageRecord, at: i64) {
        if record.cost.is_none() && record.peaks.is_empty() {
            return;
        }
        let mut state = self.lock();
        if let Some(cost) = &record.cost {
            state.spend(start(at, HOUR), cost.nano_usd);
        }
        let mut usage = Usage { at, ..Usage::default() };
        for peak in &record.peaks {
            let percent = percent(peak);
            let (kind, most, window) = match peak.dimension {
                Dimension::TokensPerDay => (Kind::TokenQuota, settings.token_quota, start(at, DAY)),
                Dimension::Requests | Dimension::Tokens | Dimension::Concurrency => {
                    (Kind::KeyUsage, settings.key_usage, start(at, HOUR))
                }
            };
            let shown = if kind == Kind::TokenQuota { &mut usage.day } else { &mut usage.minute };
            *shown = (*shown).max(Some(percent));
            if most > 0 && percent >= u64::from(most) {
                state.note(sighting(record, peak, kind, most, window));
            }
        }
        if !record.peaks.is_empty() && (state.keys.len() < MOST_KEYS || state.keys.contains_key(&record.key)) {
            state.keys.insert(Arc::clone(&record.key), usage);
        }
    }

    /// What was seen and is to be written down.
    pub(super) fn waiting(&self) -> Vec<Sighting> {
        std::mem::take(&mut self.lock().waiting)
    }

    pub(super) fn put_back(&self, sightings: Vec<Sighting>) {
        let mut state = self.lock();
        let room = MOST_WAITING.saturating_sub(state.waiting.len());
        state.waiting.extend(sightings.into_iter().take(room));
    }

    /// What was spent since this was asked, by hour.
    pub(super) fn spent(&self) -> BTreeMap<i64, i64> {
        std::mem::take(&mut self.lock().spent)
    }

    pub(super) fn spend(&self, hour: i64, amount: i64) {
        self.lock().spend(hour, amount);
    }

    pub(super) fn hour_costs(&self, hour: i64, sum: i64) {
        let mut state = self.lock();
        state.hour = state.hour.max((hour, sum));
    }

    /// What all processes have spent in the hour of `now`, as far as it was written down, in nano-USD.
    pub fn cost_of_hour(&self, now: i64) -> i64 {
        let (hour, sum) = self.lock().hour;
        if hour == start(now, HOUR) { sum } else { 0 }
    }

    /// How far keys' limits are used, of keys that are in use.
    pub fn usage(&self, now: i64) -> Vec<(Arc<str>, Usage)> {
        let mut state = self.lock();
        state.keys.retain(|_, usage| start(usage.at, DAY) == start(now, DAY));
        let shown = state.keys.iter().map(|(key, usage)| {
            let minute = usage.minute.filter(|_| now - usage.at < FRESH);
            (Arc::clone(key), Usage { minute, ..*usage })
        });
        shown.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spend(&mut self, hour: i64, amount: i64) {
        let sum = self.spent.entry(hour).or_default();
        *sum = sum.saturating_add(amount);
    }

    fn note(&mut self, sighting: Sighting) {
        let Sighting { kind, subject, window_at, .. } = &sighting;
        if self.known.len() >= MOST_WAITING {
            // The database knows them all the same.
            self.known.clear();
        }
        if self.known.insert((*kind, subject.clone(), *window_at)) && self.waiting.len() < MOST_WAITING {
            self.waiting.push(sighting);
        }
    }
}

fn sighting(record: &UsageRecord, peak: &Peak, kind: Kind, mark: u8, window_at: i64) -> Sighting {
    let whose = &record.whose;
    let id = match peak.level {
        LevelKind::Key => Some(&whose.key_id),
        LevelKind::User => whose.user.as_ref(),
        LevelKind::Team => whose.team.as_ref(),
        LevelKind::Plan => None,
    };
    let id = id.filter(|id| !id.is_empty()).unwrap_or(&peak.name);
    let text = |id: &Option<Arc<str>>| id.as_deref().unwrap_or_default().to_owned();
    let owner = match peak.level {
        LevelKind::Key | LevelKind::User => Owner { user: text(&whose.user), team: text(&whose.team) },
        LevelKind::Team => Owner { user: String::new(), team: text(&whose.team) },
        LevelKind::Plan => Owner::default(),
    };
    let unit = match peak.dimension {
        Dimension::Requests | Dimension::Concurrency => "requests",
        Dimension::Tokens | Dimension::TokensPerDay => "tokens",
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Sighting {
        kind,
        subject: format!("{}:{id}", peak.level.name()),
        window_at,
        mark: i64::from(mark),
        reached: number(peak.used),
        bound: number(peak.limit),
        unit,
        owner,
    }
}

fn percent(peak: &Peak) -> u64 {
    let percent = u128::from(peak.used) * 100 / u128::from(peak.limit.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

fn start(at: i64, length: i64) -> i64 {
    at - at.rem_euclid(length)
}
