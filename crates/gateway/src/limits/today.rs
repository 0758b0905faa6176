//! What was taken today before this process began, of limits that last a day: read from the log of calls before anything is
//! served. Decides what counts; the limits are core's. Tests: `it/caller_limits.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use waypost_core::access::Caller;
use waypost_core::health::view;
use waypost_store::logbook::{DAY_MS, Dimension, GroupBy, Report, UsageFilter, UsageRow};
use waypost_store::{Store, StoreError};

use crate::app::App;

/// How many groups are read at once.
const PAGE: i64 = 500;

/// Counts what the log knows of today: tokens of keys and of the plans they have, requests of channels and deployments. With
/// several gateways over the database it is what all of them took.
pub async fn remember(app: &App, store: &Store) -> Result<(), StoreError> {
    let (live, now) = (app.live(), app.clock.now());
    let known = live.snapshot.keys.values().cloned().chain(app.directory.all());
    let callers: HashMap<Arc<str>, Arc<Caller>> = known.map(|caller| (Arc::clone(&caller.id), caller)).collect();
    if callers.values().any(|caller| caller.levels.iter().any(|level| level.limits.tokens_per_day.is_some())) {
        each(app, store, Dimension::Key, |key, row| {
            let tokens = number(row.sums.input).saturating_add(number(row.sums.output));
            for level in callers.get(key).iter().flat_map(|caller| caller.levels.iter()) {
                level.gate.remember(tokens, now);
            }
        })
        .await?;
    }
    let channels = || live.snapshot.channels.iter().filter(|channel| channel.limits.rpd.is_some());
    if channels().next().is_some() {
        each(app, store, Dimension::Channel, |name, row| {
            channels().filter(|channel| *channel.name == *name).for_each(|it| it.gate.remember(few(row), now));
        })
        .await?;
    }
    let mut deployments = HashMap::new();
    view::each(&live.snapshot, |deployment| {
        if deployment.limits.rpd.is_some() {
            deployments.insert(Arc::clone(&deployment.label), Arc::clone(deployment));
        }
    });
    if !deployments.is_empty() {
        each(app, store, Dimension::Deployment, |label, row| {
            if let Some(deployment) = deployments.get(label) {
                deployment.state.gate.remember(few(row), now);
            }
        })
        .await?;
    }
    Ok(())
}

/// Shows every group of today.
async fn each(
    app: &App,
    store: &Store,
    dimension: Dimension,
    mut show: impl FnMut(&str, &UsageRow),
) -> Result<(), StoreError> {
    let today = app.unix_millis().div_euclid(DAY_MS);
    let mut after = None;
    loop {
        let report = Report {
            group_by: GroupBy::one(dimension),
            first_day: today,
            last_day: today,
            filter: UsageFilter::default(),
            after: after.take(),
            limit: PAGE,
        };
        let page = store.logbook().usage(&waypost_store::logbook::Scope::Everything, &report).await?;
        for row in &page.rows {
            if let Some(name) = row.group.first() {
                show(name, row);
            }
        }
        match page.rows.last().filter(|_| page.more) {
            Some(last) => after = Some(last.group.iter().map(ToString::to_string).collect()),
            None => return Ok(()),
        }
    }
}

fn number(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

fn few(row: &UsageRow) -> u32 {
    u32::try_from(row.sums.requests).unwrap_or(u32::MAX)
}
