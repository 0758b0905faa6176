//! The policy for what has no price, compiled. Decides that a ceiling is there exactly where it is needed.
//! Tests are in `tests.rs` beside this.

use std::sync::Arc;

use super::Problems;
use crate::config::{Config, ConfigError};
use crate::pricing::{Origin, Price, Pricing, Rates, Unknown, Version};

pub(super) fn policy(config: &Config, problems: &mut Problems) -> Pricing {
    let unknown = Unknown::from(config.pricing.unknown);
    match (unknown, &config.pricing.ceiling) {
        (Unknown::Ceiling, None) => {
            let error = ConfigError::at("pricing.ceiling", "`unknown: ceiling` needs to know how high it is");
            problems.error(error.fix("set `input` and `output`, in USD for a million tokens"));
        }
        (Unknown::Refuse | Unknown::AllowAndMark, Some(_)) => {
            let warning = ConfigError::at("pricing.ceiling", "nothing costs this while `unknown` is not `ceiling`");
            problems.warn(warning.fix("set `unknown: ceiling`, or remove it"));
        }
        (Unknown::Ceiling, Some(_)) | (Unknown::Refuse | Unknown::AllowAndMark, None) => {}
    }
    let ceiling = config.pricing.ceiling.as_ref().filter(|_| unknown == Unknown::Ceiling).map(|told| {
        let call = told.call.map_or_else(Default::default, |call| call.0);
        let price = Price { call, ..Price::of(Rates::new(told.input.0, told.output.0)) };
        Arc::new(Version::new(Origin::Ceiling, "*", 0, price))
    });
    Pricing { unknown, ceiling, output_cap: config.pricing.output_cap }
}
