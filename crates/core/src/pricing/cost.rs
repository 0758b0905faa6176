//! What usage costs at a price: each token in one class, all of it in whole numbers, rounded up once at the end.
//! Decides which class a token is in where counts overlap. Tests are in `tests.rs` beside this.

use std::fmt;
use std::sync::Arc;

use waypost_wire::chat::Usage;

use super::factor::Factor;
use super::price::{Price, Rates};
use super::service::ServiceTier;
use crate::money::{NanoUsd, PicoUsd};

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Tokens of the prompt that are in no other class.
    Input,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    /// Tokens of the answer that are in no other class.
    Output,
    Reasoning,
    AudioOutput,
    Call,
    Image,
}

impl Class {
    pub const ALL: [Self; 10] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::AudioInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
        Self::Call,
        Self::Image,
    ];

    /// The word in records, logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
            Self::Call => "call",
            Self::Image => "image",
        }
    }

    /// Its price is told for a million.
    pub fn is_tokens(self) -> bool {
        !matches!(self, Self::Call | Self::Image)
    }
}

/// What a cost depends on beside tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How it was served, if the answer does not say: see [`ServiceTier::unless_said`].
    pub service: ServiceTier,
    /// The caller's factor, such as its plan's.
    pub factor: Factor,
    /// Calls that are paid for; 0 if nothing was delivered.
    pub calls: u32,
    /// Pictures made.
    pub images: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { service: ServiceTier::Standard, factor: Factor::ONE, calls: 1, images: 0 }
    }
}

/// One class of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub class: Class,
    pub units: u64,
    /// For one unit, before factors.
    pub price: PicoUsd,
    /// Its share of the total, factors included. All shares add up to the total exactly.
    pub amount: NanoUsd,
}

/// What a request cost, and how that was worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    pub total: NanoUsd,
    /// The version of the price, by its id.
    pub version: Arc<str>,
    /// Only classes of which something was used.
    pub parts: Vec<Part>,
    pub service: ServiceTier,
    /// Of the service tier.
    pub service_factor: Factor,
    /// Of the caller.
    pub factor: Factor,
}

impl Price {
    /// What usage costs; rounded up, once. `None` beyond nine billion dollars. Counts that nobody knows are taken as 0, so
    /// estimate them first.
    pub fn cost(&self, usage: &Usage, terms: Terms, version: &Arc<str>) -> Option<Cost> {
        let service = usage.served.map_or(terms.service, ServiceTier::from);
        let service_factor = self.service.of(service);
        let rates = self.rates_for(usage.input.unwrap_or(0));
        let mut sum = Sum::new(service_factor, terms.factor);
        for (class, units, price) in input_units(usage, rates).into_iter().chain(output_units(usage, rates)) {
            sum.add(class, units, price)?;
        }
        sum.add(Class::Call, u64::from(terms.calls), self.call)?;
        sum.add(Class::Image, u64::from(terms.images), self.image)?;
        Some(Cost {
            total: sum.total,
            version: Arc::clone(version),
            parts: sum.parts,
            service,
            service_factor,
            factor: terms.factor,
        })
    }
}

type Units = (Class, u64, PicoUsd);

fn input_units(usage: &Usage, rates: &Rates) -> [Units; 5] {
    let count = |tokens: Option<u64>| tokens.unwrap_or(0);
    let long = count(usage.cache_write_1h).min(count(usage.cache_write));
    let parts = [
        (Class::CacheRead, count(usage.cache_read), rates.cache_read),
        (Class::CacheWrite, count(usage.cache_write) - long, rates.cache_write),
        (Class::CacheWrite1h, long, rates.cache_write_1h),
        (Class::AudioInput, count(usage.audio_input), rates.audio_input),
    ];
    let (left, [read, write, write_1h, audio]) = shared(count(usage.input), parts);
    [(Class::Input, left, rates.input), read, write, write_1h, audio]
}

fn output_units(usage: &Usage, rates: &Rates) -> [Units; 3] {
    let count = |tokens: Option<u64>| tokens.unwrap_or(0);
    let parts = [
        (Class::Reasoning, count(usage.reasoning), rates.reasoning),
        (Class::AudioOutput, count(usage.audio_output), rates.audio_output),
    ];
    let (left, [reasoning, audio]) = shared(count(usage.output), parts);
    [(Class::Output, left, rates.output), reasoning, audio]
}

/// Parts of a whole, and what is left of it. Where they are more than the whole together, tokens were counted twice: they
/// are paid once, in the dearest of their classes.
fn shared<const N: usize>(whole: u64, mut parts: [Units; N]) -> (u64, [Units; N]) {
    let mut left = whole;
    let mut order: [usize; N] = std::array::from_fn(|at| at);
    order.sort_by_key(|at| std::cmp::Reverse(parts.get(*at).map(|(_, _, price)| *price)));
    for at in order {
        if let Some((_, units, _)) = parts.get_mut(at) {
            *units = (*units).min(left);
            left -= *units;
        }
    }
    (left, parts)
}

/// A sum that is rounded up as a whole; each part's share is what it adds to that.
pub(super) struct Sum {
    /// In pico-USD, before factors.
    pico: u128,
    factors: u128,
    pub(super) total: NanoUsd,
    pub(super) parts: Vec<Part>,
}

impl Sum {
    pub(super) fn new(service: Factor, caller: Factor) -> Self {
        let factors = u128::from(service.millionths()) * u128::from(caller.millionths());
        Self { pico: 0, factors, total: NanoUsd::ZERO, parts: Vec::new() }
    }

    pub(super) fn add(&mut self, class: Class, units: u64, price: PicoUsd) -> Option<()> {
        if units == 0 || (price == PicoUsd::ZERO && !class.is_tokens()) {
            return Some(());
        }
        self.pico = self.pico.checked_add(u128::from(units).checked_mul(u128::from(price.get()))?)?;
        let total = rounded_up(self.pico, self.factors)?;
        let amount = total.checked_sub(self.total)?;
        self.total = total;
        self.parts.push(Part { class, units, price, amount });
        Some(())
    }
}

/// Pico-USD times factors in millionths of millionths, in nano-USD.
fn rounded_up(pico: u128, factors: u128) -> Option<NanoUsd> {
    const MILLIONTHS: u128 = 1_000_000;
    let nano = pico.checked_mul(factors)?.div_ceil(1000 * MILLIONTHS * MILLIONTHS);
    i64::try_from(nano).ok().map(NanoUsd)
}

/// The arithmetic: `1000 input at 1 + 400 output at 2 USD/1M = 0.0018 USD`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.parts.iter().filter(|part| part.class.is_tokens()).count();
        let factored = self.service_factor != Factor::ONE || self.factor != Factor::ONE;
        if factored && self.parts.len() > 1 {
            f.write_str("(")?;
        }
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " + " })?;
            part.units.fmt(f)?;
            f.write_str(" ")?;
            f.write_str(part.class.name())?;
            match part.class.is_tokens() {
                true => {
                    f.write_str(" at ")?;
                    part.price.as_per_million().fmt(f)?;
                }
                false => write!(f, " at {} USD", part.price.as_per_unit())?,
            }
            if at + 1 == tokens {
                f.write_str(" USD/1M")?;
            }
        }
        if factored && self.parts.len() > 1 {
            f.write_str(")")?;
        }
        if self.service_factor != Factor::ONE {
            write!(f, " x {} ({})", self.service_factor, self.service.name())?;
        }
        if self.factor != Factor::ONE {
            write!(f, " x {}", self.factor)?;
        }
        f.write_str(if self.parts.is_empty() { "nothing used = " } else { " = " })?;
        self.total.fmt(f)?;
        f.write_str(" USD")
    }
}
