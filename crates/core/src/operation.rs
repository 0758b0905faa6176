//! What a caller wants done, independent of the words it uses for it. Decides nothing.

/// A kind of request. Together with a dialect it names an endpoint of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One turn of a conversation, in any chat dialect. The only operation that is translated.
    Chat,
    /// How many tokens a conversation has (Anthropic's `count_tokens`).
    CountTokens,
    /// The older text completion.
    Completions,
    Embeddings,
    /// Everything below `/images`.
    Images,
    /// Everything below `/audio`.
    Audio,
    /// The list of models.
    Models,
    /// Any other path, relayed as it is.
    Passthrough,
}

impl Operation {
    /// The word in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::CountTokens => "count_tokens",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Models => "models",
            Self::Passthrough => "passthrough",
        }
    }
}
