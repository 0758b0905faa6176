use serde_json::json;

use super::*;
use crate::Dialect;
use crate::anthropic::decode_request;
use crate::chat::{
    Audio, Content, Effort, File, Function, Image, Logprobs, Media, Message, Part, Reasoning, Role, Sampling,
    Signature, Thinking, Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};
use crate::dialect::ThinkingStyle;

fn write(request: &Request, traits: &Traits) -> Result<(Value, Vec<String>)> {
    let mut losses = Losses::default();
    let target = Target { model: "claude-up", traits };
    let body = encode(request, &target, &mut losses)?;
    Ok((serde_json::from_slice(&body).unwrap(), losses.iter().map(ToString::to_string).collect()))
}

fn written(request: &Request) -> (Value, Vec<String>) {
    write(request, &Traits::default()).unwrap()
}

fn refused(request: &Request) -> String {
    match write(request, &Traits::default()) {
        Err(WireError::Unsupported { param, .. }) => param,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn says(role: Role, text: &str) -> Message {
    message(role, vec![Part::text(text)])
}

fn chat(messages: Vec<Message>) -> Request {
    Request { model: "m".to_owned(), messages, ..Request::default() }
}

fn hello() -> Request {
    chat(vec![says(Role::User, "hello")])
}

fn call(id: &str, arguments: &str) -> Part {
    Content::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        kind: ToolKind::Function,
    })
    .into()
}

fn result(id: &str, text: &str) -> Message {
    let result = ToolResult {
        call_id: id.to_owned(),
        name: None,
        content: vec![Part::text(text)],
        is_error: false,
        kind: ToolKind::Function,
    };
    message(Role::Tool, vec![Content::ToolResult(result).into()])
}

fn function(name: &str) -> Tool {
    Tool::Function(Function { name: name.to_owned(), ..Function::default() })
}

fn roles(body: &Value) -> Vec<&str> {
    body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect()
}

macro_rules! comes_back {
    ($($case:literal),*) => {
        [$(($case, include_bytes!(concat!("../../../tests/golden/chat/anthropic/", $case, ".request.json")).as_slice())),*]
    };
}

#[test]
fn a_request_of_this_dialect_comes_back_with_the_same_meaning() {
    let cases = comes_back!(
        "text",
        "system",
        "image_url",
        "image_base64",
        "file_pdf",
        "tools",
        "tool_result",
        "tool_result_image",
        "tool_choice",
        "json_schema",
        "thinking",
        "stop"
    );
    for (case, body) in cases {
        let request = decode_request::decode(body).unwrap();
        let traits = match case {
            "tool_result" => Traits { thinking: ThinkingStyle::Budget, ..Traits::default() },
            _ => Traits::default(),
        };
        let mut losses = Losses::default();
        let again = encode(&request, &Target { model: "up", traits: &traits }, &mut losses).unwrap();
        let mut again = decode_request::decode(&again).unwrap();
        assert!(losses.is_empty(), "{case}: {losses:?}");
        again.model.clone_from(&request.model);
        assert_eq!(again, request, "{case}");
    }
}

#[test]
fn max_tokens_is_always_there_and_never_above_the_models() {
    assert_eq!(written(&hello()).0["max_tokens"], 4096);
    let model = Traits { max_output_tokens: Some(8192), ..Traits::default() };
    assert_eq!(write(&hello(), &model).unwrap().0["max_tokens"], 8192);
    let greedy = Request { max_output_tokens: Some(100_000), ..hello() };
    let (body, losses) = write(&greedy, &model).unwrap();
    assert_eq!((&body["max_tokens"], losses), (&json!(8192), vec!["max_tokens=clamped".to_owned()]));
}

#[test]
fn what_would_change_the_meaning_is_refused_by_name() {
    assert_eq!(refused(&Request { n: Some(2), ..hello() }), "n");
    assert_eq!(refused(&Request { logprobs: Some(Logprobs { top: None }), ..hello() }), "logprobs");
    assert_eq!(refused(&Request { audio_output: Some(json!({})), ..hello() }), "audio");
    let previous = json!({"previous_response_id": "resp_1"}).as_object().unwrap().clone();
    assert_eq!(refused(&Request { extra: previous, ..hello() }), "previous_response_id");
    let sound = Content::Audio(Audio { data: "UklG".to_owned(), format: "wav".to_owned() });
    assert_eq!(refused(&chat(vec![message(Role::User, vec![sound.into()])])), "messages[].content[].input_audio");
    let source = Media::FileId("file-1".to_owned());
    let file = Content::File(File { source, filename: None });
    assert_eq!(refused(&chat(vec![message(Role::User, vec![file.into()])])), "messages[].content[].file");
    let hosted = Tool::Hosted { dialect: Dialect::OpenaiResponses, kind: "file_search".to_owned(), value: json!({}) };
    assert_eq!(refused(&Request { tools: vec![hosted.clone()], ..hello() }), "tools");
    let (_, losses) = written(&Request { tools: vec![hosted, function("f")], ..hello() });
    assert_eq!(losses, ["tools[].file_search=dropped"]);
}

#[test]
fn hints_without_words_are_dropped_and_named() {
    let request = Request {
        sampling: Sampling {
            temperature: Some(1.7),
            seed: Some(7),
            presence_penalty: Some(0.5),
            frequency_penalty: Some(0.0),
            logit_bias: Some(json!({"1": 2})),
            ..Sampling::default()
        },
        stop: vec!["END".to_owned(), " ".to_owned()],
        store: Some(true),
        verbosity: Some("low".to_owned()),
        user: Some("u".repeat(300)),
        service_tier: Some("default".to_owned()),
        extra: json!({"prediction": {}, "container": "c1"}).as_object().unwrap().clone(),
        ..hello()
    };
    let (body, losses) = written(&request);
    assert_eq!(
        losses,
        [
            "temperature=clamped",
            "stop=dropped",
            "user=clamped",
            "presence_penalty=dropped",
            "seed=dropped",
            "logit_bias=dropped",
            "verbosity=dropped",
            "store=dropped",
            "prediction=dropped"
        ]
    );
    assert_eq!((&body["temperature"], &body["stop_sequences"]), (&json!(1.0), &json!(["END"])));
    assert_eq!((&body["service_tier"], &body["container"]), (&json!("standard_only"), &json!("c1")));
    assert_eq!(body["metadata"]["user_id"].as_str().unwrap().len(), 256);
}

#[test]
fn models_without_sampling_and_thinking_models_get_no_knobs_they_refuse() {
    let sampling = Sampling { temperature: Some(0.3), top_p: Some(0.5), top_k: Some(5), ..Sampling::default() };
    let request = Request { sampling, ..hello() };
    let (body, losses) = write(&request, &Traits { sampling: false, ..Traits::default() }).unwrap();
    assert!(body.get("temperature").or(body.get("top_p")).or(body.get("top_k")).is_none());
    assert_eq!(losses, ["temperature=dropped", "top_p=dropped", "top_k=dropped"]);
    let thinking = Some(Thinking { effort: Some(Effort::High), ..Thinking::default() });
    let (body, losses) = written(&Request { thinking, ..request });
    assert_eq!(body["top_p"], 0.95);
    assert_eq!(losses, ["temperature=dropped", "top_p=clamped", "top_k=dropped"]);
}

#[test]
fn turns_alternate_begin_with_the_user_and_lose_no_words() {
    let (body, losses) = written(&chat(vec![
        says(Role::System, "S1"),
        says(Role::Developer, "S2"),
        says(Role::Assistant, "A1"),
        says(Role::Assistant, "A2"),
        says(Role::User, "U1"),
        says(Role::System, "S3"),
        says(Role::User, " \n"),
        says(Role::Assistant, "A3 \n"),
    ]));
    assert_eq!(body["system"], json!([{"type": "text", "text": "S1"}, {"type": "text", "text": "S2"}]));
    assert_eq!(roles(&body), ["user", "assistant", "user", "assistant"]);
    assert_eq!(body["messages"][1]["content"][1]["text"], "A2");
    assert_eq!(body["messages"][2]["content"], json!([{"type": "text", "text": "U1"}, {"type": "text", "text": "S3"}]));
    assert_eq!(body["messages"][3]["content"][0]["text"], "A3");
    assert_eq!(losses, ["messages[].role=emulated", "messages=emulated"]);
    let (alone, _) = written(&chat(vec![says(Role::System, "S")]));
    assert_eq!(roles(&alone), ["user"]);
}

#[test]
fn all_results_of_a_turn_stand_first_in_one_user_message() {
    let (body, _) = written(&chat(vec![
        says(Role::User, "go"),
        message(Role::Assistant, vec![call("call.1", "{\"a\":1}"), call("call_1", ""), call("c", "{\"a\":")]),
        result("call.1", "one"),
        says(Role::User, "and?"),
        result("call_1", "two"),
        result("c", " "),
    ]));
    assert_eq!(roles(&body), ["user", "assistant", "user"]);
    let calls = body["messages"][1]["content"].as_array().unwrap();
    let inputs: Vec<&Value> = calls.iter().map(|call| &call["input"]).collect();
    assert_eq!(inputs, [&json!({"a": 1}), &json!({}), &json!({})]);
    let answers = body["messages"][2]["content"].as_array().unwrap();
    let kinds: Vec<&Value> = answers.iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "tool_result", "text"]);
    for (call, answer) in calls.iter().zip(answers) {
        assert_eq!(call["id"], answer["tool_use_id"]);
    }
    let id = calls[0]["id"].as_str().unwrap();
    assert!(id != calls[1]["id"] && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    assert!(answers[2].get("content").is_none());
}

fn thought(dialect: Dialect) -> Part {
    let signature = Some(Signature { dialect, seal: "seal".to_owned() });
    let content = Content::Reasoning(Reasoning { text: "hm".to_owned(), ..Reasoning::default() });
    Part { content, cache: None, signature }
}

fn tool_loop(thought: Part) -> Request {
    let thinking = Some(Thinking { effort: Some(Effort::Low), ..Thinking::default() });
    let messages = vec![
        says(Role::User, "go"),
        message(Role::Assistant, vec![Part::text("so"), thought, call("c", "{}")]),
        result("c", "1"),
    ];
    Request { thinking, tools: vec![function("f")], ..chat(messages) }
}

#[test]
fn signed_thoughts_go_back_first_and_unmodified() {
    let (body, losses) = written(&tool_loop(thought(Dialect::Anthropic)));
    let turn = &body["messages"][1]["content"];
    assert_eq!(turn[0], json!({"type": "thinking", "thinking": "hm", "signature": "seal"}));
    assert_eq!((&turn[1]["type"], &turn[2]["type"]), (&json!("text"), &json!("tool_use")));
    assert_eq!((&body["thinking"]["type"], losses.len()), (&json!("adaptive"), 0));
}

#[test]
fn a_tool_loop_without_its_signed_thoughts_goes_on_without_thinking() {
    let (body, losses) = written(&tool_loop(thought(Dialect::Gemini)));
    assert_eq!(body["messages"][1]["content"][0]["type"], "text");
    assert_eq!(body["thinking"], json!({"type": "disabled"}));
    assert_eq!(losses, ["messages[].reasoning_content=dropped", "thinking=dropped"]);
}

#[test]
fn pictures_and_documents_have_their_sources() {
    let image = |source| Part::from(Content::Image(Image { source, detail: Some("high".to_owned()) }));
    let base64 = |kind: &str, data: &str| Media::Base64 { media_type: kind.to_owned(), data: data.to_owned() };
    let (body, losses) = written(&chat(vec![message(
        Role::User,
        vec![
            image(Media::Url("https://x/y.png".to_owned())),
            image(base64("image/jpg", "AA==")),
            Content::File(File { source: base64("text/csv", "YSxi"), filename: Some("t.csv".to_owned()) }).into(),
        ],
    )]));
    let content = &body["messages"][0]["content"];
    assert_eq!(content[0]["source"], json!({"type": "url", "url": "https://x/y.png"}));
    assert_eq!(content[1]["source"]["media_type"], "image/jpeg");
    assert_eq!(
        content[2],
        json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}, "title": "t.csv"})
    );
    assert_eq!(losses, ["messages[].content[].image_url.detail=dropped"]);
    for source in [Media::Url("http://x/y.png".to_owned()), base64("image/tiff", "AA==")] {
        assert_eq!(refused(&chat(vec![message(Role::User, vec![image(source)])])), "messages[].content[].image_url");
    }
}

#[test]
fn every_tool_choice_has_its_form() {
    let choose = |choice, parallel| {
        let tools = vec![function("f"), function("g")];
        written(&Request { tools, tool_choice: choice, parallel_tool_calls: parallel, ..hello() }).0
    };
    let named = ToolChoice::Named { name: "f".to_owned(), kind: ToolKind::Function };
    assert_eq!(choose(Some(ToolChoice::None), Some(false))["tool_choice"], json!({"type": "none"}));
    assert_eq!(choose(Some(ToolChoice::Required), None)["tool_choice"], json!({"type": "any"}));
    assert_eq!(choose(Some(named), None)["tool_choice"], json!({"type": "tool", "name": "f"}));
    assert_eq!(choose(None, Some(false))["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(choose(None, Some(true)).get("tool_choice"), None);
    let few = choose(Some(ToolChoice::Allowed { names: vec!["g".to_owned()], required: true }), None);
    assert_eq!((&few["tools"].as_array().unwrap().len(), &few["tools"][0]["name"]), (&1, &json!("g")));
    assert_eq!(few["tool_choice"], json!({"type": "any"}));
    assert_eq!(few["tools"][0]["input_schema"], json!({"type": "object", "properties": {}}));
}

#[test]
fn a_forced_tool_rests_thinking() {
    let thinking = Some(Thinking { effort: Some(Effort::High), ..Thinking::default() });
    let request = Request { thinking, tools: vec![function("f")], tool_choice: Some(ToolChoice::Required), ..hello() };
    let (body, losses) = written(&request);
    assert_eq!((&body["thinking"]["type"], losses), (&json!("disabled"), vec!["thinking=dropped".to_owned()]));
}

fn schema_format() -> Option<ResponseFormat> {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}});
    Some(ResponseFormat::JsonSchema { name: "x".to_owned(), description: None, schema, strict: Some(true) })
}

#[test]
fn a_json_schema_is_native_or_a_forced_tool() {
    let request = Request { response_format: schema_format(), ..hello() };
    let (body, losses) = written(&request);
    assert_eq!(
        body["output_config"]["format"],
        json!({"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false}})
    );
    assert!(losses.contains(&"response_format.json_schema.schema.minimum=dropped".to_owned()));
    let old = Traits { json_schema: false, ..Traits::default() };
    let (body, losses) = write(&request, &old).unwrap();
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "waypost_json_response"}));
    assert_eq!(body["tools"][0]["input_schema"]["properties"]["n"]["minimum"], 1);
    assert_eq!(losses, ["response_format=emulated"]);
    let (beside, _) = write(&Request { tools: vec![function("f")], ..request }, &old).unwrap();
    assert_eq!((&beside["tool_choice"], beside["tools"].as_array().unwrap().len()), (&json!({"type": "any"}), 2));
}

#[test]
fn a_json_object_is_asked_for_in_words() {
    let (body, losses) = written(&Request { response_format: Some(ResponseFormat::JsonObject), ..hello() });
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON object"));
    assert_eq!(losses, ["response_format=emulated"]);
}

#[test]
fn free_text_tools_and_web_search_are_carried() {
    let custom = Tool::Custom { name: "patch".to_owned(), description: None, format: None };
    let search = Tool::WebSearch(json!({"user_location": {"type": "approximate", "approximate": {"country": "FR"}}}));
    let request = Request {
        tools: vec![custom, search],
        tool_choice: Some(ToolChoice::Named { name: "patch".to_owned(), kind: ToolKind::Custom }),
        ..hello()
    };
    let (body, losses) = written(&request);
    assert_eq!(body["tools"][0]["name"], "waypost_custom_patch");
    assert_eq!(body["tool_choice"]["name"], "waypost_custom_patch");
    assert_eq!(
        body["tools"][1],
        json!({"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "country": "FR"}})
    );
    assert_eq!(losses, ["tools[].custom=emulated"]);
}

#[test]
fn four_cache_breakpoints_are_kept_and_later_ones_reported() {
    let cached = |text: &str| Part { cache: Some(CacheBreakpoint { ttl: None }), ..Part::text(text) };
    let messages = vec![
        message(Role::System, vec![cached("s1"), cached("s2")]),
        message(Role::User, vec![cached("u1"), cached("u2"), cached("u3")]),
    ];
    let (body, losses) = written(&chat(messages));
    assert_eq!(body["system"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert!(body["messages"][0]["content"][1].get("cache_control").is_some());
    assert!(body["messages"][0]["content"][2].get("cache_control").is_none());
    assert_eq!(losses, ["cache_control=dropped"]);
}

#[test]
fn a_vendors_ways_are_obeyed() {
    let request = Request { user: Some("u".to_owned()), stop: vec!["x".to_owned()], ..hello() };
    let vendor = Traits {
        drop: vec!["metadata".to_owned()],
        rename: vec![("stop_sequences".to_owned(), "stops".to_owned())],
        ..Traits::default()
    };
    let (body, losses) = write(&request, &vendor).unwrap();
    assert_eq!((body.get("metadata"), &body["stops"]), (None, &json!(["x"])));
    assert_eq!(losses, ["metadata=dropped"]);
    let strict = Traits { refuse: vec!["stop_sequences".to_owned()], ..Traits::default() };
    assert_eq!(write(&request, &strict).unwrap_err().param(), Some("stop_sequences"));
}
