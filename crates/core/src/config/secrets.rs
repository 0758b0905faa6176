//! Where the key is that secrets in the database are sealed with. Decides form only; the key itself never stands in a file of the
//! configuration. Tests: with the sections of sources.

use schemars::JsonSchema;
use serde::Deserialize;

/// How secrets in the database are sealed. Changing it needs a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// The file with the master key: 32 bytes in hexadecimal digits or base64, readable by its owner only. If left out, and
    /// `WAYPOST_MASTER_KEY` is not set: `master.key` beside the database, made at the first start.
    pub master_key_file: Option<String>,
}
