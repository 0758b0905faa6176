//! What a key may be used for: models, endpoints, addresses, and until when. Whatever is not said is not limited.
//! Knows no request; who asks says what of. Tests are below.

use std::net::IpAddr;

use crate::address::Cidr;
use crate::operation::Operation;
use crate::pattern::Pattern;

/// The bounds of a key, or of the plan it is used under.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scopes {
    /// Models by name; groups too, since they are asked for like models.
    pub models: Option<Vec<Pattern>>,
    /// Groups of models by name, in addition to what `models` admits.
    pub groups: Option<Vec<Pattern>>,
    pub endpoints: Option<Endpoints>,
    /// Where its requests may come from.
    pub addresses: Option<Vec<Cidr>>,
    /// Milliseconds since 1970 from which on it is refused.
    pub expires_at: Option<i64>,
}

impl Scopes {
    /// May it use the model?
    pub fn admits_model(&self, name: &str) -> bool {
        !self.limits_models() || is_listed(&self.models, name)
    }

    /// May it use the group?
    pub fn admits_group(&self, name: &str) -> bool {
        self.admits_model(name) || is_listed(&self.groups, name)
    }

    /// Are some models out of its reach?
    pub fn limits_models(&self) -> bool {
        self.models.is_some() || self.groups.is_some()
    }

    /// May it call this? `path` is what follows `/v1/`. Listing models shows only what it may use, and is always allowed.
    pub fn admits_endpoint(&self, operation: Operation, path: &str) -> bool {
        self.endpoints.as_ref().is_none_or(|endpoints| endpoints.admit(operation, path))
    }

    /// May it be used from there? An address that nobody knows is in no network.
    pub fn admits_address(&self, address: Option<IpAddr>) -> bool {
        let within = |networks: &Vec<Cidr>| {
            address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
        };
        self.addresses.as_ref().is_none_or(within)
    }

    /// Is its time over? `now` is in milliseconds since 1970.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

fn is_listed(patterns: &Option<Vec<Pattern>>, name: &str) -> bool {
    patterns.iter().flatten().any(|pattern| pattern.matches(name))
}

/// Endpoints by the operation or by the path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    operations: Vec<Operation>,
    /// Of what follows `/v1/`.
    paths: Vec<Pattern>,
    words: Vec<Box<str>>,
}

/// A word that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEndpoint(pub String);

impl Endpoints {
    /// The words for operations.
    pub const OPERATIONS: [(&'static str, Operation); 6] = [
        ("chat", Operation::Chat),
        ("completions", Operation::Completions),
        ("embeddings", Operation::Embeddings),
        ("images", Operation::Images),
        ("audio", Operation::Audio),
        ("passthrough", Operation::Passthrough),
    ];

    /// Reads `chat`, `completions`, `embeddings`, `images`, `audio`, `passthrough` (whatever has no word of its own), and
    /// paths with or without `/v1` and with `*` for any run of characters, such as `/v1/files*`.
    pub fn read<W: AsRef<str>>(words: &[W]) -> Result<Self, BadEndpoint> {
        let mut endpoints = Self::default();
        for word in words.iter().map(AsRef::as_ref) {
            match Self::OPERATIONS.iter().find(|(name, _)| *name == word) {
                Some((_, operation)) => endpoints.operations.push(*operation),
                None if word.starts_with('/') => {
                    let below = word.strip_prefix("/v1/").unwrap_or(word);
                    endpoints.paths.push(Pattern::new(below.trim_start_matches('/')));
                }
                None => return Err(BadEndpoint(word.to_owned())),
            }
            endpoints.words.push(word.into());
        }
        Ok(endpoints)
    }

    /// As they were written.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }

    /// What an unknown path does is told by where it lies, so that no spelling of a path leads around a scope: all that lies
    /// below `/images` is `images`, and so on.
    fn admit(&self, operation: Operation, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        let operation = scoped(operation, path);
        operation == Operation::Models
            || self.operations.contains(&operation)
            || self.paths.iter().any(|pattern| pattern.matches(path))
    }
}

fn scoped(operation: Operation, path: &str) -> Operation {
    match operation {
        Operation::CountTokens => Operation::Chat,
        Operation::Passthrough => {
            let first = path.split(['/', ':', ';']).next().unwrap_or_default();
            let of_word = |word: &str| first.eq_ignore_ascii_case(word);
            match () {
                () if of_word("chat") || of_word("responses") || of_word("messages") => Operation::Chat,
                () if of_word("completions") => Operation::Completions,
                () if of_word("embeddings") => Operation::Embeddings,
                () if of_word("images") => Operation::Images,
                () if of_word("audio") => Operation::Audio,
                () => Operation::Passthrough,
            }
        }
        Operation::Chat
        | Operation::Completions
        | Operation::Embeddings
        | Operation::Images
        | Operation::Audio
        | Operation::Models => operation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(words: &[&str]) -> Scopes {
        Scopes { endpoints: Some(Endpoints::read(words).unwrap()), ..Scopes::default() }
    }

    #[test]
    fn nothing_said_is_nothing_limited() {
        let scopes = Scopes::default();
        assert!(scopes.admits_model("m") && scopes.admits_endpoint(Operation::Chat, "/chat/completions"));
        assert!(scopes.admits_address(None) && !scopes.has_expired(i64::MAX) && !scopes.limits_models());
    }

    #[test]
    fn a_key_for_embeddings_does_nothing_else_however_the_path_is_spelled() {
        let scopes = limited(&["embeddings"]);
        assert!(scopes.admits_endpoint(Operation::Embeddings, "/embeddings"));
        for (operation, path) in [
            (Operation::Chat, "/chat/completions"),
            (Operation::Chat, "/responses"),
            (Operation::CountTokens, "/messages/count_tokens"),
            (Operation::Completions, "/completions"),
            (Operation::Passthrough, "/chat/completions/"),
            (Operation::Passthrough, "/Chat/Completions"),
            (Operation::Passthrough, "//chat/completions"),
            (Operation::Passthrough, "/files"),
        ] {
            assert!(!scopes.admits_endpoint(operation, path), "{path}");
        }
        assert!(!limited(&["passthrough"]).admits_endpoint(Operation::Passthrough, "/chat/completions/"));
    }

    #[test]
    fn endpoints_are_named_by_operation_or_path() {
        let scopes = limited(&["chat", "/v1/files*", "/batches"]);
        for (operation, path, admitted) in [
            (Operation::Chat, "/responses", true),
            (Operation::Passthrough, "/responses/resp_1", true),
            (Operation::Passthrough, "/files", true),
            (Operation::Passthrough, "/files/file-1/content", true),
            (Operation::Passthrough, "/batches", true),
            (Operation::Passthrough, "/batches/1", false),
            (Operation::Passthrough, "/images/generations", false),
        ] {
            assert_eq!(scopes.admits_endpoint(operation, path), admitted, "{path}");
        }
        assert!(limited(&["images"]).admits_endpoint(Operation::Passthrough, "/images/edits"));
        assert_eq!(Endpoints::read(&["chats"]), Err(BadEndpoint("chats".to_owned())));
    }

    #[test]
    fn groups_are_admitted_beside_models_and_open_no_model() {
        let of = |names: &[&str]| Some(names.iter().map(|name| Pattern::new(name)).collect());
        let scopes = Scopes { models: of(&["gpt-*"]), groups: of(&["auto:fast"]), ..Scopes::default() };
        assert!(scopes.admits_model("gpt-4o") && scopes.admits_group("gpt-4o") && scopes.admits_group("auto:fast"));
        assert!(!scopes.admits_group("auto:premium") && !scopes.admits_model("GPT-4o"));
        assert!(!scopes.admits_model("auto:fast"), "a model of that name is no group");
        let scopes = Scopes { groups: of(&["auto:*"]), ..Scopes::default() };
        assert!(scopes.limits_models() && scopes.admits_group("auto:fast") && !scopes.admits_model("gpt-4o"));
    }

    #[test]
    fn addresses_and_time_bound_a_key() {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let scopes = Scopes { addresses: Some(networks), expires_at: Some(1000), ..Scopes::default() };
        assert!(scopes.admits_address(Some("10.1.1.1".parse().unwrap())));
        assert!(!scopes.admits_address(Some("192.0.2.1".parse().unwrap())) && !scopes.admits_address(None));
        assert!(!scopes.has_expired(999) && scopes.has_expired(1000));
    }
}
