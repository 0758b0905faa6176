//! Who may become a user, and how users prove who they are. Whether the parts fit together is for
//! `snapshot/compile/identity.rs`, where the tests are, too.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Span, bounded};
use crate::role::Role;
use crate::secret::Secret;

/// Who may become a user, and how users prove who they are. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    pub registration: Registration,
    /// What sessions are signed with: at least 32 random characters. Without one, Waypost makes one and keeps it in the database.
    pub jwt_secret: Option<Secret>,
    /// How long an access token is valid. Then it is refreshed, which needs no password.
    pub access_token: Span,
    /// How many days somebody stays signed in without giving the password again.
    #[serde(deserialize_with = "bounded::<_, _, 1, 365>")]
    #[schemars(range(min = 1, max = 365))]
    pub session_days: u32,
    /// Signing in at a provider of identities.
    pub oidc: Option<Oidc>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            registration: Registration::default(),
            jwt_secret: None,
            access_token: Span::seconds(900),
            session_days: 30,
            oidc: None,
        }
    }
}

/// Who may become a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Everybody who can reach the port.
    Open,
    /// Whoever was given an invite.
    #[default]
    Invite,
    /// Nobody: users are made by administrators.
    Closed,
}

/// A provider of identities (OpenID Connect), such as the sign-on of a company.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Its address, as tokens name it; `/.well-known/openid-configuration` is below it.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// Where the provider sends the browser back to: the address of this gateway and `/auth/oidc/callback`.
    pub redirect_uri: String,
    /// What is asked for.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// Make a user of whoever comes for the first time. If not, only those may come whose address an administrator entered. True
    /// if nothing is said and `domains` are named, or `registration` is open; it needs one of the two.
    #[serde(default)]
    pub create_users: Option<bool>,
    /// Only addresses of these domains; all if empty.
    #[serde(default)]
    pub domains: Vec<String>,
    /// What a new user is.
    #[serde(default = "member")]
    pub role: Role,
    /// The id of the team that a new user belongs to.
    #[serde(default)]
    pub team: Option<String>,
    /// The page of this gateway that the browser is sent to in the end.
    #[serde(default = "root")]
    pub return_to: String,
    /// The name of the provider may lead to this machine or to a private network.
    #[serde(default)]
    pub allow_private: bool,
}

impl Oidc {
    /// Does whoever comes for the first time become a user? With a provider that everybody can sign up at, that would be
    /// everybody: so only where that is bounded, or wanted.
    pub fn creates_users(&self, registration: Registration) -> bool {
        self.create_users.unwrap_or(true) && self.bounds_newcomers(registration)
    }

    /// Is it settled who may become a user by it?
    pub fn bounds_newcomers(&self, registration: Registration) -> bool {
        !self.domains.is_empty() || registration == Registration::Open
    }
}

fn usual_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

fn member() -> Role {
    Role::Member
}

fn root() -> String {
    "/".to_owned()
}
