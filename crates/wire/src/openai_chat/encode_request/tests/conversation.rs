//! Messages, parts, calls and thoughts.

use super::*;

#[test]
fn developer_is_system_where_the_vendor_does_not_know_it() {
    let mut request = hello();
    request.messages.insert(0, message(Role::Developer, vec![Part::text("be brief")]));
    assert_eq!(say(&request).0["messages"][0]["role"], "developer");
    let traits = Traits { developer_role: false, ..Traits::default() };
    assert_eq!(write(&request, &traits).unwrap().0["messages"][0]["role"], "system");
}

#[test]
fn names_are_said_where_the_vendor_takes_them() {
    let mut request = hello();
    request.messages[0].name = Some("ann".into());
    assert_eq!(say(&request).0["messages"][0]["name"], "ann");
    let traits = Traits { drop: vec!["messages[].name".into()], ..Traits::default() };
    let (body, losses) = write(&request, &traits).unwrap();
    assert_eq!((body["messages"][0].get("name"), losses), (None, vec!["messages[].name=dropped".into()]));
}

#[test]
fn results_come_right_behind_their_calls() {
    let text = |text: &str| vec![Part::text(text)];
    let request = chat(vec![
        message(Role::Assistant, vec![call("a"), call("b")]),
        message(Role::System, text("note")),
        message(Role::Tool, vec![answer("b", text("2"), false)]),
        message(Role::User, text("wait")),
        message(Role::Tool, vec![answer("a", text("1"), true)]),
        message(Role::Assistant, vec![call("a")]),
        message(Role::Tool, vec![answer("a", text("3"), false)]),
    ]);
    let (body, losses) = say(&request);
    let order: Vec<Value> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| json!([message["role"], message["tool_call_id"], message["content"]]))
        .collect();
    assert_eq!(
        Value::Array(order),
        json!([
            ["assistant", null, null],
            ["tool", "b", "2"],
            ["tool", "a", "Error: 1"],
            ["system", null, "note"],
            ["user", null, "wait"],
            ["assistant", null, null],
            ["tool", "a", "3"],
        ])
    );
    assert_eq!(body["messages"][0]["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    assert!(losses.is_empty());
}

#[test]
fn a_picture_from_a_tool_follows_all_results_in_a_user_message() {
    let request = chat(vec![
        message(Role::Assistant, vec![call("a"), call("b")]),
        message(Role::Tool, vec![answer("a", vec![Part::text("done"), png()], false), answer("b", vec![], false)]),
        message(Role::User, vec![Part::text("well?")]),
    ]);
    let (body, losses) = say(&request);
    assert_eq!(
        body["messages"].as_array().unwrap()[1..],
        [
            json!({"role": "tool", "tool_call_id": "a", "content": "done\n[The tool's attachment follows in the next user message.]"}),
            json!({"role": "tool", "tool_call_id": "b", "content": ""}),
            json!({"role": "user", "content": [
                {"type": "text", "text": "Attachment of the tool result a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            ]}),
            json!({"role": "user", "content": "well?"}),
        ]
    );
    assert_eq!(losses, ["messages[].content[].tool_result=emulated"]);
}

#[test]
fn long_ids_are_shortened_alike_in_calls_and_results() {
    let id = |last: char| format!("toolu_{}{last}", "x".repeat(60));
    let request = chat(vec![
        message(Role::Assistant, vec![call(&id('a')), call(&id('b'))]),
        message(Role::Tool, vec![answer(&id('a'), vec![], false), answer(&id('b'), vec![], false)]),
    ]);
    let body = say(&request).0;
    let calls = &body["messages"][0]["tool_calls"];
    assert_eq!(calls[0]["id"].as_str().unwrap().len(), 40);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    for at in 0..2 {
        assert_eq!(calls[at]["id"], body["messages"][at + 1]["tool_call_id"]);
    }
}

#[test]
fn thoughts_go_only_to_those_who_may_have_them() {
    let kept = r#"{"type":"reasoning.encrypted","data":"x","format":"xai-responses-v1"}"#;
    let request = chat(vec![message(
        Role::Assistant,
        vec![
            thought("own", Some((Dialect::OpenaiChat, kept))),
            thought("foreign", Some((Dialect::Anthropic, "sig"))),
            thought("open", None),
            Part { signature: Some(Signature { dialect: Dialect::Gemini, seal: "g".into() }), ..call("a") },
        ],
    )]);
    let (body, losses) = say(&request);
    let turn = &body["messages"][0];
    assert_eq!(
        turn["reasoning_details"],
        json!([{"type": "reasoning.text", "text": "own", "index": 0},
            {"type": "reasoning.encrypted", "data": "x", "format": "xai-responses-v1", "index": 0}])
    );
    assert!(turn.get("reasoning_content").is_none() && turn["tool_calls"][0].get("extra_content").is_none());
    let call_loss = "messages[].tool_calls[].extra_content=dropped";
    assert_eq!(losses, ["messages[].reasoning_content=dropped", call_loss]);
    let traits = Traits { reasoning_content: true, ..Traits::default() };
    let (body, losses) = write(&request, &traits).unwrap();
    assert_eq!(body["messages"][0]["reasoning_content"], "own\n\nforeign\n\nopen");
    assert_eq!(losses, [call_loss]);
    assert!(!body.to_string().contains("sig"));
}

#[test]
fn a_turn_says_each_piece_in_its_own_field() {
    let audio = Content::Opaque { dialect: Dialect::OpenaiChat, kind: "audio".into(), value: json!({"id": "a1"}) };
    let search = Content::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), value: json!({}) };
    let cited = Content::Text(Text { text: "x".into(), citations: vec![Citation::default()] });
    let custom = ToolCall { id: "c".into(), name: "sh".into(), arguments: "ls".into(), kind: ToolKind::Custom };
    let parts = vec![
        cited.into(),
        Part::text("y"),
        Content::Refusal("no".into()).into(),
        audio.into(),
        search.into(),
        png(),
        Content::ToolCall(custom).into(),
    ];
    let (body, losses) = say(&chat(vec![message(Role::Assistant, parts)]));
    assert_eq!(
        body["messages"][0],
        json!({"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
            "refusal": "no", "audio": {"id": "a1"},
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]})
    );
    assert_eq!(
        losses,
        ["messages[].annotations=dropped", "messages[].content[].server_tool_use=dropped", "messages[].images=dropped"]
    );
}

#[test]
fn documents_and_sound_are_said_as_the_api_takes_them() {
    let file = |source: Media, name: Option<&str>| -> Part {
        Content::File(File { source, filename: name.map(str::to_owned) }).into()
    };
    let pdf = Media::Base64 { media_type: "application/pdf".into(), data: "JVBE".into() };
    let parts = vec![
        file(pdf, None),
        file(Media::FileId("file-1".into()), None),
        file(Media::Text("body".into()), Some("a.txt")),
        Content::Audio(Audio { data: "UklG".into(), format: "wav".into() }).into(),
    ];
    let (body, losses) = say(&chat(vec![message(Role::User, parts)]));
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "text", "text": "a.txt:\nbody"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        ])
    );
    assert_eq!(losses, ["messages[].content[].file=emulated"]);
    let address = chat(vec![message(Role::User, vec![file(Media::Url("https://a/b.pdf".into()), None)])]);
    assert_eq!(refused(&address), "messages[].content[].file");
}

#[test]
fn pictures_that_cannot_be_fetched_are_refused() {
    let showing = |source| chat(vec![message(Role::User, vec![picture(source)])]);
    let traits = Traits { image_urls: false, ..Traits::default() };
    let url = showing(Media::Url("https://a/b.png".into()));
    assert_eq!(refused_for(&url, &traits), "messages[].content[].image_url");
    assert_eq!(refused(&showing(Media::FileId("file-1".into()))), "messages[].content[].image_url");
    assert!(write(&chat(vec![message(Role::User, vec![png()])]), &traits).is_ok());
}

#[test]
fn cache_breakpoints_are_set_where_the_vendor_knows_them() {
    let cached = Part { cache: Some(CacheBreakpoint::default()), ..Part::text("x") };
    let request = chat(vec![message(Role::User, vec![cached])]);
    let content = json!([{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]);
    assert_eq!(say(&request).0["messages"][0]["content"], content);
    let traits = Traits { drop: vec!["prompt_cache_breakpoint".into()], ..Traits::default() };
    let (body, losses) = write(&request, &traits).unwrap();
    assert_eq!(body["messages"][0]["content"], "x");
    assert_eq!(losses, ["messages[].content[].prompt_cache_breakpoint=dropped"]);
}
