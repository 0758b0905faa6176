//! What is asked of a provider of identities: what it says of itself, its keys, and a token for a code. Decides how it is
//! asked and what of the answers is read; what a token is worth is for [`super::id_token`]. Tests: `it/auth/oidc.rs`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use waypost_core::config;

use super::keys::{self, Key};
use crate::upstream::{BadTarget, Origin, OutBody, Outgoing, Target, Timeouts, TlsProfile, Transport};

/// The longest that one question takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST: u64 = 512 << 10;

/// What a provider says of itself.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    /// The secret goes into the body, because that is the only way there.
    in_body: bool,
    pub(super) keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

/// Asks a provider for all it says of itself.
pub(super) async fn discover(transport: &dyn Transport, settings: &config::Oidc) -> Result<Known, String> {
    let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
    let document: Document = json(&get(transport, settings, &url).await?, &url)?;
    if document.issuer != settings.issuer {
        return Err(format!(
            "{url} calls its issuer `{}`, and identity.oidc.issuer is another",
            shown(&document.issuer)
        ));
    }
    // Whoever is asked in private does not send us anywhere in public.
    let private = settings.issuer.starts_with("https://");
    for endpoint in [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri] {
        if private && !endpoint.starts_with("https://") {
            return Err(format!("{url} names an endpoint that is not https: `{}`", shown(endpoint)));
        }
    }
    let set = get(transport, settings, &document.jwks_uri).await?;
    let keys = keys::read(&set).ok_or_else(|| format!("{} holds no set of keys", shown(&document.jwks_uri)))?;
    let ways = document.token_endpoint_auth_methods_supported;
    let has = |way: &str| ways.as_ref().is_some_and(|ways| ways.iter().any(|known| known == way));
    Ok(Known {
        authorization_endpoint: document.authorization_endpoint,
        token_endpoint: document.token_endpoint,
        in_body: has("client_secret_post") && !has("client_secret_basic"),
        keys,
    })
}

/// A code that is to become a token.
pub(super) struct Exchange<'a> {
    pub(super) settings: &'a config::Oidc,
    pub(super) known: &'a Known,
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
}

impl Exchange<'_> {
    /// The provider's token for the code.
    pub(super) async fn id_token(&self, transport: &dyn Transport) -> Result<String, String> {
        let settings = self.settings;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", self.code),
            ("redirect_uri", settings.redirect_uri.as_str()),
            ("code_verifier", self.verifier),
        ];
        let mut headers = HeaderMap::new();
        match &settings.client_secret {
            Some(secret) if !self.known.in_body => {
                let pair = format!("{}:{}", escaped(&settings.client_id), escaped(secret.expose()));
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                    .map_err(|_| "the client's secret cannot be sent".to_owned())?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Some(secret) => {
                fields.extend([("client_id", settings.client_id.as_str()), ("client_secret", secret.expose())])
            }
            None => fields.push(("client_id", settings.client_id.as_str())),
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let url = &self.known.token_endpoint;
        let asked = Asked { settings, url, method: Method::POST, headers, body: encoded(&fields).into() };
        Ok(json::<Granted>(&asked.answer(transport).await?, url)?.id_token)
    }
}

/// A question.
struct Asked<'a> {
    settings: &'a config::Oidc,
    url: &'a str,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked<'_> {
    async fn answer(mut self, transport: &dyn Transport) -> Result<Bytes, String> {
        let (url, private) = (shown(self.url), self.settings.allow_private);
        let target = target(self.url, private).map_err(|_| format!("`{url}` is no URL that can be asked"))?;
        self.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let outgoing = Outgoing { method: self.method, target, headers: self.headers, body: OutBody::Full(self.body) };
        let timeouts = Timeouts::until(Instant::now() + PATIENCE);
        let failed = |failure| format!("{url} did not answer: {failure}");
        let answer = transport.send(outgoing, timeouts).await.map_err(failed)?;
        if !answer.status.is_success() {
            return Err(format!("{url} answered with status {}", answer.status.as_u16()));
        }
        answer.body.collect(LARGEST).await.map_err(failed)
    }
}

async fn get(transport: &dyn Transport, settings: &config::Oidc, url: &str) -> Result<Bytes, String> {
    let (method, headers, body) = (Method::GET, HeaderMap::new(), Bytes::new());
    Asked { settings, url, method, headers, body }.answer(transport).await
}

fn json<T: DeserializeOwned>(bytes: &[u8], url: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|_| format!("{} answered something else than was asked for", shown(url)))
}

/// A URL as something to ask.
pub(super) fn target(url: &str, allow_private: bool) -> Result<Target, BadTarget> {
    let uri: http::Uri = url.parse().map_err(|_| BadTarget)?;
    let origin = Origin::parse(url, TlsProfile::Public)?.allow_private(allow_private);
    Target::at(origin.into(), uri.path_and_query().map_or("/", |path| path.as_str()))
}

/// Names and values as forms and queries have them.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

/// What somebody else wrote, as it may stand in our log.
fn shown(text: &str) -> String {
    text.chars().take(200).filter(|letter| !letter.is_control()).collect()
}
