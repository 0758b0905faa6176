//! Money as whole numbers: amounts in billionths of a dollar, prices in millionths of a millionth of a dollar for one token.
//! Decides how both are written and read, exactly. Knows no price and no account. Tests are in `money/tests.rs`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// An amount in nano-USD. Arithmetic is checked: a sum that does not fit is `None`, never a wrong amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);
    /// One dollar.
    pub const USD: Self = Self(1_000_000_000);

    /// The number of nano-USD.
    pub const fn get(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    #[must_use]
    pub const fn checked_neg(self) -> Option<Self> {
        match self.0.checked_neg() {
            Some(negative) => Some(Self(negative)),
            None => None,
        }
    }

    /// The sum of all of them; `None` if it does not fit.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl From<NanoUsd> for i64 {
    fn from(amount: NanoUsd) -> Self {
        amount.0
    }
}

/// In dollars, exactly and without idle zeros: `12.5`, `0.000000001`, `-3`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0 < 0, self.0.unsigned_abs(), 9)
    }
}

/// Dollars with at most nine digits after the point.
impl FromStr for NanoUsd {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let (digits, negative) = match text.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let magnitude = i64::try_from(read_decimal(digits, 9)?).map_err(|_| NotMoney::TooMuch)?;
        Ok(Self(if negative { -magnitude } else { magnitude }))
    }
}

/// What one unit (a token, a call, a picture) costs, in pico-USD. A price in USD for a million tokens with up to six digits
/// after the point is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsd(pub u64);

impl PicoUsd {
    pub const ZERO: Self = Self(0);
    /// No token may cost more: a million dollars for a million of them.
    pub const MOST: Self = Self(1_000_000_000_000);
    /// No call or picture may cost more: a thousand dollars.
    pub const MOST_UNIT: Self = Self(1_000_000_000_000_000);

    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads USD for a million tokens: `1.25` is 1,250,000 pico-USD for each.
    pub fn per_million(text: &str) -> Result<Self, NotMoney> {
        Self::bounded(read_decimal(text, 6)?, Self::MOST)
    }

    /// Reads USD for one unit, with at most nine digits after the point.
    pub fn per_unit(text: &str) -> Result<Self, NotMoney> {
        Self::bounded(read_decimal(text, 9)?.saturating_mul(1000), Self::MOST_UNIT)
    }

    fn bounded(pico: u128, most: Self) -> Result<Self, NotMoney> {
        let fits = u64::try_from(pico).ok().filter(|pico| *pico <= most.0);
        fits.map(Self).ok_or(NotMoney::TooMuch)
    }

    /// In USD for a million tokens.
    pub fn as_per_million(self) -> impl fmt::Display {
        Decimal { whole: self.0, places: 6 }
    }

    /// In USD for one unit.
    pub fn as_per_unit(self) -> impl fmt::Display {
        Decimal { whole: self.0, places: 12 }
    }
}

struct Decimal {
    whole: u64,
    places: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, false, self.whole, self.places)
    }
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMoney {
    /// It is not written as digits with at most one point in them.
    Malformed,
    /// More digits after the point than are kept; the greatest number of them.
    TooFine(u32),
    TooMuch,
}

impl fmt::Display for NotMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("an amount is written as 12.5"),
            Self::TooFine(places) => write!(f, "an amount has at most {places} digits after the point"),
            Self::TooMuch => f.write_str("the amount is too large"),
        }
    }
}

impl std::error::Error for NotMoney {}

fn read_decimal(text: &str, places: u32) -> Result<u128, NotMoney> {
    /// More digits than any amount has.
    const LONGEST: usize = 30;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err(NotMoney::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    let idle = (places as usize).checked_sub(fraction.len()).ok_or(NotMoney::TooFine(places))?;
    if whole.len() > LONGEST {
        return Err(NotMoney::TooMuch);
    }
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', idle));
    let sum = digits
        .into_iter()
        .try_fold(0_u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit.saturating_sub(b'0'))));
    sum.ok_or(NotMoney::TooMuch)
}

/// Without `format!`: a record of a request has a dozen of these.
fn write_decimal(f: &mut fmt::Formatter<'_>, negative: bool, magnitude: u64, places: u32) -> fmt::Result {
    // Twenty digits, a point, a sign, and the zeros of a small fraction.
    let mut text = [b'0'; 40];
    let mut free = text.iter_mut().rev();
    let mut length = 0;
    let mut put = |byte: u8| {
        if let Some(place) = free.next() {
            *place = byte;
            length += 1;
        }
    };
    let (mut rest, mut in_tail) = (magnitude, true);
    for _ in 0..places {
        let digit = (rest % 10) as u8;
        rest /= 10;
        in_tail &= digit == 0;
        if !in_tail {
            put(b'0' + digit);
        }
    }
    if !in_tail {
        put(b'.');
    }
    loop {
        put(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if negative {
        put(b'-');
    }
    let written = text.get(text.len() - length..).unwrap_or_default();
    f.pad(std::str::from_utf8(written).map_err(|_| fmt::Error)?)
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text in dollars, also where a file has it without quotes; never a float.
impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Amount;

        impl Visitor<'_> for Amount {
            type Value = NanoUsd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in USD such as \"12.5\", with at most nine digits after the point")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NanoUsd, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Amount)
    }
}

impl JsonSchema for NanoUsd {
    fn schema_name() -> Cow<'static, str> {
        "NanoUsd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount in USD, as decimal text: at most nine digits after the point.",
            "type": "string",
            "pattern": r"^-?\d+(\.\d{1,9})?$"
        })
    }
}

#[cfg(test)]
mod tests;
