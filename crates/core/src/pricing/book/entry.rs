//! From what a file says of a price to a price. Decides what stands in for what it does not say. Tests: `tests.rs`.

use super::super::price::{Price, Rates, Tier};
use super::super::service::ServiceFactors;
use crate::config::{ConfigError, PerMillion, PriceEntry, PriceTier};
use crate::money::PicoUsd;

/// The price of an entry; `path` is where it stands.
pub(crate) fn price(entry: &PriceEntry, path: &str) -> Result<Price, ConfigError> {
    let (call, image) = (entry.call.map(|price| price.0), entry.image.map(|price| price.0));
    let rates = match (entry.input, call.or(image)) {
        (Some(input), _) => own(entry, input),
        (None, Some(_)) if !names_tokens(entry) => Rates::new(PicoUsd::ZERO, PicoUsd::ZERO),
        (None, _) => return Err(ConfigError::at(path, "`input` is missing").fix("set it, to 0 if it is free")),
    };
    Ok(Price {
        rates,
        tiers: tiers(&entry.tiers, rates, path)?,
        call: call.unwrap_or_default(),
        image: image.unwrap_or_default(),
        service: ServiceFactors {
            flex: entry.service_tiers.flex,
            batch: entry.service_tiers.batch,
            priority: entry.service_tiers.priority,
        },
    })
}

fn names_tokens(entry: &PriceEntry) -> bool {
    let told = [
        entry.output,
        entry.cache_read,
        entry.cache_write,
        entry.cache_write_1h,
        entry.reasoning,
        entry.audio_input,
        entry.audio_output,
    ];
    told.iter().any(Option::is_some) || !entry.tiers.is_empty()
}

fn own(entry: &PriceEntry, input: PerMillion) -> Rates {
    let told = |price: Option<PerMillion>, or: PicoUsd| price.map_or(or, |price| price.0);
    let output = told(entry.output, input.0);
    let usual = Rates::new(input.0, output);
    let cache_write = told(entry.cache_write, usual.cache_write);
    Rates {
        cache_read: told(entry.cache_read, usual.cache_read),
        cache_write,
        cache_write_1h: told(entry.cache_write_1h, cache_write),
        reasoning: told(entry.reasoning, usual.reasoning),
        audio_input: told(entry.audio_input, usual.audio_input),
        audio_output: told(entry.audio_output, usual.audio_output),
        ..usual
    }
}

fn tiers(told: &[PriceTier], base: Rates, path: &str) -> Result<Box<[Tier]>, ConfigError> {
    let mut tiers: Vec<Tier> = Vec::with_capacity(told.len());
    for (position, tier) in told.iter().enumerate() {
        let below = tiers.last().map_or(base, |tier| tier.rates);
        if tiers.last().is_some_and(|last| last.above >= tier.above) {
            let error = ConfigError::at(format!("{path}.tiers[{position}].above"), "it is not above the tier before");
            return Err(error.fix("list the tiers from short to long prompts"));
        }
        tiers.push(Tier { above: tier.above, rates: long(tier, below) });
    }
    Ok(tiers.into())
}

fn long(tier: &PriceTier, below: Rates) -> Rates {
    let told = |price: Option<PerMillion>, or: PicoUsd| price.map_or(or, |price| price.0);
    let usual = Rates::new(tier.input.0, tier.output.0);
    let cache_write = told(tier.cache_write, usual.cache_write.max(below.cache_write));
    Rates {
        cache_read: told(tier.cache_read, usual.cache_read.max(below.cache_read)),
        cache_write,
        cache_write_1h: told(tier.cache_write_1h, cache_write.max(below.cache_write_1h)),
        reasoning: told(tier.reasoning, usual.reasoning.max(below.reasoning)),
        audio_input: told(tier.audio_input, usual.audio_input.max(below.audio_input)),
        audio_output: told(tier.audio_output, usual.audio_output.max(below.audio_output)),
        ..usual
    }
}
