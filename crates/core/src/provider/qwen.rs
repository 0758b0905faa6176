//! Qwen on Alibaba Cloud's Model Studio, through its compatible mode.

use super::{OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "qwen",
    name: "Qwen",
    aliases: &["dashscope"],
    origin: Some("https://dashscope.aliyuncs.com"),
    prefix: "/compatible-mode/v1",
    models: &["qwen*", "qwq-*", "qvq-*", "text-embedding-v*"],
    hosts: &["dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"],
    ..OPENAI_LIKE
};
