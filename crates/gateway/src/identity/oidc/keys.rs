//! The keys that a provider signs with (JWKS, RFC 7517), of the two algorithms that are taken: RS256 and ES256. Decides
//! whether a signature is one of theirs. Tests: `id_token.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// The algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    RS256,
    ES256,
}

/// A public key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    numbers: Numbers,
}

#[derive(Clone, Debug)]
enum Numbers {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed: 4, x, y.
    P256(Vec<u8>),
}

/// What is read of a set; keys of other kinds and uses are passed over.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// More than this no provider has.
const MOST: usize = 64;

/// The keys of a set that can be used; `None` if it is no set.
pub(super) fn read(json: &[u8]) -> Option<Vec<Key>> {
    let set: Set = serde_json::from_slice(json).ok()?;
    Some(set.keys.into_iter().take(MOST).filter_map(Key::of).collect())
}

impl Key {
    fn of(written: Written) -> Option<Self> {
        if written.r#use.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let named = written.alg.as_deref();
        let numbers = match written.kty.as_str() {
            "RSA" if named.is_none_or(|alg| alg == "RS256") => {
                Numbers::Rsa { n: number(written.n)?, e: number(written.e)? }
            }
            "EC" if written.crv.as_deref() == Some("P-256") && named.is_none_or(|alg| alg == "ES256") => {
                let (x, y) = (number(written.x)?, number(written.y)?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                Numbers::P256([&[4][..], &x, &y].concat())
            }
            _ => return None,
        };
        Some(Self { id: written.kid, numbers })
    }

    /// Is this the key that a token names, or could it be, if it names none?
    pub(super) fn is_meant(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let same = id.is_none() || self.id.as_deref() == id;
        let fits = matches!(
            (&self.numbers, algorithm),
            (Numbers::Rsa { .. }, Algorithm::RS256) | (Numbers::P256(_), Algorithm::ES256)
        );
        same && fits
    }

    /// Is the signature of these bytes by this key?
    pub(super) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match &self.numbers {
            Numbers::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, bytes, signature).is_ok()
            }
            Numbers::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(bytes, signature).is_ok()
            }
        }
    }
}
