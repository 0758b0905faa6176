//! OpenAI's old text completions: read as a chat of one message for each prompt, written in their own format.
//! Pure: bytes in, documents out. Tests are in `tests.rs`.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use waypost_wire::WireError;
use waypost_wire::chat::{Choice, Content, FinishReason, Message, Part, Request, Response, Role, Usage};

use super::answer::CREATED;
use super::body::Piece;
use crate::tokens;

/// What the API writes at most if not told.
const USUAL_TOKENS: u64 = 16;

/// A completions request.
pub(crate) struct Completion {
    /// One chat for each prompt, all with the same settings.
    pub(crate) chats: Vec<Request>,
    pub(crate) stream: bool,
    include_usage: bool,
    model: String,
    seed: String,
}

impl Completion {
    pub(crate) fn read(body: &[u8], seed: &str) -> Result<Self, WireError> {
        let request = super::embed::parse(body)?;
        let model = request["model"].as_str().filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| WireError::invalid("model", "model must be a text"))?;
        let whole = |key: &str| match &request[key] {
            Value::Null => Ok(None),
            value => {
                value.as_u64().map(Some).ok_or_else(|| WireError::invalid(key, format!("{key} must be a whole number")))
            }
        };
        let settings = Request {
            model: model.to_owned(),
            max_output_tokens: Some(whole("max_tokens")?.unwrap_or(USUAL_TOKENS)),
            stop: stops(&request["stop"])?,
            n: whole("n")?,
            ..Request::default()
        };
        let prompts = prompts(&request["prompt"])?;
        let chat = |prompt: String| Request {
            messages: vec![Message { role: Role::User, parts: vec![Part::text(prompt)], name: None }],
            ..settings.clone()
        };
        Ok(Self {
            chats: prompts.into_iter().map(chat).collect(),
            stream: request["stream"] == true,
            include_usage: request["stream_options"]["include_usage"] == true,
            model: model.to_owned(),
            seed: seed.to_owned(),
        })
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// The whole answer.
    pub(crate) fn write(&self, responses: &[Response]) -> Bytes {
        let choices =
            choices(responses).map(|(index, choice)| choice_json(index, text(choice), choice.finish.as_ref()));
        let mut answer = self.frame(choices.collect());
        if let Some(usage) = usage(responses) {
            answer.insert("usage".into(), usage_json(usage));
        }
        Value::Object(answer).to_string().into()
    }

    /// The answer as a stream.
    pub(crate) fn write_stream(&self, responses: &[Response]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, choice) in choices(responses) {
            for piece in tokens::pieces(text(choice)) {
                pieces.push(self.piece(vec![choice_json(index, piece, None)], None, true));
            }
            pieces.push(self.piece(vec![choice_json(index, "", choice.finish.as_ref())], None, false));
        }
        if let Some(usage) = usage(responses).filter(|_| self.include_usage) {
            pieces.push(self.piece(Vec::new(), Some(usage), false));
        }
        pieces.push(Piece { bytes: Bytes::from_static(b"data: [DONE]\n\n"), paced: false });
        pieces
    }

    fn piece(&self, choices: Vec<Value>, usage: Option<Usage>, paced: bool) -> Piece {
        let mut frame = self.frame(choices);
        if self.include_usage {
            frame.insert("usage".into(), usage.map_or(Value::Null, usage_json));
        }
        Piece { bytes: format!("data: {}\n\n", Value::Object(frame)).into(), paced }
    }

    fn frame(&self, choices: Vec<Value>) -> Map<String, Value> {
        let fields = [
            ("id", json!(format!("cmpl-{}", self.seed))),
            ("object", json!("text_completion")),
            ("created", json!(CREATED)),
            ("model", json!(self.model)),
            ("choices", Value::Array(choices)),
        ];
        fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn prompts(value: &Value) -> Result<Vec<String>, WireError> {
    // Token ids stand for a text nobody needs to know: their count is what shows.
    let ids = |items: &[Value]| format!("{} token ids", items.len());
    let prompts: Option<Vec<String>> = match value {
        Value::String(prompt) => Some(vec![prompt.clone()]),
        Value::Array(items) if items.iter().all(Value::is_u64) && !items.is_empty() => Some(vec![ids(items)]),
        Value::Array(items) => {
            let prompt = |item: &Value| match item {
                Value::String(prompt) => Some(prompt.clone()),
                Value::Array(items) if items.iter().all(Value::is_u64) => Some(ids(items)),
                _ => None,
            };
            items.iter().map(prompt).collect()
        }
        _ => None,
    };
    let prompts = prompts.filter(|prompts| !prompts.is_empty());
    prompts.ok_or_else(|| WireError::invalid("prompt", "prompt must be a text, token ids, or an array of either"))
}

fn stops(value: &Value) -> Result<Vec<String>, WireError> {
    let stops: Option<Vec<String>> = match value {
        Value::Null => Some(Vec::new()),
        Value::String(stop) => Some(vec![stop.clone()]),
        Value::Array(stops) => stops.iter().map(|stop| stop.as_str().map(String::from)).collect(),
        _ => None,
    };
    stops.ok_or_else(|| WireError::invalid("stop", "stop must be a text or an array of texts"))
}

fn choices(responses: &[Response]) -> impl Iterator<Item = (usize, &Choice)> {
    responses.iter().flat_map(|response| &response.choices).enumerate()
}

fn text(choice: &Choice) -> &str {
    let mut texts = choice.parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.next().unwrap_or_default()
}

fn choice_json(index: usize, text: &str, finish: Option<&FinishReason>) -> Value {
    let finish = finish.map(|finish| match finish {
        FinishReason::Length | FinishReason::ContextWindow => "length",
        _ => "stop",
    });
    json!({"text": text, "index": index, "logprobs": null, "finish_reason": finish})
}

fn usage(responses: &[Response]) -> Option<Usage> {
    let mut usages = responses.iter().filter_map(|response| response.usage);
    let first = usages.next()?;
    Some(usages.fold(first, |sum, usage| Usage {
        input: Some(sum.input.unwrap_or(0) + usage.input.unwrap_or(0)),
        output: Some(sum.output.unwrap_or(0) + usage.output.unwrap_or(0)),
        ..sum
    }))
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
    })
}
