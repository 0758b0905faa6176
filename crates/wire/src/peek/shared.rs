//! Fields that any dialect's request may carry, because they are passed on to whoever knows them, and that change what an answer
//! costs. Tests: `tests/square/costly.rs`.

use super::{Dearer, KeysRead, Peek, known, optional_bool, word_at};
use crate::error::WireError;
use crate::scan::{Kind, Scanner};

const SHARED: [&str; 10] = [
    "models",
    "fallbacks",
    "deferred",
    "speed",
    "inference_geo",
    "mcp_servers",
    "plugins",
    "search_parameters",
    "context_management",
    "compaction",
];

impl Peek {
    /// Consumes a top-level value that the dialect does not read. A null says nothing, and neither does an empty list.
    pub(crate) fn other(&mut self, scanner: &mut Scanner<'_>, key: &str, keys: &mut KeysRead) -> Result<(), WireError> {
        let Some(key) = known("", key, &SHARED)? else { return scanner.skip().map(drop) };
        keys.once("", key)?;
        if scanner.kind()? == Kind::Null {
            return scanner.skip().map(drop);
        }
        match key {
            "models" | "fallbacks" | "mcp_servers" | "plugins" if is_empty_list(scanner)? => {}
            "models" | "fallbacks" => return Err(routed(key)),
            // xAI's word for it.
            "deferred" => self.later = optional_bool(scanner, key)?.filter(|later| *later).map(|_| key),
            "speed" => self.speed = word_at(scanner, &[])?.map(Into::into),
            "inference_geo" if word_at(scanner, &[])?.as_deref() == Some("global") => {}
            "context_management" => self.compacts |= asks_compaction(scanner)?,
            "compaction" => {
                self.compacts = true;
                scanner.skip()?;
            }
            "inference_geo" => self.needs.dearer = Some(Dearer::Unsaid(key)),
            _ => {
                self.needs.boundless = true;
                scanner.skip()?;
            }
        }
        Ok(())
    }
}

/// Does a word in this value, however deep, ask for the conversation to be made shorter? Consumes it.
fn asks_compaction(scanner: &mut Scanner<'_>) -> Result<bool, WireError> {
    let mut asks = false;
    match scanner.kind()? {
        Kind::Object => scanner.object(|scanner, _| {
            asks |= asks_compaction(scanner)?;
            Ok(())
        })?,
        Kind::Array => scanner.array(|scanner, _| {
            asks |= asks_compaction(scanner)?;
            Ok(())
        })?,
        Kind::String => asks = scanner.string()?.starts_with("compact"),
        Kind::Number | Kind::Bool | Kind::Null => {
            scanner.skip()?;
        }
    }
    Ok(asks)
}

/// Consumes it if it is.
fn is_empty_list(scanner: &mut Scanner<'_>) -> Result<bool, WireError> {
    let is_empty = scanner.is_empty_list();
    if is_empty {
        scanner.skip()?;
    }
    Ok(is_empty)
}

/// Another router would answer with a model that nobody has authorised or priced.
fn routed(key: &str) -> WireError {
    let message = format!(
        "`{key}` lets a provider answer with another model than `model`; Waypost itself falls back: leave `{key}` out and \
         ask for a model or group that is served by several deployments"
    );
    WireError::invalid(key, message)
}
