//! Rows about reported usage: missing, odd or impossible counts never fail a request, never reach the books as they are,
//! and are flagged.

use waypost_core::usage::{Basis, Outcome, UsageRecord};
use waypost_testkit::{Script, Upstream as Scripted};

use super::upstream::{alone, request};
use crate::dialects::{Caller, Upstream};

/// What an upstream reports, as the JSON of its usage object; `{in}` and `{out}` stand for the dialect's field names.
const ODD: [&str; 17] = [
    "null",
    "{}",
    "[]",
    "\"none\"",
    "17",
    "true",
    r#"{"{in}":null,"{out}":null}"#,
    r#"{"{in}":7}"#,
    r#"{"{out}":2}"#,
    r#"{"{in}":"7","{out}":"many"}"#,
    r#"{"{in}":-7,"{out}":-1}"#,
    r#"{"{in}":7.5,"{out}":2.25}"#,
    r#"{"{in}":9223372036854775808,"{out}":18446744073709551615}"#,
    r#"{"{in}":1e30,"{out}":1E+30}"#,
    r#"{"{in}":1000000000000000000000000000000,"{out}":1000000000000000000000000000000}"#,
    r#"{"{in}":0,"{out}":0}"#,
    r#"{"{in}":[7],"{out}":{"a":2}}"#,
];

/// An answer with that usage, whole or streamed.
fn saying(upstream: Upstream, usage: &str, stream: bool) -> Script {
    let (input, output) = match upstream {
        Upstream::Chat => ("prompt_tokens", "completion_tokens"),
        Upstream::Anthropic | Upstream::Responses => ("input_tokens", "output_tokens"),
        Upstream::Gemini => ("promptTokenCount", "candidatesTokenCount"),
    };
    let usage = usage.replace("{in}", input).replace("{out}", output);
    match (upstream, stream) {
        (Upstream::Chat, false) => Script::reply(
            200,
            format!(
                r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
            ),
        ),
        (Upstream::Chat, true) => {
            let chunk = |choices: &str, more: &str| {
                format!(
                    r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":{choices}{more}}}"#
                )
            };
            Script::stream([[
                chunk(r#"[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]"#, ""),
                chunk(r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#, ""),
                chunk("[]", &format!(r#","usage":{usage}"#)),
                "data: [DONE]\n\n".to_owned(),
            ]
            .join("\n\n")])
        }
        (Upstream::Anthropic, false) => Script::reply(
            200,
            format!(
                r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"Hello"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{usage}}}"#
            ),
        ),
        (Upstream::Anthropic, true) => Script::stream([[
            format!(
                r#"event: message_start
data: {{"type":"message_start","message":{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{usage}}}}}"#
            ),
            r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#
                .to_owned(),
            r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#
                .to_owned(),
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}".to_owned(),
            format!(
                r#"event: message_delta
data: {{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{usage}}}"#
            ),
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned(),
        ]
        .join("\n\n")]),
        (Upstream::Gemini, _) => {
            let body = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"text":"Hello"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{usage},"modelVersion":"m"}}"#
            );
            if stream { Script::stream([format!("data: {body}\r\n\r\n")]) } else { Script::reply(200, body) }
        }
        (Upstream::Responses, _) => {
            let response = format!(
                r#"{{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"completed","output":[{{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"Hello","annotations":[]}}]}}],"usage":{usage}}}"#
            );
            if !stream {
                return Script::reply(200, response);
            }
            let delta = r#"{"type":"response.output_text.delta","sequence_number":0,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello"}"#;
            let done = format!(r#"{{"type":"response.completed","sequence_number":1,"response":{response}}}"#);
            Script::stream([format!(
                "event: response.output_text.delta\ndata: {delta}\n\nevent: response.completed\ndata: {done}\n\n"
            )])
        }
    }
}

/// The books hold only what can be.
fn assert_sane(record: &UsageRecord, story: &str) {
    assert_eq!((record.outcome, record.status), (Outcome::Complete, 200), "{story}");
    for count in [record.usage.input, record.usage.output] {
        assert!(count.is_some_and(|count| count > 0 && count <= 100_000_000), "{story}: {:?}", record.usage);
    }
    assert!(record.basis == Basis::Estimated || record.clamped, "{story}: taken for good: {record:?}");
}

#[tokio::test]
async fn usage_missing_null_partial_string_negative_huge_or_float_is_estimated_or_clamped_and_flagged() {
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            for stream in [false, true] {
                for usage in ODD {
                    let scripted = Scripted::always(saying(upstream, usage, stream)).await;
                    let mut gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
                    let answer = gateway.post(caller.path(), request(caller, stream)).await;
                    let story = format!("{caller:?} over {upstream:?}, streamed: {stream}, {usage}: {}", answer.text());
                    assert_eq!(answer.status, 200, "{story}");
                    assert_sane(&gateway.record().await, &story);
                    gateway.assert_no_record();
                }
            }
        }
    }
}

#[tokio::test]
async fn usage_that_is_right_is_taken_as_it_is() {
    for upstream in Upstream::ALL {
        for stream in [false, true] {
            let scripted = Scripted::always(saying(upstream, r#"{"{in}":7,"{out}":2}"#, stream)).await;
            let mut gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
            gateway.post("/v1/messages", request(Caller::Messages, stream)).await;
            let record = gateway.record().await;
            let seen = (record.usage.input, record.usage.output, record.basis, record.clamped);
            assert_eq!(seen, (Some(7), Some(2), Basis::Provider, false), "{upstream:?}, streamed: {stream}");
        }
    }
}
