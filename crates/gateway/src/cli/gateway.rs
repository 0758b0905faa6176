//! `waypost gateway`: looks at a running gateway and steers it. Tests: `it/commands.rs`.

use clap::Subcommand;

use super::asking::{Asking, address};
use super::print::Column;

/// What can be done with a gateway.
#[derive(Subcommand, Clone, Debug)]
pub enum Gateway {
    /// Shows since when it runs, and what came of its last reload.
    Show {
        #[command(flatten)]
        asking: Asking,
    },
    /// Shows what is in effect, without its secrets.
    Config {
        #[command(flatten)]
        asking: Asking,
    },
    /// Says where a request would go now, and why; sends none.
    Explain {
        /// As a request names it.
        model: String,
        /// Such as chat.
        #[arg(long)]
        operation: Option<String>,
        /// Such as openai_chat.
        #[arg(long)]
        dialect: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Lists every kind of provider that channels may be accounts of.
    ProviderKinds {
        #[command(flatten)]
        asking: Asking,
    },
    /// Has it read its configuration again.
    Reload {
        #[command(flatten)]
        asking: Asking,
    },
}

const KINDS: &[Column] =
    &[("KIND", "/kind"), ("NAME", "/name"), ("BASE URL", "/base_url"), ("AUTH", "/auth"), ("ALIASES", "/aliases")];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Gateway) -> Result<(), String> {
    match wanted {
        Gateway::Show { asking } => asking.show("/admin").await,
        Gateway::Config { asking } => asking.show("/admin/config").await,
        Gateway::Explain { model, operation, dialect, asking } => {
            let asked =
                [("model", Some(model.as_str())), ("operation", operation.as_deref()), ("dialect", dialect.as_deref())];
            asking.show(&address("/admin/explain", &asked)).await
        }
        Gateway::ProviderKinds { asking } => {
            asking.list_of("provider_kinds", "/admin/provider-kinds", &[], KINDS).await
        }
        Gateway::Reload { asking } => asking.change("POST", "/admin/reload", None).await,
    }
}
