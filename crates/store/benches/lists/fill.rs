//! What the benchmarks of lists measure on, and how: calls of a hundred thousand keys in the log. Shared with the gateway's.

use std::future::Future;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use waypost_store::Store;
use waypost_store::logbook::DAY_MS;

pub(crate) const DAYS: i64 = 30;
pub(crate) const FIRST_DAY: i64 = 20_700;
/// How often each question is asked.
pub(crate) const TURNS: i64 = 200;

pub(crate) async fn run(store: &Store, sql: String) {
    let mut transaction = store.begin().await.expect("nobody else writes");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await.expect("the statement is right");
    transaction.commit().await.expect("it is committed");
}

/// Most keys are quiet and some are busy; each uses up to three of sixty models, at three deployments each.
pub(crate) async fn fill(store: &Store, rows: i64) {
    let indexes = "select sql from sqlite_master where type = 'index' and tbl_name = 'request_log' and sql is not null";
    let indexes = sqlx::query(indexes).fetch_all(store.reader()).await.expect("the indexes are told");
    let names = "select name from sqlite_master where type = 'index' and tbl_name = 'request_log' and sql is not null";
    for row in sqlx::query(names).fetch_all(store.reader()).await.expect("the indexes are told") {
        run(store, format!("drop index {}", row.get::<String, _>(0))).await;
    }
    let (start, step) = (FIRST_DAY * DAY_MS, DAYS * DAY_MS / rows.max(1));
    run(
        store,
        format!(
            "with recursive
             numbers(n) as (select 0 union all select n + 1 from numbers where n + 1 < {rows}),
             thrown as (select n, (n * 2654435761) % 1000003 as dice from numbers),
             keyed as (select n, dice, (dice % 317) * (dice % 331) % 100000 as key from thrown)
             insert into request_log (at, request_id, key_id, key_name, user_id, team_id, model, operation, deployment, channel,
               attempts, trail, input, output, basis, cost, arithmetic, price, latency_ms, first_token_ms, read_us, planned_us,
               answered_us, status, outcome, error, stream, translated, address)
             select {start} + n * {step}, 'req_' || printf('%032x', n * 2654435761), 'key_' || printf('%026d', key),
               'application ' || key, 'usr_' || printf('%026d', key / 5), 'team_' || printf('%026d', key % 500),
               'model-' || ((key + dice % 3) % 60), 'chat',
               'channel-' || (dice % 3) || '/model-' || ((key + dice % 3) % 60), 'channel-' || (dice % 3), 1,
               '[{{\"deployment\":\"channel-1/model-7\",\"outcome\":\"answered\",\"status\":200,\"ms\":812}}]',
               dice % 5000, dice % 900, 'provider', dice * 1000, '1200 x 2.5/M + 300 x 10/M', 'book 2026-11-01', dice % 3000,
               dice % 800, 90, 120, 300000, case when dice % 50 = 0 then 502 else 200 end,
               case when dice % 50 = 0 then 'failed' else 'complete' end,
               case when dice % 50 = 0 then 'upstream_failed' else '' end, dice % 2, 0, '192.0.2.7' from keyed"
        ),
    )
    .await;
    for row in indexes {
        run(store, row.get(0)).await;
    }
    let sums = "count(*), sum(status >= 400), sum(input), sum(output), 0, 0, 0, 0, 0, sum(cost), 0";
    let group = "key_id, user_id, team_id, model, deployment, channel";
    let columns = "requests, errors, input, output, cache_read, cache_write, reasoning, audio_input, audio_output, cost, unpriced";
    run(
        store,
        format!(
            "insert into usage_daily (day, {group}, key_name, {columns}) select at / {DAY_MS} as day, {group}, max(key_name), {sums} \
             from request_log group by day, {group}"
        ),
    )
    .await;
    for (from, table, group) in [
        ("usage_daily", "usage_daily_users", "day, user_id, team_id, model, deployment, channel"),
        ("usage_daily_users", "usage_daily_teams", "day, team_id, model, deployment, channel"),
        ("usage_daily_teams", "usage_daily_models", "day, model, deployment, channel"),
    ] {
        let sums = columns.split(", ").map(|name| format!("sum({name})")).collect::<Vec<_>>().join(", ");
        run(
            store,
            format!("insert into {table} ({group}, {columns}) select {group}, {sums} from {from} group by {group}"),
        )
        .await;
    }
}

/// Asks many times, and tells how long most and nearly all of them took.
pub(crate) async fn measured<F: Future>(name: &str, ask: impl Fn(i64) -> F) {
    let mut taken: Vec<Duration> = Vec::new();
    for turn in 0..TURNS {
        let began = Instant::now();
        ask(turn).await;
        taken.push(began.elapsed());
    }
    taken.sort_unstable();
    let at = |part: usize| taken.get(taken.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0;
    println!("{name:<62} p50 {:>8.2} ms  p99 {:>8.2} ms", at(50), at(99));
}
