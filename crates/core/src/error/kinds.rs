//! The one table of what can go wrong for a caller: status, words of each dialect, metric label and a sentence of help.
//! Decides every status code of ours; nobody else may. Tests: every kind has exactly one row, in order.

/// What went wrong, from the caller's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    InvalidRequest,
    Unsupported,
    Unauthenticated,
    KeyDisabled,
    KeyExpired,
    NotAllowed,
    NotFound,
    ModelNotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    PreconditionFailed,
    TooLarge,
    UriTooLong,
    UnsupportedEncoding,
    PreconditionRequired,
    HeaderTooLarge,
    RateLimited,
    BudgetExceeded,
    Overloaded,
    ShuttingDown,
    NoDeployment,
    UpstreamRejected,
    UpstreamFailed,
    UpstreamTimeout,
    StreamBroken,
    Internal,
}

/// One kind of error as every reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: Kind,
    /// The HTTP status, unless the error carries an upstream's own.
    pub status: u16,
    pub openai_type: &'static str,
    pub openai_code: Option<&'static str>,
    pub anthropic_type: &'static str,
    pub gemini_status: &'static str,
    /// The metric label and the word in logs.
    pub label: &'static str,
    /// What clients should be told in `x-should-retry`, where the status alone would mislead them.
    pub should_retry: Option<bool>,
    /// What the reader of the error can do about it.
    pub help: &'static str,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

/// All kinds, in the order of [`Kind`].
pub const KINDS: &[Row] = &[
    row(
        Kind::InvalidRequest,
        (400, "invalid_request"),
        (INVALID, Some("invalid_value")),
        (INVALID, "INVALID_ARGUMENT"),
        "Mend the field named in `param`; the same request will fail again.",
    ),
    row(
        Kind::Unsupported,
        (400, "unsupported"),
        (INVALID, Some("unsupported_parameter")),
        (INVALID, "INVALID_ARGUMENT"),
        "Leave the field out, or choose a model whose provider knows it.",
    ),
    row(
        Kind::Unauthenticated,
        (401, "unauthenticated"),
        (INVALID, Some("invalid_api_key")),
        ("authentication_error", "UNAUTHENTICATED"),
        "Send a key of this gateway as `Authorization: Bearer`, `x-api-key` or `api-key`.",
    ),
    row(
        Kind::KeyDisabled,
        (401, "key_disabled"),
        (INVALID, Some("key_disabled")),
        ("authentication_error", "UNAUTHENTICATED"),
        "Ask the owner of the gateway to enable the key, or use another one.",
    ),
    row(
        Kind::KeyExpired,
        (401, "key_expired"),
        (INVALID, Some("key_expired")),
        ("authentication_error", "UNAUTHENTICATED"),
        "Ask the owner of the gateway for a new key, or for more time.",
    ),
    row(
        Kind::NotAllowed,
        (403, "not_allowed"),
        (INVALID, Some("not_allowed")),
        ("permission_error", "PERMISSION_DENIED"),
        "Use the key for what it may be used for, or ask the owner of the gateway to allow more.",
    ),
    row(
        Kind::NotFound,
        (404, "not_found"),
        (INVALID, Some("not_found")),
        ("not_found_error", "NOT_FOUND"),
        "Check the path; the API lives under `/v1`.",
    ),
    row(
        Kind::ModelNotFound,
        (404, "model_not_found"),
        (INVALID, Some("model_not_found")),
        ("not_found_error", "NOT_FOUND"),
        "`GET /v1/models` lists the models this gateway serves.",
    ),
    row(
        Kind::MethodNotAllowed,
        (405, "method_not_allowed"),
        (INVALID, Some("method_not_allowed")),
        (INVALID, "UNIMPLEMENTED"),
        "Use the method named in the `Allow` header.",
    ),
    row(
        Kind::RequestTimeout,
        (408, "request_timeout"),
        (INVALID, Some("request_timeout")),
        ("timeout_error", "DEADLINE_EXCEEDED"),
        "The request came in too slowly; send it again over a better connection.",
    ),
    row(
        Kind::Conflict,
        (409, "conflict"),
        (INVALID, Some("conflict")),
        (INVALID, "ALREADY_EXISTS"),
        "Choose another name, or change what is already there.",
    ),
    row(
        Kind::PreconditionFailed,
        (412, "precondition_failed"),
        (INVALID, Some("precondition_failed")),
        (INVALID, "FAILED_PRECONDITION"),
        "Read it again, and send the change with the `ETag` of that answer as `If-Match`.",
    ),
    row(
        Kind::TooLarge,
        (413, "too_large"),
        (INVALID, Some("request_too_large")),
        ("request_too_large", "INVALID_ARGUMENT"),
        "Send less, or raise `server.max_body_bytes`.",
    ),
    row(
        Kind::UriTooLong,
        (414, "uri_too_long"),
        (INVALID, Some("uri_too_long")),
        (INVALID, "INVALID_ARGUMENT"),
        "Put long values into the body rather than the URL.",
    ),
    row(
        Kind::UnsupportedEncoding,
        (415, "unsupported_encoding"),
        (INVALID, Some("unsupported_encoding")),
        (INVALID, "INVALID_ARGUMENT"),
        "Send the body uncompressed.",
    ),
    row(
        Kind::PreconditionRequired,
        (428, "precondition_required"),
        (INVALID, Some("precondition_required")),
        (INVALID, "FAILED_PRECONDITION"),
        "Send the `ETag` of what you read as `If-Match`; `*` stands for whatever version there is.",
    ),
    row(
        Kind::HeaderTooLarge,
        (431, "header_too_large"),
        (INVALID, Some("header_too_large")),
        (INVALID, "INVALID_ARGUMENT"),
        "Send fewer or shorter headers.",
    ),
    row(
        Kind::RateLimited,
        (429, "rate_limited"),
        ("requests", Some("rate_limit_exceeded")),
        ("rate_limit_error", "RESOURCE_EXHAUSTED"),
        "Wait as long as `Retry-After` says.",
    ),
    Row {
        // A plain 429 makes SDKs try again, which cannot help here.
        should_retry: Some(false),
        ..row(
            Kind::BudgetExceeded,
            (429, "budget_exceeded"),
            ("insufficient_quota", Some("insufficient_quota")),
            ("billing_error", "RESOURCE_EXHAUSTED"),
            "The key's budget is spent: raise it, or wait for its window to pass.",
        )
    },
    row(
        Kind::Overloaded,
        (503, "overloaded"),
        (SERVER, Some("overloaded")),
        ("overloaded_error", "UNAVAILABLE"),
        "The gateway is at its limit of concurrent work; try again shortly.",
    ),
    row(
        Kind::ShuttingDown,
        (503, "shutting_down"),
        (SERVER, Some("shutting_down")),
        ("overloaded_error", "UNAVAILABLE"),
        "This instance is stopping; try again and another one will answer.",
    ),
    row(
        Kind::NoDeployment,
        (503, "no_deployment"),
        (SERVER, Some("upstream_unavailable")),
        ("overloaded_error", "UNAVAILABLE"),
        "The model is known, but nothing that serves it can take the request now.",
    ),
    row(
        Kind::UpstreamRejected,
        (400, "upstream_rejected"),
        (INVALID, Some("upstream_rejected")),
        (INVALID, "INVALID_ARGUMENT"),
        "The provider refused the request; its own sentence is in the message.",
    ),
    row(
        Kind::UpstreamFailed,
        (502, "upstream_failed"),
        (SERVER, Some("upstream_error")),
        ("api_error", "UNAVAILABLE"),
        "The provider failed or answered nonsense; the gateway's log has the details under the request id.",
    ),
    row(
        Kind::UpstreamTimeout,
        (504, "upstream_timeout"),
        (SERVER, Some("upstream_timeout")),
        ("timeout_error", "DEADLINE_EXCEEDED"),
        "The provider did not answer in time; the channel's `timeouts` say how long that is.",
    ),
    row(
        Kind::StreamBroken,
        (502, "stream_broken"),
        (SERVER, Some("upstream_error")),
        ("api_error", "UNAVAILABLE"),
        "The answer broke off after it had begun; what was received is incomplete.",
    ),
    row(
        Kind::Internal,
        (500, "internal"),
        (SERVER, Some("internal_error")),
        ("api_error", "INTERNAL"),
        "A fault of the gateway; report it with the request id.",
    ),
];

impl Kind {
    /// The kind's row. [`KINDS`] lists the kinds in the order they are declared.
    pub fn row(self) -> &'static Row {
        KINDS.get(self as usize).unwrap_or(&UNLISTED)
    }
}

/// What a kind without a row would look like; a test proves that there is none.
const UNLISTED: Row = row(Kind::Internal, (500, "internal"), (SERVER, None), ("api_error", "INTERNAL"), "");

const fn row(
    kind: Kind,
    (status, label): (u16, &'static str),
    (openai_type, openai_code): (&'static str, Option<&'static str>),
    (anthropic_type, gemini_status): (&'static str, &'static str),
    help: &'static str,
) -> Row {
    Row { kind, status, openai_type, openai_code, anthropic_type, gemini_status, label, should_retry: None, help }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_exactly_one_row_in_its_place() {
        for (position, row) in KINDS.iter().enumerate() {
            assert_eq!(row.kind as usize, position, "{}", row.label);
            assert_eq!(row.kind.row(), row);
        }
        // The last variant closes the list: a kind added after it fails here until it has a row.
        assert_eq!(KINDS.len(), Kind::Internal as usize + 1);
    }

    #[test]
    fn labels_are_unique_and_every_row_helps() {
        let labels: HashSet<_> = KINDS.iter().map(|row| row.label).collect();
        assert_eq!(labels.len(), KINDS.len());
        for row in KINDS {
            assert!(row.help.ends_with('.'), "{}", row.label);
            assert!((400..600).contains(&row.status), "{}", row.label);
        }
    }

    #[test]
    fn statuses_are_what_clients_expect() {
        let status = |kind: Kind| kind.row().status;
        // 000-35 to 000-41
        assert_eq!(status(Kind::InvalidRequest), 400);
        assert_eq!(status(Kind::Unauthenticated), 401);
        assert_eq!(status(Kind::NotAllowed), 403);
        assert_eq!(status(Kind::ModelNotFound), 404);
        assert_eq!(status(Kind::RateLimited), 429);
        assert_eq!(status(Kind::Internal), 500);
        assert_eq!(status(Kind::UpstreamFailed), 502);
        assert_eq!(status(Kind::NoDeployment), 503);
        assert_eq!(status(Kind::UpstreamTimeout), 504);
    }
}
