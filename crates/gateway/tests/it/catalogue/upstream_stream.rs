//! Rows about streams that `streams.rs` does not tell: how they may be written, what is none, and what never ends.

use std::time::Duration;

use bytes::Bytes;
use waypost_core::usage::{Basis, Outcome};
use waypost_testkit::{Ended, Script, Upstream as Scripted, fixtures};

use super::upstream::{MARK, alone, fails_over, prove_script};
use crate::dialects::{Caller, SAID, Upstream};
use crate::harness::Gateway;

/// The recorded stream of a dialect, written in another way.
type Writing = (&'static str, fn(&str) -> String);

/// The same stream in all the ways the standard allows.
const WRITINGS: [Writing; 8] = [
    ("LF", |stream| stream.replace("\r\n", "\n")),
    ("CRLF", |stream| stream.replace("\r\n", "\n").replace('\n', "\r\n")),
    ("CR", |stream| stream.replace("\r\n", "\n").replace('\n', "\r")),
    ("comments", |stream| stream.replace("data: ", ": words-of-the-upstream\n\n:\ndata: ")),
    ("ids and retries", |stream| stream.replace("data: ", "id: 7\nretry: 10\ndata: ")),
    ("no space", |stream| stream.replace("data: ", "data:")),
    ("unknown fields", |stream| stream.replace("data: ", "words: x\nnameless\ndata: ")),
    ("a byte order mark", |stream| format!("\u{feff}{stream}")),
];

#[tokio::test]
async fn crlf_comments_ids_and_every_other_writing_are_the_same_stream() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            for (writing, write) in WRITINGS {
                // A comment inside an event with a name would divide it.
                let written = match (writing, upstream) {
                    ("comments", Upstream::Anthropic | Upstream::Responses) => format!(": x\n\n{}", upstream.stream()),
                    _ => write(upstream.stream()),
                };
                assert_whole(caller, upstream, writing, Script::stream([written])).await;
            }
        }
    }
}

async fn assert_whole(caller: Caller, upstream: Upstream, what: &str, script: Script) {
    let scripted = Scripted::always(script).await;
    let mut gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
    let answer = gateway.post(caller.path(), caller.stream_request()).await;
    let events = answer.events();
    let story = format!("{what}, {caller:?} over {upstream:?}: {}", answer.text());
    assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "{story}");
    assert_eq!(caller.text(&events), SAID, "{story}");
    assert!(caller.is_clean(&events) && !caller.ends_in_error(&events), "{story}");
    assert_eq!(gateway.record().await.outcome, Outcome::Complete, "{story}");
}

#[tokio::test]
async fn split_at_any_byte_or_coalesced() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            for length in [1, 2, 3, 5, 7, 11, 64, 1 << 20] {
                let script = Script::stream([upstream.stream()]).split_every(length);
                assert_whole(caller, upstream, &format!("pieces of {length}"), script).await;
            }
        }
    }
}

#[tokio::test]
async fn data_after_done_is_dropped_and_the_connection_is_not_used_again() {
    let more = [fixtures::openai_chat::STREAM, "data: {\"words-of-the-upstream\":1}\n\n"].concat();
    let endless = Script::stream([more.clone(), format!("data: {}\n\n", MARK.repeat(100))]).endlessly();
    for script in [Script::stream([more]), endless] {
        let upstream = Scripted::always(script).await;
        let gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        for _ in 0..2 {
            let answer = gateway.post("/v1/chat/completions", Caller::Chat.stream_request()).await;
            assert_eq!((answer.text(), &answer.ended), (fixtures::openai_chat::STREAM, &Ended::Whole));
        }
    }
}

#[tokio::test]
async fn json_instead_of_sse_and_sse_instead_of_json() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            for (script, stream) in
                [(Script::reply(200, upstream.plain()), true), (Script::stream([upstream.stream()]), false)]
            {
                let scripted = Scripted::always(script).await;
                let mut gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
                let answer = gateway.post(caller.path(), super::upstream::request(caller, stream)).await;
                assert_eq!(answer.status, 502, "{caller:?} over {upstream:?}: {}", answer.text());
                assert_eq!(gateway.record().await.outcome, Outcome::Failed);
            }
        }
    }
    for content_type in ["application/json", "text/html", "text/plain", "application/octet-stream", ""] {
        let stream = Script::stream([format!("data: {MARK}\n\n")]).header("content-type", content_type);
        prove_script(content_type, fails_over(502), "", stream).await;
    }
}

/// A stream of chat chunks that never ends.
fn endless() -> Script {
    let word = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"more "},"finish_reason":null}]}"#;
    Script::stream([format!("{word}\n\n")]).endlessly().gap(Duration::from_millis(5))
}

#[tokio::test]
async fn endless_tokens_are_cut_at_the_total_time_with_an_error_and_what_was_delivered_is_counted() {
    for caller in Caller::ALL {
        let (upstream, second) = (Scripted::always(endless()).await, Scripted::start(vec![]).await);
        let channels = [
            Upstream::Chat.channel("one", &upstream.url(), "tier: 1, timeouts: {total: 300ms},"),
            Upstream::Chat.channel("two", &second.url(), "tier: 2,"),
        ];
        let mut gateway = Gateway::with_channels(&channels.concat()).await;
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        let events = answer.events();
        assert!(caller.ends_in_error(&events) && !caller.is_clean(&events), "{}", answer.text());
        assert_eq!((answer.status, &answer.ended, second.hits()), (200, &Ended::Whole, 0));
        let record = gateway.record().await;
        let delivered = caller.text(&events).len() as u64 / 4;
        assert_eq!((record.outcome, record.basis), (Outcome::Broken, Basis::Estimated), "{caller:?}");
        assert!(record.usage.output >= Some(delivered) && delivered > 0, "{caller:?}: {:?}", record.usage);
        upstream.wait_aborted(1).await;
    }
}

#[tokio::test]
async fn an_endless_line_or_an_event_of_64_mib_is_cut_at_a_mebibyte() {
    let event = |piece: &str| Bytes::from(format!("data: {}", piece.repeat(64 << 10)));
    let words = fixtures::events(fixtures::openai_chat::STREAM).into_iter().take(3);
    for (what, piece) in [("one line", "x"), ("many lines of one event", "data: x\n"), ("comments", ": xxxxx\n")] {
        let silent = Script::stream([event(piece)]).endlessly();
        prove_stream(what, silent).await;
        let upstream = Scripted::always(Script::stream(words.clone().chain([event(piece)])).endlessly()).await;
        let mut gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.stream_request()).await;
        assert!(Caller::Chat.ends_in_error(&answer.events()), "{what}");
        assert!(answer.body.len() < 64 << 10, "{what}: {} bytes passed on", answer.body.len());
        assert_eq!(gateway.record().await.outcome, Outcome::Broken, "{what}");
        upstream.wait_aborted(1).await;
    }
}

/// A stream that says nothing before it fails: the next deployment answers.
async fn prove_stream(what: &str, script: Script) {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let (faulty, healthy) = (Scripted::always(script.clone()).await, super::upstream::healthy(upstream).await);
        let channels =
            [upstream.channel("one", &faulty.url(), "tier: 1,"), upstream.channel("two", &healthy.url(), "tier: 2,")];
        let mut gateway = Gateway::with_channels(&channels.concat()).await;
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        assert_eq!(caller.text(&answer.events()), SAID, "{what}, {caller:?}");
        assert_eq!(gateway.record().await.attempts, 2, "{what}, {caller:?}");
        faulty.wait_aborted(1).await;
    }
}

#[tokio::test]
async fn comments_for_ever_without_a_word_are_no_answer() {
    let breath = Script::stream([": ping\n\n"]).endlessly().gap(Duration::from_millis(5));
    for caller in Caller::ALL {
        let upstream = caller.own();
        let scripted = Scripted::always(breath.clone()).await;
        let channel = upstream.channel("one", &scripted.url(), "timeouts: {idle: 200ms, total: 400ms},");
        let mut gateway = alone(&channel).await;
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        assert_eq!(answer.status, 504, "{}", answer.text());
        assert_eq!(gateway.record().await.usage.output, None);
    }
}

#[tokio::test]
async fn a_stream_that_begins_and_says_nothing_until_the_first_token_timeout_fails_over() {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let before = upstream.events().into_iter().take(upstream.speaks() - 1);
        // It is never idle, so only the timeout of the first token can end it.
        let mute = Script::stream(before.chain([Bytes::from_static(b": ping\n\n")])).endlessly();
        let (faulty, healthy) =
            (Scripted::always(mute.gap(Duration::from_millis(5))).await, super::upstream::healthy(upstream).await);
        let channels = [
            upstream.channel("one", &faulty.url(), "tier: 1, timeouts: {first_token: 200ms},"),
            upstream.channel("two", &healthy.url(), "tier: 2,"),
        ];
        let mut gateway = Gateway::with_channels(&channels.concat()).await;
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        assert_eq!((answer.status, caller.text(&answer.events())), (200, SAID.to_owned()), "{caller:?}");
        assert_eq!(gateway.record().await.attempts, 2, "{caller:?}");
        faulty.wait_aborted(1).await;
    }
}
