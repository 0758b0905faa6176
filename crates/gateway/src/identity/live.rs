//! What is known of sessions and their users without asking the database: a check costs two look-ups in memory. Decides
//! whether a token's session lives, and what its user is at this moment, whatever the token was told when it was made.
//! Tests are below.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use waypost_core::role::{Actor, Role};
use waypost_store::sessions::Session;
use waypost_store::teams::Team;
use waypost_store::users::User;

use super::token::Claims;

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What they are now; the id is the user's.
    pub actor: Actor,
    /// The session's id.
    pub session: String,
}

/// What memory says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    In(Signed),
    Out,
    /// Only the database knows.
    Unknown,
}

/// Sessions, people and teams that were asked for lately.
#[derive(Default)]
pub(super) struct Live {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    sessions: HashMap<String, Seat>,
    people: HashMap<String, Person>,
    teams: HashMap<String, (i64, bool)>,
}

struct Seat {
    user: String,
    generation: i64,
    expires_at: i64,
    ended: bool,
}

struct Person {
    role: Role,
    team: Option<String>,
    enabled: bool,
    version: i64,
    generation: i64,
}

impl Live {
    /// Does the session live? `now` is in milliseconds since 1970.
    pub(super) fn look(&self, claims: &Claims, now: i64) -> Look {
        self.seated(&claims.sub, &claims.sid, Some(claims.generation), now)
    }

    /// Does the session of somebody who was let in still live, and are they who they were? A session that was forgotten meanwhile
    /// was over; one that outlived another password, because that was set in it, goes on.
    pub(super) fn lasts(&self, signed: &Signed, now: i64) -> bool {
        let look = self.seated(&signed.actor.id, &signed.session, None, now);
        matches!(look, Look::In(is) if is.actor.role == signed.actor.role && is.actor.team == signed.actor.team)
    }

    /// `generation` is the one that a token was made in.
    fn seated(&self, user: &str, session: &str, generation: Option<i64>, now: i64) -> Look {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(seat), Some(person)) = (known.sessions.get(session), known.people.get(user)) else {
            return Look::Unknown;
        };
        let team_enabled = match &person.team {
            None => true,
            Some(team) => match known.teams.get(team) {
                Some((_, enabled)) => *enabled,
                None => return Look::Unknown,
            },
        };
        let same = seat.user == user
            && seat.generation == person.generation
            && generation.is_none_or(|generation| generation == person.generation);
        if !same || seat.ended || seat.expires_at <= now || !person.enabled || !team_enabled {
            return Look::Out;
        }
        let team = person.team.as_deref().map(Into::into);
        let actor = Actor { id: user.into(), role: person.role, team };
        Look::In(Signed { actor, session: session.to_owned() })
    }

    /// Learns of a session. One that has ended stays ended, however late older news come.
    pub(super) fn note_session(&self, session: &Session) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let seat = known.sessions.entry(session.id.clone()).or_insert(Seat {
            user: session.user.clone(),
            generation: session.generation,
            expires_at: session.expires_at,
            ended: false,
        });
        seat.generation = seat.generation.max(session.generation);
        seat.ended |= session.ended_at.is_some();
    }

    /// A session has ended.
    pub(super) fn end_session(&self, id: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = known.sessions.get_mut(id) {
            seat.ended = true;
        }
    }

    /// A session lives on with another generation.
    pub(super) fn keep_session(&self, id: &str, generation: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = known.sessions.get_mut(id) {
            seat.generation = seat.generation.max(generation);
        }
    }

    /// Learns of a user. Older news than what is known are none.
    pub(super) fn note_user(&self, user: &User) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let older = |person: &Person| user.version < person.version || user.generation < person.generation;
        if known.people.get(&user.id).is_some_and(older) {
            return;
        }
        let person = Person {
            role: user.role,
            team: user.team.clone(),
            enabled: user.enabled,
            version: user.version,
            generation: user.generation,
        };
        known.people.insert(user.id.clone(), person);
    }

    /// All sessions of a user with an older generation have ended.
    pub(super) fn note_generation(&self, user: &str, generation: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = known.people.get_mut(user) {
            person.generation = person.generation.max(generation);
        }
    }

    /// Learns of a team. Older news than what is known are none.
    pub(super) fn note_team(&self, team: &Team) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.teams.get(&team.id).is_none_or(|(version, _)| *version <= team.version) {
            known.teams.insert(team.id.clone(), (team.version, team.enabled));
        }
    }

    /// Does anybody here have to do with this user, session or team?
    pub(super) fn knows_user(&self, id: &str) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).people.contains_key(id)
    }

    /// Forgets sessions that are over, and everybody who is in none.
    pub(super) fn sweep(&self, now: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Known { sessions, people, teams } = &mut *known;
        sessions.retain(|_, seat| seat.expires_at > now && !seat.ended);
        let in_use: std::collections::HashSet<&str> = sessions.values().map(|seat| seat.user.as_str()).collect();
        people.retain(|id, _| in_use.contains(id.as_str()));
        let in_use: std::collections::HashSet<&str> =
            people.values().filter_map(|person| person.team.as_deref()).collect();
        teams.retain(|id, _| in_use.contains(id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn user(version: i64, generation: i64, role: Role, team: Option<&str>, enabled: bool) -> User {
        User {
            id: "usr_a".to_owned(),
            created_at: NOW,
            changed_at: NOW,
            version,
            email: String::new(),
            name: String::new(),
            role,
            team: team.map(str::to_owned),
            plan: None,
            enabled,
            generation,
        }
    }

    fn session(ended_at: Option<i64>) -> Session {
        Session {
            id: "ses_a".to_owned(),
            user: "usr_a".to_owned(),
            team: None,
            created_at: NOW,
            changed_at: NOW,
            expires_at: NOW + 1000,
            ended_at,
            ended_why: None,
            generation: 1,
            agent: String::new(),
            address: String::new(),
        }
    }

    fn claims(generation: i64) -> Claims {
        let (iss, sub, sid) = ("waypost".to_owned(), "usr_a".to_owned(), "ses_a".to_owned());
        Claims { iss, sub, sid, generation, iat: 0, exp: 0 }
    }

    fn live() -> Live {
        let live = Live::default();
        live.note_session(&session(None));
        live.note_user(&user(1, 1, Role::Admin, None, true));
        live
    }

    fn role(live: &Live, generation: i64) -> Option<Role> {
        match live.look(&claims(generation), NOW) {
            Look::In(signed) => Some(signed.actor.role),
            Look::Out | Look::Unknown => None,
        }
    }

    #[test]
    fn what_somebody_is_now_counts_and_not_what_they_were_when_they_signed_in() {
        let live = live();
        assert_eq!(role(&live, 1), Some(Role::Admin));
        live.note_user(&user(2, 1, Role::Member, None, true));
        assert_eq!(role(&live, 1), Some(Role::Member));
        live.note_user(&user(1, 1, Role::Admin, None, true));
        assert_eq!(role(&live, 1), Some(Role::Member), "older news");
        live.note_user(&user(3, 1, Role::Member, None, false));
        assert_eq!(live.look(&claims(1), NOW), Look::Out, "disabled");
    }

    #[test]
    fn an_ended_an_expired_and_an_outgrown_session_are_out() {
        let live = live();
        assert_eq!(live.look(&claims(1), NOW + 1000), Look::Out);
        assert_eq!(live.look(&claims(2), NOW), Look::Out);
        live.note_generation("usr_a", 2);
        assert_eq!(live.look(&claims(1), NOW), Look::Out);
        assert_eq!(live.look(&claims(2), NOW), Look::Out);
        live.keep_session("ses_a", 2);
        assert_eq!(role(&live, 2), Some(Role::Admin));
        live.end_session("ses_a");
        live.note_session(&session(None));
        assert_eq!(live.look(&claims(2), NOW), Look::Out, "older news wake nobody");
    }

    #[test]
    fn whoever_was_let_in_lasts_until_the_session_ends_or_is_outgrown_or_forgotten() {
        let live = live();
        let Look::In(signed) = live.look(&claims(1), NOW) else { panic!("they are in") };
        assert!(live.lasts(&signed, NOW + 999) && !live.lasts(&signed, NOW + 1000));
        live.note_generation("usr_a", 2);
        assert!(!live.lasts(&signed, NOW), "demoted, disabled, or with another password");
        live.keep_session("ses_a", 2);
        assert!(live.lasts(&signed, NOW), "it was set in this very session");
        let live = self::live();
        live.end_session("ses_a");
        assert!(!live.lasts(&signed, NOW));
        live.sweep(NOW);
        assert!(!live.lasts(&signed, NOW));
    }

    #[test]
    fn a_session_is_its_users_alone() {
        let live = live();
        let other = User { id: "usr_b".to_owned(), ..user(1, 1, Role::Owner, None, true) };
        live.note_user(&other);
        assert_eq!(live.look(&Claims { sub: "usr_b".to_owned(), ..claims(1) }, NOW), Look::Out);
        assert_eq!(live.look(&Claims { sid: "ses_b".to_owned(), ..claims(1) }, NOW), Look::Unknown);
        assert_eq!(live.look(&Claims { sub: "usr_c".to_owned(), ..claims(1) }, NOW), Look::Unknown);
    }

    #[test]
    fn nobody_of_a_disabled_team_is_in() {
        let live = live();
        live.note_user(&user(2, 1, Role::Member, Some("team_a"), true));
        assert_eq!(live.look(&claims(1), NOW), Look::Unknown, "the team is not known");
        let team = |version, enabled| Team {
            id: "team_a".to_owned(),
            created_at: NOW,
            changed_at: NOW,
            version,
            name: String::new(),
            plan: None,
            enabled,
        };
        live.note_team(&team(1, true));
        assert_eq!(role(&live, 1), Some(Role::Member));
        live.note_team(&team(2, false));
        live.note_team(&team(1, true));
        assert_eq!(live.look(&claims(1), NOW), Look::Out);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let live = live();
        live.sweep(NOW);
        assert_eq!(role(&live, 1), Some(Role::Admin));
        live.sweep(NOW + 1000);
        assert_eq!(live.look(&claims(1), NOW), Look::Unknown);
        assert!(!live.knows_user("usr_a"));
    }
}
