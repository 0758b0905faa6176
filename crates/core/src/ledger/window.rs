//! Windows of budgets: when the one that holds a time begins and when it ends, in UTC. Knows no money. Tests are below.

/// How long a budget lasts before it is there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    Hour,
    Day,
    /// From Monday.
    Week,
    /// Of the calendar.
    Month,
    /// For ever.
    Total,
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// The first Monday after the epoch, which was a Thursday.
const MONDAY: i64 = 4 * DAY;

impl Window {
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Total];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// Reads a name as [`Window::name`] says it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.name() == name)
    }

    /// When the window that holds `at` began, in epoch milliseconds. 0 for the one that lasts for ever.
    pub fn start_of(self, at: i64) -> i64 {
        match self {
            Self::Hour => at - at.rem_euclid(HOUR),
            Self::Day => at - at.rem_euclid(DAY),
            Self::Week => at - at.saturating_sub(MONDAY).rem_euclid(WEEK),
            Self::Month => {
                let (year, month) = month_of(at.div_euclid(DAY));
                first_day(year, month).saturating_mul(DAY)
            }
            Self::Total => 0,
        }
    }

    /// When the window that began at `start` ends.
    pub fn end_of(self, start: i64) -> Option<i64> {
        match self {
            Self::Hour => Some(start.saturating_add(HOUR)),
            Self::Day => Some(start.saturating_add(DAY)),
            Self::Week => Some(start.saturating_add(WEEK)),
            Self::Month => {
                let (year, month) = month_of(start.div_euclid(DAY));
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                Some(first_day(year, month).saturating_mul(DAY))
            }
            Self::Total => None,
        }
    }
}

/// Days before a month of a year that begins in March, in which the leap day comes last: 31, 30, 31, 30, 31 and again.
fn before_month(month_from_march: i64) -> i64 {
    (153 * month_from_march + 2) / 5
}

/// Days from the epoch to the first of March of year 0.
const MARCH_0: i64 = 719_468;
/// Days of 400 years.
const CYCLE: i64 = 146_097;

/// Days from the epoch to the first day of a month (1 to 12).
fn first_day(year: i64, month: i64) -> i64 {
    let (year, from_march) = if month >= 3 { (year, month - 3) } else { (year - 1, month + 9) };
    let cycle = year.div_euclid(400);
    let of_cycle = year.rem_euclid(400);
    cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + before_month(from_march) - MARCH_0
}

/// Year and month (1 to 12) of a day counted from the epoch.
fn month_of(day: i64) -> (i64, i64) {
    let day = day.saturating_add(MARCH_0);
    let cycle = day.div_euclid(CYCLE);
    let of_cycle = day.rem_euclid(CYCLE);
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let year = cycle * 400 + year;
    if from_march < 10 { (year, from_march + 3) } else { (year + 1, from_march - 9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T13:45:10.123Z, a Thursday.
    const LEAP: i64 = 1_709_214_310_123;

    #[test]
    fn windows_begin_and_end_by_the_calendar_in_utc() {
        let table = [
            (Window::Hour, 1_709_211_600_000, Some(1_709_215_200_000)),
            (Window::Day, 1_709_164_800_000, Some(1_709_251_200_000)),
            (Window::Week, 1_708_905_600_000, Some(1_709_510_400_000)),
            (Window::Month, 1_706_745_600_000, Some(1_709_251_200_000)),
            (Window::Total, 0, None),
        ];
        for (window, start, end) in table {
            assert_eq!((window.start_of(LEAP), window.end_of(start)), (start, end), "{window:?}");
            assert_eq!(Window::parse(window.name()), Some(window));
        }
    }

    #[test]
    fn every_window_holds_its_time_and_the_next_one_begins_where_it_ends() {
        for window in [Window::Hour, Window::Day, Window::Week, Window::Month] {
            let mut at = window.start_of(-3 * WEEK);
            while at < 200 * WEEK {
                let end = window.end_of(at).unwrap();
                assert!(at < end && end - at <= 31 * DAY);
                for inside in [at, at + 1, end - 1] {
                    assert_eq!(window.start_of(inside), at, "{window:?}");
                }
                at = end + if window == Window::Hour { 37 * HOUR } else { 0 };
            }
        }
    }

    #[test]
    fn months_of_four_centuries_have_the_length_they_should() {
        let mut day = first_day(1900, 1);
        for year in 1900..2301 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, days) in (1..).zip([31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                assert_eq!((first_day(year, month), month_of(day)), (day, (year, month)));
                day += days;
            }
        }
        assert_eq!(first_day(1970, 1), 0);
    }
}
