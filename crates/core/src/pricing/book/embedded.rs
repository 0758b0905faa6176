//! The prices that are built in: what providers publish for their own models, a line each, with where and when it was read.
//! Decides nothing. Tests are in `tests.rs` beside this.

use std::sync::Arc;

use super::{Names, Origin, Rule, Version};
use crate::config::{Day, PerMillion, PriceEntry, PriceTier, ServiceTiers};
use crate::money::PicoUsd;
use crate::provider;

/// One line a price: provider, model, day, then what is known of it, as `word=price`.
const BOOK: &str = include_str!("embedded.txt");

/// Every price of the book. A line that cannot be read is left out; the tests see to it that there is none.
pub(super) fn rules() -> Vec<Rule> {
    let mut source = None;
    let mut rules = Vec::new();
    for line in BOOK.lines() {
        if let Some(told) = line.strip_prefix("# source:") {
            source = Some(Arc::from(told.trim()));
        }
        rules.extend(rule(line, source.clone()));
    }
    rules
}

fn rule(line: &'static str, source: Option<Arc<str>>) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let provider = provider::by_kind(words.next().filter(|word| !word.starts_with('#'))?)?;
    let (model, day) = (words.next()?, Day::parse(words.next()?)?);
    let entry = entry(words)?;
    let price = super::entry::price(&entry, "").ok()?;
    let name = format!("{}/{model}", provider.kind);
    let version = Version { source, ..Version::new(Origin::Embedded, &name, day.unix_ms(), price) };
    let names = match model.contains('*') {
        true => Names::Fitting(crate::pattern::Pattern::new(model)),
        false => Names::Upstream(model),
    };
    Some(Rule { channel: None, provider: Some(provider.kind), names, version: Arc::new(version) })
}

/// `above=` begins a tier, to which all that follows belongs.
fn entry<'l>(words: impl Iterator<Item = &'l str>) -> Option<PriceEntry> {
    let mut entry = PriceEntry::default();
    for word in words {
        let (key, value) = word.split_once('=')?;
        match key {
            "above" => {
                let free = PerMillion(PicoUsd::ZERO);
                entry.tiers.push(PriceTier::new(value.parse().ok()?, free, free));
            }
            "flex" | "batch" | "priority" => factor(&mut entry.service_tiers, key, value)?,
            _ => {
                let price = PerMillion(PicoUsd::per_million(value).ok()?);
                match entry.tiers.last_mut() {
                    Some(tier) => long(tier, key, price)?,
                    None => short(&mut entry, key, price)?,
                }
            }
        }
    }
    Some(entry)
}

fn factor(tiers: &mut ServiceTiers, key: &str, value: &str) -> Option<()> {
    let factor = Some(value.parse().ok()?);
    match key {
        "flex" => tiers.flex = factor,
        "batch" => tiers.batch = factor,
        "priority" => tiers.priority = factor,
        _ => return None,
    }
    Some(())
}

fn short(entry: &mut PriceEntry, key: &str, price: PerMillion) -> Option<()> {
    let field = match key {
        "input" => &mut entry.input,
        "output" => &mut entry.output,
        "cache_read" => &mut entry.cache_read,
        "cache_write" => &mut entry.cache_write,
        "cache_write_1h" => &mut entry.cache_write_1h,
        "audio_input" => &mut entry.audio_input,
        "audio_output" => &mut entry.audio_output,
        _ => return None,
    };
    *field = Some(price);
    Some(())
}

fn long(tier: &mut PriceTier, key: &str, price: PerMillion) -> Option<()> {
    match key {
        "input" => tier.input = price,
        "output" => tier.output = price,
        "cache_read" => tier.cache_read = Some(price),
        "cache_write" => tier.cache_write = Some(price),
        "cache_write_1h" => tier.cache_write_1h = Some(price),
        "audio_input" => tier.audio_input = Some(price),
        "audio_output" => tier.audio_output = Some(price),
        _ => return None,
    }
    Some(())
}
