//! `waypost security`: what was suspicious at a running gateway, and which addresses it refuses for that. Tests:
//! `it/commands.rs`.

use std::net::IpAddr;

use clap::Subcommand;

use super::asking::Asking;
use super::print::Column;

/// What can be done with the security log.
#[derive(Subcommand, Clone, Debug)]
pub enum Security {
    /// Shows what was suspicious since the start, and which addresses are refused for it.
    Show {
        #[command(flatten)]
        asking: Asking,
    },
    /// Lists what was suspicious as far as the database remembers, the newest first.
    List {
        /// Only this kind, such as bad_key.
        #[arg(long)]
        kind: Option<String>,
        /// Only from there.
        #[arg(long)]
        address: Option<IpAddr>,
        /// Only with this key, by its name.
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Lets an address in again.
    Pardon {
        address: IpAddr,
        #[command(flatten)]
        asking: Asking,
    },
}

const PATH: &str = "/admin/security";

const COLUMNS: &[Column] = &[
    ("AT", "/created_at"),
    ("KIND", "/kind"),
    ("ADDRESS", "/address"),
    ("KEY", "/key_name"),
    ("COUNT", "/count"),
    ("BLOCKED FOR", "/blocked_for"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Security) -> Result<(), String> {
    match wanted {
        Security::Show { asking } => asking.show(PATH).await,
        Security::List { kind, address, key, asking } => {
            let address = address.map(|address| address.to_string());
            let asked = [("kind", kind.as_deref()), ("address", address.as_deref()), ("key", key.as_deref())];
            asking.list(&format!("{PATH}/events"), &asked, COLUMNS).await
        }
        Security::Pardon { address, asking } => asking.change("POST", &format!("{PATH}/{address}/pardon"), None).await,
    }
}
