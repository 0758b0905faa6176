//! What a deployment lacks, as a field of the request and as a sentence for the caller.
//! Tests are in `tests.rs` beside this.

use waypost_wire::Dialect;
use waypost_wire::peek::{Features, Needs};

use crate::error::GatewayError;

/// What a deployment lacks for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Streaming,
    Tools,
    Vision,
    Audio,
    JsonMode,
    JsonSchema,
    /// The prompt does not fit in.
    Context,
    /// It writes no more than this.
    Output(u64),
}

impl Lack {
    /// The first of several.
    pub(super) fn first(lacking: Features) -> Option<Self> {
        let order = [
            (Features::TOOLS, Self::Tools),
            (Features::VISION, Self::Vision),
            (Features::AUDIO, Self::Audio),
            (Features::JSON_SCHEMA, Self::JsonSchema),
            (Features::JSON_MODE, Self::JsonMode),
            (Features::STREAMING, Self::Streaming),
        ];
        order.into_iter().find(|(feature, _)| lacking.has(*feature)).map(|(_, lack)| lack)
    }

    /// What it is a lack of; nothing for what is measured.
    pub(crate) fn features(self) -> Features {
        match self {
            Self::Streaming => Features::STREAMING,
            Self::Tools => Features::TOOLS,
            Self::Vision => Features::VISION,
            Self::Audio => Features::AUDIO,
            Self::JsonMode => Features::JSON_MODE,
            Self::JsonSchema => Features::JSON_SCHEMA,
            Self::Context | Self::Output(_) => Features::NONE,
        }
    }

    /// The field of the request that asks for it.
    pub fn field(self, needs: &Needs, dialect: Dialect) -> &'static str {
        let prompt = match dialect {
            Dialect::OpenaiResponses => "input",
            Dialect::OpenaiChat | Dialect::Anthropic | Dialect::Gemini => "messages",
        };
        match self {
            Self::Streaming => "stream",
            Self::Tools => "tools",
            Self::Vision | Self::Audio | Self::Context => prompt,
            Self::JsonMode | Self::JsonSchema => match dialect {
                Dialect::OpenaiResponses => "text.format",
                Dialect::Anthropic => "output_config.format",
                Dialect::OpenaiChat | Dialect::Gemini => "response_format",
            },
            Self::Output(_) => needs.output_field,
        }
    }

    /// What cannot be done, to complete "The model cannot ..".
    fn deed(self, needs: &Needs) -> String {
        match self {
            Self::Streaming => "stream its answer".to_owned(),
            Self::Tools => "call functions".to_owned(),
            Self::Vision => "see pictures".to_owned(),
            Self::Audio => "hear or speak".to_owned(),
            Self::JsonMode => "answer in JSON".to_owned(),
            Self::JsonSchema => "follow a JSON schema".to_owned(),
            Self::Context => format!("take a prompt of about {} tokens", needs.input_tokens),
            Self::Output(most) => {
                let wanted = needs.output_tokens.unwrap_or_default();
                format!("write {wanted} tokens, only {most}")
            }
        }
    }
}

/// The 400 for a request that no deployment of the model can serve. `able` are models that could.
pub fn refusal(model: &str, lack: Lack, needs: &Needs, dialect: Dialect, able: &[&str]) -> GatewayError {
    let field = lack.field(needs, dialect);
    let model: String = model.chars().take(200).filter(|letter| !letter.is_control()).collect();
    let mut message = format!("The model `{model}` cannot {} (`{field}`).", lack.deed(needs));
    if !able.is_empty() {
        let names: Vec<_> = able.iter().map(|name| format!("`{name}`")).collect();
        message.push_str(&format!(" Models that can: {}.", names.join(", ")));
    }
    GatewayError::unsupported(message, Some(field))
}
