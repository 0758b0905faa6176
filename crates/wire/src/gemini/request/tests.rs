//! Whole bodies, compared as JSON. What the model is told about thinking is tested beside it.

mod contents;
mod settings;

use serde_json::json;

use super::*;
use crate::chat::{Content, Function, Message, Part, Role, Tool, ToolCall, ToolKind, ToolResult};

fn write(request: &Request, traits: &Traits) -> Result<(Value, String)> {
    let mut losses = Losses::default();
    let body = encode(request, traits, &mut losses)?;
    let losses = losses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Ok((serde_json::from_slice(&body).unwrap(), losses))
}

fn written(request: &Request) -> (Value, String) {
    write(request, &Traits::default()).unwrap()
}

/// The body of a request that loses nothing.
fn body(request: &Request) -> Value {
    let (body, losses) = written(request);
    assert_eq!(losses, "");
    body
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

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Content::ToolCall(ToolCall { id, name, arguments, kind: ToolKind::Function }).into()
}

fn result_of(id: &str, content: Vec<Part>) -> ToolResult {
    ToolResult { call_id: id.to_owned(), name: None, content, is_error: false, kind: ToolKind::Function }
}

fn result(id: &str, text: &str) -> Message {
    message(Role::Tool, vec![Content::ToolResult(result_of(id, vec![Part::text(text)])).into()])
}

fn function(name: &str) -> Tool {
    Tool::Function(Function { name: name.to_owned(), ..Function::default() })
}
