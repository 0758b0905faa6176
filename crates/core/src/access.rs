//! Who is calling and what they may do. Keys are known by their SHA-256 only, so no table, log or dump can hold one.
//! Knows no header; the gateway hands over the token. Tests are below.

mod last_use;
mod scopes;

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::directory::Directory;
use crate::error::GatewayError;
use crate::ids::KeyId;
use crate::limit::Levels;
use crate::operation::Operation;
use crate::snapshot::Snapshot;

pub use last_use::LastUse;
pub use scopes::{BadEndpoint, Endpoints, Scopes};

/// What is paid where nothing else is said: the whole price.
pub const WHOLE_PRICE: u32 = 1000;

/// The owner of a virtual key.
#[derive(Clone, Debug)]
pub struct Caller {
    pub key: KeyId,
    /// The key's name, for logs.
    pub name: Arc<str>,
    /// Its id in the database (`key_..`), or the name of a key of the file.
    pub id: Arc<str>,
    pub enabled: bool,
    /// What the key itself may be used for.
    pub scopes: Scopes,
    /// What its user, team and plan may do: all of them have to admit a request too.
    pub within: Vec<Scopes>,
    /// Ids in the database, or labels of the file.
    pub user: Option<Arc<str>>,
    pub team: Option<Arc<str>>,
    pub plan: Option<Arc<str>>,
    /// Thousandths of the price that are paid.
    pub price_factor_permille: u32,
    /// Its plan answers nothing to an account that was never given credit.
    pub prepaid: bool,
    /// The limits its requests count against.
    pub levels: Levels,
    /// When it was last used; shared by all texts of a key.
    pub last_use: Arc<LastUse>,
}

impl Caller {
    /// A caller that may do everything, for `Caller { scopes, ..Caller::new(id, name) }`.
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            key: KeyId::of(id),
            name: name.into(),
            id: id.into(),
            enabled: true,
            scopes: Scopes::default(),
            within: Vec::new(),
            user: None,
            team: None,
            plan: None,
            price_factor_permille: WHOLE_PRICE,
            prepaid: false,
            levels: Levels::default(),
            last_use: Arc::default(),
        }
    }

    /// May this caller use the model?
    pub fn may_use(&self, model: &str) -> bool {
        self.all_scopes().all(|scopes| scopes.admits_model(model))
    }

    /// May this caller use the group? Its members need not be named for that.
    pub fn may_use_group(&self, group: &str) -> bool {
        self.all_scopes().all(|scopes| scopes.admits_group(group))
    }

    /// Are some models out of its reach?
    pub fn is_limited_to_models(&self) -> bool {
        self.all_scopes().any(Scopes::limits_models)
    }

    /// Refuses a key that is switched off or over. `now` is in milliseconds since 1970.
    pub fn check_in_force(&self, now: i64) -> Result<(), GatewayError> {
        if !self.enabled {
            return Err(GatewayError::key_disabled());
        }
        if self.all_scopes().any(|scopes| scopes.has_expired(now)) { Err(GatewayError::key_expired()) } else { Ok(()) }
    }

    /// Refuses a key that may not be used from there.
    pub fn check_address(&self, from: Option<IpAddr>) -> Result<(), GatewayError> {
        let admitted = self.all_scopes().all(|scopes| scopes.admits_address(from));
        if admitted { Ok(()) } else { Err(GatewayError::address_not_allowed(from)) }
    }

    /// Refuses what the key may not call, before anything of a request's body is known. `path` is what follows `/v1/`.
    pub fn check_endpoint(&self, operation: Operation, path: &str) -> Result<(), GatewayError> {
        match self.all_scopes().find(|scopes| !scopes.admits_endpoint(operation, path)) {
            Some(scopes) => {
                let words: Vec<_> = scopes.endpoints.iter().flat_map(Endpoints::words).collect();
                Err(GatewayError::endpoint_not_allowed(path, &words))
            }
            None => Ok(()),
        }
    }

    fn all_scopes(&self) -> impl Iterator<Item = &Scopes> {
        std::iter::once(&self.scopes).chain(&self.within)
    }
}

/// The hash a key is known by.
pub fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Finds the caller of a token, among the keys of the file first; `None` if nobody has it. What is looked up and compared is the
/// SHA-256, so the time it takes says nothing about the key.
pub fn find(snapshot: &Snapshot, directory: &Directory, token: Option<&str>) -> Option<Arc<Caller>> {
    let known = token.map(fingerprint).and_then(|print| {
        let of_file = snapshot.keys.get(&print).map(Arc::clone);
        of_file.or_else(|| directory.find(&print))
    });
    known.or_else(|| snapshot.anybody.clone())
}

/// The same, if the key is in force; every refusal but that of a disabled or expired key is the same. `now` is in milliseconds
/// since 1970.
pub fn identify(
    snapshot: &Snapshot,
    directory: &Directory,
    token: Option<&str>,
    now: i64,
) -> Result<Arc<Caller>, GatewayError> {
    let caller = find(snapshot, directory, token).ok_or_else(GatewayError::unauthenticated)?;
    caller.check_in_force(now)?;
    Ok(caller)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::pattern::Pattern;

    fn caller() -> Caller {
        let scopes = Scopes { models: Some(vec![Pattern::new("gpt-*")]), ..Scopes::default() };
        Caller { scopes, ..Caller::new("app", "app") }
    }

    fn snapshot(caller: Caller) -> Snapshot {
        Snapshot { keys: [(fingerprint("wp-good"), Arc::new(caller))].into(), ..Snapshot::default() }
    }

    fn found(snapshot: &Snapshot, token: Option<&str>) -> Result<Arc<Caller>, Kind> {
        identify(snapshot, &Directory::default(), token, 0).map_err(|error| error.kind())
    }

    fn kind(snapshot: &Snapshot, token: Option<&str>) -> Option<Kind> {
        found(snapshot, token).err()
    }

    #[test]
    fn a_known_key_finds_its_caller_and_any_other_is_told_the_same() {
        let snapshot = snapshot(caller());
        assert_eq!(kind(&snapshot, Some("wp-good")), None);
        for token in [None, Some(""), Some("wp-goo"), Some("wp-good ")] {
            assert_eq!(kind(&snapshot, token), Some(Kind::Unauthenticated), "{token:?}");
        }
    }

    #[test]
    fn the_stored_hash_is_no_key() {
        let hash: String = fingerprint("wp-good").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(kind(&snapshot(caller()), Some(&hash)), Some(Kind::Unauthenticated));
    }

    #[test]
    fn a_disabled_or_expired_key_is_refused_even_in_open_mode() {
        let off = Caller { enabled: false, ..caller() };
        let over = Scopes { expires_at: Some(0), ..Scopes::default() };
        let of_plan = Caller { within: vec![over.clone()], ..caller() };
        let expired = Caller { scopes: over, ..caller() };
        for (caller, expected) in [(off, Kind::KeyDisabled), (expired, Kind::KeyExpired), (of_plan, Kind::KeyExpired)] {
            let mut snapshot = snapshot(caller);
            assert_eq!(kind(&snapshot, Some("wp-good")), Some(expected));
            snapshot.anybody = Some(Arc::new(Caller::new("anybody", "anybody")));
            assert_eq!(kind(&snapshot, Some("wp-good")), Some(expected));
            assert_eq!(kind(&snapshot, None), None);
        }
    }

    #[test]
    fn a_key_may_use_the_models_it_lists_within_what_its_plan_allows() {
        let found = found(&snapshot(caller()), Some("wp-good")).unwrap();
        assert!(found.may_use("gpt-4o") && !found.may_use("claude-3") && found.is_limited_to_models());
        let plan = Scopes { models: Some(vec![Pattern::new("*-mini"), Pattern::new("claude-*")]), ..Scopes::default() };
        let bounded = Caller { within: vec![plan], ..caller() };
        assert!(bounded.may_use("gpt-4o-mini") && !bounded.may_use("gpt-4o") && !bounded.may_use("claude-3"));
    }

    #[test]
    fn keys_of_the_file_stand_beside_those_of_the_directory() {
        let directory = Directory::default();
        directory.put(fingerprint("wp-other"), Arc::new(Caller::new("key_1", "other")));
        directory.put(fingerprint("wp-good"), Arc::new(Caller::new("key_2", "stranger")));
        let snapshot = snapshot(caller());
        let name = |token| identify(&snapshot, &directory, Some(token), 0).map(|caller| caller.name.to_string()).ok();
        assert_eq!(name("wp-other").as_deref(), Some("other"));
        assert_eq!(name("wp-good").as_deref(), Some("app"), "what the file says comes first");
        assert_eq!(name("wp-nobody"), None);
    }

    #[test]
    fn scopes_are_named_in_the_refusal() {
        let scopes = Scopes { endpoints: Endpoints::read(&["embeddings", "/v1/files*"]).ok(), ..Scopes::default() };
        let error = Caller { scopes, ..caller() }.check_endpoint(Operation::Chat, "chat/completions").unwrap_err();
        assert_eq!(error.status(), 403);
        assert!(error.message().contains("`embeddings`") && error.message().contains("`/v1/files*`"), "{error}");
    }
}
