//! Whether whoever comes is signed in: from a token, however it came, to what somebody is now. Asks the database only for
//! sessions that this process has not met. Tests: `it/auth/`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use waypost_store::page::Scope;
use waypost_store::{StoreError, sessions, teams, users};

use super::live::Look;
use super::token::Claims;
use super::{Denied, Identity, Signed};
use crate::jobs::Jobs;

/// How often the database is asked for what others have changed there.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// How far back it is asked, in milliseconds: clocks differ, and a transaction is seen later than it is dated.
const OVERLAP: i64 = 5_000;
/// How long sessions that are over stay in the database, in milliseconds.
const KEPT: i64 = 30 * 24 * 60 * 60 * 1000;
/// After how many looks what is over is forgotten.
const SWEEP_AFTER: u32 = 120;

/// How a token came.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    pub token: &'a str,
}

impl Identity {
    /// Somebody who is signed in by this token; the refusal is the same whatever is wrong with it.
    pub async fn admit(&self, presented: Presented<'_>, now: i64) -> Result<Signed, Denied> {
        let claims = self.tokens.read(presented.token, now.div_euclid(1000))?;
        for asked in [false, true] {
            match self.live.look(&claims, now) {
                Look::In(signed) => return Ok(signed),
                Look::Out => return Err(Denied::NotSignedIn),
                Look::Unknown if asked => return Err(Denied::NotSignedIn),
                Look::Unknown => self.learn(&claims).await?,
            }
        }
        Err(Denied::NotSignedIn)
    }

    /// Does the session of somebody who was let in still live? Costs no question to the database.
    pub fn lasts(&self, signed: &Signed, now: i64) -> bool {
        self.live.lasts(signed, now)
    }

    /// Was this token made here, though it may open nothing any more?
    pub fn made(&self, token: &str) -> bool {
        self.tokens.is_ours(token)
    }

    async fn learn(&self, claims: &Claims) -> Result<(), Denied> {
        let gone = |error| match error {
            StoreError::NotFound => Denied::NotSignedIn,
            other => Denied::Store(other),
        };
        let session = sessions::get(&self.store, &Scope::All, &claims.sid).await.map_err(gone)?;
        let user = users::get(&self.store, &Scope::All, &claims.sub).await.map_err(gone)?;
        if let Some(team) = &user.team {
            self.live.note_team(&teams::get(&self.store, &Scope::All, team).await.map_err(gone)?);
        }
        self.live.note_session(&session);
        self.live.note_user(&user);
        Ok(())
    }

    /// Follows what other processes change in the database, until the jobs are told to stop: another instance, a command.
    /// What this process changes itself holds at once.
    pub async fn follow(self: Arc<Self>, jobs: Jobs, clock: impl Fn() -> i64) {
        let mut look = interval(FOLLOW_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut since, mut looks, mut away) = (clock() - OVERLAP, 0_u32, false);
        loop {
            tokio::select! {
                () = jobs.stopping() => return,
                _ = look.tick() => {}
            }
            let now = clock();
            match self.catch_up(since).await {
                Ok(()) => (since, away) = (now - OVERLAP, false),
                Err(error) => {
                    if !away {
                        tracing::warn!(%error, "changes to users and sessions cannot be followed; trying again");
                    }
                    away = true;
                }
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(SWEEP_AFTER) {
                self.live.sweep(now);
                // What cannot be pruned now is pruned later.
                let _ = sessions::prune(&self.store, now - KEPT).await;
            }
        }
    }

    /// Learns of whatever changed at or after `since`.
    pub async fn catch_up(&self, since: i64) -> Result<(), StoreError> {
        for session in sessions::changed_since(&self.store, since).await? {
            self.live.note_session(&session);
        }
        for user in users::changed_since(&self.store, since).await? {
            if self.live.knows_user(&user.id) {
                self.live.note_user(&user);
            }
        }
        for team in teams::changed_since(&self.store, since).await? {
            self.live.note_team(&team);
        }
        Ok(())
    }
}
