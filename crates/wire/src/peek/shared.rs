//! Fields that any dialect's request may carry, because they are passed on to whoever knows them, and that change what an answer
//! costs. Tests: `tests/square/costly.rs`.

use super::{Dearer, KeysRead, Peek, known, optional_bool, word_at};
use crate::error::WireError;
use crate::scan::{Kind, Scanner};

const SHARED: [&str; 8] =
    ["models", "fallbacks", "deferred", "speed", "inference_geo", "mcp_servers", "plugins", "search_parameters"];

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
            "inference_geo" => self.needs.dearer = Some(Dearer::Unsaid(key)),
            _ => {
                self.needs.boundless = true;
                scanner.skip()?;
            }
        }
        Ok(())
    }
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
