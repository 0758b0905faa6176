//! The log of calls in the database: every admitted request is one row, whatever becomes of it; the log holds nobody up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use waypost_core::usage::{CostRecord, UsageRecord};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::logbook::retention::forget;
use waypost_gateway::logbook::{Logbook, MOST_NAMES, RowCounts};
use waypost_gateway::telemetry::Wall;
use waypost_store::Store;
use waypost_store::logbook::{DAY_MS, Dimension, GroupBy, LogFilter, LogRow, Report, Scope, Sums, UsageFilter};
use waypost_testkit::{Client, Request, Script, Upstream as Scripted};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Database, Gateway, KEY, NOW, channel};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files these records and waits until all of them are written or dropped.
pub(crate) async fn filed(store: &Store, gateway: &Gateway, records: &[UsageRecord]) -> Arc<RowCounts> {
    let (jobs, counts) = (Jobs::new(), Arc::new(RowCounts::default()));
    let logbook = Logbook::start(store.clone(), Arc::clone(&counts), &jobs);
    logbook.file(records, &Wall::now(&gateway.app.clock));
    drop(logbook);
    let late = jobs.drain(Instant::now() + PATIENCE).await;
    assert!(late.is_empty(), "{late:?}");
    counts
}

async fn all(store: &Store) -> Vec<LogRow> {
    let page = store.logbook().list(&Scope::Everything, &LogFilter::default(), None, 1000).await.unwrap();
    assert_eq!(page.next, None);
    page.rows.into_iter().map(|call| call.row).collect()
}

/// What happened, as its row must tell it: outcome, status, error, deployment, and whether tokens came out.
type Story = (&'static str, i64, &'static str, &'static str, bool);

#[tokio::test]
async fn every_call_is_one_row_whatever_becomes_of_it_001_21() {
    let (caller, upstream) = (Caller::Chat, Upstream::Chat);
    let database = Database::sqlite().await;
    let scripts = vec![
        Script::reply(200, upstream.plain()),
        Script::stream(upstream.events()),
        Script::stream(upstream.events()).cut_after(upstream.speaks() + 1),
        Script::reply(400, r#"{"error": {"message": "no", "type": "invalid_request_error"}}"#),
        Script::never_answer(),
    ];
    let scripted = Scripted::start(scripts).await;
    let mut gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
    let mut records = Vec::new();
    for body in
        [caller.request().to_owned(), caller.stream_request(), caller.stream_request(), caller.request().to_owned()]
    {
        gateway.post(caller.path(), body).await;
        records.push(gateway.record().await);
    }
    let mut client = Client::connect(gateway.url()).await;
    let request = Request::post(caller.path(), caller.stream_request()).bearer(KEY);
    client.write(&request.to_bytes("gateway")).await.unwrap();
    scripted.wait_hits(5).await;
    client.hang_up();
    records.push(gateway.record().await);
    gateway.assert_no_record();
    let cost = CostRecord { nano_usd: 1_234_567, price: "book 1".into(), arithmetic: "19 x 2.5 + 10 x 10".into() };
    records[0].cost = Some(cost);

    let counts = filed(&database.store, &gateway, &records).await;

    assert_eq!((counts.written.load(Ordering::Relaxed), counts.dropped.load(Ordering::Relaxed)), (5, 0));
    let rows = all(&database.store).await;
    assert_eq!(rows.len(), 5);
    let row_of = |record: &UsageRecord| rows.iter().find(|row| row.request_id == record.request_id).unwrap();
    let stories: [Story; 5] = [
        ("complete", 200, "", "one/", true),
        ("complete", 200, "", "one/", true),
        ("broken", 200, "stream_broken", "one/", true),
        ("failed", 400, "upstream_rejected", "one/", false),
        ("abandoned", 200, "", "one/", false),
    ];
    for (record, (outcome, status, error, deployment, tokens)) in records.iter().zip(stories) {
        let row = row_of(record);
        assert_eq!((&*row.outcome, row.status, &*row.error), (outcome, status, error), "{row:?}");
        assert!(row.deployment.starts_with(deployment) && &*row.channel == "one" && row.attempts == 1, "{row:?}");
        assert_eq!(row.output.unwrap_or_default() > 0, tokens, "{row:?}");
        assert_eq!((&*row.key_id, &*row.key_name, &*row.operation), ("test", "test", "chat"));
        assert!(!row.model.is_empty() && row.address.starts_with("127.") && row.trail.contains("\"one/"), "{row:?}");
        assert!(row.read_us.is_some() && row.at > NOW - 400 * DAY_MS, "{row:?}");
    }
    let first = row_of(&records[0]);
    assert_eq!((first.cost, &*first.price), (Some(1_234_567), "book 1"));
    assert_eq!((first.input, first.output, &*first.basis), (Some(19), Some(10), "provider"));
    assert!(first.latency_ms >= 0 && first.first_token_ms.is_some() && &*first.arithmetic == "19 x 2.5 + 10 x 10");
}

#[tokio::test]
async fn usage_by_key_and_model_equals_the_rows_001_22() {
    let database = Database::sqlite().await;
    let yaml = format!(
        "keys: [{{name: test, key: {KEY}}}, {{name: other, key: wp-other-key-0123456789}}]\n\
         channels: [{{name: sim, provider: simulator, models: [one, two]}}]\n"
    );
    let mut gateway = Gateway::start(&yaml).await;
    let mut records = Vec::new();
    for (key, model) in [(KEY, "one"), (KEY, "two"), ("wp-other-key-0123456789", "two"), (KEY, "two")] {
        let body = format!(r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "hi"}}]}}"#);
        let answer = Request::post("/v1/chat/completions", body).bearer(key).send(gateway.url()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        records.push(gateway.record().await);
    }
    filed(&database.store, &gateway, &records).await;
    let rows = all(&database.store).await;
    let today = rows[0].at / DAY_MS;
    let report = Report {
        group_by: GroupBy::two(Dimension::Key, Dimension::Model).unwrap(),
        first_day: today - 1,
        last_day: today + 1,
        filter: UsageFilter::default(),
        after: None,
        limit: 100,
    };
    let usage = database.store.logbook().usage(&Scope::Everything, &report).await.unwrap();
    assert_eq!(usage.rows.len(), 3);
    for group in usage.rows {
        let mut wanted = Sums::default();
        let [key, model] = group.group.as_slice() else { panic!("two names") };
        rows.iter().filter(|row| (&row.key_id, &row.model) == (key, model)).for_each(|row| wanted.add(&Sums::of(row)));
        assert_eq!(group.sums, wanted);
        assert!(wanted.input > 0 && wanted.output > 0);
    }
}

/// A record to file more of.
async fn some_record() -> (Gateway, UsageRecord) {
    let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels: [{{name: sim, provider: simulator}}]\n");
    let mut gateway = Gateway::start(&yaml).await;
    let body = r#"{"model": "sim/chat", "messages": [{"role": "user", "content": "hi"}]}"#;
    assert_eq!(gateway.post("/v1/chat/completions", body).await.status, 200);
    let record = gateway.record().await;
    (gateway, record)
}

#[tokio::test]
async fn what_does_not_fit_while_the_database_is_held_is_dropped_and_counted() {
    let database = Database::sqlite().await;
    let (gateway, record) = some_record().await;
    let (jobs, counts) = (Jobs::new(), Arc::new(RowCounts::default()));
    let held = database.store.begin().await.unwrap();
    let logbook = Logbook::with_room(4, database.store.clone(), Arc::clone(&counts), &jobs);
    logbook.file(&vec![record; 10], &Wall::now(&gateway.app.clock));
    assert_eq!(counts.dropped.load(Ordering::Relaxed), 6);
    held.rollback().await.unwrap();
    drop(logbook);
    assert!(jobs.drain(Instant::now() + PATIENCE).await.is_empty());
    assert_eq!((counts.written.load(Ordering::Relaxed), all(&database.store).await.len()), (4, 4));
}

#[tokio::test]
async fn a_row_that_the_database_refuses_costs_no_other() {
    let database = Database::sqlite().await;
    let mut writing = database.store.begin().await.unwrap();
    let refusing = "create trigger refuse before insert on request_log when new.model = 'poison' \
                    begin select raise(abort, 'refused'); end";
    sqlx::raw_sql(refusing).execute(&mut *writing).await.unwrap();
    writing.commit().await.unwrap();
    let (gateway, record) = some_record().await;
    let mut records = vec![record; 21];
    records[13].model = Some("poison".into());
    let counts = filed(&database.store, &gateway, &records).await;
    assert_eq!((counts.written.load(Ordering::Relaxed), counts.dropped.load(Ordering::Relaxed)), (20, 1));
    assert_eq!(all(&database.store).await.len(), 20);
}

#[tokio::test]
async fn calls_are_forgotten_by_age_and_their_sums_are_not() {
    let database = Database::sqlite().await;
    let row =
        |age: i64| LogRow { at: NOW - age * DAY_MS, request_id: format!("req_{age}").into(), ..LogRow::default() };
    database.store.logbook().write(&(0..40).map(row).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(forget(&database.store, 30, NOW).await.unwrap(), 9);
    let kept = all(&database.store).await;
    assert!(kept.len() == 31 && kept.iter().all(|row| row.at >= NOW - 30 * DAY_MS));
    let report = Report {
        group_by: GroupBy::one(Dimension::Day),
        first_day: 0,
        last_day: NOW / DAY_MS,
        filter: UsageFilter::default(),
        after: None,
        limit: 1,
    };
    assert_eq!(database.store.logbook().total(&Scope::Everything, &report).await.unwrap().requests, 40);
}

#[tokio::test]
async fn names_that_a_caller_invents_do_not_make_the_sums_grow_without_end() {
    let upstream = Scripted::always(Script::reply(200, Upstream::Chat.plain())).await;
    let channel = channel("any", "openai_compatible", &format!("{}/v1", upstream.url()), "['*']");
    let mut gateway = Gateway::with_channels(&channel).await;
    let ask = |name: &str| Caller::Chat.request().replace("\"m\"", &format!("\"{name}\""));
    let long = gateway.post(Caller::Chat.path(), ask(&"x".repeat(513))).await;
    assert_eq!((long.status, &long.json()["error"]["param"]), (400, &"model".into()));
    gateway.assert_no_record();
    assert_eq!(gateway.post(Caller::Chat.path(), ask(&"x".repeat(512))).await.status, 200);
    let record = gateway.record().await;
    let invented = |number: usize| {
        let mut record = UsageRecord { model: Some(format!("m{number}").into()), ..record.clone() };
        record.request_id = format!("req_{number}").into();
        record.deployment = Some(format!("any/m{number}").into());
        record
    };
    let records: Vec<_> = (0..MOST_NAMES + 200).map(invented).collect();
    let database = Database::sqlite().await;
    filed(&database.store, &gateway, &records).await;
    let count = async |sql: &'static str| -> i64 {
        let row = sqlx::query(sql).fetch_one(database.store.reader()).await.unwrap();
        sqlx::Row::get(&row, 0)
    };
    let names = i64::try_from(MOST_NAMES).unwrap();
    assert_eq!(count("select count(*) from usage_daily").await, names + 1);
    assert_eq!(count("select requests from usage_daily where model = 'other' and deployment = 'any/other'").await, 200);
    assert_eq!(count("select sum(requests) from usage_daily_models").await, names + 200);
    assert_eq!(count("select count(*) from request_log where model = 'm1199'").await, 1, "the row has the name");
}
