//! Nano-USD as decimals. Tests are below.

use waypost_core::money::NanoUsd;

/// In dollars, exactly and without idle zeros: `12.5`.
pub(in crate::http) fn usd(nano: i64) -> String {
    NanoUsd(nano).to_string()
}

/// In hundredths of a dollar, exactly.
pub(in crate::http) fn cents(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let digits = format!("{:08}", nano.unsigned_abs());
    let (whole, rest) = digits.split_at(digits.len() - 7);
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// Dollars with at most nine digits after the point, not negative; none if it is no such amount.
pub(in crate::http) fn read_usd(text: &str) -> Option<i64> {
    text.parse::<NanoUsd>().ok().map(NanoUsd::get).filter(|nano| *nano >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_and_read_exactly() {
        for (nano, dollars, hundredths) in [
            (0, "0", "0"),
            (1, "0.000000001", "0.0000001"),
            (12_500_000_000, "12.5", "1250"),
            (-1_000_000_000, "-1", "-100"),
            (i64::MAX, "9223372036.854775807", "922337203685.4775807"),
        ] {
            assert_eq!((usd(nano).as_str(), cents(nano).as_str()), (dollars, hundredths));
            assert_eq!(read_usd(dollars), (nano >= 0).then_some(nano));
        }
        assert_eq!([read_usd("-1"), read_usd("1e3"), read_usd("0.0000000001")], [None; 3]);
    }
}
