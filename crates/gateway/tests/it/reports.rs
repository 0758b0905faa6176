//! Usage and the log of calls over the administration's API: asked for, drawn, paged, exported, and wrong questions told.

use waypost_store::logbook::{DAY_MS, LogRow};
use waypost_testkit::{Answer, Request};

use crate::harness::{Database, Gateway};

const ADMIN: &str = "wp-admin-token-0123456789";

/// A gateway with 30 calls of three keys in its log, of today and the two days before.
async fn gateway(database: &Database) -> (Gateway, i64) {
    let yaml = format!("admin: {{token: {ADMIN}}}\nchannels: [{{name: sim, provider: simulator}}]\n");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let now = gateway.app.unix_millis().div_euclid(DAY_MS) * DAY_MS + 1000;
    let rows: Vec<LogRow> = (0..30)
        .map(|number| LogRow {
            at: now - number % 3 * DAY_MS + number,
            request_id: format!("req_{number}").into(),
            key_id: format!("key_{}", number % 3).into(),
            key_name: format!("=app {}", number % 3).into(),
            user_id: if number % 3 == 2 { "".into() } else { format!("usr_{}", number % 3).into() },
            team_id: "team_1".into(),
            model: format!("m{}", number % 2).into(),
            operation: "chat".into(),
            deployment: "one/m".into(),
            channel: "one".into(),
            attempts: 1,
            trail: r#"[{"deployment":"one/m"}]"#.into(),
            input: Some(10),
            output: Some(number),
            basis: "provider".into(),
            cost: Some(number * 500_000_000),
            status: if number == 7 { 502 } else { 200 },
            outcome: "complete".into(),
            error: if number == 7 { "upstream_failed".into() } else { "".into() },
            ..LogRow::default()
        })
        .collect();
    database.store.logbook().write(&rows).await.unwrap();
    (gateway, now)
}

async fn asked(gateway: &Gateway, path: &str) -> Answer {
    Request::get(path).bearer(ADMIN).send(gateway.url()).await
}

#[tokio::test]
async fn usage_is_told_by_two_words_in_pages_with_a_total_001_22() {
    let database = Database::sqlite().await;
    let (gateway, _) = gateway(&database).await;
    let (mut after, mut cost, mut groups) = (String::new(), 0.0, Vec::new());
    for page in 0..10 {
        let answer = asked(&gateway, &format!("/admin/usage?group_by=model,key&limit=4{after}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.json();
        assert_eq!(told["group_by"], serde_json::json!(["key", "model"]));
        assert_eq!(told["total"].is_object(), page == 0);
        if page == 0 {
            let total = &told["total"];
            assert_eq!((total["requests"].as_i64(), total["cost_usd"].as_str()), (Some(30), Some("217.5")));
            assert_eq!((total["errors"].as_i64(), total["tokens"]["input"].as_i64()), (Some(1), Some(300)));
        }
        for group in told["data"].as_array().unwrap() {
            groups.push(format!("{} {}", group["key"].as_str().unwrap(), group["model"].as_str().unwrap()));
            cost += group["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
            assert!(group["key_name"].as_str().unwrap().starts_with("=app") && group.get("user").is_none());
        }
        match told["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(groups, ["key_0 m0", "key_0 m1", "key_1 m0", "key_1 m1", "key_2 m0", "key_2 m1"]);
    assert!((cost - 217.5).abs() < 1e-9);
}

#[tokio::test]
async fn usage_of_some_days_and_some_callers() {
    let database = Database::sqlite().await;
    let (gateway, now) = gateway(&database).await;
    let told = asked(&gateway, &format!("/admin/usage?group_by=day&from={now}&to={now}")).await.json();
    assert_eq!((told["from"] == told["to"], told["data"].as_array().map(Vec::len)), (true, Some(1)));
    assert_eq!((&told["data"][0]["day"], &told["data"][0]["requests"]), (&told["from"], &serde_json::json!(10)));
    let told = asked(&gateway, "/admin/usage?group_by=user&model=m0&team=team_1").await.json();
    assert_eq!(told["data"][0]["user"], serde_json::Value::Null);
    assert_eq!((told["total"]["requests"].as_i64(), told["data"].as_array().map(Vec::len)), (Some(15), Some(3)));
    for (query, param) in [
        ("group_by=color", "group_by"),
        ("group_by=key,key", "group_by"),
        ("group_by=key,user,team", "group_by"),
        ("from=yesterday", "from"),
        ("from=2026-11-02&to=2026-11-01", "from"),
        ("after=nowhere", "after"),
        ("limit=0", "limit"),
        ("format=xml", "format"),
    ] {
        let answer = asked(&gateway, &format!("/admin/usage?{query}")).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(param)), "{query}");
    }
}

#[tokio::test]
async fn calls_are_listed_in_pages_filtered_and_found_by_id_001_21() {
    let database = Database::sqlite().await;
    let (gateway, now) = gateway(&database).await;
    let (mut after, mut seen) = (String::new(), Vec::new());
    for _ in 0..10 {
        let told = asked(&gateway, &format!("/admin/logs?limit=7{after}")).await.json();
        for call in told["data"].as_array().unwrap() {
            seen.push(call["at"].as_i64().unwrap());
        }
        match told["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(seen.len() == 30 && seen.is_sorted_by(|earlier, later| earlier > later), "{seen:?}");
    for (query, count) in [
        ("key=key_1", 10),
        ("user=usr_1&model=m1", 5),
        ("error=true", 1),
        ("error=upstream_failed&status=5xx", 1),
        ("error=other", 0),
        ("min_cost=14", 2),
        ("deployment=one%2Fm&team=team_1&operation=chat&outcome=complete&channel=one", 30),
        ("request_id=req_3", 1),
    ] {
        let told = asked(&gateway, &format!("/admin/logs?{query}")).await.json();
        assert_eq!(told["data"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let told = asked(&gateway, &format!("/admin/logs?from={now}")).await.json();
    assert_eq!(told["data"].as_array().map(Vec::len), Some(10));
    let call = asked(&gateway, "/admin/logs/req_29").await.json();
    assert_eq!((call["cost_usd"].as_str(), call["tokens"]["output"].as_i64()), (Some("14.5"), Some(29)));
    assert_eq!(
        (&call["trail"][0]["deployment"], &call["user"]),
        (&serde_json::json!("one/m"), &serde_json::Value::Null)
    );
    assert_eq!(asked(&gateway, "/admin/logs/req_30").await.status, 404);
    for (query, param) in
        [("status=404", "status"), ("min_cost=much", "min_cost"), ("after=1", "after"), ("to=x", "to")]
    {
        let answer = asked(&gateway, &format!("/admin/logs?{query}")).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(param)), "{query}");
    }
}

#[tokio::test]
async fn files_are_csv_and_hold_no_formula() {
    let database = Database::sqlite().await;
    let (gateway, _) = gateway(&database).await;
    let usage = asked(&gateway, "/admin/usage?group_by=key&format=csv").await;
    assert_eq!(usage.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert!(usage.header("content-disposition").is_some_and(|value| value.contains("usage.csv")));
    let text = usage.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("key,key_name,requests,errors,input_tokens") && lines.len() == 5, "{text}");
    assert_eq!(lines[1], "key_0,\"'=app 0\",10,0,100,135,0,0,0,67.5,0");
    let calls = asked(&gateway, "/admin/logs?format=csv&limit=2").await;
    assert!(calls.header("x-waypost-next").is_some_and(|next| next.contains('.')));
    assert_eq!(calls.text().lines().count(), 3, "{}", calls.text());
    assert!(calls.text().contains("\"'=app "));
}

#[tokio::test]
async fn nobody_but_the_administration_reads_reports() {
    let database = Database::sqlite().await;
    let (gateway, _) = gateway(&database).await;
    for path in ["/admin/usage", "/admin/logs", "/admin/logs/req_1", "/auth/usage", "/auth/logs", "/auth/billing"] {
        assert_eq!(Request::get(path).send(gateway.url()).await.status, 401, "{path}");
    }
    // The admin token is nobody who could have usage of their own.
    assert_eq!(asked(&gateway, "/auth/usage").await.status, 403);
}
