//! The master key of this machine: where it may come from, and what its owner is told when one was made. Decides the order and the
//! words; what is sealed with it is the store's. Tests: `it/catalog.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use waypost_core::config::{Config, Variables};
use waypost_core::secret::Secret;
use waypost_store::seal::{Dice, KeyOrigin, KeySource};
use waypost_store::{Store, Vault, VaultError};

/// The variable that holds the key itself.
pub const VARIABLE: &str = "WAYPOST_MASTER_KEY";

/// The name of the file beside an embedded database, and under the same folder beside others.
const FILE: &str = "master.key";

/// Where this configuration and these variables say that the key is.
pub fn source(config: &Config, variables: &Variables) -> KeySource {
    let text = variables.said(VARIABLE).map(|text| (Secret::new(text), VARIABLE.to_owned()));
    let file = config.secrets.master_key_file.as_ref().map(PathBuf::from);
    let beside = Path::new(&config.database.path).parent().unwrap_or(Path::new("")).join(FILE);
    KeySource { text, file, beside }
}

/// Opens the vault of a database; says where the key came from.
pub async fn open(
    store: &Store,
    source: &KeySource,
    dice: &mut Dice,
    now: i64,
) -> Result<(Arc<Vault>, KeyOrigin), VaultError> {
    let known = store.sealed_with().await?;
    let (key, origin) = source.find(known, dice.bytes())?;
    let vault = store.open_vault(key, dice, now).await?;
    Ok((Arc::new(vault), origin))
}

/// What the owner of a key that was just made has to know.
pub fn note(origin: &KeyOrigin) -> Option<String> {
    match origin {
        KeyOrigin::Made(path) => Some(format!(
            "A master key was made: {}\nProvider keys in the database cannot be read without it. Keep a copy of it apart from the database.",
            path.display()
        )),
        KeyOrigin::Text | KeyOrigin::File(_) => None,
    }
}
