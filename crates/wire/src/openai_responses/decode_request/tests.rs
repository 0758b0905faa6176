use super::*;
use crate::chat::{Content, Effort, Media, Message, Signature, Text, ToolCall, ToolResult};

macro_rules! request {
    ($case:literal) => {
        decode(include_bytes!(concat!("../../../tests/golden/chat/openai_responses/", $case, ".request.json"))).unwrap()
    };
}

fn param(body: &str) -> String {
    decode(body.as_bytes()).unwrap_err().param().unwrap_or("syntax").to_owned()
}

fn unsupported(body: &str) -> String {
    match decode(body.as_bytes()).unwrap_err() {
        WireError::Unsupported { param, message } => {
            assert!(!message.is_empty());
            param
        }
        other => panic!("{other:?}"),
    }
}

fn content(message: &Message) -> Vec<&Content> {
    message.parts.iter().map(|part| &part.content).collect()
}

fn roles(request: &Request) -> Vec<Role> {
    request.messages.iter().map(|message| message.role).collect()
}

#[test]
fn a_text_is_one_user_message() {
    let request = request!("text");
    assert_eq!(request.messages, [Message { role: Role::User, parts: vec![Part::text("Say hello.")], name: None }]);
    assert!(request.include_usage && !request.stream);
    assert!(request.extra.is_empty());
}

#[test]
fn instructions_lead_and_settings_are_read() {
    let request = request!("system");
    assert_eq!(roles(&request), [Role::System, Role::Developer, Role::User]);
    assert_eq!(request.messages[0].parts, [Part::text("Answer in one word.")]);
    assert_eq!((request.sampling.temperature, request.max_output_tokens), (Some(0.2), Some(64)));
    assert_eq!((request.user.as_deref(), request.metadata["team"].as_str()), (Some("u-81"), Some("docs")));
}

#[test]
fn a_turn_of_several_items_is_one_message_and_keeps_its_seal() {
    let request = request!("tool_result");
    assert_eq!(roles(&request), [Role::User, Role::Assistant, Role::Tool, Role::User]);
    let turn = &request.messages[1];
    assert!(matches!(
        content(turn)[..],
        [Content::Reasoning(_), Content::Text(_), Content::ToolCall(_), Content::ToolCall(_)]
    ));
    let seal = Signature { dialect: Dialect::OpenaiResponses, seal: "gAAAAABreasoning".into() };
    assert_eq!(turn.parts[0].signature, Some(seal));
    let Content::ToolResult(ToolResult { call_id, content, .. }) = &request.messages[2].parts[1].content else {
        panic!("no result");
    };
    assert_eq!((call_id.as_str(), content.as_slice()), ("call_2", &[Part::text("21 degrees")][..]));
    assert_eq!(
        request.thinking.unwrap(),
        Thinking { effort: Some(Effort::Medium), summary: Some("auto".into()), ..Thinking::default() }
    );
    assert!(request.extra.is_empty(), "ids, statuses and wanted seals lose nothing: {:?}", request.extra);
}

#[test]
fn pictures_and_files_are_read_from_their_urls() {
    let image = |request: &Request| match &request.messages[0].parts.last().unwrap().content {
        Content::Image(image) => image.clone(),
        other => panic!("{other:?}"),
    };
    let by_url = image(&request!("image_url"));
    assert_eq!(by_url.source, Media::Url("https://example.com/cat.png".into()));
    assert_eq!(by_url.detail.as_deref(), Some("low"));
    let inline = image(&request!("image_base64"));
    assert_eq!(inline.source, Media::Base64 { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() });
    let Content::File(file) = &request!("file_pdf").messages[0].parts[0].content else { panic!("no file") };
    assert_eq!(file.source, Media::Base64 { media_type: "application/pdf".into(), data: "JVBERi0xLjQK".into() });
    let Content::ToolResult(result) = &request!("tool_result_image").messages[2].parts[0].content else {
        panic!("no result");
    };
    assert!(matches!(
        result.content[..],
        [Part { content: Content::Text(_), .. }, Part { content: Content::Image(_), .. }]
    ));
}

#[test]
fn tools_are_flat_and_strict_where_the_schema_allows() {
    let request = request!("tools");
    let [Tool::Function(function), Tool::Custom { name, .. }, Tool::WebSearch(options)] = &request.tools[..] else {
        panic!("{:?}", request.tools);
    };
    assert_eq!((function.strict, name.as_str()), (Some(false), "shell"));
    assert_eq!(
        *options,
        json!({"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"country": "FR"}}})
    );
    assert_eq!(request.parallel_tool_calls, Some(false));

    let request = request!("tool_choice");
    assert!(matches!(&request.tools[0], Tool::Function(function) if function.strict == Some(true)));
    assert_eq!(request.tool_choice, Some(ToolChoice::Allowed { names: vec!["get_weather".into()], required: true }));

    let open = r#"{"model":"m","input":"a","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{}}}},{"type":"mcp","server_label":"x"}]}"#;
    let request = decode(open.as_bytes()).unwrap();
    assert!(matches!(&request.tools[0], Tool::Function(function) if function.strict.is_none()));
    assert!(matches!(&request.tools[1], Tool::Hosted { kind, .. } if kind == "mcp"));
}

#[test]
fn formats_reasoning_and_logprobs_are_read() {
    let request = request!("json_schema");
    assert!(matches!(request.response_format, Some(ResponseFormat::JsonSchema { strict: Some(true), .. })));
    assert_eq!(request.verbosity.as_deref(), Some("low"));
    assert_eq!(request!("json_object").response_format, Some(ResponseFormat::JsonObject));
    let thinking = request!("thinking");
    assert_eq!(thinking.thinking.unwrap().effort, Some(Effort::High));
    assert!(thinking.stream);
    assert_eq!(request!("logprobs").logprobs, Some(Logprobs { top: Some(2) }));
    let off = decode(br#"{"model":"m","input":"a","reasoning":{"effort":"none"}}"#).unwrap();
    assert_eq!(off.thinking.unwrap().mode, ThinkingMode::Off);
}

#[test]
fn seals_of_other_dialects_go_back_to_their_own() {
    let body = br#"{"model":"m","input":[{"role":"user","content":"a"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"waypost:anthropic:thinking:EqQ"},
        {"type":"reasoning","summary":[],"encrypted_content":"waypost:anthropic:redacted:Emw"},
        {"type":"reasoning","summary":[],"encrypted_content":"waypost:gemini:next:CiQ"},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}"#;
    let request = decode(body).unwrap();
    let parts = &request.messages[1].parts;
    let seals: Vec<_> = parts.iter().map(|part| part.signature.clone().unwrap()).collect();
    assert_eq!(
        seals.iter().map(|seal| (seal.dialect, seal.seal.as_str())).collect::<Vec<_>>(),
        [(Dialect::Anthropic, "EqQ"), (Dialect::Anthropic, "Emw"), (Dialect::Gemini, "CiQ")]
    );
    assert!(matches!(&parts[1].content, Content::Reasoning(reasoning) if reasoning.redacted));
    assert!(matches!(&parts[2].content, Content::ToolCall(ToolCall { name, .. }) if name == "f"));
}

#[test]
fn hosted_calls_are_carried_and_unknown_fields_are_kept_by_path() {
    let body = br#"{"model":"m","truncation":"auto","future":1,"include":["file_search_call.results"],"text":{"tone":"dry"},
        "input":[{"type":"web_search_call","id":"ws_1","status":"completed"},
        {"role":"assistant","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"https://e.com","title":"E","start_index":0,"end_index":1}],"mood":1}]},
        {"role":"user","content":"b"}]}"#;
    let request = decode(body).unwrap();
    assert!(matches!(&request.messages[0].parts[0].content, Content::Opaque { kind, .. } if kind == "web_search_call"));
    assert!(
        matches!(&request.messages[0].parts[1].content, Content::Text(Text { citations, .. }) if citations.len() == 1)
    );
    let mut kept: Vec<&str> = request.extra.keys().map(String::as_str).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["future", "include", "input[].content[].mood", "text.tone", "truncation"]);
}

#[test]
fn what_needs_stored_history_is_refused_at_once() {
    for field in [
        r#""previous_response_id":"resp_1""#,
        r#""conversation":"conv_1""#,
        r#""prompt":{"id":"p"}"#,
        r#""background":true"#,
    ] {
        let named = field.split('"').nth(1).unwrap();
        assert_eq!(unsupported(&format!(r#"{{"model":"m","input":"a",{field}}}"#)), named);
    }
    decode(br#"{"model":"m","input":"a","previous_response_id":null,"background":false}"#).unwrap();
    for (item, at) in [
        (r#"{"type":"item_reference","id":"msg_1"}"#, "input[0]"),
        (r#"{"type":"computer_call","call_id":"c"}"#, "input[0].type"),
        (r#"{"role":"user","content":[{"type":"hologram"}]}"#, "input[0].content[0].type"),
    ] {
        assert_eq!(unsupported(&format!(r#"{{"model":"m","input":[{item}]}}"#)), at);
    }
    let choice = r#"{"model":"m","input":"a","tool_choice":{"type":"file_search"}}"#;
    assert_eq!(unsupported(choice), "tool_choice.type");
}

#[test]
fn mistakes_are_named_by_their_path() {
    for (body, expected) in [
        (r#"[]"#, "syntax"),
        (r#"{"input":"a"}"#, "model"),
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":[{"content":"a"}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{"role":"tool","content":"a"}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}"#, "input[0].content[0].text"),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]}"#,
            "input[0].content[0].image_url",
        ),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png,abc"}]}]}"#,
            "input[0].content[0].image_url",
        ),
        (r#"{"model":"m","input":[{"type":"function_call_output","call_id":"c"}]}"#, "input[0].output"),
        (
            r#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]}"#,
            "input[0].arguments",
        ),
        (r#"{"model":"m","input":"a","reasoning":{"effort":"huge"}}"#, "reasoning.effort"),
        (r#"{"model":"m","input":"a","text":{"format":{"type":"json_schema","name":"n"}}}"#, "text.format.schema"),
        (r#"{"model":"m","input":"a","tools":[{"type":"function"}]}"#, "tools[0].name"),
        (r#"{"model":"m","input":"a","include":[1]}"#, "include[0]"),
    ] {
        assert_eq!(param(body), expected, "{body}");
    }
}
