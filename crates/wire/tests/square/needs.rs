//! What the peek says a request needs is what the decoded request holds, for every golden request of every dialect.

use waypost_wire::chat::{Content, Part, Request, ResponseFormat, ThinkingMode, Tool};
use waypost_wire::dialect::Face;
use waypost_wire::peek::Features;

use crate::fixtures;

/// The features a whole request needs, read off the neutral model.
fn needed(request: &Request) -> Features {
    let mut features = Features::NONE;
    let mut note = |feature, holds: bool| {
        if holds {
            features = features.with(feature);
        }
    };
    note(Features::STREAMING, request.stream);
    note(Features::TOOLS, request.tools.iter().any(|tool| matches!(tool, Tool::Function(_) | Tool::Custom { .. })));
    let parts: Vec<&Part> = request.messages.iter().flat_map(|message| &message.parts).flat_map(with_results).collect();
    note(Features::VISION, parts.iter().any(|part| matches!(part.content, Content::Image(_))));
    let heard = parts.iter().any(|part| matches!(part.content, Content::Audio(_)));
    note(Features::AUDIO, heard || request.audio_output.is_some());
    note(Features::JSON_MODE, matches!(request.response_format, Some(ResponseFormat::JsonObject)));
    note(Features::JSON_SCHEMA, matches!(request.response_format, Some(ResponseFormat::JsonSchema { .. })));
    let thinks = request.thinking.as_ref().is_some_and(|thinking| match thinking.mode {
        ThinkingMode::Adaptive | ThinkingMode::Budget(_) => true,
        ThinkingMode::Off | ThinkingMode::Unsaid => thinking.effort.is_some(),
    });
    note(Features::REASONING, thinks);
    features
}

fn with_results(part: &Part) -> Vec<&Part> {
    match &part.content {
        Content::ToolResult(result) => std::iter::once(part).chain(&result.content).collect(),
        _ => vec![part],
    }
}

#[test]
fn the_peek_and_the_decoded_request_agree_on_every_golden_request_004_r8() {
    let mut seen = Features::NONE;
    for face in Face::ALL {
        for fixture in fixtures::chat(face.dialect, ".request.json") {
            let place = format!("{}/{}", face.dialect.name(), fixture.case);
            let (Ok(peek), Ok(request)) = (face.codec.peek(&fixture.bytes), face.codec.decode_request(&fixture.bytes))
            else {
                continue;
            };
            assert_eq!(peek.needs.features, needed(&request), "{place}");
            assert_eq!(peek.needs.output_tokens, request.max_output_tokens, "{place}");
            let counted = peek.needs.input_tokens * 4 + peek.needs.media_bytes;
            assert!(counted.abs_diff(fixture.bytes.len() as u64) < 4, "{place}");
            seen = seen.with(peek.needs.features);
        }
    }
    let all = Features::NAMED.into_iter().fold(Features::NONE, |all, (feature, _)| all.with(feature));
    assert_eq!(seen, all, "the golden requests need everything there is a word for");
}

#[test]
fn pictures_are_noticed_wherever_they_stand_and_do_not_count_as_text() {
    let picture = "A".repeat(4000);
    let chat = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"image_url":{{"url":"data:image/png;base64,{picture}"}},"type":"image_url"}}]}}]}}"#
    );
    let messages = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"content":[{{"source":{{"data":"{picture}"}},"type":"image"}}],"type":"tool_result","tool_use_id":"t"}}]}}]}}"#
    );
    let responses = format!(
        r#"{{"model":"m","input":[{{"type":"function_call_output","call_id":"c","output":[{{"type":"input_image","image_url":"data:image/png;base64,{picture}"}}]}}]}}"#
    );
    for (face, body) in
        [Face::OPENAI_CHAT, Face::ANTHROPIC, Face::OPENAI_RESPONSES].into_iter().zip([chat, messages, responses])
    {
        let needs = face.codec.peek(body.as_bytes()).unwrap().needs;
        assert_eq!(needs.features, Features::VISION, "{body}");
        assert!(needs.input_tokens < 60 && needs.media_bytes > 4000, "{needs:?}");
    }
}

#[test]
fn what_the_provider_runs_or_is_switched_off_needs_no_feature() {
    for (face, fields) in [
        (
            Face::OPENAI_CHAT,
            r#""web_search_options":{},"reasoning_effort":"none","tools":[],"response_format":{"type":"text"}"#,
        ),
        (Face::OPENAI_CHAT, r#""reasoning_effort":null,"modalities":["text"],"stream":false"#),
        (
            Face::OPENAI_RESPONSES,
            r#""tools":[{"type":"web_search"}],"reasoning":{"effort":"none"},"text":{"format":{"type":"text"}}"#,
        ),
        (
            Face::ANTHROPIC,
            r#""tools":[{"type":"web_search_20250305","name":"web_search"}],"thinking":{"type":"disabled"}"#,
        ),
    ] {
        let prompt = if face.dialect.name() == "openai_responses" {
            r#""input":"a""#
        } else {
            r#""max_tokens":9,"messages":[{"role":"user","content":"a"}]"#
        };
        let body = format!(r#"{{"model":"m",{prompt},{fields}}}"#);
        assert_eq!(face.codec.peek(body.as_bytes()).unwrap().needs.features, Features::NONE, "{body}");
    }
}
