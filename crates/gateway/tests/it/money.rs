//! Money under a running gateway: what is held, what is charged, and that nobody ever spends more than they have.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use waypost_core::ledger::{Account, Budget, Scope, WhenSpent, Window};
use waypost_core::money::NanoUsd;
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::{ChainKey, Kind};
use waypost_store::money::{Money, Settings};
use waypost_testkit::{Answer, Request, Script, Upstream};

use crate::harness::{Database, Gateway, KEY, NOW};

const CHAT: &str = "/v1/chat/completions";
/// One dollar for a million tokens is so many nano-USD for one.
const A_DOLLAR: i64 = 1000;

/// A gateway with one upstream whose tokens cost 1 USD in and 2 USD out, for a million of them.
struct Till {
    gateway: Gateway,
    money: Money,
    _database: Database,
}

impl Till {
    async fn open(upstream: &str) -> Self {
        let database = Database::sqlite().await;
        let settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let opened = Money::open(database.store.clone(), &folder, settings, NOW).await;
        let (money, _) = opened.expect("money opens");
        let yaml = format!(
            "keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n\
             prices: [{{model: m, input: 1, output: 2}}]\n\
             channels: [{{name: one, provider: openai_compatible, base_url: '{upstream}', api_key: k, models: [m]}}]\n"
        );
        let gateway = Gateway::with_money(&yaml, database.store.clone(), money.clone()).await;
        Self { gateway, money, _database: database }
    }

    async fn budget(&self, nanos: i64) {
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
        self.money.put_budget(budget, NOW).await.expect("the budget is made");
    }

    async fn grant(&self, id: &str, nanos: i64) {
        let account = Account::key("test");
        let (amount, kind) = (NanoUsd(nanos), Kind::TopUp);
        let grant = Grant { id, account: &account, amount, kind, actor: "owner", reason: "paid", at: NOW };
        self.money.grant(grant).await.expect("the credit is given");
    }

    async fn ask(&self) -> Answer {
        self.gateway.post(CHAT, body(0, false)).await
    }

    /// What the ledger says the key has spent, at the end: nothing is held any more and the books are whole.
    async fn spent(&self) -> i64 {
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
