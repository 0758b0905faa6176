//! How secrets that are only ever compared are kept: as their SHA-256, in hexadecimal digits. For secrets of our own making,
//! which are random; never for passwords. Tests: where they are used.

use sha2::{Digest, Sha256};

/// The hash that a secret is found by.
pub fn of(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}
