//! `waypost config check`: what was understood, what could be better, or everything that is wrong. Tests: `it/start.rs`.

use waypost_core::health::States;
use waypost_core::snapshot::compile;

use super::database::{Looked, look_into};
use crate::cli::database::Which;
use crate::config_sources::{ConfigSource, Mistakes, lines};
use crate::serve::{TlsCerts, TlsFiles};

pub(super) async fn check(mut source: ConfigSource, which: &Which) -> Result<String, Mistakes> {
    let looked = look_into(&mut source, which).await?;
    let found = source.find()?;
    let loaded = &found.loaded;
    let snapshot = compile(&loaded.config, &States::default()).map_err(|errors| lines(&errors))?;
    if let Some(tls) = &loaded.config.server.tls {
        let files = TlsFiles { cert: tls.cert.clone().into(), key: tls.key.clone().into() };
        TlsCerts::load(files).map_err(|error| vec![error.to_string()])?;
    }
    let mut out: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
    // In set-up there is nobody whose file could be better.
    let fit = snapshot.warnings.iter().filter(|_| !loaded.setup);
    out.extend(fit.chain(&loaded.warnings).chain(&loaded.unread).map(|warning| format!("warning: {warning}")));
    if loaded.made_key.is_some() && !loaded.setup {
        out.push(
            "warning: keys: there is no key for callers, so each start makes one; add `keys`, or set WAYPOST_API_KEY"
                .into(),
        );
    }
    let names = match looked {
        Looked::Into(database) => format!("{} and {database}", found.name),
        Looked::Past(why) => {
            out.push(format!("the database was not looked at: {why}"));
            found.name
        }
    };
    out.push(format!("{names}: ok, {} channels, {} models", snapshot.channels.len(), snapshot.models.len()));
    Ok(out.join("\n"))
}
