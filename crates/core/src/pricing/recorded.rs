//! What a settled request keeps of how it was charged: tokens by class, and the terms that were not the usual ones. Enough to
//! work out later what it would have cost at another price. Decides the words. Tests are below.

use waypost_wire::chat::Usage;

use super::cost::{Class, Terms};
use super::factor::Factor;
use super::service::ServiceTier;

/// The factor of the caller, in millionths.
const FACTOR: &str = "factor";
/// Service tiers that are written down, by their names.
const SERVICES: [ServiceTier; 4] = [ServiceTier::Flex, ServiceTier::Batch, ServiceTier::Priority, ServiceTier::Other];

/// What to write down of a cost, in the order it is shown. Counts that nobody knows and usual terms are left out.
pub fn counts(usage: &Usage, terms: &Terms) -> Vec<(&'static str, u64)> {
    let usual = Terms::default();
    let Terms { service, factor, calls, images } = *terms;
    let unusual = |differs: bool, count: u64| differs.then_some(count);
    let classes = [
        (Class::Input.name(), usage.input),
        (Class::Output.name(), usage.output),
        (Class::CacheRead.name(), usage.cache_read),
        (Class::CacheWrite.name(), usage.cache_write),
        (Class::CacheWrite1h.name(), usage.cache_write_1h),
        (Class::Reasoning.name(), usage.reasoning),
        (Class::AudioInput.name(), usage.audio_input),
        (Class::AudioOutput.name(), usage.audio_output),
        (Class::Call.name(), unusual(calls != usual.calls, calls.into())),
        (Class::Image.name(), unusual(images != usual.images, images.into())),
        (FACTOR, unusual(factor != usual.factor, factor.millionths().into())),
        (service.name(), unusual(service != usual.service, 1)),
    ];
    classes.into_iter().filter_map(|(word, count)| Some((word, count?))).collect()
}

/// Reads what [`counts`] gave, written as `input=12,output=5`. `None` if a word or a number is none of its.
pub fn read(text: &str) -> Option<(Usage, Terms)> {
    let (mut usage, mut terms) = (Usage::default(), Terms::default());
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (word, count) = pair.split_once('=')?;
        let count: u64 = count.parse().ok()?;
        if let Some(service) = SERVICES.into_iter().find(|service| service.name() == word) {
            terms.service = service;
            continue;
        }
        match word {
            FACTOR => terms.factor = Factor::of_millionths(count.try_into().ok()?)?,
            "call" => terms.calls = count.try_into().ok()?,
            "image" => terms.images = count.try_into().ok()?,
            _ => *tokens(&mut usage, word)? = Some(count),
        }
    }
    Some((usage, terms))
}

fn tokens<'u>(usage: &'u mut Usage, word: &str) -> Option<&'u mut Option<u64>> {
    match word {
        "input" => Some(&mut usage.input),
        "output" => Some(&mut usage.output),
        "cache_read" => Some(&mut usage.cache_read),
        "cache_write" => Some(&mut usage.cache_write),
        "cache_write_1h" => Some(&mut usage.cache_write_1h),
        "reasoning" => Some(&mut usage.reasoning),
        "audio_input" => Some(&mut usage.audio_input),
        "audio_output" => Some(&mut usage.audio_output),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(usage: &Usage, terms: &Terms) -> String {
        counts(usage, terms).iter().map(|(word, count)| format!("{word}={count}")).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn what_is_written_down_is_read_again_whole() {
        let usage = Usage {
            input: Some(1),
            output: Some(2),
            cache_read: Some(3),
            cache_write: Some(4),
            cache_write_1h: Some(5),
            reasoning: Some(6),
            audio_input: Some(7),
            audio_output: Some(8),
        };
        for service in SERVICES {
            let terms = Terms { service, factor: Factor::permille(1250).unwrap(), calls: 0, images: 3 };
            assert_eq!(read(&text(&usage, &terms)), Some((usage, terms)), "{}", text(&usage, &terms));
        }
        let some = Usage { input: Some(0), output: None, ..Usage::default() };
        assert_eq!(text(&some, &Terms::default()), "input=0", "usual terms are not said");
        assert_eq!(read("input=0"), Some((some, Terms::default())));
        assert_eq!(read(""), Some((Usage::default(), Terms::default())));
    }

    #[test]
    fn what_nobody_wrote_is_not_guessed_at() {
        for text in ["input", "input=x", "input=-1", "thoughts=5", "factor=9999999999", "call=99999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
