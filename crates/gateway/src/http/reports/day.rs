//! Days and times after a question mark: `2026-11-25`, or milliseconds since 1970. Days are those of UTC. Tests are below.

use waypost_core::GatewayError;
use waypost_store::logbook::DAY_MS;

use crate::http::admin::query::Query;

/// A day as people write it.
pub(in crate::http) fn written(day: i64) -> String {
    let (year, month, day) = date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A day as people write it; none if it is none.
pub(in crate::http) fn read(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let digits =
            parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<i64>().ok()
    };
    let (year, month, of_month) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // In eras of 400 years that begin on a first of March.
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * from_march + 2) / 5 + of_month - 1;
    let of_era = year % 400;
    let day = year / 400 * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // A day that the month does not have comes out as another.
    (written(day) == text).then_some(day)
}

fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let of_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (of_years + era * 400 + i64::from(month <= 2), month, of_month)
}

/// Which end of a span a word is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum End {
    First,
    Last,
}

/// The day that a name has: a day, or the one of a time.
pub(in crate::http) fn day_of(query: &Query, name: &str) -> Result<Option<i64>, GatewayError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let day = read(text).or_else(|| millis(text).map(|at| at.div_euclid(DAY_MS)));
    day.map(Some).ok_or_else(|| no_time(name))
}

/// The time that a name has: that time, or the beginning of the day; as the last, the end of the day.
pub(in crate::http) fn time_of(query: &Query, name: &str, end: End) -> Result<Option<i64>, GatewayError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let of_day = |day: i64| if end == End::Last { (day + 1) * DAY_MS } else { day * DAY_MS };
    let at = read(text).map(of_day).or_else(|| millis(text));
    at.map(Some).ok_or_else(|| no_time(name))
}

fn millis(text: &str) -> Option<i64> {
    // Up to the year 9999.
    text.parse().ok().filter(|at| (0..=253_402_300_799_999).contains(at))
}

fn no_time(name: &str) -> GatewayError {
    let message = format!("`{name}` is a day in UTC such as `2026-11-25`, or milliseconds since 1970.");
    GatewayError::invalid_request(message, Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for day in (0..200_000).step_by(17) {
            assert_eq!(read(&written(day)), Some(day));
        }
        assert_eq!((written(0).as_str(), read("2026-11-25")), ("1970-01-01", Some(20_782)));
        for none in ["2026-02-29", "2026-13-01", "2026-1-1", "1969-12-31", "2026-11-25T00", "", "2026-11-31", "-1"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_day_is_a_span_and_a_time_is_itself() {
        let query = Query::of(&http::Uri::from_static("/x?from=1970-01-02&to=1970-01-02&at=5&none=soon"));
        assert_eq!(time_of(&query, "from", End::First).ok(), Some(Some(DAY_MS)));
        assert_eq!(time_of(&query, "to", End::Last).ok(), Some(Some(2 * DAY_MS)));
        assert_eq!(time_of(&query, "at", End::Last).ok(), Some(Some(5)));
        assert_eq!((day_of(&query, "at").ok(), day_of(&query, "nothing").ok()), (Some(Some(0)), Some(None)));
        let error = day_of(&query, "none").unwrap_err();
        assert!(error.param() == Some("none") && error.message().contains("2026-11-25"));
    }
}
