use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Dialect;
use crate::dialect::StreamDecoder;
use crate::openai_chat::stream_decoder::Decoder;
use crate::sse::Framer;

fn reply(include_usage: bool) -> Reply {
    Reply {
        id: "7f".to_owned(),
        created: 1_795_000_001,
        model: "fast".to_owned(),
        include_usage,
        input_estimate: 0,
        request: std::sync::Arc::default(),
    }
}

fn written(events: &[Event], include_usage: bool) -> (String, Encoder) {
    let (mut encoder, mut out) = (Encoder::new(reply(include_usage)), BytesMut::new());
    for event in events {
        encoder.event(event, &mut out);
    }
    (String::from_utf8(out.to_vec()).unwrap(), encoder)
}

/// The chunks of a stream, without its mark.
fn chunks(stream: &str) -> Vec<Value> {
    let data = stream.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn read(stream: &[u8]) -> Vec<Event> {
    let (mut framer, mut decoder, mut events) = (Framer::new(1 << 20), Decoder::default(), Vec::new());
    framer.push(Bytes::copy_from_slice(stream));
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.frame(&frame, &mut events).unwrap();
    }
    decoder.end(&mut events).unwrap();
    events
}

fn start() -> Event {
    Event::Start { id: Some("msg_1".to_owned()), model: Some("claude".to_owned()), created: None }
}

fn shown_start() -> Event {
    let id = Some("chatcmpl-7f".to_owned());
    Event::Start { id, model: Some("fast".to_owned()), created: Some(1_795_000_001) }
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.to_owned() }
}

fn reasoning(text: &str) -> Event {
    Event::Reasoning { choice: 0, text: text.to_owned() }
}

fn seal(dialect: Dialect, seal: &str, redacted: bool) -> Event {
    let signature = Signature { dialect, seal: seal.to_owned() };
    Event::ReasoningSeal { choice: 0, signature, redacted, id: None }
}

fn call(call: u32, id: &str, kind: ToolKind) -> Event {
    Event::ToolCall { choice: 0, call, id: id.to_owned(), name: "f".to_owned(), kind, signature: None }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, reason }
}

#[test]
fn a_stream_is_the_apis_byte_for_byte() {
    let events = [start(), text("Hi"), finish(FinishReason::Stop), Event::Usage(Usage::default()), Event::Done];
    let head = r#"data: {"id":"chatcmpl-7f","object":"chat.completion.chunk","created":1795000001,"model":"fast","choices":[{"index":0,"delta":"#;
    let expected = [
        head,
        "{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        head,
        "{\"content\":\"Hi\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        head,
        "{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    assert_eq!(written(&events, false).0, expected.concat());
}

#[test]
fn usage_is_shown_once_at_the_end_to_those_who_asked() {
    let count = |output| Event::Usage(Usage { input: Some(9), output: Some(output), ..Usage::default() });
    let events = [start(), count(1), text("Hi"), finish(FinishReason::Stop), count(4), Event::Done];
    let (stream, _) = written(&events, true);
    let chunks = chunks(&stream);
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}));
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert!(!written(&events, false).0.contains("usage"));
}

#[test]
fn a_call_without_arguments_is_given_an_object_before_the_finish() {
    let events = [start(), call(4, "", ToolKind::Function), call(5, "c", ToolKind::Custom), finish(FinishReason::Stop)];
    let chunks = chunks(&written(&events, false).0);
    let delta = |at: usize| &chunks[at]["choices"][0]["delta"]["tool_calls"][0];
    let named = json!({"index": 0, "id": "call_7f_0", "type": "function", "function": {"name": "f", "arguments": ""}});
    assert_eq!(*delta(1), named);
    assert_eq!(*delta(2), json!({"index": 1, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}));
    assert_eq!(*delta(3), json!({"index": 0, "function": {"arguments": "{}"}}));
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn failures_are_error_frames_and_nothing_follows() {
    let cases: [&[Event]; 4] = [
        &[start(), text("a"), finish(FinishReason::Failed("OTHER".to_owned())), Event::Done, text("b")],
        &[start(), text("a"), Event::Done, finish(FinishReason::Stop), Event::Done],
        &[Event::Done],
        &[start(), finish(FinishReason::Stop), Event::Text { choice: 1, text: "b".to_owned() }, Event::Done],
    ];
    for events in cases {
        let (stream, _) = written(events, true);
        let chunks = chunks(&stream);
        assert_eq!(chunks.last().unwrap()["error"]["type"], "server_error", "{stream}");
        assert!(!stream.contains("[DONE]"), "{stream}");
    }
}

#[test]
fn our_own_error_comes_once_and_nothing_follows() {
    let fault = Fault {
        status: 502,
        openai_type: "server_error",
        openai_code: Some("upstream_cut"),
        anthropic_type: "api_error",
        gemini_status: "UNAVAILABLE",
        message: "the upstream went away",
        param: None,
        request_id: "req_1",
    };
    let (_, mut encoder) = written(&[start(), text("a")], false);
    let mut out = BytesMut::new();
    encoder.error(&fault, &mut out);
    encoder.error(&fault, &mut out);
    encoder.event(&Event::Done, &mut out);
    let error =
        r#"{"error":{"message":"the upstream went away","type":"server_error","param":null,"code":"upstream_cut"}}"#;
    assert_eq!(out, format!("data: {error}\n\n"));
}

#[test]
fn an_explained_refusal_is_told_as_one() {
    let events = [start(), text("I"), finish(FinishReason::Refusal(Some("Policy.".to_owned()))), Event::Done];
    let chunks = chunks(&written(&events, false).0);
    assert_eq!(chunks[2]["choices"][0]["delta"], json!({"refusal": "Policy."}));
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn what_cannot_be_said_is_a_loss() {
    let source = Citation { title: Some("A book".to_owned()), ..Citation::default() };
    let events = [
        start(),
        Event::Opaque { kind: "server_tool_use".to_owned() },
        Event::Citation { choice: 0, citation: source },
        Event::ToolArguments { choice: 0, call: 3, text: "{}".to_owned() },
        finish(FinishReason::Pause),
    ];
    let (_, encoder) = written(&events, false);
    let lost: Vec<_> = encoder.losses().iter().map(ToString::to_string).collect();
    let expected = [
        "choices[].message.content[].server_tool_use=dropped",
        "choices[].message.annotations=dropped",
        "choices[].message.tool_calls[]=dropped",
        "choices[].finish_reason=emulated",
    ];
    assert_eq!(lost, expected);
}

#[test]
fn blocks_of_thought_keep_their_own_seals() {
    let events = [
        start(),
        reasoning("a"),
        seal(Dialect::Anthropic, "s", false),
        reasoning("b"),
        seal(Dialect::Anthropic, "r", true),
        seal(Dialect::Gemini, "g", false),
        seal(Dialect::OpenaiResponses, "o", false),
        text("x"),
        finish(FinishReason::Stop),
        Event::Done,
    ];
    let (stream, _) = written(&events, false);
    assert_eq!(read(stream.as_bytes())[1..], events[1..]);
    let path = "/choices/0/delta/reasoning_details/0/index";
    let chunks = chunks(&stream);
    let indexes: Vec<_> = chunks.iter().filter_map(|chunk| chunk.pointer(path)?.as_u64()).collect();
    assert_eq!(indexes, [0, 0, 1, 2, 3, 4]);
}

#[test]
fn every_golden_stream_reads_back_as_it_was() {
    macro_rules! golden {
        ($($case:literal),*) => {
            [$(&include_bytes!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".sse"))[..]),*]
        };
    }
    for stream in
        golden!("text", "tools", "parallel_tools", "thinking", "refusal", "length", "usage_cached", "n", "logprobs")
    {
        let mut events = read(stream);
        let again = read(written(&events, true).0.as_bytes());
        if let Some(Event::Start { id, model, .. }) = events.first_mut() {
            *id = Some(completion_id(id.as_deref(), &reply(true)));
            *model = Some("fast".to_owned());
        }
        for event in &mut events {
            if let Event::Usage(usage) = event {
                // Callers are not told in a stream how it was served.
                usage.served = None;
            }
        }
        assert_eq!(again, events);
    }
}

fn piece() -> impl Strategy<Value = Event> {
    prop_oneof![
        "[a-zé\"\\\\\n]{1,6}".prop_map(|said| text(&said)),
        "[a-z]{1,6}".prop_map(|said| reasoning(&said)),
        "[a-z]{1,6}".prop_map(|text| Event::Refusal { choice: 0, text }),
        ("[A-Z]{1,6}", any::<bool>()).prop_map(|(text, redacted)| seal(Dialect::Anthropic, &text, redacted)),
        ("[a-z]{1,3}", "[A-Z]{1,4}").prop_map(|(data, transcript)| Event::Audio { choice: 0, data, transcript }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back(pieces in proptest::collection::vec(piece(), 0..12), calls in 0u32..4, usage in any::<u32>()) {
        let refused = pieces.iter().any(|piece| matches!(piece, Event::Refusal { .. }));
        let mut events = vec![shown_start()];
        events.extend(pieces);
        for number in 0..calls {
            events.push(call(number, &format!("call_{number}"), ToolKind::Function));
        }
        for number in 0..calls {
            events.push(Event::ToolArguments { choice: 0, call: number, text: format!("[{number}]") });
        }
        let reason = match (calls, refused) {
            (0, true) => FinishReason::Refusal(None),
            (0, false) => FinishReason::Stop,
            _ => FinishReason::ToolCalls,
        };
        let counts = Usage { input: Some(usage.into()), output: Some(1), ..Usage::default() };
        events.extend([finish(reason), Event::Usage(counts), Event::Done]);
        prop_assert_eq!(read(written(&events, true).0.as_bytes()), events);
    }
}
