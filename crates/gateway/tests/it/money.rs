//! Money under a running gateway: what is held, what is charged, and that nobody ever spends more than they have.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use waypost_core::ledger::{Account, Budget, Scope, WhenSpent, Window};
use waypost_core::money::NanoUsd;
use waypost_store::journal::{Call, Disk, Durability, Folder, MemoryDisk};
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::{ChainKey, Kind};
use waypost_store::money::{Money, Settings};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::{Database, Gateway, KEY, NOW, channel};

const CHAT: &str = "/v1/chat/completions";
/// One dollar for a million tokens is so many nano-USD for one.
pub(crate) const A_DOLLAR: i64 = 1000;

/// A gateway with one upstream whose tokens cost 1 USD in and 2 USD out, for a million of them.
pub(crate) struct Till {
    pub(crate) gateway: Gateway,
    money: Money,
    _database: Database,
}

impl Till {
    pub(crate) async fn open(upstream: &str) -> Self {
        Self::with(&format!(
            "prices: [{{model: m, input: 1, output: 2}}]\n\
             channels: [{{name: one, provider: openai_compatible, base_url: '{upstream}', api_key: k, models: [m]}}]\n"
        ))
        .await
    }

    /// The same with these sections.
    pub(crate) async fn with(sections: &str) -> Self {
        Self::of(&format!("keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n{sections}"))
            .await
    }

    pub(crate) async fn of(yaml: &str) -> Self {
        let database = Database::sqlite().await;
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let disk = Arc::new(Folder::open(&folder).expect("there is a folder for the journal"));
        Self::over(database, disk, Durability::Process, yaml).await
    }

    /// The same with a journal on another disk.
    async fn over(database: Database, disk: Arc<dyn Disk>, durability: Durability, yaml: &str) -> Self {
        let mut settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        settings.journal.durability = durability;
        let opened = Money::open_on(database.store.clone(), disk, settings, NOW).await;
        let (money, _) = opened.expect("money opens");
        let gateway = Gateway::with_money(yaml, database.store.clone(), money.clone()).await;
        Self { gateway, money, _database: database }
    }

    pub(crate) async fn budget(&self, nanos: i64) {
        let (scope, window) = (Scope::Key("test".into()), Window::Total);
        let amount = NanoUsd(nanos);
        let budget = Budget {
            id: "bud_1".into(),
            scope,
            window,
            amount,
            hard: true,
            alerts: vec![80],
            when_spent: WhenSpent::Refuse,
        };
        self.money.put_budget(budget, NOW, None).await.expect("the budget is made");
    }

    async fn grant(&self, id: &str, nanos: i64) {
        let account = Account::key("test");
        let (amount, kind) = (NanoUsd(nanos), Kind::TopUp);
        let grant = Grant { id, account: &account, amount, kind, actor: "owner", reason: "paid", at: NOW };
        self.money.grant(grant, None).await.expect("the credit is given");
    }

    async fn ask(&self) -> Answer {
        self.gateway.post(CHAT, body(0, false)).await
    }

    /// What the ledger says the key has spent, at the end: nothing is held any more and the books are whole.
    pub(crate) async fn spent(&self) -> i64 {
        let empty = async {
            while self.money.held() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), empty).await.expect("nothing is held at the end");
        // All of the journal goes to the disk and from there into the database.
        self.money.close(NOW).await.expect("the journal is folded");
        let report = self.money.verify(&mut self.money.verifier(), NOW).await.expect("the books can be read");
        assert!(report.flaws.is_empty(), "{:?}", report.flaws);
        let balance = self.money.store().balance(&Account::key("test")).await.expect("it can be read");
        balance.map_or(0, |balance| balance.spent.get())
    }
}

/// The body of request `n`: bodies differ in size.
fn body(n: usize, stream: bool) -> String {
    let text = "word ".repeat(n % 23 + 1);
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }], "max_tokens": 60, "stream": stream, "user": format!("n{n:04}") }).to_string()
}

/// What the upstream says it used for request `n`, and what that costs.
fn usage(n: usize) -> (u64, u64) {
    (10 + (n as u64 % 17), 1 + (n as u64 % 59))
}

fn price(input: u64, output: u64) -> i64 {
    i64::try_from(input + 2 * output).unwrap() * A_DOLLAR
}

fn chunk(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
    )
}

/// The pieces of a stream of three words of eight letters.
fn stream(n: usize) -> Vec<String> {
    let (input, output) = usage(n);
    let mut pieces = vec![chunk("{\"content\":\"abcdefgh\"}"); 3];
    pieces.push(chunk("{}").replace("null", "\"stop\""));
    pieces.push(format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{}}}}}\n\n",
        input + output
    ));
    pieces.push("data: [DONE]\n\n".to_owned());
    pieces
}

fn whole(n: usize) -> Script {
    let (input, output) = usage(n);
    let message = json!({ "role": "assistant", "content": "hello" });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    let usage = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage });
    Script::reply(200, answer.to_string())
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Streamed,
    Whole,
    Refused,
    Cut,
    HungUp,
}

impl Fate {
    fn of(n: usize) -> Self {
        [Self::Streamed, Self::Cut, Self::HungUp, Self::Whole, Self::Streamed, Self::Refused][n % 6]
    }

    fn script(self, n: usize) -> Script {
        match self {
            Self::Streamed => Script::stream(stream(n)),
            Self::Whole => whole(n),
            Self::Refused => Script::reply(400, r#"{"error": {"message": "no", "type": "invalid_request_error"}}"#),
            Self::Cut => Script::stream(stream(n)).cut_after(3),
            Self::HungUp => Script::stream(stream(n)).stall_after(3),
        }
    }

    /// What the upstream's owner bills: what was used, or, where it could not say that, a quarter of the bytes.
    fn bill(self, n: usize) -> i64 {
        let (input, output) = usage(n);
        match self {
            Self::Streamed | Self::Whole => price(input, output),
            Self::Refused => 0,
            Self::Cut | Self::HungUp => price((body(n, true).len() as u64).div_ceil(4), 24 / 4),
        }
    }
}

fn number(body: &[u8]) -> usize {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    body["user"].as_str().unwrap()[1..].parse().unwrap()
}

#[tokio::test]
async fn an_answer_is_charged_to_the_nano_usd_001_23() {
    let upstream = Upstream::always(whole(7)).await;
    let till = Till::open(&upstream.url()).await;
    let answer = till.ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (input, output) = usage(7);
    assert_eq!(till.spent().await, price(input, output));
}

#[tokio::test]
async fn without_credit_nothing_is_sent_and_a_top_up_lets_in_again_001_24() {
    let upstream = Upstream::always(whole(7)).await;
    let till = Till::open(&upstream.url()).await;
    till.money.make_prepaid(&Account::key("test"), NOW).await.unwrap();
    let refused = till.ask().await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    assert_eq!(upstream.hits(), 0);
    till.grant("paid", 1_000_000_000).await;
    assert_eq!(till.ask().await.status, 200);
    let (input, output) = usage(7);
    assert_eq!(till.spent().await, price(input, output));
}

#[tokio::test]
async fn a_budget_that_is_spent_blocks_what_comes_after_002_47() {
    let upstream = Upstream::always(whole(7)).await;
    let till = Till::open(&upstream.url()).await;
    // Enough for one: what it may cost is held first.
    till.budget(400 * A_DOLLAR).await;
    assert_eq!(till.ask().await.status, 200);
    let mut answers = 1;
    while till.ask().await.status == 200 {
        answers += 1;
    }
    assert_eq!(upstream.hits(), answers);
    let (input, output) = usage(7);
    let spent = till.spent().await;
    assert_eq!(spent, price(input, output) * i64::try_from(answers).unwrap());
    assert!(spent <= 400 * A_DOLLAR);
}

#[tokio::test]
async fn a_key_is_told_what_it_has_left() {
    let upstream = Upstream::always(whole(7)).await;
    let till = Till::open(&upstream.url()).await;
    let left = async || till.gateway.get("/v1/usage").await.json()["remaining_usd"].clone();
    assert_eq!(left().await, serde_json::Value::Null);
    till.budget(1_000_000_000).await;
    assert_eq!(left().await, "1");
    till.grant("paid", 500_000_000).await;
    assert_eq!(till.ask().await.status, 200);
    let (input, output) = usage(7);
    assert_eq!(left().await, NanoUsd(500_000_000 - price(input, output)).to_string());
}

#[tokio::test]
async fn a_caller_that_leaves_between_two_attempts_pays_for_none() {
    const TOKEN: &str = "wp-admin-token-0123456789abcdef";
    let ill = Upstream::always(Script::reply(503, "{}")).await;
    let mut till = Till::of(&format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: test, key: {KEY}}}]\nbreaker: off\n\
         retry: {{max_attempts: 3, backoff: {{base: 30s, cap: 60s, on_failover: true}}}}\n\
         prices: [{{model: m, input: 1, output: 2}}]\n\
         channels: [{{name: one, provider: openai_compatible, base_url: '{}', api_key: k, models: [m]}}]\n",
        ill.url()
    ))
    .await;
    let mut events = Request::get("/admin/events").bearer(TOKEN).open(till.gateway.url()).await;
    events.next().await.expect("it listens");
    let mut client = waypost_testkit::Client::connect(till.gateway.url()).await;
    client.write(&Request::post(CHAT, body(0, true)).bearer(KEY).to_bytes("gateway")).await.unwrap();
    while events.next_event().await.expect("it goes on").what.event.as_deref() != Some("attempt_end") {}

    client.hang_up();

    let record = till.gateway.record().await;
    assert_eq!((record.outcome, record.attempts), (waypost_core::usage::Outcome::Abandoned, 1));
    assert_eq!((record.usage.input, record.cost.map(|cost| cost.nano_usd)), (None, Some(0)));
    assert_eq!((till.spent().await, ill.hits()), (0, 1));
}

#[tokio::test]
async fn five_hundred_streams_at_once_never_spend_more_than_a_budget_has() {
    let upstream = Upstream::by(|request| {
        let n = number(&request.body);
        Fate::of(n).script(n)
    })
    .await;
    let till = Arc::new(Till::open(&upstream.url()).await);
    // For about a third of them.
    let budget = 12_000 * A_DOLLAR;
    till.budget(budget).await;
    let mut callers = JoinSet::new();
    for n in 0..500 {
        let till = Arc::clone(&till);
        callers.spawn(async move {
            let fate = Fate::of(n);
            let request = Request::post(CHAT, body(n, fate != Fate::Whole)).bearer(KEY);
            if fate != Fate::HungUp {
                return request.send(till.gateway.url()).await.status;
            }
            let mut live = request.open(till.gateway.url()).await;
            let status = live.status;
            if status == 200 {
                for _ in 0..3 {
                    live.next_event().await.expect("three words come");
                }
            }
            live.hang_up();
            status
        });
    }
    let statuses = callers.join_all().await;
    let sent: Vec<usize> = upstream.requests().iter().map(|request| number(&request.body)).collect();
    let bill: i64 = sent.iter().map(|n| Fate::of(*n).bill(*n)).sum();
    let spent = till.spent().await;
    assert_eq!(spent, bill);
    assert!(spent <= budget, "{spent} of {budget}");
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(sent.len() + refused, 500, "whoever was not refused was sent, once");
    assert!(refused > 0 && sent.len() > 20, "{refused} refused, {} sent", sent.len());
    let standing = till.money.books().all()[0].standing(NOW);
    assert_eq!((standing.held.get(), standing.spent.get()), (0, bill));
}

const TIERED: &str =
    "prices: [{model: m, input: 1, output: 2, cache_read: 0.1, service_tiers: {flex: 0.5, batch: 0.5, priority: 2}}]";

/// What one request for this tier costs that is answered with these bytes.
async fn charged(provider: &str, path: &str, (tier, stream): (&str, bool), answer: Script) -> i64 {
    let upstream = Upstream::always(answer).await;
    let channel = channel("one", provider, &upstream.url(), "[m]");
    let till = Till::with(&format!("{TIERED}\nchannels:\n{channel}")).await;
    let (field, prompt) = if path == "/v1/responses" {
        ("max_output_tokens", ("input", json!("Hello")))
    } else {
        ("max_tokens", ("messages", json!([{ "role": "user", "content": "Hello" }])))
    };
    let body = json!({ "model": "m", field: 60, "service_tier": tier, "stream": stream, prompt.0: prompt.1 });
    let answer = till.gateway.post(path, body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    till.spent().await
}

#[tokio::test]
async fn the_service_tier_that_the_answer_names_is_charged_to_the_nano_usd() {
    let openai = |served: &str| fixtures::openai_chat::PLAIN.replace("\"default\"", &format!("\"{served}\""));
    let whole = async |tier: &str, served: &str| {
        charged("openai", CHAT, (tier, false), Script::reply(200, openai(served))).await
    };
    let usual = price(19, 10);
    assert_eq!(whole("priority", "default").await, usual, "what was asked for was not to be had");
    assert_eq!(whole("auto", "priority").await, 2 * usual);
    assert_eq!(whole("default", "flex").await, usual / 2);
    let silent = fixtures::openai_chat::PLAIN.replace("\"service_tier\": \"default\",", "");
    assert_eq!(charged("openai", CHAT, ("priority", false), Script::reply(200, silent)).await, 2 * usual);

    // No discount is given because it was asked for.
    for tier in ["batch", "flex"] {
        let silent = fixtures::openai_chat::PLAIN.replace("\"service_tier\": \"default\",", "");
        assert_eq!(charged("openai", CHAT, (tier, false), Script::reply(200, silent)).await, usual, "{tier}");
    }

    let streamed = fixtures::openai_chat::STREAM_USAGE.replace("\"default\"", "\"flex\"");
    let script = Script::stream(fixtures::events(&streamed));
    assert_eq!(charged("openai", CHAT, ("auto", true), script).await, price(19, 9) / 2);
    let answered =
        fixtures::openai_responses::PLAIN.replace("\"service_tier\": \"default\"", "\"service_tier\": \"priority\"");
    let cost = charged("openai", "/v1/responses", ("auto", false), Script::reply(200, answered)).await;
    assert_eq!(cost, 2 * price(19, 9));

    // 12 tokens as usual, 1024 from the cache, 12 out.
    let usual = price(12, 12) + 1024 * A_DOLLAR / 10;
    let claude = |served: &str| fixtures::anthropic::PLAIN.replace("\"standard\"", &format!("\"{served}\""));
    let whole = async |served: &str| {
        charged("anthropic", "/v1/messages", ("auto", false), Script::reply(200, claude(served))).await
    };
    assert_eq!((whole("standard").await, whole("priority").await), (usual, 2 * usual));
    let streamed = fixtures::anthropic::STREAM.replace("\"standard\"", "\"batch\"");
    let script = Script::stream(fixtures::events(&streamed));
    let half = charged("anthropic", "/v1/messages", ("auto", true), script).await;
    let script = Script::stream(fixtures::events(fixtures::anthropic::STREAM));
    assert_eq!(charged("anthropic", "/v1/messages", ("auto", true), script).await, 2 * half);
}

#[tokio::test]
async fn a_fast_answer_of_anthropic_is_held_and_charged_as_the_dearer_service() {
    let fast = fixtures::anthropic::PLAIN
        .replace("\"service_tier\":\"standard\"", "\"service_tier\":\"standard\",\"speed\":\"fast\"");
    assert!(fast.contains("\"speed\""), "the fixture says its tier otherwise");
    let upstream = Upstream::always(Script::reply(200, fast)).await;
    let body = json!({ "model": "m", "max_tokens": 60, "speed": "fast", "messages": [{ "role": "user", "content": "Hello" }] })
        .to_string();
    let channel = channel("one", "anthropic", &upstream.url(), "[m]");
    let usual = price(12, 12) + 1024 * A_DOLLAR / 10;
    let till = Till::with(&format!("{TIERED}\nchannels:\n{channel}")).await;
    assert_eq!(till.gateway.post("/v1/messages", body.clone()).await.status, 200);
    assert_eq!(till.spent().await, 2 * usual);

    let plain = TIERED.replace(", priority: 2", "");
    let till = Till::with(&format!("{plain}\nchannels:\n{channel}")).await;
    till.budget(1_000_000 * A_DOLLAR).await;
    let refused = till.gateway.post("/v1/messages", body).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("`speed`"), "{}", refused.text());
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn what_is_left_to_the_provider_is_held_at_the_dearest_it_can_answer() {
    let upstream = Upstream::always(whole(7)).await;
    let channel = channel("one", "openai", &upstream.url(), "[m]");
    let till = Till::with(&format!("{TIERED}\nchannels:\n{channel}")).await;
    let body = |tier: &str| {
        json!({ "model": "m", "max_tokens": 60, "service_tier": tier, "messages": [{ "role": "user", "content": "Hello" }] })
            .to_string()
    };
    // Enough for the usual service and for less than twice that.
    let bound = i64::try_from(body("default").len()).unwrap() * A_DOLLAR + 120 * A_DOLLAR;
    till.budget(bound + bound / 2).await;
    for tier in ["auto", "priority"] {
        let refused = till.gateway.post(CHAT, body(tier)).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &"insufficient_quota".into()), "{tier}");
    }
    assert_eq!(upstream.hits(), 0);
    assert_eq!(till.gateway.post(CHAT, body("default")).await.status, 200);
}

#[tokio::test]
async fn a_group_is_asked_like_a_model_within_its_scope_and_its_own_budget_is_charged_004_29() {
    let (ill, well) = (Upstream::always(Script::reply(503, "{}")).await, Upstream::always(whole(7)).await);
    let channels = [
        channel("one", "openai", &ill.url(), "[gpt-4o]"),
        channel("two", "openai", &well.url(), "[{name: gpt-4o-mini, price: {input: 1, output: 2}}]"),
    ];
    let key = "keys: [{name: test, key: wp-group-key-0123456789, groups: ['auto:*']}]\nbreaker: off\n\
               retry: {max_attempts: 2, backoff: {base: 1ms}}\nprices: [{model: gpt-4o, input: 1, output: 2}]\n\
               model_groups: [{name: 'auto:fast', members: [{model: gpt-4o, tier: 1}, {model: gpt-4o-mini, tier: 2}]}]\n";
    let till = Till::of(&format!("{key}channels:\n{}", channels.concat())).await;
    let scope = Scope::Group("auto:fast".into());
    let amount = NanoUsd(400 * A_DOLLAR);
    let budget = Budget {
        id: "bud_g".into(),
        scope: scope.clone(),
        window: Window::Day,
        amount,
        hard: true,
        alerts: vec![],
        when_spent: WhenSpent::Refuse,
    };
    till.money.put_budget(budget, NOW, None).await.unwrap();
    let ask = async |model: &str| {
        let body = json!({ "model": model, "max_tokens": 60, "messages": [{ "role": "user", "content": "Hello" }] });
        Request::post(CHAT, body.to_string()).bearer("wp-group-key-0123456789").send(till.gateway.url()).await
    };
    assert_eq!(ask("gpt-4o").await.status, 403, "its members are not in its scope");
    let answer = ask("auto:fast").await;
    assert_eq!(
        (answer.status, answer.header("x-waypost-deployment")),
        (200, Some("two/gpt-4o-mini")),
        "{}",
        answer.text()
    );
    assert_eq!((&answer.json()["model"], ill.hits()), (&"auto:fast".into(), 1));
    let mut served = 1;
    let refused = loop {
        let answer = ask("auto:fast").await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
    };
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &"insufficient_quota".into()));
    let (input, output) = usage(7);
    till.spent().await;
    let windows = till.money.store().windows("bud_g", 1).await.unwrap();
    assert_eq!(windows[0].spent, NanoUsd(served * price(input, output)));
}

/// What a disk does when it is asked to keep what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Syncing {
    #[default]
    Works,
    Waits,
    Fails,
}

/// Whether a disk keeps what was written, for the test to say.
#[derive(Clone, Default)]
struct Syncs(Arc<(Mutex<Syncing>, Condvar)>);

impl Syncs {
    fn set(&self, syncing: Syncing) {
        *self.0.0.lock().unwrap() = syncing;
        self.0.1.notify_all();
    }

    fn disk(&self) -> MemoryDisk {
        let (disk, syncs) = (MemoryDisk::default(), Arc::clone(&self.0));
        disk.watch(move |call| {
            if call != Call::Sync {
                return Ok(());
            }
            let (syncing, changed) = &*syncs;
            // A test that failed must not wait for ever.
            let patience = Duration::from_secs(20);
            let waits = |syncing: &mut Syncing| *syncing == Syncing::Waits;
            let syncing = *changed.wait_timeout_while(syncing.lock().unwrap(), patience, waits).unwrap().0;
            if syncing == Syncing::Fails { Err(std::io::Error::other("as the test wants")) } else { Ok(()) }
        });
        disk
    }
}

/// A gateway whose answers wait for its disk.
async fn over_power(upstream: &Upstream, syncs: &Syncs) -> Till {
    let url = upstream.url();
    let yaml = format!(
        "keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n\
         prices: [{{model: m, input: 1, output: 2}}]\n\
         channels: [{{name: one, provider: openai_compatible, base_url: '{url}', api_key: k, models: [m]}}]\n"
    );
    let till = Till::over(Database::sqlite().await, Arc::new(syncs.disk()), Durability::Power, &yaml).await;
    // The journal has begun: what it makes at its beginning is not what is waited for.
    assert_eq!(till.ask().await.status, 200);
    till
}

#[tokio::test]
async fn with_durability_power_no_byte_leaves_before_the_disk_has_the_hold_and_the_upstream_is_asked_meanwhile() {
    let upstream = Upstream::by(|asked| match serde_json::from_slice::<serde_json::Value>(&asked.body) {
        Ok(body) if body["stream"] == true => Script::stream(stream(7)),
        _ => whole(7),
    })
    .await;
    let syncs = Syncs::default();
    let till = over_power(&upstream, &syncs).await;
    syncs.set(Syncing::Waits);
    let request = Request::post(CHAT, body(7, true)).bearer(KEY);
    let url = till.gateway.url().to_owned();
    let mut asked = tokio::spawn(async move { request.open(&url).await });
    upstream.wait_hits(2).await;
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asked).await;
    assert!(early.is_err(), "the head left before the disk had the hold");
    syncs.set(Syncing::Works);
    let mut live = asked.await.expect("it is answered");
    assert_eq!(live.status, 200);
    assert!(live.rest().await.ends_with(b"data: [DONE]\n\n"));
    let (input, output) = usage(7);
    assert_eq!(till.spent().await, 2 * price(input, output));
}

#[tokio::test]
async fn with_durability_power_nobody_is_answered_whose_hold_the_disk_did_not_keep() {
    let upstream = Upstream::always(whole(7)).await;
    let syncs = Syncs::default();
    let till = over_power(&upstream, &syncs).await;
    syncs.set(Syncing::Fails);
    let refused = till.ask().await;
    assert_eq!((refused.status, refused.text().contains("hello")), (503, false), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    syncs.set(Syncing::Works);
    assert_eq!(till.ask().await.status, 200);
    let (input, output) = usage(7);
    assert_eq!(till.spent().await, 2 * price(input, output));
}
