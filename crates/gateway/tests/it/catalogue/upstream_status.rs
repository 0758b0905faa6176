//! Rows about statuses: whose fault each is, what is tried next, and that nothing of such an answer is passed on.

use waypost_testkit::{Script, Upstream as Scripted};

use super::upstream::{MARK, PAIRS, SECRET, alone, assert_clean, assert_refused, fails_over, prove_script, request};
use crate::dialects::{Caller, Upstream};

/// An error body in no particular dialect, with everything in it that must not come out.
fn body() -> String {
    format!(r#"{{"error":{{"message":"{MARK} for {SECRET}","type":"{MARK}","code":"{MARK}","param":"{MARK}"}}}}"#)
}

/// An answer with that status and every header that must not come out.
fn refusing(status: u16) -> Script {
    let script = Script::reply(status, body());
    [
        ("set-cookie", "session=words-of-the-upstream"),
        ("access-control-allow-origin", MARK),
        ("alt-svc", "h3=\":443\""),
        ("server", MARK),
        ("via", MARK),
        ("x-echo", SECRET),
        ("authorization", SECRET),
        ("x-ratelimit-remaining-requests", "0"),
        ("www-authenticate", "Bearer realm=words-of-the-upstream"),
    ]
    .iter()
    .fold(script, |script, (name, value)| script.header(name, value))
}

#[tokio::test]
async fn the_gateways_own_trouble_401_402_403_is_a_502_and_the_next_is_asked() {
    for status in [401, 402, 403] {
        prove_script(&status.to_string(), fails_over(502), "", refusing(status)).await;
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_404_410_is_told_only_if_nobody_has_it() {
    for status in [404, 410] {
        prove_script(&status.to_string(), fails_over(404), "", refusing(status)).await;
    }
}

#[tokio::test]
async fn trouble_at_the_provider_408_409_425_5xx_529_is_a_502_and_the_next_is_asked() {
    for status in [408, 409, 425, 500, 501, 502, 503, 504, 507, 520, 524, 529, 599] {
        prove_script(&status.to_string(), fails_over(502), "", refusing(status)).await;
    }
}

#[tokio::test]
async fn a_429_without_retry_after_is_told_with_a_wait_of_ours() {
    prove_script("429", fails_over(429), "", refusing(429)).await;
}

#[tokio::test]
async fn retry_after_in_every_odd_form_is_told_as_whole_seconds_within_bounds() {
    let odd = [
        ("1", Some(1)),
        ("0.2", Some(1)),
        ("0", Some(1)),
        ("7", Some(7)),
        ("1000000000", Some(3600)),
        ("99999999999999999999999999", Some(3600)),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("NaN", None),
        ("1, 2", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("2026-01-01T00:00:00Z", None),
    ];
    for (value, told) in odd {
        for (caller, upstream, stream) in PAIRS {
            let scripted = Scripted::always(refusing(429).header("retry-after", value)).await;
            let gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
            let answer = gateway.post(caller.path(), request(caller, stream)).await;
            assert_eq!(answer.status, 429, "{value}: {}", answer.text());
            assert_refused(caller, &answer, value);
            if let Some(told) = told {
                let seen = answer.header("retry-after").map(|wait| wait.parse::<u32>().unwrap());
                assert_eq!(seen, Some(told), "{value}");
            }
        }
    }
    for (value, _) in odd {
        prove_script(value, fails_over(502), "", refusing(503).header("retry-after", value)).await;
    }
}

#[tokio::test]
async fn a_rejection_400_405_413_415_422_keeps_its_status_and_is_never_tried_again() {
    for status in [400, 405, 406, 411, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 426, 428, 431, 451, 499] {
        for (caller, upstream, stream) in PAIRS {
            let script = Script::reply(status, r#"{"error":{"message":"Too hot: sk-secret-one","type":"odd"}}"#);
            let (strict, unused) = (Scripted::always(script).await, Scripted::start(vec![]).await);
            let channels = [
                upstream.channel("one", &strict.url(), "tier: 1,"),
                upstream.channel("two", &unused.url(), "tier: 2,"),
            ];
            let mut gateway = crate::harness::Gateway::with_channels(&channels.concat()).await;
            let answer = gateway.post(caller.path(), request(caller, stream)).await;
            let story = format!("{status}, {caller:?} over {upstream:?}: {}", answer.text());
            assert_eq!((answer.status, strict.hits(), unused.hits()), (status, 1, 0), "{story}");
            assert_refused(caller, &answer, &story);
            assert!(answer.text().contains("Too hot"), "the sentence says what to mend, {story}");
            let record = gateway.record().await;
            assert_eq!((record.status, record.usage.input, record.usage.output), (status, None, None), "{story}");
        }
    }
}

#[tokio::test]
async fn html_binary_64_mib_endless_and_stalling_error_bodies_have_the_meaning_of_their_status() {
    for status in [401, 500, 503, 529] {
        let html = Script::reply(status, format!("<html>{MARK} {SECRET}</html>")).header("content-type", "text/html");
        let binary = Script::reply(status, (0..=255).cycle().take(4096).collect::<Vec<u8>>());
        let declared = Script::raw(format!("HTTP/1.1 {status} x\r\ncontent-length: 67108864\r\n\r\n{MARK}"));
        let endless = Script::stream([MARK.repeat(1024)]).status(status).endlessly();
        let stalling = Script::reply(status, body()).split_every(40).stall_after(1);
        let cut = Script::reply(status, body()).split_every(40).cut_after(1);
        for (what, script) in [
            ("HTML", html),
            ("binary", binary),
            ("64 MiB", declared),
            ("endless", endless),
            ("stalling", stalling),
            ("cut", cut),
        ] {
            prove_script(&format!("{status}, {what}"), fails_over(502), "timeouts: {idle: 300ms},", script).await;
        }
    }
}

#[tokio::test]
async fn headers_of_a_success_are_passed_by_an_allow_list() {
    for (caller, upstream, stream) in PAIRS {
        let scripted = Scripted::by(move |_| {
            let body = if stream { upstream.stream() } else { upstream.plain() };
            let script = if stream { Script::stream([body]) } else { Script::reply(200, body) };
            [
                ("set-cookie", "session=words-of-the-upstream"),
                ("access-control-allow-origin", MARK),
                ("alt-svc", "h3=\":443\""),
                ("server", MARK),
                ("x-echo", SECRET),
                ("content-encoding", "identity"),
                ("retry-after-ms", "9"),
                ("x-ratelimit-remaining-requests", "9"),
                ("keep-alive", MARK),
                ("x-request-id", MARK),
                ("x-waypost-deployment", MARK),
            ]
            .iter()
            .fold(script, |script, (name, value)| script.header(name, value))
        })
        .await;
        let gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
        let answer = gateway.post(caller.path(), request(caller, stream)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_clean(&answer, &format!("{caller:?} over {upstream:?}"));
    }
}

#[tokio::test]
async fn no_status_shows_the_key_to_any_caller() {
    for status in (300..=599).step_by(7) {
        for caller in Caller::ALL {
            let scripted = Scripted::always(refusing(status)).await;
            let gateway = alone(&Upstream::Chat.channel("one", &scripted.url(), "")).await;
            let answer = gateway.post(caller.path(), caller.request()).await;
            let seen = format!("{:?}{}", answer.headers, answer.text());
            assert!(answer.status >= 400 && !seen.contains("sk-secret"), "{status}: {seen}");
        }
    }
}
