//! Laws of codecs: what a dialect can say comes back as it was meant. Each generator makes only what its dialect can say;
//! what is left out, and why, is said beside it.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, json};
use waypost_wire::Dialect;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{
    Choice, Content, Effort, File, FinishReason, Function, Image, Media, Message, Part, Reasoning, Request, Response,
    ResponseFormat, Role, Sampling, Signature, Thinking, ThinkingMode, Tool, ToolCall, ToolChoice, ToolKind,
    ToolResult, Usage,
};
use waypost_wire::dialect::{Decoded, Face, Reply, Target, Traits};
use waypost_wire::loss::Losses;

use crate::collect::{as_streamed, collect};
use crate::fixtures::{self, frames, read};

/// Words without blanks at their ends, which some dialects must trim, but with everything that must be escaped.
fn words() -> impl Strategy<Value = String> {
    "[a-z\"\\\\{}<é漢😀\u{7f}]([ -~\n\té漢😀]{0,12}[a-z\"\\\\{}é漢😀])?"
}

fn object() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        (words(), any::<i64>()).prop_map(|(text, number)| json!({"text": text, "n": [number, null, true]}).to_string()),
    ]
}

/// A picture or document as every dialect that has them says it. File ids belong to one account and are not translated.
fn attachment() -> impl Strategy<Value = Part> {
    let picture = Media::Base64 { media_type: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
    let pdf = Media::Base64 { media_type: "application/pdf".to_owned(), data: "JVBERi0=".to_owned() };
    select(vec![
        Content::Image(Image { source: picture, detail: None }),
        Content::Image(Image { source: Media::Url("https://example.com/a.png?x=1&y=2".to_owned()), detail: None }),
        Content::File(File { source: pdf, filename: Some("a.pdf".to_owned()) }),
    ])
    .prop_map(Part::from)
}

/// What the user says, what the model says, the name and arguments of what it calls, and what the calls gave.
type Exchange = (Vec<Part>, Vec<Part>, Vec<(String, String)>, Vec<String>);

fn exchange() -> impl Strategy<Value = Exchange> {
    let user = (proptest::collection::vec(attachment(), 0..2), words()).prop_map(|(mut parts, text)| {
        parts.push(Part::text(text));
        parts
    });
    let assistant = words().prop_map(|text| vec![Part::text(text)]);
    let calls = proptest::collection::vec((select(vec!["get_weather", "bash"]), object()), 0..3)
        .prop_map(|calls| calls.into_iter().map(|(name, arguments)| (name.to_owned(), arguments)).collect());
    (user, assistant, calls, proptest::collection::vec(words(), 3))
}

/// A conversation in which every call is answered before anybody else speaks, as all dialects want it.
fn conversation() -> impl Strategy<Value = Vec<Message>> {
    (proptest::option::of(words()), proptest::collection::vec(exchange(), 1..4)).prop_map(|(system, exchanges)| {
        let message = |role, parts| Message { role, parts, name: None };
        let mut messages: Vec<Message> =
            system.into_iter().map(|text| message(Role::System, vec![Part::text(text)])).collect();
        let mut count = 0;
        let last = exchanges.len() - 1;
        for (at, (user, mut assistant, calls, results)) in exchanges.into_iter().enumerate() {
            messages.push(message(Role::User, user));
            if at == last {
                break;
            }
            let mut answers = Vec::new();
            for ((name, arguments), result) in calls.into_iter().zip(results) {
                count += 1;
                let (id, kind) = (format!("call_{count}"), ToolKind::Function);
                assistant.push(Content::ToolCall(ToolCall { id: id.clone(), name, arguments, kind }).into());
                let content = vec![Part::text(result)];
                let result = ToolResult { call_id: id, name: None, content, is_error: false, kind };
                answers.push(Part::from(Content::ToolResult(result)));
            }
            messages.push(message(Role::Assistant, assistant));
            if !answers.is_empty() {
                messages.push(message(Role::Tool, answers));
            }
        }
        messages
    })
}

fn function(name: &str, strict: Option<bool>) -> Tool {
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"],
        "additionalProperties": false});
    Tool::Function(Function {
        name: name.to_owned(),
        description: Some("Does \"it\".".to_owned()),
        parameters: Some(schema),
        strict,
        cache: None,
    })
}

/// Everything that at least two dialects can say, with the figures inside the range of the narrowest.
fn request() -> impl Strategy<Value = Request> {
    let choice = select(vec![
        None,
        Some(ToolChoice::None),
        Some(ToolChoice::Auto),
        Some(ToolChoice::Required),
        Some(ToolChoice::Named { name: "bash".to_owned(), kind: ToolKind::Function }),
    ]);
    let effort = select(vec![None, Some(Effort::Low), Some(Effort::Medium), Some(Effort::High)]);
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    let format = select(vec![
        None,
        Some(ResponseFormat::JsonSchema { name: "response".to_owned(), description: None, schema, strict: Some(true) }),
    ]);
    let knobs =
        (choice, any::<Option<bool>>(), effort, format, proptest::option::of(16u64..100_000), any::<[bool; 4]>());
    (conversation(), knobs).prop_map(|(messages, (choice, parallel, effort, format, cap, flags))| {
        let [tools, warm, stop, stream] = flags;
        Request {
            model: "the-model".to_owned(),
            messages,
            tools: if tools {
                vec![function("bash", Some(false)), function("get_weather", Some(true))]
            } else {
                vec![]
            },
            tool_choice: choice.filter(|_| tools),
            parallel_tool_calls: parallel.filter(|_| tools),
            max_output_tokens: cap,
            sampling: Sampling { temperature: warm.then_some(0.25), top_p: warm.then_some(0.5), ..Sampling::default() },
            stop: if stop { vec!["END".to_owned(), "\n\nHuman:".to_owned()] } else { vec![] },
            response_format: format,
            thinking: effort.map(|effort| Thinking { mode: ThinkingMode::Unsaid, effort: Some(effort), summary: None }),
            user: warm.then(|| "u-1".to_owned()),
            stream,
            include_usage: true,
            ..Request::default()
        }
    })
}

/// The part of a request that this dialect can say, in the form its decoder gives.
fn sayable(dialect: Dialect, mut request: Request) -> Request {
    match dialect {
        Dialect::OpenaiChat => {
            // Whether usage is shown is asked for streams only.
            request.include_usage = request.stream;
        }
        Dialect::OpenaiResponses => {
            // It has no stop strings; `store` is always said there, because its default keeps what others do not.
            request.stop.clear();
            request.store = Some(false);
        }
        Dialect::Anthropic => {
            // The cap is required. Thinking there forbids forced tools, calls without signed thoughts and cool sampling:
            // its effort is tested alone.
            request.max_output_tokens = request.max_output_tokens.or(Some(4096));
            request.thinking = None;
            // Not strict is the default, and left unsaid.
            for tool in &mut request.tools {
                if let Tool::Function(function) = tool {
                    function.strict = function.strict.filter(|strict| *strict);
                }
            }
            // One word for both: parallel calls can be forbidden, but a lone permission has no place without a choice.
            request.parallel_tool_calls = request.parallel_tool_calls.filter(|parallel| !parallel);
            if request.parallel_tool_calls.is_some() && request.tool_choice.is_none() {
                request.tool_choice = Some(ToolChoice::Auto);
            }
            if request.tool_choice == Some(ToolChoice::None) {
                request.parallel_tool_calls = None;
            }
        }
        Dialect::Gemini => {}
    }
    request
}

/// An answer: thoughts, words, calls, in this order, as every dialect gives them.
///
/// Thoughts bear the dialect's own seal. Chat has none and carries those of others.
fn answer(dialect: Dialect) -> impl Strategy<Value = Response> {
    let dialect = if dialect == Dialect::OpenaiChat { Dialect::Anthropic } else { dialect };
    let usage =
        (0u64..1000, 0u64..1000, 0u64..500, 0u64..500, 0u64..900).prop_map(|(fresh, more, read, write, out)| Usage {
            input: Some(fresh + read + write),
            output: Some(out + more),
            cache_read: Some(read),
            cache_write: Some(write),
            reasoning: Some(out),
            ..Usage::default()
        });
    let calls = proptest::collection::vec(object(), 0..3);
    let thoughts = proptest::option::of((words(), "[A-Za-z0-9+/]{4,24}"));
    (thoughts, words(), calls, usage, any::<bool>()).prop_map(move |(thoughts, text, calls, usage, cut)| {
        let mut parts = Vec::new();
        if let Some((text, seal)) = thoughts {
            let content = Content::Reasoning(Reasoning { text, ..Reasoning::default() });
            parts.push(Part { content, cache: None, signature: Some(Signature { dialect, seal }) });
        }
        parts.push(Part::text(text));
        let finish = match (cut, calls.is_empty()) {
            (true, _) => FinishReason::Length,
            (false, true) => FinishReason::Stop,
            (false, false) => FinishReason::ToolCalls,
        };
        for (at, arguments) in calls.into_iter().enumerate() {
            let (id, name) = (format!("call_{at}"), "bash".to_owned());
            parts.push(Content::ToolCall(ToolCall { id, name, arguments, kind: ToolKind::Function }).into());
        }
        let choice = Choice { index: 0, parts, finish: Some(finish), logprobs: None };
        Response { choices: vec![choice], usage: Some(usage), ..Response::default() }
    })
}

/// The same answer as a stream of events, its texts in pieces.
fn events(response: &Response) -> Vec<Event> {
    let mut events = vec![Event::Start { id: None, model: None, created: None }];
    let choice = &response.choices[0];
    let pieces = |text: &str| -> Vec<String> {
        let characters: Vec<char> = text.chars().collect();
        characters.chunks(3).map(|piece| piece.iter().collect()).collect()
    };
    let mut calls = 0;
    for part in &choice.parts {
        match &part.content {
            Content::Reasoning(reasoning) => {
                events.extend(pieces(&reasoning.text).into_iter().map(|text| Event::Reasoning { choice: 0, text }));
                let signature = part.signature.clone().unwrap();
                events.push(Event::ReasoningSeal { choice: 0, signature, redacted: false, id: None });
            }
            Content::Text(text) => {
                events.extend(pieces(&text.text).into_iter().map(|text| Event::Text { choice: 0, text }));
            }
            Content::ToolCall(call) => {
                let (id, name, kind) = (call.id.clone(), call.name.clone(), call.kind);
                events.push(Event::ToolCall { choice: 0, call: calls, id, name, kind, signature: None });
                let arguments = pieces(&call.arguments).into_iter();
                events.extend(arguments.map(|text| Event::ToolArguments { choice: 0, call: calls, text }));
                calls += 1;
            }
            other => panic!("no answer here holds {other:?}"),
        }
    }
    events.push(Event::Finish { choice: 0, reason: choice.finish.clone().unwrap() });
    events.push(Event::Usage(response.usage.unwrap()));
    events.push(Event::Done);
    events
}

/// Without what each dialect makes up or does not have: ids, times, the model's shown name, ids of thoughts, and the
/// tier and fingerprint that streams do not tell.
fn told(mut response: Response) -> Response {
    response = as_streamed(response);
    (response.id, response.created, response.model) = (None, None, None);
    response.usage = response.usage.map(untiered);
    for part in response.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Content::Reasoning(reasoning) = &mut part.content {
            reasoning.id = None;
        }
    }
    response
}

/// Some dialects always say how an answer was served.
fn untiered(usage: Usage) -> Usage {
    Usage { served: None, ..usage }
}

fn reply() -> Reply {
    Reply { request: Arc::new(Request::default()), ..fixtures::reply() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_request_comes_back_as_it_was_meant(request in request()) {
        for face in Face::ALL {
            let meant = sayable(face.dialect, request.clone());
            let target = Target { model: &meant.model, traits: &Traits::default() };
            let mut losses = Losses::default();
            let body = face.dialect.codec().encode_request(&meant, &target, &mut losses).expect("it can be said");
            prop_assert!(losses.is_empty(), "{}: {:?}", face.dialect.name(), losses);
            face.codec.peek(&body).expect("what we write is let in");
            let mut read = face.codec.decode_request(&body).expect("what we write is understood");
            read.extra = Map::new();
            prop_assert_eq!(read, meant, "{}", face.dialect.name());
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_meant((at, response) in
        (0..Face::ALL.len()).prop_flat_map(|at| (Just(at), answer(Face::ALL[at].dialect)))) {
        let face = Face::ALL[at];
        let mut losses = Losses::default();
        let body = face.codec.encode_response(&response, &reply(), &mut losses);
        let read = match face.dialect.codec().decode_response(&body) {
            Ok(Decoded::Response(read)) => read,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(told(read), told(response.clone()), "{}", face.dialect.name());
        prop_assert!(losses.is_empty(), "{}: {:?}", face.dialect.name(), losses);
        let survey = face.dialect.codec().survey_response(&body).expect("it is an answer");
        prop_assert_eq!(survey.usage.map(untiered), response.usage);
        prop_assert!(survey.error.is_none());
    }

    #[test]
    fn a_stream_comes_back_as_it_was_meant((at, response) in
        (0..Face::ALL.len()).prop_flat_map(|at| (Just(at), answer(Face::ALL[at].dialect)))) {
        let face = Face::ALL[at];
        let mut encoder = face.codec.stream_encoder(reply());
        let mut out = BytesMut::new();
        events(&response).iter().for_each(|event| encoder.event(event, &mut out));
        let (events, end) = read(face.dialect.codec(), &frames([&out[..]]));
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(events.last(), Some(&Event::Done));
        prop_assert_eq!(told(collect(&events)), told(response), "{}", face.dialect.name());
        prop_assert!(encoder.losses().is_empty(), "{}: {:?}", face.dialect.name(), encoder.losses());
    }
}
