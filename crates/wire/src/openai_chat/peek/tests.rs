use super::*;

const LEAST: &str = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;

fn with(fields: &str) -> Result<Peek> {
    peek(format!("{{{LEAST},{fields}}}").as_bytes())
}

fn refused(body: &str) -> String {
    match peek(body.as_bytes()) {
        Err(WireError::Invalid { param, .. }) => param,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn what_routing_needs_is_read_with_its_places() {
    let body = r#" {"messages":[{"role":"user","content":"hi"}], "model" : "auto:fast" ,"stream":true,"max_tokens": 12 ,"n":2,"stream_options":{"include_usage":true} }"#;
    let peek = peek(body.as_bytes()).unwrap();
    assert_eq!(peek.model.as_deref(), Some("auto:fast"));
    assert_eq!(&body[peek.model_at.unwrap()], "\"auto:fast\"");
    assert_eq!(&body[peek.max_output_at.unwrap()], "12");
    assert_eq!(&body[peek.stream_options_at.unwrap()], r#"{"include_usage":true}"#);
    assert_eq!((peek.stream, peek.include_usage, peek.n), (true, Some(true), 2));
    assert_eq!((peek.max_output_tokens, peek.inside), (Some(12), 2));
}

#[test]
fn silence_means_one_whole_answer_without_a_cap() {
    let peek = with(r#""vendor":{"x":[1]}"#).unwrap();
    assert_eq!((peek.n, peek.stream, peek.max_output_tokens, peek.include_usage), (1, false, None, None));
}

#[test]
fn each_field_at_fault_is_named() {
    let table = [
        (r#""temperature":2.1"#, "temperature"),
        (r#""temperature":"1""#, "temperature"),
        (r#""top_p":-0.1"#, "top_p"),
        (r#""presence_penalty":-3"#, "presence_penalty"),
        (r#""frequency_penalty":true"#, "frequency_penalty"),
        (r#""n":0"#, "n"),
        (r#""n":129"#, "n"),
        (r#""n":1e0"#, "n"),
        (r#""top_logprobs":21"#, "top_logprobs"),
        (r#""seed":1.5"#, "seed"),
        (r#""stop":["a","b","c","d","e"]"#, "stop"),
        (r#""stop":["a",1]"#, "stop[1]"),
        (r#""stop":{}"#, "stop"),
        (r#""stream":"yes""#, "stream"),
        (r#""stream_options":true"#, "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_completion_tokens":18446744073709551616"#, "max_completion_tokens"),
        (r#""max_completion_tokens":-1"#, "max_completion_tokens"),
        (r#""max_completion_tokens":1,"max_tokens":1"#, "max_tokens"),
        (r#""tools":{}"#, "tools"),
        (r#""tools":["x"]"#, "tools[0]"),
        (r#""tools":[{"type":"function"},{"function":{}}]"#, "tools[1].type"),
        (r#""functions":[{}]"#, "functions[0].name"),
        (r#""tool_choice":"some""#, "tool_choice"),
        (r#""function_call":"required""#, "function_call"),
        (r#""response_format":{"type":"xml"}"#, "response_format.type"),
        (r#""response_format":{}"#, "response_format.type"),
        (r#""response_format":"json""#, "response_format"),
        (r#""reasoning_effort":"huge""#, "reasoning_effort"),
        (r#""verbosity":"chatty""#, "verbosity"),
        (r#""parallel_tool_calls":"no""#, "parallel_tool_calls"),
        (r#""user":7"#, "user"),
        (r#""metadata":[]"#, "metadata"),
        (r#""modalities":"text""#, "modalities"),
        (r#""stream":true,"str\u0065am":false"#, "stream"),
    ];
    for (fields, param) in table {
        match with(fields) {
            Err(WireError::Invalid { param: found, .. }) => assert_eq!(found, param, "{fields}"),
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[test]
fn model_and_messages_are_required_and_roles_known() {
    let table = [
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"","messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":7,"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":["hi"]}"#, "messages[0]"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"},{"role":"robot"}]}"#, "messages[1].role"),
        (r#"{"model":"m","messages":[{"content":"x"}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{"role":null}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{"role":"user","role":"system"}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{"role":"user"}]}"#, "messages[0].content"),
        (r#"{"model":"m","messages":[{"role":"user","content":1}]}"#, "messages[0].content"),
        (r#"{"model":"m","messages":[{"content":"a","role":"user","content":"b"}]}"#, "messages[0].content"),
        (r#"{"model":"m","messages":[{"role":"user","content":[{"text":"a"}]}]}"#, "messages[0].content[0].type"),
        (r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#, "messages[0].tool_call_id"),
    ];
    for (body, param) in table {
        assert_eq!(refused(body), param, "{body}");
    }
}

#[test]
fn null_counts_as_absent_and_still_holds_its_place() {
    let all = READ.iter().filter(|key| !matches!(**key, "model" | "messages"));
    let fields: Vec<String> = all.map(|key| format!("\"{key}\":null")).collect();
    let peek = with(&fields.join(",")).unwrap();
    assert_eq!((peek.n, peek.stream, peek.max_output_tokens), (1, false, None));
    assert!(peek.max_output_at.is_some() && peek.stream_options_at.is_some());
}

#[test]
fn what_is_no_json_object_is_a_syntax_error() {
    for body in ["", "[]", "{", r#"{"model":"m","messages":[{"role":"user","content":"x"}]} x"#] {
        assert!(matches!(peek(body.as_bytes()), Err(WireError::Syntax { .. })), "{body}");
    }
}

#[test]
fn the_service_tier_and_how_many_answers_are_told() {
    let told = |field: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{field}}}"#);
        peek(body.as_bytes()).map(|peek| (peek.service_tier, peek.n))
    };
    assert_eq!(told(r#""service_tier":"flex","n":3"#).unwrap(), (Some("flex".to_owned()), 3));
    assert_eq!(told(r#""service_tier":null"#).unwrap(), (None, 1));
    assert_eq!(told(r#""service_tier":1"#).unwrap_err().param(), Some("service_tier"));
    assert_eq!(
        told(r#""service_tier":"flex","service\u005ftier":"priority""#).unwrap_err().param(),
        Some("service_tier")
    );
}
