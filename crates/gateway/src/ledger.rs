//! The books of this process: opened at the start, folded into the database while it runs, proved every minute, closed at
//! the end. Decides when; what is done is the store's. Tests: `it/money.rs`, and below.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use waypost_core::config::{Config, Durability, Unfinished};
use waypost_store::ledger::ChainKey;
use waypost_store::ledger::verify::Verifier;
use waypost_store::money::{Money, MoneyError, Replayed, Settings, Unknown};
use waypost_store::{Kind, Store, StoreError, Vault, id, journal};

use crate::clock::unix_millis;
use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;

/// What the key of the chain is derived for.
pub(crate) const PURPOSE: &str = "ledger-chain";
/// The name of the only process that may have an embedded database open.
const ALONE: &str = "local";
/// The file in the journal's folder that keeps this process's name in a database of many.
const NODE: &str = "node";
/// The same file while it is written.
const PART: &str = "node.part";
/// What the names of the journal's segments end with.
const SEGMENT: &str = "journal";
/// How long requests are gathered before they are brought into the database: a transaction costs as much as a dozen of them.
const GATHERING: Duration = Duration::from_millis(200);
/// How long the database is left alone after it failed.
const PAUSE: Duration = Duration::from_millis(500);
const REFRESH_EVERY: Duration = Duration::from_secs(1);
const VERIFY_EVERY: Duration = Duration::from_secs(60);
const VERIFY_ALL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Opens the books that this configuration describes, and resolves what a process before left in them. `random` must be
/// unpredictable.
pub async fn open(
    config: &Config,
    store: &Store,
    vault: &Vault,
    random: u128,
) -> Result<(Money, Replayed), MoneyError> {
    let folder = folder(config, store);
    let node = match store.kind() {
        Kind::Sqlite => ALONE.to_owned(),
        Kind::Postgres => node(&folder, random)?,
    };
    let mut settings = Settings::new(&node, ChainKey::new(&*vault.derive(PURPOSE)));
    settings.journal.durability = match config.ledger.durability {
        Durability::Process => journal::Durability::Process,
        Durability::Power => journal::Durability::Power,
    };
    settings.idle_lease = config.ledger.idle_lease.0;
    if config.ledger.salvage {
        settings.journal.repair = journal::Repair::Salvage;
    }
    settings.unknown = match config.ledger.unfinished {
        Unfinished::Delivered => Unknown::Delivered,
        Unfinished::FullHold => Unknown::FullHold,
        Unfinished::None => Unknown::Nothing,
    };
    Money::open(store.clone(), &folder, settings, unix_millis()).await
}

/// Where the journal is.
pub fn folder(config: &Config, store: &Store) -> PathBuf {
    let said = config.ledger.journal.as_ref().map(PathBuf::from);
    let beside = || Path::new(&config.database.path).parent().unwrap_or(Path::new("")).join("journal");
    said.or_else(|| Money::folder_of(store)).unwrap_or_else(beside)
}

/// The same name at every start: what is in the journal belongs to it. A file without a name is none while there is no journal.
fn node(folder: &Path, random: u128) -> Result<String, MoneyError> {
    let file = folder.join(NODE);
    let failed = |source| MoneyError::Store(StoreError::File { path: file.clone(), source });
    match std::fs::read(&file) {
        Ok(bytes) => match name_in(&bytes) {
            Some(name) => return Ok(name),
            None if has_journal(folder).map_err(failed)? => {
                return Err(MoneyError::Store(StoreError::Corrupt(format!(
                    "{} has not the name of this node, to which the journal beside it belongs; write the name into it that \
                     `waypost ledger nodes` lists for this node, or move the journal away: what of it is not in the database \
                     is lost then",
                    file.display()
                ))));
            }
            None => {}
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let name = id::new("node", random);
    keep(folder, &name).map_err(failed)?;
    Ok(name)
}

/// A node's name as it is in its file; absent if that is empty or no text.
fn name_in(bytes: &[u8]) -> Option<String> {
    let name = str::from_utf8(bytes).ok()?.trim();
    let is_name = !name.is_empty() && !name.contains(char::is_control);
    is_name.then(|| name.to_owned())
}

fn has_journal(folder: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        if entry?.path().extension().is_some_and(|end| end == SEGMENT) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whole or not at all, and the disk has it when this answers: a name that is lost, or half of one, could be another node's.
fn keep(folder: &Path, name: &str) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = folder.join(PART);
    let mut file = File::create(&part)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, folder.join(NODE))?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Has the books looked after until the jobs end.
pub fn run(money: &Money, jobs: &Jobs) {
    let until_stopped = |job: Pin<Box<dyn Future<Output = ()> + Send>>| {
        let jobs = jobs.clone();
        async move {
            tokio::select! {
                () = jobs.stopping() => {}
                () = job => {}
            }
        }
    };
    jobs.spawn("ledger fold", until_stopped(Box::pin(fold(money.clone()))));
    jobs.spawn("ledger leases", until_stopped(Box::pin(refresh(money.clone()))));
    jobs.spawn("ledger journal", until_stopped(Box::pin(watch(money.clone()))));
    jobs.spawn("ledger proof", until_stopped(Box::pin(verify(money.clone()))));
}

/// Whose journal is in this folder, if it was ever opened.
pub(crate) fn node_of(folder: &Path, kind: Kind) -> Option<String> {
    match kind {
        Kind::Sqlite => Some(ALONE.to_owned()),
        Kind::Postgres => name_in(&std::fs::read(folder.join(NODE)).ok()?),
    }
}

/// Brings the journal into the database as it grows.
async fn fold(money: Money) {
    let mut end = money.journal().end();
    loop {
        let folded = money.fold(unix_millis()).await;
        for request in money.journal().take_unheld() {
            tracing::error!(
                request.id = &*request,
                "a request ended of which neither journal nor ledger has the hold; nobody is charged for it"
            );
        }
        match folded {
            Ok(done) => {
                if done.more {
                    continue;
                }
                sleep(GATHERING).await;
                if end.changed().await.is_err() {
                    return;
                }
            }
            // Nothing is lost: the journal keeps it.
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the database does not take the journal; it is tried again");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn refresh(money: Money) {
    let mut beat = interval(REFRESH_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Err(error) = money.refresh(unix_millis()).await {
            tracing::debug!(error = %Chain(&error), "changes of other processes cannot be seen");
        }
    }
}

/// Notices when the journal was deleted under the process, or when its disk refuses it, and when that is over.
async fn watch(money: Money) {
    let mut beat = interval(REFRESH_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        beat.tick().await;
        let there = money.journal().is_there();
        let well = !money.journal().is_failing();
        match (was_well, well) {
            (true, false) if there => {
                tracing::error!("the disk does not take the journal; nothing is admitted until it does")
            }
            (true, false) => tracing::error!(
                "the journal was deleted while it was in use; nothing is admitted until its folder is back, and what was \
                 not in the database yet is lost"
            ),
            (false, true) => tracing::warn!("the journal is written again"),
            (true, true) | (false, false) => {}
        }
        was_well = well;
    }
}

/// Proves what is new every minute, and everything once a day.
async fn verify(money: Money) {
    let mut beat = interval(VERIFY_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut verifier = money.verifier();
    let mut begun = Instant::now();
    loop {
        beat.tick().await;
        if begun.elapsed() >= VERIFY_ALL_EVERY {
            (verifier, begun) = (money.verifier(), Instant::now());
        }
        go_ahead(&money, &mut verifier).await;
        match money.verify(&mut verifier, unix_millis()).await {
            Ok(report) => {
                for flaw in &report.flaws {
                    tracing::error!(?flaw, "the ledger does not add up; see `waypost ledger verify`");
                }
            }
            Err(error @ MoneyError::Store(StoreError::Unavailable(_))) => {
                tracing::debug!(error = %Chain(&error), "the ledger cannot be looked at now")
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the ledger cannot be proved; see `waypost ledger verify`")
            }
        }
    }
}

/// Proves what is there to prove at a tenth of the speed that it could, because requests come first.
async fn go_ahead(money: &Money, verifier: &mut Verifier) {
    const REST: u32 = 9;
    let mut begun = Instant::now();
    while let Ok(true) = money.verify_ahead(verifier).await {
        sleep(begun.elapsed() * REST).await;
        begun = Instant::now();
    }
}

/// Brings what is left to the database. What it does not take in time stays in the journal for the next start.
pub async fn close(money: &Money) {
    const PATIENCE: Duration = Duration::from_secs(5);
    match timeout(PATIENCE, money.close(unix_millis())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the journal keeps what the database did not take"),
        Err(_) => tracing::warn!("the journal keeps what the database did not take in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_never_has_none() {
        let folder = std::env::temp_dir().join(format!("waypost-node-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let file = folder.join(NODE);
        let name = node(&folder, 7).unwrap();
        assert!(id::is("node", &name), "{name}");
        assert_eq!((node(&folder, 8).unwrap(), std::fs::read_to_string(&file).unwrap()), (name.clone(), name.clone()));
        assert!(!folder.join(PART).exists());
        std::fs::write(&file, "gw 1:eu\n").unwrap();
        assert_eq!(node(&folder, 8).unwrap(), "gw 1:eu", "as somebody named it");
        for (random, lost) in (9..).zip([&b""[..], b" \n", b"\0\0\0", b"\xff"]) {
            std::fs::write(&file, lost).unwrap();
            assert_eq!(node_of(&folder, Kind::Postgres), None);
            assert_eq!(node(&folder, random).unwrap(), id::new("node", random), "{lost:?}");
        }
        std::fs::write(folder.join("0000000000000001.journal"), "").unwrap();
        let last = node(&folder, 1).unwrap();
        assert_eq!(node_of(&folder, Kind::Postgres), Some(last));
        std::fs::write(&file, "").unwrap();
        let refused = node(&folder, 1).unwrap_err().to_string();
        assert!(refused.starts_with(&file.display().to_string()) && refused.contains("ledger nodes"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
