//! The caller leaves: the upstream is told by a closed connection, and exactly one record says what was used so far.
//! And the opposite: after a stream that ended well the connection is used again.

use waypost_core::usage::{Basis, Outcome};
use waypost_testkit::{Client, Gate, Request, Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY};

fn request(caller: Caller, body: impl Into<bytes::Bytes>) -> Request {
    Request::post(caller.path(), body).bearer(KEY)
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_aborts_the_upstream_001_45() {
    for caller in Caller::ALL {
        for upstream in [caller.own(), Upstream::Gemini] {
            for body in [caller.request().to_owned(), caller.stream_request()] {
                let silent = Scripted::start(vec![Script::never_answer()]).await;
                let mut gateway = Gateway::with_channels(&upstream.channel("one", &silent.url(), "")).await;
                let mut client = Client::connect(gateway.url()).await;
                client.write(&request(caller, body).to_bytes("gateway")).await.unwrap();
                silent.wait_hits(1).await;

                client.hang_up();

                silent.wait_aborted(1).await;
                let record = gateway.record().await;
                assert_eq!((record.outcome, record.attempts), (Outcome::Abandoned, 1));
                gateway.assert_no_record();
            }
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_while_the_answer_is_held_back_aborts_the_upstream() {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let before = upstream.speaks() - 1;
        let silent = Scripted::start(vec![Script::stream(upstream.events()).stall_after(before)]).await;
        let mut gateway = Gateway::with_channels(&upstream.channel("one", &silent.url(), "")).await;
        let mut client = Client::connect(gateway.url()).await;
        client.write(&request(caller, caller.stream_request()).to_bytes("gateway")).await.unwrap();
        silent.wait_hits(1).await;

        client.reset();

        silent.wait_aborted(1).await;
        assert_eq!(gateway.record().await.outcome, Outcome::Abandoned);
        gateway.assert_no_record();
    }
}

#[tokio::test]
async fn a_caller_that_leaves_mid_stream_aborts_the_upstream_and_pays_for_what_was_delivered() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let gate = Gate::closed();
            let spoken = upstream.speaks() + 1;
            gate.pass(spoken);
            let endless = Scripted::start(vec![Script::stream(upstream.events()).gated(&gate)]).await;
            let mut gateway = Gateway::with_channels(&upstream.channel("one", &endless.url(), "")).await;
            let mut live = request(caller, caller.stream_request()).open(gateway.url()).await;
            let story = format!("{caller:?} over {upstream:?}");
            let mut seen = vec![];
            while caller.text(&seen).is_empty() {
                seen.push(live.next_event().await.expect("the stream goes on").what);
            }

            live.hang_up();

            endless.wait_aborted(1).await;
            let record = gateway.record().await;
            assert_eq!((record.outcome, record.status, record.attempts), (Outcome::Abandoned, 200, 1), "{story}");
            assert!(record.usage.input > Some(0) && record.usage.output > Some(0), "{story}: {:?}", record.usage);
            gateway.assert_no_record();
        }
    }
}

#[tokio::test]
async fn a_report_from_the_start_of_a_stream_does_not_stand_for_what_was_delivered_after_it() {
    // Anthropic says one output token in its first event; 4000 bytes follow before the caller leaves.
    let long = "word ".repeat(800);
    let events: Vec<String> = fixtures::events(fixtures::anthropic::STREAM)
        .iter()
        .map(|event| String::from_utf8(event.to_vec()).unwrap().replace("! The café", &long))
        .collect();
    let gate = Gate::closed();
    gate.pass(5);
    let upstream = Scripted::start(vec![Script::stream(events).gated(&gate)]).await;
    let mut gateway = Gateway::with_channels(&Upstream::Anthropic.channel("one", &upstream.url(), "")).await;
    let mut live = request(Caller::Messages, Caller::Messages.stream_request()).open(gateway.url()).await;
    while !live.next_event().await.expect("the stream goes on").what.data.contains("word") {}

    live.hang_up();

    let record = gateway.record().await;
    assert_eq!((record.outcome, record.basis), (Outcome::Abandoned, Basis::Estimated));
    assert!(record.usage.output >= Some(1000), "{:?}", record.usage);
}

#[tokio::test]
async fn a_picture_in_the_prompt_is_not_taken_for_so_many_words() {
    let picture = "A".repeat(3 << 20);
    let part = format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}"#);
    let body = format!(r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let (media, length) = (part.len() as u64, body.len() as u64);
    let endless = Scripted::start(vec![Script::stream(Upstream::Chat.events()).stall_after(3)]).await;
    let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &endless.url(), "")).await;
    let mut live = Request::post(Caller::Chat.path(), body).bearer(KEY).open(gateway.url()).await;
    live.next_event().await.expect("it begins");

    live.hang_up();

    let record = gateway.record().await;
    assert_eq!(record.outcome, Outcome::Abandoned);
    assert_eq!(record.usage.input, Some((length - media).div_ceil(4) + media.div_ceil(100)));
}

#[tokio::test]
async fn the_connection_of_a_stream_that_ended_well_is_used_again() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let healthy = Scripted::always(Script::stream(upstream.events())).await;
            let mut gateway = Gateway::with_channels(&upstream.channel("one", &healthy.url(), "")).await;
            for _ in 0..5 {
                let answer = gateway.post(caller.path(), caller.stream_request()).await;
                assert!(caller.is_clean(&answer.events()));
                assert_eq!(gateway.record().await.outcome, Outcome::Complete);
            }
            assert_eq!((healthy.hits(), healthy.connections()), (5, 1), "{caller:?} over {upstream:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_whose_end_never_comes_is_not_waited_for() {
    for caller in Caller::ALL {
        let upstream = caller.own();
        let all = upstream.events().len();
        let hanging = Scripted::start(vec![Script::stream(upstream.events()).stall_after(all)]).await;
        let mut gateway = Gateway::with_channels(&upstream.channel("one", &hanging.url(), "")).await;
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        assert_eq!(answer.text(), upstream.stream());
        hanging.wait_aborted(1).await;
        assert_eq!(gateway.record().await.outcome, Outcome::Complete);
    }
}
