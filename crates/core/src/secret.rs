//! A value that must not be seen: no `Display`, no `Serialize`, and a `Debug` that says nothing.
//! Decides nothing; whoever calls [`Secret::expose`] answers for where the text goes. Tests are below.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A credential, key or other text that never reaches a log, an error or an answer.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it only where the secret is sent or hashed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_text_not_even_its_length() {
        assert_eq!(format!("{:?}", Secret::new("sk-very-secret")), "***");
    }
}
