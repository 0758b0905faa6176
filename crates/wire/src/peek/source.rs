//! What a picture or a document in the prompt is made of, in the words of any dialect. Tests: `tests/square/costly.rs`.

use super::{known_in, word_at};
use crate::error::WireError;
use crate::scan::{Kind, Scanner};

/// What bounds the tokens of a part, or takes the bound away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Source {
    /// The words themselves.
    pub(super) words: bool,
    /// It says of itself that it is something else than a picture.
    pub(super) no_picture: bool,
}

impl Source {
    /// Consumes the value of `image_url` or `source`: an address, or an object that holds one or the bytes.
    /// `path` is the value's own.
    pub(crate) fn read(scanner: &mut Scanner<'_>, path: &dyn Fn() -> String) -> Result<Self, WireError> {
        let mut source = Self::default();
        if scanner.kind()? != Kind::Object {
            source.no_picture = word_at(scanner, &[])?.is_some_and(|url| !is_picture(&url));
            return Ok(source);
        }
        let mut typed = false;
        scanner.object(|scanner, key| {
            match known_in(path, key, &["type", "media_type", "url"])? {
                // Of two types nobody knows which one is read.
                Some("type") => {
                    source.words = word_at(scanner, &[])?.as_deref() == Some("text") && !typed;
                    typed = true;
                }
                Some("media_type") => {
                    source.no_picture |= word_at(scanner, &[])?.is_some_and(|kind| !kind.starts_with("image/"));
                }
                Some("url") => source.no_picture |= word_at(scanner, &[])?.is_some_and(|url| !is_picture(&url)),
                Some(_) | None => {
                    scanner.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(source)
    }
}

/// May what lies at this address, in a part that is a picture, be no more than that? Files that lie at Google may be films.
fn is_picture(url: &str) -> bool {
    let begins = |with: &str| url.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let elsewhere = begins("gs://") || begins("https://generativelanguage.googleapis.com/");
    if begins("data:") { begins("data:image/") } else { !elsewhere }
}
