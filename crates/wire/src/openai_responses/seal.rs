//! How a provider's seal travels in `encrypted_content`. Decides the marking of foreign seals and nothing else.
//!
//! Clients of this dialect hand `encrypted_content` back untouched, so it can carry any provider's seal; a mark names
//! the dialect, so that each provider gets only its own. Tests are below.

use crate::Dialect;
use crate::chat::Signature;

const MARK: &str = "waypost:";

/// What a seal vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The reasoning item it stands in.
    Thinking,
    /// Reasoning whose text the provider withheld.
    Redacted,
    /// The call or text that follows its reasoning item, which exists only to carry it.
    Next,
}

impl Over {
    fn word(self) -> &'static str {
        match self {
            Self::Thinking => "thinking",
            Self::Redacted => "redacted",
            Self::Next => "next",
        }
    }
}

/// The `encrypted_content` that says this seal. Our own dialect's seals over reasoning are written bare.
pub(super) fn write(signature: &Signature, over: Over) -> String {
    if signature.dialect == Dialect::OpenaiResponses && over == Over::Thinking {
        return signature.seal.clone();
    }
    format!("{MARK}{}:{}:{}", signature.dialect.name(), over.word(), signature.seal)
}

/// Reads an `encrypted_content`; `None` if it bears our mark but names nothing we know, so that it reaches nobody.
pub(super) fn read(encrypted: &str) -> Option<(Signature, Over)> {
    let Some(marked) = encrypted.strip_prefix(MARK) else {
        let seal = encrypted.to_owned();
        let dialect = Dialect::OpenaiResponses;
        return Some((Signature { dialect, seal }, Over::Thinking));
    };
    let mut fields = marked.splitn(3, ':');
    let (name, word, seal) = (fields.next()?, fields.next()?, fields.next()?);
    let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)?;
    let over = [Over::Thinking, Over::Redacted, Over::Next].into_iter().find(|over| over.word() == word)?;
    let seal = seal.to_owned();
    Some((Signature { dialect, seal }, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seal_comes_back_as_it_was() {
        for dialect in Dialect::ALL {
            for over in [Over::Thinking, Over::Redacted, Over::Next] {
                let signature = Signature { dialect, seal: "Er:8C=/+".into() };
                assert_eq!(read(&write(&signature, over)), Some((signature, over)));
            }
        }
    }

    #[test]
    fn our_own_seals_are_bare_and_unknown_marks_reach_nobody() {
        let own = Signature { dialect: Dialect::OpenaiResponses, seal: "gAAAA".into() };
        assert_eq!(write(&own, Over::Thinking), "gAAAA");
        assert_eq!(read("waypost:martian:thinking:x"), None);
        assert_eq!(read("waypost:gemini"), None);
    }
}
