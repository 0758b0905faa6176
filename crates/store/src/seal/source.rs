//! Where the master key comes from: a text, a file, or a file that is made. Decides the order and who may read the file; whether it
//! is the right key is asked of the database, which knows the id of its own. Tests: `seal/tests.rs`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use waypost_core::secret::Secret;
use zeroize::Zeroizing;

use super::{KEY_LEN, KeyId, MasterKey, SealError};

/// Longer files hold no master key.
const MAX_BYTES: u64 = 1024;

/// What is said of the master key, the strongest first.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// The key itself, and who said it, such as `WAYPOST_MASTER_KEY`.
    pub text: Option<(Secret, String)>,
    /// A file that somebody named: it must be there.
    pub file: Option<PathBuf>,
    /// The file beside the database: made if it is not there and nothing is sealed yet.
    pub beside: PathBuf,
}

/// Where the master key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    Text,
    File(PathBuf),
    /// Just made: its owner has to be told to keep a copy.
    Made(PathBuf),
}

impl KeySource {
    /// The master key. `known` is the id of the key that the database was sealed with, if anything in it is sealed: another key,
    /// or none, is an error. `fresh` are unpredictable bytes, which become the key if one has to be made.
    pub fn find(&self, known: Option<KeyId>, fresh: [u8; KEY_LEN]) -> Result<(MasterKey, KeyOrigin), SealError> {
        let (key, origin) = match (&self.text, &self.file) {
            (Some((text, said_by)), _) => (MasterKey::parse(text.expose(), said_by)?, KeyOrigin::Text),
            (None, Some(file)) => (read(file)?, KeyOrigin::File(file.clone())),
            (None, None) => self.beside(known, fresh)?,
        };
        match known {
            Some(expected) if expected != key.id() => Err(SealError::OtherKey { expected, found: key.id() }),
            Some(_) | None => Ok((key, origin)),
        }
    }

    fn beside(&self, known: Option<KeyId>, fresh: [u8; KEY_LEN]) -> Result<(MasterKey, KeyOrigin), SealError> {
        let path = &self.beside;
        if path.exists() {
            return Ok((read(path)?, KeyOrigin::File(path.clone())));
        }
        match known {
            Some(expected) => Err(SealError::Missing { expected }),
            None => make(path, Zeroizing::new(fresh)),
        }
    }
}

/// The key in a file that only its owner may read.
fn read(path: &Path) -> Result<MasterKey, SealError> {
    let failed = |error: std::io::Error| failed(path, &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    refuse_if_exposed(path, &file)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    MasterKey::parse(&text, &path.display().to_string())
}

/// A new key in a new file. If another process makes one at the same time, both get the one that was first.
fn make(path: &Path, fresh: Zeroizing<[u8; KEY_LEN]>) -> Result<(MasterKey, KeyOrigin), SealError> {
    let failed = |error: std::io::Error| failed(path, &error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // Written aside and linked into place, so that nobody ever reads half of it.
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let linked = write(&draft, &fresh).and_then(|()| std::fs::hard_link(&draft, path));
    drop(std::fs::remove_file(&draft));
    match linked {
        Ok(()) => Ok((MasterKey::new(*fresh), KeyOrigin::Made(path.to_owned()))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok((read(path)?, KeyOrigin::File(path.to_owned()))),
        Err(error) => Err(failed(error)),
    }
}

fn write(path: &Path, key: &[u8; KEY_LEN]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LEN + 1));
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn refuse_if_exposed(path: &Path, file: &std::fs::File) -> Result<(), SealError> {
    let about = file.metadata().map_err(|error| failed(path, &error))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SealError::Exposed { path: path.display().to_string(), mode }) }
}

#[cfg(not(unix))]
fn refuse_if_exposed(_: &Path, _: &std::fs::File) -> Result<(), SealError> {
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> SealError {
    SealError::File { path: path.display().to_string(), reason: error.to_string() }
}
