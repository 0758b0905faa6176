//! Budgets that degrade: requests that they have not enough for fall to what is cheaper, and the trail says why.

use serde_json::{Value, json};
use waypost_core::ledger::{Budget, Scope, WhenSpent, Window};
use waypost_core::money::NanoUsd;
use waypost_store::ledger::ChainKey;
use waypost_store::money::{Money, Settings};
use waypost_testkit::{Answer, Request, Script, Upstream};

use crate::harness::{Database, Gateway, KEY, NOW};

const TOKEN: &str = "an-admin-token-0123456789";
const CHAT: &str = "/v1/chat/completions";

fn answer(input: u64, output: u64) -> Script {
    let message = json!({ "role": "assistant", "content": "hello" });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    let usage = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage });
    Script::reply(200, answer.to_string())
}

/// A dear and a cheap account of the model `smart`, and the models `plain` and `free` that stand in for it.
struct Shop {
    gateway: Gateway,
    money: Money,
    dear: Upstream,
    cheap: Upstream,
    plain: Upstream,
    free: Upstream,
    _database: Database,
}

impl Shop {
    async fn open(keys: &str) -> Self {
        let database = Database::sqlite().await;
        let settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let (money, _) = Money::open(database.store.clone(), &folder, settings, NOW).await.expect("money opens");
        let upstream = || Upstream::always(answer(10, 50));
        let (dear, cheap, plain, free) = (upstream().await, upstream().await, upstream().await, upstream().await);
        let yaml = format!(
            "admin: {{token: {TOKEN}}}\nkeys: [{keys}]\nretry: {{max_attempts: 1}}\nbreaker: off\n\
             routing: {{models: {{smart: {{degrade_to: [plain, free]}}}}}}\n\
             prices:\n  - {{model: smart, channel: dear, input: 10, output: 100}}\n  \
             - {{model: smart, channel: cheap, input: 1, output: 10}}\n  \
             - {{model: plain, input: 0.1, output: 1}}\n  - {{model: free, input: 0, output: 0}}\n\
             channels:\n  \
             - {{name: dear, tier: 1, provider: openai_compatible, base_url: '{}', api_key: k, models: [smart]}}\n  \
             - {{name: cheap, tier: 2, provider: openai_compatible, base_url: '{}', api_key: k, models: [smart]}}\n  \
             - {{name: plain, provider: openai_compatible, base_url: '{}', api_key: k, models: [plain]}}\n  \
             - {{name: free, provider: openai_compatible, base_url: '{}', api_key: k, models: [free]}}\n",
            dear.url(),
            cheap.url(),
            plain.url(),
            free.url()
        );
        let gateway = Gateway::with_money(&yaml, database.store.clone(), money.clone()).await;
        Self { gateway, money, dear, cheap, plain, free, _database: database }
    }

    async fn budget(&self, id: &str, scope: Scope, nanos: i64, when_spent: WhenSpent) {
        let (window, amount, alerts) = (Window::Day, NanoUsd(nanos), vec![100]);
        let budget = Budget { id: id.into(), scope, window, amount, hard: true, alerts, when_spent };
        self.money.put_budget(budget, NOW, None).await.expect("the budget is made");
    }

    async fn ask(&self) -> Answer {
        let body = json!({ "model": "smart", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50 });
        let request = Request::post(CHAT, body.to_string()).bearer(KEY).header("x-waypost-debug", "true");
        request.send(self.gateway.url()).await
    }

    fn hits(&self) -> [usize; 4] {
        [self.dear.hits(), self.cheap.hits(), self.plain.hits(), self.free.hits()]
    }
}

#[tokio::test]
async fn an_explanation_names_the_budgets_that_degrade_and_the_models_that_stand_in() {
    let shop = Shop::open(&everything()).await;
    shop.budget("bud_group", Scope::Group("smart".into()), 8_000_000, WhenSpent::Degrade).await;
    shop.budget("bud_all", Scope::Global, 8_000_000, WhenSpent::Degrade).await;
    shop.budget("bud_hard", Scope::Global, 8_000_000, WhenSpent::Refuse).await;
    shop.budget("bud_key", Scope::Key("test".into()), 8_000_000, WhenSpent::Degrade).await;
    let explained = async |query: &str| {
        let path = format!("/admin/explain?{query}");
        let answer = Request::get(&path).bearer(TOKEN).send(shop.gateway.url()).await.json();
        (answer["degrading_budgets"].clone(), answer["degrade_to"].clone())
    };
    assert_eq!(explained("model=smart").await, (json!(["bud_all", "bud_group"]), json!(["plain", "free"])));
    assert_eq!(explained("model=plain").await, (json!(["bud_all"]), json!([])));
    // Counting costs nothing.
    assert_eq!(explained("model=smart&operation=count_tokens").await.0, json!([]));
}

fn everything() -> String {
    format!("{{name: test, key: {KEY}}}")
}

fn why(answer: &Answer) -> Value {
    let trace: Value = serde_json::from_str(answer.header("x-waypost-trace").expect("it was asked for")).unwrap();
    trace["degraded"].clone()
}

/// What the dear one costs is 5.1 million nano-USD, and at most 6 million; the cheap one a tenth of it.
#[tokio::test]
async fn a_groups_daily_budget_falls_to_the_cheaper_tier_then_to_other_groups_and_says_why_004_29() {
    let shop = Shop::open(&everything()).await;
    shop.budget("bud_group", Scope::Group("smart".into()), 8_000_000, WhenSpent::Degrade).await;
    let first = shop.ask().await;
    assert_eq!((first.status, first.header("x-waypost-degraded")), (200, None), "{}", first.text());
    assert_eq!((shop.hits(), why(&first)), ([1, 0, 0, 0], Value::Null));
    // Five of eight are spent: enough for the second tier.
    let second = shop.ask().await;
    assert_eq!((second.status, second.header("x-waypost-degraded")), (200, Some("bud_group")), "{}", second.text());
    assert_eq!(shop.hits(), [1, 1, 0, 0]);
    let told = why(&second);
    assert_eq!(
        (&told["budget"], &told["asked"], &told["given"]),
        (&json!("bud_group"), &json!("smart"), &json!("smart"))
    );
    assert!(told["needed"].as_i64() > told["left"].as_i64(), "{told}");
    // Now and then another one of the second tier; then the group has nothing left, and another group answers.
    let mut last = shop.ask().await;
    while why(&last)["given"] == "smart" {
        last = shop.ask().await;
    }
    assert_eq!((last.status, &why(&last)["given"]), (200, &json!("plain")), "{}", last.text());
    assert_eq!((shop.hits()[2], shop.hits()[3]), (1, 0));
    let sent: Value = serde_json::from_slice(&shop.plain.requests()[0].body).unwrap();
    assert_eq!(sent["model"], "plain");
    // What another group costs is not the spent group's.
    shop.money.close(NOW).await.unwrap();
    let spent = shop.money.store().windows("bud_group", 1).await.unwrap()[0].spent.get();
    let [dear, cheap, ..] = shop.hits().map(|hits| i64::try_from(hits).unwrap());
    assert_eq!(spent, dear * 5_100_000 + cheap * 510_000);
}

#[tokio::test]
async fn a_spent_budget_refuses_when_nothing_affordable_remains_004_29() {
    // `free` is not for this key, so that nothing remains once its own budget is spent.
    let shop = Shop::open(&format!("{{name: test, key: {KEY}, models: [smart, plain]}}")).await;
    shop.budget("bud_key", Scope::Key("test".into()), 700_000, WhenSpent::Degrade).await;
    assert_eq!(shop.ask().await.status, 200);
    assert_eq!(shop.hits(), [0, 1, 0, 0]);
    let second = shop.ask().await;
    assert_eq!((second.status, &why(&second)["given"]), (200, &json!("plain")), "{}", second.text());
    let mut refused = shop.ask().await;
    while refused.status == 200 {
        refused = shop.ask().await;
    }
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    let [dear, cheap, plain, free] = shop.hits().map(|hits| i64::try_from(hits).unwrap());
    assert_eq!((dear, cheap, free), (0, 1, 0));
    shop.money.close(NOW).await.unwrap();
    let spent = shop.money.store().windows("bud_key", 1).await.unwrap()[0].spent.get();
    assert_eq!(spent, cheap * 510_000 + plain * 51_000);
    assert!(spent <= 700_000);
}

#[tokio::test]
async fn what_costs_nothing_answers_when_all_money_is_spent_and_a_refusing_budget_still_refuses_004_29() {
    let shop = Shop::open(&everything()).await;
    shop.budget("bud_all", Scope::Global, 0, WhenSpent::Degrade).await;
    let answer = shop.ask().await;
    assert_eq!((answer.status, &why(&answer)["given"]), (200, &json!("free")), "{}", answer.text());
    shop.budget("bud_group", Scope::Group("smart".into()), 0, WhenSpent::Refuse).await;
    // The group's own budget refuses, whichever of the two is looked at first.
    let again = shop.ask().await;
    assert!(again.status == 429 || why(&again)["given"] == "free", "{}", again.text());
    shop.money.delete_budget("bud_all", None, NOW, None).await.unwrap();
    assert_eq!(shop.ask().await.status, 429);
    assert_eq!(shop.hits()[..3], [0, 0, 0]);
}
