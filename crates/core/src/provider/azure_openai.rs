//! Azure OpenAI. The `v1` paths take no version and name the deployment in the body; a channel with `api_version` uses
//! the classic paths, which name it in the URL.

use waypost_wire::Dialect;

use super::{Auth, Endpoint, OPENAI_LIKE, Provider, Quirks};
use crate::operation::Operation;

pub(super) const PROVIDER: Provider = Provider {
    kind: "azure_openai",
    name: "Azure OpenAI",
    telemetry_name: Some("azure.ai.openai"),
    aliases: &["azure"],
    prefix: "",
    auth: Auth::ApiKey,
    endpoints: &[
        Endpoint::openai(Operation::Chat, "/openai/v1/chat/completions"),
        Endpoint::new(Operation::Chat, Dialect::OpenaiResponses, "/openai/v1/responses"),
        Endpoint::openai(Operation::Passthrough, "/openai/v1{path}"),
    ],
    versioned_endpoints: &[
        Endpoint::openai(Operation::Chat, "/openai/deployments/{model}/chat/completions?api-version={version}"),
        Endpoint::new(Operation::Chat, Dialect::OpenaiResponses, "/openai/responses?api-version={version}"),
        Endpoint::openai(Operation::Completions, "/openai/deployments/{model}/completions?api-version={version}"),
        Endpoint::openai(Operation::Embeddings, "/openai/deployments/{model}/embeddings?api-version={version}"),
        Endpoint::openai(Operation::Images, "/openai/deployments/{model}{path}?api-version={version}"),
        Endpoint::openai(Operation::Audio, "/openai/deployments/{model}{path}?api-version={version}"),
        Endpoint::openai(Operation::Passthrough, "/openai{path}?api-version={version}"),
    ],
    quirks: Quirks::NONE,
    owner_names: true,
    hosts: &[".openai.azure.com", ".openai.azure.us", ".cognitiveservices.azure.com", ".services.ai.azure.com"],
    ..OPENAI_LIKE
};
