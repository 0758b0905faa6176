use waypost_wire::chat::event::Event;
use waypost_wire::chat::{
    CacheBreakpoint, Effort, Function, Image, Media, Message, Thinking, Tool, ToolChoice, ToolKind, ToolResult,
};

use super::*;
use crate::simulator::stream;

fn said(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::text(text)], name: None }
}

fn asked(text: &str) -> Request {
    Request { model: "sim/chat".into(), messages: vec![said(Role::User, text)], ..Request::default() }
}

fn answered(request: &Request) -> Response {
    answer(request, Persona::Chat, Dialect::OpenaiChat, "seed")
}

fn text(choice: &Choice) -> &str {
    let mut texts = choice.parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.next().unwrap_or_default()
}

fn calls(choice: &Choice) -> Vec<(&str, serde_json::Value)> {
    let calls = choice.parts.iter().filter_map(|part| match &part.content {
        Content::ToolCall(call) => Some(call),
        _ => None,
    });
    calls.map(|call| (call.name.as_str(), serde_json::from_str(&call.arguments).expect("JSON arguments"))).collect()
}

fn weather() -> Tool {
    Tool::Function(Function {
        name: "get_weather".into(),
        parameters: Some(json!({
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city", "unit"]
        })),
        ..Function::default()
    })
}

fn result(text: &str, is_error: bool) -> Message {
    let result = ToolResult {
        call_id: "call_seed00".into(),
        name: None,
        content: vec![Part::text(text)],
        is_error,
        kind: ToolKind::Function,
    };
    Message { role: Role::Tool, parts: vec![Content::ToolResult(result).into()], name: None }
}

#[test]
fn prose_refers_to_the_question_and_ends_with_a_stop() {
    let response = answered(&asked("Why is the sky blue?"));
    assert!(text(&response.choices[0]).contains("“Why is the sky blue”"));
    assert_eq!(response.choices[0].finish, Some(FinishReason::Stop));
}

#[test]
fn echo_says_the_question_word_for_word() {
    let question = "  Two\nlines, “quoted”. ";
    let response = answer(&asked(question), Persona::Echo, Dialect::OpenaiChat, "seed");
    assert_eq!(text(&response.choices[0]), question);
}

#[test]
fn a_number_of_words_is_honoured() {
    for words in [40, 300] {
        let response = answered(&asked(&format!("Write an essay of {words} words")));
        assert_eq!(text(&response.choices[0]).split_whitespace().count(), words);
    }
}

#[test]
fn the_token_limit_cuts_text_and_shows_as_length() {
    for limit in [1, 5, 20] {
        let request = Request { max_output_tokens: Some(limit), ..asked("Why is the sky blue?") };
        let response = answered(&request);
        assert_eq!(response.choices[0].finish, Some(FinishReason::Length), "{limit}");
        assert!(tokens::count(text(&response.choices[0])) <= limit);
    }
    let roomy = Request { max_output_tokens: Some(10_000), ..asked("Why is the sky blue?") };
    assert_eq!(answered(&roomy).choices[0].finish, Some(FinishReason::Stop));
}

#[test]
fn the_token_limit_spans_thoughts_and_text_and_calls() {
    let thinking = Some(Thinking { mode: ThinkingMode::Adaptive, ..Thinking::default() });
    let request = Request { max_output_tokens: Some(6), thinking, ..asked("Why?") };
    let response = answered(&request);
    assert_eq!(text(&response.choices[0]), "");
    assert_eq!(response.choices[0].finish, Some(FinishReason::Length));
    assert!(response.usage.and_then(|usage| usage.output).is_some_and(|output| output <= 6));

    let request = Request { max_output_tokens: Some(4), tools: vec![weather()], ..asked("weather in Oslo") };
    assert_eq!(answered(&request).choices[0].finish, Some(FinishReason::Length));
}

#[test]
fn the_first_stop_string_in_the_text_ends_it() {
    let request = Request { stop: vec!["blue".into(), "sky".into(), "absent".into()], ..asked("Why is the sky blue?") };
    let response = answered(&request);
    assert!(text(&response.choices[0]).ends_with("Why is the "));
    assert_eq!(response.choices[0].finish, Some(FinishReason::StopSequence(Some("sky".into()))));
}

#[test]
fn n_answers_differ_and_are_numbered() {
    let response = answered(&Request { n: Some(3), ..asked("Why?") });
    let indexes: Vec<u32> = response.choices.iter().map(|choice| choice.index).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_ne!(text(&response.choices[0]), text(&response.choices[1]));
}

#[test]
fn json_is_valid_and_of_the_schema_asked_for() {
    let object = Request { response_format: Some(ResponseFormat::JsonObject), ..asked("Why?") };
    let value: serde_json::Value = serde_json::from_str(text(&answered(&object).choices[0])).expect("JSON");
    assert_eq!(value["topic"], "Why");

    let schema = json!({"type": "object", "properties": {"reason": {"type": "string"}, "sure": {"type": "boolean"}}, "required": ["reason", "sure"]});
    let format = ResponseFormat::JsonSchema { name: "why".into(), description: None, schema, strict: Some(true) };
    let strict = Request { response_format: Some(format), ..asked("Why?") };
    let value: serde_json::Value = serde_json::from_str(text(&answered(&strict).choices[0])).expect("JSON");
    assert_eq!(value, json!({"reason": "Why", "sure": true}));
}

#[test]
fn a_question_that_names_what_a_tool_does_calls_it() {
    let request = Request { tools: vec![weather()], ..asked("What's the weather in Oslo?") };
    let choice = &answered(&request).choices[0];
    assert_eq!(calls(choice), [("get_weather", json!({"city": "Oslo", "unit": "c"}))]);
    assert_eq!(choice.finish, Some(FinishReason::ToolCalls));
    assert!(
        calls(&answered(&Request { messages: vec![said(Role::User, "Say hello")], ..request }).choices[0]).is_empty()
    );
}

#[test]
fn two_places_become_two_calls_with_ids_of_their_own_unless_forbidden() {
    let request = Request { tools: vec![weather()], ..asked("What's the weather in Oslo and Paris?") };
    let choice = answered(&request).choices.remove(0);
    let cities: Vec<serde_json::Value> =
        calls(&choice).into_iter().map(|(_, arguments)| arguments["city"].clone()).collect();
    assert_eq!(cities, ["Oslo", "Paris"]);
    let ids: Vec<&str> = choice
        .parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["call_seed00", "call_seed01"]);

    let alone = Request { parallel_tool_calls: Some(false), ..request };
    assert_eq!(calls(&answered(&alone).choices[0])[0].1["city"], "Oslo and Paris");
    assert_eq!(calls(&answered(&alone).choices[0]).len(), 1);
}

#[test]
fn tool_choice_is_obeyed() {
    let other = Tool::Function(Function { name: "tell_time".into(), ..Function::default() });
    let called = |choice: ToolChoice| {
        let request =
            Request { tools: vec![weather(), other.clone()], tool_choice: Some(choice), ..asked("weather in Oslo") };
        calls(&answered(&request).choices[0]).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert!(called(ToolChoice::None).is_empty());
    assert_eq!(called(ToolChoice::Auto), ["get_weather"]);
    assert_eq!(called(ToolChoice::Required), ["get_weather"]);
    assert_eq!(called(ToolChoice::Named { name: "tell_time".into(), kind: ToolKind::Function }), ["tell_time"]);
    let allowed = |required| ToolChoice::Allowed { names: vec!["tell_time".into()], required };
    assert_eq!(called(allowed(true)), ["tell_time"]);
    assert!(called(allowed(false)).is_empty());
}

#[test]
fn after_the_results_the_answer_quotes_them() {
    let mut request = Request { tools: vec![weather()], ..asked("What's the weather in Oslo?") };
    let call = answered(&request).choices.remove(0);
    request.messages.push(Message { role: Role::Assistant, parts: call.parts, name: None });
    request.messages.push(result("4 degrees", false));
    request.messages.push(result("no station", true));
    for persona in [Persona::Chat, Persona::Tools] {
        let choice = &answer(&request, persona, Dialect::OpenaiChat, "seed").choices[0];
        assert!(text(choice).contains("“4 degrees”. “no station” (an error)."));
        assert_eq!(choice.finish, Some(FinishReason::Stop));
    }
    request.messages.push(said(Role::Assistant, "It is 4 degrees."));
    request.messages.push(said(Role::User, "And the weather in Rome?"));
    assert_eq!(calls(&answered(&request).choices[0])[0].1["city"], "Rome");
}

#[test]
fn the_tools_persona_calls_whatever_is_asked() {
    let request = Request { tools: vec![weather()], ..asked("Say hello") };
    let response = answer(&request, Persona::Tools, Dialect::OpenaiChat, "seed");
    assert_eq!(response.choices[0].finish, Some(FinishReason::ToolCalls));
}

#[test]
fn what_came_with_the_question_is_acknowledged() {
    let mut request = asked("What is this?");
    let image =
        || Content::Image(Image { source: Media::Url("https://example.com/a.png".into()), detail: None }).into();
    request.messages[0].parts.extend([image(), image()]);
    assert!(text(&answered(&request).choices[0]).starts_with("I see 2 images. "));
}

#[test]
fn thoughts_come_first_when_asked_for_and_are_sealed_where_the_dialect_can() {
    let thinking = |mode, effort| Some(Thinking { mode, effort, summary: None });
    let first =
        |request: &Request, dialect| answer(request, Persona::Chat, dialect, "seed").choices[0].parts[0].clone();
    let request = Request { thinking: thinking(ThinkingMode::Unsaid, Some(Effort::Low)), ..asked("Why?") };
    let sealed = first(&request, Dialect::Anthropic);
    assert!(matches!(sealed.content, Content::Reasoning(_)));
    assert_eq!(sealed.signature.as_ref().map(|seal| seal.dialect), Some(Dialect::Anthropic));
    assert_eq!(sealed, first(&request, Dialect::Anthropic));
    assert_eq!(first(&request, Dialect::OpenaiChat).signature, None);

    let off = Request { thinking: thinking(ThinkingMode::Off, None), ..asked("Why?") };
    for request in [off.clone(), asked("Why?")] {
        assert!(matches!(first(&request, Dialect::Anthropic).content, Content::Text(_)));
    }
    let thinker =
        |request: &Request| answer(request, Persona::Think, Dialect::OpenaiChat, "seed").choices[0].parts.len();
    assert_eq!((thinker(&asked("Why?")), thinker(&off)), (2, 1));
}

#[test]
fn usage_is_what_the_tokenizer_counts() {
    let thinking = Some(Thinking { mode: ThinkingMode::Adaptive, ..Thinking::default() });
    let request = Request { thinking, n: Some(2), ..asked("Why is the sky blue?") };
    let response = answered(&request);
    let usage = response.usage.expect("usage");
    let thought = |choice: &Choice| tokens::count_parts(&choice.parts[..1]);
    let spoken = |choice: &Choice| tokens::count(text(choice));
    let reasoning: u64 = response.choices.iter().map(thought).sum();
    assert_eq!(usage.input, Some(tokens::count("Why is the sky blue?") + 6));
    assert_eq!(usage.reasoning, Some(reasoning));
    assert_eq!(usage.output, Some(reasoning + response.choices.iter().map(spoken).sum::<u64>()));
}

#[test]
fn the_cache_holds_what_must_have_been_sent_before() {
    let long = "word ".repeat(2_000);
    let cached = |request: &Request| {
        let usage = answered(request).usage.expect("usage");
        assert!(usage.cache_read.unwrap_or(0) + usage.cache_write.unwrap_or(0) <= usage.input.unwrap_or(0));
        (usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0))
    };
    let first = asked(&long);
    assert_eq!(cached(&first), (0, 0));
    let mut second = first.clone();
    second.messages.extend([said(Role::Assistant, "Yes."), said(Role::User, "Why?")]);
    let (read, written) = cached(&second);
    assert_eq!((read % CACHED_STEP, written), (0, 0));
    assert!(read > tokens::count(&long) - CACHED_STEP);

    let mark = |request: &mut Request| {
        let last = request.messages.last_mut().and_then(|message| message.parts.last_mut());
        last.expect("a part").cache = Some(CacheBreakpoint::default());
    };
    let mut marked = first;
    mark(&mut marked);
    let (read, written) = cached(&marked);
    assert_eq!(read, 0);
    assert_eq!(written, tokens::count_prefix(&marked, 1));
    let mut early = second.clone();
    early.messages[0] = marked.messages[0].clone();
    early.messages.insert(1, said(Role::User, &long));
    assert_eq!(cached(&early), (written, 0), "nothing after the last breakpoint is cached");
    mark(&mut second);
    assert_eq!(cached(&second).0, written);
    assert!(cached(&second).1 > 0);

    assert_eq!(
        cached(&Request { messages: vec![said(Role::User, "a"), said(Role::Assistant, "b")], ..asked("") }),
        (0, 0)
    );
}

#[test]
fn events_put_together_are_the_whole_answer() {
    let thinking = Some(Thinking { mode: ThinkingMode::Adaptive, ..Thinking::default() });
    let talk = Request { thinking: thinking.clone(), n: Some(2), ..asked("Why is the sky blue?") };
    let call = Request { thinking, tools: vec![weather()], ..asked("weather in Oslo and Paris") };
    for request in [talk, call] {
        let response = answer(&request, Persona::Chat, Dialect::Anthropic, "seed");
        assert_eq!(collected(&stream::events(&response)), response);
    }
}

/// The answer that the events tell, put together without knowing how they were made.
fn collected(events: &[Event]) -> Response {
    let mut response = Response::default();
    for event in events {
        match event.clone() {
            Event::Start { id, model, created } => response = Response { id, model, created, ..Response::default() },
            Event::Text { choice, text } => match content(&mut response, choice) {
                Some(Content::Text(known)) => known.text.push_str(&text),
                _ => parts(&mut response, choice).push(Part::text(text)),
            },
            Event::Reasoning { choice, text } => match content(&mut response, choice) {
                Some(Content::Reasoning(known)) => known.text.push_str(&text),
                _ => {
                    let reasoning = Reasoning { text, ..Reasoning::default() };
                    parts(&mut response, choice).push(Content::Reasoning(reasoning).into());
                }
            },
            Event::ReasoningSeal { choice, signature, .. } => {
                parts(&mut response, choice).last_mut().expect("a part").signature = Some(signature);
            }
            Event::ToolCall { choice, call, id, name, kind, .. } => {
                let known = parts(&mut response, choice).iter();
                let known = known.filter(|part| matches!(part.content, Content::ToolCall(_))).count();
                assert_eq!(call as usize, known, "calls are numbered from 0");
                let call = ToolCall { id, name, kind, arguments: String::new() };
                parts(&mut response, choice).push(Content::ToolCall(call).into());
            }
            Event::ToolArguments { choice, text, .. } => match content(&mut response, choice) {
                Some(Content::ToolCall(call)) => call.arguments.push_str(&text),
                other => panic!("arguments without a call: {other:?}"),
            },
            Event::Finish { choice, reason } => response.choices[choice as usize].finish = Some(reason),
            Event::Usage(usage) => response.usage = Some(usage),
            Event::Done => return response,
            other => panic!("the simulator says nothing like {other:?}"),
        }
    }
    panic!("no end")
}

fn parts(response: &mut Response, choice: u32) -> &mut Vec<Part> {
    while response.choices.len() <= choice as usize {
        let index = response.choices.len() as u32;
        response.choices.push(Choice { index, ..Choice::default() });
    }
    &mut response.choices[choice as usize].parts
}

fn content(response: &mut Response, choice: u32) -> Option<&mut Content> {
    parts(response, choice).last_mut().map(|part| &mut part.content)
}
