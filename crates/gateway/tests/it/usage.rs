//! Usage: every admitted request files exactly one record, with what the provider reported or what could be estimated,
//! and callers see usage exactly where they asked for it.

use waypost_core::usage::{Basis, Outcome};
use waypost_testkit::sse::Event;
use waypost_testkit::{Request, Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY, channel};

/// What the recorded answers report: input (cache included) and output (thoughts included) of the whole and the stream.
fn reported(upstream: Upstream) -> [(u64, u64); 2] {
    match upstream {
        Upstream::Chat => [(19, 10), (19, 9)],
        Upstream::Anthropic => [(1036, 12), (1036, 15)],
        Upstream::Responses => [(19, 9), (19, 9)],
        Upstream::Gemini => [(8, 45), (8, 45)],
    }
}

fn stream_with_usage(upstream: Upstream) -> &'static str {
    if upstream == Upstream::Chat { fixtures::openai_chat::STREAM_USAGE } else { upstream.stream() }
}

/// The same answers from an upstream that reports nothing.
fn silent(upstream: Upstream, answer: &str) -> String {
    let drop_from = |text: &str, from: &str, close: &str| match text.split_once(from) {
        Some((before, rest)) => {
            let (_, after) = rest.split_once(close).expect("usage ends");
            format!("{before}{after}")
        }
        None => text.to_owned(),
    };
    match upstream {
        Upstream::Chat => drop_from(answer, "\"usage\": {", "\n  },"),
        Upstream::Responses => answer.replace("\"usage\":{", "\"x\":{").replace("\"usage\": {", "\"x\": {"),
        Upstream::Anthropic => answer.replace("\"usage\":{", "\"x\":{"),
        Upstream::Gemini => answer.replace("\"usageMetadata\"", "\"x\""),
    }
}

#[tokio::test]
async fn what_the_provider_reports_is_recorded_once_for_every_pair() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let [whole, streamed] = reported(upstream);
            let scripts = vec![
                Script::reply(200, upstream.plain()),
                Script::stream(fixtures::events(stream_with_usage(upstream))),
            ];
            let scripted = Scripted::start(scripts).await;
            let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
            for (body, stream, (input, output)) in
                [(caller.request().to_owned(), false, whole), (caller.stream_request(), true, streamed)]
            {
                let answer = gateway.post(caller.path(), body).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let record = gateway.record().await;
                gateway.assert_no_record();
                let story = format!("{caller:?} over {upstream:?}, streamed: {stream}");
                let seen = (record.usage.input, record.usage.output, record.basis, record.outcome, record.stream);
                let wanted = (Some(input), Some(output), Basis::Provider, Outcome::Complete, stream);
                assert_eq!(seen, wanted, "{story}");
                assert_eq!(record.translated, caller.own() != upstream, "{story}");
                assert!(!record.clamped && record.first_token_ms.is_some(), "{story}");
                assert_eq!(answer.header("x-request-id"), Some(&*record.request_id));
            }
        }
    }
}

#[tokio::test]
async fn a_silent_provider_is_estimated_and_whole_answers_still_say_usage_000_15() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let scripts = vec![
                Script::reply(200, silent(upstream, upstream.plain())),
                Script::stream([silent(upstream, upstream.stream())]),
            ];
            let scripted = Scripted::start(scripts).await;
            let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
            for (body, stream) in [(caller.request().to_owned(), false), (caller.stream_request(), true)] {
                let story = format!("{caller:?} over {upstream:?}, streamed: {stream}");
                let answer = gateway.post(caller.path(), body).await;
                assert_eq!(answer.status, 200, "{story}: {}", answer.text());
                let record = gateway.record().await;
                gateway.assert_no_record();
                assert_eq!((record.basis, record.outcome), (Basis::Estimated, Outcome::Complete), "{story}");
                assert!(record.usage.input > Some(0) && record.usage.output > Some(0), "{story}: {:?}", record.usage);
                if !stream {
                    assert_eq!(answer.header("x-waypost-cost-basis"), Some("estimated"));
                    let field = if caller == Caller::Chat { "completion_tokens" } else { "output_tokens" };
                    assert_eq!(answer.json()["usage"][field].as_u64(), record.usage.output, "{story}");
                }
            }
        }
    }
}

/// The usage chunks of a chat stream.
fn usage_chunks(events: &[Event]) -> Vec<serde_json::Value> {
    let told = events.iter().filter(|event| event.data != "[DONE]").map(Event::json);
    told.filter(|chunk| chunk["usage"].is_object()).collect()
}

#[tokio::test]
async fn a_chat_caller_who_asked_is_told_usage_of_a_stream_whose_provider_says_none_000_15() {
    for upstream in Upstream::ALL {
        // In one piece, and in two: the end may be in the first that is read.
        for pieces in [1, 2] {
            let said = silent(upstream, upstream.stream());
            let half = said.len() / 2 * (pieces - 1);
            let parts = [said[..half].to_owned(), said[half..].to_owned()];
            let script = Script::stream(parts.into_iter().filter(|piece| !piece.is_empty()));
            let scripted = Scripted::always(script).await;
            let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
            let body = Caller::Chat.stream_request().replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
            let answer = gateway.post("/v1/chat/completions", body).await;
            let record = gateway.record().await;
            let (events, story) = (answer.events(), format!("{upstream:?} in {pieces}: {}", answer.text()));
            let [chunk] = &usage_chunks(&events)[..] else { unreachable!("one chunk of usage: {story}") };
            assert_eq!(chunk["usage"]["completion_tokens"].as_u64(), record.usage.output, "{story}");
            assert_eq!((&chunk["choices"], &chunk["id"]), (&serde_json::json!([]), &events[0].json()["id"]), "{story}");
            let last: Vec<_> = events.iter().rev().take(2).map(|event| event.data.as_str()).collect();
            assert!(last[0] == "[DONE]" && last[1].contains("completion_tokens"), "{story}");
        }
    }
}

#[tokio::test]
async fn a_chat_caller_sees_usage_in_a_stream_exactly_if_asked_for_whoever_answers() {
    for upstream in Upstream::ALL {
        for asked in [false, true] {
            let scripted = Scripted::always(Script::stream([stream_with_usage(upstream)])).await;
            let gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
            let options = format!(r#"{{"stream_options":{{"include_usage":{asked}}},"#);
            let body = Caller::Chat.stream_request().replacen('{', &options, 1);
            let answer = gateway.post("/v1/chat/completions", body).await;
            let events = answer.events();
            let chunks = usage_chunks(&events);
            assert_eq!(chunks.len(), usize::from(asked), "{upstream:?}: {}", answer.text());
            if upstream == Upstream::Chat {
                assert_eq!(scripted.last().json()["stream_options"]["include_usage"], true);
            }
            if let Some(chunk) = chunks.first() {
                let [_, (input, output)] = reported(upstream);
                let usage = &chunk["usage"];
                assert_eq!(
                    (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64()),
                    (Some(input), Some(output))
                );
                assert_eq!(chunk["choices"], serde_json::json!([]));
                assert_eq!(events.last().map(|last| last.data.as_str()), Some("[DONE]"));
            }
        }
    }
}

#[tokio::test]
async fn a_translated_stream_tells_an_estimate_where_the_upstream_reported_nothing() {
    for upstream in [Upstream::Anthropic, Upstream::Responses, Upstream::Gemini] {
        let scripted = Scripted::always(Script::stream([silent(upstream, upstream.stream())])).await;
        let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
        let options = r#"{"stream_options":{"include_usage":true},"#;
        let body = Caller::Chat.stream_request().replacen('{', options, 1);
        let answer = gateway.post("/v1/chat/completions", body).await;
        let record = gateway.record().await;
        let chunks = usage_chunks(&answer.events());
        assert_eq!(chunks.len(), 1, "{upstream:?}: {}", answer.text());
        assert_eq!(chunks[0]["usage"]["completion_tokens"].as_u64(), record.usage.output);
        assert_eq!(chunks[0]["usage"]["prompt_tokens"].as_u64(), record.usage.input);
        assert_eq!(record.basis, Basis::Estimated);
    }
    let upstream = Upstream::Gemini;
    let scripted = Scripted::always(Script::stream([silent(upstream, upstream.stream())])).await;
    let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
    for (caller, place) in
        [(Caller::Messages, "/usage/output_tokens"), (Caller::Responses, "/response/usage/output_tokens")]
    {
        let answer = gateway.post(caller.path(), caller.stream_request()).await;
        let record = gateway.record().await;
        let told = answer.events().iter().rev().find_map(|event| event.json().pointer(place)?.as_u64());
        assert_eq!(told, record.usage.output, "{caller:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn absurd_usage_is_clamped_and_flagged() {
    let answer = |usage: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        )
    };
    let absurd = [
        r#"{"prompt_tokens":9223372036854775808,"completion_tokens":18446744073709551615}"#,
        r#"{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1000}}"#,
    ];
    let odd = [
        r#"{"prompt_tokens":-7,"completion_tokens":-1}"#,
        r#"{"prompt_tokens":1e30,"completion_tokens":"many"}"#,
        r#"{"prompt_tokens":null}"#,
        r#""none""#,
        "[1]",
    ];
    for (usage, is_absurd) in absurd.map(|usage| (usage, true)).into_iter().chain(odd.map(|usage| (usage, false))) {
        let upstream = Scripted::always(Script::reply(200, answer(usage))).await;
        let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
        assert_eq!(answer.status, 200, "{usage}: {}", answer.text());
        let record = gateway.record().await;
        let most = |count: Option<u64>| count.is_some_and(|count| count <= 100_000_000);
        assert!(most(record.usage.input) && most(record.usage.output), "{usage}: {:?}", record.usage);
        assert!(record.usage.cache_read <= record.usage.input, "{usage}: {:?}", record.usage);
        assert!(record.clamped || record.basis == Basis::Estimated, "{usage}: {record:?}");
        if is_absurd {
            assert!(record.clamped, "{usage}: {:?}", record.usage);
        }
    }
}

#[tokio::test]
async fn usage_that_falls_or_repeats_in_a_stream_is_never_added_up() {
    let stream: Vec<String> = fixtures::events(fixtures::openai_chat::STREAM)
        .iter()
        .enumerate()
        .map(|(at, event)| {
            let output = if at == 3 { 40 } else { at };
            let usage = format!("\"usage\":{{\"prompt_tokens\":19,\"completion_tokens\":{output}}},\"choices\"");
            String::from_utf8(event.to_vec()).unwrap().replace("\"choices\"", &usage)
        })
        .collect();
    let upstream = Scripted::always(Script::stream(stream)).await;
    let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    gateway.post("/v1/chat/completions", Caller::Chat.stream_request()).await;
    let record = gateway.record().await;
    assert_eq!((record.usage.input, record.usage.output), (Some(19), Some(40)));
}

#[tokio::test]
async fn completions_and_embeddings_file_their_record_too() {
    let cases = [
        ("/v1/completions", r#"{"model":"m","prompt":"Hi"}"#, fixtures::openai::COMPLETION, false, (5, Some(7))),
        (
            "/v1/completions",
            r#"{"model":"m","prompt":"Hi","stream":true}"#,
            fixtures::openai::COMPLETION_STREAM,
            true,
            (7, None),
        ),
        ("/v1/embeddings", r#"{"model":"m","input":"Hi"}"#, fixtures::openai::EMBEDDINGS, false, (12, Some(0))),
    ];
    for (path, body, answer, stream, (input, output)) in cases {
        let script = if stream { Script::stream([answer]) } else { Script::reply(200, answer) };
        let upstream = Scripted::always(script).await;
        let mut gateway = Gateway::with_channels(&channel("one", "openai", &upstream.url(), "[m]")).await;
        assert_eq!(gateway.post(path, body).await.text(), answer);
        let record = gateway.record().await;
        gateway.assert_no_record();
        match output {
            Some(output) => {
                assert_eq!((record.basis, record.usage.output), (Basis::Provider, Some(output)), "{path}");
                assert_eq!(record.usage.input, Some(input), "{path}");
            }
            None => assert_eq!(record.basis, Basis::Estimated, "{path}"),
        }
    }
}

#[tokio::test]
async fn refused_requests_file_no_record() {
    let upstream = Scripted::start(vec![]).await;
    let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    for caller in Caller::ALL {
        let path = caller.path();
        let wrong_model = caller.request().replace("\"m\"", "\"other\"");
        let unknown_key = Request::post(path, caller.request()).bearer("wp-unknown").send(gateway.url()).await;
        let no_key = Request::post(path, caller.request()).send(gateway.url()).await;
        let garbled = Request::post(path, "{\"model\":").bearer(KEY).send(gateway.url()).await;
        let unknown = gateway.post(path, wrong_model).await;
        let nothing = gateway.post(path, "{}").await;
        let seen = [unknown_key, no_key, garbled, unknown, nothing].map(|answer| answer.status);
        assert_eq!(seen, [401, 401, 400, 404, 400], "{caller:?}");
    }
    gateway.assert_no_record();
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_request_that_no_deployment_answers_files_one_record_without_usage() {
    let upstream = Scripted::always(Script::reply(500, fixtures::openai_chat::ERROR_500)).await;
    let mut gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    let record = gateway.record().await;
    gateway.assert_no_record();
    assert_eq!((answer.status, record.status, record.outcome), (502, 502, Outcome::Failed));
    assert_eq!((record.usage.input, record.usage.output, record.attempts), (None, None, 3));
    assert_eq!(upstream.hits(), 3, "alone, it is asked again");
}
