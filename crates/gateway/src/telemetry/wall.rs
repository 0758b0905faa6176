//! Core's moments as people and collectors count time. Decides nothing. Tests are below.

use std::time::{SystemTime, UNIX_EPOCH};

use waypost_core::moment::Moment;

use crate::clock::Clock;

/// What time it is, on both clocks at once.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    now: Moment,
    unix_us: u64,
}

impl Wall {
    /// Now.
    pub fn now(clock: &Clock) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: clock.now(), unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX) }
    }

    /// A moment of the past, in microseconds since 1970.
    pub fn unix_us(&self, past: Moment) -> u64 {
        self.unix_us.saturating_sub(self.now.as_micros().saturating_sub(past.as_micros()))
    }

    /// A moment of the past as RFC 3339 has it, in UTC and to the millisecond.
    pub fn written(&self, past: Moment) -> String {
        rfc_3339(self.unix_us(past) / 1000)
    }
}

/// Milliseconds since 1970 as RFC 3339 has them, in UTC. Without `format!`: every line of the log has one.
pub fn rfc_3339(millis: u64) -> String {
    let (days, of_day) = (millis / DAY, millis % DAY);
    let (year, month, day) = date(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    let mut text = String::with_capacity(24);
    let parts = [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (hour, 2, ':'), (minute, 2, ':'), (second, 2, '.')];
    for (number, digits, behind) in parts.into_iter().chain([(milli, 3, 'Z')]) {
        for place in (0..digits).rev() {
            text.push(char::from(b'0' + (number / 10_u64.pow(place) % 10) as u8));
        }
        text.push(behind);
    }
    text
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// Year, month and day of a number of days since 1970, counted in eras of 400 years that begin on a first of March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (of_years + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let wall = Wall { now: Moment::seconds(9), unix_us: (seconds + 1) * 1_000_000 + 7000 };
            assert_eq!(wall.written(Moment::seconds(8)), written);
        }
    }
}
