//! What a peek costs for a request of an agent: forty turns, twenty tools, one picture. Run: `cargo bench -p waypost-wire`.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and prints what it saw")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must fail")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waypost_wire::dialect::Face;

/// Rounds, of which the quickest counts; peeks in each.
const ROUNDS: usize = 400;
const PEEKS: u32 = 50;

fn main() {
    for face in Face::ALL {
        let body = request(face.dialect.name()).to_string();
        let quickest = (0..ROUNDS).map(|_| round(face, body.as_bytes())).min().unwrap();
        println!(
            "{:<17} {:>7} bytes {:>8} ns",
            face.dialect.name(),
            body.len(),
            quickest.as_nanos() / u128::from(PEEKS)
        );
    }
}

fn round(face: Face, body: &[u8]) -> Duration {
    let start = Instant::now();
    for _ in 0..PEEKS {
        black_box(face.codec.peek(black_box(body)).unwrap());
    }
    start.elapsed()
}

fn request(dialect: &str) -> Value {
    let text = "Read src/lib.rs and say what `parse` does; then \"fix\" the test.\n".repeat(6);
    let picture = "iVBORw0KGgo".repeat(200);
    let schema = json!({"type": "object", "properties": {"path": {"type": "string", "description": "Where."},
        "lines": {"type": "array", "items": {"type": "integer"}}}, "required": ["path"]});
    match dialect {
        "anthropic" => {
            let mut messages = vec![json!({"role": "user", "content": [{"type": "image", "source":
                {"type": "base64", "media_type": "image/png", "data": picture}}, {"type": "text", "text": text}]})];
            for turn in 0..20 {
                let id = format!("toolu_{turn}");
                messages.push(json!({"role": "assistant", "content": [{"type": "text", "text": text},
                    {"type": "tool_use", "id": id, "name": "read", "input": {"path": "src/lib.rs"}}]}));
                messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
                    "content": [{"type": "text", "text": text}]}]}));
            }
            let tools: Vec<Value> = (0..20)
                .map(|n| json!({"name": format!("t{n}"), "description": text, "input_schema": schema}))
                .collect();
            json!({"model": "claude-sonnet-4-6", "max_tokens": 8192, "stream": true, "system":
                [{"type": "text", "text": text}], "tools": tools, "messages": messages})
        }
        "openai_responses" => {
            let mut input = vec![json!({"role": "user", "content": [{"type": "input_image", "image_url":
                format!("data:image/png;base64,{picture}")}, {"type": "input_text", "text": text}]})];
            for turn in 0..20 {
                let id = format!("call_{turn}");
                input.push(json!({"type": "function_call", "call_id": id, "name": "read", "arguments": text}));
                input.push(json!({"type": "function_call_output", "call_id": id, "output": text}));
            }
            let tools: Vec<Value> = (0..20)
                .map(
                    |n| json!({"type": "function", "name": format!("t{n}"), "description": text, "parameters": schema}),
                )
                .collect();
            json!({"model": "gpt-5", "stream": true, "instructions": text, "reasoning": {"effort": "high"},
                "tools": tools, "input": input})
        }
        _ => {
            let mut messages = vec![json!({"role": "user", "content": [{"type": "image_url", "image_url":
                {"url": format!("data:image/png;base64,{picture}")}}, {"type": "text", "text": text}]})];
            for turn in 0..20 {
                let id = format!("call_{turn}");
                let call = json!({"id": id, "type": "function", "function": {"name": "read", "arguments": text}});
                messages.push(json!({"role": "assistant", "content": text, "tool_calls": [call]}));
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
            }
            let function = |n| json!({"name": format!("t{n}"), "description": text, "parameters": schema});
            let tools: Vec<Value> = (0..20).map(|n| json!({"type": "function", "function": function(n)})).collect();
            json!({"model": "gpt-5", "stream": true, "reasoning_effort": "high", "tools": tools, "messages": messages})
        }
    }
}
