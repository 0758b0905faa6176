//! What a translation could not carry over, as values. The gateway counts them, names them in a response header and
//! refuses them when the caller asks for strict translation. Nothing here is a log line.

use std::fmt;

/// How a field fared when it did not arrive as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// Left out: the target dialect has no words for it and the meaning of the request stands without it.
    Dropped,
    /// Moved to the nearest value the target accepts.
    Clamped,
    /// Said in another way that has the same effect. Not a loss for strict callers.
    Emulated,
}

/// One field and its fate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loss {
    /// The field's path in the source dialect, with array positions as `[]`, so that the set of names stays small.
    pub field: String,
    pub fate: Fate,
    /// The value it was moved to, where that helps the caller.
    pub to: Option<u64>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::Dropped => "dropped",
            Fate::Clamped => "clamped",
            Fate::Emulated => "emulated",
        };
        write!(f, "{}={fate}", self.field)?;
        self.to.map_or(Ok(()), |to| write!(f, "({to})"))
    }
}

/// The losses of one translation, each field named once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// The field was left out.
    pub fn dropped(&mut self, field: impl Into<String>) {
        self.push(field.into(), Fate::Dropped, None);
    }

    /// The field's value was moved into the target's range.
    pub fn clamped(&mut self, field: impl Into<String>) {
        self.push(field.into(), Fate::Clamped, None);
    }

    /// The field's value was lowered to the most that the model takes.
    pub fn clamped_to(&mut self, field: impl Into<String>, most: u64) {
        self.push(field.into(), Fate::Clamped, Some(most));
    }

    /// The field's effect was reached by other means.
    pub fn emulated(&mut self, field: impl Into<String>) {
        self.push(field.into(), Fate::Emulated, None);
    }

    /// Takes over the losses of another step.
    pub fn absorb(&mut self, more: &Self) {
        more.iter().for_each(|loss| self.push(loss.field.clone(), loss.fate, loss.to));
    }

    /// All losses, in the order they were met.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields a strict caller must be told about: everything that was dropped or clamped.
    pub fn refused_when_strict(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter().filter(|loss| loss.fate != Fate::Emulated)
    }

    fn push(&mut self, field: String, fate: Fate, to: Option<u64>) {
        let loss = Loss { field, fate, to };
        if !self.0.contains(&loss) {
            self.0.push(loss);
        }
    }
}
