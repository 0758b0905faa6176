//! The product's judgement on one page: what an upstream did, who is to blame, what to try next, what the caller sees.
//! Knows no retry count and no health; those act on the verdict. Tests are below.

use std::fmt::Write as _;
use std::time::Duration;

use waypost_wire::error::RemoteError;

use crate::error::GatewayError;

/// What came of one upstream call that brought no answer to deliver.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// A status other than success, with what the body said.
    Status { status: u16, remote: &'a RemoteError, retry_after: Option<Duration> },
    /// An error inside a success, before anything meaningful.
    Inside(&'a RemoteError),
    /// A success whose body is no answer.
    Unreadable,
    /// The exchange itself failed.
    Trouble(Trouble),
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, or no TLS over it.
    Connect,
    /// Too slow: to connect, to begin or to go on.
    Timeout,
    /// The request's own deadline passed before the upstream had its usual time.
    NoTime,
    /// It broke off or broke the protocol.
    Broken,
    /// The answer is beyond the cap.
    TooLarge,
    /// The caller's own body could not be read.
    CallerBody,
}

/// Whose state suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Caller,
    Credential,
    Deployment,
    /// It could not be told.
    Nobody,
}

/// What to try next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: no other upstream would judge differently, or no time is left.
    Stop,
    /// Another credential of the same deployment, else the next deployment.
    Credential,
    /// The next deployment.
    Deployment,
}

/// A judgement.
#[derive(Debug)]
pub struct Verdict {
    pub blame: Blame,
    pub next: Next,
    pub class: Class,
    /// The upstream's status, if there was one.
    pub status: Option<u16>,
    /// The time the upstream asked for.
    pub wait: Option<Duration>,
    /// The upstream may have begun to do what was asked. What must not be done twice is not asked again then.
    pub begun: bool,
    /// What the caller sees if this was the last attempt.
    pub error: GatewayError,
}

/// The class of a failure, for logs and for adding attempts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    BadRequest,
    CredentialDead,
    NoMoney,
    Forbidden,
    /// The provider does not serve the place that requests come from.
    RegionBlocked,
    ModelMissing,
    RateLimited,
    Overloaded,
    ServerError,
    Timeout,
    Network,
    Unreadable,
    /// The upstream sent us elsewhere, which is never followed.
    Redirected,
}

impl Class {
    /// Can the same deployment do better a little later?
    pub fn may_pass(self) -> bool {
        match self {
            Self::Overloaded | Self::ServerError | Self::Timeout | Self::Network | Self::Unreadable => true,
            Self::BadRequest
            | Self::CredentialDead
            | Self::NoMoney
            | Self::Forbidden
            | Self::RegionBlocked
            | Self::ModelMissing
            | Self::Redirected
            | Self::RateLimited => false,
        }
    }

    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::CredentialDead => "credential_dead",
            Self::NoMoney => "no_money",
            Self::Forbidden => "forbidden",
            Self::RegionBlocked => "region_blocked",
            Self::ModelMissing => "model_missing",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Unreadable => "unreadable",
            Self::Redirected => "redirected",
        }
    }
}

/// Waiting time where a provider that limits us does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Judges one outcome. `model` is the public name that was asked for, if the endpoint has one.
pub fn judge(outcome: Outcome<'_>, model: Option<&str>) -> Verdict {
    match outcome {
        Outcome::Status { status, remote, retry_after } => {
            let begun = !matches!(status, 401..=404 | 410 | 429 | 503 | 529);
            let judged = judge_status(status, remote, retry_after, model);
            Verdict { status: Some(status), wait: retry_after, begun, ..judged }
        }
        Outcome::Inside(remote) => judge_inside(remote, model),
        Outcome::Unreadable => deployment(Class::Unreadable, failed("The provider's answer could not be read.")),
        Outcome::Trouble(trouble) => judge_trouble(trouble),
    }
}

fn judge_status(status: u16, remote: &RemoteError, retry_after: Option<Duration>, model: Option<&str>) -> Verdict {
    if let Some(verdict) = judge_words(remote) {
        return verdict;
    }
    match status {
        401 => credential(Class::CredentialDead, failed("The provider does not accept this gateway's credential.")),
        402 => credential(Class::NoMoney, failed("This gateway's account at the provider is out of credit.")),
        403 => credential(Class::Forbidden, failed("The provider forbids this gateway's account to do this.")),
        404 | 410 => match model {
            Some(model) => deployment(Class::ModelMissing, GatewayError::model_not_found(model, &[])),
            // Without a model it is the caller's own object that is not there.
            None => caller(status, remote),
        },
        // The same holds for an object that is not in the state it would have to be in.
        409 if model.is_none() => caller(status, remote),
        408 | 409 | 425 => deployment(Class::ServerError, of_status(status)),
        429 => {
            let wait = retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
            credential(Class::RateLimited, GatewayError::upstream_limited(wait))
        }
        400..=499 => caller(status, remote),
        503 | 529 => deployment(Class::Overloaded, of_status(status)),
        300..=399 => deployment(Class::Redirected, of_status(status)),
        504 => deployment(Class::Timeout, of_status(status)),
        _ => deployment(Class::ServerError, of_status(status)),
    }
}

/// Providers disagree about statuses; some of their words are plainer. Gemini says 400 to a bad key, Anthropic says 400
/// to an empty account, OpenAI says 429.
fn judge_words(remote: &RemoteError) -> Option<Verdict> {
    let said = |word: &str| {
        let is = |text: &Option<String>| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(word));
        is(&remote.code) || is(&remote.kind)
    };
    let tells = |phrase: &str| remote.message.contains(phrase);
    const DEAD: [&str; 5] =
        ["invalid_api_key", "API_KEY_INVALID", "account_deactivated", "authentication_error", "UNAUTHENTICATED"];
    const SPENT: [&str; 5] = [
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "insufficient_credits",
        "insufficient_balance",
    ];
    if DEAD.iter().any(|word| said(word)) || tells("API key not valid") {
        let error = failed("The provider does not accept this gateway's credential.");
        return Some(credential(Class::CredentialDead, error));
    }
    if SPENT.iter().any(|word| said(word)) || tells("credit balance is too low") {
        let error = failed("This gateway's account at the provider is out of credit.");
        return Some(credential(Class::NoMoney, error));
    }
    if said("unsupported_country_region_territory") || tells_of_region(&remote.message) {
        let error = failed("The provider does not serve the region that this gateway is in.");
        // The account's other keys ask from the same place.
        return Some(Verdict { next: Next::Deployment, ..credential(Class::RegionBlocked, error) });
    }
    if said("overloaded_error") {
        return Some(deployment(Class::Overloaded, failed("The provider is overloaded.")));
    }
    None
}

/// The sentences of providers that have no code for it: Google, Anthropic, and relays that speak for them.
fn tells_of_region(message: &str) -> bool {
    const SENTENCES: [&str; 5] = [
        "user location is not supported",
        "not available in your region",
        "not available in your country",
        "unsupported countries, regions, or territories",
        "country, region, or territory not supported",
    ];
    let message = message.to_ascii_lowercase();
    SENTENCES.iter().any(|sentence| message.contains(sentence))
}

/// An error inside a success has no status to go by; its words decide, and what they leave open is the provider's.
fn judge_inside(remote: &RemoteError, model: Option<&str>) -> Verdict {
    if let Some(verdict) = judge_words(remote) {
        return verdict;
    }
    let status = remote.code.as_deref().and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
    match (status, remote.kind.as_deref()) {
        (Some(status), _) => judge_status(status, remote, None, model),
        (None, Some("invalid_request_error" | "INVALID_ARGUMENT")) => caller(400, remote),
        (None, Some("rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED")) => {
            judge_status(429, remote, None, model)
        }
        (None, Some("not_found_error" | "NOT_FOUND")) => judge_status(404, remote, None, model),
        (None, Some(_) | None) => deployment(Class::ServerError, failed("The provider reported an error.")),
    }
}

fn judge_trouble(trouble: Trouble) -> Verdict {
    match trouble {
        Trouble::Connect => {
            Verdict { begun: false, ..deployment(Class::Network, failed("The provider could not be reached.")) }
        }
        Trouble::Timeout => {
            deployment(Class::Timeout, GatewayError::upstream_timeout("The provider did not answer in time."))
        }
        Trouble::NoTime => Verdict {
            blame: Blame::Nobody,
            next: Next::Stop,
            ..deployment(
                Class::Timeout,
                GatewayError::upstream_timeout("There was no time left to wait for the provider."),
            )
        },
        Trouble::Broken => deployment(Class::Network, failed("The provider's answer broke off.")),
        Trouble::TooLarge => {
            Verdict { next: Next::Stop, ..deployment(Class::Unreadable, failed("The provider's answer is too large.")) }
        }
        Trouble::CallerBody => Verdict {
            blame: Blame::Caller,
            next: Next::Stop,
            class: Class::BadRequest,
            status: None,
            wait: None,
            begun: true,
            error: GatewayError::invalid_request("The request body ended before it was complete.", None),
        },
    }
}

fn caller(status: u16, remote: &RemoteError) -> Verdict {
    let error = GatewayError::upstream_rejected(status, remote);
    Verdict {
        blame: Blame::Caller,
        next: Next::Stop,
        class: Class::BadRequest,
        status: None,
        wait: None,
        begun: true,
        error,
    }
}

fn credential(class: Class, error: GatewayError) -> Verdict {
    Verdict { blame: Blame::Credential, next: Next::Credential, class, status: None, wait: None, begun: true, error }
}

fn deployment(class: Class, error: GatewayError) -> Verdict {
    Verdict { blame: Blame::Deployment, next: Next::Deployment, class, status: None, wait: None, begun: true, error }
}

fn failed(message: &str) -> GatewayError {
    GatewayError::upstream_failed(message)
}

fn of_status(status: u16) -> GatewayError {
    GatewayError::upstream_failed(format!("The provider answered with status {status}."))
}

// === adding attempts up ===

/// The failed attempts of one request, added up to the one error its caller sees.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: u32,
    /// `channel/model (why)` of each, as callers are told.
    tried: String,
    /// The error that says most: a missing model or a limit counts only if it is all there was.
    error: Option<(Class, GatewayError)>,
}

impl Tally {
    /// Adds a failed attempt at this deployment.
    pub fn add(&mut self, deployment: &str, verdict: Verdict) {
        self.attempts += 1;
        self.note(deployment, &verdict);
        let kept = match self.error.take() {
            None => (verdict.class, verdict.error),
            Some(before) if rank(before.0) > rank(verdict.class) => before,
            Some((Class::RateLimited, before)) if verdict.class == Class::RateLimited => {
                let sooner = before.retry_after() <= verdict.error.retry_after();
                (Class::RateLimited, if sooner { before } else { verdict.error })
            }
            Some(_) => (verdict.class, verdict.error),
        };
        self.error = Some(kept);
    }

    /// How many attempts failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    fn note(&mut self, deployment: &str, verdict: &Verdict) {
        /// Enough for any number of attempts there can be, if names are sane.
        const MOST: usize = 1000;
        if self.tried.len() < MOST {
            let comma = if self.tried.is_empty() { "" } else { ", " };
            let _ = match verdict.status {
                Some(status) => write!(self.tried, "{comma}{deployment} ({status} {})", verdict.class.name()),
                None => write!(self.tried, "{comma}{deployment} ({})", verdict.class.name()),
            };
        }
    }

    /// What the caller is told.
    pub fn into_error(self) -> GatewayError {
        match self.error {
            // What was tried is no news to somebody whose request was wrong.
            Some((Class::BadRequest, error)) => error,
            Some((_, error)) => error.adding(&format!(" Tried: {}.", self.tried)),
            None => GatewayError::upstream_failed("No provider was tried."),
        }
    }
}

/// The later in this order, the rather it is told: the caller's own fault over everything, a missing model under all.
fn rank(class: Class) -> u8 {
    match class {
        Class::ModelMissing => 0,
        Class::RateLimited => 1,
        Class::CredentialDead | Class::NoMoney | Class::Forbidden | Class::RegionBlocked => 2,
        Class::Network
        | Class::Unreadable
        | Class::Redirected
        | Class::ServerError
        | Class::Overloaded
        | Class::Timeout => 3,
        Class::BadRequest => 4,
    }
}

/// Reads a `Retry-After` value: seconds, fractions of them, or an HTTP date (RFC 9110, 10.2.3). Anything else is absent.
pub fn retry_after(value: &str, now_unix: u64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        let sane = seconds.is_finite() && seconds >= 0.0;
        return sane.then(|| Duration::from_secs_f64(seconds.min(86_400.0)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let unix = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(unix.saturating_sub(Duration::from_secs(now_unix)).min(Duration::from_secs(86_400)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn remote(kind: &str, code: &str, message: &str) -> RemoteError {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RemoteError { kind: some(kind), code: some(code), message: message.to_owned(), ..RemoteError::default() }
    }

    fn of(status: u16, remote: &RemoteError) -> Verdict {
        judge(Outcome::Status { status, remote, retry_after: None }, Some("m"))
    }

    #[test]
    fn every_status_has_its_verdict() {
        let table = [
            (400, Blame::Caller, Next::Stop, 400),
            (413, Blame::Caller, Next::Stop, 413),
            (415, Blame::Caller, Next::Stop, 415),
            (422, Blame::Caller, Next::Stop, 422),
            (401, Blame::Credential, Next::Credential, 502),
            (402, Blame::Credential, Next::Credential, 502),
            (403, Blame::Credential, Next::Credential, 502),
            (404, Blame::Deployment, Next::Deployment, 404),
            (410, Blame::Deployment, Next::Deployment, 404),
            (408, Blame::Deployment, Next::Deployment, 502),
            (409, Blame::Deployment, Next::Deployment, 502),
            (425, Blame::Deployment, Next::Deployment, 502),
            (429, Blame::Credential, Next::Credential, 429),
            (500, Blame::Deployment, Next::Deployment, 502),
            (502, Blame::Deployment, Next::Deployment, 502),
            (503, Blame::Deployment, Next::Deployment, 502),
            (504, Blame::Deployment, Next::Deployment, 502),
            (529, Blame::Deployment, Next::Deployment, 502),
            (302, Blame::Deployment, Next::Deployment, 502),
            (999, Blame::Deployment, Next::Deployment, 502),
        ];
        for (status, blame, next, seen) in table {
            let verdict = of(status, &RemoteError::default());
            assert_eq!((verdict.blame, verdict.next, verdict.error.status()), (blame, next, seen), "{status}");
        }
    }

    #[test]
    fn words_outweigh_the_status() {
        let spent = of(429, &remote("insufficient_quota", "insufficient_quota", ""));
        assert_eq!((spent.class, spent.error.status()), (Class::NoMoney, 502));
        let poor = of(400, &remote("invalid_request_error", "", "Your credit balance is too low to access the API."));
        assert_eq!(poor.class, Class::NoMoney);
        let dead = of(400, &remote("INVALID_ARGUMENT", "", "API key not valid. Please pass a valid API key."));
        assert_eq!((dead.class, dead.next), (Class::CredentialDead, Next::Credential));
    }

    #[test]
    fn a_region_that_is_not_served_is_told_apart_from_a_wrong_key_in_every_providers_words() {
        let table = [
            (
                403,
                "request_forbidden",
                "unsupported_country_region_territory",
                "Country, region, or territory not supported",
            ),
            (403, "forbidden", "", "Claude is not available in your region."),
            (
                403,
                "forbidden",
                "",
                "Access to Anthropic models is not allowed from unsupported countries, regions, or territories.",
            ),
            (400, "FAILED_PRECONDITION", "400", "User location is not supported for the API use."),
            (403, "", "403", "This model is not available in your region."),
        ];
        for (status, kind, code, message) in table {
            let verdict = of(status, &remote(kind, code, message));
            assert_eq!(
                (verdict.class, verdict.blame, verdict.next, verdict.error.status()),
                (Class::RegionBlocked, Blame::Credential, Next::Deployment, 502),
                "{message}"
            );
            assert!(!verdict.error.message().contains(message), "the provider's own words are not echoed");
        }
        assert_eq!(of(403, &remote("permission_error", "", "Your key may not do this.")).class, Class::Forbidden);
    }

    #[test]
    fn a_full_context_window_is_the_callers_to_mend() {
        let verdict = of(400, &remote("invalid_request_error", "context_length_exceeded", "Too many tokens."));
        assert_eq!((verdict.blame, verdict.next), (Blame::Caller, Next::Stop));
        assert_eq!(verdict.error.fault("r").openai_code, Some("context_length_exceeded"));
    }

    #[test]
    fn an_error_inside_a_success_is_judged_by_its_words() {
        let class = |kind, code| judge(Outcome::Inside(&remote(kind, code, "x")), Some("m")).class;
        assert_eq!(class("overloaded_error", ""), Class::Overloaded);
        assert_eq!(class("", "429"), Class::RateLimited);
        assert_eq!(class("server_error", ""), Class::ServerError);
        assert_eq!(class("invalid_request_error", ""), Class::BadRequest);
    }

    #[test]
    fn an_object_that_is_not_there_is_the_callers_404() {
        let missing = remote("invalid_request_error", "", "No such File object: file-1");
        let verdict = judge(Outcome::Status { status: 404, remote: &missing, retry_after: None }, None);
        assert_eq!((verdict.blame, verdict.error.status()), (Blame::Caller, 404));
        assert_eq!(verdict.error.message(), "No such File object: file-1");
    }

    fn told(statuses: &[u16]) -> (Kind, u16) {
        let mut tally = Tally::default();
        statuses.iter().for_each(|status| tally.add("a/m", of(*status, &RemoteError::default())));
        let error = tally.into_error();
        (error.kind(), error.status())
    }

    #[test]
    fn a_limit_or_a_missing_model_is_told_only_if_all_said_so() {
        assert_eq!(told(&[404, 404]), (Kind::ModelNotFound, 404));
        assert_eq!(told(&[429, 429]), (Kind::RateLimited, 429));
        assert_eq!(told(&[404, 429]), (Kind::RateLimited, 429));
        assert_eq!(told(&[429, 503]), (Kind::UpstreamFailed, 502));
        assert_eq!(told(&[503, 429]), (Kind::UpstreamFailed, 502));
        assert_eq!(told(&[401, 404]), (Kind::UpstreamFailed, 502));
        assert_eq!(told(&[503, 400]), (Kind::UpstreamRejected, 400));
    }

    #[test]
    fn an_error_states_what_was_tried_unless_the_request_was_wrong_004_35() {
        let mut tally = Tally::default();
        tally.add("one/m", of(500, &RemoteError::default()));
        tally.add("two/m", judge(Outcome::Trouble(Trouble::Timeout), Some("m")));
        let said = tally.into_error();
        assert!(said.message().ends_with(" Tried: one/m (500 server_error), two/m (timeout)."), "{}", said.message());

        let mut tally = Tally::default();
        tally.add("one/m", of(500, &RemoteError::default()));
        tally.add("two/m", of(400, &remote("", "", "Mend `x`.")));
        assert_eq!(tally.into_error().message(), "Mend `x`.");
    }

    #[test]
    fn of_several_limits_the_soonest_counts() {
        let mut tally = Tally::default();
        for seconds in [30, 7, 12] {
            let retry_after = Some(Duration::from_secs(seconds));
            let outcome = Outcome::Status { status: 429, remote: &RemoteError::default(), retry_after };
            tally.add("a/m", judge(outcome, Some("m")));
        }
        assert_eq!(tally.into_error().retry_after(), Some(7));
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_garbage_is_absent() {
        let seconds = |value| retry_after(value, 1_000_000_000).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds("1"), Some(1.0));
        assert_eq!(seconds(" 0.2 "), Some(0.2));
        assert_eq!(seconds("1000000000"), Some(86_400.0));
        assert_eq!(seconds("Sun, 09 Sep 2001 01:46:47 GMT"), Some(7.0));
        assert_eq!(seconds("Sun, 09 Sep 2001 01:46:30 GMT"), Some(0.0));
        for garbage in ["-5", "soon", "", "NaN", "inf"] {
            assert_eq!(seconds(garbage), None, "{garbage}");
        }
    }
}
