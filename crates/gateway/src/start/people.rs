//! Lets people in from the start: what signs their sessions, who follows what others change, and the word to the owner of a
//! gateway without users. Decides nothing about who they are. Tests: `it/auth/start.rs`, against the built binary.

use std::net::SocketAddr;
use std::sync::Arc;

use waypost_core::Secret;
use waypost_core::config;
use waypost_store::digest;

use super::database::Opened;
use super::{StartError, eprint_lines};
use crate::app::App;
use crate::clock::unix_millis;
use crate::identity::Identity;
use crate::jobs::Jobs;

/// What the key that signs sessions is derived for.
const PURPOSE: &str = "sessions of people";

/// Makes it possible to sign in. Gives the token that makes the first owner, if it was made now.
pub(super) async fn let_in(
    app: &Arc<App>,
    database: &Opened,
    settings: &config::Identity,
    jobs: &Jobs,
) -> Result<Option<Secret>, StartError> {
    let mut settings = settings.clone();
    // The same on every instance over the database, and nowhere in it that could be read.
    let derived = || Secret::new(digest::hex(&*database.vault.derive(PURPOSE)));
    settings.jwt_secret.get_or_insert_with(derived);
    let opened = Identity::open(database.store.clone(), &settings, unix_millis()).await.map_err(StartError::one)?;
    jobs.spawn("sessions", Arc::clone(&opened.identity).follow(jobs.clone(), unix_millis));
    app.let_in(opened.identity);
    Ok(opened.setup_token)
}

/// Tells whoever started the gateway how to become its first owner. Not the log, where others read it later.
pub(super) fn invite_owner(address: SocketAddr, token: Option<&Secret>) {
    let Some(token) = token.map(Secret::expose) else { return };
    eprint_lines(&[
        format!("Set-up token, shown this once: {token}"),
        format!(
            "It makes the first owner:\n  curl http://{address}/auth/setup -H \"Content-Type: application/json\" \\\n    -d '{{\"token\": \"{token}\", \"email\": \"<yours>\", \"password\": \"<a new one>\"}}'"
        ),
    ]);
}
