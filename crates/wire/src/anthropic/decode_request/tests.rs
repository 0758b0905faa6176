use serde_json::json;

use super::*;
use crate::chat::{CacheBreakpoint, Media, Reasoning, Signature};

macro_rules! golden {
    ($case:literal) => {
        decode(include_bytes!(concat!("../../../tests/golden/chat/anthropic/", $case, ".request.json"))).unwrap()
    };
}

fn with(field: Value) -> Request {
    let mut body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
    body.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
    decode(body.to_string().as_bytes()).unwrap()
}

#[test]
fn an_agents_request_is_understood_whole() {
    let request = golden!("tool_result");
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::User]);
    let cache = request.messages[0].parts[1].cache.clone();
    assert_eq!(cache, Some(CacheBreakpoint { ttl: Some("1h".to_owned()) }));
    let thought = &request.messages[2].parts[0];
    assert!(matches!(&thought.content, Content::Reasoning(Reasoning { text, .. }) if text == "I need two tools."));
    assert!(matches!(&thought.signature, Some(Signature { dialect: Dialect::Anthropic, .. })));
    let Content::ToolCall(call) = &request.messages[2].parts[2].content else { panic!("a call was expected") };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("bash", r#"{"command":"ls -la"}"#));
    let Content::ToolResult(result) = &request.messages[3].parts[1].content else { panic!("a result was expected") };
    assert!(result.is_error && result.call_id == "toolu_01B7pq17835lq917835lq01");
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(ToolChoice::Auto), Some(false)));
    assert_eq!(request.thinking.unwrap().mode, ThinkingMode::Budget(10_000));
    assert_eq!((request.user.as_deref(), request.stream), (Some("user_8f2a"), true));
    assert!(request.extra.is_empty(), "{:?}", request.extra);
}

#[test]
fn sampling_stop_system_and_documents_are_read() {
    let request = golden!("system");
    let sampling = &request.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (Some(0.5), Some(0.9), Some(40)));
    assert_eq!(
        request.messages[0],
        Message { role: Role::System, parts: vec![Part::text("Answer in French.")], name: None }
    );
    assert_eq!(golden!("stop").stop, ["5", "\n\nHuman:"]);
    let pdf = golden!("file_pdf");
    assert!(matches!(&pdf.messages[0].parts[0].content, Content::File(file)
        if matches!(&file.source, Media::Base64 { media_type, .. } if media_type == "application/pdf")));
}

#[test]
fn output_config_is_effort_and_schema() {
    let thinking = golden!("thinking").thinking.unwrap();
    assert_eq!((thinking.mode, thinking.effort), (ThinkingMode::Adaptive, Some(Effort::High)));
    assert_eq!(thinking.summary.as_deref(), Some("auto"));
    let format = golden!("json_schema").response_format.unwrap();
    assert!(matches!(format, ResponseFormat::JsonSchema { schema, .. } if schema["required"] == json!(["city"])));
}

#[test]
fn tool_choices_and_tiers_have_neutral_words() {
    let request = golden!("tool_choice");
    let named = ToolChoice::Named { name: "get_weather".to_owned(), kind: ToolKind::Function };
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(named), Some(false)));
    assert_eq!(with(json!({"tool_choice": {"type": "any"}})).tool_choice, Some(ToolChoice::Required));
    assert_eq!(with(json!({"service_tier": "standard_only"})).service_tier.as_deref(), Some("default"));
    let off = with(json!({"thinking": {"type": "disabled"}})).thinking.unwrap();
    assert_eq!(off.mode, ThinkingMode::Off);
}

#[test]
fn hosted_tools_are_never_functions() {
    for kind in ["web_search_20250305", "code_execution_20250825", "bash_20250124", "mcp_toolset"] {
        let tool = json!({"type": kind, "name": "x"});
        let request = with(json!({"tools": [tool]}));
        assert_eq!(request.tools, [Tool::Hosted { dialect: Dialect::Anthropic, kind: kind.to_owned(), value: tool }]);
    }
}

#[test]
fn what_has_no_neutral_place_is_kept_by_its_path() {
    let request = with(json!({
        "container": "c1", "mcp_servers": [{"url": "https://x"}], "speed": "fast", "inference_geo": null,
        "thinking": {"type": "between_tools"}, "metadata": {"user_id": "u", "team": 1},
        "output_config": {"task_budget": 5},
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": true}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "novelty": 1}]}],
    }));
    let mut keys: Vec<&str> = request.extra.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "container",
            "mcp_servers",
            "messages[].content[].novelty",
            "metadata.team",
            "output_config.task_budget",
            "speed",
            "thinking",
            "tools[].defer_loading"
        ]
    );
}

#[test]
fn a_prefill_and_a_later_system_message_stay_where_they_are() {
    let request = with(json!({"messages": [
        {"role": "user", "content": "x"}, {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": [{"type": "text", "text": "{"}]}]}));
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::System, Role::Assistant]);
}

#[test]
fn errors_name_the_field() {
    let refused = |body: &str| decode(body.as_bytes()).unwrap_err().param().map(str::to_owned);
    let cases = [
        (r#"{"max_tokens":1,"messages":[]}"#, "model"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages"),
        (r#"{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}"#, "messages[0].role"),
        (
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
            "messages[0].content[0].source",
        ),
        (
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f"}]}"#,
            "tools[0].input_schema",
        ),
        (
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"output_config":{"effort":"huge"}}"#,
            "output_config.effort",
        ),
    ];
    for (body, param) in cases {
        assert_eq!(refused(body).as_deref(), Some(param), "{body}");
    }
}
