//! What is wrong with a config, where, and how to mend it. Never shows a value that could be a secret.
//! Tests are with those who make these errors.

use std::fmt;

/// Where in a text something stands. Lines and columns count from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Which of the sources of the configuration it stands in, from zero.
    pub source: u16,
    pub line: u32,
    pub column: u32,
}

impl Mark {
    /// A place in the first source.
    pub const fn at(line: u32, column: u32) -> Self {
        Self { source: 0, line, column }
    }
}

/// One thing wrong with a config, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What it stands in, where that is known: a file by the name it was given by, a variable, an argument.
    pub file: Option<String>,
    /// Where in the file.
    pub mark: Option<Mark>,
    /// The key, as `channels[2].timeouts.idle`; empty for the whole.
    pub path: String,
    pub reason: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl ConfigError {
    pub(crate) fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: None, mark: None, path: path.into(), reason: reason.into(), fix: None }
    }

    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// `waypost.yaml:12:5: channels[1].tier: reason. Fix.`
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(mark) = self.mark {
            write!(f, "{}:{}:", mark.line, mark.column)?;
        }
        if self.file.is_some() || self.mark.is_some() {
            f.write_str(" ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)?;
        if let Some(fix) = &self.fix {
            write!(f, "; {fix}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
