//! The one error a caller ever sees: what went wrong, whose fault it is, and what to tell them.
//! Knows status codes and words through [`KINDS`]; must not know bodies or headers, which the gateway's reply draws.
//! Constructing an error has no effects. Tests are here and beside the table in `error/kinds.rs`.

mod kinds;

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use waypost_wire::WireError;
use waypost_wire::error::{Fault, RemoteError};

use crate::limit::{Denied, Free};
use crate::moment::Moment;

pub use kinds::{KINDS, Kind, Row};

/// What everybody without a valid key is told, whatever was wrong with it.
pub const UNAUTHENTICATED: &str = "Incorrect API key provided. Send a valid key of this gateway as `Authorization: Bearer <key>` or `x-api-key: <key>`.";

/// Bounds of `Retry-After`, in seconds: a caller is never told to come back at once, nor tomorrow.
const RETRY_AFTER: (u64, u64) = (1, 3600);

/// How much of a provider's sentence is passed on.
const MAX_REMOTE_MESSAGE: usize = 2000;

/// Who has to act for the error to go away: the first question of every incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    Caller,
    Gateway,
    Upstream,
}

impl Origin {
    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

/// An error with a face. One pointer wide, so results stay small.
///
/// `Display` says this level only; [`Error::source`] leads to the causes, which are logged and never shown.
#[derive(Debug)]
pub struct GatewayError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    origin: Origin,
    /// An upstream's own status, where the caller should see it.
    status: Option<u16>,
    message: String,
    param: Option<String>,
    /// An upstream's own code, where the caller should see it (`context_length_exceeded`).
    code: Option<String>,
    retry_after: Option<Duration>,
    /// Where it differs from the kind's.
    should_retry: Option<bool>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

// === constructors, by origin ===

impl GatewayError {
    /// The body, or the field `param` of it, is wrong.
    pub fn invalid_request(message: impl Into<String>, param: Option<&str>) -> Self {
        Self::new(Kind::InvalidRequest, Origin::Caller, message).blaming(param)
    }

    /// The field is understood, but the chosen upstream cannot do it.
    pub fn unsupported(message: impl Into<String>, param: Option<&str>) -> Self {
        Self::new(Kind::Unsupported, Origin::Caller, message).blaming(param)
    }

    /// No key, an unknown key or an unreadable one: the answer is the same for all of them.
    pub fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, Origin::Caller, UNAUTHENTICATED)
    }

    /// A key of ours with a wrong character, which its check character tells. It is not repeated.
    pub fn mistyped_key() -> Self {
        let message =
            "Incorrect API key provided: it is mistyped. One of its characters is wrong; copy the whole key again.";
        Self::new(Kind::Unauthenticated, Origin::Caller, message)
    }

    /// No admin token, or not this one: the answer is the same.
    pub fn not_administrator() -> Self {
        let message = "This needs the admin token of this gateway as `Authorization: Bearer <token>`.";
        Self::new(Kind::Unauthenticated, Origin::Caller, message)
    }

    /// No session, an ended one, or a token that is not of this gateway: the answer is the same for all of them.
    pub fn not_signed_in() -> Self {
        let message = "This needs a session of this gateway. Sign in at `POST /auth/login`, and send its token as `Authorization: Bearer <token>`.";
        Self::new(Kind::Unauthenticated, Origin::Caller, message).coded("invalid_session")
    }

    /// Nobody signs in with this address, or not with this password: the answer is the same.
    pub fn wrong_login() -> Self {
        let message = "The e-mail address or the password is wrong.";
        Self::new(Kind::Unauthenticated, Origin::Caller, message).coded("invalid_credentials")
    }

    /// Somebody is known, and may not do this. `message` says what they may do instead.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self::new(Kind::NotAllowed, Origin::Caller, message)
    }

    /// The key is one's own to use, but whoever made it, an administrator, has set this of it.
    pub fn set_by_its_maker(field: &str) -> Self {
        let message = format!(
            "`{field}` of this key is for whoever made it to change. You may rename it, switch it off, rotate or revoke it; ask an administrator for more."
        );
        Self::new(Kind::NotAllowed, Origin::Caller, message).blaming(Some(field))
    }

    /// The right key, but switched off.
    pub fn key_disabled() -> Self {
        Self::new(Kind::KeyDisabled, Origin::Caller, "This API key is disabled.")
    }

    /// The right key, but its time is over.
    pub fn key_expired() -> Self {
        Self::new(Kind::KeyExpired, Origin::Caller, "This API key has expired.")
    }

    /// The key may not be used from this address.
    pub fn address_not_allowed(from: Option<IpAddr>) -> Self {
        let from = from.map_or_else(|| "an address nobody knows".to_owned(), |from| from.to_canonical().to_string());
        Self::new(Kind::NotAllowed, Origin::Caller, format!("This API key may not be used from {from}."))
    }

    /// The key may not call the path, which follows `/v1/`. `scope` is what it may.
    pub fn endpoint_not_allowed(path: &str, scope: &[&str]) -> Self {
        let scope: Vec<_> = scope.iter().map(|word| format!("`{word}`")).collect();
        let only = if scope.is_empty() { "nothing".to_owned() } else { scope.join(", ") };
        let message = format!("This API key is limited to {only}; it may not call `/v1/{}`.", shown(path));
        Self::new(Kind::NotAllowed, Origin::Caller, message)
    }

    /// The key may not use the model.
    pub fn not_allowed(model: &str) -> Self {
        Self::new(Kind::NotAllowed, Origin::Caller, format!("This API key may not use the model `{}`.", shown(model)))
            .blaming(Some("model"))
    }

    /// The key is limited to some models, and the path has none.
    pub fn model_needed() -> Self {
        let message = "This API key is limited to certain models, so it may only be used where the request names one.";
        Self::new(Kind::NotAllowed, Origin::Caller, message)
    }

    /// Nobody knows what the model costs, and the caller may not be served for nothing.
    pub fn unpriced() -> Self {
        let message = "The model has no known price here, so it cannot be used by a key that pays. Its owner can set one in `prices`.";
        Self::new(Kind::NotAllowed, Origin::Gateway, message).blaming(Some("model"))
    }

    /// The field asks for something dearer than usual of which nobody knows what it costs, and the caller pays for it.
    pub fn unpriced_service(field: &'static str) -> Self {
        let message = format!(
            "`{field}` asks for a service that has no known price here, so it cannot be used by a key that pays: leave it out. For \
             `speed` and `service_tier`, the gateway's owner can set `service_tiers: {{priority: ..}}` in the model's price."
        );
        Self::new(Kind::NotAllowed, Origin::Gateway, message).blaming(Some(field))
    }

    /// What it starts is done later or elsewhere, so that nobody here sees what it costs, and the caller may not spend without end.
    pub fn unmetered(path: &str) -> Self {
        let message = format!(
            "What `{}` starts is done later or elsewhere, where it cannot be charged, so it cannot be used by a key that pays from \
             credit or a hard budget. Whoever runs this gateway can allow it by a key without either.",
            shown(path)
        );
        Self::new(Kind::NotAllowed, Origin::Gateway, message)
    }

    /// No route serves the model. `nearest` are names the caller may have meant, best first.
    pub fn model_not_found(model: &str, nearest: &[&str]) -> Self {
        let mut message = format!("The model `{}` does not exist here.", shown(model));
        if !nearest.is_empty() {
            let names: Vec<_> = nearest.iter().map(|name| format!("`{name}`")).collect();
            message.push_str(&format!(" Did you mean {}?", names.join(" or ")));
        }
        Self::new(Kind::ModelNotFound, Origin::Caller, message).blaming(Some("model"))
    }

    /// No such path.
    pub fn not_found(path: &str) -> Self {
        Self::new(Kind::NotFound, Origin::Caller, format!("There is nothing at `{}`.", shown(path)))
    }

    /// There is nothing of this id, or not for whoever asks: the answer is the same.
    pub fn no_such(id: &str) -> Self {
        Self::new(Kind::NotFound, Origin::Caller, format!("There is no `{}` here.", shown(id)))
    }

    /// What should be made is already there, or what is there is not in the state for this.
    pub fn conflict(message: impl Into<String>, param: Option<&str>) -> Self {
        Self::new(Kind::Conflict, Origin::Caller, message).blaming(param)
    }

    /// It was changed since it was read.
    pub fn precondition_failed() -> Self {
        let message = "This was changed since you read it, or `If-Match` is not the `ETag` of what you read.";
        Self::new(Kind::PreconditionFailed, Origin::Caller, message)
    }

    /// A change must say what it was made for.
    pub fn precondition_required() -> Self {
        let message = "This change needs `If-Match` with the `ETag` of what it was made for.";
        Self::new(Kind::PreconditionRequired, Origin::Caller, message)
    }

    /// The path exists, the method does not.
    pub fn method_not_allowed(method: &str) -> Self {
        Self::new(Kind::MethodNotAllowed, Origin::Caller, format!("This path does not answer {}.", shown(method)))
    }

    /// The caller sent its request too slowly.
    pub fn request_timeout() -> Self {
        Self::new(Kind::RequestTimeout, Origin::Caller, "The request did not arrive in time.")
    }

    /// The body is larger than `limit` bytes.
    pub fn too_large(limit: u64) -> Self {
        Self::new(Kind::TooLarge, Origin::Caller, format!("The body is larger than the {limit} bytes allowed."))
    }

    /// The request target is too long.
    pub fn uri_too_long() -> Self {
        Self::new(Kind::UriTooLong, Origin::Caller, "The URL is too long.")
    }

    /// The body is compressed or otherwise coded.
    pub fn unsupported_encoding() -> Self {
        Self::new(Kind::UnsupportedEncoding, Origin::Caller, "The body's Content-Encoding is not accepted.")
    }

    /// The request head is too large.
    pub fn header_too_large() -> Self {
        Self::new(Kind::HeaderTooLarge, Origin::Caller, "The request's headers are too large.")
    }

    /// A limit of this gateway on the caller.
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Kind::RateLimited, Origin::Caller, message).after(retry_after)
    }

    /// A limit of this gateway on the caller, at one of its levels.
    pub fn denied(denied: &Denied, now: Moment) -> Self {
        let Denied { level, name, dimension, limit, free } = denied;
        let (what, level, name) = (dimension.name(), level.name(), shown(name));
        let mut message = format!("Rate limit reached: {what} of {level} `{name}` (limit {limit}).");
        if *free == Free::Never {
            message.push_str(" The prompt alone is larger than that.");
        }
        let mut error = Self::rate_limited(message, denied.wait(now));
        error.0.should_retry = (*free == Free::Never).then_some(false);
        error
    }

    /// So many wrong keys came from the caller's address that it is told to wait.
    pub fn too_many_wrong_keys() -> Self {
        let message = "Incorrect API key provided, too often. Correct the key before you try again.";
        let mut error = Self::rate_limited(message, Duration::from_secs(60));
        error.0.should_retry = Some(false);
        error
    }

    /// Suspicious requests came from the caller's address.
    pub fn blocked(wait: Duration) -> Self {
        let message = "Too many suspicious requests came from this address; it is refused for a while.";
        let mut error = Self::rate_limited(message, wait);
        error.0.should_retry = Some(false);
        error
    }

    /// Every upstream that serves the model said 429. Not the caller's doing, but waiting is all that helps.
    pub fn upstream_limited(retry_after: Duration) -> Self {
        Self::new(Kind::RateLimited, Origin::Upstream, "The providers of this model are rate limited.")
            .after(retry_after)
    }

    /// The caller's budget is spent.
    pub fn budget_exceeded(message: impl Into<String>) -> Self {
        Self::new(Kind::BudgetExceeded, Origin::Caller, message)
    }

    /// Too much work at once.
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::new(Kind::Overloaded, Origin::Gateway, "The gateway is at its limit of concurrent requests.")
            .after(retry_after)
    }

    /// The database does not answer; what is asked of it has to wait.
    pub fn database_away() -> Self {
        Self::new(Kind::Overloaded, Origin::Gateway, "The gateway's database does not answer at this moment.")
            .after(Duration::from_secs(1))
    }

    /// The process is stopping.
    pub fn shutting_down() -> Self {
        Self::new(Kind::ShuttingDown, Origin::Gateway, "This gateway instance is shutting down.")
            .after(Duration::from_secs(1))
    }

    /// The model is known, but no deployment can take the request. `why` completes the sentence.
    pub fn no_deployment(model: &str, why: &str) -> Self {
        Self::new(Kind::NoDeployment, Origin::Gateway, format!("No deployment of `{}` {why}.", shown(model)))
            .after(Duration::from_secs(5))
    }

    /// The path has no model, and no channel is there for such requests.
    pub fn no_default_channel() -> Self {
        let message =
            "No channel serves requests without a model. Set `default: true` on a channel that speaks OpenAI's API.";
        Self::new(Kind::NoDeployment, Origin::Gateway, message)
    }

    /// The upstream judged the request itself wrong: its status, its sentence, its field. Nothing else of it is passed on.
    pub fn upstream_rejected(status: u16, remote: &RemoteError) -> Self {
        let message = if remote.message.trim().is_empty() {
            format!("The provider rejected the request with status {status}.")
        } else {
            shortened(remote.message.trim(), MAX_REMOTE_MESSAGE).to_owned()
        };
        let mut error = Self::new(Kind::UpstreamRejected, Origin::Caller, message).blaming(remote.param.as_deref());
        error.0.status = (400..500).contains(&status).then_some(status);
        error.0.code = remote.code.clone().filter(|code| is_word(code));
        error
    }

    /// The upstream failed. `message` is ours: nothing an upstream said may be in it.
    pub fn upstream_failed(message: impl Into<String>) -> Self {
        Self::new(Kind::UpstreamFailed, Origin::Upstream, message)
    }

    /// The upstream was too slow.
    pub fn upstream_timeout(message: impl Into<String>) -> Self {
        Self::new(Kind::UpstreamTimeout, Origin::Upstream, message)
    }

    /// The answer broke off after it had begun.
    pub fn stream_broken() -> Self {
        Self::new(Kind::StreamBroken, Origin::Upstream, "The provider's stream broke off before it was complete.")
    }

    /// A fault of ours. The cause is for the log; the caller learns only the request id.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, Origin::Gateway, "The gateway failed to handle the request.").caused_by(source)
    }

    fn new(kind: Kind, origin: Origin, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            origin,
            status: None,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
            should_retry: None,
            source: None,
        }))
    }

    fn blaming(mut self, param: Option<&str>) -> Self {
        self.0.param = param.map(|param| shortened(param, 200).to_owned());
        self
    }

    fn coded(mut self, code: &str) -> Self {
        self.0.code = Some(code.to_owned());
        self
    }

    /// Adds to the sentence.
    #[must_use]
    pub(crate) fn adding(mut self, more: &str) -> Self {
        self.0.message.push_str(more);
        self
    }

    /// Tells when it is worth trying again.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
}

// === readers ===

impl GatewayError {
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The HTTP status: the kind's, or the upstream's own where it judged the request.
    pub fn status(&self) -> u16 {
        self.0.status.unwrap_or(self.0.kind.row().status)
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    /// The value of `Retry-After`: whole seconds, 1 to 3600, rounded up.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = self.0.retry_after?;
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Some(seconds.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
    }

    /// The value of `retry-after-ms`: milliseconds, 1 to an hour, rounded up.
    pub fn retry_after_millis(&self) -> Option<u64> {
        let wait = u64::try_from(self.0.retry_after?.as_micros()).unwrap_or(u64::MAX);
        Some(wait.div_ceil(1000).clamp(RETRY_AFTER.0, RETRY_AFTER.1 * 1000))
    }

    /// The value of `x-should-retry`, where one must be sent.
    pub fn should_retry(&self) -> Option<bool> {
        self.0.should_retry.or(self.0.kind.row().should_retry)
    }

    /// The error as the encoders of the dialects take it.
    pub fn fault<'a>(&'a self, request_id: &'a str) -> Fault<'a> {
        let row = self.0.kind.row();
        Fault {
            status: self.status(),
            openai_type: row.openai_type,
            openai_code: self.0.code.as_deref().or(row.openai_code),
            anthropic_type: self.anthropic_type(row),
            gemini_status: row.gemini_status,
            message: &self.0.message,
            param: self.0.param.as_deref(),
            request_id,
        }
    }

    /// Anthropic has a word of its own for a request that is too large, whoever judged it so.
    fn anthropic_type(&self, row: &Row) -> &'static str {
        if self.status() == Kind::TooLarge.row().status {
            Kind::TooLarge.row().anthropic_type
        } else {
            row.anthropic_type
        }
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for GatewayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// What a caller wrote cannot be read or said. An upstream's own broken bytes go through [`crate::verdict`] instead.
impl From<WireError> for GatewayError {
    fn from(error: WireError) -> Self {
        let message = sentence(&error.to_string());
        match &error {
            WireError::Syntax { .. } | WireError::Invalid { .. } => Self::invalid_request(message, error.param()),
            WireError::Unsupported { .. } => Self::unsupported(message, error.param()),
            WireError::Unfinished => Self::stream_broken(),
        }
    }
}

// === wording ===

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let mut sentence: String = first.into_iter().chain(letters).collect();
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

/// A caller's text as it may stand in a message: short, and without control characters.
fn shown(text: &str) -> String {
    shortened(text, 200).chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn shortened(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// A provider's code is passed on only if it looks like one.
fn is_word(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<GatewayError>(), size_of::<usize>());
    }

    #[test]
    fn retry_after_is_whole_seconds_between_one_and_an_hour() {
        for (millis, seconds) in [(0, 1), (200, 1), (1000, 1), (1001, 2), (90_000, 90), (u64::MAX, 3600)] {
            let error = GatewayError::upstream_limited(Duration::from_millis(millis));
            assert_eq!(error.retry_after(), Some(seconds), "{millis} ms");
        }
        assert_eq!(GatewayError::unauthenticated().retry_after(), None);
    }

    #[test]
    fn a_rejection_keeps_the_status_and_the_sentence_but_no_strange_code() {
        let remote = RemoteError {
            code: Some("context_length_exceeded".to_owned()),
            param: Some("messages".to_owned()),
            message: "This model's maximum context length is 8192 tokens.".to_owned(),
            ..RemoteError::default()
        };
        let error = GatewayError::upstream_rejected(422, &remote);
        let fault = error.fault("req-1");
        assert_eq!(fault.status, 422);
        assert_eq!(fault.message, remote.message);
        assert_eq!(fault.openai_code, Some("context_length_exceeded"));
        assert_eq!(fault.param, Some("messages"));
        assert_eq!(error.origin(), Origin::Caller);

        let odd = RemoteError { code: Some("<b>no word</b>".to_owned()), ..RemoteError::default() };
        let error = GatewayError::upstream_rejected(413, &odd);
        assert_eq!(error.fault("req-1").openai_code, Some("upstream_rejected"));
        assert_eq!(error.fault("req-1").anthropic_type, "request_too_large");
        assert!(error.message().contains("413"));
    }

    #[test]
    fn what_a_caller_wrote_wrong_is_a_400_that_names_the_field() {
        let error = GatewayError::from(WireError::invalid("messages[2].role", "roles are ..."));
        assert_eq!((error.status(), error.kind()), (400, Kind::InvalidRequest));
        assert_eq!(error.param(), Some("messages[2].role"));

        let error = GatewayError::from(WireError::unsupported("n", "one answer only"));
        assert_eq!((error.status(), error.kind()), (400, Kind::Unsupported));
        assert_eq!(error.message(), "One answer only.");
    }

    #[test]
    fn the_cause_of_an_internal_error_is_in_the_chain_and_not_in_the_face() {
        let error = GatewayError::internal("disk /dev/sda1 is full");
        assert!(!error.message().contains("sda1") && !error.to_string().contains("sda1"));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk /dev/sda1 is full"));
    }

    #[test]
    fn a_callers_text_cannot_break_the_message() {
        let error = GatewayError::model_not_found(&format!("gpt\r\n{}", "x".repeat(5000)), &[]);
        assert!(!error.message().contains('\n'));
        assert!(error.message().len() < 300);
    }

    #[test]
    fn near_names_are_offered() {
        let error = GatewayError::model_not_found("gpt4o", &["gpt-4o", "gpt-4"]);
        assert_eq!(error.message(), "The model `gpt4o` does not exist here. Did you mean `gpt-4o` or `gpt-4`?");
    }
}
