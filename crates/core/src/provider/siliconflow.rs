//! SiliconFlow.

use super::{OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "siliconflow",
    name: "SiliconFlow",
    origin: Some("https://api.siliconflow.cn"),
    models: &["*/*"],
    hosts: &["api.siliconflow.cn", "api.siliconflow.com"],
    ..OPENAI_LIKE
};
