//! What an answer's headers say about the provider's rate limits, whichever of a dozen spellings it uses.
//! Reads only: what follows from it is decided by health and balancing. Knows no provider by name, since relays mix them.
//! Tests: `rate_headers/tests.rs`, with the headers as the providers document or send them.

mod time;

pub(crate) use time::{days, rfc_3339};

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use waypost_wire::error::RemoteError;

use crate::limit::Said;
use crate::verdict;

/// What is left of a provider's limits for one credential, as far as its answer says.
///
/// Of several windows (a minute's and a day's, input and output tokens) the tightest is told, with its own reset.
/// Values that make no sense, such as Azure's `-1`, are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Requests that may still be sent.
    pub requests: Option<u64>,
    /// Tokens that may still be used.
    pub tokens: Option<u64>,
    /// How many requests there are when the limit is whole.
    pub requests_limit: Option<u64>,
    /// How many tokens there are when the limit is whole.
    pub tokens_limit: Option<u64>,
    /// In how long the limit of `requests` is whole again, at most a day.
    pub requests_reset: Option<Duration>,
    /// In how long the limit of `tokens` is whole again, at most a day.
    pub tokens_reset: Option<Duration>,
}

impl Remaining {
    /// Whether the answer said anything.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }

    /// What it says of requests, and of tokens, for [`crate::limit::Learned`].
    pub fn said(&self) -> (Said, Said) {
        let requests = Said { limit: self.requests_limit, left: self.requests, reset: self.requests_reset };
        (requests, Said { limit: self.tokens_limit, left: self.tokens, reset: self.tokens_reset })
    }

    /// How long nothing can be sent, if a limit is used up and its reset is known: the longer of the two.
    pub fn exhausted_for(&self) -> Option<Duration> {
        let of = |left: Option<u64>, reset: Option<Duration>| if left == Some(0) { reset } else { None };
        of(self.requests, self.requests_reset).max(of(self.tokens, self.tokens_reset))
    }
}

/// Reads the rate limits of an answer of any status. One pass over the headers; allocates nothing.
///
/// `now_unix` is in seconds, for the providers that tell a time of day.
pub fn remaining(headers: &HeaderMap, now_unix: u64) -> Remaining {
    let mut windows = Windows::default();
    for (name, value) in headers {
        let Some(field) = field(name.as_str()) else { continue };
        let Ok(value) = value.to_str() else { continue };
        match field {
            Field::Left(window) => windows.lower(window, count(value)),
            Field::Limit(window) => windows.at(window).limit = count(value),
            Field::Reset(window) => windows.at(window).reset = time::reset(value, now_unix),
            Field::Structured => structured(value, now_unix, &mut windows),
        }
    }
    windows.tightest()
}

/// How long a refusal asks to stay away, at most a day.
///
/// The first that is there and makes sense: `retry-after-ms`, `retry-after` (seconds or a date), the body's own field
/// (Gemini's `retryDelay`), the reset of a limit that is used up, the error's sentence ("Please try again in 6.5s").
pub fn retry_after(headers: &HeaderMap, remote: &RemoteError, now_unix: u64) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let milliseconds = |name| text(name).and_then(time::milliseconds);
    milliseconds("retry-after-ms")
        .or_else(|| milliseconds("x-ms-retry-after-ms"))
        .or_else(|| text("retry-after").and_then(|value| verdict::retry_after(value, now_unix)))
        .or_else(|| remote.retry_after_ms.map(|wait| Duration::from_millis(wait).min(time::DAY)))
        .or_else(|| remaining(headers, now_unix).exhausted_for())
        .or_else(|| time::in_sentence(&remote.message))
}

/// A window of a limit. The order is that of [`Windows`].
#[derive(Clone, Copy)]
enum Window {
    Requests,
    RequestsMinute,
    RequestsDay,
    Unnamed,
    Tokens,
    InputTokens,
    OutputTokens,
    TokensMinute,
    TokensDay,
    TokensMonth,
}

/// What one header tells.
enum Field {
    Left(Window),
    Limit(Window),
    Reset(Window),
    /// The `RateLimit` field of the IETF drafts.
    Structured,
}

/// Names are lower case, as `http` keeps them.
fn field(name: &str) -> Option<Field> {
    // Nearly every header ends here.
    let (_, after) = name.split_once("ratelimit").filter(|(before, _)| matches!(*before, "" | "x-" | "anthropic-"))?;
    Some(match after {
        "" if name == "ratelimit" => Field::Structured,
        // OpenAI, Azure, Groq, xAI and all that follow them.
        "-remaining-requests" => Field::Left(Window::Requests),
        "-limit-requests" | "-requests-limit" => Field::Limit(Window::Requests),
        "-limit-tokens" | "-tokens-limit" => Field::Limit(Window::Tokens),
        "-reset-requests" => Field::Reset(Window::Requests),
        "-remaining-tokens" => Field::Left(Window::Tokens),
        "-reset-tokens" => Field::Reset(Window::Tokens),
        // Anthropic; `tokens` is the tightest of its limits at that moment.
        "-requests-remaining" => Field::Left(Window::Requests),
        "-requests-reset" => Field::Reset(Window::Requests),
        "-tokens-remaining" => Field::Left(Window::Tokens),
        "-tokens-reset" => Field::Reset(Window::Tokens),
        "-input-tokens-remaining" => Field::Left(Window::InputTokens),
        "-input-tokens-limit" => Field::Limit(Window::InputTokens),
        "-output-tokens-limit" => Field::Limit(Window::OutputTokens),
        "-input-tokens-reset" => Field::Reset(Window::InputTokens),
        "-output-tokens-remaining" => Field::Left(Window::OutputTokens),
        "-output-tokens-reset" => Field::Reset(Window::OutputTokens),
        // Fireworks.
        "-remaining-tokens-prompt" => Field::Left(Window::InputTokens),
        "-remaining-tokens-generated" => Field::Left(Window::OutputTokens),
        // Mistral and Cerebras.
        "-remaining-req-minute" | "-remaining-requests-minute" => Field::Left(Window::RequestsMinute),
        "-limit-req-minute" | "-limit-requests-minute" => Field::Limit(Window::RequestsMinute),
        "-limit-tokens-minute" => Field::Limit(Window::TokensMinute),
        "-limit-requests-day" => Field::Limit(Window::RequestsDay),
        "-limit-tokens-day" => Field::Limit(Window::TokensDay),
        "-reset-req-minute" | "-reset-requests-minute" => Field::Reset(Window::RequestsMinute),
        "-remaining-requests-day" => Field::Left(Window::RequestsDay),
        "-reset-requests-day" => Field::Reset(Window::RequestsDay),
        "-remaining-tokens-minute" => Field::Left(Window::TokensMinute),
        "-reset-tokens-minute" => Field::Reset(Window::TokensMinute),
        "-remaining-tokens-day" => Field::Left(Window::TokensDay),
        "-reset-tokens-day" => Field::Reset(Window::TokensDay),
        "-remaining-tokens-month" => Field::Left(Window::TokensMonth),
        // Mistral's older gateway, which counts tokens and calls them size.
        "bysize-remaining" | "bysize-remaining-minute" => Field::Left(Window::TokensMinute),
        "bysize-reset" | "bysize-reset-minute" => Field::Reset(Window::TokensMinute),
        "bysize-remaining-month" => Field::Left(Window::TokensMonth),
        // Relays, and the IETF drafts up to the sixth.
        "-remaining" => Field::Left(Window::Unnamed),
        "-limit" => Field::Limit(Window::Unnamed),
        "-reset" => Field::Reset(Window::Unnamed),
        _ => return None,
    })
}

/// A whole number; of a fraction, what is before the point.
fn count(value: &str) -> Option<u64> {
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    // More than a u64 holds is as good as unlimited.
    Some(whole.parse().unwrap_or(u64::MAX))
}

/// `limit=100, remaining=50, reset=5` (draft 7), or a list of `"name";r=50;t=5` (from draft 8 on).
fn structured(value: &str, now_unix: u64, windows: &mut Windows) {
    if value.contains("remaining=") {
        return member(value, now_unix, windows);
    }
    value.split(',').for_each(|one| member(one, now_unix, windows));
}

fn member(text: &str, now_unix: u64, windows: &mut Windows) {
    let mut said = Said::default();
    for part in text.split([',', ';']) {
        match part.trim().split_once('=') {
            Some(("r" | "remaining", value)) => said.left = count(value),
            Some(("limit", value)) => said.limit = count(value),
            Some(("t" | "reset", value)) => said.reset = time::reset(value, now_unix),
            Some(_) | None => {}
        }
    }
    let name = text.split(';').next().unwrap_or_default();
    let window = if name.contains("token") { Window::Tokens } else { Window::Unnamed };
    let before = windows.at(window);
    if said.left.is_some() && (before.left.is_none() || said.left < before.left) {
        *before = said;
    }
}

#[derive(Default)]
struct Windows {
    requests: [Said; 4],
    tokens: [Said; 6],
}

impl Windows {
    fn at(&mut self, window: Window) -> &mut Said {
        let [requests, requests_minute, requests_day, unnamed] = &mut self.requests;
        let [tokens, input, output, tokens_minute, tokens_day, tokens_month] = &mut self.tokens;
        match window {
            Window::Requests => requests,
            Window::RequestsMinute => requests_minute,
            Window::RequestsDay => requests_day,
            Window::Unnamed => unnamed,
            Window::Tokens => tokens,
            Window::InputTokens => input,
            Window::OutputTokens => output,
            Window::TokensMinute => tokens_minute,
            Window::TokensDay => tokens_day,
            Window::TokensMonth => tokens_month,
        }
    }

    /// A header that stands twice counts with its smaller value.
    fn lower(&mut self, window: Window, left: Option<u64>) {
        let window = self.at(window);
        window.left = match (window.left, left) {
            (Some(before), Some(left)) => Some(before.min(left)),
            (before, left) => before.or(left),
        };
    }

    fn tightest(&self) -> Remaining {
        let tightest = |windows: &[Said]| {
            let known = windows.iter().filter(|window| window.left.is_some());
            known.copied().min_by_key(|window| (window.left, std::cmp::Reverse(window.reset))).unwrap_or_default()
        };
        let (requests, tokens) = (tightest(&self.requests), tightest(&self.tokens));
        Remaining {
            requests: requests.left,
            tokens: tokens.left,
            requests_limit: requests.limit,
            tokens_limit: tokens.limit,
            requests_reset: requests.reset,
            tokens_reset: tokens.reset,
        }
    }
}
