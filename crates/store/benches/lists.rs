//! What lists and reports cost with ten million calls of a hundred thousand keys in the log, and how many calls a second are
//! written to it then. `cargo bench -p waypost-store --bench lists [-- ROWS]`; makes a SQLite database of about 5 GB in the
//! folder for temporary files, and removes it.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark tells and may stop")]

#[path = "lists/fill.rs"]
mod fill;

use std::path::PathBuf;
use std::time::Instant;

use sqlx::Row as _;
use waypost_store::logbook::{
    DAY_MS, Dimension, GroupBy, LogFilter, LogRow, Place as LogPlace, Report, Scope, UsageFilter,
};
use waypost_store::{Place, Store};

use fill::{DAYS, FIRST_DAY, TURNS, fill, measured};

const ROWS: i64 = 10_000_000;

#[tokio::main]
async fn main() {
    let rows = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(ROWS);
    let folder = Folder(std::env::temp_dir().join(format!("waypost-bench-lists-{}", std::process::id())));
    let store = Store::open(&Place::Sqlite(folder.0.join("app.db")), 0).await.expect("SQLite opens");
    let began = Instant::now();
    fill(&store, rows).await;
    println!("{rows} calls in the log, {} s to make them", began.elapsed().as_secs());
    for table in ["usage_daily", "usage_daily_users", "usage_daily_teams", "usage_daily_models"] {
        println!("{table}: {} rows", count(&store, table).await);
    }
    lists(&store, rows).await;
    reports(&store).await;
    writes(&store).await;
    store.close().await;
}

/// Gone when the benchmark ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query(sql).fetch_one(store.reader()).await.expect("it is counted").get(0)
}

async fn lists(store: &Store, rows: i64) {
    let some = |word: &str, number: i64| Some(format!("{word}{number:026}"));
    let step = DAYS * DAY_MS / rows.max(1);
    let deep = |turn: i64| {
        let seq = rows * (TURNS - turn) / TURNS;
        Some(LogPlace { at: FIRST_DAY * DAY_MS + seq * step, seq })
    };
    let list = async |scope: Scope, filter: LogFilter, after| {
        store.logbook().list(&scope, &filter, after, 100).await.expect("the list is answered");
    };
    let usual = LogFilter::default;
    measured("logs: the newest 100", |_| list(Scope::Everything, usual(), None)).await;
    measured("logs: 100 at any depth", |turn| list(Scope::Everything, usual(), deep(turn))).await;
    measured("logs: of a key", |turn| {
        list(Scope::Everything, LogFilter { key: some("key_", turn * 97), ..usual() }, None)
    })
    .await;
    measured("logs: of a user", |turn| list(Scope::User(format!("usr_{:026}", turn * 97)), usual(), None)).await;
    measured("logs: of a team, at any depth", |turn| {
        list(Scope::Team(format!("team_{turn:026}")), usual(), deep(turn))
    })
    .await;
    measured("logs: of a model, at any depth", |turn| {
        list(Scope::Everything, LogFilter { model: Some(format!("model-{}", turn % 60)), ..usual() }, deep(turn))
    })
    .await;
    measured("logs: errors, at any depth", |turn| {
        list(Scope::Everything, LogFilter { only_errors: true, ..usual() }, deep(turn))
    })
    .await;
    measured("logs: errors of a team, at any depth", |turn| {
        list(Scope::Team(format!("team_{turn:026}")), LogFilter { only_errors: true, ..usual() }, deep(turn))
    })
    .await;
    measured("logs: dearer than any of a model (nothing fits)", |turn| {
        let filter = LogFilter { model: Some(format!("model-{}", turn % 60)), min_cost: Some(i64::MAX), ..usual() };
        list(Scope::Everything, filter, deep(turn))
    })
    .await;
    measured("logs: one call by its id", |turn| async move {
        let id = format!("req_{:032x}", turn * 40_009 * 2_654_435_761);
        store.logbook().call(&Scope::Everything, &id).await.expect("the call is answered");
    })
    .await;
}

async fn reports(store: &Store) {
    let whole = |group_by| Report {
        group_by,
        first_day: FIRST_DAY,
        last_day: FIRST_DAY + DAYS - 1,
        filter: UsageFilter::default(),
        after: None,
        limit: 100,
    };
    let usage = async |scope: Scope, report: Report| {
        store.logbook().usage(&scope, &report).await.expect("the report is answered");
    };
    let after = |of: Dimension, turn: i64| {
        let word = match of {
            Dimension::Key => "key",
            Dimension::User => "usr",
            Dimension::Team => "team",
            Dimension::Deployment | Dimension::Model | Dimension::Channel | Dimension::Day => return None,
        };
        let many = if of == Dimension::Team { 2 } else { 97 };
        Some(format!("{word}_{:026}", turn * many))
    };
    for of in Dimension::ALL {
        let name = format!("usage: 30 days by {}, any page", of.name());
        measured(&name, |turn| {
            let after = after(of, turn).map(|lead| vec![lead]);
            usage(Scope::Everything, Report { after, ..whole(GroupBy::one(of)) })
        })
        .await;
        for second in Dimension::ALL.into_iter().filter(|second| *second > of) {
            let name = format!("usage: 30 days by {} and {}, any page", of.name(), second.name());
            let Some(by) = GroupBy::two(of, second) else { continue };
            measured(&name, |turn| {
                let after = after(of, turn)
                    .map(|lead| vec![lead, if second == Dimension::Day { "0".to_owned() } else { String::new() }]);
                usage(Scope::Everything, Report { after, ..whole(by) })
            })
            .await;
        }
    }
    let by = GroupBy::two(Dimension::Key, Dimension::Model).expect("they are two");
    measured("usage: one day by key and model, any page", |turn| {
        let after = after(Dimension::Key, turn).map(|lead| vec![lead, String::new()]);
        usage(
            Scope::Everything,
            Report { after, first_day: FIRST_DAY + turn % DAYS, last_day: FIRST_DAY + turn % DAYS, ..whole(by) },
        )
    })
    .await;
    measured("usage: of a team by key and model", |turn| usage(Scope::Team(format!("team_{turn:026}")), whole(by)))
        .await;
    let by = GroupBy::two(Dimension::Model, Dimension::Day).expect("they are two");
    measured("usage: of a user by model and day", |turn| {
        usage(Scope::User(format!("usr_{:026}", turn * 97)), whole(by))
    })
    .await;
    measured("usage: of a key by model and day", |turn| usage(Scope::Key(format!("key_{:026}", turn * 97)), whole(by)))
        .await;
    measured("usage: the total of 30 days", |_| async {
        store.logbook().total(&Scope::Everything, &whole(by)).await.expect("the total is answered");
    })
    .await;
    measured("usage: the total of a team", |turn| async move {
        let scope = Scope::Team(format!("team_{turn:026}"));
        store.logbook().total(&scope, &whole(by)).await.expect("the total is answered");
    })
    .await;
}

async fn writes(store: &Store) {
    const BATCH: i64 = 512;
    let row = |number: i64| LogRow {
        at: (FIRST_DAY + DAYS) * DAY_MS + number,
        request_id: format!("req_{:032x}", number.wrapping_mul(7_046_029_254_386_353)).into(),
        key_id: format!("key_{:026}", number * 7919 % 100_000).into(),
        user_id: format!("usr_{:026}", number * 7919 % 100_000 / 5).into(),
        team_id: format!("team_{:026}", number * 7919 % 500).into(),
        model: format!("model-{}", number % 60).into(),
        deployment: format!("channel-{}/model-{}", number % 3, number % 60).into(),
        channel: format!("channel-{}", number % 3).into(),
        trail: "[{\"deployment\":\"channel-1/model-7\",\"outcome\":\"answered\",\"status\":200,\"ms\":812}]".into(),
        input: Some(1000),
        output: Some(200),
        cost: Some(12_345),
        status: 200,
        ..LogRow::default()
    };
    let began = Instant::now();
    for batch in 0..100 {
        let rows: Vec<LogRow> = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
        store.logbook().write(&rows).await.expect("rows are written");
    }
    let rate = (100 * BATCH) as f64 / began.elapsed().as_secs_f64();
    println!("written: {rate:.0} calls a second, in batches of {BATCH}, each with all its sums");
}
