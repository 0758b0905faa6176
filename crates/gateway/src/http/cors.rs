//! What browsers are told: which page may read an answer, and what a page may send. Holds for the data plane only, never
//! with credentials. Decides nothing about callers: a preflight has no key. Tests: `it/cors.rs`.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use waypost_core::snapshot::Cors;

use super::body::Body;

const ANY: HeaderValue = HeaderValue::from_static("*");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What of an answer a page may read beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, x-ratelimit-limit-requests, \
     x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, \
     x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, x-waypost-deployment, x-waypost-attempts, \
     x-waypost-cost-basis, x-waypost-losses, x-waypost-trace",
);

/// What the browser behind one request is told.
pub enum Verdict {
    /// Nothing: CORS is off, any page may and none asked, or this is not the data plane.
    Silent,
    /// Nothing this time; for another origin it might be something.
    OtherOrigin,
    /// The page may read the answer.
    Allowed {
        /// The page's origin, or `*`.
        origin: HeaderValue,
        /// How long a preflight may be remembered.
        max_age: Option<HeaderValue>,
    },
}

/// Decides by `Origin` for a request to the data plane.
pub fn judge(cors: &Cors, headers: &HeaderMap) -> Verdict {
    if cors.is_off() {
        return Verdict::Silent;
    }
    match headers.get(ORIGIN) {
        Some(_) if cors.any => Verdict::Allowed { origin: ANY, max_age: cors.max_age.clone() },
        Some(origin) if cors.allows(origin) => {
            Verdict::Allowed { origin: origin.clone(), max_age: cors.max_age.clone() }
        }
        Some(_) | None if cors.any => Verdict::Silent,
        Some(_) | None => Verdict::OtherOrigin,
    }
}

impl Verdict {
    /// The answer to a preflight of a page that may; any other request is `None`.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        let Self::Allowed { max_age, .. } = self else { return None };
        if *method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::new(Body::Full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let told = response.headers_mut();
        told.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        // SDKs send headers of their own making; what none of our rooms reads goes nowhere.
        if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            told.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        if let Some(max_age) = max_age {
            told.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        Some(response)
    }

    /// Adds what the browser must be told with an answer, errors included.
    pub fn tell(self, headers: &mut HeaderMap) {
        match self {
            Self::Silent => {}
            Self::OtherOrigin => {
                headers.append(VARY, BY_ORIGIN);
            }
            Self::Allowed { origin, .. } => {
                if origin != ANY {
                    headers.append(VARY, BY_ORIGIN);
                }
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }
}
