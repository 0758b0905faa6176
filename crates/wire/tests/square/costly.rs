//! What a request costs is read off what its upstream reads: no key in other letters, no other model, no speed unseen, and a
//! prompt that the body does not bound is known to be so. The same for every dialect.

use waypost_wire::WireError;
use waypost_wire::completions;
use waypost_wire::dialect::Face;
use waypost_wire::embeddings;
use waypost_wire::peek::{Dearer, Needs, Peek};

/// The least each endpoint takes.
const CHAT: &str = r#""model":"cheap","max_tokens":1,"messages":[{"role":"user","content":"a"}]"#;
const RESPONSES: &str = r#""model":"cheap","max_output_tokens":1,"input":"a""#;
const COMPLETIONS: &str = r#""model":"cheap","max_tokens":1,"prompt":"a""#;
const EMBEDDINGS: &str = r#""model":"cheap","input":"a""#;

type Look = fn(&[u8]) -> Result<Peek, WireError>;

fn chat(body: &[u8]) -> Result<Peek, WireError> {
    Face::OPENAI_CHAT.codec.peek(body)
}

fn responses(body: &[u8]) -> Result<Peek, WireError> {
    Face::OPENAI_RESPONSES.codec.peek(body)
}

fn messages(body: &[u8]) -> Result<Peek, WireError> {
    Face::ANTHROPIC.codec.peek(body)
}

const ENDPOINTS: [(Look, &str); 5] = [
    (chat, CHAT),
    (responses, RESPONSES),
    (messages, CHAT),
    (completions::peek, COMPLETIONS),
    (embeddings::peek, EMBEDDINGS),
];

fn with(look: Look, base: &str, field: &str) -> Result<Peek, WireError> {
    look(format!("{{{base},{field}}}").as_bytes())
}

#[test]
fn a_key_that_counts_is_refused_in_other_letters_wherever_it_stands() {
    let cases: [(Look, &str, &[&str]); 5] = [
        (
            chat,
            CHAT,
            &["Model", "MAX_TOKENS", "Max_Completion_Tokens", "N", "Stream", "STREAM_OPTIONS", "Service_Tier"],
        ),
        (responses, RESPONSES, &["Model", "Max_Output_Tokens", "Previous_Response_Id", "STREAM", "Service_Tier"]),
        (messages, CHAT, &["Model", "Max_Tokens", "Stream", "Service_Tier", "max_to\u{212a}ens"]),
        (completions::peek, COMPLETIONS, &["Model", "Max_Tokens", "N", "Best_Of", "Prompt"]),
        (embeddings::peek, EMBEDDINGS, &["Model", "Input"]),
    ];
    for (look, base, keys) in cases {
        for key in keys {
            let error = with(look, base, &format!(r#""{key}":"dear""#)).unwrap_err();
            assert_eq!(error.param(), Some(*key), "{base}");
            // Its letters may be spelled as escapes, and it may come first.
            let escaped = format!("\\u{:04x}{}", u32::from(key.chars().next().unwrap()), key.get(1..).unwrap());
            assert_eq!(look(format!(r#"{{"{escaped}":1,{base}}}"#).as_bytes()).unwrap_err().param(), Some(*key));
        }
        for other in [r#""models2":[]"#, r#""Vendor":{"Model":"x"}"#, r#""max-tokens":9"#, r#""":1"#] {
            with(look, base, other).unwrap();
        }
    }
    for (look, base) in [(chat as Look, CHAT), (completions::peek, COMPLETIONS)] {
        let error = with(look, base, r#""stream":true,"stream_options":{"Include_Usage":false}"#).unwrap_err();
        assert_eq!(error.param(), Some("stream_options.Include_Usage"));
    }
}

#[test]
fn another_router_is_not_told_to_answer_with_another_model() {
    for (look, base) in ENDPOINTS {
        for (field, param) in [
            (r#""models":["dear/model"]"#, "models"),
            (r#""Models":["dear/model"]"#, "Models"),
            (r#""fallbacks":["dear"]"#, "fallbacks"),
        ] {
            assert_eq!(with(look, base, field).unwrap_err().param(), Some(param), "{base}");
        }
        for nothing in [r#""models":null"#, r#""models":[ ],"fallbacks":[]"#] {
            with(look, base, nothing).unwrap();
        }
    }
}

#[test]
fn an_answer_that_is_to_be_fetched_later_is_told_by_its_field() {
    for (look, base) in ENDPOINTS {
        let later = |field: &str| with(look, base, field).map(|peek| peek.later);
        assert_eq!(later(r#""deferred":true"#).unwrap(), Some("deferred"), "{base}");
        for now in [r#""deferred":false"#, r#""deferred":null"#, r#""metadata":{"deferred":"true"}"#] {
            assert_eq!(later(now).unwrap(), None, "{base}");
        }
        assert_eq!(later(r#""Deferred":true"#).unwrap_err().param(), Some("Deferred"), "{base}");
    }
}

#[test]
fn what_is_dearer_than_usual_is_noticed_whoever_asks_for_it() {
    for (look, base) in [(chat as Look, CHAT), (responses, RESPONSES), (messages, CHAT)] {
        let told = |field: &str| {
            let peek = with(look, base, field).unwrap();
            (peek.service_tier, peek.needs.dearer)
        };
        let fast = Some("fast".to_owned());
        assert_eq!(told(r#""speed":"fast""#), (fast.clone(), Some(Dearer::Service("speed"))), "{base}");
        assert_eq!(told(r#""speed":"fast","service_tier":"auto""#).0, fast);
        assert_eq!(told(r#""service_tier":"auto","speed":"fast""#).0, fast);
        assert_eq!(told(r#""service_tier":"priority""#).1, Some(Dearer::Service("service_tier")));
        assert_eq!(told(r#""inference_geo":"us""#).1, Some(Dearer::Unsaid("inference_geo")));
        for usual in
            [r#""speed":"standard""#, r#""speed":null"#, r#""inference_geo":"global""#, r#""inference_geo":null"#]
        {
            assert_eq!(told(usual), (None, None), "{usual}");
        }
        assert_eq!(told(r#""service_tier":"flex""#).1, None);
        assert_eq!(with(look, base, r#""speed":"standard","speed":"fast""#).unwrap_err().param(), Some("speed"));
    }
}

fn needs(look: Look, body: &str) -> Needs {
    look(body.as_bytes()).expect(body).needs
}

/// A request whose only content is this part.
fn part(look: Look, part: &str) -> Needs {
    let said = format!(r#"[{{"role":"user","content":[{part}]}}]"#);
    // Each dialect reads its own field and passes over the other.
    needs(look, &format!(r#"{{"model":"m","max_tokens":9,"messages":{said},"input":{said}}}"#))
}

#[test]
fn a_prompt_that_the_body_does_not_bound_is_known_to_be_so() {
    for (look, base, fields) in [
        (
            chat as Look,
            CHAT,
            &[
                r#""web_search_options":{}"#,
                r#""tools":[{"type":"web_search"}]"#,
                r#""plugins":[{"id":"web"}]"#,
                r#""search_parameters":{"mode":"on"}"#,
                r#""mcp_servers":[{"url":"https://x"}]"#,
            ][..],
        ),
        (
            responses,
            RESPONSES,
            &[
                r#""tools":[{"type":"web_search"}]"#,
                r#""tools":[{"type":"function","name":"f"},{"type":"file_search","vector_store_ids":["v"]}]"#,
                r#""tools":[{"type":"mcp","server_url":"https://x"}]"#,
                r#""tools":[{"type":"code_interpreter","container":"c"}]"#,
                r#""tools":[{"type":"computer_use_preview"}]"#,
                r#""tools":[{"type":"image_generation"}]"#,
                r#""previous_response_id":"resp_1""#,
                r#""conversation":"conv_1""#,
                r#""prompt":{"id":"p"}"#,
            ],
        ),
        (
            messages,
            CHAT,
            &[
                r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#,
                r#""tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]"#,
                r#""tools":[{"type":"code_execution_20250825","name":"code_execution"}]"#,
                r#""mcp_servers":[{"url":"https://x"}]"#,
            ],
        ),
    ] {
        for field in fields {
            assert!(with(look, base, field).unwrap().needs.boundless, "{field}");
        }
        for nothing in [r#""mcp_servers":null,"tools":[]"#, r#""mcp_servers":[],"plugins":[]"#] {
            assert!(!with(look, base, nothing).unwrap().needs.boundless, "{nothing}");
        }
    }
    for (look, parts) in [
        (
            chat as Look,
            &[
                r#"{"type":"file","file":{"file_id":"file-1"}}"#,
                r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,QQ=="}}"#,
                r#"{"type":"video_url","video_url":{"url":"https://x/film.mp4"}}"#,
                r#"{"type":"image_url","image_url":{"url":"data:application/pdf;base64,QQ=="}}"#,
                r#"{"image_url":{"url":"gs://bucket/film.mp4"},"type":"image_url"}"#,
                r#"{"type":"image_url","image_url":"GS://bucket/film.mp4"}"#,
            ][..],
        ),
        (
            responses,
            &[
                r#"{"type":"input_file","file_id":"file-1"}"#,
                r#"{"type":"input_file","file_url":"https://x/a.pdf"}"#,
                r#"{"type":"input_video","video_url":"https://x/film.mp4"}"#,
                r#"{"type":"input_image","image_url":"data:video/mp4;base64,QQ=="}"#,
            ],
        ),
        (
            messages,
            &[
                r#"{"type":"document","source":{"type":"url","url":"https://x/a.pdf"}}"#,
                r#"{"type":"document","source":{"type":"file","file_id":"file_1"}}"#,
                r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QQ=="}}"#,
                r#"{"type":"document","source":{"type":"text","type":"base64","data":"QQ=="}}"#,
                r#"{"type":"image","source":{"type":"base64","media_type":"video/mp4","data":"QQ=="}}"#,
                r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"document","source":{}}]}"#,
                r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"media_type":"application/pdf"}}]}"#,
                r#"{"type":"container_upload","file_id":"file_1"}"#,
            ],
        ),
    ] {
        for it in parts {
            assert!(part(look, it).boundless, "{it}");
        }
    }
    for item in [
        r#"{"type":"item_reference","id":"msg_1"}"#,
        r#"{"id":"rs_1","type":"reasoning","summary":[]}"#,
        r#"{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","file_id":"f"}}"#,
        r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"f"}]}"#,
        r#"{"type":"of_next_month"}"#,
    ] {
        assert!(needs(responses, &format!(r#"{{"model":"m","input":[{item}]}}"#)).boundless, "{item}");
    }
}

#[test]
fn what_is_wholly_in_the_body_is_bounded_by_it() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"},"name":"f"},{"type":"custom","custom":{"name":"g"},"name":"g"}]"#;
    for (look, base) in [(chat as Look, CHAT), (responses, RESPONSES)] {
        let needs = with(look, base, tools).unwrap().needs;
        assert_eq!((needs.boundless, needs.tools), (false, true), "{base}");
    }
    let editor = r#""tools":[{"name":"f","input_schema":{}},{"type":"text_editor_20250728","name":"e"},{"type":"bash_20250124","name":"bash"}]"#;
    let needs_of = with(messages, CHAT, editor).unwrap().needs;
    assert_eq!((needs_of.boundless, needs_of.tools), (false, true));
    for (look, it) in [
        (chat as Look, r#"{"type":"image_url","image_url":{"url":"https://x/a.png"}}"#),
        (chat, r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,QQ=="}}"#),
        (chat, r#"{"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}}"#),
        (responses, r#"{"type":"input_image","file_id":"file-1"}"#),
        (messages, r#"{"type":"image","source":{"type":"url","url":"https://x/a.png"}}"#),
        (messages, r#"{"type":"document","source":{"media_type":"text/plain","type":"text","data":"words"}}"#),
        (messages, r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a"}]}"#),
    ] {
        assert!(!part(look, it).boundless, "{it}");
    }
    let history = r#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c","output":"1"},
        {"type":"reasoning","summary":[],"encrypted_content":"x"},{"role":"user","content":"a"}]}"#;
    assert!(!needs(responses, history).boundless);
}

#[test]
fn a_key_below_the_top_is_refused_in_other_letters_too() {
    let parts = |part: &str| format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#);
    let items = |item: &str| format!(r#""model":"m","input":[{item}]"#);
    let (at, said) = ("messages[0].content[0]", r#""role":"user","content":"a""#);
    let cases: [(Look, String, String); 17] = [
        (chat, parts(r#"{"type":"text","text":"x","Type":"file","File":{}}"#), format!("{at}.Type")),
        (chat, parts(r#"{"type":"image_url","IMAGE_URL":"gs://b/film"}"#), format!("{at}.IMAGE_URL")),
        (
            chat,
            parts(r#"{"type":"image_url","image_url":{"url":"https://x/a.png","URL":"gs://b/film"}}"#),
            format!("{at}.image_url.URL"),
        ),
        (chat, format!(r#""messages":[{{{said},"Content":[]}}]"#), "messages[0].Content".into()),
        (chat, format!(r#""messages":[{{{said},"\u0054ool_Calls":[]}}]"#), "messages[0].Tool_Calls".into()),
        (chat, format!(r#"{CHAT},"tools":[{{"type":"function","Type":"web_search"}}]"#), "tools[0].Type".into()),
        (messages, parts(r#"{"type":"text","text":"x","tYpe":"document"}"#), format!("{at}.tYpe")),
        (messages, parts(r#"{"type":"image","Source":{}}"#), format!("{at}.Source")),
        (messages, parts(r#"{"type":"document","source":{"type":"text","Type":"url"}}"#), format!("{at}.source.Type")),
        (
            messages,
            parts(r#"{"type":"tool_result","content":[{"type":"text","Type":"document"}]}"#),
            format!("{at}.content[0].Type"),
        ),
        (messages, format!(r#""messages":[{{{said},"Content":[]}}]"#), "messages[0].Content".into()),
        (
            messages,
            format!(r#"{CHAT},"tools":[{{"name":"f","input_schema":{{}},"Type":"web_search_20250305"}}]"#),
            "tools[0].Type".into(),
        ),
        (responses, items(&format!(r#"{{{said},"Type":"item_reference"}}"#)), "input[0].Type".into()),
        (
            responses,
            items(r#"{"role":"user","content":[{"type":"input_text","text":"a","Type":"input_file"}]}"#),
            "input[0].content[0].Type".into(),
        ),
        (
            responses,
            items(r#"{"type":"function_call_output","output":[{"type":"input_text","Type":"input_file"}]}"#),
            "input[0].output[0].Type".into(),
        ),
        (responses, items(r#"{"type":"function_call_output","output":"1","Output":[]}"#), "input[0].Output".into()),
        (
            responses,
            format!(r#"{RESPONSES},"tools":[{{"type":"function","TYPE":"web_search"}}]"#),
            "tools[0].TYPE".into(),
        ),
    ];
    for (look, body, param) in cases {
        let body = if body.contains("\"model\"") { body } else { format!(r#""model":"m","max_tokens":9,{body}"#) };
        assert_eq!(look(format!("{{{body}}}").as_bytes()).unwrap_err().param(), Some(&*param), "{body}");
    }
    // What the caller's own functions take is theirs.
    let schema = r#"{"Type":"object","type":"object"}"#;
    let own = format!(
        r#""tools":[{{"type":"function","name":"f","parameters":{schema},"function":{{"name":"f","parameters":{schema}}}}}]"#
    );
    for (look, base) in [(chat as Look, CHAT), (responses, RESPONSES)] {
        with(look, base, &own).unwrap();
    }
    with(messages, CHAT, &format!(r#""tools":[{{"name":"f","input_schema":{schema}}}]"#)).unwrap();
}

#[test]
fn a_tool_that_runs_a_model_of_its_own_is_refused() {
    let tools = |tools: &str| with(messages, CHAT, &format!(r#""tools":[{tools}]"#));
    for advisor in [
        r#"{"type":"advisor_20260301","name":"advisor","model":"dear"}"#,
        r#"{"model":"dear","name":"advisor","type":"advisor_20260301"}"#,
    ] {
        let error = tools(advisor).unwrap_err();
        assert_eq!(error.param(), Some("tools[0].model"));
        assert!(error.to_string().contains("another model than `model`"), "{error}");
    }
    for (hidden, param) in [
        (r#"{"type":"advisor_20260301","type":"custom","name":"f","input_schema":{},"model":"dear"}"#, "tools[0].type"),
        (r#"{"type":null,"type":"advisor_20260301","name":"f","input_schema":{},"model":"dear"}"#, "tools[0].type"),
        (r#"{"type":"advisor_20260301","name":"advisor","Model":"dear"}"#, "tools[0].Model"),
    ] {
        assert_eq!(tools(hidden).unwrap_err().param(), Some(param), "{hidden}");
    }
    for harmless in [
        r#"{"type":"web_search_20250305","name":"web_search","model":null}"#,
        r#"{"type":"custom","name":"f","input_schema":{},"model":"x"}"#,
    ] {
        tools(harmless).unwrap();
    }
}

#[test]
fn a_conversation_that_is_made_shorter_is_read_and_written_once_more() {
    for (look, base) in [(chat as Look, CHAT), (responses, RESPONSES), (messages, CHAT)] {
        let asks = |field: &str| {
            let peek = with(look, base, field).unwrap();
            (peek.n, peek.needs.boundless, peek.choices())
        };
        for field in [
            r#""context_management":{"edits":[{"type":"clear_thinking_20251015"},{"type":"compact_20260112"}]}"#,
            r#""context_management":[{"type":"compaction","compact_threshold":1000}]"#,
            r#""compaction":{"enabled":true}"#,
            r#""compaction":{},"context_management":{"edits":[{"type":"compact_20260112"}]}"#,
        ] {
            assert_eq!(asks(field), (2, true, 1), "{base}: {field}");
        }
        for field in [
            r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919","keep":{"type":"tool_uses","value":3}}]}"#,
            r#""context_management":null,"compaction":null"#,
            r#""context_management":{"edits":[]}"#,
        ] {
            assert_eq!(asks(field), (1, false, 1), "{base}: {field}");
        }
    }
    let three = with(chat, CHAT, r#""compaction":true,"n":3"#).unwrap();
    assert_eq!((three.n, three.choices()), (6, 3));
}
