//! What becomes of requests to deployments whose price nobody knows. Decides that nothing is ever served for $0 by accident.
//! Tests are below.

use std::sync::Arc;

use super::book::{Version, in_force};
use crate::config;
use crate::error::GatewayError;

/// What becomes of a request to a deployment without a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It is refused.
    Refuse,
    /// It is served and its record is marked as unpriced, if nobody has to pay for it.
    #[default]
    AllowAndMark,
    /// It is charged at a price that is set for all of them.
    Ceiling,
}

/// The policy, compiled.
#[derive(Clone, Debug, Default)]
pub struct Pricing {
    pub unknown: Unknown,
    /// There is one exactly if the policy is `Ceiling`.
    pub ceiling: Option<Arc<Version>>,
    /// The output cap for paying callers who set none; the model's own maximum if that is lower.
    pub output_cap: Option<u64>,
}

/// At which price a request is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Priced {
    At(Arc<Version>),
    /// For nothing that anybody knows: mark the record.
    Unpriced,
}

impl Pricing {
    /// The price of a deployment at a time (Unix, milliseconds). `pays`: the caller has a budget or a prepaid credit, so
    /// that it can be served only at a known price; without one it is refused, unless there is a ceiling.
    pub fn decide(&self, prices: &[Arc<Version>], now_ms: i64, pays: bool) -> Result<Priced, GatewayError> {
        if let Some(version) = in_force(prices, now_ms) {
            return Ok(Priced::At(Arc::clone(version)));
        }
        match (self.unknown, &self.ceiling) {
            (Unknown::Ceiling, Some(ceiling)) => Ok(Priced::At(Arc::clone(ceiling))),
            (Unknown::AllowAndMark, _) if !pays => Ok(Priced::Unpriced),
            (Unknown::AllowAndMark | Unknown::Refuse | Unknown::Ceiling, _) => Err(GatewayError::unpriced()),
        }
    }

    /// The output cap of one answer: the caller's, but no more than the model writes; where the caller set none, the
    /// model's or that of the policy, whichever is lower. What is known of neither is taken for `usual`.
    pub fn output_cap(&self, asked: Option<u64>, most: Option<u64>, usual: u64) -> u64 {
        let wanted = asked.or(self.output_cap);
        match (wanted, most) {
            (Some(wanted), Some(most)) => wanted.min(most),
            (Some(wanted), None) => wanted,
            (None, Some(most)) => most,
            (None, None) => usual,
        }
    }
}

impl Pricing {
    /// The output cap where neither caller, policy nor catalogue names one.
    pub const USUAL_OUTPUT: u64 = 32_768;
}

impl From<config::UnknownPrice> for Unknown {
    fn from(word: config::UnknownPrice) -> Self {
        match word {
            config::UnknownPrice::Refuse => Self::Refuse,
            config::UnknownPrice::AllowAndMark => Self::AllowAndMark,
            config::UnknownPrice::Ceiling => Self::Ceiling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, Price, Rates};
    use super::*;
    use crate::error::Kind;
    use crate::money::PicoUsd;

    fn version(effective_from: i64) -> Arc<Version> {
        let price = Price::of(Rates::new(PicoUsd(1), PicoUsd(2)));
        Arc::new(Version::new(Origin::File, "m", effective_from, price))
    }

    #[test]
    fn a_known_price_is_taken_whatever_the_policy() {
        let prices = [version(100)];
        for unknown in [Unknown::Refuse, Unknown::AllowAndMark, Unknown::Ceiling] {
            let pricing = Pricing { unknown, ceiling: Some(version(0)), output_cap: None };
            for pays in [true, false] {
                assert_eq!(pricing.decide(&prices, 100, pays).unwrap(), Priced::At(Arc::clone(&prices[0])));
            }
        }
    }

    #[test]
    fn an_unknown_price_is_refused_marked_or_capped_and_never_nothing_for_those_who_pay() {
        let decide = |unknown, pays| {
            let ceiling = (unknown == Unknown::Ceiling).then(|| version(0));
            // Not yet in force is as good as unknown.
            Pricing { unknown, ceiling, output_cap: None }.decide(&[version(100)], 99, pays)
        };
        assert_eq!(decide(Unknown::Refuse, false).unwrap_err().kind(), Kind::NotAllowed);
        assert_eq!(decide(Unknown::Refuse, true).unwrap_err().status(), 403);
        assert_eq!(decide(Unknown::AllowAndMark, false).unwrap(), Priced::Unpriced);
        assert!(decide(Unknown::AllowAndMark, true).is_err());
        assert_eq!(decide(Unknown::Ceiling, true).unwrap(), Priced::At(version(0)));
        assert_eq!(decide(Unknown::Ceiling, false).unwrap(), Priced::At(version(0)));
    }

    #[test]
    fn the_lowest_of_what_is_known_caps_the_answer() {
        let pricing = Pricing { output_cap: Some(1000), ..Pricing::default() };
        assert_eq!(pricing.output_cap(Some(5000), Some(4096), 9), 4096);
        assert_eq!(pricing.output_cap(Some(5000), None, 9), 5000);
        assert_eq!(pricing.output_cap(None, Some(4096), 9), 1000);
        assert_eq!(Pricing::default().output_cap(None, Some(4096), 9), 4096);
        assert_eq!(Pricing::default().output_cap(None, None, 9), 9);
    }
}
