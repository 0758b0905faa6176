//! Taking configurations over into the database and giving them out again. Decides what a file holds, what becomes of each part, and
//! that doing it again changes nothing. Prints nothing and opens no file: see `cli/import.rs`. Tests: `it/transfer.rs`.

mod check;
mod dump;
mod give;
mod plan;
mod tables;
mod take;

pub use self::check::check;
pub use self::give::{export, hidden};
pub use self::plan::{ChannelPlan, CredentialPlan, KeyPlan, Plan, Skipped, read};
pub use self::take::{Counts, Taken, take};

/// Names the form of an export; the only one so far.
pub const FORM: &str = "waypost_export";
