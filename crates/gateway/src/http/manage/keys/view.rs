//! Keys as the API shows them, and what may be said of them by whom: everybody's fields are a type of their own, so that nobody can
//! set what is not theirs. Tests: `it/manage/keys.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_core::GatewayError;
use waypost_core::access::Endpoints;
use waypost_core::address::Cidr;
use waypost_store::keys::{Key, Limits, Owner, Scopes};
use waypost_store::page::Scope;
use waypost_store::{plans, teams, users};

use crate::http::manage::ask::{Ask, given};

/// A key, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct KeyView {
    pub id: String,
    pub name: String,
    /// The last characters of its text.
    pub hint: String,
    pub user: Option<String>,
    pub team: Option<String>,
    /// A plan of its own; else its user's or team's counts.
    pub plan: Option<String>,
    pub scopes: ScopesView,
    pub limits: LimitsView,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    /// `api`, or where it was imported from.
    pub origin: String,
    pub created_at: i64,
    pub created_by: String,
    pub revoked_at: Option<i64>,
    /// When it last opened the door to a request; up to ten seconds late.
    pub last_used_at: Option<i64>,
    /// What `ETag` says.
    pub version: i64,
}

/// A key with its text, which is shown once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyMade {
    /// The text that applications send. It cannot be shown again.
    pub key: String,
    #[serde(flatten)]
    pub view: KeyView,
}

/// What a key may be used for; null is no restriction.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyScopes")]
pub(crate) struct ScopesView {
    /// Models by name; `*` stands for any run of characters.
    pub models: Option<Vec<String>>,
    /// Groups of models.
    pub groups: Option<Vec<String>>,
    /// Operations such as `chat`, or paths such as `/v1/files*`.
    pub endpoints: Option<Vec<String>>,
    /// Addresses and networks that it may be used from.
    pub addresses: Option<Vec<String>>,
}

/// How much a key may be used; null is no limit of its own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyLimits")]
pub(crate) struct LimitsView {
    /// Requests in a minute.
    pub rpm: Option<i64>,
    /// Tokens in a minute.
    pub tpm: Option<i64>,
    /// Requests at the same time.
    pub concurrency: Option<i64>,
    /// Tokens from midnight to midnight, UTC.
    pub tokens_per_day: Option<i64>,
}

impl KeyView {
    pub(crate) fn of(key: Key) -> Self {
        let Scopes { models, groups, endpoints, addresses } = key.scopes;
        let Limits { rpm, tpm, concurrency, tokens_per_day } = key.limits;
        Self {
            id: key.id,
            name: key.name,
            hint: key.hint,
            user: key.owner.user,
            team: key.owner.team,
            plan: key.plan,
            scopes: ScopesView { models, groups, endpoints, addresses },
            limits: LimitsView { rpm, tpm, concurrency, tokens_per_day },
            enabled: key.enabled,
            expires_at: key.expires_at,
            origin: key.origin,
            created_at: key.created_at,
            created_by: key.created_by,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            version: key.version,
        }
    }
}

// === what may be said ===

/// What is left out stays as it is, or unrestricted; null takes a restriction away.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "KeyScopesInput")]
pub(crate) struct ScopesSaid {
    #[serde(deserialize_with = "given")]
    models: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "given")]
    groups: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "given")]
    endpoints: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "given")]
    addresses: Option<Option<Vec<String>>>,
}

/// What is left out stays as it is, or unlimited; null takes a limit away.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "KeyLimitsInput")]
pub(crate) struct LimitsSaid {
    #[serde(deserialize_with = "given")]
    rpm: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    tpm: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    concurrency: Option<Option<i64>>,
    #[serde(deserialize_with = "given")]
    tokens_per_day: Option<Option<i64>>,
}

impl ScopesSaid {
    fn applied(self, old: Scopes) -> Scopes {
        Scopes {
            models: self.models.unwrap_or(old.models),
            groups: self.groups.unwrap_or(old.groups),
            endpoints: self.endpoints.unwrap_or(old.endpoints),
            addresses: self.addresses.unwrap_or(old.addresses),
        }
    }
}

impl LimitsSaid {
    fn applied(self, old: Limits) -> Limits {
        Limits {
            rpm: self.rpm.unwrap_or(old.rpm),
            tpm: self.tpm.unwrap_or(old.tpm),
            concurrency: self.concurrency.unwrap_or(old.concurrency),
            tokens_per_day: self.tokens_per_day.unwrap_or(old.tokens_per_day),
        }
    }
}

/// Two types with the same fields and some more: one for a new key, which needs a name, and one for a change.
macro_rules! said {
    ($(#[$doc:meta])* $new:ident, $(#[$also:meta])* $change:ident { $($field:ident),* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $new {
            name: String,
            $(#[serde(default)] $field: Option<String>,)*
            #[serde(default)]
            scopes: ScopesSaid,
            #[serde(default)]
            limits: LimitsSaid,
            /// True if nothing is said.
            enabled: Option<bool>,
            /// Milliseconds since 1970; never if nothing is said.
            expires_at: Option<i64>,
        }

        $(#[$also])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        #[derive(Default)]
        pub(crate) struct $change {
            name: Option<String>,
            $(#[serde(deserialize_with = "given")] $field: Option<Option<String>>,)*
            scopes: ScopesSaid,
            limits: LimitsSaid,
            enabled: Option<bool>,
            #[serde(deserialize_with = "given")]
            expires_at: Option<Option<i64>>,
        }

        impl $new {
            fn common(self, owner: Owner, plan: Option<String>) -> Wanted {
                Wanted {
                    name: self.name,
                    owner,
                    plan,
                    scopes: self.scopes.applied(Scopes::default()),
                    limits: self.limits.applied(Limits::default()),
                    enabled: self.enabled.unwrap_or(true),
                    expires_at: self.expires_at,
                }
            }
        }

        impl $change {
            fn common(self, old: &Key, owner: Owner, plan: Option<String>) -> Wanted {
                Wanted {
                    name: self.name.unwrap_or_else(|| old.name.clone()),
                    owner,
                    plan,
                    scopes: self.scopes.applied(old.scopes.clone()),
                    limits: self.limits.applied(old.limits),
                    enabled: self.enabled.unwrap_or(old.enabled),
                    expires_at: self.expires_at.unwrap_or(old.expires_at),
                }
            }
        }
    };
}

said!(
    /// A key of anybody.
    NewKey,
    /// A change of anybody's key.
    KeyChange { user, team, plan }
);
said!(
    /// A key of a team, or of one of its users.
    TeamNewKey,
    /// A change of a team's key.
    TeamKeyChange { user }
);
said!(
    /// A key of one's own.
    OwnNewKey,
    /// A change of one's own key.
    OwnKeyChange {}
);

impl NewKey {
    pub(crate) fn wanted(mut self) -> Wanted {
        let owner = Owner { user: self.user.take(), team: self.team.take() };
        let plan = self.plan.take();
        self.common(owner, plan)
    }
}

impl TeamNewKey {
    pub(crate) fn wanted(mut self, team: &str) -> Wanted {
        let owner = Owner { user: self.user.take(), team: Some(team.to_owned()) };
        self.common(owner, None)
    }
}

impl OwnNewKey {
    pub(crate) fn wanted(self, user: &str, team: Option<&str>) -> Wanted {
        self.common(Owner { user: Some(user.to_owned()), team: team.map(str::to_owned) }, None)
    }
}

impl KeyChange {
    pub(crate) fn applied(mut self, old: &Key) -> Wanted {
        let (user, team) = (self.user.take(), self.team.take());
        // Another owner brings the team along.
        let inherited = if user.is_some() { None } else { old.owner.team.clone() };
        let owner = Owner { user: user.unwrap_or_else(|| old.owner.user.clone()), team: team.unwrap_or(inherited) };
        let plan = self.plan.take().unwrap_or_else(|| old.plan.clone());
        self.common(old, owner, plan)
    }
}

impl TeamKeyChange {
    pub(crate) fn applied(mut self, old: &Key) -> Wanted {
        let user = self.user.take().unwrap_or_else(|| old.owner.user.clone());
        self.common(old, Owner { user, team: old.owner.team.clone() }, old.plan.clone())
    }
}

impl OwnKeyChange {
    pub(crate) fn applied(self, old: &Key) -> Wanted {
        self.common(old, old.owner.clone(), old.plan.clone())
    }
}

/// For how long the old text of a rotated key works.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rotation {
    /// 0 to 2592000 (30 days); a day if nothing is said.
    overlap_seconds: Option<i64>,
}

impl Rotation {
    const USUAL: i64 = 86_400;
    const MOST: i64 = 30 * 86_400;

    /// In milliseconds.
    pub(crate) fn overlap(&self) -> Result<i64, GatewayError> {
        let seconds = self.overlap_seconds.unwrap_or(Self::USUAL);
        if (0..=Self::MOST).contains(&seconds) {
            return Ok(seconds * 1000);
        }
        let message = format!("`overlap_seconds` is a number from 0 to {}.", Self::MOST);
        Err(GatewayError::invalid_request(message, Some("overlap_seconds")))
    }
}

// === what is meant ===

/// A key as it shall be.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub name: String,
    pub owner: Owner,
    pub plan: Option<String>,
    pub scopes: Scopes,
    pub limits: Limits,
    pub enabled: bool,
    pub expires_at: Option<i64>,
}

/// How many words a scope may have: each is looked at in each request.
const MOST_WORDS: usize = 200;

impl Wanted {
    /// Is it something that a key can be?
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        check_name("name", &self.name)?;
        let Scopes { models, groups, endpoints, addresses } = &self.scopes;
        for (field, words) in
            [("models", models), ("groups", groups), ("endpoints", endpoints), ("addresses", addresses)]
        {
            let words = words.as_deref().unwrap_or_default();
            if words.len() > MOST_WORDS || words.iter().any(|word| !is_plain(word)) {
                let message =
                    format!("`scopes.{field}` holds at most {MOST_WORDS} names of at most 200 visible characters.");
                return Err(GatewayError::invalid_request(message, Some(&format!("scopes.{field}"))));
            }
        }
        if let Some(words) = endpoints {
            Endpoints::read(words).map_err(|bad| {
                let known = Endpoints::OPERATIONS.map(|(word, _)| word).join(", ");
                let message = format!("`{}` is no endpoint: use {known}, or a path such as /v1/files*.", bad.0);
                GatewayError::invalid_request(message, Some("scopes.endpoints"))
            })?;
        }
        for address in addresses.iter().flatten() {
            address.parse::<Cidr>().map_err(|_| {
                let message = format!("`{address}` is no address and no network such as 10.0.0.0/8.");
                GatewayError::invalid_request(message, Some("scopes.addresses"))
            })?;
        }
        let Limits { rpm, tpm, concurrency, tokens_per_day } = self.limits;
        let most = i64::from(u32::MAX);
        for (field, limit, most) in [
            ("rpm", rpm, most),
            ("tpm", tpm, i64::MAX),
            ("concurrency", concurrency, most),
            ("tokens_per_day", tokens_per_day, i64::MAX),
        ] {
            if limit.is_some_and(|limit| !(0..=most).contains(&limit)) {
                let message = format!("`limits.{field}` is a number from 0 to {most}.");
                return Err(GatewayError::invalid_request(message, Some(&format!("limits.{field}"))));
            }
        }
        Ok(())
    }

    /// A field that would be different for more than a rename and switching off.
    pub(crate) fn beyond_its_holder(&self, old: &Key) -> Option<&'static str> {
        let (scopes, limits) = (&self.scopes, &self.limits);
        let different = [
            ("user", self.owner.user != old.owner.user),
            ("team", self.owner.team != old.owner.team),
            ("plan", self.plan != old.plan),
            ("scopes.models", scopes.models != old.scopes.models),
            ("scopes.groups", scopes.groups != old.scopes.groups),
            ("scopes.endpoints", scopes.endpoints != old.scopes.endpoints),
            ("scopes.addresses", scopes.addresses != old.scopes.addresses),
            ("limits.rpm", limits.rpm != old.limits.rpm),
            ("limits.tpm", limits.tpm != old.limits.tpm),
            ("limits.concurrency", limits.concurrency != old.limits.concurrency),
            ("limits.tokens_per_day", limits.tokens_per_day != old.limits.tokens_per_day),
            ("enabled", self.enabled && !old.enabled),
            ("expires_at", self.expires_at != old.expires_at),
        ];
        different.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
    }

    /// The old key with all this.
    pub(crate) fn of(self, old: &Key) -> Key {
        Key {
            name: self.name,
            owner: self.owner,
            plan: self.plan,
            scopes: self.scopes,
            limits: self.limits,
            enabled: self.enabled,
            expires_at: self.expires_at,
            ..old.clone()
        }
    }
}

/// A name is something that people can read in a line of a list.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), GatewayError> {
    let good = !name.trim().is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    let message = format!("`{field}` has 1 to 200 characters in one line.");
    if good { Ok(()) } else { Err(GatewayError::invalid_request(message, Some(field))) }
}

fn is_plain(word: &str) -> bool {
    (1..=200).contains(&word.len()) && !word.chars().any(|letter| letter.is_control() || letter.is_whitespace())
}

/// Is the owner there, and within reach? A user's key belongs to the user's team.
pub(crate) async fn settle_owner(ask: &Ask<'_>, owner: &mut Owner) -> Result<(), GatewayError> {
    let store = ask.store()?;
    let unknown =
        |field: &str, id: &str| GatewayError::invalid_request(format!("There is no {field} `{id}` here."), Some(field));
    if let Some(id) = &owner.user {
        let found = users::get(store, &ask.scope()?, id).await;
        let user = found.map_err(|error| match error {
            waypost_store::StoreError::NotFound => unknown("user", id),
            error => ask.fault(error),
        })?;
        if owner.team.is_some() && owner.team != user.team {
            let message = format!("The user `{id}` does not belong to the team; leave `team` out.");
            return Err(GatewayError::invalid_request(message, Some("team")));
        }
        owner.team = user.team;
    } else if let Some(id) = &owner.team {
        let found = teams::get(store, &Scope::All, id).await;
        found.map_err(|error| match error {
            waypost_store::StoreError::NotFound => unknown("team", id),
            error => ask.fault(error),
        })?;
    }
    Ok(())
}

/// Fails if the key was made by somebody beyond the scope and more would be different than its holder may change: what its maker has
/// set stays. Whoever is of the scope now counts as within it.
pub(crate) async fn check_maker(ask: &Ask<'_>, old: &Key, wanted: &Wanted) -> Result<(), GatewayError> {
    let Some(field) = wanted.beyond_its_holder(old) else { return Ok(()) };
    let scope = ask.scope()?;
    let within = match &scope {
        Scope::All => true,
        Scope::Own(user) => old.created_by == *user,
        Scope::Team(_) => match users::get(ask.store()?, &scope, &old.created_by).await {
            Ok(_) => true,
            Err(waypost_store::StoreError::NotFound) => false,
            Err(error) => return Err(ask.fault(error)),
        },
    };
    if within { Ok(()) } else { Err(GatewayError::set_by_its_maker(field)) }
}

/// Is there such a plan?
pub(crate) async fn check_plan(ask: &Ask<'_>, plan: Option<&str>) -> Result<(), GatewayError> {
    let Some(id) = plan else { return Ok(()) };
    match plans::get(ask.store()?, id).await {
        Ok(_) => Ok(()),
        Err(waypost_store::StoreError::NotFound) => {
            Err(GatewayError::invalid_request(format!("There is no plan `{id}` here."), Some("plan")))
        }
        Err(error) => Err(ask.fault(error)),
    }
}
