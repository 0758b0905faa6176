//! From keys of the database to callers in memory: all of them at the start, one at once when it is written here, and within a
//! second when it is written elsewhere. Decides what a key's owner and plan add to it; requests only look it up.
//! Tests: below, `it/manage/callers.rs`.

mod caller;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;
use waypost_core::directory::Directory;
use waypost_core::health::States;
use waypost_store::changes::Since;
use waypost_store::keys::{self, Holder, Text};
use waypost_store::plans::{self, SubscriptionPlan};
use waypost_store::{Store, StoreError, users};

use crate::app::App;
use crate::jobs::Jobs;

/// How often others' writes are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// How many keys are read at a time.
const BATCH: i64 = 5000;
/// Up to so many changes are followed one by one; beyond, everything is read again.
const MOST_CHANGES: i64 = 1000;
/// How many changes are kept for processes that fell behind.
const KEPT_CHANGES: i64 = 10_000;

/// Does the database hold a key that may call, or an owner who can make one? Then a start needs to make none.
pub async fn are_there_any(store: &Store, now: i64) -> Result<bool, StoreError> {
    Ok(keys::is_any_usable(store, now).await? || users::is_any_owner(store).await?)
}

/// Keeps a directory as the database has it.
pub struct Callers {
    directory: Arc<Directory>,
    known: Mutex<Known>,
}

/// What of the database is in the directory. Held over reading and putting, so that nothing older is put over something newer.
#[derive(Default)]
struct Known {
    /// The number of the last change that was followed.
    change: i64,
    /// The hashes of each key.
    hashes: HashMap<String, Vec<[u8; 32]>>,
    plans: HashMap<String, Arc<SubscriptionPlan>>,
}

impl Callers {
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// Reads all keys; gives how many there are.
    pub async fn load(&self, states: &States, store: &Store) -> Result<usize, StoreError> {
        let mut known = self.known.lock().await;
        self.load_all(&mut known, states, store).await
    }

    /// Reads again what a change of this row touches; `noun` is `key`, `user`, `team` or `plan`. When it returns, requests see it.
    pub async fn refresh(&self, app: &App, store: &Store, noun: &str, id: &str) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        self.refresh_one(&mut known, &app.states, store, noun, id).await
    }

    /// Follows what other processes write, until the gateway stops.
    pub async fn follow(app: Arc<App>, store: Store, jobs: Jobs) {
        let mut away = false;
        let mut turns = 0_u32;
        loop {
            tokio::select! {
                () = jobs.stopping() => return,
                () = sleep(EVERY) => {}
            }
            let followed = app.callers.catch_up(&app, &store).await;
            match (&followed, away) {
                (Err(error), false) => {
                    tracing::warn!(%error, "changes of keys by other processes cannot be followed until the database is back");
                }
                (Ok(()), true) => tracing::info!("changes of keys are followed again"),
                (Err(_), true) | (Ok(()), false) => {}
            }
            away = followed.is_err();
            turns = turns.wrapping_add(1);
            // Every hour or so.
            if turns.is_multiple_of(7200)
                && let Err(error) = store.forget_changes(KEPT_CHANGES).await
            {
                tracing::warn!(%error, "old changes could not be deleted");
            }
        }
    }

    /// Follows what was changed since the last time.
    pub async fn catch_up(&self, app: &App, store: &Store) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let changes = match store.changes_since(known.change, MOST_CHANGES).await? {
            Since::Changes(changes) => changes,
            Since::TooMuch => return self.load_all(&mut known, &app.states, store).await.map(drop),
        };
        let mut seen = HashSet::new();
        // From the newest: a row that was changed twice is read once.
        for change in changes.iter().rev() {
            if seen.insert((&change.noun, &change.id)) {
                self.refresh_one(&mut known, &app.states, store, &change.noun, &change.id).await?;
            }
        }
        if let Some(last) = changes.last() {
            known.change = last.number;
        }
        Ok(())
    }

    async fn load_all(&self, known: &mut Known, states: &States, store: &Store) -> Result<usize, StoreError> {
        known.change = store.last_change().await?;
        known.read_plans(store).await?;
        let mut hashes = HashMap::new();
        let mut after = String::new();
        loop {
            let holders = keys::holders(store, &after, BATCH).await?;
            let (Some(first), Some(last)) = (holders.first(), holders.last()) else { break };
            let mut texts: HashMap<String, Vec<Text>> = HashMap::new();
            for text in keys::texts_between(store, &first.key.id, &last.key.id).await? {
                texts.entry(text.key.clone()).or_default().push(text);
            }
            after.clone_from(&last.key.id);
            for holder in &holders {
                let texts = texts.remove(&holder.key.id).unwrap_or_default();
                hashes.insert(holder.key.id.clone(), self.put(&known.plans, states, holder, &texts));
            }
        }
        let all: HashSet<&[u8; 32]> = hashes.values().flatten().collect();
        self.directory.retain(|hash, _| all.contains(hash));
        drop(all);
        known.hashes = hashes;
        Ok(known.hashes.len())
    }

    async fn refresh_one(
        &self,
        known: &mut Known,
        states: &States,
        store: &Store,
        noun: &str,
        id: &str,
    ) -> Result<(), StoreError> {
        if noun == "plan" {
            known.read_plans(store).await?;
        }
        let holders = keys::holders_of(store, noun, id).await?;
        if holders.iter().flat_map(caller::plan_of).any(|plan| !known.plans.contains_key(plan)) {
            known.read_plans(store).await?;
        }
        if noun == "key" && holders.is_empty() {
            for hash in known.hashes.remove(id).unwrap_or_default() {
                self.directory.remove(&hash);
            }
        }
        for holder in &holders {
            let texts = keys::texts(store, &holder.key.id).await?;
            let hashes = self.put(&known.plans, states, holder, &texts);
            let old = known.hashes.insert(holder.key.id.clone(), hashes.clone()).unwrap_or_default();
            for gone in old.iter().filter(|hash| !hashes.contains(hash)) {
                self.directory.remove(gone);
            }
        }
        Ok(())
    }

    /// Puts a key with all its texts; gives their hashes.
    fn put(
        &self,
        plans: &HashMap<String, Arc<SubscriptionPlan>>,
        states: &States,
        holder: &Holder,
        texts: &[Text],
    ) -> Vec<[u8; 32]> {
        let of_key = Arc::new(caller::of(holder, plans, states));
        for text in texts {
            let caller = match text.valid_until {
                Some(end) => Arc::new(caller::until(&of_key, end)),
                None => Arc::clone(&of_key),
            };
            self.directory.put(text.hash, caller);
        }
        texts.iter().map(|text| text.hash).collect()
    }
}

impl Known {
    async fn read_plans(&mut self, store: &Store) -> Result<(), StoreError> {
        let plans = plans::all(store).await?;
        self.plans = plans.into_iter().map(|plan| (plan.id.clone(), Arc::new(plan))).collect();
        Ok(())
    }
}
