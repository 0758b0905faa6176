//! The log of calls: what is written is read, in pages and within a scope; sums agree with rows; the old is forgotten.

use waypost_store::Store;
use waypost_store::logbook::{
    DAY_MS, Dimension, GroupBy, LogFilter, LogRow, Place, Report, Scope, Sums, UsageFilter, UsageRow,
};

use crate::harness::{NOW, on_both};

/// Calls of four keys of three users of two teams over five days, at two deployments of two models, told apart by numbers.
fn calls(count: i64) -> Vec<LogRow> {
    let name = |word: &str, number: i64| format!("{word}{number}").into();
    (0..count)
        .map(|number| LogRow {
            at: NOW - (number % 5) * DAY_MS + number,
            request_id: name("req_", number),
            key_id: name("key_", number % 4),
            key_name: name("app ", number % 4),
            user_id: if number % 4 == 3 { "".into() } else { name("usr_", number % 4) },
            team_id: name("team_", number % 2),
            model: name("model-", number % 3 % 2),
            operation: "chat".into(),
            deployment: name("one/model-", number % 3),
            channel: "one".into(),
            attempts: 1 + number % 2,
            trail: "[]".into(),
            input: Some(100 + number),
            output: (number % 7 > 0).then_some(number),
            cache_read: Some(number % 10),
            basis: "provider".into(),
            cost: (number % 6 > 0).then_some(1_000_000_007 * number),
            arithmetic: "100 x 1".into(),
            price: "book".into(),
            latency_ms: 5,
            first_token_ms: Some(3),
            read_us: Some(10),
            status: if number % 11 == 0 { 429 } else { 200 },
            outcome: if number % 11 == 0 { "failed".into() } else { "complete".into() },
            error: if number % 11 == 0 { "rate_limited".into() } else { "".into() },
            stream: number % 2 == 0,
            address: "192.0.2.7".into(),
            ..LogRow::default()
        })
        .collect()
}

async fn filled(store: &Store, count: i64) -> Vec<LogRow> {
    let rows = calls(count);
    for batch in rows.chunks(170) {
        store.logbook().write(batch).await.expect("rows are written");
    }
    rows
}

/// Everything that fits, read in pages of seven.
async fn all(store: &Store, scope: &Scope, filter: &LogFilter) -> Vec<LogRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.logbook().list(scope, filter, after, 7).await.expect("the list is answered");
        assert!(page.rows.len() <= 7);
        rows.extend(page.rows.into_iter().map(|call| call.row));
        after = page.next;
        if after.is_none() {
            return rows;
        }
        assert!(rows.len() < 10_000, "the pages have no end");
    }
}

/// The same, as it should be.
fn expected(rows: &[LogRow], fits: impl Fn(&LogRow) -> bool) -> Vec<LogRow> {
    let mut rows: Vec<LogRow> = rows.iter().filter(|row| fits(row)).cloned().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.at));
    rows
}

#[tokio::test]
async fn what_is_written_is_read_in_pages_newest_first_001_21() {
    on_both(async |store| {
        let rows = filled(&store, 400).await;
        let everything = Scope::Everything;
        assert_eq!(all(&store, &everything, &LogFilter::default()).await, expected(&rows, |_| true));
        let some = |text: &str| Some(text.to_owned());
        let filter = LogFilter { key: some("key_1"), ..LogFilter::default() };
        assert_eq!(all(&store, &everything, &filter).await, expected(&rows, |row| &*row.key_id == "key_1"));
        let filter = LogFilter { user: some("usr_2"), model: some("model-1"), ..LogFilter::default() };
        let fits = |row: &LogRow| &*row.user_id == "usr_2" && &*row.model == "model-1";
        assert_eq!(all(&store, &everything, &filter).await, expected(&rows, fits));
        let filter = LogFilter { status_class: Some(4), channel: some("one"), ..LogFilter::default() };
        assert_eq!(all(&store, &everything, &filter).await, expected(&rows, |row| row.status == 429));
        let filter = LogFilter { only_errors: true, error: some("rate_limited"), ..LogFilter::default() };
        assert_eq!(all(&store, &everything, &filter).await, expected(&rows, |row| row.status == 429));
        let filter = LogFilter {
            deployment: some("one/model-2"),
            from: Some(NOW - DAY_MS),
            to: Some(NOW + 200),
            min_cost: Some(50_000_000_000),
            ..LogFilter::default()
        };
        let fits = |row: &LogRow| {
            let dear = row.cost.is_some_and(|cost| cost >= 50_000_000_000);
            &*row.deployment == "one/model-2" && row.at >= NOW - DAY_MS && row.at < NOW + 200 && dear
        };
        assert_eq!(all(&store, &everything, &filter).await, expected(&rows, fits));
        assert!(!expected(&rows, fits).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_scope_shows_only_its_own() {
    on_both(async |store| {
        let rows = filled(&store, 100).await;
        let team = Scope::Team("team_1".to_owned());
        let of_team = |row: &LogRow| &*row.team_id == "team_1";
        assert_eq!(all(&store, &team, &LogFilter::default()).await, expected(&rows, of_team));
        let foreign = LogFilter { team: Some("team_0".to_owned()), ..LogFilter::default() };
        assert_eq!(all(&store, &team, &foreign).await, []);
        let foreign = LogFilter { key: Some("key_0".to_owned()), ..LogFilter::default() };
        assert_eq!(all(&store, &team, &foreign).await, []);
        let logbook = store.logbook();
        assert_eq!(logbook.call(&team, "req_0").await.unwrap(), None);
        assert_eq!(logbook.call(&team, "req_1").await.unwrap().map(|call| call.row), rows.get(1).cloned());
        assert_eq!(logbook.call(&Scope::Key("key_0".to_owned()), "req_1").await.unwrap(), None);
        let report =
            Report { filter: UsageFilter { key: Some("key_0".to_owned()), ..UsageFilter::default() }, ..report() };
        assert_eq!(logbook.usage(&team, &report).await.unwrap().rows, []);
        assert_eq!(logbook.total(&team, &report).await.unwrap(), Sums::default());
    })
    .await;
}

/// More than a page looks at.
const MANY: i64 = 2100;

#[tokio::test]
async fn where_a_page_goes_on_is_never_a_row_of_somebody_else() {
    on_both(async |store| {
        let call = |number: i64, team: &str| LogRow {
            at: NOW + number,
            request_id: "same".into(),
            key_id: format!("key_of_{team}").into(),
            user_id: format!("usr_of_{team}").into(),
            team_id: team.into(),
            model: "m".into(),
            deployment: "one/m".into(),
            status: 429,
            error: "rate_limited".into(),
            ..LogRow::default()
        };
        // Three of theirs, and between the first and the others very many of somebody else.
        let mut rows = vec![call(0, "theirs")];
        rows.extend((1..=MANY).map(|number| call(number, "other")));
        rows.extend([MANY + 1, MANY + 2].map(|number| call(number, "theirs")));
        for batch in rows.chunks(170) {
            store.logbook().write(batch).await.unwrap();
        }
        let some = |text: &str| Some(text.to_owned());
        let filters = [
            LogFilter::default(),
            LogFilter { model: some("m"), ..LogFilter::default() },
            LogFilter { deployment: some("one/m"), ..LogFilter::default() },
            LogFilter { request_id: some("same"), ..LogFilter::default() },
            LogFilter { only_errors: true, error: some("rate_limited"), ..LogFilter::default() },
            LogFilter { key: some("key_of_theirs"), ..LogFilter::default() },
        ];
        let foreign = [
            LogFilter { key: some("key_of_other"), ..LogFilter::default() },
            LogFilter { user: some("usr_of_other"), model: some("m"), ..LogFilter::default() },
            LogFilter { team: some("other"), ..LogFilter::default() },
        ];
        let scopes = [
            Scope::Team("theirs".to_owned()),
            Scope::User("usr_of_theirs".to_owned()),
            Scope::Key("key_of_theirs".to_owned()),
        ];
        for scope in &scopes {
            let own = store.logbook().list(scope, &LogFilter::default(), None, 10).await.unwrap().rows;
            let own: Vec<Place> = own.iter().map(|call| Place { at: call.row.at, seq: call.seq }).collect();
            assert_eq!(own.len(), 3, "{scope:?}");
            for filter in &filters {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let page = store.logbook().list(scope, filter, after, 1).await.unwrap();
                    found.extend(page.rows.iter().map(|call| Place { at: call.row.at, seq: call.seq }));
                    after = page.next;
                    match after {
                        Some(next) => assert!(own.contains(&next), "{scope:?} {filter:?} goes on at {next:?}"),
                        None => break,
                    }
                }
                assert_eq!(found, own, "{scope:?} {filter:?}");
            }
            for filter in &foreign {
                let page = store.logbook().list(scope, filter, None, 1).await.unwrap();
                assert_eq!((page.rows.len(), page.next), (0, None), "{scope:?} {filter:?}");
            }
            let found = store.logbook().call(scope, "same").await.unwrap().unwrap();
            assert_eq!(found.row.at, NOW + MANY + 2, "{scope:?}");
        }
        let late = LogFilter { to: Some(NOW + 1), request_id: some("same"), ..LogFilter::default() };
        let page = store.logbook().list(&Scope::Team("theirs".to_owned()), &late, None, 1).await.unwrap();
        assert_eq!((page.rows.len(), page.next), (1, None));
    })
    .await;
}

#[tokio::test]
async fn the_same_request_id_twice_is_two_calls_and_odd_letters_cost_nobody_a_row() {
    on_both(async |store| {
        let twice = LogRow { at: NOW, request_id: "same".into(), model: "gp\0t'; --".into(), ..LogRow::default() };
        let later = LogRow { at: NOW + 1, ..twice.clone() };
        store.logbook().write(&[twice, later]).await.unwrap();
        let found = store.logbook().call(&Scope::Everything, "same").await.unwrap().unwrap();
        assert_eq!((found.row.at, &*found.row.model), (NOW + 1, "gp\u{fffd}t'; --"));
        assert_eq!(all(&store, &Scope::Everything, &LogFilter::default()).await.len(), 2);
    })
    .await;
}

fn report() -> Report {
    let day = NOW / DAY_MS;
    Report {
        group_by: GroupBy::one(Dimension::Model),
        first_day: day - 10,
        last_day: day,
        filter: UsageFilter::default(),
        after: None,
        limit: 5,
    }
}

fn value(row: &LogRow, of: Dimension) -> String {
    match of {
        Dimension::Key => row.key_id.to_string(),
        Dimension::User => row.user_id.to_string(),
        Dimension::Team => row.team_id.to_string(),
        Dimension::Deployment => row.deployment.to_string(),
        Dimension::Model => row.model.to_string(),
        Dimension::Channel => row.channel.to_string(),
        Dimension::Day => (row.at / DAY_MS).to_string(),
    }
}

/// Every group, read in pages.
async fn groups(store: &Store, scope: &Scope, mut report: Report) -> Vec<UsageRow> {
    let mut rows: Vec<UsageRow> = Vec::new();
    loop {
        let page = store.logbook().usage(scope, &report).await.expect("the report is answered");
        assert!(page.rows.len() as i64 <= report.limit);
        rows.extend(page.rows);
        if !page.more {
            return rows;
        }
        report.after = rows.last().map(|row| row.group.iter().map(ToString::to_string).collect());
        assert!(rows.len() < 10_000, "the pages have no end");
    }
}

/// The same, added up from the rows.
fn added_up(rows: &[LogRow], by: GroupBy) -> Vec<(Vec<String>, Sums)> {
    let mut groups = std::collections::BTreeMap::<Vec<String>, Sums>::new();
    for row in rows {
        groups.entry(by.dimensions().map(|of| value(row, of)).collect()).or_default().add(&Sums::of(row));
    }
    groups.into_iter().collect()
}

fn every_grouping() -> Vec<GroupBy> {
    let one = Dimension::ALL.into_iter().map(GroupBy::one);
    let two =
        Dimension::ALL.into_iter().flat_map(|a| Dimension::ALL.into_iter().filter_map(move |b| GroupBy::two(a, b)));
    one.chain(two).collect()
}

#[tokio::test]
async fn usage_by_any_one_or_two_equals_the_log_001_22() {
    on_both(async |store| {
        let rows = filled(&store, 400).await;
        for group_by in every_grouping() {
            let mut found: Vec<_> = groups(&store, &Scope::Everything, Report { group_by, ..report() })
                .await
                .into_iter()
                .map(|row| (row.group.iter().map(ToString::to_string).collect::<Vec<_>>(), row.sums))
                .collect();
            // Each database sorts by its own alphabet.
            found.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, added_up(&rows, group_by), "{group_by:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn filters_days_and_scopes_narrow_usage_and_its_total() {
    on_both(async |store| {
        let rows = filled(&store, 400).await;
        let some = |text: &str| Some(text.to_owned());
        let team = Scope::Team("team_1".to_owned());
        for (filter, fits) in [
            (UsageFilter::default(), (|_| true) as fn(&LogRow) -> bool),
            (UsageFilter { key: some("key_1"), ..UsageFilter::default() }, |row| &*row.key_id == "key_1"),
            (UsageFilter { user: some("usr_1"), ..UsageFilter::default() }, |row| &*row.user_id == "usr_1"),
            (UsageFilter { model: some("model-0"), ..UsageFilter::default() }, |row| &*row.model == "model-0"),
        ] {
            for (first, last) in [(0, 0), (-2, -1), (-60, 0)] {
                let day = NOW / DAY_MS;
                let (first_day, last_day) = (day + first, day + last);
                let within = |row: &&LogRow| {
                    &*row.team_id == "team_1" && fits(row) && (first_day..=last_day).contains(&(row.at / DAY_MS))
                };
                let kept: Vec<LogRow> = rows.iter().filter(within).cloned().collect();
                for group_by in every_grouping() {
                    let report =
                        Report { group_by, first_day, last_day, filter: filter.clone(), limit: 50, ..report() };
                    let found = groups(&store, &team, report.clone()).await;
                    let story = format!("{group_by:?} {filter:?} {first} {last}");
                    assert_eq!(found.len(), added_up(&kept, group_by).len(), "{story}");
                    let mut total = Sums::default();
                    found.iter().for_each(|row| total.add(&row.sums));
                    let mut wanted = Sums::default();
                    kept.iter().for_each(|row| wanted.add(&Sums::of(row)));
                    assert_eq!(total, wanted, "{story}");
                    assert_eq!(store.logbook().total(&team, &report).await.unwrap(), wanted, "{story}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_shown_by_its_last_name() {
    on_both(async |store| {
        let old = LogRow { at: NOW, key_id: "key_1".into(), key_name: "old".into(), ..LogRow::default() };
        let new = LogRow { key_name: "new".into(), ..old.clone() };
        store.logbook().write(&[old]).await.unwrap();
        store.logbook().write(&[new]).await.unwrap();
        let report = Report { group_by: GroupBy::one(Dimension::Key), ..report() };
        let rows = groups(&store, &Scope::Everything, report).await;
        assert_eq!(rows.first().and_then(|row| row.key_name.as_deref()), Some("new"));
        assert_eq!((rows.len(), rows.first().map(|row| row.sums.requests)), (1, Some(2)));
    })
    .await;
}

#[tokio::test]
async fn old_calls_are_forgotten_a_few_at_a_time_and_sums_stay() {
    on_both(async |store| {
        let rows = filled(&store, 100).await;
        let logbook = store.logbook();
        let before = NOW - DAY_MS;
        let old = rows.iter().filter(|row| row.at < before).count() as u64;
        let mut removed = Vec::new();
        while removed.last() != Some(&0) {
            removed.push(logbook.prune(before, 25).await.unwrap());
        }
        assert!(
            removed.iter().all(|count| *count <= 25) && removed.iter().sum::<u64>() == old && old > 25,
            "{removed:?}"
        );
        assert_eq!(
            all(&store, &Scope::Everything, &LogFilter::default()).await,
            expected(&rows, |row| row.at >= before)
        );
        assert_eq!(logbook.total(&Scope::Everything, &report()).await.unwrap().requests, 100);
    })
    .await;
}
