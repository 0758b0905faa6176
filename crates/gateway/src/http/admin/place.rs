//! Places in lists of what is in memory: a page begins after a label, not at a number, so that nothing is shown twice or left out
//! when others come and go. Tests: `it/admin.rs`, `it/manage/sweep.rs`.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use waypost_core::GatewayError;

use super::query::Query;
use crate::http::reports::no_place;

/// How many are shown if nobody says, and how many at most.
pub(super) const USUAL: usize = 100;
pub(super) const MOST: usize = waypost_store::page::MAX_PAGE as usize;

/// Where a page ended: a label, and the id for the case that another one is the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    label: String,
    id: String,
}

impl Place {
    pub(super) fn at(label: &str, id: &impl Display) -> Self {
        Self { label: label.to_owned(), id: id.to_string() }
    }

    pub(super) fn written(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{}", self.id, self.label))
    }

    pub(super) fn read(text: &str) -> Result<Self, GatewayError> {
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let (id, label) = text.split_at_checked(16)?;
            Some(Self { label: label.to_owned(), id: id.to_owned() })
        };
        read().ok_or_else(no_place)
    }
}

/// The page of all of them that is asked for, and where the next one begins.
pub(super) fn page<T>(
    all: Vec<T>,
    place: impl Fn(&T) -> Place,
    query: &Query,
) -> Result<(Vec<T>, Option<String>), GatewayError> {
    let limit = query.number("limit", USUAL, 1..=MOST)?;
    let after = query.get("after").map(Place::read).transpose()?;
    let placed = all.into_iter().map(|one| (place(&one), one));
    let mut found: Vec<_> = placed.filter(|(at, _)| after.as_ref().is_none_or(|after| after < at)).collect();
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(last, _)| last.written());
    Ok((found.into_iter().map(|(_, one)| one).collect(), next))
}
