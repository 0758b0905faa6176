use serde_json::{Value, json};

use super::*;
use crate::chat::{
    Audio, CacheBreakpoint, Effort, File, Function, Image, Logprobs, Media, Part, Reasoning, ResponseFormat, Signature,
    Thinking, ToolCall, ToolKind, ToolResult,
};
use crate::dialect::Traits;
use crate::openai_responses::decode_request;

fn encode_for(request: &Request, traits: &Traits) -> Result<(Value, Vec<String>)> {
    let mut losses = Losses::default();
    let body = encode(request, &Target { model: "up", traits }, &mut losses)?;
    let losses = losses.iter().map(ToString::to_string).collect();
    Ok((serde_json::from_slice(&body).unwrap(), losses))
}

fn say(request: &Request) -> (Value, Vec<String>) {
    encode_for(request, &Traits::default()).unwrap()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn asking(text: &str) -> Request {
    Request { model: "m".into(), messages: vec![message(Role::User, vec![Part::text(text)])], ..Request::default() }
}

fn sealed(content: Content, dialect: Dialect) -> Part {
    Part { content, cache: None, signature: Some(Signature { dialect, seal: "seal".into() }) }
}

fn refused(request: &Request) -> String {
    match encode_for(request, &Traits::default()) {
        Err(WireError::Unsupported { param, .. }) => param,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_request_is_stateless() {
    let (body, losses) = say(&asking("hi"));
    assert_eq!(
        body,
        json!({"model": "up", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}], "store": false})
    );
    assert!(losses.is_empty());
}

#[test]
fn a_leading_system_text_becomes_instructions_and_later_ones_stay_in_place() {
    let mut request = asking("hi");
    request.messages.insert(0, message(Role::System, vec![Part::text("a"), Part::text("b")]));
    request.messages.push(message(Role::Developer, vec![Part::text("c")]));
    let (body, _) = say(&request);
    assert_eq!(body["instructions"], "a\n\nb");
    assert_eq!(body["input"][1]["role"], "developer");
    let traits = Traits { developer_role: false, ..Traits::default() };
    assert_eq!(encode_for(&request, &traits).unwrap().0["input"][1]["role"], "system");

    request.messages[0].parts[0].cache = Some(CacheBreakpoint::default());
    let (body, _) = say(&request);
    assert_eq!(body["instructions"], Value::Null);
    assert_eq!(body["input"][0]["content"][0]["prompt_cache_breakpoint"], json!({"mode": "explicit"}));
    let traits = Traits { drop: vec!["prompt_cache_breakpoint".into()], ..Traits::default() };
    let (body, losses) = encode_for(&request, &traits).unwrap();
    assert_eq!(body["input"][0]["content"][0].get("prompt_cache_breakpoint"), None);
    assert_eq!(losses, ["messages[].content[].prompt_cache_breakpoint=dropped"]);
}

#[test]
fn a_system_text_alone_is_still_an_input() {
    let mut request = asking("hi");
    request.messages = vec![message(Role::System, vec![Part::text("a")])];
    assert_eq!(say(&request).0["input"][0]["role"], "system");
}

#[test]
fn what_the_caller_relies_on_and_cannot_be_said_is_refused() {
    assert_eq!(refused(&Request { stop: vec!["x".into()], ..asking("a") }), "stop");
    assert_eq!(refused(&Request { n: Some(2), ..asking("a") }), "n");
    assert_eq!(refused(&Request { audio_output: Some(json!({})), ..asking("a") }), "audio");
    say(&Request { n: Some(1), ..asking("a") });
    let audio = Content::Audio(Audio { data: "UklG".into(), format: "wav".into() }).into();
    let mut request = asking("a");
    request.messages[0].parts.push(audio);
    assert_eq!(refused(&request), "messages[].content[].input_audio");
    for field in REFUSED_EXTRA {
        let mut request = asking("a");
        request.extra.insert(field.into(), "x".into());
        assert_eq!(refused(&request), field);
    }
}

#[test]
fn hints_are_dropped_and_named() {
    let mut request = asking("a");
    request.sampling.top_k = Some(1);
    request.sampling.presence_penalty = Some(0.5);
    request.sampling.frequency_penalty = Some(0.5);
    request.sampling.seed = Some(7);
    request.sampling.logit_bias = Some(json!({"1": 2}));
    request.messages[0].name = Some("ann".into());
    request.extra = Map::from_iter([("prediction".to_owned(), json!({})), ("truncation".to_owned(), "auto".into())]);
    let (body, losses) = say(&request);
    let expected =
        ["messages[].name", "top_k", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "prediction"];
    assert_eq!(losses, expected.map(|field| format!("{field}=dropped")));
    assert_eq!(body["truncation"], "auto");
    assert_eq!(body.get("prediction"), None);
}

#[test]
fn the_output_cap_is_moved_into_range() {
    let cap = |wanted, most| {
        let traits = Traits { max_output_tokens: most, ..Traits::default() };
        let (body, losses) = encode_for(&Request { max_output_tokens: Some(wanted), ..asking("a") }, &traits).unwrap();
        (body["max_output_tokens"].as_u64().unwrap(), losses.len())
    };
    assert_eq!(cap(5, None), (16, 1));
    assert_eq!(cap(100, None), (100, 0));
    assert_eq!(cap(100, Some(50)), (50, 1));
}

#[test]
fn tools_say_their_strictness_and_never_run_elsewhere() {
    let function = Tool::Function(Function { name: "f".into(), ..Function::default() });
    let foreign = Tool::Hosted { dialect: Dialect::Anthropic, kind: "bash_20250124".into(), value: json!({}) };
    let search = Tool::WebSearch(json!({"user_location": {"type": "approximate", "approximate": {"country": "FR"}}}));
    let request = Request { tools: vec![function, search, foreign.clone()], ..asking("a") };
    let (body, losses) = say(&request);
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
            {"type": "web_search", "user_location": {"type": "approximate", "country": "FR"}},
        ])
    );
    assert_eq!(losses, ["tools[].bash_20250124=dropped"]);
    assert_eq!(refused(&Request { tools: vec![foreign], ..asking("a") }), "tools");
}

#[test]
fn every_tool_choice_is_said() {
    let choose = |choice: ToolChoice| {
        let tools = vec![
            Tool::Function(Function { name: "f".into(), ..Function::default() }),
            Tool::Custom { name: "c".into(), description: None, format: None },
        ];
        say(&Request { tools, tool_choice: Some(choice), ..asking("a") }).0["tool_choice"].clone()
    };
    assert_eq!(choose(ToolChoice::None), "none");
    assert_eq!(choose(ToolChoice::Auto), "auto");
    assert_eq!(choose(ToolChoice::Required), "required");
    let named = ToolChoice::Named { name: "c".into(), kind: ToolKind::Custom };
    assert_eq!(choose(named), json!({"type": "custom", "name": "c"}));
    assert_eq!(
        choose(ToolChoice::Allowed { names: vec!["f".into(), "c".into()], required: false }),
        json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]})
    );
    assert_eq!(say(&Request { tool_choice: Some(ToolChoice::Auto), ..asking("a") }).0.get("tool_choice"), None);
}

#[test]
fn thinking_is_said_as_effort_and_asks_for_its_seals() {
    let think = |thinking: Thinking| say(&Request { thinking: Some(thinking), ..asking("a") });
    let (body, losses) = think(Thinking { mode: ThinkingMode::Budget(4000), ..Thinking::default() });
    assert_eq!(body["reasoning"], json!({"effort": "medium"}));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(losses, ["thinking.budget_tokens=emulated"]);
    let said = Thinking { effort: Some(Effort::XHigh), summary: Some("auto".into()), ..Thinking::default() };
    assert_eq!(think(said).0["reasoning"], json!({"effort": "xhigh", "summary": "auto"}));
    let (body, _) = think(Thinking { mode: ThinkingMode::Off, ..Thinking::default() });
    assert_eq!((body["reasoning"].clone(), body.get("include")), (json!({"effort": "none"}), None));

    let request =
        Request { thinking: Some(Thinking { effort: Some(Effort::Low), ..Thinking::default() }), ..asking("a") };
    let never = Traits { thinking: ThinkingStyle::Never, ..Traits::default() };
    let (body, losses) = encode_for(&request, &never).unwrap();
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
    assert_eq!(losses, ["reasoning_effort=dropped"]);
}

#[test]
fn a_turn_keeps_its_order_and_only_its_own_seals() {
    let call = |id: &str| {
        Content::ToolCall(ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: String::new(),
            kind: ToolKind::Function,
        })
    };
    let thought = || Content::Reasoning(Reasoning { text: "hm".into(), redacted: false, id: None });
    let long = "x".repeat(70);
    let result = |id: &str, content, is_error| {
        Content::ToolResult(ToolResult { call_id: id.into(), name: None, content, is_error, kind: ToolKind::Function })
            .into()
    };
    let image = Content::Image(Image {
        source: Media::Base64 { media_type: "image/png".into(), data: "iVBO".into() },
        detail: None,
    });
    let mut request = asking("a");
    request.messages.push(message(
        Role::Assistant,
        vec![
            sealed(thought(), Dialect::OpenaiResponses),
            sealed(thought(), Dialect::Anthropic),
            Part::text("b"),
            sealed(call("c1"), Dialect::Gemini),
            call(&long).into(),
            Content::Refusal("no".into()).into(),
        ],
    ));
    request.messages.push(message(
        Role::Tool,
        vec![result("c1", vec![Part::text("bad")], true), result(&long, vec![Part::text("see"), image.into()], false)],
    ));
    let (body, losses) = say(&request);
    let items = body["input"].as_array().unwrap();
    let kinds: Vec<&str> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "message",
            "reasoning",
            "message",
            "function_call",
            "function_call",
            "message",
            "function_call_output",
            "function_call_output"
        ]
    );
    assert_eq!(
        items[1],
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "seal"})
    );
    assert_eq!(items[2]["content"], json!([{"type": "output_text", "text": "b", "annotations": []}]));
    assert_eq!(items[3], json!({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}));
    assert_eq!(items[5]["content"], json!([{"type": "refusal", "refusal": "no"}]));
    assert_eq!(items[6]["output"], "Error: bad");
    assert_eq!(
        items[7]["output"],
        json!([{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:image/png;base64,iVBO"}])
    );
    assert_eq!(items[7]["call_id"], items[4]["call_id"]);
    assert!(items[4]["call_id"].as_str().unwrap().len() <= 64);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(losses, ["messages[].reasoning_content=dropped"]);
}

#[test]
fn documents_are_said_or_written_out_and_image_urls_need_a_fetcher() {
    let file =
        |source, filename: Option<&str>| Content::File(File { source, filename: filename.map(str::to_owned) }).into();
    let mut request = asking("a");
    request.messages[0].parts = vec![
        file(Media::Base64 { media_type: "application/pdf".into(), data: "JVBE".into() }, None),
        file(Media::Url("https://e.com/a.pdf".into()), None),
        file(Media::Text("line".into()), Some("a.txt")),
    ];
    let (body, losses) = say(&request);
    assert_eq!(
        body["input"][0]["content"],
        json!([
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"},
            {"type": "input_file", "file_url": "https://e.com/a.pdf"},
            {"type": "input_text", "text": "a.txt:\nline"},
        ])
    );
    assert_eq!(losses, ["messages[].content[].file=emulated"]);

    let url = Content::Image(Image { source: Media::Url("https://e.com/a.png".into()), detail: None });
    request.messages[0].parts = vec![url.into()];
    let no_fetch = Traits { image_urls: false, ..Traits::default() };
    assert!(matches!(encode_for(&request, &no_fetch), Err(WireError::Unsupported { .. })));
}

#[test]
fn the_vendors_wishes_are_met_and_only_the_callers_fields_are_losses() {
    let request = Request { service_tier: Some("flex".into()), prompt_cache_key: Some("k".into()), ..asking("a") };
    let traits = Traits {
        drop: vec!["store".into(), "service_tier".into()],
        rename: vec![("prompt_cache_key".into(), "cache_key".into())],
        ..Traits::default()
    };
    let (body, losses) = encode_for(&request, &traits).unwrap();
    assert_eq!((body.get("store"), body.get("service_tier"), &body["cache_key"]), (None, None, &json!("k")));
    assert_eq!(losses, ["service_tier=dropped"]);
    let traits = Traits { refuse: vec!["service_tier".into()], ..Traits::default() };
    assert!(
        matches!(encode_for(&request, &traits), Err(WireError::Unsupported { param, .. }) if param == "service_tier")
    );
}

#[test]
fn formats_and_log_probabilities_are_said() {
    let schema = ResponseFormat::JsonSchema { name: "p".into(), description: None, schema: json!({}), strict: None };
    let request = Request {
        response_format: Some(schema),
        verbosity: Some("low".into()),
        logprobs: Some(Logprobs { top: Some(3) }),
        ..asking("a")
    };
    let (body, _) = say(&request);
    assert_eq!(
        body["text"],
        json!({"format": {"type": "json_schema", "name": "p", "schema": {}, "strict": false}, "verbosity": "low"})
    );
    assert_eq!(body["top_logprobs"], 3);
    assert_eq!(body["include"], json!(["message.output_text.logprobs"]));
}

#[test]
fn what_was_written_is_read_back_as_it_was_meant() {
    for body in [
        &include_bytes!("../../../tests/golden/chat/openai_responses/tool_result.request.json")[..],
        include_bytes!("../../../tests/golden/chat/openai_responses/tool_result_image.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/system.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/tools.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/file_pdf.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/json_schema.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/thinking.request.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/logprobs.request.json"),
    ] {
        let first = decode_request::decode(body).unwrap();
        let target = Target { model: &first.model, traits: &Traits::default() };
        let mut losses = Losses::default();
        let again = encode(&first, &target, &mut losses).unwrap();
        let mut second = decode_request::decode(&again).unwrap();
        second.store = first.store;
        if let (Some(Tool::Function(theirs)), Some(Tool::Function(ours))) =
            (first.tools.first(), second.tools.first_mut())
        {
            // Absent parameters are written out.
            ours.parameters.clone_from(&theirs.parameters);
            ours.strict = theirs.strict;
        }
        assert_eq!(first, second);
        assert!(losses.is_empty(), "{losses:?}");
    }
}
