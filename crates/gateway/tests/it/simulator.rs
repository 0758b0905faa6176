//! Every simulated model behaves as its description says, through the live gateway and in every dialect that callers speak.

use serde_json::{Value, json};
use waypost_core::usage::Outcome;
use waypost_testkit::{Answer, Client, Request};

use crate::harness::{Gateway, KEY};

/// A gateway with the simulator, one attempt for each request unless a test says otherwise.
async fn gateway() -> Gateway {
    configured("", 1).await
}

async fn configured(more: &str, attempts: u32) -> Gateway {
    Gateway::start(&format!(
        "keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: {attempts}}}\nchannels:\n- {{name: sim, provider: simulator{more}}}\n"
    ))
    .await
}

/// A dialect as a caller sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Face {
    Chat,
    Responses,
    Messages,
}

const FACES: [Face; 3] = [Face::Chat, Face::Responses, Face::Messages];

impl Face {
    fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    fn body(self, model: &str, question: &str) -> Value {
        match self {
            Self::Chat => json!({"model": model, "messages": [{"role": "user", "content": question}]}),
            Self::Responses => json!({"model": model, "input": question}),
            Self::Messages => {
                json!({"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": question}]})
            }
        }
    }

    async fn ask(self, gateway: &Gateway, model: &str, question: &str) -> Answer {
        gateway.post(self.path(), self.body(model, question).to_string()).await
    }

    async fn stream(self, gateway: &Gateway, model: &str, question: &str) -> Answer {
        let mut body = self.body(model, question);
        body["stream"] = json!(true);
        gateway.post(self.path(), body.to_string()).await
    }

    /// The words of a whole answer.
    fn words(self, answer: &Value) -> String {
        let texts = |parts: &Value, kind: &str| -> String {
            let parts = parts.as_array().into_iter().flatten().filter(|part| part["type"] == kind);
            parts.map(|part| part["text"].as_str().unwrap().to_owned()).collect()
        };
        match self {
            Self::Chat => answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
            Self::Responses => {
                let items = answer["output"].as_array().unwrap().iter();
                items.map(|item| texts(&item["content"], "output_text")).collect()
            }
            Self::Messages => texts(&answer["content"], "text"),
        }
    }

    /// The words of a streamed answer.
    fn streamed_words(self, answer: &Answer) -> String {
        let events = answer.events();
        let events = events.iter().filter(|event| event.data != "[DONE]").map(|event| event.json());
        let words = events.map(|event| match self {
            Self::Chat => event["choices"][0]["delta"]["content"].clone(),
            Self::Responses if event["type"] == "response.output_text.delta" => event["delta"].clone(),
            Self::Messages => event["delta"]["text"].clone(),
            Self::Responses => Value::Null,
        });
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    /// What a clean end looks like.
    fn ends_well(self, answer: &Answer) -> bool {
        let events = answer.events();
        let last = events.last().unwrap();
        match self {
            Self::Chat => last.data == "[DONE]",
            Self::Responses => last.event.as_deref() == Some("response.completed"),
            Self::Messages => last.event.as_deref() == Some("message_stop"),
        }
    }

    /// The last event is the dialect's error, and nothing before it looks like an end.
    fn ends_in_an_error(self, answer: &Answer) -> bool {
        let events = answer.events();
        let last = events.last().unwrap();
        let finished = |word: &str| answer.text().contains(word);
        match self {
            Self::Chat => last.json()["error"].is_object() && !finished("[DONE]") && !finished("\"stop\""),
            Self::Responses => {
                matches!(last.event.as_deref(), Some("error" | "response.failed")) && !finished("response.completed")
            }
            Self::Messages => last.event.as_deref() == Some("error") && !finished("message_stop"),
        }
    }

    fn output_tokens(self, answer: &Value) -> u64 {
        let field = if self == Self::Chat { "completion_tokens" } else { "output_tokens" };
        answer["usage"][field].as_u64().unwrap()
    }
}

#[tokio::test]
async fn chat_refers_to_the_question_and_a_stream_says_what_the_whole_answer_says() {
    let mut gateway = gateway().await;
    for face in FACES {
        for model in ["sim/chat@0ms", "sim/fast", "sim/echo@0ms", "sim/think@0ms"] {
            let whole = face.ask(&gateway, model, "Why is the sky blue?").await;
            let record = gateway.record().await;
            let words = face.words(&whole.json());
            assert!(words.contains("Why is the sky blue"), "{face:?} {model}: {words}");
            assert_eq!(model.starts_with("sim/echo"), words == "Why is the sky blue?");
            assert_eq!(record.usage.output, Some(face.output_tokens(&whole.json())));

            let stream = face.stream(&gateway, model, "Why is the sky blue?").await;
            assert_eq!((stream.status, face.streamed_words(&stream)), (200, words), "{face:?} {model}");
            assert!(face.ends_well(&stream), "{face:?} {model}");
            let streamed = gateway.record().await;
            assert_eq!((streamed.usage.input, streamed.usage.output), (record.usage.input, record.usage.output));
            assert_eq!((streamed.outcome, streamed.translated), (Outcome::Complete, false));
        }
    }
}

#[tokio::test]
async fn think_thinks_first() {
    let gateway = gateway().await;
    let chat = Face::Chat.ask(&gateway, "sim/think", "Why?").await.json();
    assert!(chat["choices"][0]["message"].to_string().contains("I should refer to it"), "{chat}");
    let messages = Face::Messages.ask(&gateway, "sim/think", "Why?").await.json();
    assert_eq!(
        (&messages["content"][0]["type"], &messages["content"][1]["type"]),
        (&json!("thinking"), &json!("text"))
    );
    let responses = Face::Responses.ask(&gateway, "sim/think", "Why?").await.json();
    assert_eq!(
        (&responses["output"][0]["type"], &responses["output"][1]["type"]),
        (&json!("reasoning"), &json!("message"))
    );
}

#[tokio::test]
async fn refusals_have_a_status_of_ours_and_are_the_callers_only_where_they_are_his() {
    let mut gateway = gateway().await;
    // What the gateway's own account did wrong is not the caller's fault; his own request is.
    let expected = [
        (400, 400),
        (401, 502),
        (402, 502),
        (403, 502),
        (404, 404),
        (408, 502),
        (429, 429),
        (500, 502),
        (502, 502),
        (503, 502),
        (529, 502),
    ];
    for face in FACES {
        for (upstream, status) in expected {
            for stream in [false, true] {
                let model = format!("sim/fail-{upstream}");
                let answer = if stream {
                    face.stream(&gateway, &model, "Why?").await
                } else {
                    face.ask(&gateway, &model, "Why?").await
                };
                assert_eq!(answer.status, status, "{face:?} {model}: {}", answer.text());
                let error = answer.json()["error"].clone();
                assert!(error["message"].is_string() && error["type"].is_string(), "{}", answer.text());
                assert_eq!(answer.header("retry-after").is_some(), status == 429, "{model}");
                let record = gateway.record().await;
                assert_eq!((record.outcome, record.status), (Outcome::Failed, status));
            }
        }
    }
}

#[tokio::test]
async fn every_fault_that_can_be_mended_fails_over_in_every_dialect() {
    // Silent models are waited for no longer than the file says.
    let faults = [
        "sim/fail-401",
        "sim/fail-402",
        "sim/fail-403",
        "sim/fail-404",
        "sim/fail-408",
        "sim/fail-429",
        "sim/fail-500",
        "sim/fail-502",
        "sim/fail-503",
        "sim/fail-529",
        "sim/flaky-100",
        "sim/hang",
        "sim/slow",
    ];
    // A whole answer that breaks was not delivered yet, so that it can be had from the next.
    let whole_only = ["sim/stall@0ms", "sim/cut@0ms", "sim/garbled@0ms"];
    for fault in faults.into_iter().chain(whole_only) {
        let gateway = Gateway::start(&format!(
            "keys: [{{name: test, key: {KEY}}}]\nchannels:\n\
             - {{name: broken, provider: simulator, models: [{{name: m, upstream: {fault}}}], tier: 1, timeouts: {{first_byte: 100ms, idle: 100ms}}}}\n\
             - {{name: healthy, provider: simulator, models: [{{name: m, upstream: sim/fast}}], tier: 2}}\n"
        ))
        .await;
        for face in FACES {
            let answer = face.ask(&gateway, "m", "Why?").await;
            assert_eq!(answer.status, 200, "{face:?} {fault}: {}", answer.text());
            assert_eq!(answer.header("x-waypost-deployment"), Some("healthy/m"), "{fault}");
            assert_eq!((answer.header("x-waypost-attempts"), &answer.json()["model"]), (Some("2"), &json!("m")));
            if !whole_only.contains(&fault) {
                let stream = face.stream(&gateway, "m", "Why?").await;
                assert_eq!((stream.status, stream.header("x-waypost-attempts")), (200, Some("2")), "{face:?} {fault}");
                assert!(face.ends_well(&stream), "{face:?} {fault}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_words_ends_in_an_error_event() {
    let mut gateway = configured(", timeouts: {idle: 100ms}", 3).await;
    for face in FACES {
        for model in ["sim/cut@0ms", "sim/garbled@0ms", "sim/stall@0ms"] {
            let answer = face.stream(&gateway, model, "Why is the sky blue?").await;
            assert_eq!(answer.status, 200);
            assert!(!face.streamed_words(&answer).is_empty(), "{face:?} {model}");
            assert!(face.ends_in_an_error(&answer), "{face:?} {model}: {}", answer.text());
            let record = gateway.record().await;
            assert_eq!((record.outcome, record.attempts), (Outcome::Broken, 1), "{face:?} {model}");
            assert!(record.usage.output.is_some_and(|tokens| tokens > 0));
        }
    }
}

#[tokio::test]
async fn hang_and_slow_time_out_as_the_file_says() {
    let mut gateway = configured(", timeouts: {first_byte: 100ms}", 1).await;
    for face in FACES {
        for model in ["sim/hang", "sim/slow"] {
            let answer = face.ask(&gateway, model, "Why?").await;
            assert_eq!(answer.status, 504, "{face:?} {model}: {}", answer.text());
            assert_eq!(gateway.record().await.status, 504);
        }
    }
    let whole = configured(", timeout: 100ms", 1).await;
    assert_eq!(Face::Chat.ask(&whole, "sim/hang", "Why?").await.status, 504);
}

#[tokio::test]
async fn a_caller_who_hangs_up_on_hang_is_recorded() {
    let mut gateway = gateway().await;
    let body = Face::Chat.body("sim/hang", "Why?").to_string();
    let mut client = Client::connect(gateway.url()).await;
    client.write(&Request::post(Face::Chat.path(), body).bearer(KEY).to_bytes("gateway")).await.unwrap();
    client.hang_up();
    assert_eq!(gateway.record().await.outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn flaky_fails_its_share() {
    let gateway = gateway().await;
    let mut client = Client::connect(gateway.url()).await;
    let request = Request::post(Face::Chat.path(), Face::Chat.body("sim/flaky-30", "Why?").to_string()).bearer(KEY);
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(client.send(&request).await.status != 200);
    }
    assert_eq!(failed, 30);
}

#[tokio::test]
async fn what_does_not_tell_its_usage_is_estimated() {
    let mut gateway = gateway().await;
    for face in FACES {
        let answer = face.ask(&gateway, "sim/no-usage", "Why is the sky blue?").await;
        assert_eq!(answer.header("x-waypost-cost-basis"), Some("estimated"), "{face:?}");
        assert!(face.output_tokens(&answer.json()) > 0, "{}", answer.text());
        let record = gateway.record().await;
        assert_eq!(record.usage.output, Some(face.output_tokens(&answer.json())));
        face.stream(&gateway, "sim/no-usage@0ms", "Why is the sky blue?").await;
        assert!(gateway.record().await.usage.output.is_some_and(|tokens| tokens > 0));
    }
}

fn tool(face: Face) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    match face {
        Face::Chat => json!({"type": "function", "function": {"name": "get_weather", "parameters": schema}}),
        Face::Responses => json!({"type": "function", "name": "get_weather", "strict": false, "parameters": schema}),
        Face::Messages => json!({"name": "get_weather", "input_schema": schema}),
    }
}

/// The cities of an answer's calls.
fn cities(face: Face, answer: &Value) -> Vec<Value> {
    let said = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap()["city"].clone();
    match face {
        Face::Chat => {
            let calls = answer["choices"][0]["message"]["tool_calls"].as_array().into_iter().flatten();
            calls.map(|call| said(&call["function"]["arguments"])).collect()
        }
        Face::Responses => {
            let items = answer["output"].as_array().unwrap().iter().filter(|item| item["type"] == "function_call");
            items.map(|item| said(&item["arguments"])).collect()
        }
        Face::Messages => {
            let blocks = answer["content"].as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
            blocks.map(|block| block["input"]["city"].clone()).collect()
        }
    }
}

#[tokio::test]
async fn tools_are_called_when_the_prompt_names_what_they_do_and_always_by_sim_tools() {
    let gateway = gateway().await;
    for face in FACES {
        let ask = async |model: &str, question: &str| {
            let mut body = face.body(model, question);
            body["tools"] = json!([tool(face)]);
            cities(face, &gateway.post(face.path(), body.to_string()).await.json())
        };
        assert_eq!(ask("sim/chat", "What's the weather in Oslo and Paris?").await, ["Oslo", "Paris"], "{face:?}");
        assert!(ask("sim/chat", "Tell me a joke.").await.is_empty(), "{face:?}");
        assert_eq!(ask("sim/tools", "Tell me a joke.").await.len(), 1, "{face:?}");
    }
}

#[tokio::test]
async fn an_answer_keeps_to_the_json_schema() {
    let gateway = gateway().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
        "required": ["city", "degrees"], "additionalProperties": false});
    for face in FACES {
        let mut body = face.body("sim/chat", "How warm is it in Oslo?");
        match face {
            Face::Chat => {
                body["response_format"] =
                    json!({"type": "json_schema", "json_schema": {"name": "w", "schema": schema, "strict": true}});
            }
            Face::Responses => {
                body["text"] =
                    json!({"format": {"type": "json_schema", "name": "w", "schema": schema, "strict": true}});
            }
            Face::Messages => body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}}),
        }
        let answer = gateway.post(face.path(), body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said: Value = serde_json::from_str(&face.words(&answer.json())).unwrap();
        assert!(said["city"].is_string() && said["degrees"].is_i64(), "{face:?} {said}");
        assert_eq!(said.as_object().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn embeddings_are_unit_vectors_closer_the_more_words_are_shared() {
    let mut gateway = gateway().await;
    let body =
        json!({"model": "sim/embed", "input": ["the sky is blue", "the sky is grey", "quarterly revenue report"]});
    let answer = gateway.post("/v1/embeddings", body.to_string()).await.json();
    let vectors: Vec<Vec<f64>> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["embedding"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect())
        .collect();
    let dot = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f64>();
    assert!((dot(0, 0) - 1.0).abs() < 1e-3, "{}", dot(0, 0));
    assert!(dot(0, 1) > dot(0, 2), "{} {}", dot(0, 1), dot(0, 2));
    assert_eq!(gateway.record().await.usage.input, answer["usage"]["prompt_tokens"].as_u64());
}

#[tokio::test]
async fn completions_and_token_counts_are_answered() {
    let gateway = gateway().await;
    let answer = gateway.post("/v1/completions", r#"{"model":"sim/chat","prompt":"Once","max_tokens":5}"#).await.json();
    assert_eq!((&answer["object"], &answer["usage"]["completion_tokens"]), (&json!("text_completion"), &json!(5)));

    let question = Face::Messages.body("sim/chat", "Why is the sky blue?");
    let mut counted = question.clone();
    counted.as_object_mut().unwrap().remove("max_tokens");
    let count = gateway.post("/v1/messages/count_tokens", counted.to_string()).await.json();
    let used = gateway.post("/v1/messages", question.to_string()).await.json();
    assert_eq!(count["input_tokens"], used["usage"]["input_tokens"]);
    assert!(count["input_tokens"].as_u64().unwrap() > 5);
}
