//! Corrections: what a cost of the past would be at another price. History stays as it is; the difference is a new entry.
//! Books nothing. Tests are below.

use std::sync::Arc;

use waypost_wire::chat::Usage;

use super::book::Version;
use super::cost::{Cost, Terms};
use crate::money::NanoUsd;

/// A cost as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    pub usage: Usage,
    pub terms: Terms,
    /// The id of the version it was charged at; `None` if it was served without a price.
    pub version: Option<Arc<str>>,
    /// What was charged so far, earlier corrections included.
    pub amount: NanoUsd,
}

/// An entry that makes an old cost right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// To be charged on top; negative if it is given back.
    pub amount: NanoUsd,
    /// The id of the version it was charged at.
    pub from: Option<Arc<str>>,
    /// What it costs at the new price.
    pub cost: Cost,
}

/// What has to be booked so that a recorded cost is as if it had been charged at `version`; `None` if it is so already, or
/// if the amounts do not fit. Doing it again after the correction was booked changes nothing: what was charged at a version is
/// never touched for the sake of that version.
pub fn rerate(billed: &Billed, version: &Version) -> Option<Correction> {
    if billed.version.as_ref() == Some(&version.id) {
        return None;
    }
    let cost = version.cost(&billed.usage, billed.terms)?;
    let amount = cost.total.checked_sub(billed.amount)?;
    (!amount.is_zero()).then(|| Correction { amount, from: billed.version.clone(), cost })
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, Price, Rates};
    use super::*;
    use crate::money::PicoUsd;

    fn version(input: &str, output: &str) -> Version {
        let rate = |text| PicoUsd::per_million(text).unwrap();
        Version::new(Origin::File, "m", 0, Price::of(Rates::new(rate(input), rate(output))))
    }

    #[test]
    fn the_difference_to_the_new_price_is_booked_once_and_in_either_direction() {
        let (old, new) = (version("1", "2"), version("0.5", "4"));
        let usage = Usage { input: Some(1000), output: Some(500), ..Usage::default() };
        let cost = old.cost(&usage, Terms::default()).unwrap();
        let billed =
            Billed { usage, terms: Terms::default(), version: Some(Arc::clone(&cost.version)), amount: cost.total };
        assert_eq!(rerate(&billed, &old), None);

        let up = rerate(&billed, &new).unwrap();
        assert_eq!((up.amount.to_string().as_str(), up.cost.total.to_string().as_str()), ("0.0005", "0.0025"));
        assert_eq!((up.from.clone(), &up.cost.version), (Some(old.id.clone()), &new.id));

        let amount = billed.amount.checked_add(up.amount).unwrap();
        let corrected = Billed { amount, version: Some(Arc::clone(&new.id)), ..billed };
        assert_eq!(rerate(&corrected, &new), None);
        assert_eq!(rerate(&corrected, &old).unwrap().amount, NanoUsd(-500_000));
    }

    #[test]
    fn what_was_served_without_a_price_is_charged_later() {
        let usage = Usage { input: Some(1_000_000), output: Some(0), ..Usage::default() };
        let billed = Billed { usage, terms: Terms::default(), version: None, amount: NanoUsd::ZERO };
        assert_eq!(rerate(&billed, &version("3", "15")).unwrap().amount.to_string(), "3");
    }
}
