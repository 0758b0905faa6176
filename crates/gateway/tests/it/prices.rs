//! Prices over HTTP, by the built binary: what is set counts from the next request on, and the past can be priced anew, once.

use serde_json::{Value, json};
use waypost_core::money::NanoUsd;
use waypost_testkit::{Answer, Request, Script, Upstream};

use crate::harness::KEY;
use crate::start::{Running, Waypost};
use crate::transfer::Folder;

const TOKEN: &str = "an-admin-token-0123456789";
/// What the upstream says that each request used.
const INPUT: i64 = 1003;
const OUTPUT: i64 = 57;
/// One dollar for a million tokens is so many nano-USD for one.
const A_DOLLAR: i64 = 1000;

/// What one request costs at so many USD for a million tokens.
fn cost(input: i64, output: i64) -> i64 {
    (INPUT * input + OUTPUT * output) * A_DOLLAR
}

fn usd(nanos: i64) -> String {
    NanoUsd(nanos).to_string()
}

/// A configuration with these prices.
fn file(upstream: &Upstream, prices: &str) -> String {
    let url = upstream.url();
    format!(
        "keys: [{{name: test, key: {KEY}}}]\nprices: {prices}\nchannels:\n- {{name: up, provider: openai_compatible, base_url: '{url}/v1', api_key: k, models: [m, n, filed]}}\n"
    )
}

/// What is shown of a price that was just set, whenever somebody looks at it.
fn shown(mut made: Value) -> Value {
    let fields = made.as_object_mut().unwrap();
    assert!(fields.remove("in_effect").is_some() && fields.remove("why").is_some(), "{made}");
    made
}

/// A gateway before an upstream that always answers, over a database of its own.
struct Till {
    gateway: Running,
    upstream: Upstream,
    folder: Folder,
}

impl Till {
    async fn open(prices: &str) -> Self {
        let folder = Folder::new();
        let choices =
            json!([{ "index": 0, "message": { "role": "assistant", "content": "hello" }, "finish_reason": "stop" }]);
        let usage = json!({ "prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT });
        let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage });
        let upstream = Upstream::always(Script::reply(200, answer.to_string())).await;
        let gateway = Self::gateway(&folder, &upstream, prices).await;
        Self { gateway, upstream, folder }
    }

    async fn gateway(folder: &Folder, upstream: &Upstream, prices: &str) -> Running {
        let waypost = Waypost::new().arguments(&["--port", "0"]).env("DB_PATH", &folder.database());
        waypost.file("waypost.yaml", &file(upstream, prices)).env("WAYPOST_ADMIN_TOKEN", TOKEN).start().await
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let mut request = Request::new(method, path).bearer(TOKEN);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send(self.gateway.url()).await
    }

    async fn set(&self, body: Value) -> Value {
        let answer = self.ask("POST", "/admin/prices", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("etag"), Some("\"1\""));
        answer.json()
    }

    async fn chat(&self, model: &str, tier: Option<&str>) {
        let body =
            json!({ "model": model, "messages": [{ "role": "user", "content": "Hello!" }], "service_tier": tier });
        let answer = Request::post("/v1/chat/completions", body.to_string()).bearer(KEY).send(self.gateway.url()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Prices the past anew; when it answers, everything that was settled before is in the database.
    async fn rerate(&self, body: Value) -> Value {
        let answer = self.ask("POST", "/admin/prices/rerate", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let done = answer.json();
        assert_eq!(done["next"], Value::Null);
        done
    }

    async fn spent(&self) -> String {
        self.rerate(json!({ "dry_run": true })).await;
        let shown = self.ask("GET", "/admin/credits/key:test", Value::Null).await.json();
        shown["spent"].as_str().unwrap_or("nothing").to_owned()
    }

    /// The first price in effect, as origin and price of the prompt.
    async fn effective(&self, query: &str) -> (String, String) {
        let shown = self.ask("GET", &format!("/admin/prices/effective?{query}"), Value::Null).await.json();
        let price = &shown["data"][0]["price"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        (text(&price["origin"]), text(&price["rates"]["input"]))
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let waypost = Waypost::new().env("WAYPOST_URL", self.gateway.url()).env("WAYPOST_ADMIN_TOKEN", TOKEN);
        let (code, out, err) = waypost.arguments(arguments).run().await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    }

    /// The books are whole.
    async fn verify(&self) {
        let told = self.folder.run(&["ledger", "verify"]).await;
        assert!(told.contains(": whole"), "{told}");
    }
}

fn counts(done: &Value) -> [u64; 5] {
    ["looked_at", "corrected", "unchanged", "without_price", "left"].map(|field| done[field].as_u64().unwrap())
}

#[tokio::test]
async fn a_price_that_is_set_counts_from_the_next_request_on_to_the_nano_usd() {
    let till = Till::open("[{model: filed, input: 9, output: 9}]").await;
    till.set(json!({ "price": { "model": "m", "input": 1, "output": 2 } })).await;
    till.chat("m", None).await;
    assert_eq!(till.spent().await, usd(cost(1, 2)));
    let made = till.set(json!({ "price": { "model": "m", "input": "3", "output": 5.0 } })).await;
    assert_eq!(
        (&made["price"]["output"], &made["pending"], &made["created_by"]),
        (&json!("5"), &json!(false), &json!("token"))
    );
    till.chat("m", None).await;
    assert_eq!(till.spent().await, usd(cost(1, 2) + cost(3, 5)));
    assert_eq!(till.effective("model=m").await, ("api".to_owned(), "3".to_owned()));
    assert_eq!(till.effective("model=m&at=1000").await, ("-".to_owned(), "-".to_owned()));
    // What a file says comes first, and nobody knows a price of the third.
    till.set(json!({ "price": { "model": "filed", "input": 1 } })).await;
    assert_eq!(till.effective("model=filed&channel=up").await, ("file".to_owned(), "9".to_owned()));
    assert_eq!(till.effective("model=n").await.0, "-");
    assert_eq!(till.ask("GET", "/admin/prices/effective?model=gone", Value::Null).await.status, 404);
    assert_eq!(till.ask("GET", "/admin/prices/effective", Value::Null).await.status, 400);
    // After a restart they hold still.
    let Till { gateway, upstream, folder } = till;
    drop(gateway);
    let gateway = Till::gateway(&folder, &upstream, "[]").await;
    let till = Till { gateway, upstream, folder };
    assert_eq!(till.effective("model=m").await, ("api".to_owned(), "3".to_owned()));
    assert_eq!(till.effective("model=filed").await, ("api".to_owned(), "1".to_owned()));
    assert_eq!(till.rerate(json!({ "dry_run": true })).await["unchanged"], 2);
    till.verify().await;
}

#[tokio::test]
async fn a_price_that_a_broken_file_keeps_from_being_used_says_so_and_holds_once_it_is_mended() {
    let till = Till::open("[]").await;
    till.gateway.write("waypost.yaml", "channels: nothing like that\n");
    let made = till.set(json!({ "price": { "model": "m", "input": 1 } })).await;
    assert_eq!((&made["in_effect"], &made["pending"]), (&json!(false), &json!(false)));
    let why = made["why"].as_str().unwrap();
    assert!(why.contains("the old one stays in use") && why.contains("channels"), "{why}");
    assert_eq!(till.effective("model=m").await.0, "-");
    till.gateway.write("waypost.yaml", &file(&till.upstream, "[]"));
    let made = till.set(json!({ "price": { "model": "n", "input": 2 } })).await;
    assert_eq!((&made["in_effect"], &made["why"]), (&json!(true), &Value::Null));
    assert_eq!(till.effective("model=m").await, ("api".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn what_was_served_without_a_price_is_charged_later_exactly_and_once() {
    let till = Till::open("[]").await;
    till.chat("n", None).await;
    // A surcharge counts as it was asked for, since the answer does not say how it was served.
    till.chat("n", Some("priority")).await;
    till.chat("m", None).await;
    assert_eq!(till.spent().await, "nothing");
    let price = json!({ "model": "n", "input": 4, "output": 6, "service_tiers": { "priority": 2 } });
    // Set only now, it says nothing of the past.
    till.set(json!({ "price": price })).await;
    assert_eq!(counts(&till.rerate(json!({ "to": 1000, "unpriced": true })).await), [0, 0, 0, 0, 0]);
    let unpriced = json!({ "unpriced": true, "dry_run": true, "prices": "now" });
    let both = cost(4, 6) + cost(4, 6) * 2;
    let told = till.rerate(unpriced).await;
    assert_eq!(
        (counts(&told), &told["difference"], &told["charged"]),
        ([3, 2, 0, 1, 0], &json!(usd(both)), &Value::Null)
    );
    assert_eq!(till.spent().await, "nothing", "it was only told");
    // Since the beginning of time.
    till.set(json!({ "price": price, "effective_at": 1000 })).await;
    let done = till.rerate(json!({ "unpriced": true, "reason": "the price was unknown" })).await;
    assert_eq!(
        (counts(&done), &done["difference"], &done["charged"]),
        ([3, 2, 0, 1, 0], &json!(usd(both)), &json!(usd(both)))
    );
    assert_eq!(till.spent().await, usd(both));
    let again = till.rerate(json!({})).await;
    assert_eq!((counts(&again), &again["difference"]), ([3, 0, 2, 1, 0], &json!("0")));
    assert_eq!(till.spent().await, usd(both));
    // Another price since then, for that model alone: the difference to what was corrected.
    till.set(json!({ "price": { "model": "n", "input": 1, "output": 1, "effective_from": "2001-01-01" } })).await;
    let done = till.rerate(json!({ "model": "n" })).await;
    // Nobody said what `priority` multiplies it by: as much as usual.
    let now = cost(1, 1) * 2;
    assert_eq!((counts(&done), &done["difference"]), ([2, 2, 0, 0, 0], &json!(usd(now - both))));
    assert_eq!(till.spent().await, usd(now));
    let log = till.ask("GET", "/admin/audit?limit=2", Value::Null).await.json();
    assert_eq!(
        (&log["data"][0]["action"], &log["data"][1]["action"]),
        (&json!("price.rerate"), &json!("price.create"))
    );
    till.verify().await;
    for (body, field) in
        [(json!({ "prices": "later" }), "prices"), (json!({ "after": "x" }), "after"), (json!({ "modl": "n" }), "modl")]
    {
        let answer = till.ask("POST", "/admin/prices/rerate", body).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(field)), "{}", answer.text());
    }
}

#[tokio::test]
async fn versions_are_listed_and_withdrawn_until_they_are_in_effect() {
    let till = Till::open("[]").await;
    let past = till.set(json!({ "price": { "model": "m", "input": 1 } })).await;
    assert_eq!((&past["in_effect"], &past["why"]), (&json!(true), &Value::Null));
    let far = json!({ "price": { "model": "m", "input": 2, "channel": "up", "provider": "openai" }, "effective_at": 4_000_000_000_000_i64 });
    let pending = till.set(far).await;
    assert_eq!((&pending["pending"], &pending["channel"]), (&json!(true), &json!("up")));
    let why = "It holds from 2096-10-02T07:06:40.000Z on.";
    assert_eq!((&pending["in_effect"], &pending["why"]), (&json!(false), &json!(why)));
    let [past, pending] = [past, pending].map(shown);
    let path = |price: &Value| format!("/admin/prices/{}", price["id"].as_str().unwrap());
    assert_eq!(till.ask("GET", &path(&pending), Value::Null).await.json(), pending);
    let page = till.ask("GET", "/admin/prices?limit=1&model=m", Value::Null).await.json();
    let next = page["next"].as_str().unwrap();
    let rest = till.ask("GET", &format!("/admin/prices?limit=1&model=m&after={next}"), Value::Null).await.json();
    assert_eq!((&rest["data"][0], &rest["next"]), (&past, &Value::Null));
    assert_eq!(till.ask("GET", "/admin/prices?provider=openai", Value::Null).await.json()["data"], json!([pending]));
    let refused = till.ask("DELETE", &path(&past), Value::Null).await;
    assert!(refused.status == 409 && refused.text().contains("set another price instead"), "{}", refused.text());
    let stale = Request::new("DELETE", &path(&pending)).bearer(TOKEN).header("if-match", "\"2\"");
    assert_eq!(stale.send(till.gateway.url()).await.status, 412);
    assert_eq!(till.ask("DELETE", &path(&pending), Value::Null).await.status, 204);
    assert_eq!(till.ask("DELETE", &path(&pending), Value::Null).await.status, 404);
    for (body, field) in [
        (json!({ "price": { "input": 1 } }), "price"),
        (json!({ "price": { "model": "m", "inptu": 1 } }), "inptu"),
        (json!({ "price": { "model": "m", "input": -1 } }), "input"),
        (json!({ "price": { "model": "m", "input": 1, "provider": "nobody" } }), "provider"),
        (
            json!({ "price": { "model": "m", "input": 1, "effective_from": "2001-01-01" }, "effective_at": 1 }),
            "effective_at",
        ),
        (json!({ "price": { "model": "m", "input": 1 }, "effective_at": -1 }), "effective_at"),
        (json!({ "model": "m", "input": 1 }), "model"),
    ] {
        let answer = till.ask("POST", "/admin/prices", body).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(field)), "{}", answer.text());
    }
}

#[tokio::test]
async fn prices_are_set_shown_withdrawn_and_applied_to_the_past_by_command() {
    let till = Till::open("[]").await;
    till.chat("m", None).await;
    let more = r#"{"service_tiers": {"flex": 0.5}}"#;
    let set = till
        .run(&["prices", "set", "m", "--input", "1", "--output", "2", "--from", "2001-01-01", "--more", more, "--json"])
        .await;
    let pending = till.run(&["prices", "set", "m*", "--input", "7", "--from", "4000000000000", "--json"]).await;
    let [set, pending] = [set, pending].map(|made| {
        let made: Value = serde_json::from_str(&made).unwrap();
        made["id"].as_str().unwrap().to_owned()
    });
    let listed = till.run(&["prices", "list"]).await;
    let line = |id: &str| listed.lines().find(|line| line.starts_with(id)).unwrap_or_default().to_owned();
    assert!(line(&set).ends_with("no") && line(&pending).ends_with("yes"), "{listed}");
    let one = till.run(&["prices", "list", "--model", "m*"]).await;
    assert!(one.contains(&pending) && !one.contains(&set), "{one}");
    let shown = till.run(&["prices", "show", "m"]).await;
    assert!(shown.contains("up/m") && shown.contains("api:m@978307200#"), "{shown}");
    assert!(till.run(&["prices", "withdraw", &pending]).await.contains("is withdrawn"));
    let told = till.run(&["prices", "rerate", "--unpriced", "--dry-run"]).await;
    assert!(told.contains(&format!("1 would be corrected, by {} USD", usd(cost(1, 2)))), "{told}");
    let done = till.run(&["prices", "rerate", "--from", "2001-01-01", "--reason", "late"]).await;
    assert!(done.contains(&format!("1 are corrected, by {} USD", usd(cost(1, 2)))), "{done}");
    let again = till.run(&["prices", "rerate"]).await;
    assert!(again.starts_with("1 charges looked at: 1 are as they should be"), "{again}");
    till.verify().await;
}
