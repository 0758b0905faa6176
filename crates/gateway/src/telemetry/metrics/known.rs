//! Which names labels may have: those of the configuration. Tests: `it/metrics.rs`.

use std::collections::HashSet;

use waypost_core::pattern::Pattern;
use waypost_core::snapshot::Snapshot;

/// The names of models in the configuration in use.
#[derive(Debug, Default)]
pub(super) struct Known {
    models: HashSet<Box<str>>,
    patterns: Vec<Pattern>,
}

/// What a model is to the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Listed by its name.
    Listed,
    /// Of a family of names.
    OfFamily(&'a str),
    Unknown,
}

impl Known {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            models: snapshot.routes.keys().chain(snapshot.groups.keys()).cloned().collect(),
            patterns: snapshot.families.list.iter().map(|family| family.pattern.clone()).collect(),
        }
    }

    pub(super) fn kind(&self, model: &str) -> Kind<'_> {
        if self.models.contains(model) {
            return Kind::Listed;
        }
        let family = self.patterns.iter().find(|pattern| pattern.matches(model));
        family.map_or(Kind::Unknown, |family| Kind::OfFamily(family.as_str()))
    }
}
