//! Secrets at rest: every secret is encrypted with a key of its own, which is encrypted with the master key, and both only open in
//! the row they were sealed for. Decides the form of sealed bytes and what is derived from the master key; where the master key
//! comes from is for `seal/source.rs`. Knows no SQL. Tests: `seal/tests.rs`.

mod dice;
mod source;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use waypost_core::secret::Secret;
use zeroize::Zeroizing;

pub use dice::Dice;
pub use source::{KeyOrigin, KeySource};

/// Bytes of the master key, of every data key and of every derived key.
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const ID_LEN: usize = 8;

/// Form of what is sealed; the first byte of it.
const VERSION: u8 = 1;

/// Version, id of the master key, nonce and encrypted data key; then nonce and encrypted secret.
const WRAPPED_AT: usize = 1 + ID_LEN + NONCE_LEN;
const NONCE_AT: usize = WRAPPED_AT + KEY_LEN + TAG_LEN;
const SECRET_AT: usize = NONCE_AT + NONCE_LEN;

/// The key that all other keys hang on. Wiped when dropped; never shown.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    id: KeyId,
}

/// Which master key it is, without saying anything of it: the first bytes of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_LEN]);

/// The only row that what is sealed opens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub table: &'a str,
    pub row: &'a str,
    /// The team whose row it is; empty for what belongs to the whole instance.
    pub tenant: &'a str,
}

/// Fresh unpredictable bytes for one secret. Never used for a second one.
pub struct SealDice(pub [u8; KEY_LEN + 2 * NONCE_LEN]);

/// Fresh unpredictable bytes for one new wrapping of a data key.
pub struct WrapDice(pub [u8; NONCE_LEN]);

/// Why a secret cannot be opened, or a master key cannot be used. Says nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The text, or the content of the file, is no master key.
    NoKey { said_by: String },
    /// The file cannot be read or written.
    File { path: String, reason: String },
    /// Others than its owner may read the file.
    Exposed { path: String, mode: u32 },
    /// There are sealed rows and no master key.
    Missing { expected: KeyId },
    /// Another master key than the one that the database was sealed with.
    OtherKey { expected: KeyId, found: KeyId },
    /// The bytes are not what was sealed here: cut, changed, or moved from another row.
    Altered { table: String, row: String },
    /// Encryption itself failed, which it never does for texts of this size.
    Cipher,
}

impl MasterKey {
    pub fn new(bytes: [u8; KEY_LEN]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut told = ring::digest::Context::new(&ring::digest::SHA256);
        told.update(b"waypost master key id v1");
        told.update(&*bytes);
        let mut id = [0; ID_LEN];
        id.iter_mut().zip(told.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self { bytes, id: KeyId(id) }
    }

    /// 32 bytes in 64 hexadecimal digits or in base64, with or without padding. `said_by` is named in the error.
    pub fn parse(text: &str, said_by: &str) -> Result<Self, SealError> {
        let bare = text.trim().trim_end_matches('=');
        let bytes =
            unhex(bare).or_else(|| STANDARD_NO_PAD.decode(bare).ok()).or_else(|| URL_SAFE_NO_PAD.decode(bare).ok());
        let bytes = bytes.map(Zeroizing::new);
        match bytes.as_deref().and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok()) {
            Some(bytes) => Ok(Self::new(bytes)),
            None => Err(SealError::NoKey { said_by: said_by.to_owned() }),
        }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A key for one purpose, such as `ledger-chain`: the same each time, and of no use for another purpose.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_LEN]> {
        derive(&self.bytes, purpose)
    }

    /// Encrypts a secret for one row.
    pub fn seal(&self, place: &Place<'_>, secret: &Secret, dice: SealDice) -> Result<Vec<u8>, SealError> {
        let (data_key, nonces) = dice.0.split_at(KEY_LEN);
        let (wrap_nonce, nonce) = nonces.split_at(NONCE_LEN);
        let data_key = Zeroizing::new(<[u8; KEY_LEN]>::try_from(data_key).map_err(|_| SealError::Cipher)?);
        let mut sealed = self.wrap(place, &data_key, wrap_nonce)?;
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| SealError::Cipher)?;
        sealed.extend_from_slice(&nonce);
        let hidden = encrypt(&data_key, nonce, &place.bound("secret"), secret.expose().as_bytes())?;
        sealed.extend_from_slice(&hidden);
        Ok(sealed)
    }

    /// The secret that was sealed for this row.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let data_key = self.unwrap(place, sealed)?;
        let altered = || place.altered();
        let nonce = array(sealed, NONCE_AT).ok_or_else(altered)?;
        let hidden = sealed.get(SECRET_AT..).ok_or_else(altered)?;
        let bytes = decrypt(&data_key, nonce, &place.bound("secret"), hidden).ok_or_else(altered)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| altered())?;
        Ok(Secret::new(text))
    }

    /// What `old` sealed, so that only this key opens it. The secret itself is not decrypted.
    pub fn reseal(&self, old: &Self, place: &Place<'_>, sealed: &[u8], dice: &WrapDice) -> Result<Vec<u8>, SealError> {
        let data_key = old.unwrap(place, sealed)?;
        let mut again = self.wrap(place, &data_key, &dice.0)?;
        again.extend_from_slice(sealed.get(NONCE_AT..).ok_or_else(|| place.altered())?);
        Ok(again)
    }

    fn wrap(&self, place: &Place<'_>, data_key: &[u8; KEY_LEN], nonce: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| SealError::Cipher)?;
        let wrapped = encrypt(&self.derive("seal"), nonce, &place.bound("data key"), data_key)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&self.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&wrapped);
        Ok(sealed)
    }

    fn unwrap(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, SealError> {
        let altered = || place.altered();
        let found = KeyId::of(sealed).ok_or_else(altered)?;
        if found != self.id {
            return Err(SealError::OtherKey { expected: found, found: self.id });
        }
        let nonce = array(sealed, 1 + ID_LEN).ok_or_else(altered)?;
        let wrapped = sealed.get(WRAPPED_AT..NONCE_AT).ok_or_else(altered)?;
        let bytes = decrypt(&self.derive("seal"), nonce, &place.bound("data key"), wrapped).ok_or_else(altered)?;
        Ok(Zeroizing::new(<[u8; KEY_LEN]>::try_from(bytes.as_slice()).map_err(|_| altered())?))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl KeyId {
    /// Which master key opens this; `None` if these bytes were never sealed.
    pub fn of(sealed: &[u8]) -> Option<Self> {
        match sealed.first() {
            Some(&VERSION) => array(sealed, 1).map(Self),
            Some(_) | None => None,
        }
    }

    /// As it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Place<'_> {
    /// What encryption is bound to. Lengths come first, so that no two places look alike.
    fn bound(&self, part: &str) -> Vec<u8> {
        let mut bound = Vec::with_capacity(96);
        for word in ["waypost seal v1", part, self.table, self.row, self.tenant] {
            bound.extend_from_slice(&u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
            bound.extend_from_slice(word.as_bytes());
        }
        bound
    }

    fn altered(&self) -> SealError {
        SealError::Altered { table: self.table.to_owned(), row: self.row.to_owned() }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { said_by } => write!(
                f,
                "{said_by}: this is no master key; give 32 random bytes as 64 hexadecimal digits or as base64, as \
                 `openssl rand -base64 32` makes them"
            ),
            Self::File { path, reason } => write!(f, "{path}: the master key cannot be kept there: {reason}"),
            Self::Exposed { path, mode } => write!(
                f,
                "{path}: others may read this file (mode {mode:04o}), and it holds the master key; run `chmod 600 {path}`"
            ),
            Self::Missing { expected } => write!(
                f,
                "the database holds secrets that are sealed with the master key {expected}, which is nowhere to be found; \
                 put it back in its file, or give it in WAYPOST_MASTER_KEY or WAYPOST_MASTER_KEY_FILE"
            ),
            Self::OtherKey { expected, found } => write!(
                f,
                "the database is sealed with the master key {expected}, and this is the key {found}; give the one it was \
                 sealed with, in WAYPOST_MASTER_KEY or WAYPOST_MASTER_KEY_FILE"
            ),
            Self::Altered { table, row } => write!(
                f,
                "{table}, row {row}: what is sealed there was changed or comes from another row; enter the secret again"
            ),
            Self::Cipher => f.write_str("the secret cannot be encrypted"),
        }
    }
}

impl std::error::Error for SealError {}

// === cipher ===

pub(crate) fn derive(from: &[u8; KEY_LEN], purpose: &str) -> Zeroizing<[u8; KEY_LEN]> {
    // HKDF with SHA-256 (RFC 5869) for one block, which cannot fail.
    let root = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"waypost master key v1"), from);
    let mut block = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, root.as_ref()));
    block.update(purpose.as_bytes());
    block.update(&[1]);
    let mut derived = Zeroizing::new([0; KEY_LEN]);
    derived.iter_mut().zip(block.sign().as_ref()).for_each(|(to, from)| *to = *from);
    derived
}

fn encrypt(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::Cipher)?;
    // Room for the tag beforehand: the plain text is encrypted where it stands, and no copy of it is left behind.
    let mut bytes = Vec::with_capacity(plain.len() + TAG_LEN);
    bytes.extend_from_slice(plain);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut bytes)
        .map_err(|_| SealError::Cipher)?;
    Ok(bytes)
}

fn decrypt(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], bound: &[u8], hidden: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
    let mut bytes = Zeroizing::new(hidden.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let plain = LessSafeKey::new(key).open_in_place(nonce, Aad::from(bound), &mut bytes).ok()?.len();
    bytes.truncate(plain);
    Some(bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Hexadecimal digits as bytes; `None` if something else is among them.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests;
