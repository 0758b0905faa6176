//! The reserved tool names that carry what a dialect has no words for, and the way back. Encoders of requests write
//! them, decoders of answers recognise them. Tests: here and beside the users.

use serde_json::{Value, json};

use crate::chat::ToolKind;

/// The forced tool whose input is the JSON answer the caller asked for by schema.
pub(crate) const JSON_TOOL: &str = "waypost_json_response";

const CUSTOM_PREFIX: &str = "waypost_custom_";

/// What a call of a tool with some name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// Its input is the answer's text.
    JsonResponse,
    Tool {
        name: String,
        kind: ToolKind,
    },
}

/// Reads a tool's name in an answer.
pub(crate) fn called(name: &str) -> Called {
    if name == JSON_TOOL {
        return Called::JsonResponse;
    }
    match name.strip_prefix(CUSTOM_PREFIX) {
        Some(custom) => Called::Tool { name: custom.to_owned(), kind: ToolKind::Custom },
        None => Called::Tool { name: name.to_owned(), kind: ToolKind::Function },
    }
}

/// The name a tool has on the wire.
pub(crate) fn tool_name(name: &str, kind: ToolKind) -> String {
    match kind {
        ToolKind::Function => name.to_owned(),
        ToolKind::Custom => format!("{CUSTOM_PREFIX}{name}"),
    }
}

/// The schema of the function that stands for a free-text tool.
pub(crate) fn custom_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The whole free-text input of the tool."}},
        "required": ["input"],
        "additionalProperties": false,
    })
}

/// The input object that carries a free text.
pub(crate) fn wrap_custom(text: &str) -> Value {
    json!({"input": text})
}

/// The free text in the input of a function that stands for a free-text tool; a text of another shape is given as it is.
pub(crate) fn unwrap_custom(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(mut input)) => match input.shift_remove("input") {
            Some(Value::String(text)) => text,
            Some(_) | None => arguments.to_owned(),
        },
        Ok(_) | Err(_) => arguments.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_tool_survives_the_way_there_and_back() {
        let name = tool_name("apply_patch", ToolKind::Custom);
        assert_eq!(called(&name), Called::Tool { name: "apply_patch".to_owned(), kind: ToolKind::Custom });
        assert_eq!(unwrap_custom(&wrap_custom("*** Begin\n\"x\"").to_string()), "*** Begin\n\"x\"");
        assert_eq!(unwrap_custom("{\"input\":"), "{\"input\":");
    }

    #[test]
    fn ordinary_names_stay_functions() {
        assert_eq!(
            called("json_response"),
            Called::Tool { name: "json_response".to_owned(), kind: ToolKind::Function }
        );
    }
}
