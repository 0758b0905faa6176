//! The secret that sessions are signed with, where the configuration has none: made once and kept in the database, so that
//! every instance over one database has the same. Tests: `it/auth/start.rs`.

use ring::rand::{SecureRandom as _, SystemRandom};
use waypost_core::secret::Secret;
use waypost_store::{Store, digest, meta};

/// Its name in the table of small things.
const NAME: &str = "jwt_secret";

/// The one that is kept; made if there is none. Of several who make one at the same time, the first one's holds.
pub(super) async fn kept(store: &Store, random: &SystemRandom, now: i64) -> Result<Secret, String> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes).map_err(|_| "the operating system gives no random numbers".to_owned())?;
    meta::kept_or(store, NAME, &digest::hex(&bytes), now)
        .await
        .map(Secret::new)
        .map_err(|error| format!("the secret for sessions cannot be kept in the database: {error}; set JWT_SECRET"))
}
