//! Tools, the generation's settings, and everything at the top.

use super::*;
use crate::Dialect;
use crate::chat::{CacheBreakpoint, Effort, Logprobs, ResponseFormat, Sampling, Thinking, ToolChoice};

fn with_tools(tools: Vec<Tool>, choice: Option<ToolChoice>) -> Request {
    Request { tools, tool_choice: choice, ..hello() }
}

fn config_of(request: &Request) -> (Value, String) {
    let (mut body, losses) = written(request);
    (body["generationConfig"].take(), losses)
}

#[test]
fn every_setting_has_its_place() {
    let request = Request {
        tools: vec![function("f")],
        tool_choice: Some(ToolChoice::Auto),
        max_output_tokens: Some(500),
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            presence_penalty: Some(0.25),
            frequency_penalty: Some(-0.5),
            seed: Some(7),
            logit_bias: None,
        },
        stop: vec!["END".to_owned()],
        n: Some(2),
        logprobs: Some(Logprobs { top: Some(3) }),
        response_format: Some(ResponseFormat::JsonSchema {
            name: "point".to_owned(),
            description: None,
            schema: json!({"type": "object", "additionalProperties": false, "properties": {"x": {"const": 1}}}),
            strict: Some(true),
        }),
        thinking: Some(Thinking { effort: Some(Effort::Low), ..Thinking::default() }),
        service_tier: Some("flex".to_owned()),
        stream: true,
        include_usage: true,
        ..chat(vec![says(Role::System, "s"), says(Role::User, "hello")])
    };
    assert_eq!(
        body(&request),
        json!({
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "systemInstruction": {"parts": [{"text": "s"}]},
            "generationConfig": {
                "stopSequences": ["END"],
                "responseMimeType": "application/json",
                "responseJsonSchema":
                    {"type": "object", "additionalProperties": false, "properties": {"x": {"const": 1}}},
                "candidateCount": 2,
                "maxOutputTokens": 500,
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "seed": 7,
                "presencePenalty": 0.25,
                "frequencyPenalty": -0.5,
                "responseLogprobs": true,
                "logprobs": 3,
                "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": true},
            },
            "serviceTier": "flex",
        })
    );
}

#[test]
fn functions_stand_in_one_entry_and_keep_their_schema() {
    let schema = json!({"$schema": "x", "type": "object", "properties": {"a": {"type": ["string", "null"]}}});
    let weather = Function {
        name: "weather".to_owned(),
        description: Some("Tells it.".to_owned()),
        parameters: Some(schema.clone()),
        strict: Some(true),
        cache: Some(CacheBreakpoint::default()),
    };
    let empty = Function { name: "now".to_owned(), parameters: Some(json!({})), ..Function::default() };
    let patch = Tool::Custom { name: "patch".to_owned(), description: None, format: Some(json!({"type": "grammar"})) };
    let search = Tool::WebSearch(json!({"search_context_size": "low"}));
    let (body, losses) =
        written(&with_tools(vec![Tool::Function(weather), search, Tool::Function(empty), patch], None));
    assert_eq!(
        body["tools"],
        json!([
            {"functionDeclarations": [
                {"name": "weather", "description": "Tells it.", "parametersJsonSchema": schema},
                {"name": "now"},
                {"name": "waypost_custom_patch", "parametersJsonSchema": {
                    "type": "object",
                    "properties": {"input": {"type": "string", "description": "The whole free-text input of the tool."}},
                    "required": ["input"],
                    "additionalProperties": false,
                }},
            ]},
            {"googleSearch": {}},
        ])
    );
    assert_eq!(body.get("toolConfig"), None);
    assert_eq!(
        losses,
        "tools[].function.strict=dropped,cache_control=dropped,tools[].custom=emulated,tools[].custom.format=dropped,\
         web_search_options.search_context_size=dropped"
    );
}

#[test]
fn hosted_tools_of_others_are_refused_alone_and_dropped_in_company() {
    let bash = Tool::Hosted { dialect: Dialect::Anthropic, kind: "bash_20250124".to_owned(), value: json!({}) };
    assert_eq!(refused(&with_tools(vec![bash.clone()], None)), "tools");
    let (body, losses) = written(&with_tools(vec![bash, function("f")], None));
    assert_eq!(body["tools"], json!([{"functionDeclarations": [{"name": "f"}]}]));
    assert_eq!(losses, "tools[].bash_20250124=dropped");
    let own = Tool::Hosted { dialect: Dialect::Gemini, kind: "urlContext".to_owned(), value: json!({}) };
    assert_eq!(body_tools(vec![own]), json!([{"urlContext": {}}]));
}

fn body_tools(tools: Vec<Tool>) -> Value {
    body(&with_tools(tools, None))["tools"].take()
}

#[test]
fn every_tool_choice_is_a_mode() {
    let named = |name: &str, kind| ToolChoice::Named { name: name.to_owned(), kind };
    let allowed = |name: &str| ToolChoice::Allowed { names: vec![name.to_owned()], required: true };
    let patch = || Tool::Custom { name: "patch".to_owned(), description: None, format: None };
    for (choice, config) in [
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (named("f", ToolKind::Function), json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
        (named("patch", ToolKind::Custom), json!({"mode": "ANY", "allowedFunctionNames": ["waypost_custom_patch"]})),
        (allowed("patch"), json!({"mode": "ANY", "allowedFunctionNames": ["waypost_custom_patch"]})),
    ] {
        let (body, _) = written(&with_tools(vec![function("f"), patch()], Some(choice)));
        assert_eq!(body["toolConfig"], json!({"functionCallingConfig": config}));
        assert_eq!(body["tools"][0]["functionDeclarations"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn tools_that_may_be_called_are_the_only_ones_offered() {
    let some = |names: &[&str], required| {
        Some(ToolChoice::Allowed { names: names.iter().map(ToString::to_string).collect(), required })
    };
    let (body, losses) = written(&with_tools(vec![function("f"), function("g")], some(&["g"], false)));
    assert_eq!(body["tools"], json!([{"functionDeclarations": [{"name": "g"}]}]));
    assert_eq!(body["toolConfig"], json!({"functionCallingConfig": {"mode": "AUTO"}}));
    assert_eq!(losses, "tool_choice=emulated");
    let none = write(&with_tools(vec![function("f")], some(&["g"], true)), &Traits::default());
    assert!(matches!(none, Err(WireError::Invalid { param, .. }) if param == "tool_choice"));
}

#[test]
fn a_choice_without_functions_is_not_sent() {
    let search = || vec![Tool::WebSearch(json!({}))];
    let (body, losses) = written(&with_tools(search(), Some(ToolChoice::Required)));
    assert_eq!((&body["tools"], body.get("toolConfig")), (&json!([{"googleSearch": {}}]), None));
    assert_eq!(losses, "tool_choice=dropped");
    let (body, losses) = written(&with_tools(search(), Some(ToolChoice::None)));
    assert_eq!((body.get("tools"), losses.as_str()), (None, ""));
}

#[test]
fn what_the_api_cannot_do_is_refused_by_name() {
    assert_eq!(refused(&Request { stop: vec!["x".to_owned(); 6], ..hello() }), "stop");
    assert_eq!(refused(&Request { n: Some(9), ..hello() }), "n");
    let mp3 = json!({"voice": "Kore", "format": "mp3"});
    assert_eq!(refused(&Request { audio_output: Some(mp3), ..hello() }), "audio.format");
    for key in REFUSED {
        let mut request = hello();
        request.extra.insert(key.to_owned(), "x".into());
        assert_eq!(refused(&request), key);
        request.extra.insert(key.to_owned(), false.into());
        body(&request);
    }
}

#[test]
fn hints_without_words_are_dropped_and_named() {
    let mut request = Request {
        sampling: Sampling { logit_bias: Some(json!({"1": 2})), ..Sampling::default() },
        parallel_tool_calls: Some(false),
        verbosity: Some("low".to_owned()),
        user: Some("ada".to_owned()),
        service_tier: Some("scale".to_owned()),
        prompt_cache_key: Some("k".to_owned()),
        store: Some(true),
        ..hello()
    };
    request.metadata.insert("a".to_owned(), "b".into());
    request.extra.insert("prediction".to_owned(), json!({}));
    let (written, losses) = written(&request);
    assert_eq!(written, body(&hello()));
    assert_eq!(
        losses,
        "service_tier=dropped,logit_bias=dropped,parallel_tool_calls=dropped,verbosity=dropped,user=dropped,\
         metadata=dropped,prompt_cache_key=dropped,store=dropped,prediction=dropped"
    );
}

#[test]
fn tiers_have_googles_names() {
    for (tier, written) in
        [("auto", None), ("default", Some("standard")), ("flex", Some("flex")), ("priority", Some("priority"))]
    {
        let body = body(&Request { service_tier: Some(tier.to_owned()), ..hello() });
        assert_eq!(body.get("serviceTier").map(|tier| tier.as_str().unwrap()), written);
    }
}

#[test]
fn the_cap_is_the_models_at_most() {
    let small = Traits { max_output_tokens: Some(100), ..Traits::default() };
    let capped = |max| write(&Request { max_output_tokens: max, ..hello() }, &small).unwrap();
    let (body, losses) = capped(Some(101));
    assert_eq!((&body["generationConfig"], losses.as_str()), (&json!({"maxOutputTokens": 100}), "max_tokens=clamped"));
    assert_eq!(capped(Some(100)).1, "");
    assert_eq!(capped(None).0.get("generationConfig"), None);
}

#[test]
fn seeds_are_folded_into_32_bits() {
    let seeded =
        |seed| config_of(&Request { sampling: Sampling { seed: Some(seed), ..Sampling::default() }, ..hello() });
    assert_eq!(seeded(-2_147_483_648), (json!({"seed": -2_147_483_648_i64}), String::new()));
    assert_eq!(seeded(2_147_483_648 + 5), (json!({"seed": 5}), "seed=emulated".to_owned()));
}

#[test]
fn json_without_a_schema_is_a_media_type() {
    let format = |format| config_of(&Request { response_format: Some(format), ..hello() });
    assert_eq!(format(ResponseFormat::JsonObject), (json!({"responseMimeType": "application/json"}), String::new()));
    assert_eq!(format(ResponseFormat::Text), (Value::Null, String::new()));
    let described = ResponseFormat::JsonSchema {
        name: "n".to_owned(),
        description: Some("d".to_owned()),
        schema: json!({"type": "object"}),
        strict: None,
    };
    assert_eq!(format(described).1, "response_format.json_schema.description=dropped");
}

#[test]
fn a_voice_is_asked_for_by_name() {
    let spoken = json!({"voice": "Kore", "format": "pcm16"});
    assert_eq!(
        config_of(&Request { audio_output: Some(spoken), ..hello() }),
        (
            json!({
                "responseModalities": ["AUDIO"],
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            }),
            String::new()
        )
    );
}

#[test]
fn one_answer_and_no_alternatives_are_the_default() {
    let request = Request { n: Some(1), logprobs: Some(Logprobs { top: None }), ..hello() };
    assert_eq!(config_of(&request), (json!({"responseLogprobs": true}), String::new()));
}

#[test]
fn what_a_vendor_does_not_take_goes_at_the_top_and_inside() {
    let request = Request {
        sampling: Sampling { seed: Some(1), top_k: Some(2), ..Sampling::default() },
        service_tier: Some("flex".to_owned()),
        ..hello()
    };
    let picky = Traits {
        drop: vec!["topK".to_owned(), "serviceTier".to_owned()],
        rename: vec![("seed".to_owned(), "randomSeed".to_owned())],
        ..Traits::default()
    };
    let (body, losses) = write(&request, &picky).unwrap();
    assert_eq!(
        body,
        json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": {"randomSeed": 1}})
    );
    assert_eq!(losses, "topK=dropped,serviceTier=dropped");
    let stern = Traits { refuse: vec!["topK".to_owned()], ..Traits::default() };
    assert!(matches!(write(&request, &stern), Err(WireError::Unsupported { param, .. }) if param == "topK"));
}
