//! What a key has used and has left, as clients of OpenAI's old dashboard and of the one-api family ask for it.

use waypost_store::logbook::LogRow;
use waypost_testkit::Request;

use crate::harness::{Database, Gateway, KEY};

const YAML: &str = "channels: [{name: sim, provider: simulator}]\n";

/// A gateway whose key `test` has spent 12.34567891 dollars today on two models, beside another key.
async fn gateway(database: &Database) -> Gateway {
    let yaml = format!("keys: [{{name: test, key: {KEY}, models: ['sim/*']}}]\n{YAML}");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let row = |key: &str, model: &str, cost: Option<i64>| LogRow {
        at: gateway.app.unix_millis(),
        key_id: key.into(),
        key_name: key.into(),
        model: model.into(),
        input: Some(100),
        output: Some(7),
        cost,
        status: 200,
        ..LogRow::default()
    };
    let rows = [
        row("test", "sim/chat", Some(12_000_000_000)),
        row("test", "sim/embed", Some(345_678_910)),
        row("test", "sim/chat", None),
        row("other", "sim/chat", Some(99_000_000_000)),
    ];
    database.store.logbook().write(&rows).await.unwrap();
    gateway
}

#[tokio::test]
async fn the_dashboard_says_what_was_spent_in_cents_and_that_nothing_bounds_it() {
    let database = Database::sqlite().await;
    let gateway = gateway(&database).await;
    for mount in ["", "/v1"] {
        let answer = gateway.get(&format!("{mount}/dashboard/billing/subscription")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let wanted = r#"{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":100000000,"hard_limit_usd":100000000,"system_hard_limit_usd":100000000,"access_until":0}"#;
        assert_eq!(answer.text(), wanted);
        let answer = gateway.get(&format!("{mount}/dashboard/billing/usage")).await;
        assert_eq!(answer.text(), r#"{"object":"list","total_usage":1234.567891,"daily_costs":[]}"#);
    }
    let answer = gateway.get("/v1/dashboard/billing/usage?start_date=2026-01-01&end_date=2099-12-31").await;
    assert_eq!(answer.json()["total_usage"].to_string(), "1234.567891");
    assert_eq!(answer.json()["daily_costs"].as_array().map(Vec::len), Some(0), "{}", answer.text());
    let today = gateway.app.unix_millis();
    let answer = gateway.get(&format!("/v1/dashboard/billing/usage?start_date={today}&end_date={today}")).await;
    let items = &answer.json()["daily_costs"][0]["line_items"];
    assert_eq!(
        (items[0]["name"].as_str(), items[0]["cost"].to_string()),
        (Some("sim/chat"), "1200".to_owned()),
        "{items}"
    );
    assert_eq!((items[1]["name"].as_str(), items[1]["cost"].to_string()), (Some("sim/embed"), "34.567891".to_owned()));
    let wrong = gateway.get("/v1/dashboard/billing/usage?start_date=yesterday").await;
    assert_eq!((wrong.status, wrong.json()["error"]["param"].as_str()), (400, Some("start_date")));
}

#[tokio::test]
async fn a_key_reads_its_own_usage_in_decimals_and_in_the_units_of_the_family() {
    let database = Database::sqlite().await;
    let gateway = gateway(&database).await;
    let usage = gateway.get("/v1/usage").await.json();
    assert_eq!((usage["object"].as_str(), usage["key_name"].as_str()), (Some("usage"), Some("test")));
    for span in ["today", "last_30_days", "total"] {
        let sums = &usage[span];
        assert_eq!((sums["requests"].as_i64(), sums["cost_usd"].as_str()), (Some(3), Some("12.34567891")), "{span}");
        assert_eq!((sums["tokens"]["input"].as_i64(), sums["tokens"]["output"].as_i64()), (Some(300), Some(21)));
        assert_eq!(sums["unpriced_requests"], 1);
    }
    assert!(usage["remaining_usd"].is_null() && usage["unlimited"] == true);
    let token = gateway.get("/api/usage/token").await.json();
    let data = &token["data"];
    assert_eq!((token["code"].as_bool(), data["total_used"].as_i64()), (Some(true), Some(6_172_839)));
    assert_eq!((data["unlimited_quota"].as_bool(), data["model_limits"]["sim/*"].as_bool()), (Some(true), Some(true)));
}

#[tokio::test]
async fn nobody_reads_it_without_a_key_and_without_a_database_nothing_was_used() {
    let database = Database::sqlite().await;
    let gateway = gateway(&database).await;
    for path in ["/v1/usage", "/dashboard/billing/usage", "/v1/dashboard/billing/subscription", "/api/usage/token"] {
        assert_eq!(Request::get(path).send(gateway.url()).await.status, 401, "{path}");
        assert_eq!(
            Request::get(path).bearer("wp-wrong-key-0123456789").send(gateway.url()).await.status,
            401,
            "{path}"
        );
    }
    let bare = Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\n{YAML}")).await;
    assert_eq!(bare.get("/v1/usage").await.json()["total"]["cost_usd"], "0");
}
