//! Streams cut, garbled and stalled at every event, relayed and translated: a broken one never looks complete, and goes
//! on to the next deployment as long as nothing was said.

use bytes::Bytes;
use tokio::task::JoinSet;
use waypost_core::usage::Outcome;
use waypost_testkit::{Answer, Ended, Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, SAID, Upstream};
use crate::harness::Gateway;

/// Long enough for an upstream on loopback to send what it has, short enough to wait for its silence.
const SHORT_IDLE: &str = "timeouts: {idle: 300ms},";

/// What became of a request whose first upstream played a script, with a healthy one behind it.
struct Told {
    answer: Answer,
    outcome: Outcome,
    /// Calls of the first and of the second upstream.
    hits: (usize, usize),
}

async fn tell(caller: Caller, upstream: Upstream, script: Script) -> Told {
    let faulty = Scripted::always(script).await;
    let healthy = Scripted::always(Script::stream(upstream.events())).await;
    let channels = [
        upstream.channel("one", &faulty.url(), &format!("tier: 1, {SHORT_IDLE}")),
        upstream.channel("two", &healthy.url(), "tier: 2,"),
    ];
    let mut gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post(caller.path(), caller.stream_request()).await;
    let outcome = gateway.record().await.outcome;
    gateway.assert_no_record();
    Told { answer, outcome, hits: (faulty.hits(), healthy.hits()) }
}

/// What a caller must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The whole answer of the first upstream.
    Whole,
    /// The whole answer of the second upstream.
    Failover,
    /// A part of the answer, then an error event.
    Broken,
}

impl Told {
    fn assert(&self, caller: Caller, expected: Expected, story: &str) {
        let events = self.answer.events();
        let (clean, broken) = (caller.is_clean(&events), caller.ends_in_error(&events));
        let text = caller.text(&events);
        let seen = (self.answer.status, &self.answer.ended, clean, broken, self.hits, self.outcome);
        let wanted = match expected {
            Expected::Whole => (200, &Ended::Whole, true, false, (1, 0), Outcome::Complete),
            Expected::Failover => (200, &Ended::Whole, true, false, (1, 1), Outcome::Complete),
            Expected::Broken => (200, &Ended::Whole, false, true, (1, 0), Outcome::Broken),
        };
        assert_eq!(seen, wanted, "{story}: {:?}", self.answer.body);
        match expected {
            Expected::Whole | Expected::Failover => assert_eq!(text, SAID, "{story}"),
            Expected::Broken => assert!(!text.is_empty() && SAID.starts_with(&text), "{story}: {text}"),
        }
    }
}

/// Tells one story for each number of events, caller and upstream, many at a time.
async fn at_every_event(
    what: &str,
    script: impl Fn(Upstream, usize) -> Script,
    expect: impl Fn(Upstream, usize) -> Option<Expected>,
) {
    let mut told = 0;
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let mut stories = JoinSet::new();
            for at in 0..=upstream.events().len() {
                let Some(expected) = expect(upstream, at) else { continue };
                let (script, story) = (script(upstream, at), format!("{caller:?} over {upstream:?} {what} {at}"));
                stories.spawn(async move { tell(caller, upstream, script).await.assert(caller, expected, &story) });
                told += 1;
            }
            while let Some(story) = stories.join_next().await {
                story.expect("the story is as told");
            }
        }
    }
    assert!(told > 100, "only {told} stories");
}

/// A break that cannot be taken for an end.
fn broken_after(upstream: Upstream, at: usize) -> Expected {
    if at < upstream.speaks() {
        Expected::Failover
    } else if upstream.ends().is_some_and(|ends| at >= ends) {
        Expected::Whole
    } else {
        Expected::Broken
    }
}

#[tokio::test]
async fn a_stream_whose_connection_closes_after_any_event_is_never_clean() {
    let script = |upstream: Upstream, at| Script::stream(upstream.events()).cut_after(at);
    at_every_event("cut after", script, |upstream, at| Some(broken_after(upstream, at))).await;
}

#[tokio::test]
async fn a_stream_that_stalls_after_any_event_is_never_clean() {
    let script = |upstream: Upstream, at| Script::stream(upstream.events()).stall_after(at);
    at_every_event("stalled after", script, |upstream, at| Some(broken_after(upstream, at))).await;
}

#[tokio::test]
async fn a_stream_that_ends_tidily_after_any_event_is_clean_only_if_the_upstream_had_finished() {
    let script = |upstream: Upstream, at| {
        let events = upstream.events().into_iter().take(at);
        Script::stream(events)
    };
    let expect = |upstream: Upstream, at| {
        let finished = at >= upstream.finishes();
        Some(if finished { Expected::Whole } else { broken_after(upstream, at) })
    };
    at_every_event("ended after", script, expect).await;
}

#[tokio::test]
async fn a_stream_that_ends_within_any_event_is_never_clean() {
    let script = |upstream: Upstream, at: usize| {
        let events = upstream.events();
        let half = events.get(at).map(|event| event.slice(..event.len() / 2));
        Script::stream(events.into_iter().take(at).chain(half))
    };
    // Half of what follows the finish takes nothing away.
    let expect = |upstream: Upstream, at| (at < upstream.finishes()).then(|| broken_after(upstream, at));
    at_every_event("ended within", script, expect).await;
}

#[tokio::test]
async fn a_stream_that_ends_without_the_last_blank_line_is_judged_by_what_it_said() {
    let script = |upstream: Upstream, at: usize| {
        let mut events: Vec<Bytes> = upstream.events().into_iter().take(at).collect();
        if let Some(last) = events.last_mut() {
            *last = last.slice(..last.trim_ascii_end().len());
        }
        Script::stream(events)
    };
    // A strict reader never sees a mark that lacks its blank line; that is between it and the upstream.
    let marked = |upstream: Upstream, at| upstream.ends().is_some_and(|ends| at >= ends);
    let expect = |upstream: Upstream, at| {
        let finished = at >= upstream.finishes();
        let judged = if finished { Expected::Whole } else { broken_after(upstream, at) };
        (!marked(upstream, at)).then_some(judged)
    };
    at_every_event("ended in the line of", script, expect).await;
}

#[tokio::test]
async fn a_stream_garbled_at_any_event_is_never_clean() {
    let script = |upstream: Upstream, at: usize| {
        let mut events = upstream.events();
        let text = String::from_utf8(events[at].to_vec()).expect("a recorded event is text");
        let end = if text.contains("\r\n") { "\r\n\r\n" } else { "\n\n" };
        let (name, _) = text.split_once("data: ").expect("a recorded event has data");
        events[at] = format!("{name}data: {{\"id\":\"x\",\"choi{end}").into();
        Script::stream(events)
    };
    let expect = |upstream: Upstream, at| {
        (at < upstream.events().len()).then(|| match broken_after(upstream, at) {
            Expected::Failover => Expected::Failover,
            Expected::Broken | Expected::Whole => Expected::Broken,
        })
    };
    at_every_event("garbled at", script, expect).await;
}

#[tokio::test]
async fn a_reset_stream_is_never_clean_unless_it_was_whole() {
    let mut stories = JoinSet::new();
    for (caller, upstream) in Caller::ALL.iter().flat_map(|caller| Upstream::ALL.map(|upstream| (*caller, upstream))) {
        for at in 0..upstream.ends().unwrap_or(upstream.events().len()) {
            stories.spawn(async move {
                let told = tell(caller, upstream, Script::stream(upstream.events()).reset_after(at)).await;
                // A reset may overtake what was sent before it, so there may have been less than was sent.
                let expected = if told.hits.1 == 1 { Expected::Failover } else { Expected::Broken };
                assert!(expected == Expected::Failover || at >= upstream.speaks());
                told.assert(caller, expected, &format!("{caller:?} over {upstream:?} reset after {at}"));
            });
        }
    }
    while let Some(story) = stories.join_next().await {
        story.expect("the story is as told");
    }
}

#[tokio::test]
async fn bad_utf8_in_a_stream_is_an_error_event() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let mut bytes = upstream.stream().as_bytes().to_vec();
            // The second byte of the é goes.
            let at = bytes.iter().position(|byte| *byte == 0xc3).expect("the recorded stream has an é");
            bytes[at + 1] = b' ';
            let told = tell(caller, upstream, Script::stream([bytes])).await;
            told.assert(caller, Expected::Broken, &format!("{caller:?} over {upstream:?}"));
        }
    }
}

#[tokio::test]
async fn an_event_beyond_the_cap_is_an_error_event_or_fails_over() {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let endless = Bytes::from(vec![b'x'; 33 << 20]);
        let at = upstream.speaks();
        let said = upstream.events().into_iter().take(at).chain([endless.clone()]);
        tell(caller, upstream, Script::stream(said)).await.assert(caller, Expected::Broken, "after a word");
        let silent = Script::stream([Bytes::from_static(b"data: "), endless]);
        tell(caller, upstream, silent).await.assert(caller, Expected::Failover, "before a word");
    }
}

#[tokio::test]
async fn an_error_the_provider_reports_after_words_is_an_error_event_in_the_callers_dialect() {
    let streams = [
        (Upstream::Chat, fixtures::openai_chat::ERROR_IN_STREAM),
        (Upstream::Anthropic, fixtures::anthropic::ERROR_IN_STREAM),
    ];
    for caller in Caller::ALL {
        for (upstream, stream) in streams {
            let told = tell(caller, upstream, Script::stream(fixtures::events(stream))).await;
            told.assert(caller, Expected::Broken, &format!("{caller:?} over {upstream:?}"));
        }
    }
}

#[tokio::test]
async fn an_error_the_provider_reports_before_words_fails_over() {
    let chat: &[&str] = &[
        "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n",
        "event: error\ndata: {\"message\":\"no\"}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"error\"}]}\n\ndata: [DONE]\n\n",
        "data: [DONE]\n\n",
        ": nothing\n\n",
    ];
    let anthropic: &[&str] = &[
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ];
    let responses: &[&str] = &[
        fixtures::openai_responses::FAILED_STREAM,
        "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"no\",\"sequence_number\":0}\n\n",
    ];
    let gemini: &[&str] = &[
        "data: {\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
        "data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"index\":0}]}\r\n\r\n",
    ];
    let streams = [chat, anthropic, responses, gemini];
    for caller in Caller::ALL {
        for (upstream, streams) in Upstream::ALL.into_iter().zip(streams) {
            for stream in streams {
                let told = tell(caller, upstream, Script::stream([*stream])).await;
                told.assert(caller, Expected::Failover, &format!("{caller:?} over {upstream:?}: {stream}"));
            }
        }
    }
}

#[tokio::test]
async fn with_no_other_deployment_a_stream_that_says_nothing_is_a_plain_error_with_a_status() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let before = upstream.speaks() - 1;
            let events = || Script::stream(upstream.events());
            for (script, status) in [(events().cut_after(before), 502), (events().stall_after(before), 504)] {
                let faulty = Scripted::always(script).await;
                let channel = upstream.channel("one", &faulty.url(), SHORT_IDLE);
                let mut gateway = Gateway::with_channels(&channel).await;
                let answer = gateway.post(caller.path(), caller.stream_request()).await;
                assert_eq!(answer.status, status, "{caller:?} over {upstream:?}: {}", answer.text());
                assert!(caller.is_error_body(&answer), "{}", answer.text());
                let record = gateway.record().await;
                assert_eq!((record.outcome, record.status), (Outcome::Failed, status));
            }
        }
    }
}

#[tokio::test]
async fn a_finish_without_its_mark_is_completed_with_the_mark() {
    let stream = fixtures::openai_chat::STREAM;
    for without in [stream.replace("data: [DONE]\n\n", ""), stream.replace("\n\ndata: [DONE]\n\n", "\n")] {
        let told = tell(Caller::Chat, Upstream::Chat, Script::stream([without])).await;
        told.assert(Caller::Chat, Expected::Whole, "without [DONE]");
    }
}

#[tokio::test]
async fn what_follows_the_terminal_mark_is_dropped() {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let more = [upstream.stream(), "data: {\"garbled\n\n: and more\n\n"].concat();
        let told = tell(caller, upstream, Script::stream([more])).await;
        told.assert(caller, Expected::Whole, &format!("{caller:?}"));
        assert_eq!(told.answer.text(), upstream.stream());
    }
}

#[tokio::test]
async fn of_several_choices_a_stream_without_its_mark_must_have_finished_all() {
    let said = |choice: u32| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":{choice},\
             \"delta\":{{\"content\":\"Hi\"}},\"finish_reason\":\"stop\"}}]}}\n\n"
        )
    };
    for (events, outcome) in [(vec![said(0)], Outcome::Broken), (vec![said(1), said(0)], Outcome::Complete)] {
        let upstream = Scripted::always(Script::stream(events)).await;
        let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        let body = Caller::Chat.stream_request().replacen('{', "{\"n\":2,", 1);
        let events = gateway.post(Caller::Chat.path(), body).await.events();
        let whole = outcome == Outcome::Complete;
        assert_eq!(
            (Caller::Chat.is_clean(&events), Caller::Chat.ends_in_error(&events)),
            (whole, !whole),
            "{events:?}"
        );
        assert_eq!(gateway.record().await.outcome, outcome);
    }
}
