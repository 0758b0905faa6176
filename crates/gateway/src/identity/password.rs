//! Passwords: which are taken, and how they are kept, which is as Argon2id strings. Decides what a guess costs; whose
//! password it is, it does not know. Tests are below.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use waypost_core::secret::Secret;

/// In characters.
pub const SHORTEST: usize = 10;
/// In bytes. Longer ones cost time to hash and protect no better.
pub const LONGEST: usize = 1024;

/// What a hash costs today: 19 MiB of memory, two passes, one lane (OWASP's first choice).
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a hash from elsewhere may cost: more is an attack on us.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;
const SALT: usize = 16;
const HASH: usize = 32;

/// Costs what a real one costs, and is the hash of no password that anybody knows.
pub const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$d2F5cG9zdC5ub2JvZHkuLg$bm9ib2R5IGtub3dzIGEgcGFzc3dvcmQgb2YgdGhpcyE";

/// What everybody tries first, in lower case and without digits and signs at the ends.
const COMMON: [&str; 28] = [
    "password",
    "passwort",
    "qwerty",
    "qwertyuiop",
    "qwertz",
    "asdfgh",
    "asdfghjkl",
    "zxcvbnm",
    "letmein",
    "iloveyou",
    "welcome",
    "admin",
    "administrator",
    "root",
    "master",
    "dragon",
    "monkey",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "superman",
    "batman",
    "trustno",
    "whatever",
    "secret",
    "changeme",
    "waypost",
];

/// Why a password is not taken; fit to be shown.
pub fn refusal(password: &str, email: &str) -> Option<&'static str> {
    if password.chars().count() < SHORTEST {
        return Some("The password is too short: it needs at least 10 characters.");
    }
    if password.len() > LONGEST {
        return Some("The password is too long: it may have at most 1024 bytes.");
    }
    let lower = password.to_lowercase();
    let core = lower.trim_matches(|letter: char| !letter.is_alphabetic());
    let own = email.split('@').next().unwrap_or_default().to_lowercase();
    let repeated =
        COMMON.iter().any(|word| core.len() == word.len() * 2 && core.starts_with(word) && core.ends_with(word));
    let regular = lower
        .bytes()
        .zip(lower.bytes().skip(1))
        .all(|(one, next)| next.wrapping_sub(one) <= 1 || (one, next) == (b'9', b'0'));
    let guessed = core.is_empty() && lower.chars().all(|letter| letter.is_ascii_digit()) && password.len() < 14;
    if COMMON.contains(&core) || repeated || regular || guessed || core == own || lower == email.to_lowercase() {
        return Some(
            "The password is among the first that are tried: choose another one, such as four unrelated words.",
        );
    }
    None
}

/// The hash to keep; slow on purpose.
pub fn hash(password: &str, salt: [u8; SALT]) -> Option<Secret> {
    let digest = derive(password, &salt, (MEMORY, PASSES, LANES), HASH)?;
    let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
    Some(Secret::new(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${digest}")))
}

/// Is this the password? Slow on purpose; false, too, if the hash is none.
pub fn matches(password: &str, kept: &str) -> bool {
    let Some(kept) = Kept::parse(kept) else { return false };
    let Some(digest) = derive(password, &kept.salt, kept.cost, kept.digest.len()) else { return false };
    digest.len() == kept.digest.len()
        && digest.iter().zip(&kept.digest).fold(0, |sum, (ours, theirs)| black_box(sum | (ours ^ theirs))) == 0
}

/// Was it hashed at another cost than today's?
pub fn is_outdated(kept: &str) -> bool {
    Kept::parse(kept).is_none_or(|kept| kept.cost != (MEMORY, PASSES, LANES))
}

struct Kept {
    cost: (u32, u32, u32),
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Kept {
    /// `$argon2id$v=19$m=…,t=…,p=…$salt$digest`
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (cost, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let mut costs = cost.split(',');
        let mut number = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let cost = (number("m=")?, number("t=")?, number("p=")?);
        if cost.0 > MOST_MEMORY || cost.1 > MOST_PASSES || cost.2 > MOST_LANES {
            return None;
        }
        let (salt, digest) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(digest).ok()?);
        ((8..=64).contains(&salt.len()) && (16..=64).contains(&digest.len())).then_some(Self { cost, salt, digest })
    }
}

fn derive(password: &str, salt: &[u8], (memory, passes, lanes): (u32, u32, u32), length: usize) -> Option<Vec<u8>> {
    let params = Params::new(memory, passes, lanes, Some(length)).ok()?;
    let mut digest = vec![0; length];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_a_salted_argon2id_string_001_04() {
        let kept = hash("correct horse battery", [7; SALT]).unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !kept.expose().contains("horse"));
        assert!(matches("correct horse battery", kept.expose()) && !is_outdated(kept.expose()));
        assert!(!matches("correct horse batterY", kept.expose()) && !matches("", kept.expose()));
        assert_ne!(hash("correct horse battery", [8; SALT]).unwrap(), kept);
    }

    #[test]
    fn a_hash_of_another_program_is_known_and_renewed() {
        // The test vector of Argon2's reference implementation: argon2id, m=256, t=2, p=1, "password", "somesalt".
        let kept = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(matches("password", kept) && is_outdated(kept) && !matches("passwort", kept));
    }

    #[test]
    fn the_dummy_costs_as_much_as_a_hash_of_today_and_what_costs_too_much_is_refused() {
        assert!(Kept::parse(DUMMY).is_some() && !is_outdated(DUMMY) && !matches("", DUMMY));
        for text in [
            "",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=999,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AA",
            "password",
        ] {
            assert!(Kept::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn short_long_and_usual_passwords_are_refused() {
        let refused = |password: &str| refusal(password, "someone.else@example.org").is_some();
        for password in [
            "short",
            "Password123!",
            "passwordpassword",
            "qwertyuiop",
            "1234567890",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "20011980123",
            "someone.else",
            "someone.else@example.org",
            "!!!Waypost2026",
        ] {
            assert!(refused(password), "{password}");
        }
        assert!(refused(&"xy".repeat(600)));
        for password in ["correct horse battery", "Tr0ub4dor&3x", "пароль от сервера", "0192837465019283746"]
        {
            assert!(!refused(password), "{password}");
        }
    }
}
