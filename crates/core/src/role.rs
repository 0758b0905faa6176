//! Who may do what in the administration: five roles, and one table that says how far each action of each role reaches.
//! Deny by default: what the table does not give, nobody has. Knows no path and no row; routes name an [`Action`], lists ask
//! for the [`Reach`]. Tests are below.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody is, in the whole instance or, if they belong to a team, in that team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, the secrets and other owners included.
    Owner,
    /// Everything but secrets and owners.
    Admin,
    /// Runs the gateway: channels, models, deployments. Neither people nor money.
    Operator,
    /// Reads everything but secrets, and writes nothing.
    Auditor,
    /// Has keys, and sees what belongs to them.
    Member,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Operator, Self::Auditor, Self::Member];

    /// The word in the database, in tokens and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }

    /// The role of that name, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a route does. Each route of the administration declares exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    ReadUsers,
    /// Users and invites: make, change, disable. Whom, is for [`Actor::may_grant`], too.
    WriteUsers,
    ReadTeams,
    WriteTeams,
    ReadPlans,
    WritePlans,
    ReadKeys,
    WriteKeys,
    /// Balances, ledger entries, vouchers as far as they may be shown.
    ReadMoney,
    /// Credits, vouchers, adjustments.
    WriteMoney,
    /// Taking a voucher's worth onto one's own account.
    RedeemVouchers,
    ReadBudgets,
    WriteBudgets,
    ReadPrices,
    WritePrices,
    ReadUsage,
    ReadLogs,
    /// The captured bodies of requests, and for which keys they are captured.
    ReadBodies,
    WriteCaptures,
    ReadAudit,
    ReadSessions,
    EndSessions,
    /// Bad keys, bursts and blocks by address.
    ReadSecurity,
    WriteSecurity,
    /// Deployments, channels, events, and the configuration without its secrets.
    ReadGateway,
    /// Reset, test, reload.
    SteerGateway,
    /// Channels, credentials, models and groups in the database. Secrets go in here, and never come out.
    WriteCatalog,
    /// The master key, exports that hold secrets, and where the secrets of a channel go.
    UseSecrets,
}

/// How far an action goes: which rows a list shows, and which rows a write may touch. Everything beyond is as if it did not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    Nothing,
    /// What belongs to the user.
    Own,
    /// What belongs to the user's team.
    Team,
    All,
}

use Reach::{All, Nothing, Own, Team};

/// One line of the table.
struct Line {
    action: Action,
    /// In the order of [`Role::ALL`].
    reach: [Reach; 5],
    /// The most that anybody who belongs to a team has.
    in_team: Reach,
}

const fn line(action: Action, reach: [Reach; 5], in_team: Reach) -> Line {
    Line { action, reach, in_team }
}

/// Who may do what. A team's budgets, credit and plan are the instance's to set: a team's admin shares out within them.
#[rustfmt::skip]
const TABLE: &[Line] = &[
    //                             owner admin    operator auditor  member     in a team
    line(Action::ReadUsers,      [All, All,     Nothing, All,     Own],     Team),
    line(Action::WriteUsers,     [All, All,     Nothing, Nothing, Nothing], Team),
    line(Action::ReadTeams,      [All, All,     Nothing, All,     Nothing], Team),
    line(Action::WriteTeams,     [All, All,     Nothing, Nothing, Nothing], Nothing),
    line(Action::ReadPlans,      [All, All,     All,     All,     Own],     Own),
    line(Action::WritePlans,     [All, All,     Nothing, Nothing, Nothing], Nothing),
    line(Action::ReadKeys,       [All, All,     All,     All,     Own],     Team),
    line(Action::WriteKeys,      [All, All,     Own,     Nothing, Own],     Team),
    line(Action::ReadMoney,      [All, All,     Own,     All,     Own],     Team),
    line(Action::WriteMoney,     [All, All,     Nothing, Nothing, Nothing], Nothing),
    line(Action::RedeemVouchers, [Own, Own,     Own,     Nothing, Own],     Own),
    line(Action::ReadBudgets,    [All, All,     Own,     All,     Own],     Team),
    line(Action::WriteBudgets,   [All, All,     Nothing, Nothing, Nothing], Team),
    line(Action::ReadPrices,     [All, All,     All,     All,     All],     All),
    line(Action::WritePrices,    [All, All,     Nothing, Nothing, Nothing], Nothing),
    line(Action::ReadUsage,      [All, All,     All,     All,     Own],     Team),
    line(Action::ReadLogs,       [All, All,     All,     All,     Own],     Team),
    line(Action::ReadBodies,     [All, All,     Nothing, Nothing, Nothing], Team),
    line(Action::WriteCaptures,  [All, All,     Nothing, Nothing, Nothing], Team),
    line(Action::ReadAudit,      [All, All,     Nothing, All,     Nothing], Team),
    line(Action::ReadSessions,   [All, All,     Own,     All,     Own],     Team),
    line(Action::EndSessions,    [All, All,     Own,     Own,     Own],     Team),
    line(Action::ReadSecurity,   [All, All,     All,     All,     Nothing], Nothing),
    line(Action::WriteSecurity,  [All, All,     All,     Nothing, Nothing], Nothing),
    line(Action::ReadGateway,    [All, All,     All,     All,     Nothing], Nothing),
    line(Action::SteerGateway,   [All, All,     All,     Nothing, Nothing], Nothing),
    line(Action::WriteCatalog,   [All, All,     All,     Nothing, Nothing], Nothing),
    line(Action::UseSecrets,     [All, Nothing, Nothing, Nothing, Nothing], Nothing),
];

impl Action {
    /// All actions, for tests that walk them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|line| line.action)
    }
}

/// How far the action of a role reaches; `in_team` says that whoever has the role belongs to a team.
pub fn reach(role: Role, in_team: bool, action: Action) -> Reach {
    let Some(line) = TABLE.iter().find(|line| line.action == action) else { return Nothing };
    let place = Role::ALL.iter().position(|known| *known == role);
    let most = place.and_then(|place| line.reach.get(place)).copied().unwrap_or(Nothing);
    if in_team { most.min(line.in_team) } else { most }
}

/// Somebody who acts in the administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user's id; or [`Actor::TOKEN`], [`Actor::CLI`], [`Actor::SYSTEM`].
    pub id: Arc<str>,
    pub role: Role,
    /// The team the user belongs to; `None` if the role is one of the whole instance.
    pub team: Option<Arc<str>>,
}

impl Actor {
    /// Whoever presents the admin token of the configuration.
    pub const TOKEN: &'static str = "token";
    /// Whoever runs a command on the gateway's own machine.
    pub const CLI: &'static str = "cli";
    /// The gateway by itself: an import at the start, a sweep.
    pub const SYSTEM: &'static str = "system";

    /// The holder of the admin token, who may do what an owner may.
    pub fn token() -> Self {
        Self::owner(Self::TOKEN)
    }

    /// A command on the gateway's own machine.
    pub fn cli() -> Self {
        Self::owner(Self::CLI)
    }

    /// The gateway by itself.
    pub fn system() -> Self {
        Self::owner(Self::SYSTEM)
    }

    fn owner(id: &str) -> Self {
        Self { id: id.into(), role: Role::Owner, team: None }
    }

    /// How far the action reaches for this actor.
    pub fn reach(&self, action: Action) -> Reach {
        reach(self.role, self.team.is_some(), action)
    }

    /// May this actor do it at all? To what, the reach says.
    pub fn may(&self, action: Action) -> bool {
        self.reach(action) != Nothing
    }

    /// May this actor do it to something that belongs to `user` in `team`? If not, it is as if that did not exist.
    pub fn may_touch(&self, action: Action, user: Option<&str>, team: Option<&str>) -> bool {
        match self.reach(action) {
            All => true,
            Team => self.team.is_some() && self.team.as_deref() == team,
            Own => user == Some(&*self.id),
            Nothing => false,
        }
    }

    /// May this actor give somebody the role, or change somebody who has it? Only an owner makes owners, and nobody makes what is above them.
    pub fn may_grant(&self, role: Role) -> bool {
        let rank = |role| Role::ALL.iter().position(|known| *known == role).unwrap_or(0);
        self.may(Action::WriteUsers) && rank(role) >= rank(self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(role: Role, team: Option<&str>) -> Actor {
        Actor { id: "usr_a".into(), role, team: team.map(Into::into) }
    }

    #[test]
    fn every_action_stands_in_the_table_once() {
        let all: Vec<Action> = Action::all().collect();
        for (place, action) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == action), Some(place), "{action:?}");
            // The table is in the order of the enum, so a variant that is missing shows as a gap.
            assert_eq!(*action as usize, place, "{action:?}");
        }
        assert_eq!(all.len(), Action::UseSecrets as usize + 1);
    }

    #[test]
    fn nobody_in_a_team_reaches_beyond_it_but_for_the_prices() {
        for action in Action::all().filter(|action| *action != Action::ReadPrices) {
            for role in Role::ALL {
                assert!(actor(role, Some("team_a")).reach(action) <= Team, "{role} {action:?}");
            }
        }
    }

    #[test]
    fn an_auditor_writes_nothing_but_the_end_of_their_own_sessions() {
        for action in Action::all() {
            let writes = !format!("{action:?}").starts_with("Read");
            let reach = actor(Role::Auditor, None).reach(action);
            assert!(!writes || reach <= if action == Action::EndSessions { Own } else { Nothing }, "{action:?}");
        }
    }

    #[test]
    fn no_role_reaches_further_than_the_owner_and_none_but_the_owner_has_the_secrets() {
        for action in Action::all() {
            for role in Role::ALL {
                assert!(actor(role, None).reach(action) <= actor(Role::Owner, None).reach(action), "{role} {action:?}");
            }
        }
        let holders = Role::ALL.into_iter().filter(|role| actor(*role, None).may(Action::UseSecrets));
        assert_eq!(holders.collect::<Vec<_>>(), [Role::Owner]);
        assert!(!actor(Role::Owner, Some("team_a")).may(Action::UseSecrets));
    }

    #[test]
    fn a_role_is_granted_from_above_only() {
        let grants = |role, team| Role::ALL.into_iter().filter(|other| actor(role, team).may_grant(*other)).count();
        assert_eq!(Role::ALL.map(|role| grants(role, None)), [5, 4, 0, 0, 0]);
        assert_eq!(Role::ALL.map(|role| grants(role, Some("team_a"))), [5, 4, 0, 0, 0]);
    }

    #[test]
    fn what_is_touched_must_be_within_reach() {
        let admin = actor(Role::Admin, Some("team_a"));
        assert!(admin.may_touch(Action::WriteKeys, Some("usr_b"), Some("team_a")));
        assert!(!admin.may_touch(Action::WriteKeys, Some("usr_b"), Some("team_b")));
        assert!(!admin.may_touch(Action::WriteKeys, Some("usr_b"), None));
        let member = actor(Role::Member, None);
        assert!(member.may_touch(Action::WriteKeys, Some("usr_a"), None));
        assert!(!member.may_touch(Action::WriteKeys, Some("usr_b"), None));
        assert!(!member.may_touch(Action::WriteKeys, None, None));
        assert!(Actor::token().may_touch(Action::WriteKeys, None, Some("team_b")));
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert_eq!(Role::from_name("Owner"), None);
    }
}
