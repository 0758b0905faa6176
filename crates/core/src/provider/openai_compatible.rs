//! Any server that speaks OpenAI's chat dialect: the vendor nobody has written a file for.

use super::{OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "openai_compatible",
    name: "OpenAI-compatible server",
    aliases: &["custom"],
    credential_required: false,
    ..OPENAI_LIKE
};
