//! Captured bodies: nothing is kept unless it is ordered; then what was said without its secrets, up to what was ordered, sealed, for
//! whoever may read it, and never without a trace.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use waypost_core::secret::Secret;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::logbook::retention::forget;
use waypost_store::captures::{self, Body, Capture, CapturedCall, Direction, Limits};
use waypost_store::keys::Owner;
use waypost_store::logbook::DAY_MS;
use waypost_store::page::Scope;
use waypost_store::seal::{Dice, MasterKey};
use waypost_store::{Store, Vault};
use waypost_testkit::{Answer, Client, Request, Script, Upstream};

use crate::harness::{Database, Gateway, KEY, NOW, until};
use crate::manage::{Stage, TOKEN, ask, text};
use crate::start::Waypost;
use crate::transfer::Folder;

const CHAT: &str = "/v1/chat/completions";

/// Opens the vault of a database for a gateway.
async fn open(gateway: &Gateway, store: &Store) -> Arc<Vault> {
    let vault = store.open_vault(MasterKey::new([7; 32]), &mut Dice::seeded([7; 32]), NOW).await.unwrap();
    let vault = Arc::new(vault);
    let _ = gateway.app.vault.set(Arc::clone(&vault));
    vault
}

/// Has a gateway keep what is captured, as `start` does.
pub(crate) async fn keeping(gateway: &Gateway, store: &Store) -> Arc<Vault> {
    let vault = open(gateway, store).await;
    assert!(gateway.app.captures.start(store.clone(), Arc::clone(&vault), &Jobs::new()));
    vault
}

async fn stage() -> Stage {
    let stage = Stage::start().await;
    keeping(&stage.gateway, &stage.database.store).await;
    stage
}

/// What was captured of a request, once it is kept.
async fn captured(gateway: &Gateway, request: &str) -> Value {
    let path = format!("/admin/logs/{request}/bodies");
    until(&path, async || {
        let answer = ask(gateway, TOKEN, ("GET", &path), Value::Null, None).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

async fn chat(gateway: &Gateway, key: &str, id: &str, body: &str) -> Answer {
    Request::post(CHAT, body.to_owned()).bearer(key).header("x-request-id", id).send(gateway.url()).await
}

fn said(content: &str, stream: bool) -> String {
    json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": content }] }).to_string()
}

fn texts(captured: &Value) -> (&str, &str) {
    let (request, answer) = (&captured["bodies"][0], &captured["bodies"][1]);
    assert_eq!((text(request, "direction"), text(answer, "direction")), ("request", "answer"));
    (text(request, "text"), text(answer, "text"))
}

/// Does any file of the folder hold these words?
fn holds(folder: &Path, words: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        let found = |bytes: Vec<u8>| bytes.windows(words.len()).any(|window| window == words.as_bytes());
        if path.is_dir() { holds(&path, words) } else { found(std::fs::read(path).unwrap_or_default()) }
    })
}

#[tokio::test]
async fn no_body_is_on_the_disk_unless_it_was_ordered_and_then_it_is_sealed_002_32() {
    let folder = Folder::new();
    let config =
        format!("keys: [{{name: app, key: {KEY}}}]\nchannels: [{{name: sim, provider: simulator, models: [m]}}]\n");
    let waypost = Waypost::new().file("waypost.yaml", &config).env("WAYPOST_ADMIN_TOKEN", TOKEN);
    let mut running = waypost.env("DB_PATH", &folder.database()).arguments(&["--port", "0"]).start().await;
    let url = running.url().to_owned();
    let run = async |arguments: &[&str]| {
        let command = Waypost::new().env("WAYPOST_URL", &url).env("WAYPOST_ADMIN_TOKEN", TOKEN);
        command.arguments(arguments).run().await
    };
    let say = async |id: &str, words: &str| {
        let ask = Request::post(CHAT, said(words, false)).bearer(KEY).header("x-request-id", id);
        assert_eq!(ask.send(&url).await.status, 200);
    };
    say("req-before", "canary-of-a-prompt-that-nobody-ordered").await;
    let (code, id, complaint) = run(&["captures", "order", "app", "--why", "a test", "--calls", "5"]).await;
    assert_eq!((code, &*complaint), (Some(0), ""));
    let id = id.trim().to_owned();
    say("req-after", "canary-of-a-prompt-that-was-ordered").await;
    let shown = until("it is captured", async || {
        let (code, shown, _) = run(&["captures", "show", "req-after"]).await;
        (code == Some(0)).then_some(shown)
    })
    .await;
    assert!(shown.contains("canary-of-a-prompt-that-was-ordered") && shown.contains("=== answer: "), "{shown}");
    let (_, list, _) = run(&["captures", "list", "--key", "app"]).await;
    assert!(
        list.contains(&id)
            && list.contains("IN FORCE  KEPT  OF")
            && list.contains("yes       1     5")
            && list.contains("a test"),
        "{list}"
    );
    let (code, _, complaint) = run(&["captures", "show", "req-before"]).await;
    assert!(code == Some(1) && complaint.contains("There is no `req-before` here."), "{complaint}");

    // The log is written beside it.
    until("the calls are in the log", async || holds(&folder.0, "req-before").then_some(())).await;
    assert!(!holds(&folder.0, "canary-of-a-prompt"));
    let (code, ..) = run(&["captures", "end", &id]).await;
    assert_eq!((code, run(&["captures", "show", "req-after"]).await.0), (Some(0), Some(1)));
    running.terminate();
    assert_eq!(running.exit_code().await, Some(0));
    assert!(!holds(&folder.0, "canary-of-a-prompt") && holds(&folder.0, "req-after"));
}

#[tokio::test]
async fn a_captured_request_is_shown_without_secrets_and_media_and_whoever_reads_it_is_written_down() {
    let stage = stage().await;
    let made = stage.make("/admin/keys", json!({ "name": "app" })).await;
    let (key, id) = (text(&made, "key"), text(&made, "id"));
    assert_eq!(chat(&stage.gateway, key, "req-0", &said("before", false)).await.status, 200);
    let order = json!({ "key": id, "why": "answers are odd", "seconds": 600, "calls": 3, "body_bytes": 1024 });
    let capture = stage.make("/admin/captures", order.clone()).await;
    assert_eq!(
        (&capture["in_force"], text(&capture, "ordered_by"), &capture["calls"]),
        (&json!(true), "token", &json!(3))
    );
    assert_eq!(stage.ask("POST", "/admin/captures", order).await.status, 409, "one at a time");

    let content = format!(
        "my keys are {key} and sk-proj-0123456789abcdef, my account at the provider sk-up-canary-0123; \
         data:image/png;base64,{} and {}",
        "iVBORw0K".repeat(500),
        "many words ".repeat(200)
    );
    let body = json!({
        "model": "m", "api_key": "hunter2", "messages": [{ "role": "user", "content": content }]
    });
    let answer = chat(&stage.gateway, key, "req-1", &body.to_string()).await;
    assert_eq!(answer.status, 200);
    let captured = captured(&stage.gateway, "req-1").await;
    let (request, kept_answer) = texts(&captured);
    for secret in [key, "sk-proj", "sk-up", "hunter2", "iVBORw0K"] {
        assert!(!request.contains(secret), "{secret}: {request}");
    }
    assert!(request.contains("\"api_key\":\"[redacted]\"") && request.contains("base64,[3000 bytes]"), "{request}");
    let about = &captured["bodies"][0];
    assert_eq!((request.len(), &about["cut"], &about["redacted"]), (1024, &json!(true), &json!(5)));
    assert_eq!(about["bytes"], json!(body.to_string().len()));
    assert_eq!((kept_answer, &captured["bodies"][1]["cut"]), (answer.text(), &json!(false)));
    assert_eq!(stage.ask("GET", "/admin/logs/req-0/bodies", Value::Null).await.status, 404, "it was not ordered yet");

    let audit = stage.ask("GET", "/admin/audit?action=call.bodies", Value::Null).await.json();
    let readings = audit["data"].as_array().unwrap();
    assert_eq!((readings.len(), text(&readings[0], "subject"), text(&readings[0], "actor")), (1, "req-1", "token"));
    assert_eq!(readings[0]["detail"]["capture"], capture["id"]);

    let path = format!("/admin/captures/{}", text(&capture, "id"));
    let shown = stage.ask("GET", &path, Value::Null).await.json();
    assert_eq!((&shown["taken"], &shown["lost"]), (&json!(1), &json!(0)));
    assert_eq!(stage.ask("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(stage.ask("GET", "/admin/logs/req-1/bodies", Value::Null).await.status, 404);
    assert_eq!((stage.ask("GET", &path, Value::Null).await.status, stage.gateway.app.captures.keys(NOW)), (404, 0));
    let audit = stage.ask("GET", "/admin/audit", Value::Null).await.json();
    let actions: Vec<_> = audit["data"].as_array().unwrap().iter().map(|row| text(row, "action")).collect();
    assert_eq!(&actions[..3], ["capture.end", "call.bodies", "capture.order"]);
}

#[tokio::test]
async fn an_order_that_cannot_be_obeyed_says_why() {
    let stage = stage().await;
    let made = stage.make("/admin/keys", json!({ "name": "app" })).await;
    let id = text(&made, "id");
    for (order, param) in [
        (json!({ "key": "key_0", "why": "a test" }), "key"),
        (json!({ "key": id }), "why"),
        (json!({ "key": id, "why": " " }), "why"),
        (json!({ "key": id, "why": "a test", "calls": 0 }), "calls"),
        (json!({ "key": id, "why": "a test", "until": 1 }), "until"),
    ] {
        let refused = stage.ask("POST", "/admin/captures", order).await;
        assert_eq!((refused.status, text(&refused.json()["error"], "param")), (400, param));
    }
    stage.ask("DELETE", &format!("/admin/keys/{id}"), Value::Null).await;
    let refused = stage.ask("POST", "/admin/captures", json!({ "key": id, "why": "a test" })).await;
    assert_eq!(refused.status, 400, "the key is revoked");
    // A gateway without a log in its database.
    let other = stage.another().await;
    let body = json!({ "key": "app", "why": "a test" });
    let refused = ask(&other, TOKEN, ("POST", "/admin/captures"), body, None).await;
    assert!(refused.status == 409 && refused.text().contains("logging.database.enabled"), "{}", refused.text());
}

/// A gateway with a key of the file that is captured, before an upstream that streams.
async fn streaming(scripts: Vec<Script>) -> (Gateway, Database, Upstream) {
    let (upstream, database) = (Upstream::start(scripts).await, Database::sqlite().await);
    let yaml = format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: app, key: {KEY}}}]\nretry: {{backoff: {{base: 1ms}}}}\nchannels:\n\
         - {{name: up, provider: openai, base_url: '{}/v1', api_key: sk-up, models: [m]}}\n",
        upstream.url()
    );
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    keeping(&gateway, &database.store).await;
    let order = json!({ "key": "app", "why": "a test", "body_bytes": 2048 });
    assert_eq!(ask(&gateway, TOKEN, ("POST", "/admin/captures"), order, None).await.status, 201);
    (gateway, database, upstream)
}

/// Events that say these pieces.
fn events(pieces: &[&str]) -> Vec<String> {
    let event = |delta: Value, end: Value| {
        let choice = json!([{ "index": 0, "delta": delta, "finish_reason": end }]);
        let event =
            json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choice });
        format!("data: {event}\n\n")
    };
    let said = pieces.iter().map(|piece| event(json!({ "content": piece }), Value::Null));
    said.chain([event(json!({}), json!("stop")), "data: [DONE]\n\n".to_owned()]).collect()
}

#[tokio::test]
async fn a_streamed_answer_is_captured_as_it_left_without_secrets_in_pieces_and_up_to_its_bound() {
    let long: Vec<String> = (0..60).map(|number| format!("piece {number}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let short = ["the key", " is sk-", "pro", "j-012345678", "9abcdef and", " no more"];
    let scripts =
        vec![Script::stream(events(&short)), Script::stream(events(&long)), Script::stream(events(&long)).cut_after(3)];
    let (gateway, _database, _upstream) = streaming(scripts).await;

    let answer = chat(&gateway, KEY, "req-1", &said("hi", true)).await;
    assert!(answer.text().contains("9abcdef and"), "the caller gets all of it");
    let first = captured(&gateway, "req-1").await;
    let kept = texts(&first).1;
    assert!(kept.contains("\"content\":\" is [redacted]\"") && kept.contains("\"content\":\" and\""), "{kept}");
    assert!(!kept.contains("012345678") && kept.ends_with("data: [DONE]\n\n"), "{kept}");
    assert_eq!(first["bodies"][1]["cut"], json!(false));
    assert_eq!(first["bodies"][1]["bytes"], json!(answer.text().len()));

    let answer = chat(&gateway, KEY, "req-2", &said("hi", true)).await;
    let second = captured(&gateway, "req-2").await;
    let kept = texts(&second).1;
    assert!(kept.len() == 2048 && answer.text().starts_with(kept), "{kept}");
    assert_eq!(
        (&second["bodies"][1]["cut"], &second["bodies"][1]["bytes"]),
        (&json!(true), &json!(answer.text().len()))
    );

    // One that broke is captured with the error that its caller was told.
    let answer = chat(&gateway, KEY, "req-3", &said("hi", true)).await;
    let third = captured(&gateway, "req-3").await;
    assert!(answer.text().contains("\"error\"") && texts(&third).1 == answer.text(), "{third}");
}

#[tokio::test]
async fn errors_are_captured_as_they_were_told_and_a_caller_who_leaves_has_a_request_without_an_answer() {
    let refusal = r#"{"error": {"message": "no", "type": "invalid_request_error"}}"#;
    let (gateway, _database, upstream) = streaming(vec![Script::reply(400, refusal), Script::never_answer()]).await;
    let answer = chat(&gateway, KEY, "req-1", &said("hi", false)).await;
    let kept = captured(&gateway, "req-1").await;
    assert_eq!((answer.status, texts(&kept).1), (400, answer.text()));

    let mut client = Client::connect(gateway.url()).await;
    let request = Request::post(CHAT, said("are you there?", false)).bearer(KEY).header("x-request-id", "req-2");
    client.write(&request.to_bytes("gateway")).await.unwrap();
    upstream.wait_hits(2).await;
    client.hang_up();
    let kept = captured(&gateway, "req-2").await;
    assert!(texts(&kept).0.contains("are you there?") && texts(&kept).1.is_empty(), "{kept}");
    assert_eq!((&kept["bodies"][1]["bytes"], &kept["bodies"][1]["cut"]), (&json!(0), &json!(true)));
}

/// An order for a key in this time, as the database has it.
async fn order(stage: &Stage, key: &str, (from, until): (i64, i64), calls: i64) -> String {
    let id = waypost_store::id::new(
        "cap",
        u128::from_le_bytes(std::array::from_fn(|at| key.as_bytes()[key.len() - 16 + at])),
    );
    let capture = Capture {
        id: id.clone(),
        created_at: NOW,
        key: key.to_owned(),
        key_name: "app".to_owned(),
        owner: Owner::default(),
        from,
        until,
        ordered_by: "token".to_owned(),
        why: "a test".to_owned(),
        limits: Limits { body_bytes: 1024, calls },
        taken: 0,
        lost: 0,
    };
    let mut tx = stage.database.store.begin().await.unwrap();
    captures::order(&mut tx, &capture).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn a_capture_ends_by_itself_after_its_number_of_requests_and_at_its_time() {
    let stage = stage().await;
    let store = &stage.database.store;
    let now = stage.gateway.app.unix_millis();
    let mut keys = Vec::new();
    for name in ["past", "future", "two", "last"] {
        let made = stage.make("/admin/keys", json!({ "name": name })).await;
        keys.push((text(&made, "id").to_owned(), text(&made, "key").to_owned()));
    }
    let spans = [(now - 2000, now - 1000), (now + DAY_MS, now + 2 * DAY_MS), (now, now + DAY_MS), (now, now + DAY_MS)];
    let mut ids = Vec::new();
    for ((id, _), span) in keys.iter().zip(spans) {
        ids.push(order(&stage, id, span, 2).await);
    }
    stage.gateway.app.callers.catch_up(&stage.gateway.app, store).await.unwrap();
    for (_, key) in &keys[..3] {
        for _ in 0..3 {
            assert_eq!(stage.chat(key).await, 200);
        }
    }
    // They are kept one after the other, so that all of those before are dealt with when the last one is.
    assert_eq!(chat(&stage.gateway, &keys[3].1, "req-last", &said("hi", false)).await.status, 200);
    captured(&stage.gateway, "req-last").await;
    for (id, taken) in ids.iter().zip([0, 0, 2, 1]) {
        let capture = captures::get(store, &Scope::All, id).await.unwrap();
        assert_eq!((capture.taken, capture.lost), (taken, 0), "{id}");
    }
    let shown = stage.ask("GET", &format!("/admin/captures/{}", ids[2]), Value::Null).await.json();
    assert_eq!(shown["in_force"], json!(false));
}

#[tokio::test]
async fn what_is_ordered_ended_or_full_is_soon_known_to_every_gateway() {
    let stage = stage().await;
    let other = stage.another().await;
    keeping(&other, &stage.database.store).await;
    let made = stage.make("/admin/keys", json!({ "name": "app" })).await;
    let (id, key) = (text(&made, "id"), text(&made, "key"));
    let knows = async |keys: usize| {
        until("the other gateway knows", async || (other.app.captures.keys(NOW) == keys).then_some(())).await;
    };
    let first = stage.make("/admin/captures", json!({ "key": id, "why": "a test" })).await;
    knows(1).await;
    assert_eq!(chat(&other, key, "req-other", &said("hi", false)).await.status, 200);
    captured(&stage.gateway, "req-other").await;
    let path = format!("/admin/captures/{}", text(&first, "id"));
    assert_eq!(stage.ask("DELETE", &path, Value::Null).await.status, 204);
    knows(0).await;
    stage.make("/admin/captures", json!({ "key": id, "why": "a test", "calls": 1 })).await;
    knows(1).await;
    assert_eq!(stage.chat(key).await, 200);
    knows(0).await;
}

#[tokio::test]
async fn what_does_not_fit_while_the_database_is_held_is_lost_and_told() {
    let stage = Stage::start().await;
    let store = &stage.database.store;
    let vault = open(&stage.gateway, store).await;
    assert!(stage.gateway.app.captures.start_with(1, store.clone(), vault, &Jobs::new()));
    let made = stage.make("/admin/keys", json!({ "name": "app" })).await;
    let capture = stage.make("/admin/captures", json!({ "key": text(&made, "id"), "why": "a test" })).await;
    let held = store.begin().await.unwrap();
    for _ in 0..6 {
        assert_eq!(stage.chat(text(&made, "key")).await, 200, "nobody waits for it");
    }
    let counts = &stage.gateway.app.captures.counts;
    // One is being written and one waits.
    until("the rest is lost", async || (counts.lost.load(Ordering::Relaxed) >= 4).then_some(())).await;
    held.rollback().await.unwrap();
    let path = format!("/admin/captures/{}", text(&capture, "id"));
    let shown = until("it is told", async || {
        let shown = stage.ask("GET", &path, Value::Null).await.json();
        let sum = shown["taken"].as_u64()? + shown["lost"].as_u64()?;
        (sum == 6).then_some(shown)
    })
    .await;
    assert_eq!(shown["lost"], json!(counts.lost.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn captured_bodies_are_forgotten_with_the_calls_they_belong_to() {
    let stage = Stage::start().await;
    let store = &stage.database.store;
    let vault = open(&stage.gateway, store).await;
    let id = order(&stage, "key_0123456789abcdef", (NOW, NOW + 1000), 500).await;
    let mut dice = Dice::seeded([8; 32]);
    for number in 0..150_i64 {
        let body = Body { direction: Direction::Request, text: Secret::new("hi"), bytes: 2, cut: false, redacted: 0 };
        let call = CapturedCall {
            id: format!("cpt_{number}"),
            capture: id.clone(),
            request_id: format!("req-{number}"),
            owner: Owner::default(),
            at: NOW + number,
            bodies: vec![body],
        };
        assert!(captures::keep(store, &vault, &mut dice, &call).await.unwrap());
    }
    forget(store, 30, NOW + 30 * DAY_MS + 140).await.unwrap();
    let kept = async |request: &str| captures::of_request(store, &vault, &Scope::All, request).await.unwrap().is_some();
    assert_eq!((kept("req-139").await, kept("req-140").await), (false, true));
    forget(store, 30, NOW + 31 * DAY_MS).await.unwrap();
    assert!(!kept("req-149").await && captures::get(store, &Scope::All, &id).await.is_err());
}
