//! `waypost config explain`: every value in force and where it came from. Tests: `it/config_files.rs`.

use std::io::Write as _;

use waypost_core::config::explain as effective;
use waypost_core::nearest::nearest;

use super::database::{Looked, look_into};
use crate::cli::database::Which;
use crate::config_sources::{ConfigSource, Mistakes};

pub(super) async fn explain(mut source: ConfigSource, which: &Which, key: &str) -> Result<String, Mistakes> {
    let looked = look_into(&mut source, which).await?;
    let found = source.find()?;
    let config = &found.loaded.config;
    let values = effective(config, key);
    if values.is_empty() {
        let all = effective(config, "");
        let near = nearest(key, all.iter().map(|value| value.path.as_str()), 1);
        let fix = near
            .first()
            .map_or_else(|| "leave the key out to see all".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(vec![format!("{key}: nothing is set there; {fix}")]);
    }
    if let Looked::Past(why) = looked {
        // Standard output is for the values.
        let _ = writeln!(std::io::stderr(), "the database was not looked at: {why}");
    }
    let lines = values.iter().map(|value| format!("{}: {}  ({})", value.path, value.value, value.origin));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
