use super::*;

/// 2026-01-02T03:04:05Z.
const NOW: u64 = 1_767_323_045;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [("content-type", "application/json"), ("server", "cloudflare")].iter().chain(fields) {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// Names and values.
type Fields = &'static [(&'static str, &'static str)];

/// Requests and tokens left, and their resets in milliseconds.
type Told = (Option<u64>, Option<u64>, Option<u128>, Option<u128>);

fn told(fields: &[(&str, &str)]) -> Told {
    let Remaining { requests, tokens, requests_reset, tokens_reset, .. } = remaining(&headers(fields), NOW);
    (requests, tokens, requests_reset.map(|wait| wait.as_millis()), tokens_reset.map(|wait| wait.as_millis()))
}

#[test]
fn each_providers_headers_are_read() {
    let table: &[(&str, Fields, Told)] = &[
        (
            "OpenAI",
            &[
                ("X-RateLimit-Limit-Requests", "5000"),
                ("X-RateLimit-Remaining-Requests", "4999"),
                ("X-RateLimit-Remaining-Tokens", "149984"),
                ("X-RateLimit-Remaining-Tokens_Usage_Based", "1"),
                ("X-RateLimit-Reset-Requests", "12ms"),
                ("X-RateLimit-Reset-Tokens", "6m0s"),
            ],
            (Some(4999), Some(149_984), Some(12), Some(360_000)),
        ),
        (
            "Groq",
            &[
                ("x-ratelimit-remaining-requests", "14370"),
                ("x-ratelimit-remaining-tokens", "17997"),
                ("x-ratelimit-reset-requests", "2m59.56s"),
                ("x-ratelimit-reset-tokens", "7.66s"),
            ],
            (Some(14_370), Some(17_997), Some(179_560), Some(7_660)),
        ),
        (
            "Azure",
            &[
                ("x-ratelimit-remaining-requests", "19"),
                ("x-ratelimit-remaining-tokens", "19913"),
                ("x-ratelimit-reset-tokens", "6"),
            ],
            (Some(19), Some(19_913), None, Some(6_000)),
        ),
        (
            "Azure, when it does not know",
            &[("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")],
            (None, None, None, None),
        ),
        (
            "Anthropic",
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-01-02T03:04:06Z"),
                ("anthropic-ratelimit-tokens-remaining", "48000"),
                ("anthropic-ratelimit-tokens-reset", "2026-01-02T03:04:05Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "40000"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-01-02T03:04:35Z"),
                ("anthropic-ratelimit-output-tokens-remaining", "8000"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-01-02T05:05:05.25+02:00"),
            ],
            (Some(49), Some(8_000), Some(1_000), Some(60_000)),
        ),
        (
            "Mistral",
            &[
                ("x-ratelimit-limit-tokens-minute", "5000000"),
                ("x-ratelimit-remaining-tokens-minute", "4999911"),
                ("x-ratelimit-tokens-query-cost", "52"),
                ("x-ratelimit-limit-req-minute", "720"),
                ("x-ratelimit-remaining-req-minute", "717"),
            ],
            (Some(717), Some(4_999_911), None, None),
        ),
        (
            "Mistral, before",
            &[
                ("ratelimitbysize-limit", "500000"),
                ("ratelimitbysize-remaining", "499000"),
                ("ratelimitbysize-reset", "38"),
                ("x-ratelimitbysize-remaining-minute", "498968"),
                ("x-ratelimitbysize-remaining-month", "9999999968"),
            ],
            (None, Some(498_968), None, Some(38_000)),
        ),
        (
            "Cerebras",
            &[
                ("x-ratelimit-remaining-requests-day", "750"),
                ("x-ratelimit-reset-requests-day", "3600"),
                ("x-ratelimit-remaining-tokens-minute", "50"),
                ("x-ratelimit-reset-tokens-minute", "26.5"),
                ("x-ratelimit-remaining-tokens-day", "oops"),
            ],
            (Some(750), Some(50), Some(3_600_000), Some(26_500)),
        ),
        (
            "OpenRouter",
            &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "1767323105000")],
            (Some(3), None, Some(60_000), None),
        ),
        (
            "a moment in seconds",
            &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "1767323055")],
            (Some(3), None, Some(10_000), None),
        ),
        (
            "IETF draft 6",
            &[("ratelimit-limit", "100, 100;w=10"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "7")],
            (Some(50), None, Some(7_000), None),
        ),
        (
            "IETF draft 7",
            &[("ratelimit", "limit=100, remaining=50, reset=5"), ("ratelimit-policy", "100;w=10")],
            (Some(50), None, Some(5_000), None),
        ),
        (
            "IETF draft 10",
            &[("ratelimit", "\"burst\";r=50;t=30, \"daily\";r=7;t=4000, \"tokens\";r=900;t=2")],
            (Some(7), Some(900), Some(4_000_000), Some(2_000)),
        ),
        ("nothing", &[("ratelimit-policy", "\"x\";q=9"), ("x-ratelimit-limit", "9")], (None, None, None, None)),
    ];
    for (provider, fields, expected) in table {
        assert_eq!(told(fields), *expected, "{provider}");
    }
}

#[test]
fn the_tightest_window_counts_with_its_own_reset() {
    let fields = [
        ("x-ratelimit-remaining-requests-minute", "30"),
        ("x-ratelimit-reset-requests-minute", "20"),
        ("x-ratelimit-remaining-requests-day", "0"),
        ("x-ratelimit-reset-requests-day", "40000"),
    ];
    assert_eq!(told(&fields), (Some(0), None, Some(40_000_000), None));
    let twice = [("x-ratelimit-remaining-tokens", "70"), ("x-ratelimit-remaining-tokens", "5")];
    assert_eq!(told(&twice).1, Some(5));
}

#[test]
fn hostile_values_are_absent_or_bounded_and_never_a_panic() {
    let reset = |value: &str| {
        let fields = headers(&[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", value)]);
        remaining(&fields, NOW).requests_reset
    };
    let odd = [
        "",
        " ",
        "-1",
        "+5",
        "soon",
        "1e9",
        "NaN",
        ".5",
        "5 parsecs",
        "6m-1s",
        "0x10",
        "1:30",
        "2026-01-02",
        "T",
        "Z",
        "2026-13-02T03:04:05Z",
        "2026-01-02T25:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05+25:00",
        "9223372036854775807-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "\u{e9}",
        "٣s",
        "12µ",
    ];
    for value in odd {
        assert_eq!(reset(value), None, "{value}");
    }
    let day = Duration::from_secs(86_400);
    for value in
        ["999999999", "99999999999999999999999999", "9999999999h", "9999-12-31T23:59:59Z", "9d9d", "4000000000"]
    {
        assert_eq!(reset(value), Some(day), "{value}");
    }
    for past in ["0", "1767323000", "2020-01-01T00:00:00Z", "Sun, 09 Sep 2001 01:46:30 GMT"] {
        assert_eq!(reset(past), Some(Duration::ZERO), "{past}");
    }
    for value in ["", "-1", "many", "1e30", "0x1", "1.2.3", "\u{e9}", "1,000"] {
        assert_eq!(told(&[("x-ratelimit-remaining-requests", value)]).0, None, "{value}");
    }
    assert_eq!(told(&[("x-ratelimit-remaining-requests", "99999999999999999999999")]).0, Some(u64::MAX));
    assert_eq!(told(&[("x-ratelimit-remaining-requests", " 49.9 ")]).0, Some(49));
    for value in ["", ";;;", "r=", "\"a;r;t", ",,r=x;t=y", "=;=,=", "remaining=,reset=", "\"token\";r=-1"] {
        assert_eq!(told(&[("ratelimit", value)]), (None, None, None, None), "{value}");
    }
}

#[test]
fn dates_are_right_around_leap_days() {
    let moments = [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T00:00:00Z", 951_782_400),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
        ("2026-01-02T03:04:05-00:30", NOW + 1_800),
        ("2026-01-02t03:04:05.999z", NOW),
    ];
    for (date, unix) in moments {
        let ahead = time::reset(date, unix.saturating_sub(9));
        assert_eq!(ahead, Some(Duration::from_secs(unix.min(9))), "{date}");
    }
}

fn waits(fields: &[(&str, &str)], remote: &RemoteError) -> Option<u128> {
    retry_after(&headers(fields), remote, NOW).map(|wait| wait.as_millis())
}

#[test]
fn the_plainest_word_about_waiting_wins() {
    let message = "Rate limit reached. Please try again in 1.232s.".to_owned();
    let sentence = RemoteError { message, ..RemoteError::default() };
    let body = RemoteError { retry_after_ms: Some(28_000), ..sentence.clone() };
    let spent = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "9s")];
    let all = [&[("retry-after-ms", "1250"), ("retry-after", "2")], &spent[..]].concat();
    assert_eq!(waits(&all, &body), Some(1_250));
    assert_eq!(waits(&[("x-ms-retry-after-ms", "700"), ("retry-after", "2")], &body), Some(700));
    assert_eq!(waits(&[("retry-after-ms", "soon"), ("retry-after", "2")], &body), Some(2_000));
    assert_eq!(waits(&[("retry-after", "Fri, 02 Jan 2026 03:04:15 GMT")], &body), Some(10_000));
    assert_eq!(waits(&[("retry-after", "later")], &body), Some(28_000));
    assert_eq!(waits(&spent, &sentence), Some(9_000));
    assert_eq!(waits(&[("x-ratelimit-remaining-tokens", "0")], &sentence), Some(1_232));
    assert_eq!(
        waits(&[("x-ratelimit-remaining-tokens", "4"), ("x-ratelimit-reset-tokens", "9s")], &sentence),
        Some(1_232)
    );
    assert_eq!(waits(&[], &RemoteError::default()), None);
    let absurd = RemoteError { retry_after_ms: Some(u64::MAX), ..RemoteError::default() };
    assert_eq!(waits(&[], &absurd), Some(86_400_000));
}

#[test]
fn of_two_limits_that_are_used_up_the_longer_counts() {
    let spent = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-01-02T03:04:35Z"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-reset", "2026-01-02T03:05:05Z"),
    ];
    assert_eq!(waits(&spent, &RemoteError::default()), Some(60_000));
}

#[test]
fn sentences_are_read_as_providers_write_them() {
    let table = [
        ("Limit 3, Used 3. Please try again in 20s. Visit https://platform.openai.com/ to learn more.", Some(20_000)),
        ("Please try again in 6.5s.", Some(6_500)),
        ("Please try again in 374ms.", Some(374)),
        ("Please try again in 1m12.5s. Need more tokens?", Some(72_500)),
        ("Please try again in 2h0m8.64s", Some(7_208_640)),
        ("You exceeded your current quota. Please retry in 28.352s.", Some(28_352)),
        ("Requests have exceeded token rate limit. Please retry after 6 seconds.", Some(6_000)),
        ("TRY AGAIN IN 1 minute 5 seconds", Some(65_000)),
        ("Please retry after 1 day", Some(86_400_000)),
        ("Please try again in a moment.", None),
        ("Please try again in 5", None),
        ("Please try again in 5 attempts", None),
        ("é try again in ", None),
        ("", None),
    ];
    for (message, wait) in table {
        let remote = RemoteError { message: message.to_owned(), ..RemoteError::default() };
        assert_eq!(waits(&[], &remote), wait, "{message}");
    }
}

#[test]
fn the_limits_themselves_are_read_where_they_are_told() {
    let limits = |fields: Fields| {
        let (requests, tokens) = remaining(&headers(fields), NOW).said();
        (requests.limit, tokens.limit)
    };
    let openai: Fields = &[
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "29000"),
    ];
    assert_eq!(limits(openai), (Some(500), Some(30_000)));
    let anthropic: Fields = &[
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-output-tokens-limit", "8000"),
        ("anthropic-ratelimit-output-tokens-remaining", "100"),
        ("anthropic-ratelimit-input-tokens-limit", "40000"),
        ("anthropic-ratelimit-input-tokens-remaining", "39000"),
    ];
    assert_eq!(limits(anthropic), (Some(50), Some(8_000)), "the limit is that of the tightest");
    assert_eq!(limits(&[("ratelimit", "limit=100, remaining=50, reset=5")]), (Some(100), None));
}
