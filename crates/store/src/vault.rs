//! The master key and the database that is sealed with it, together. Decides which key a database accepts and how it gets another
//! one; how bytes are sealed is for [`crate::seal`]. Tests: `tests/it/vault.rs`.

use std::fmt;

use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use waypost_core::secret::Secret;
use zeroize::Zeroizing;

use crate::seal::{Dice, KeyId, MasterKey, Place, SealError, derive};
use crate::{Store, StoreError};

/// The opened secrets of one database: seals, opens, and derives keys that outlive the master key.
pub struct Vault {
    master: MasterKey,
    root: Zeroizing<[u8; 32]>,
}

/// Why a vault cannot be opened.
#[derive(Debug)]
pub enum VaultError {
    Seal(SealError),
    Store(StoreError),
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub from: KeyId,
    pub to: KeyId,
    /// How many secrets were sealed anew.
    pub secrets: usize,
}

/// A column with sealed bytes, or empty. Whoever adds one adds it here, or rotation would lose what is in it.
struct Sealed {
    table: &'static str,
    /// The column that names the row, also in what sealing is bound to.
    row: &'static str,
    column: &'static str,
}

const SEALED: [Sealed; 3] = [
    Sealed { table: "captured_bodies", row: "id", column: "sealed" },
    Sealed { table: "channels", row: "id", column: "headers" },
    Sealed { table: "credentials", row: "id", column: "sealed" },
];

const ROOT: Place<'_> = Place { table: "vault", row: "root", tenant: "" };

impl Vault {
    /// A key for one purpose, such as `ledger-chain`. It stays the same when the master key is rotated.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(&self.root, purpose)
    }

    pub fn seal(&self, place: &Place<'_>, secret: &Secret, dice: &mut Dice) -> Result<Vec<u8>, SealError> {
        self.master.seal(place, secret, dice.for_seal())
    }

    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        self.master.open(place, sealed)
    }

    /// The id of the master key.
    pub fn key_id(&self) -> KeyId {
        self.master.id()
    }

    /// Fails if the database was sealed with another master key since this was opened: nobody could open what is sealed with this
    /// one. A rotation waits until the transaction is over.
    pub(crate) async fn check_current(&self, tx: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
        let lock = "update vault set master_key_id = master_key_id where id = 1 returning master_key_id";
        let row = sqlx::query(lock).fetch_one(&mut **tx).await?;
        let sealed_with: String = row.try_get(0)?;
        if sealed_with == self.key_id().to_string() {
            return Ok(());
        }
        let text = "the master key was rotated since this gateway started; restart it with the new one";
        Err(StoreError::Refused(text.into()))
    }
}

impl Store {
    /// The id of the master key that this database is sealed with; `None` if nothing was sealed yet.
    pub async fn sealed_with(&self) -> Result<Option<KeyId>, StoreError> {
        let row = sqlx::query("select master_key_id from vault where id = 1").fetch_optional(self.reader()).await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        KeyId::parse(&text).map(Some).ok_or_else(|| unreadable("master_key_id"))
    }

    /// Opens the vault with this key, and makes it the database's own if the database has none yet.
    pub async fn open_vault(&self, master: MasterKey, dice: &mut Dice, now: i64) -> Result<Vault, VaultError> {
        let mut tx = self.begin().await?;
        let fresh = Secret::new(hex(&dice.bytes::<32>()));
        let sealed = master.seal(&ROOT, &fresh, dice.for_seal())?;
        // Whoever is first wins; others read what is there.
        let add =
            "insert into vault (id, master_key_id, root, changed_at) values (1, $1, $2, $3) on conflict do nothing";
        let added = sqlx::query(add).bind(master.id().to_string()).bind(sealed).bind(now).execute(&mut *tx).await;
        added.map_err(StoreError::from)?;
        let root = read_root(&mut tx, &master).await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Vault { master, root })
    }

    /// Seals everything with another master key: all of it, or nothing. Gateways that run go on with what they have opened; their
    /// next start needs the new key.
    pub async fn rotate_master_key(
        &self,
        old: &MasterKey,
        new: &MasterKey,
        dice: &mut Dice,
        now: i64,
    ) -> Result<Rotated, VaultError> {
        let mut tx = self.begin().await?;
        let root = sealed_root(&mut tx).await?;
        let root = new.reseal(old, &ROOT, &root, &dice.for_wrap())?;
        let change = "update vault set master_key_id = $1, root = $2, changed_at = $3 where id = 1";
        let changed = sqlx::query(change).bind(new.id().to_string()).bind(root).bind(now).execute(&mut *tx).await;
        changed.map_err(StoreError::from)?;
        let mut secrets = 1;
        for column in &SEALED {
            secrets += column.reseal(&mut tx, old, new, dice).await?;
        }
        tx.commit().await.map_err(StoreError::from)?;
        Ok(Rotated { from: old.id(), to: new.id(), secrets })
    }
}

impl Sealed {
    async fn reseal(
        &self,
        tx: &mut Transaction<'static, Any>,
        old: &MasterKey,
        new: &MasterKey,
        dice: &mut Dice,
    ) -> Result<usize, VaultError> {
        /// How many are in memory at a time: a captured body may be large.
        const AT_ONCE: usize = 64;
        let Self { table, row, column } = self;
        // All three are words of this program.
        let some = format!(
            "select {row}, {column} from {table} where {column} is not null and {row} > $1 order by {row} limit {AT_ONCE}"
        );
        let change = format!("update {table} set {column} = $1 where {row} = $2");
        let (mut last, mut count) = (String::new(), 0);
        loop {
            let page = sqlx::query(AssertSqlSafe(some.clone())).bind(last.clone()).fetch_all(&mut **tx).await;
            let page = page.map_err(StoreError::from)?;
            for found in &page {
                let id: String = found.try_get(0).map_err(StoreError::from)?;
                let sealed: Vec<u8> = found.try_get(1).map_err(StoreError::from)?;
                let place = Place { table, row: &id, tenant: "" };
                let again = new.reseal(old, &place, &sealed, &dice.for_wrap())?;
                let changed =
                    sqlx::query(AssertSqlSafe(change.clone())).bind(again).bind(id.clone()).execute(&mut **tx);
                changed.await.map_err(StoreError::from)?;
                last = id;
            }
            count += page.len();
            if page.len() < AT_ONCE {
                return Ok(count);
            }
        }
    }
}

async fn sealed_root(tx: &mut Transaction<'static, Any>) -> Result<Vec<u8>, StoreError> {
    let row = sqlx::query("select root from vault where id = 1").fetch_optional(&mut **tx).await?;
    let row = row
        .ok_or_else(|| StoreError::Refused("the database has no secrets yet; there is nothing to seal anew".into()))?;
    Ok(row.try_get(0)?)
}

async fn read_root(tx: &mut Transaction<'static, Any>, master: &MasterKey) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let sealed = sealed_root(tx).await?;
    let digits = master.open(&ROOT, &sealed)?;
    let bytes = crate::seal::unhex(digits.expose()).map(Zeroizing::new);
    let root = bytes.as_deref().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    Ok(root.map(Zeroizing::new).ok_or_else(|| unreadable("root"))?)
}

fn unreadable(column: &str) -> StoreError {
    StoreError::Corrupt(format!("vault, row 1: {column} cannot be read; restore a backup of the database"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.master.id())
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for VaultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Seal(_) => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl From<SealError> for VaultError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
