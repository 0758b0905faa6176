//! Times in rate-limit headers and in error sentences: seconds, `6m0s`, dates, moments of Unix time.
//! Integers only, and every length is at most a day. Tests: `tests.rs` beside this file.

use std::time::Duration;

/// The longest wait anybody is believed.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
/// Smaller numbers of seconds are lengths, greater ones are moments (from September 2001 on).
const FIRST_MOMENT: u64 = 1_000_000_000;
/// From here on a moment is in milliseconds.
const FIRST_MILLISECOND: u64 = 100 * FIRST_MOMENT;

/// In how long: seconds, a length with units, an RFC 3339 or HTTP date, or a moment of Unix time in seconds or
/// milliseconds.
pub(super) fn reset(value: &str, now_unix: u64) -> Option<Duration> {
    let value = value.trim();
    if let Some((number, "")) = Decimal::read(value) {
        return Some(match number.whole {
            0..FIRST_MOMENT => number.times(SECOND),
            FIRST_MOMENT..FIRST_MILLISECOND => until(number.whole, now_unix),
            FIRST_MILLISECOND.. => until(number.whole / 1_000, now_unix),
        });
    }
    if let Some((length, "")) = length(value) {
        return Some(length);
    }
    let moment = rfc_3339(value).or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    })?;
    Some(until(moment, now_unix))
}

/// A plain number of milliseconds.
pub(super) fn milliseconds(value: &str) -> Option<Duration> {
    match Decimal::read(value.trim())? {
        (number, "") => Some(number.times(MILLISECOND)),
        _ => None,
    }
}

/// The wait an error's sentence names: "try again in 6.5s", "retry in 1m2s", "retry after 6 seconds".
pub(super) fn in_sentence(sentence: &str) -> Option<Duration> {
    const PHRASES: [&str; 3] = ["try again in ", "retry in ", "retry after "];
    let bytes = sentence.as_bytes();
    PHRASES.iter().find_map(|phrase| {
        let at = bytes.windows(phrase.len()).position(|window| window.eq_ignore_ascii_case(phrase.as_bytes()))?;
        length(sentence.get(at + phrase.len()..)?).map(|(length, _)| length)
    })
}

fn until(moment: u64, now_unix: u64) -> Duration {
    Duration::from_secs(moment.saturating_sub(now_unix)).min(DAY)
}

/// A length with units at the beginning of a text, and what follows it: `6m0s`, `12ms`, `2m59.56s`, `6 seconds`.
fn length(text: &str) -> Option<(Duration, &str)> {
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while let Some((number, after)) = Decimal::read(rest.trim_start_matches(' ')) {
        let after = after.trim_start_matches(' ');
        let word = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(word)?;
        let Some(unit) = nanoseconds(unit) else { break };
        sum = sum.saturating_add(number.times(unit));
        rest = after;
    }
    (rest.len() < text.len()).then_some((sum.min(DAY), rest))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" | "milliseconds" | "millisecond" => MILLISECOND,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        _ => return None,
    })
}

/// A decimal number without a sign.
struct Decimal {
    whole: u64,
    billionths: u64,
}

impl Decimal {
    /// A number at the beginning of a text, and what follows it. A point that no digit follows ends the sentence.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (whole, rest) = digits(text);
        if whole.is_empty() {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix('.').map(digits) {
            Some((fraction, after)) if !fraction.is_empty() => (fraction, after),
            Some(_) | None => ("", rest),
        };
        let places = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let billionths = places.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        Some((Self { whole: whole.parse().unwrap_or(u64::MAX), billionths }, rest))
    }

    /// So many of a unit of so many nanoseconds, at most a day.
    fn times(&self, unit: u64) -> Duration {
        let billionths = u128::from(self.whole) * u128::from(SECOND) + u128::from(self.billionths);
        let nanoseconds = billionths.saturating_mul(u128::from(unit)) / u128::from(SECOND);
        u64::try_from(nanoseconds).map_or(DAY, Duration::from_nanos).min(DAY)
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The Unix time of `2026-01-02T03:04:05Z`, with a fraction (ignored) or an offset if it has one.
pub(crate) fn rfc_3339(value: &str) -> Option<u64> {
    let (date, time) = value.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(two_or_more);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone)?;
    let mut clock = clock.split_once('.').map_or(clock, |(whole, _)| whole).splitn(3, ':').map(two_or_more);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (hour < 24 && minute < 60 && second <= 60);
    if !valid {
        return None;
    }
    let local = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    u64::try_from(local - offset(zone)?).ok()
}

fn two_or_more(text: &str) -> Option<i64> {
    (text.len() >= 2 && digits(text).1.is_empty()).then(|| text.parse().ok()).flatten()
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (two_or_more(hours)?, two_or_more(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days since 1970 in the Gregorian calendar, the year beginning in March so that the leap day is its last.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}
