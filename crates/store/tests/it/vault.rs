//! A database and its master key: which it accepts, and how it gets another.

use sqlx::{AssertSqlSafe, Row as _};
use waypost_core::secret::Secret;
use waypost_store::catalog::{ChannelDraft, CredentialDraft};
use waypost_store::seal::{Dice, KeyId, MasterKey, SealError};
use waypost_store::{Store, StoreError, Vault, VaultError};

use crate::harness::{NOW, on_both};

pub(crate) fn master(byte: u8) -> MasterKey {
    MasterKey::new([byte; 32])
}

pub(crate) fn dice(byte: u8) -> Dice {
    Dice::seeded([byte; 32])
}

pub(crate) async fn vault(store: &Store) -> Vault {
    store.open_vault(master(1), &mut dice(1), NOW).await.unwrap()
}

/// A channel with a credential and a secret header.
async fn fill(store: &Store, vault: &Vault) {
    let mut changes = store.change_catalog(vault, dice(2), NOW).await.unwrap();
    let headers = serde_json::from_str(r#"{"x-extra": "secret-in-a-header"}"#).unwrap();
    let draft = ChannelDraft { name: "one".into(), enabled: true, headers: Some(headers), ..ChannelDraft::default() };
    let channel = changes.put_channel(&draft).await.unwrap().id().to_owned();
    changes.put_credential(&credential(&channel, "main", "secret-of-the-account")).await.unwrap();
    changes.commit().await.unwrap();
}

pub(crate) fn credential(channel: &str, name: &str, key: &str) -> CredentialDraft {
    CredentialDraft {
        channel: channel.to_owned(),
        name: name.to_owned(),
        key: Some(Secret::new(key)),
        enabled: true,
        limits: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn the_first_master_key_becomes_the_databases_own_and_another_is_refused() {
    on_both(async |store| {
        assert_eq!(store.sealed_with().await.unwrap(), None);
        let first = vault(&store).await;
        assert_eq!(store.sealed_with().await.unwrap(), Some(master(1).id()));
        let (expected, found) = (master(1).id(), master(2).id());
        let refused = store.open_vault(master(2), &mut dice(3), NOW).await.unwrap_err();
        assert!(matches!(&refused, VaultError::Seal(error) if *error == SealError::OtherKey { expected, found }));
        assert!(refused.to_string().contains("WAYPOST_MASTER_KEY"), "{refused}");
        // Whoever opens it later has the same keys.
        let again = store.open_vault(master(1), &mut dice(4), NOW).await.unwrap();
        assert_eq!(again.derive("ledger-chain"), first.derive("ledger-chain"));
        assert_ne!(again.derive("ledger-chain"), again.derive("audit-chain"));
    })
    .await;
}

#[tokio::test]
async fn rotation_seals_every_secret_anew_and_keeps_what_was_derived() {
    on_both(async |store| {
        let old = vault(&store).await;
        fill(&store, &old).await;
        let before = store.catalog(&old).await.unwrap();
        let rotated = store.rotate_master_key(&master(1), &master(2), &mut dice(5), NOW).await.unwrap();
        assert_eq!((rotated.from, rotated.to, rotated.secrets), (master(1).id(), master(2).id(), 3));

        let new = store.open_vault(master(2), &mut dice(6), NOW).await.unwrap();
        assert_eq!(store.catalog(&new).await.unwrap(), before);
        assert_eq!(new.derive("ledger-chain"), old.derive("ledger-chain"));
        assert!(store.open_vault(master(1), &mut dice(7), NOW).await.is_err(), "the old key still opens");
        // A gateway that has started before reads no secret and writes none with the old key.
        assert_eq!(store.catalog(&old).await.unwrap().catalog.broken.len(), 2);
        let refused = store.change_catalog(&old, dice(8), NOW).await.err().unwrap();
        assert!(refused.to_string().contains("restart"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_rotation_that_fails_changes_nothing() {
    on_both(async |store| {
        let vault = vault(&store).await;
        fill(&store, &vault).await;
        let wrong = store.rotate_master_key(&master(3), &master(2), &mut dice(5), NOW).await;
        assert!(matches!(wrong, Err(VaultError::Seal(SealError::OtherKey { .. }))), "{wrong:?}");
        // A row that is not what was sealed there: the last of them, after others were sealed anew.
        damage(&store, "credentials", "sealed").await;
        let altered = store.rotate_master_key(&master(1), &master(2), &mut dice(5), NOW).await;
        assert!(matches!(altered, Err(VaultError::Seal(SealError::Altered { .. }))), "{altered:?}");
        assert_eq!(store.sealed_with().await.unwrap(), Some(master(1).id()));
        assert!(store.catalog(&vault).await.unwrap().catalog.channels[0].headers.is_some());
    })
    .await;
}

#[tokio::test]
async fn there_is_nothing_to_rotate_before_the_first_start() {
    on_both(async |store| {
        let refused = store.rotate_master_key(&master(1), &master(2), &mut dice(5), NOW).await;
        assert!(matches!(refused, Err(VaultError::Store(StoreError::Refused(_)))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_that_opens_a_lock_stands_in_the_database() {
    on_both(async |store| {
        let vault = vault(&store).await;
        fill(&store, &vault).await;
        for (table, column) in [("credentials", "sealed"), ("channels", "headers"), ("vault", "root")] {
            let sql = AssertSqlSafe(format!("select {column} from {table}"));
            let bytes: Vec<u8> = sqlx::query(sql).fetch_one(store.reader()).await.unwrap().get(0);
            assert_eq!(KeyId::of(&bytes), Some(master(1).id()), "{table}");
            assert!(!String::from_utf8_lossy(&bytes).contains("secret"), "{table}");
        }
    })
    .await;
}

/// Changes a byte of the data key in a column.
pub(crate) async fn damage(store: &Store, table: &str, column: &str) {
    let sql = AssertSqlSafe(format!("select {column} from {table}"));
    let mut bytes: Vec<u8> = sqlx::query(sql).fetch_one(store.reader()).await.unwrap().get(0);
    bytes[30] ^= 1;
    let mut tx = store.begin().await.unwrap();
    let sql = AssertSqlSafe(format!("update {table} set {column} = $1"));
    sqlx::query(sql).bind(bytes).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}
