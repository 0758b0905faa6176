//! Gemini's `generateContent`: what it refuses and which recording it answers with.
//! It must not accept what the real API refuses. Rules from the Gemini API reference; tests in `provider/tests.rs`.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Seen};
use super::shape::{Fault, Field, Shape, Wrong, check, may, must, nil};
use super::{KEYS, Take, cut, object, take};
use crate::fixtures;
use crate::recorded::Recorded;
use crate::script::Script;

const BLOB: Shape =
    Shape::Object(&[must("mimeType", Shape::Text), must("data", Shape::Text), may("displayName", Shape::Text)]);
const FILE: Shape =
    Shape::Object(&[may("mimeType", Shape::Text), must("fileUri", Shape::Text), may("displayName", Shape::Text)]);
const PART: Shape = Shape::Object(&[
    may("text", Shape::Text),
    may("thought", Shape::Bool),
    may("thoughtSignature", Shape::Text),
    may("inlineData", BLOB),
    may("fileData", FILE),
    may(
        "functionCall",
        Shape::Object(&[may("id", Shape::Text), must("name", Shape::Text), may("args", Shape::Object(&[]))]),
    ),
    may(
        "functionResponse",
        Shape::Object(&[
            may("id", Shape::Text),
            must("name", Shape::Text),
            must("response", Shape::Object(&[])),
            may("parts", Shape::Any),
            may("willContinue", Shape::Bool),
            may("scheduling", Shape::Text),
        ]),
    ),
    may("mediaResolution", Shape::Any),
    may("videoMetadata", Shape::Any),
]);
const CONTENT: Shape = Shape::Object(&[may("role", Shape::Text), may("parts", Shape::List(&PART))]);
const FUNCTION: Shape = Shape::Object(&[
    must("name", Shape::Text),
    may("description", Shape::Text),
    may("behavior", Shape::Text),
    may("parameters", Shape::Object(&[])),
    may("parametersJsonSchema", Shape::Any),
    may("response", Shape::Any),
    may("responseJsonSchema", Shape::Any),
]);
const TOOL: Shape = Shape::Object(&[
    may("functionDeclarations", Shape::List(&FUNCTION)),
    may("googleSearch", Shape::Any),
    may("codeExecution", Shape::Any),
    may("urlContext", Shape::Any),
]);
const CALLING: Shape = Shape::Object(&[
    may("mode", Shape::Words(&["AUTO", "ANY", "NONE", "VALIDATED"])),
    may("allowedFunctionNames", Shape::List(&Shape::Text)),
]);
const THINKING: Shape = Shape::Object(&[
    may("includeThoughts", Shape::Bool),
    may("thinkingBudget", Shape::Integer { least: -1 }),
    may("thinkingLevel", Shape::Words(&["MINIMAL", "LOW", "MEDIUM", "HIGH", "minimal", "low", "medium", "high"])),
]);
const GENERATION: Shape = Shape::Object(&[
    nil("stopSequences", Shape::List(&Shape::Text)),
    nil("responseMimeType", Shape::Words(&["text/plain", "application/json", "text/x.enum"])),
    nil("responseSchema", Shape::Object(&[])),
    nil("responseJsonSchema", Shape::Any),
    nil("responseModalities", Shape::List(&Shape::Text)),
    nil("candidateCount", Shape::Integer { least: 1 }),
    nil("maxOutputTokens", Shape::Integer { least: 1 }),
    nil("temperature", Shape::Number { least: 0.0, most: 2.0 }),
    nil("topP", Shape::Number { least: 0.0, most: 1.0 }),
    nil("topK", Shape::Integer { least: 1 }),
    nil("seed", Shape::Integer { least: i32::MIN as i64 }),
    nil("presencePenalty", Shape::Number { least: -2.0, most: 2.0 }),
    nil("frequencyPenalty", Shape::Number { least: -2.0, most: 2.0 }),
    nil("responseLogprobs", Shape::Bool),
    nil("logprobs", Shape::Integer { least: 0 }),
    nil("enableEnhancedCivicAnswers", Shape::Bool),
    nil("speechConfig", Shape::Any),
    nil("imageConfig", Shape::Any),
    nil("thinkingConfig", THINKING),
    nil("mediaResolution", Shape::Text),
]);
const FIELDS: &[Field] = &[
    must("contents", Shape::List(&CONTENT)),
    nil("systemInstruction", CONTENT),
    nil("tools", Shape::List(&TOOL)),
    nil("toolConfig", Shape::Object(&[may("functionCallingConfig", CALLING), may("retrievalConfig", Shape::Any)])),
    nil("safetySettings", Shape::List(&Shape::Any)),
    nil("generationConfig", GENERATION),
    nil("cachedContent", Shape::Text),
    nil("serviceTier", Shape::Words(&["flex", "standard", "priority"])),
];
/// What `parameters` and `responseSchema` know, a subset of OpenAPI's schema.
const SCHEMA_WORDS: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "items",
    "minimum",
    "maximum",
];
/// The way round a signature that Google documents for histories of other models.
const SKIP: &str = "skip_thought_signature_validator";

const PLAIN: Take = Take { whole: fixtures::gemini::PLAIN, stream: fixtures::gemini::STREAM };
const CALLS: Take = Take { whole: fixtures::gemini::FUNCTION_CALL, stream: fixtures::gemini::FUNCTION_CALL_STREAM };
const CALL_ONE: Take = take!("gemini/function_call_one");
const TOOL_ANSWER: Take = take!("gemini/tool_answer");
const IMAGE: Take = take!("gemini/image");
const JSON: Take = take!("gemini/json");
const THOUGHT: Take = take!("gemini/thinking");
const BROKEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/gemini/error_in_stream.sse"));
const ERROR_500: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/gemini/error_500.json"));

/// The recordings this API answers with.
#[cfg(test)]
pub(super) const TAKES: &[Take] = &[PLAIN, CALLS, CALL_ONE, TOOL_ANSWER, IMAGE, JSON, THOUGHT];

/// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent?alt=sse`.
pub(super) fn answer(request: &Recorded) -> Script {
    match request.header("x-goog-api-key") {
        Some("key-limited") => return failure(429),
        Some(key) if KEYS.contains(&key) => {}
        _ => return failure(401),
    }
    let asked = request.path().trim_start_matches("/v1beta/models/");
    let Some((model, method)) = asked.split_once(':').filter(|(model, _)| model.starts_with("gemini-")) else {
        let message =
            format!("models/{asked} is not found for API version v1beta, or is not supported for generateContent.");
        return error(404, "NOT_FOUND", &message);
    };
    let streamed = match method {
        "generateContent" => false,
        "streamGenerateContent" if request.path_and_query.ends_with("?alt=sse") => true,
        _ => return error(404, "NOT_FOUND", "This recording only streams with alt=sse."),
    };
    judged(request, model).map_or_else(|refusal| refusal, |body| chosen(&body, streamed))
}

fn judged(request: &Recorded, model: &str) -> Result<Map<String, Value>, Script> {
    let body = object(request).ok_or_else(|| refuse("Invalid JSON payload received. Unexpected end of input."))?;
    check(&body, FIELDS).map_err(|wrong| refused(&wrong))?;
    checked_contents(&body, model)?;
    checked_config(&body, model)?;
    Ok(body)
}

fn chosen(body: &Map<String, Value>, streamed: bool) -> Script {
    let take = match seen(body).ask() {
        Ask::Fail(status) => return failure(status),
        Ask::Break if streamed => return Script::stream(fixtures::events(BROKEN)),
        Ask::Cut if streamed => return cut(PLAIN.stream, 2),
        Ask::Break | Ask::Cut => return Script::cut_before_answer(),
        Ask::Call => CALL_ONE,
        Ask::Calls => CALLS,
        Ask::ToolAnswer => TOOL_ANSWER,
        Ask::Image => IMAGE,
        Ask::Json => JSON,
        Ask::Thinking => THOUGHT,
        Ask::Plain => PLAIN,
    };
    take.play(streamed)
}

fn contents(body: &Map<String, Value>) -> &[Value] {
    body["contents"].as_array().map_or(&[], Vec::as_slice)
}

fn parts(content: &Value) -> &[Value] {
    content["parts"].as_array().map_or(&[], Vec::as_slice)
}

fn count(content: &Value, kind: &str) -> usize {
    parts(content).iter().filter(|part| part.get(kind).is_some()).count()
}

fn checked_contents(body: &Map<String, Value>, model: &str) -> Result<(), Script> {
    let contents = contents(body);
    if contents.is_empty() {
        return Err(refuse("* GenerateContentRequest.contents: contents is not specified\n"));
    }
    for (place, content) in contents.iter().enumerate() {
        if !matches!(content["role"].as_str(), Some("user" | "model")) {
            return Err(refuse("Please use a valid role: user, model."));
        }
        if parts(content).is_empty() {
            return Err(refuse(&format!(
                "* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty.\n"
            )));
        }
        for part in parts(content) {
            checked_part(part, place)?;
        }
        checked_calls(place.checked_sub(1).and_then(|before| contents.get(before)), content, contents.get(place + 1))?;
        checked_signatures(content, model)?;
    }
    Ok(())
}

fn checked_part(part: &Value, place: usize) -> Result<(), Script> {
    let kinds = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
    match kinds.iter().filter(|kind| part.get(**kind).is_some()).count() {
        1 => Ok(()),
        0 => Err(refuse(&format!(
            "* GenerateContentRequest.contents[{place}].parts[0].data: required oneof field 'data' must have one initialized field\n"
        ))),
        _ => Err(refuse(&format!(
            "Invalid value at 'contents[{place}].parts[0]' (oneof), oneof field 'data' is already set."
        ))),
    }
}

fn checked_calls(before: Option<&Value>, content: &Value, next: Option<&Value>) -> Result<(), Script> {
    let calls = count(content, "functionCall");
    if calls > 0 && before.is_none_or(|before| before["role"] != "user") {
        return Err(refuse(
            "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        ));
    }
    let responses = next.map_or(0, |next| count(next, "functionResponse"));
    if calls > 0 && next.is_some() && calls != responses {
        return Err(refuse(
            "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
        ));
    }
    if count(content, "functionResponse") > 0 && before.is_none_or(|before| count(before, "functionCall") == 0) {
        return Err(refuse("Please ensure that function response turn comes immediately after a function call turn."));
    }
    Ok(())
}

/// Gemini 3 wants the signature of each step's first call back; every model refuses one it did not write.
fn checked_signatures(content: &Value, model: &str) -> Result<(), Script> {
    let signature = |part: &Value| part["thoughtSignature"].as_str().map(str::to_owned);
    let known =
        |signature: &str| signature == SKIP || [CALLS, CALL_ONE].iter().any(|take| take.whole.contains(signature));
    if parts(content).iter().filter_map(signature).any(|found| !known(&found)) {
        return Err(refuse("Thought signature is not valid."));
    }
    let first_call = parts(content).iter().find(|part| part.get("functionCall").is_some());
    match first_call {
        Some(call) if model.starts_with("gemini-3") && signature(call).is_none() => {
            let name = call["functionCall"]["name"].as_str().unwrap_or_default();
            Err(refuse(&format!(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. Additional data, function call `default_api:{name}`."
            )))
        }
        _ => Ok(()),
    }
}

fn checked_config(body: &Map<String, Value>, model: &str) -> Result<(), Script> {
    let config = body.get("generationConfig").unwrap_or(&Value::Null);
    if config["stopSequences"].as_array().is_some_and(|stops| stops.len() > 5) {
        return Err(refuse(
            "* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences are allowed\n",
        ));
    }
    let json = config["responseMimeType"] == "application/json";
    if !json && (config["responseSchema"].is_object() || config["responseJsonSchema"].is_object()) {
        return Err(refuse(
            "* GenerateContentRequest.generation_config.response_schema: only allowed with response mime type application/json\n",
        ));
    }
    checked_schema(&config["responseSchema"], "generation_config.response_schema")?;
    let thinking = &config["thinkingConfig"];
    if thinking["thinkingLevel"].is_string()
        && (thinking["thinkingBudget"].is_number() || !model.starts_with("gemini-3"))
    {
        return Err(refuse("Thinking level is not supported for this model."));
    }
    let functions: Vec<&Value> = functions(body).collect();
    for function in &functions {
        checked_schema(&function["parameters"], "tools[0].function_declarations[0].parameters")?;
        if function["parameters"].is_object() && function.get("parametersJsonSchema").is_some() {
            return Err(refuse(
                "* GenerateContentRequest.tools[0].function_declarations[0]: parameters and parameters_json_schema are mutually exclusive\n",
            ));
        }
    }
    let calling = body.get("toolConfig").map_or(&Value::Null, |config| &config["functionCallingConfig"]);
    let mut allowed = calling["allowedFunctionNames"].as_array().into_iter().flatten();
    if allowed.any(|name| calling["mode"] == "AUTO" || functions.iter().all(|function| &function["name"] != name)) {
        return Err(refuse(
            "Allowed function names should only be set when the function calling mode is ANY, to declared functions.",
        ));
    }
    Ok(())
}

fn checked_schema(schema: &Value, at: &str) -> Result<(), Script> {
    let Some(fields) = schema.as_object() else {
        return Ok(());
    };
    if let Some(unknown) = fields.keys().find(|name| !SCHEMA_WORDS.contains(&name.as_str())) {
        return Err(refuse(&format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\" at '{at}': Cannot find field."
        )));
    }
    if fields.get("type").is_some_and(|kind| !kind.is_string()) {
        return Err(refuse(&format!(
            "Invalid value at '{at}.type' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type)"
        )));
    }
    let properties = fields.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let others = fields.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    properties.chain(others).chain(fields.get("items")).try_for_each(|inner| checked_schema(inner, at))
}

fn functions(body: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools.filter_map(|tool| tool["functionDeclarations"].as_array()).flatten()
}

fn seen(body: &Map<String, Value>) -> Seen {
    let contents = contents(body);
    let said = |content: &&Value| content["role"] == "user" && count(content, "functionResponse") == 0;
    let last_said = contents.iter().rfind(said).cloned().unwrap_or_default();
    let last_parts = parts(&last_said);
    let config = body.get("generationConfig").unwrap_or(&Value::Null);
    let calling = body.get("toolConfig").map_or(&Value::Null, |config| &config["functionCallingConfig"]);
    let allowed = calling["allowedFunctionNames"].as_array();
    let names = functions(body).filter(|function| allowed.is_none_or(|names| names.contains(&function["name"])));
    let texts: Vec<&str> = last_parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let called = contents.len().checked_sub(2).map_or(0, |place| count(&contents[place], "functionCall"));
    Seen {
        text: texts.join("\n"),
        tool_result: called > 0 && contents.last().is_some_and(|last| count(last, "functionResponse") > 0),
        image: last_parts.iter().any(|part| part.get("inlineData").is_some() || part.get("fileData").is_some()),
        json: config["responseMimeType"] == "application/json",
        thinking: config["thinkingConfig"]["includeThoughts"] == true,
        tools: match calling["mode"].as_str() {
            Some("NONE") => vec![],
            _ => names.filter_map(|function| function["name"].as_str()).map(str::to_owned).collect(),
        },
        single: false,
    }
}

fn failure(status: u16) -> Script {
    match status {
        401 => Script::reply(400, fixtures::gemini::ERROR_400_KEY),
        429 => Script::reply(429, fixtures::gemini::ERROR_429),
        500 => Script::reply(500, ERROR_500),
        503 | 529 => Script::reply(503, fixtures::gemini::ERROR_503),
        404 => error(
            404,
            "NOT_FOUND",
            "models/gemini-nope is not found for API version v1beta, or is not supported for generateContent.",
        ),
        400 => refuse("The input token count exceeds the maximum number of tokens allowed (1048576)."),
        _ => error(status, "INTERNAL", "An internal error has occurred."),
    }
}

fn refused(wrong: &Wrong) -> Script {
    let at = wrong.path.as_str();
    let (parent, name) = at.rsplit_once('.').unwrap_or(("", at));
    let place = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
    refuse(&match &wrong.what {
        Fault::Unknown => format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."),
        Fault::Missing => format!("* GenerateContentRequest.{at}: {name} is not specified\n"),
        Fault::Type(wanted) => format!("Invalid value at '{at}' (TYPE_{})", wanted.to_uppercase()),
        Fault::Range(bounds) => format!("* GenerateContentRequest.{at}: {name} must be {bounds}\n"),
        Fault::Word(word) => format!("Invalid value at '{at}' (enum), \"{word}\""),
    })
}

fn refuse(message: &str) -> Script {
    error(400, "INVALID_ARGUMENT", message)
}

fn error(code: u16, status: &str, message: &str) -> Script {
    let body = json!({"error": {"code": code, "message": message, "status": status}});
    Script::reply(code, format!("{body:#}\n"))
}
