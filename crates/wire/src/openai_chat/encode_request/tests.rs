use super::*;
use crate::Dialect;
use crate::chat::{
    Audio, CacheBreakpoint, Citation, Content, File, Function, Image, Logprobs, Media, Message, Part, Reasoning, Role,
    Signature, Text, Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::dialect::ToolChoiceRequired;
use crate::openai_chat::decode_request;

mod conversation;

fn write(request: &Request, traits: &Traits) -> Result<(Value, Vec<String>)> {
    let mut losses = Losses::default();
    let body = encode(request, &Target { model: "up", traits }, &mut losses)?;
    Ok((serde_json::from_slice(&body).unwrap(), losses.iter().map(ToString::to_string).collect()))
}

fn say(request: &Request) -> (Value, Vec<String>) {
    write(request, &Traits::default()).unwrap()
}

fn refused_for(request: &Request, traits: &Traits) -> String {
    match write(request, traits) {
        Err(WireError::Unsupported { param, .. }) => param,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn refused(request: &Request) -> String {
    refused_for(request, &Traits::default())
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn chat(messages: Vec<Message>) -> Request {
    Request { model: "m".into(), messages, ..Request::default() }
}

fn hello() -> Request {
    chat(vec![message(Role::User, vec![Part::text("hi")])])
}

fn call(id: &str) -> Part {
    let kind = ToolKind::Function;
    Content::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: String::new(), kind }).into()
}

fn answer(id: &str, content: Vec<Part>, is_error: bool) -> Part {
    let kind = ToolKind::Function;
    Content::ToolResult(ToolResult { call_id: id.into(), name: None, content, is_error, kind }).into()
}

fn picture(source: Media) -> Part {
    Content::Image(Image { source, detail: None }).into()
}

fn png() -> Part {
    picture(Media::Base64 { media_type: "image/png".into(), data: "iVBO".into() })
}

fn thought(text: &str, seal: Option<(Dialect, &str)>) -> Part {
    let reasoning = Reasoning { text: text.into(), ..Reasoning::default() };
    let signature = seal.map(|(dialect, seal)| Signature { dialect, seal: seal.into() });
    Part { content: Content::Reasoning(reasoning), cache: None, signature }
}

fn extra(fields: Value) -> Request {
    Request { extra: fields.as_object().unwrap().clone(), ..hello() }
}

macro_rules! echoes {
    ($($case:literal),*) => {
        $({
            let body = include_str!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".request.json"));
            let mut expected: Value = serde_json::from_str(body).unwrap();
            expected["model"] = "up".into();
            let request = decode_request::decode(body.as_bytes()).unwrap();
            assert_eq!(say(&request), (expected, Vec::new()), $case);
        })*
    };
}

#[test]
fn what_a_caller_says_in_this_dialect_is_said_again() {
    echoes!(
        "text",
        "image_url",
        "image_base64",
        "file_pdf",
        "tools",
        "tool_choice",
        "parallel_tools",
        "json_schema",
        "json_object",
        "stop",
        "n",
        "logprobs"
    );
}

#[test]
fn the_least_request_has_no_more_than_it_needs() {
    assert_eq!(say(&hello()), (json!({"model": "up", "messages": [{"role": "user", "content": "hi"}]}), vec![]));
}

fn tool(name: &str) -> Tool {
    Tool::Function(Function { name: name.into(), ..Function::default() })
}

#[test]
fn every_tool_choice_is_said() {
    let custom = Tool::Custom { name: "c".into(), description: None, format: Some(json!({"type": "text"})) };
    let function = json!({"type": "function", "function": {"name": "f"}});
    let named = |name: &str, kind| ToolChoice::Named { name: name.into(), kind };
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
        function, {"type": "custom", "custom": {"name": "c"}}]}});
    let table = [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Auto, json!("auto")),
        (ToolChoice::Required, json!("required")),
        (named("f", ToolKind::Function), function.clone()),
        (named("c", ToolKind::Custom), json!({"type": "custom", "custom": {"name": "c"}})),
        (ToolChoice::Allowed { names: vec!["f".into(), "c".into()], required: false }, allowed),
    ];
    for (choice, expected) in table {
        let tools = vec![tool("f"), custom.clone()];
        let request = Request { tools, tool_choice: Some(choice), ..hello() };
        assert_eq!(say(&request).0["tool_choice"], expected);
    }
    let request = Request { tools: vec![tool("f")], tool_choice: Some(ToolChoice::Required), ..hello() };
    let traits = Traits { tool_choice_required: ToolChoiceRequired::Any, ..Traits::default() };
    assert_eq!(write(&request, &traits).unwrap().0["tool_choice"], "any");
}

#[test]
fn without_tools_nothing_is_said_about_them() {
    let request = Request { tool_choice: Some(ToolChoice::Auto), parallel_tool_calls: Some(false), ..hello() };
    assert_eq!(say(&request), say(&hello()));
}

#[test]
fn tools_that_run_elsewhere_are_refused_unless_others_remain() {
    let hosted =
        Tool::Hosted { dialect: Dialect::Anthropic, kind: "bash_20250124".into(), value: json!({"type": "bash"}) };
    let alone = Request { tools: vec![hosted.clone()], ..hello() };
    assert_eq!(refused(&alone), "tools");
    let cached = Function { name: "f".into(), cache: Some(CacheBreakpoint::default()), ..Function::default() };
    let search = Tool::WebSearch(json!({"search_context_size": "low"}));
    let request = Request { tools: vec![hosted, Tool::Function(cached), search], ..hello() };
    let (body, losses) = say(&request);
    assert_eq!(body["tools"], json!([{"type": "function", "function": {"name": "f"}}]));
    assert_eq!(body["web_search_options"], json!({"search_context_size": "low"}));
    assert_eq!(losses, ["tools[].cache_control=dropped", "tools[].bash_20250124=dropped"]);
}

#[test]
fn effort_is_said_in_steps() {
    let thinking = |mode, effort| Thinking { mode, effort, summary: None };
    let table = [
        (thinking(ThinkingMode::Off, None), json!("none"), false),
        (thinking(ThinkingMode::Unsaid, Some(Effort::XHigh)), json!("xhigh"), false),
        (thinking(ThinkingMode::Adaptive, None), Value::Null, false),
        (thinking(ThinkingMode::Adaptive, Some(Effort::Max)), json!("max"), false),
        (thinking(ThinkingMode::Budget(1024), None), json!("low"), true),
        (thinking(ThinkingMode::Budget(8192), None), json!("medium"), true),
        (thinking(ThinkingMode::Budget(8193), None), json!("high"), true),
        (thinking(ThinkingMode::Budget(99), Some(Effort::High)), json!("high"), false),
    ];
    for (thinking, expected, emulated) in table {
        let (body, losses) = say(&Request { thinking: Some(thinking.clone()), ..hello() });
        assert_eq!(body["reasoning_effort"], expected, "{thinking:?}");
        assert_eq!(losses == ["thinking.budget_tokens=emulated"], emulated, "{thinking:?}");
    }
    let summed = Thinking { summary: Some("auto".into()), effort: Some(Effort::Low), ..Thinking::default() };
    let request = Request { thinking: Some(summed), ..hello() };
    assert_eq!(say(&request).1, ["reasoning.summary=dropped"]);
    let never = Traits { thinking: ThinkingStyle::Never, ..Traits::default() };
    let (body, losses) = write(&request, &never).unwrap();
    assert_eq!((body.get("reasoning_effort"), losses), (None, vec!["reasoning_effort=dropped".into()]));
}

#[test]
fn json_is_asked_for_in_words_if_nobody_did() {
    let asking =
        |messages: Vec<Message>| Request { response_format: Some(ResponseFormat::JsonObject), ..chat(messages) };
    let user = message(Role::User, vec![Part::text("a city")]);
    let (body, losses) = say(&asking(vec![user.clone()]));
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "Answer with one JSON object."}));
    assert_eq!(losses, ["response_format=emulated"]);
    let system = message(Role::System, vec![Part::text("Be brief.")]);
    let (body, _) = say(&asking(vec![system, user]));
    assert_eq!(body["messages"][0]["content"], "Be brief.\n\nAnswer with one JSON object.");
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
    let said = asking(vec![message(Role::User, vec![Part::text("a city as Json")])]);
    assert!(say(&said).1.is_empty());
}

#[test]
fn the_output_cap_has_the_vendors_name_and_limit() {
    let request = Request { max_output_tokens: Some(9000), ..hello() };
    assert_eq!(say(&request).0["max_completion_tokens"], 9000);
    let traits =
        Traits { max_output_tokens: Some(8192), max_tokens_field: MaxTokensField::MaxTokens, ..Traits::default() };
    let (body, losses) = write(&request, &traits).unwrap();
    assert_eq!(body["max_tokens"], 8192);
    assert_eq!(losses, ["max_completion_tokens=clamped"]);
}

#[test]
fn a_stream_always_tells_its_usage() {
    let mut request = extra(json!({"stream_options.include_obfuscation": false}));
    request.stream = true;
    let (body, losses) = say(&request);
    assert_eq!(body["stream_options"], json!({"include_usage": true, "include_obfuscation": false}));
    assert!(body["stream"] == true && losses.is_empty());
    let traits = Traits { stream_usage: StreamUsage::Always, ..Traits::default() };
    let (body, losses) = write(&request, &traits).unwrap();
    assert!(body.get("stream_options").is_none());
    assert_eq!(losses, ["stream_options.include_obfuscation=dropped"]);
}

#[test]
fn fields_of_other_dialects_are_dropped_or_refused_and_own_ones_written_back() {
    let request = extra(json!({"truncation": "auto", "min_p": 0.1, "prediction": {"type": "content"},
        "thinking": {"type": "disabled"}, "background": false, "cache_control": {}, "messages[].odd": 1}));
    let (body, losses) = say(&request);
    assert_eq!((&body["min_p"], &body["prediction"]), (&json!(0.1), &json!({"type": "content"})));
    assert_eq!(body["thinking"], json!({"type": "disabled"}));
    assert_eq!(losses, ["truncation=dropped", "cache_control=dropped", "messages[].odd=dropped"]);
    for field in REFUSED {
        assert_eq!(refused(&extra(json!({field: true}))), field);
    }
}

#[test]
fn what_the_api_has_no_words_for_is_reported() {
    let mut request = hello();
    request.sampling.top_k = Some(4);
    assert_eq!(say(&request).1, ["top_k=dropped"]);
    request.stop = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    assert_eq!(refused(&request), "stop");
}

#[test]
fn vendors_refuse_drop_and_rename() {
    let traits = Traits {
        drop: vec!["store".into(), "stream_options".into()],
        refuse: vec!["logprobs".into(), "n".into()],
        rename: vec![("seed".into(), "random_seed".into())],
        ..Traits::default()
    };
    let mut request = Request { store: Some(true), n: Some(1), stream: true, ..hello() };
    request.sampling.seed = Some(7);
    let (body, losses) = write(&request, &traits).unwrap();
    let messages = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(body, json!({"model": "up", "messages": messages, "stream": true, "random_seed": 7}));
    assert_eq!(losses, ["store=dropped"]);
    request.n = Some(2);
    assert_eq!(refused_for(&request, &traits), "n");
    request.n = None;
    request.logprobs = Some(Logprobs { top: None });
    assert_eq!(refused_for(&request, &traits), "logprobs");
}

#[test]
fn sound_is_asked_for_with_its_modality() {
    let request = Request { audio_output: Some(json!({"voice": "ash", "format": "wav"})), ..hello() };
    let body = say(&request).0;
    assert_eq!(body["modalities"], json!(["text", "audio"]));
    assert_eq!(body["audio"], json!({"voice": "ash", "format": "wav"}));
}
