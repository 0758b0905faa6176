//! Money of what passes through: pictures are paid each, uploads by what was sent, answers by what they tell. And what cannot be
//! charged, because nobody here sees its end, is not sent.

use serde_json::{Value, json};
use waypost_core::usage::Outcome;
use waypost_testkit::{Answer, Client, Ended, Gate, Request, Script, Upstream};

use crate::harness::{KEY, channel};
use crate::money::{A_DOLLAR, Till};

const FORM: &str = "multipart/form-data; boundary=b";
const PRICES: &str = "prices:\n- {model: painter, call: 0.01, image: 0.04}\n- {model: artist, input: 1, output: 1000}\n\
                      - {model: ears, input: 1, output: 2}\n";
/// A cent in nano-USD.
const CENT: i64 = 10_000_000;

async fn till(upstream: &Upstream) -> Till {
    let channel = channel("one", "openai", &upstream.url(), "[painter, artist, ears, gpt-4o-mini]");
    Till::with(&format!("{PRICES}channels:\n{channel}")).await
}

/// A picture that is worth more than all of a budget, if its bytes were taken for words.
fn picture(usage: Option<Value>) -> String {
    let mut answer = json!({ "created": 1, "data": [{ "b64_json": "aGk=".repeat(100_000) }] });
    usage.into_iter().for_each(|usage| answer["usage"] = usage);
    answer.to_string()
}

/// A form of these fields, in this order; a field of bytes is a file.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        form.extend_from_slice(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes());
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--b--\r\n");
    form
}

async fn upload(till: &Till, path: &str, fields: &[(&str, &[u8])]) -> Answer {
    let request = Request::new("POST", path).bearer(KEY).header("content-type", FORM);
    request.body(form(fields)).send(till.gateway.url()).await
}

#[tokio::test]
async fn every_picture_is_charged_and_every_call() {
    let generations = "/v1/images/generations";
    for (body, cents) in [
        (r#"{"model":"painter","prompt":"x","n":10}"#, 41),
        (r#"{"model":"painter","prompt":"x"}"#, 5),
        (r#"{"model":"painter","prompt":"x","n":null}"#, 5),
    ] {
        let upstream = Upstream::always(Script::reply(200, picture(None))).await;
        let till = till(&upstream).await;
        let answer = till.gateway.post(generations, body).await;
        assert_eq!((answer.status, answer.text()), (200, &*picture(None)));
        assert_eq!(upstream.last().text(), body);
        assert_eq!(till.spent().await, cents * CENT, "{body}");
    }
    for fields in [
        &[("model", &b"painter"[..]), ("n", b"3"), ("image", b"PNG")][..],
        &[("image", b"PNG"), ("model", b"painter"), ("mask", b"PNG"), ("n", b"3")],
    ] {
        let upstream = Upstream::always(Script::reply(200, picture(None))).await;
        let till = till(&upstream).await;
        assert_eq!(upload(&till, "/v1/images/edits", fields).await.status, 200);
        assert_eq!(upstream.last().body, form(fields));
        assert_eq!(till.spent().await, 13 * CENT);
    }
}

#[tokio::test]
async fn pictures_that_nobody_can_count_are_not_asked_for() {
    let upstream = Upstream::always(Script::reply(200, picture(None))).await;
    let till = till(&upstream).await;
    for n in ["0", "-1", "1.5", "1000", "\"10\""] {
        let body = format!(r#"{{"model":"painter","prompt":"x","n":{n}}}"#);
        let answer = till.gateway.post("/v1/images/generations", body).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("n")), "{n}");
    }
    for fields in [
        &[("model", &b"painter"[..]), ("image", b"PNG"), ("n", b"many")][..],
        &[("model", b"painter"), ("n", b"1"), ("image", b"PNG"), ("n", b"10")],
    ] {
        let answer = upload(&till, "/v1/images/variations", fields).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("n")), "{}", answer.text());
    }
    assert_eq!((upstream.hits(), till.spent().await), (0, 0));
}

#[tokio::test]
async fn a_budget_that_has_not_enough_for_all_pictures_says_how_much_they_are() {
    let upstream = Upstream::always(Script::reply(200, picture(None))).await;
    let till = till(&upstream).await;
    till.budget(40 * CENT).await;
    let ask = async |n: u32| {
        let body = json!({ "model": "painter", "prompt": "x", "n": n }).to_string();
        till.gateway.post("/v1/images/generations", body).await
    };
    let refused = ask(10).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("insufficient_quota")));
    assert!(refused.text().contains("may cost up to 0.41 USD"), "{}", refused.text());
    assert_eq!(upstream.hits(), 0);
    assert_eq!(ask(9).await.status, 200);
    assert_eq!(till.spent().await, 37 * CENT);
}

#[tokio::test]
async fn pictures_that_break_off_are_not_charged_and_a_refusal_costs_nothing() {
    for (script, cents) in [
        (Script::reply(200, picture(None)).split_every(1000).cut_after(3), 1),
        (Script::reply(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#), 0),
    ] {
        let upstream = Upstream::always(script).await;
        let till = till(&upstream).await;
        let body = r#"{"model":"painter","prompt":"x","n":10}"#;
        let request = Request::post("/v1/images/generations", body).bearer(KEY);
        let answer = Client::connect(till.gateway.url()).await.try_send(&request).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 400 || answer.ended != Ended::Whole));
        assert_eq!(till.spent().await, cents * CENT);
    }
}

#[tokio::test]
async fn an_answer_of_pictures_or_sound_is_charged_by_the_usage_it_tells() {
    let usage = json!({ "input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210 });
    let streamed = format!(
        "event: image_generation.completed\ndata: {{\"type\":\"image_generation.completed\",\"b64_json\":\"{}\",\"usage\":{usage}}}\n\n",
        "aGk=".repeat(9999)
    );
    let stream = Script::stream(streamed.as_bytes().chunks(5000).map(<[u8]>::to_vec));
    for script in [Script::reply(200, picture(Some(usage))), stream] {
        let upstream = Upstream::always(script).await;
        let mut till = till(&upstream).await;
        let body = r#"{"model":"artist","prompt":"x","stream":true}"#;
        let answer = till.gateway.post("/v1/images/generations", body).await;
        assert_eq!((answer.status, answer.header("x-waypost-cost-basis")), (200, Some("pending")));
        let record = till.gateway.record().await;
        assert_eq!((record.operation, record.basis.name()), ("images", "provider"));
        assert_eq!(till.spent().await, (50 + 4160 * 1000) * A_DOLLAR);
    }
    let heard = r#"{"text":"Hello there","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45,"total_tokens":59}}"#;
    let upstream = Upstream::always(Script::reply(200, heard)).await;
    let till = till(&upstream).await;
    let fields = [("file", &b"RIFF"[..]), ("model", b"ears")];
    assert_eq!(upload(&till, "/v1/audio/transcriptions", &fields).await.text(), heard);
    assert_eq!(till.spent().await, (14 + 2 * 45) * A_DOLLAR);
}

#[tokio::test]
async fn whoever_leaves_before_the_usage_is_told_pays_for_the_pictures_by_their_size() {
    let partial =
        format!("event: image_generation.partial_image\ndata: {{\"b64_json\":\"{}\"}}\n\n", "aGk=".repeat(999));
    let gate = Gate::closed();
    let script = Script::stream([partial.clone(), "event: image_generation.completed\ndata: {}\n\n".to_owned()]);
    let upstream = Upstream::always(script.gated_after(1, &gate)).await;
    let mut till = till(&upstream).await;
    let body = r#"{"model":"artist","prompt":"x","stream":true}"#;
    let mut live = Request::post("/v1/images/generations", body).bearer(KEY).open(till.gateway.url()).await;
    live.next_event().await.expect("a picture that is nearly done");
    live.hang_up();
    assert_eq!(till.gateway.record().await.outcome, Outcome::Abandoned);
    let (input, output) = (body.len().div_ceil(4), (partial.len() / 25).div_ceil(4));
    assert_eq!(till.spent().await, i64::try_from(input + 1000 * output).unwrap() * A_DOLLAR);
}

#[tokio::test]
async fn a_stream_of_pictures_that_ends_without_usage_costs_what_it_would_have_cost_to_leave_before() {
    let event =
        |name: &str| format!("event: image_generation.{name}\ndata: {{\"b64_json\":\"{}\"}}\n\n", "aGk=".repeat(999));
    let events = [event("partial_image"), event("completed")];
    let upstream = Upstream::always(Script::stream(events.clone())).await;
    let mut till = till(&upstream).await;
    let body = r#"{"model":"artist","prompt":"x","stream":true}"#;
    assert_eq!(till.gateway.post("/v1/images/generations", body).await.text(), events.concat());
    assert_eq!(till.gateway.record().await.outcome, Outcome::Complete);
    let (input, output) = (body.len().div_ceil(4), (events.concat().len() / 25).div_ceil(4));
    assert_eq!(till.spent().await, i64::try_from(input + 1000 * output).unwrap() * A_DOLLAR);
}

/// An event of a chat stream, and its data.
fn chunk(choices: Value, usage: Value) -> (String, String) {
    let data = json!({
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "artist", "choices": choices, "usage": usage,
    });
    (format!("data: {data}\n\n"), data.to_string())
}

/// A chat stream: a word, a picture of so many bytes, the finish, and 50 tokens in and 60 out.
fn painted(bytes: usize) -> ([String; 4], usize) {
    let of = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let picture = format!("data:image/png;base64,{}", "aGk=".repeat(bytes / 4));
    let picture = json!({ "images": [{ "type": "image_url", "image_url": { "url": picture } }] });
    let (picture, data) = chunk(of(picture, Value::Null), Value::Null);
    let usage = json!({ "prompt_tokens": 50, "completion_tokens": 60, "total_tokens": 110 });
    let (said, _) = chunk(of(json!({ "role": "assistant", "content": "Here" }), Value::Null), Value::Null);
    let (finished, _) = chunk(of(json!({}), json!("stop")), Value::Null);
    let told = format!("{}data: [DONE]\n\n", chunk(json!([]), usage).0);
    ([said, picture, finished, told], data.len())
}

const PAINT: &str = r#"{"model":"artist","messages":[{"role":"user","content":"Paint"}],"stream":true,
    "stream_options":{"include_usage":true}}"#;

#[tokio::test]
async fn a_picture_of_megabytes_in_a_stream_is_relayed_as_it_came_and_charged_by_the_usage_that_follows() {
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let done = json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "artist",
        "output": [{ "type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk=" }],
        "usage": { "input_tokens": 50, "output_tokens": 60, "total_tokens": 110 },
    });
    let picture = "aGk=".repeat(3 << 18);
    let partial = json!({
        "type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": picture,
    });
    let responses = [event(partial), event(json!({ "type": "response.completed", "response": done }))].concat();
    for (path, body, stream) in [
        ("/v1/chat/completions", PAINT, painted(3 << 20).0.concat()),
        ("/v1/responses", r#"{"model":"artist","input":"Paint","stream":true}"#, responses),
    ] {
        let pieces = stream.as_bytes().chunks(50_000).map(<[u8]>::to_vec);
        let upstream = Upstream::always(Script::stream(pieces)).await;
        let mut till = till(&upstream).await;
        let answer = till.gateway.post(path, body).await;
        assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "{path}");
        assert!(answer.body == stream.as_bytes(), "{path}: {} bytes of {}", answer.body.len(), stream.len());
        assert_eq!(till.gateway.record().await.outcome, Outcome::Complete, "{path}");
        assert_eq!(till.spent().await, (50 + 60 * 1000) * A_DOLLAR, "{path}");
    }
}

#[tokio::test]
async fn whoever_leaves_a_chat_before_the_usage_is_told_pays_for_the_pictures_by_their_size() {
    let (events, picture) = painted(40_000);
    let gate = Gate::closed();
    let upstream = Upstream::always(Script::stream(events).gated_after(3, &gate)).await;
    let mut till = till(&upstream).await;
    let mut live = Request::post("/v1/chat/completions", PAINT).bearer(KEY).open(till.gateway.url()).await;
    for _ in 0..3 {
        live.next_event().await.expect("the picture and all but the usage");
    }
    live.hang_up();
    let record = till.gateway.record().await;
    let output = ("Here".len() + picture / 25).div_ceil(4);
    assert_eq!((record.outcome, record.usage.output), (Outcome::Abandoned, Some(output as u64)));
    let tokens = record.usage.input.expect("it is estimated") + 1000 * output as u64;
    assert_eq!(till.spent().await, i64::try_from(tokens).unwrap() * A_DOLLAR);
}

#[tokio::test]
async fn without_usage_an_upload_is_charged_by_its_size_and_only_text_that_comes_back() {
    let sound = vec![7_u8; 3 << 20];
    let fields = [("model", &b"ears"[..]), ("file", &sound)];
    let text = r#"{"text":"Hello there"}"#;
    let upstream = Upstream::always(Script::reply(200, text)).await;
    let till = till(&upstream).await;
    assert_eq!(upload(&till, "/v1/audio/transcriptions", &fields).await.text(), text);
    let (input, output) = (form(&fields).len().div_ceil(100), text.len().div_ceil(4));
    assert_eq!(till.spent().await, i64::try_from(input + 2 * output).unwrap() * A_DOLLAR);

    for (path, body, kind, answer) in [
        ("/v1/audio/speech", r#"{"model":"artist","input":"Hi","voice":"alloy"}"#, "audio/mpeg", vec![7_u8; 100_000]),
        (
            "/v1/images/generations",
            r#"{"model":"artist","prompt":"x"}"#,
            "application/json",
            picture(None).into_bytes(),
        ),
    ] {
        let upstream = Upstream::always(Script::reply(200, answer.clone()).header("content-type", kind)).await;
        let till = self::till(&upstream).await;
        assert_eq!(till.gateway.post(path, body).await.body, answer);
        assert_eq!(till.spent().await, i64::try_from(body.len().div_ceil(4)).unwrap() * A_DOLLAR, "{path}");
    }
}

#[tokio::test]
async fn azures_older_paths_name_the_painter_and_a_picture_costs_the_same_there() {
    let upstream = Upstream::always(Script::reply(200, picture(None))).await;
    let channel = channel("az", "azure_openai", &upstream.url(), "[painter]")
        .replace("models:", "api_version: 2024-10-21, models:");
    let till = Till::with(&format!("{PRICES}channels:\n{channel}")).await;
    let body = r#"{"model":"painter","prompt":"x","n":2}"#;
    assert_eq!(till.gateway.post("/v1/images/generations", body).await.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.path_and_query, "/openai/deployments/painter/images/generations?api-version=2024-10-21");
    assert_eq!(till.spent().await, 9 * CENT);
}

#[tokio::test]
async fn a_picture_is_not_painted_twice_for_one_request() {
    let upstream = Upstream::always(Script::reply(500, "{}")).await;
    let channel = channel("one", "openai", &upstream.url(), "[painter]");
    let yaml =
        format!("keys: [{{name: test, key: {KEY}}}]\nretry: {{backoff: {{base: 1ms}}}}\n{PRICES}channels:\n{channel}");
    let till = Till::of(&yaml).await;
    till.gateway.post("/v1/images/generations", r#"{"model":"painter","prompt":"x"}"#).await;
    assert_eq!((upstream.hits(), till.spent().await), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_made_later_is_refused_where_it_would_be_charged() {
    let queued = r#"{"id":"resp_1","object":"response","status":"queued","background":true,"model":"ears","output":[],"usage":null}"#;
    let upstream = Upstream::always(Script::reply(200, queued)).await;
    let till = till(&upstream).await;
    for background in ["true", "false"] {
        let body = format!(r#"{{"model":"ears","input":"Hi","background":{background}}}"#);
        let answer = till.gateway.post("/v1/responses", body).await;
        if background == "false" {
            assert_ne!(answer.status, 400, "{}", answer.text());
            continue;
        }
        assert_eq!((answer.status, upstream.hits()), (400, 0), "{}", answer.text());
        assert_eq!(answer.json()["error"]["param"], "background");
    }
    let body = r#"{"model":"ears","messages":[{"role":"user","content":"Hi"}],"deferred":true}"#;
    let answer = till.gateway.post("/v1/chat/completions", body).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &"deferred".into()), "{}", answer.text());
}

#[tokio::test]
async fn what_is_done_later_or_elsewhere_is_refused_to_those_whose_spending_is_limited() {
    let job = r#"{"object":"fine_tuning.job","id":"ftjob-1"}"#;
    let upstream = Upstream::always(Script::reply(200, job)).await;
    let till = till(&upstream).await;
    let starts = [
        ("fine_tuning/jobs", r#"{"model":"gpt-4o-mini","training_file":"file-1"}"#),
        ("batches", r#"{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h"}"#),
        ("realtime/client_secrets", "{}"),
        ("realtime/sessions", r#"{"model":"gpt-4o-mini"}"#),
        ("threads/thread_1/runs", r#"{"assistant_id":"a","model":"gpt-4o-mini"}"#),
    ];
    for (rest, body) in starts {
        assert_eq!(till.gateway.post(&format!("/v1/{rest}"), body).await.status, 200, "nothing limits it: {rest}");
    }
    till.budget(1_000_000_000_000).await;
    let hits = upstream.hits();
    for (rest, body) in starts {
        let answer = till.gateway.post(&format!("/v1/{rest}"), body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["code"].as_str()), (403, Some("not_allowed")), "{rest}: {}", answer.text());
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(rest) && message.contains("hard budget"), "{message}");
    }
    assert_eq!(upstream.hits(), hits);
    // Looking at it costs nothing.
    assert_ne!(till.gateway.get("/v1/batches/batch_1").await.status, 403);
}
