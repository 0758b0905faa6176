//! Nano-USD as decimals. Tests are below.

/// In dollars, exactly and without idle zeros: `12.5`.
pub(in crate::http) fn usd(nano: i64) -> String {
    decimal(nano, 9)
}

/// In hundredths of a dollar, exactly.
pub(in crate::http) fn cents(nano: i64) -> String {
    decimal(nano, 7)
}

fn decimal(nano: i64, places: usize) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", nano.unsigned_abs(), width = places + 1);
    let (whole, rest) = digits.split_at(digits.len() - places);
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// Dollars with at most nine digits after the point, not negative; none if it is no such amount.
pub(in crate::http) fn read_usd(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(rest) || rest.len() > 9 {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let rest: i64 = format!("{rest:0<9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(rest)
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
        assert_eq!([read_usd("1."), read_usd(".5"), read_usd("1e3"), read_usd("0.0000000001")], [None; 4]);
    }
}
