//! The simulator in the dialects that applications speak: what it writes is what a decoder of that dialect understands.

use waypost_wire::anthropic::Anthropic;
use waypost_wire::chat::{Content, FinishReason, Usage};
use waypost_wire::dialect::{Decoded, UpstreamDialect};
use waypost_wire::openai_chat::OpenaiChat;
use waypost_wire::openai_responses::OpenaiResponses;
use waypost_wire::sse::Framer;

use super::*;

/// A dialect, and how one asks a question in it.
struct Tongue {
    dialect: Dialect,
    upstream: &'static dyn UpstreamDialect,
    client: &'static dyn ClientDialect,
    ask: fn(&str) -> Value,
}

const TONGUES: [Tongue; 3] = [
    Tongue {
        dialect: Dialect::OpenaiChat,
        upstream: &OpenaiChat,
        client: &OpenaiChat,
        ask: |question| {
            json!({"model": "sim/chat", "messages": [{"role": "user", "content": question}], "reasoning_effort": "low",
                "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
                    "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]})
        },
    },
    Tongue {
        dialect: Dialect::Anthropic,
        upstream: &Anthropic,
        client: &Anthropic,
        ask: |question| {
            json!({"model": "sim/chat", "max_tokens": 4096, "messages": [{"role": "user", "content": question}],
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "tools": [{"name": "get_weather", "input_schema": {"type": "object",
                    "properties": {"city": {"type": "string"}}, "required": ["city"]}}]})
        },
    },
    Tongue {
        dialect: Dialect::OpenaiResponses,
        upstream: &OpenaiResponses,
        client: &OpenaiResponses,
        ask: |question| {
            json!({"model": "sim/chat", "input": question, "reasoning": {"effort": "low", "summary": "auto"},
                "tools": [{"type": "function", "name": "get_weather", "strict": false, "parameters": {"type": "object",
                    "properties": {"city": {"type": "string"}}, "required": ["city"]}}]})
        },
    },
];

impl Tongue {
    fn call(&self, model: &str, question: &str, stream: bool) -> Call {
        let mut body = (self.ask)(question);
        body["model"] = json!(model);
        body["stream"] = json!(stream);
        if !stream && let Some(body) = body.as_object_mut() {
            body.remove("stream_options");
        }
        Call { dialect: self.dialect, codec: self.client, ..call(Operation::Chat, body) }
    }

    async fn whole(&self, model: &str, question: &str) -> Response {
        let (status, text) = whole(self.call(model, question, false)).await;
        assert_eq!(status, 200, "{text}");
        match self.upstream.decode_response(text.as_bytes()) {
            Ok(Decoded::Response(response)) => response,
            other => panic!("{text}\n{other:?}"),
        }
    }

    /// The events of a streamed answer, and whether a decoder takes its end for a complete one.
    async fn streamed(&self, model: &str, question: &str) -> (Vec<Event>, Result<(), WireError>) {
        let answer = Simulator::new().answer(self.call(model, question, true)).await;
        assert_eq!(answer.headers[CONTENT_TYPE], EVENTS);
        let (bytes, _) = collect(answer.body).await;
        let mut framer = Framer::new(1 << 20);
        framer.push(bytes.into());
        let mut decoder = self.upstream.stream_decoder();
        let mut events = Vec::new();
        while let Some(frame) = framer.next_frame().expect("short frames") {
            if let Err(error) = decoder.frame(&frame, &mut events) {
                return (events, Err(error));
            }
        }
        let end = decoder.end(&mut events);
        (events, end)
    }
}

fn text(response: &Response) -> String {
    spoken(response)
}

fn streamed_text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn streamed_usage(events: &[Event]) -> Usage {
    let mut sum = Usage::default();
    for event in events {
        if let Event::Usage(usage) = event {
            sum.absorb(usage);
        }
    }
    sum
}

#[tokio::test(start_paused = true)]
async fn a_decoder_reads_the_same_from_a_stream_as_from_a_whole_answer() {
    for tongue in TONGUES {
        let whole = tongue.whole("sim/chat", "Why is the sky blue?").await;
        let (events, end) = tongue.streamed("sim/chat", "Why is the sky blue?").await;
        assert_eq!(end, Ok(()));
        assert!(text(&whole).contains("“Why is the sky blue”"));
        assert_eq!(streamed_text(&events), text(&whole));
        assert_eq!(whole.choices[0].finish, Some(FinishReason::Stop));
        let usage = whole.usage.expect("usage");
        let streamed = streamed_usage(&events);
        assert_eq!((streamed.input, streamed.output), (usage.input, usage.output), "{:?}", tongue.dialect);
        assert_eq!(usage.output, Some(crate::tokens::count_parts(&whole.choices[0].parts)));
    }
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_shown_with_their_seal() {
    for tongue in TONGUES {
        let whole = tongue.whole("sim/chat", "Why?").await;
        let first = &whole.choices[0].parts[0];
        assert!(matches!(&first.content, Content::Reasoning(reasoning) if reasoning.text.contains("“Why”")));
        // The chat dialect has no place for a seal.
        let sealed = tongue.dialect != Dialect::OpenaiChat;
        assert_eq!(first.signature.as_ref().map(|seal| seal.dialect), sealed.then_some(tongue.dialect));
        let (events, _) = tongue.streamed("sim/chat", "Why?").await;
        let seals: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::ReasoningSeal { signature, .. } => Some(signature),
                _ => None,
            })
            .collect();
        assert_eq!(seals.len(), usize::from(sealed));
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_arrive_whole_in_either_way() {
    for tongue in TONGUES {
        let question = "What's the weather in Oslo and Paris?";
        let whole = tongue.whole("sim/chat", question).await;
        let arguments: Vec<&str> = whole.choices[0]
            .parts
            .iter()
            .filter_map(|part| match &part.content {
                Content::ToolCall(call) => Some(call.arguments.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(arguments, [r#"{"city":"Oslo"}"#, r#"{"city":"Paris"}"#]);
        assert_eq!(whole.choices[0].finish, Some(FinishReason::ToolCalls));

        let (events, end) = tongue.streamed("sim/chat", question).await;
        assert_eq!(end, Ok(()));
        let mut streamed = vec![String::new(); 2];
        for event in &events {
            if let Event::ToolArguments { call, text, .. } = event {
                streamed[*call as usize].push_str(text);
            }
        }
        assert_eq!(streamed, arguments);
        let finish = Event::Finish { choice: 0, reason: FinishReason::ToolCalls };
        assert!(events.contains(&finish));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_never_looks_complete() {
    for tongue in TONGUES {
        let (events, end) = tongue.streamed("sim/cut", "Why?").await;
        assert_eq!(end, Err(WireError::Unfinished));
        assert!(events.iter().any(Event::is_meaningful) && !events.contains(&Event::Done));
        let (events, end) = tongue.streamed("sim/garbled", "Why?").await;
        assert!(end.is_err() && events.iter().any(Event::is_meaningful) && !events.contains(&Event::Done));
    }
}

#[tokio::test]
async fn failures_are_errors_of_the_dialect() {
    for tongue in TONGUES {
        let (status, body) = whole(tongue.call("sim/fail-429", "Why?", true)).await;
        let error = tongue.upstream.decode_error(body.as_bytes());
        assert_eq!(status, 429);
        assert_eq!(error.message, "Simulated: too many requests.");
    }
}
