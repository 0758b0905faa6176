//! Turns and their parts.

use super::*;
use crate::Dialect;
use crate::chat::{Audio, CacheBreakpoint, Citation, File, Image, Media, Reasoning, Signature, Text};
use crate::dialect::ThinkingStyle;

const CALLS_SEALED: &str = "messages[].tool_calls[].extra_content=emulated";

fn never_thinks() -> Traits {
    Traits { thinking: ThinkingStyle::Never, ..Traits::default() }
}

/// `contents` for a model that does not think, so that no seal is put on calls.
fn contents(messages: Vec<Message>) -> Value {
    write(&chat(messages), &never_thinks()).unwrap().0["contents"].take()
}

/// The parts of one user message, and what was lost.
fn parts(content: Content) -> (Value, String) {
    let (mut body, losses) = written(&chat(vec![message(Role::User, vec![content.into()])]));
    (body["contents"][0]["parts"].take(), losses)
}

fn refused_part(content: Content) -> String {
    refused(&chat(vec![message(Role::User, vec![content.into()])]))
}

fn picture(source: Media) -> Content {
    Content::Image(Image { source, detail: None })
}

fn document(source: Media) -> Content {
    Content::File(File { source, filename: None })
}

fn base64(media_type: &str) -> Media {
    Media::Base64 { media_type: media_type.to_owned(), data: "QUJD".to_owned() }
}

fn sealed(part: Part, dialect: Dialect) -> Part {
    Part { signature: Some(Signature { dialect, seal: "c2VhbA==".to_owned() }), ..part }
}

fn thought(text: &str) -> Part {
    Content::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() }).into()
}

#[test]
fn a_short_chat_is_all_it_is() {
    let user = json!({"role": "user", "parts": [{"text": "hello"}]});
    assert_eq!(body(&hello()), json!({"contents": [user]}));
}

#[test]
fn instructions_are_gathered_and_later_ones_are_not_lost() {
    let (body, losses) = written(&chat(vec![
        says(Role::System, "Be brief."),
        says(Role::Developer, "Use metres."),
        says(Role::User, "How high?"),
        says(Role::System, "Now in feet."),
    ]));
    assert_eq!(
        body,
        json!({
            "contents": [{"role": "user", "parts": [{"text": "How high?"}]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Use metres."}, {"text": "Now in feet."}]},
        })
    );
    assert_eq!(losses, "messages[].role=emulated");
    assert_eq!(
        refused(&chat(vec![message(Role::System, vec![picture(base64("image/png")).into()])])),
        "messages[].content"
    );
}

#[test]
fn the_first_turn_is_the_users_and_contents_are_never_empty() {
    let opening = json!({"role": "user", "parts": [{"text": "Begin."}]});
    let (body, losses) = written(&chat(vec![says(Role::System, "Greet."), says(Role::User, "")]));
    assert_eq!((&body["contents"], losses.as_str()), (&json!([opening]), "messages=emulated"));
    let model = json!({"role": "model", "parts": [{"text": "Hi!"}]});
    assert_eq!(contents(vec![says(Role::Assistant, "Hi!")]), json!([opening, model]));
}

#[test]
fn neighbours_of_one_role_are_one_turn() {
    assert_eq!(
        contents(vec![
            says(Role::User, "a"),
            says(Role::User, "b"),
            says(Role::Assistant, "c"),
            says(Role::User, ""),
            says(Role::Assistant, "d"),
        ]),
        json!([
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        ])
    );
}

#[test]
fn every_call_is_answered_in_its_order_before_anything_else() {
    let calls = vec![Part::text("Looking."), call("c1", "f", r#"{"x":1}"#), call("c2", "g", ""), call("c3", "f", "{")];
    let (body, losses) = write(
        &chat(vec![
            says(Role::User, "go"),
            message(Role::Assistant, calls),
            result("c3", "[1,2]"),
            result("c1", r#"{"deg":21}"#),
            result("c2", "fine"),
            says(Role::User, "and?"),
        ]),
        &never_thinks(),
    )
    .unwrap();
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [
                {"text": "Looking."},
                {"functionCall": {"name": "f", "args": {"x": 1}}},
                {"functionCall": {"name": "g", "args": {}}},
                {"functionCall": {"name": "f", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"deg": 21}}},
                {"functionResponse": {"name": "g", "response": {"output": "fine"}}},
                {"functionResponse": {"name": "f", "response": {"output": "[1,2]"}}},
                {"text": "and?"},
            ]},
        ])
    );
    assert_eq!(losses, "messages[].tool_calls[].function.arguments=dropped");
}

#[test]
fn calls_and_results_that_do_not_match_are_told_before_the_upstream_does() {
    let go = || says(Role::User, "go");
    let calls = || message(Role::Assistant, vec![call("c1", "f", "{}"), call("c2", "f", "{}")]);
    for (messages, id) in [
        (vec![go(), calls(), result("c1", "x"), go()], "`c2`"),
        (vec![go(), result("c9", "x")], "`c9`"),
        (vec![go(), calls(), result("c1", "x"), result("c2", "x"), result("c1", "x")], "`c1`"),
    ] {
        let error = write(&chat(messages), &never_thinks()).unwrap_err();
        assert!(matches!(&error, WireError::Invalid { param, .. } if param == "messages"));
        assert!(error.to_string().contains(id), "{error}");
    }
}

#[test]
fn errors_and_pictures_of_tools_have_their_places() {
    let picture: Part = picture(base64("image/png")).into();
    let failed = ToolResult { is_error: true, ..result_of("c1", vec![Part::text("no"), Part::text("route")]) };
    let drawn = result_of("c2", vec![picture, Part::text("a chart")]);
    let results = vec![Content::ToolResult(failed).into(), Content::ToolResult(drawn).into()];
    let calls = vec![call("c1", "f", "{}"), call("c2", "g", "{}")];
    let messages = vec![says(Role::User, "go"), message(Role::Assistant, calls), message(Role::Tool, results)];
    assert_eq!(
        contents(messages)[2],
        json!({"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"error": "no\nroute"}}},
            {"functionResponse": {"name": "g", "response": {"output": "a chart"}}},
            {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        ]})
    );
}

#[test]
fn custom_calls_are_calls_of_the_stand_in() {
    let patch = ToolCall {
        id: "c1".to_owned(),
        name: "patch".to_owned(),
        arguments: "*** Begin".to_owned(),
        kind: ToolKind::Custom,
    };
    let answer = Content::ToolResult(ToolResult { kind: ToolKind::Custom, ..result_of("c1", vec![]) });
    let messages = vec![
        says(Role::User, "go"),
        message(Role::Assistant, vec![Content::ToolCall(patch).into()]),
        message(Role::Tool, vec![answer.into()]),
    ];
    let contents = contents(messages);
    assert_eq!(
        contents[1]["parts"],
        json!([{"functionCall": {"name": "waypost_custom_patch", "args": {"input": "*** Begin"}}}])
    );
    assert_eq!(
        contents[2]["parts"],
        json!([{"functionResponse": {"name": "waypost_custom_patch", "response": {"output": ""}}}])
    );
}

#[test]
fn seals_go_back_on_their_part_and_foreign_ones_never() {
    let (body, losses) = written(&chat(vec![
        says(Role::User, "go"),
        message(
            Role::Assistant,
            vec![
                thought("unsealed"),
                sealed(thought("hm"), Dialect::Gemini),
                sealed(thought("foreign"), Dialect::Anthropic),
                sealed(Part::text("Four."), Dialect::Gemini),
                sealed(thought(""), Dialect::Gemini),
                sealed(call("c1", "f", "{}"), Dialect::Gemini),
                call("c2", "f", "{}"),
            ],
        ),
        result("c1", "1"),
        result("c2", "2"),
    ]));
    assert_eq!(
        body["contents"][1]["parts"],
        json!([
            {"text": "hm", "thought": true, "thoughtSignature": "c2VhbA=="},
            {"text": "Four.", "thoughtSignature": "c2VhbA=="},
            {"text": "", "thoughtSignature": "c2VhbA=="},
            {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2VhbA=="},
            {"functionCall": {"name": "f", "args": {}}},
        ])
    );
    assert_eq!(losses, "messages[].reasoning_content=dropped");
}

#[test]
fn the_first_call_of_each_step_gets_the_documented_stand_in_for_a_lost_seal() {
    let conversation = chat(vec![
        says(Role::User, "go"),
        message(Role::Assistant, vec![sealed(call("c1", "f", "{}"), Dialect::Anthropic), call("c2", "f", "{}")]),
        result("c1", "1"),
        result("c2", "2"),
        message(Role::Assistant, vec![call("c1", "g", "{}")]),
        result("c1", "3"),
    ]);
    let seals = |body: &Value| -> Vec<Option<String>> {
        let parts = body["contents"].as_array().unwrap().iter().flat_map(|turn| turn["parts"].as_array().unwrap());
        let calls = parts.filter(|part| part.get("functionCall").is_some());
        calls.map(|call| call.get("thoughtSignature").map(|seal| seal.as_str().unwrap().to_owned())).collect()
    };
    let skip = Some("skip_thought_signature_validator".to_owned());
    let (body, losses) = written(&conversation);
    assert_eq!(seals(&body), [skip.clone(), None, skip]);
    assert_eq!(losses, CALLS_SEALED);
    let (body, losses) = write(&conversation, &never_thinks()).unwrap();
    assert_eq!((seals(&body), losses.as_str()), (vec![None, None, None], ""));
}

#[test]
fn bytes_of_any_kind_are_inline() {
    let inline = |media_type: &str| json!([{"inlineData": {"mimeType": media_type, "data": "QUJD"}}]);
    let sound = |format: &str| Content::Audio(Audio { data: "QUJD".to_owned(), format: format.to_owned() });
    for (content, media_type) in [
        (picture(base64("image/webp")), "image/webp"),
        (picture(base64("image/jpg")), "image/jpeg"),
        (document(base64("application/pdf")), "application/pdf"),
        (document(base64("text/csv; charset=utf-8")), "text/csv; charset=utf-8"),
        (sound("wav"), "audio/wav"),
        (sound("mp3"), "audio/mp3"),
        (sound("pcm16"), "audio/L16"),
    ] {
        assert_eq!(parts(content), (inline(media_type), String::new()));
    }
    assert_eq!(parts(document(Media::Text("notes".to_owned()))).0, json!([{"text": "notes"}]));
    assert_eq!(refused_part(document(base64("application/zip"))), "messages[].content[].file");
}

#[test]
fn only_googles_own_files_are_named_by_address() {
    for uri in ["https://generativelanguage.googleapis.com/v1beta/files/abc", "gs://bucket/cat.png"] {
        let expected = (json!([{"fileData": {"fileUri": uri}}]), String::new());
        assert_eq!(parts(picture(Media::Url(uri.to_owned()))), expected);
        assert_eq!(parts(document(Media::Url(uri.to_owned()))), expected);
    }
    for source in [
        Media::Url("https://example.com/cat.png".to_owned()),
        Media::Url("https://generativelanguage.googleapis.com.example.com/cat.png".to_owned()),
        Media::FileId("file-1".to_owned()),
    ] {
        assert_eq!(refused_part(picture(source.clone())), "messages[].content[].image_url");
        assert_eq!(refused_part(document(source)), "messages[].content[].file");
    }
}

#[test]
fn what_a_part_cannot_keep_is_told() {
    let detailed = Image { source: base64("image/png"), detail: Some("high".to_owned()) };
    assert_eq!(parts(Content::Image(detailed)).1, "messages[].content[].image_url.detail=dropped");
    let named = File { source: base64("application/pdf"), filename: Some("a.pdf".to_owned()) };
    assert_eq!(parts(Content::File(named)).1, "messages[].content[].file.filename=dropped");
    let cited = Text { text: "a".to_owned(), citations: vec![Citation::default()] };
    assert_eq!(parts(Content::Text(cited)).1, "messages[].annotations=dropped");
    assert_eq!(parts(Content::Refusal("I cannot.".to_owned())), (json!([{"text": "I cannot."}]), String::new()));
    let marked = Part { cache: Some(CacheBreakpoint::default()), ..Part::text("a") };
    assert_eq!(written(&chat(vec![message(Role::User, vec![marked])])).1, "cache_control=dropped");
    let named = Message { name: Some("ada".to_owned()), ..says(Role::User, "a") };
    assert_eq!(written(&chat(vec![named])).1, "messages[].name=dropped");
    let block = Content::Opaque { dialect: Dialect::Anthropic, kind: "search_result".to_owned(), value: json!({}) };
    let (body, losses) = written(&chat(vec![message(Role::User, vec![Part::text("a"), block.into()])]));
    assert_eq!(body["contents"][0]["parts"], json!([{"text": "a"}]));
    assert_eq!(losses, "messages[].content[].search_result=dropped");
}
