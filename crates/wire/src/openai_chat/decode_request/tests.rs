use serde_json::json;

use super::*;
use crate::Dialect;
use crate::chat::{
    Audio, Citation, Content, File, Function, Image, Media, Message, Part, Reasoning, Role, Signature, Text, ToolCall,
    ToolChoice, ToolKind, ToolResult,
};

macro_rules! fixture {
    ($case:literal) => {
        decode(include_bytes!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".request.json"))).unwrap()
    };
}

fn read(body: Value) -> Result<Request> {
    decode(body.to_string().as_bytes())
}

/// A request with one user message and these fields.
fn with(fields: Value) -> Result<Request> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    read(body)
}

fn conversation(messages: Value) -> Request {
    read(json!({"model": "m", "messages": messages})).unwrap()
}

fn refused(read: Result<Request>) -> String {
    match read {
        Err(WireError::Invalid { param, .. }) => param,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn call(id: &str, name: &str, arguments: &str, kind: ToolKind) -> Part {
    Content::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), kind }).into()
}

fn result(id: &str, content: Vec<Part>, kind: ToolKind) -> Part {
    Content::ToolResult(ToolResult { call_id: id.into(), name: None, content, is_error: false, kind }).into()
}

fn sealed(text: &str, dialect: Dialect, seal: &str) -> Part {
    let reasoning = Reasoning { text: text.into(), ..Reasoning::default() };
    let signature = Some(Signature { dialect, seal: seal.into() });
    Part { content: Content::Reasoning(reasoning), cache: None, signature }
}

#[test]
fn roles_stand_where_the_caller_put_them() {
    let request = fixture!("system");
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::Developer, Role::User, Role::Assistant, Role::User]);
    assert_eq!(request.messages[1].parts, [Part::text("Answer in French.")]);
}

#[test]
fn pictures_and_documents_are_taken_apart() {
    let image = |request: Request| request.messages[0].parts[1].content.clone();
    let Content::Image(Image { source: Media::Base64 { media_type, data }, detail: None }) =
        image(fixture!("image_base64"))
    else {
        panic!("no image")
    };
    assert!(media_type == "image/png" && data.starts_with("iVBOR"));
    let expected = Image { source: Media::Url("https://example.com/cat.png".into()), detail: Some("high".into()) };
    assert_eq!(image(fixture!("image_url")), Content::Image(expected));
    let Content::File(File { source: Media::Base64 { media_type, .. }, filename }) =
        &fixture!("file_pdf").messages[0].parts[0].content
    else {
        panic!("no file")
    };
    assert_eq!((media_type.as_str(), filename.as_deref()), ("application/pdf", Some("report.pdf")));
}

#[test]
fn every_kind_of_part_is_read() {
    let request = conversation(json!([{"role": "user", "name": "ann", "content": [
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "image_url", "image_url": "https://a/b.png"},
        {"type": "refusal", "refusal": "no"},
        {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}, "odd": 1},
        {"type": "text", "text": "y", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]}]));
    let cached = |text: &str, ttl: Option<&str>| Part {
        cache: Some(CacheBreakpoint { ttl: ttl.map(str::to_owned) }),
        ..Part::text(text)
    };
    assert_eq!(
        request.messages[0].parts,
        [
            Content::Audio(Audio { data: "UklG".into(), format: "wav".into() }).into(),
            Content::File(File { source: Media::FileId("file-1".into()), filename: None }).into(),
            Content::Image(Image { source: Media::Url("https://a/b.png".into()), detail: None }).into(),
            Content::Refusal("no".into()).into(),
            cached("x", None),
            cached("y", Some("1h")),
        ]
    );
    assert_eq!(request.messages[0].name.as_deref(), Some("ann"));
    assert_eq!(request.extra, *json!({"messages[].content[].odd": 1}).as_object().unwrap());
}

#[test]
fn calls_and_their_results_keep_ids_kinds_and_order() {
    let request = fixture!("parallel_tools");
    let function = ToolKind::Function;
    assert_eq!(
        request.messages[1].parts,
        [
            call("call_a1", "get_weather", "{\"city\": \"Oslo\"}", function),
            call("call_b2", "get_weather", "{\"city\": \"Rome\"}", function)
        ]
    );
    let results = Message {
        role: Role::Tool,
        parts: vec![
            result("call_a1", vec![Part::text("3 °C, snow")], function),
            result("call_b2", vec![Part::text("17 °C, sun")], function),
        ],
        name: None,
    };
    assert_eq!(request.messages[2..], [results]);
    let custom = conversation(json!([
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a b"},
    ]));
    assert_eq!(custom.messages[0].parts, [call("c", "sh", "ls", ToolKind::Custom)]);
    assert_eq!(custom.messages[1].parts, [result("c", vec![Part::text("a b")], ToolKind::Custom)]);
}

#[test]
fn a_result_may_be_a_list() {
    let texts = vec![Part::text("3 °C"), Part::text("snow")];
    assert_eq!(fixture!("tool_result").messages[2].parts, [result("call_a1", texts, ToolKind::Function)]);
}

#[test]
fn old_functions_are_tools() {
    let request = read(json!({"model": "m", "functions": [{"name": "f", "parameters": {"type": "object"}}],
        "function_call": {"name": "f"}, "messages": [
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]}))
    .unwrap();
    assert_eq!(request.messages[0].parts, [call("call_0", "f", "{}", ToolKind::Function)]);
    let Content::ToolResult(answer) = &request.messages[1].parts[0].content else { panic!("no result") };
    assert_eq!((answer.call_id.as_str(), answer.name.as_deref()), ("call_0", Some("f")));
    let parameters = Some(json!({"type": "object"}));
    assert_eq!(request.tools, [Tool::Function(Function { name: "f".into(), parameters, ..Function::default() })]);
    assert_eq!(request.tool_choice, Some(ToolChoice::Named { name: "f".into(), kind: ToolKind::Function }));
    let stray = read(json!({"model": "m", "messages": [{"role": "function", "name": "f", "content": "1"}]}));
    assert_eq!(refused(stray), "messages[0]");
}

#[test]
fn thoughts_come_first_with_the_seal_of_whoever_made_it() {
    let request = fixture!("thinking");
    assert_eq!(
        request.messages[1].parts,
        [sealed("First, the lemma.", Dialect::Anthropic, "EqQBCkYIBRgCKkAv"), Part::text("Done.")]
    );
    assert_eq!(request.thinking.unwrap().effort, Some(Effort::High));
    let table = [
        (json!({"reasoning_content": "a"}), reasoning("a")),
        (json!({"reasoning": "a"}), reasoning("a")),
        (
            json!({"thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "s"}]}),
            sealed("a", Dialect::Anthropic, "s"),
        ),
        (json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]}), reasoning("a")),
    ];
    for (mut turn, thought) in table {
        turn["role"] = "assistant".into();
        assert_eq!(conversation(json!([turn])).messages[0].parts, [thought], "{turn}");
    }
}

fn reasoning(text: &str) -> Part {
    crate::openai_chat::reasoning::thought(text)
}

#[test]
fn googles_seal_stays_on_its_call() {
    let request = conversation(json!([{"role": "assistant", "tool_calls": [{
        "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "g1"}}, "index": 0,
    }]}]));
    let signature = Some(Signature { dialect: Dialect::Gemini, seal: "g1".into() });
    assert_eq!(request.messages[0].parts, [Part { signature, ..call("c", "f", "{}", ToolKind::Function) }]);
    assert!(request.extra.is_empty());
}

#[test]
fn googles_seal_among_the_thoughts_goes_to_the_call_it_names() {
    let seal = json!({"type": "reasoning.encrypted", "data": "g1", "id": "c", "format": "google-gemini-v1"});
    let told = json!({"type": "reasoning.text", "text": "plan", "format": "google-gemini-v1"});
    for (details, plain) in [(json!([told, seal]), Value::Null), (json!([seal]), json!("plan"))] {
        let request = conversation(json!([{"role": "assistant", "reasoning": plain, "reasoning_details": details,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]));
        let signature = Some(Signature { dialect: Dialect::Gemini, seal: "g1".into() });
        let call = Part { signature, ..call("c", "f", "{}", ToolKind::Function) };
        assert_eq!(request.messages[0].parts, [reasoning("plan"), call], "{details}");
    }
}

#[test]
fn an_echoed_answer_keeps_its_sources_refusal_and_sound() {
    let request = conversation(json!([{"role": "assistant", "content": "x", "refusal": "no", "audio": {"id": "a1"},
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1}}]}]));
    let citation = Citation {
        url: Some("https://a".into()),
        title: Some("A".into()),
        start: Some(0),
        end: Some(1),
        cited_text: None,
    };
    let audio = Content::Opaque { dialect: Dialect::OpenaiChat, kind: "audio".into(), value: json!({"id": "a1"}) };
    assert_eq!(
        request.messages[0].parts,
        [
            Content::Text(Text { text: "x".into(), citations: vec![citation] }).into(),
            Content::Refusal("no".into()).into(),
            audio.into(),
        ]
    );
}

#[test]
fn every_form_of_tool_choice_is_read() {
    let named = |name: &str, kind| Some(ToolChoice::Named { name: name.into(), kind });
    let table = [
        (json!("none"), Some(ToolChoice::None)),
        (json!("auto"), Some(ToolChoice::Auto)),
        (json!("required"), Some(ToolChoice::Required)),
        (json!("any"), Some(ToolChoice::Required)),
        (json!(null), None),
        (json!({"type": "function", "function": {"name": "f"}}), named("f", ToolKind::Function)),
        (json!({"type": "custom", "custom": {"name": "c"}}), named("c", ToolKind::Custom)),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
                {"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "c"}}]}}),
            Some(ToolChoice::Allowed { names: vec!["f".into(), "c".into()], required: true }),
        ),
    ];
    for (choice, expected) in table {
        assert_eq!(with(json!({"tool_choice": choice})).unwrap().tool_choice, expected, "{choice}");
    }
}

#[test]
fn tools_of_all_kinds_are_read() {
    let search = json!({"search_context_size": "low"});
    let request = with(json!({"web_search_options": search, "tools": [
        {"type": "function", "cache_control": {"type": "ephemeral"}, "function": {"name": "f", "strict": false, "x": 1}},
        {"type": "custom", "custom": {"name": "c", "description": "d", "format": {"type": "text"}}},
        {"type": "code_interpreter"},
    ]}))
    .unwrap();
    let function = Function {
        name: "f".into(),
        strict: Some(false),
        cache: Some(CacheBreakpoint::default()),
        ..Function::default()
    };
    let custom =
        Tool::Custom { name: "c".into(), description: Some("d".into()), format: Some(json!({"type": "text"})) };
    let hosted = Tool::Hosted {
        dialect: Dialect::OpenaiChat,
        kind: "code_interpreter".into(),
        value: json!({"type": "code_interpreter"}),
    };
    assert_eq!(request.tools, [Tool::Function(function), custom, hosted, Tool::WebSearch(search)]);
    assert_eq!(request.extra, *json!({"tools[].function.x": 1}).as_object().unwrap());
}

#[test]
fn settings_are_read_and_the_unknown_goes_to_extra() {
    let request = with(json!({
        "max_completion_tokens": 9, "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
        "presence_penalty": 1, "frequency_penalty": -1, "seed": -3, "logit_bias": {"50256": -100}, "stop": "x", "n": 2,
        "logprobs": true, "top_logprobs": 3, "reasoning_effort": "none", "verbosity": "low", "safety_identifier": "u1",
        "metadata": {"k": "v"}, "service_tier": "flex", "prompt_cache_key": "p", "store": true,
        "modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}, "parallel_tool_calls": false,
        "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false},
        "prediction": {"type": "content", "content": "x"}, "min_p": 0.1, "provider": null,
    }))
    .unwrap();
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        presence_penalty: Some(1.0),
        frequency_penalty: Some(-1.0),
        seed: Some(-3),
        logit_bias: Some(json!({"50256": -100})),
    };
    let extra = json!({"prediction": {"type": "content", "content": "x"}, "min_p": 0.1,
        "stream_options.include_obfuscation": false});
    let expected = Request {
        model: "m".into(),
        messages: vec![Message { role: Role::User, parts: vec![Part::text("hi")], name: None }],
        parallel_tool_calls: Some(false),
        max_output_tokens: Some(9),
        sampling,
        stop: vec!["x".into()],
        n: Some(2),
        logprobs: Some(Logprobs { top: Some(3) }),
        thinking: Some(Thinking { mode: ThinkingMode::Off, ..Thinking::default() }),
        verbosity: Some("low".into()),
        user: Some("u1".into()),
        metadata: json!({"k": "v"}).as_object().unwrap().clone(),
        service_tier: Some("flex".into()),
        prompt_cache_key: Some("p".into()),
        store: Some(true),
        audio_output: Some(json!({"voice": "ash", "format": "wav"})),
        stream: true,
        include_usage: true,
        extra: extra.as_object().unwrap().clone(),
        ..Request::default()
    };
    assert_eq!(request, expected);
}

#[test]
fn formats_of_answers_are_read() {
    assert_eq!(fixture!("json_object").response_format, Some(ResponseFormat::JsonObject));
    let Some(ResponseFormat::JsonSchema { name, strict, schema, .. }) = fixture!("json_schema").response_format else {
        panic!("no schema")
    };
    assert_eq!((name.as_str(), strict, &schema["type"]), ("city", Some(true), &json!("object")));
    let text = with(json!({"response_format": {"type": "text"}})).unwrap();
    assert_eq!(text.response_format, Some(ResponseFormat::Text));
}

#[test]
fn each_field_at_fault_is_named_by_its_path() {
    let table = [
        (json!({"model": null}), "model"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "robot", "content": ""}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]}), "messages[0].content[0].type"),
        (json!({"messages": [{"role": "user", "content": [{"type": "video"}]}]}), "messages[0].content[0].type"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages[0].content[0].text"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x,y"}}]}]}),
            "messages[0].content[0].image_url.url",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}),
            "messages[0].content[0].file.file_data",
        ),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].tool_call_id"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]}),
            "messages[0].tool_calls[0].function",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (json!({"tools": [{"type": "function"}]}), "tools[0].function"),
        (json!({"tools": [{"type": "function", "function": {"name": ""}}]}), "tools[0].function.name"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"tool_choice": "some"}), "tool_choice"),
        (json!({"tool_choice": {"type": "function"}}), "tool_choice.function"),
        (json!({"tool_choice": {"type": "web"}}), "tool_choice.type"),
        (
            json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}}),
            "tool_choice.allowed_tools.mode",
        ),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (json!({"response_format": {"type": "json_schema", "json_schema": {}}}), "response_format.json_schema.name"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": ["a", 1]}), "stop[1]"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"modalities": ["audio"]}), "audio"),
        (json!({"logit_bias": []}), "logit_bias"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
    ];
    for (fields, param) in table {
        assert_eq!(refused(with(fields.clone())), param, "{fields}");
    }
}
