//! A request's way through the limits of all its levels at once: everything is taken everywhere, or nothing anywhere.
//! Knows no clock and no caller. Tests are in `admission/tests.rs`.

use super::level::{Denied, Free, Level, Levels, Peak, Share};
use crate::moment::Moment;

/// What a request asks for, in tokens: nothing where it uses none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// About how long the prompt is.
    pub prompt: u64,
    /// The cap on the output, or what is usual.
    pub output: u64,
    /// It is a cap.
    pub capped: bool,
}

/// Where the output has no cap, no more is reserved for it than such a part of a limit: small limits are for small requests.
const UNCAPPED_PART: u64 = 10;

impl Ask {
    /// What is reserved under a limit. A prompt that fits may be answered: however high its cap, it needs no more than all.
    pub(super) fn within(self, limit: u64) -> u64 {
        let output = if self.capped { self.output } else { self.output.min(limit / UNCAPPED_PART) };
        self.prompt.saturating_add(output).min(limit)
    }
}

/// A request that was admitted. Dropped before anybody said what it used, it was never made: everything is given back.
#[derive(Debug, Default)]
#[must_use]
pub struct Admission {
    levels: Levels,
    /// What it took of each of them. Empty once it is over.
    shares: Vec<Share>,
}

impl Levels {
    /// Takes a request at every level, or at none and says which limit keeps it out for longest.
    pub fn admit(&self, ask: Ask, now: Moment) -> Result<Admission, Denied> {
        if self.is_empty() {
            return Ok(Admission::default());
        }
        // In the order of the levels, which is the same for everybody.
        let mut gates: Vec<_> = self.iter().map(|level| level.gate.lock()).collect();
        let full = self.iter().zip(&mut gates).filter_map(|(level, taken)| {
            let (dimension, limit, free) = taken.refusal(&level.limits, ask, now)?;
            Some((level, dimension, limit, free))
        });
        if let Some((Level { kind, name, .. }, dimension, limit, free)) = full.max_by_key(|(.., free)| *free) {
            return Err(Denied { level: *kind, name: name.clone(), dimension, limit, free });
        }
        let shares = self.iter().zip(&mut gates).map(|(level, taken)| taken.take(&level.limits, ask, now)).collect();
        Ok(Admission { levels: self.clone(), shares })
    }
}

impl Admission {
    /// The request is over; so many tokens count in the place of those that were reserved. Later calls do nothing.
    pub fn used(&mut self, tokens: u64) {
        for (level, share) in self.levels.iter().zip(self.shares.drain(..)) {
            level.gate.lock().correct(share, tokens);
        }
    }
}

impl Admission {
    /// How far the limits are used that it counts against.
    pub fn peaks(&self, now: Moment) -> Vec<Peak> {
        self.levels.peaks(now)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for (level, share) in self.levels.iter().zip(self.shares.drain(..)) {
            level.gate.lock().give_back(share);
        }
    }
}

impl Denied {
    /// How long until it is worth another try.
    pub fn wait(&self, now: Moment) -> std::time::Duration {
        match self.free {
            Free::At(moment) => moment.since(now),
            Free::Soon | Free::Never => std::time::Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests;
