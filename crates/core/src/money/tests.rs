use proptest::prelude::*;

use super::*;

fn nano(text: &str) -> Result<i64, NotMoney> {
    text.parse().map(NanoUsd::get)
}

#[test]
fn amounts_are_written_without_idle_zeros() {
    for (nano, text) in [
        (0, "0"),
        (1, "0.000000001"),
        (12_500_000_000, "12.5"),
        (-3_000_000_000, "-3"),
        (-10_000_000, "-0.01"),
        (i64::MAX, "9223372036.854775807"),
        (i64::MIN, "-9223372036.854775808"),
    ] {
        assert_eq!(NanoUsd(nano).to_string(), text);
    }
    assert_eq!(format!("{:>6}|", NanoUsd::USD), "     1|");
}

#[test]
fn what_is_no_amount_is_refused_and_says_why() {
    for text in ["", ".", "1.", ".5", "+1", "1,5", "1e3", " 1", "--1", "1.2.3", "0x1", "٣"] {
        assert_eq!(nano(text), Err(NotMoney::Malformed), "{text}");
    }
    assert_eq!(nano("0.0000000001"), Err(NotMoney::TooFine(9)));
    assert_eq!(nano("0.50000000000000"), Ok(500_000_000));
    assert_eq!(nano("9223372036.854775808"), Err(NotMoney::TooMuch));
    assert_eq!(nano(&"9".repeat(400)), Err(NotMoney::TooMuch));
}

#[test]
fn sums_that_do_not_fit_are_none() {
    assert_eq!(NanoUsd::MAX.checked_add(NanoUsd(1)), None);
    assert_eq!(NanoUsd(i64::MIN).checked_sub(NanoUsd(1)), None);
    assert_eq!(NanoUsd(i64::MIN).checked_neg(), None);
    assert_eq!(NanoUsd::checked_sum([NanoUsd(1), NanoUsd(2)]), Some(NanoUsd(3)));
    assert_eq!(NanoUsd::checked_sum([NanoUsd::MAX, NanoUsd(1), NanoUsd(-1)]), None);
}

#[test]
fn prices_for_a_million_tokens_are_exact_for_one() {
    for (text, pico) in [("1", 1_000_000), ("1.25", 1_250_000), ("0.000001", 1), ("0", 0)] {
        assert_eq!(PicoUsd::per_million(text), Ok(PicoUsd(pico)));
        assert_eq!(PicoUsd(pico).as_per_million().to_string(), text);
    }
    assert_eq!(PicoUsd::per_million("0.0000001"), Err(NotMoney::TooFine(6)));
    assert_eq!(PicoUsd::per_million("1000000.1"), Err(NotMoney::TooMuch));
    assert_eq!(PicoUsd::per_unit("0.04"), Ok(PicoUsd(40_000_000_000)));
    assert_eq!(PicoUsd(40_000_000_000).as_per_unit().to_string(), "0.04");
    assert_eq!(PicoUsd::per_unit("-1"), Err(NotMoney::Malformed));
}

#[test]
fn at_the_edges_an_amount_is_a_text_and_never_a_float() {
    let json = serde_json::to_string(&NanoUsd(1_500_000_000)).unwrap();
    assert_eq!(json, r#""1.5""#);
    assert_eq!(serde_json::from_str::<NanoUsd>(&json).unwrap(), NanoUsd(1_500_000_000));
    assert!(serde_json::from_str::<NanoUsd>("1.5").is_err());
    assert!(serde_json::from_str::<NanoUsd>("null").is_err());
}

proptest! {
    #[test]
    fn every_amount_reads_back_as_it_was(nano in any::<i64>().prop_filter("magnitude", |it| *it != i64::MIN)) {
        let amount = NanoUsd(nano);
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
    }

    #[test]
    fn no_text_panics(text in "[-0-9.+e ]{0,40}") {
        let _ = text.parse::<NanoUsd>();
        let _ = PicoUsd::per_million(&text);
        let _ = PicoUsd::per_unit(&text);
    }
}
