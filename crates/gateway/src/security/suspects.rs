//! Who has shown which signs lately, within fixed bounds of memory. Decides when something is told again and when an address is
//! refused. Tests: `tests.rs` beside this.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use waypost_core::config::Block;
use waypost_core::moment::Moment;

use super::{Blocked, Incident, Noted, Sign, Who, network};

/// How many addresses and keys are watched at once; further ones are only counted.
const MOST_SUSPECTS: usize = 10_000;
/// How many incidents are remembered.
const MOST_INCIDENTS: usize = 1000;
/// How many incidents are told in a minute; further ones are only counted.
const MOST_TOLD: u32 = 120;
/// From so many in a minute on it is told, and then each time it has doubled.
const WORTH_TELLING: u32 = 20;
/// After so many keys in a minute that are none, their sender is told to wait.
const FAILED_KEYS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Key(Box<str>),
    Nobody,
}

#[derive(Debug, Default)]
struct Suspect {
    signs: [Window; Sign::ALL.len()],
    /// Those that count for a block, within its own time.
    offences: Window,
    refused_until: Option<Moment>,
}

/// What was counted since it began; when its time is over it begins anew.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Moment,
    count: u32,
}

impl Window {
    fn add(&mut self, length: Duration, now: Moment) -> u32 {
        if self.count == 0 || now.since(self.began) >= length {
            *self = Self { began: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    fn is_over(&self, length: Duration, now: Moment) -> bool {
        self.count == 0 || now.since(self.began) >= length
    }
}

#[derive(Debug, Default)]
pub(super) struct Suspects {
    known: HashMap<Subject, Suspect>,
    swept: Moment,
    told: Window,
    incidents: VecDeque<Arc<Incident>>,
    numbers: u64,
    blocks: usize,
}

impl Suspects {
    pub(super) fn note(&mut self, sign: Sign, who: Who<'_>, block: Option<Block>, now: Moment, at: i64) -> Noted {
        let subject = match (who.address, who.key) {
            // Hitting limits is a matter of the key, wherever it is used.
            (_, Some(key)) if sign == Sign::Burst => Subject::Key(key.into()),
            (Some(address), _) => Subject::Address(network(address)),
            (None, Some(key)) => Subject::Key(key.into()),
            (None, None) => Subject::Nobody,
        };
        let may_block = !who.shared && matches!(subject, Subject::Address(_));
        if !self.has_room(&subject, block, now) {
            return Noted::default();
        }
        let suspect = self.known.entry(subject).or_default();
        let count = suspect.signs.get_mut(sign as usize).map_or(0, |window| window.add(MINUTE, now));
        let offence = block.filter(|_| may_block && sign.counts_for_block());
        let newly_refused = offence.filter(|block| {
            let free = suspect.refused_until.is_none_or(|until| until <= now);
            suspect.offences.add(block.window.0, now) >= block.after && free
        });
        if let Some(block) = newly_refused {
            self.blocks += usize::from(suspect.refused_until.is_none());
            suspect.refused_until = Some(now.plus(block.length.0));
            suspect.offences = Window::default();
        }
        let doubled = count.is_multiple_of(WORTH_TELLING) && (count / WORTH_TELLING).is_power_of_two();
        let worth = newly_refused.is_some() || doubled || (count == 1 && sign.is_serious());
        let throttled = sign == Sign::BadKey && may_block && count > FAILED_KEYS;
        let incident = (worth && self.told.add(MINUTE, now) <= MOST_TOLD).then(|| {
            let blocked_for = newly_refused.map(|block| block.length.0.as_secs());
            self.remember(sign, who, count, blocked_for, at)
        });
        Noted { incident, throttled }
    }

    fn remember(&mut self, sign: Sign, who: Who<'_>, count: u32, blocked_for: Option<u64>, at: i64) -> Arc<Incident> {
        self.numbers += 1;
        let incident = Arc::new(Incident {
            number: self.numbers,
            at,
            kind: sign.name(),
            address: who.address,
            key: who.key.map(Box::from),
            count,
            blocked_for,
        });
        if self.incidents.len() >= MOST_INCIDENTS {
            self.incidents.pop_front();
        }
        self.incidents.push_back(Arc::clone(&incident));
        incident
    }

    /// Makes room for one more where that is needed; forgets whoever has been quiet, once in a second at most.
    fn has_room(&mut self, subject: &Subject, block: Option<Block>, now: Moment) -> bool {
        if self.known.len() < MOST_SUSPECTS || self.known.contains_key(subject) {
            return true;
        }
        if now.since(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            let window = block.map_or(MINUTE, |block| block.window.0);
            self.known.retain(|_, suspect| {
                let refused = suspect.refused_until.is_some_and(|until| until > now);
                refused
                    || !suspect.offences.is_over(window, now)
                    || !suspect.signs.iter().all(|sign| sign.is_over(MINUTE, now))
            });
            self.blocks = self.known.values().filter(|suspect| suspect.refused_until.is_some()).count();
        }
        self.known.len() < MOST_SUSPECTS
    }

    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        self.known.len()
    }

    /// How many are refused, or were until a moment ago.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(super) fn blocked(&mut self, network: IpAddr, now: Moment) -> Option<Duration> {
        let suspect = self.known.get_mut(&Subject::Address(network))?;
        let left = suspect.refused_until?.since(now);
        if left > Duration::ZERO {
            return Some(left);
        }
        suspect.refused_until = None;
        self.blocks = self.blocks.saturating_sub(1);
        None
    }

    pub(super) fn pardon(&mut self, network: IpAddr) -> bool {
        let suspect = self.known.get_mut(&Subject::Address(network));
        let was = suspect.and_then(|suspect| suspect.refused_until.take()).is_some();
        self.blocks = self.blocks.saturating_sub(usize::from(was));
        was
    }

    pub(super) fn blocked_now(&self, now: Moment) -> Vec<Blocked> {
        let refused = self.known.iter().filter_map(|(subject, suspect)| match subject {
            Subject::Address(address) => {
                let left = suspect.refused_until?.since(now);
                let seconds_left = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                (seconds_left > 0).then_some(Blocked { address: *address, seconds_left })
            }
            Subject::Key(_) | Subject::Nobody => None,
        });
        let mut refused: Vec<_> = refused.collect();
        refused.sort_by_key(|blocked| blocked.address);
        refused
    }

    pub(super) fn latest(&self, most: usize) -> Vec<Arc<Incident>> {
        self.incidents.iter().rev().take(most).map(Arc::clone).collect()
    }

    pub(super) fn after(&self, number: u64) -> Vec<Arc<Incident>> {
        self.incidents.iter().filter(|incident| incident.number > number).map(Arc::clone).collect()
    }
}
