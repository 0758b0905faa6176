//! A number that a price is multiplied by: exact, in millionths. Decides how it is written and read. Tests are below.

use std::fmt;
use std::str::FromStr;

use crate::money::{NotMoney, PicoUsd};

/// A factor of a price, from 0 to 1000, with at most six digits after the point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u32);

impl Factor {
    pub const ONE: Self = Self(1_000_000);
    pub const ZERO: Self = Self(0);
    const MOST: u32 = 1_000_000_000;

    /// So many thousandths; `None` beyond a thousandfold.
    pub fn permille(permille: u32) -> Option<Self> {
        permille.checked_mul(1000).filter(|millionths| *millionths <= Self::MOST).map(Self)
    }

    /// So many millionths; `None` beyond a thousandfold.
    pub fn of_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::MOST).then_some(Self(millionths))
    }

    /// The number of millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Default for Factor {
    fn default() -> Self {
        Self::ONE
    }
}

impl FromStr for Factor {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let millionths = PicoUsd::per_million(text)?.get();
        let fits = u32::try_from(millionths).ok().filter(|millionths| *millionths <= Self::MOST);
        fits.map(Self).ok_or(NotMoney::TooMuch)
    }
}

/// `1.25`
impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PicoUsd(u64::from(self.0)).as_per_million().fmt(f)
    }
}

impl fmt::Debug for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_exact_and_bounded() {
        assert_eq!("1.25".parse(), Ok(Factor::permille(1250).unwrap()));
        assert_eq!("0.5".parse::<Factor>().unwrap().millionths(), 500_000);
        assert_eq!("1000".parse::<Factor>().unwrap().to_string(), "1000");
        assert_eq!("1000.1".parse::<Factor>(), Err(NotMoney::TooMuch));
        assert_eq!("-1".parse::<Factor>(), Err(NotMoney::Malformed));
        assert_eq!(Factor::permille(1_000_001), None);
        assert_eq!(Factor::of_millionths(1_250_000), Factor::permille(1250));
        assert_eq!(Factor::of_millionths(1_000_000_001), None);
        assert_eq!(Factor::default(), Factor::ONE);
    }
}
