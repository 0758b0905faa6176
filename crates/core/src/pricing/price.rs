//! A price: what each class of token costs, by the length of the prompt and by service tier.
//! Decides what stands in for a class that has no price of its own. Tests are in `tests.rs` beside this.

use waypost_wire::peek::Dearer;

use super::service::ServiceFactors;
use crate::money::PicoUsd;

/// What one token of each class costs. Classes without a price of their own have one all the same: see [`Rates::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub input: PicoUsd,
    pub output: PicoUsd,
    pub cache_read: PicoUsd,
    /// Kept for the provider's usual, short time.
    pub cache_write: PicoUsd,
    /// Kept for an hour.
    pub cache_write_1h: PicoUsd,
    pub reasoning: PicoUsd,
    pub audio_input: PicoUsd,
    pub audio_output: PicoUsd,
}

impl Rates {
    /// Two prices, with everything that goes in at the one and everything that comes out at the other. A class whose price
    /// nobody told is thus never free, and never cheaper than what it is a part of.
    pub const fn new(input: PicoUsd, output: PicoUsd) -> Self {
        Self {
            input,
            output,
            cache_read: input,
            cache_write: input,
            cache_write_1h: input,
            reasoning: output,
            audio_input: input,
            audio_output: output,
        }
    }

    /// The dearest that a token of the prompt can be.
    pub(super) fn most_input(&self, audio: bool, long_cache: bool) -> PicoUsd {
        let usual = self.input.max(self.cache_read).max(self.cache_write);
        let usual = if audio { usual.max(self.audio_input) } else { usual };
        if long_cache { usual.max(self.cache_write_1h) } else { usual }
    }

    /// The dearest that a token of the answer can be.
    pub(super) fn most_output(&self, audio: bool) -> PicoUsd {
        let usual = self.output.max(self.reasoning);
        if audio { usual.max(self.audio_output) } else { usual }
    }
}

/// Other rates for long prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// A prompt of more tokens than this is at these rates, all of it and its answer.
    pub above: u64,
    pub rates: Rates,
}

/// What a model costs at a provider, in USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub rates: Rates,
    /// By `above`, the lowest first.
    pub tiers: Box<[Tier]>,
    /// For each call, whatever it used.
    pub call: PicoUsd,
    /// For each picture made.
    pub image: PicoUsd,
    pub service: ServiceFactors,
}

impl Price {
    /// A price with nothing but rates.
    pub fn of(rates: Rates) -> Self {
        let (call, image) = (PicoUsd::ZERO, PicoUsd::ZERO);
        Self { rates, tiers: Box::default(), call, image, service: ServiceFactors::default() }
    }

    /// Does it say what such a request costs? The usual service is always said.
    pub fn says(&self, dearer: Option<Dearer>) -> bool {
        match dearer {
            None => true,
            Some(Dearer::Service(_)) => self.service.priority.is_some(),
            Some(Dearer::Unsaid(_)) => false,
        }
    }

    /// The rates for a prompt of so many tokens.
    pub fn rates_for(&self, input: u64) -> &Rates {
        let long = self.tiers.iter().rev().find(|tier| input > tier.above);
        long.map_or(&self.rates, |tier| &tier.rates)
    }

    /// The rates that a prompt of at most so many tokens may be at.
    pub(super) fn rates_within(&self, input: u64) -> impl Iterator<Item = &Rates> {
        let reached = self.tiers.iter().filter(move |tier| input > tier.above).map(|tier| &tier.rates);
        std::iter::once(&self.rates).chain(reached)
    }
}
