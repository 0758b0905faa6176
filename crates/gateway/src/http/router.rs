//! The table of routes: which endpoint a method and path mean, and whose dialect an error there is drawn in.
//!
//! All mounts lead to the same endpoints. A `/v1` path that is not in the table is still answered: it passes through to
//! the default OpenAI-dialect channel, because the providers' surface grows faster than any table. Tests: `it/v1/routes.rs`.

use http::Method;
use waypost_core::operation::Operation;
use waypost_wire::dialect::Face;

use super::api::billing::Billing;
use super::required;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    ChatCompletions,
    /// What a chat request would cost.
    Estimate,
    Completions,
    Embeddings,
    Responses,
    Messages,
    CountTokens,
    Models,
    Model {
        id: &'a str,
    },
    Health {
        depth: HealthDepth,
    },
    /// Everything at `/admin`, at `/auth` and below, in a table of its own.
    Managed,
    Metrics,
    /// What the key has used and has left.
    Billing(Billing),
    /// Any other path under an OpenAI mount; `rest` is what follows the mount, without a leading slash.
    PassThrough {
        rest: &'a str,
    },
    /// The path exists, the method does not; `allow` lists those that do.
    MethodNotAllowed {
        allow: &'static str,
    },
    NotFound,
}

/// How much a health answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthDepth {
    Summary,
    Live,
    Ready,
    Detailed,
}

/// A matched route.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    pub endpoint: Endpoint<'a>,
    /// How Waypost looks to the caller: the dialect of bodies here, errors included.
    pub face: Face,
}

/// Finds the route. `anthropic_version` says that the request carries that header: both protocols have `/v1/models`.
pub fn route<'a>(method: &Method, path: &'a str, anthropic_version: bool) -> Route<'a> {
    // TRACE would have an upstream echo our credential, CONNECT asks for a tunnel: nothing here does either.
    if matches!(method.as_str(), "TRACE" | "TRACK" | "CONNECT") {
        let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        return Route { endpoint: Endpoint::MethodNotAllowed { allow }, face: Face::OPENAI_CHAT };
    }
    if let Some(depth) = health(path) {
        let endpoint = if *method == Method::GET || *method == Method::HEAD {
            Endpoint::Health { depth }
        } else {
            Endpoint::MethodNotAllowed { allow: "GET, HEAD" }
        };
        return Route { endpoint, face: Face::OPENAI_CHAT };
    }
    if path == "/metrics" {
        let reads = *method == Method::GET || *method == Method::HEAD;
        let endpoint = if reads { Endpoint::Metrics } else { Endpoint::MethodNotAllowed { allow: "GET, HEAD" } };
        return Route { endpoint, face: Face::OPENAI_CHAT };
    }
    if is_managed(path) {
        return Route { endpoint: Endpoint::Managed, face: Face::OPENAI_CHAT };
    }
    if let Some(billing) = bare_billing(path) {
        let reads = *method == Method::GET || *method == Method::HEAD;
        let endpoint =
            if reads { Endpoint::Billing(billing) } else { Endpoint::MethodNotAllowed { allow: "GET, HEAD" } };
        return Route { endpoint, face: Face::OPENAI_CHAT };
    }
    if let Some(rest) = under_anthropic_mount(path) {
        return Route { endpoint: anthropic(method, rest), face: Face::ANTHROPIC };
    }
    let Some(rest) = under_openai_mount(path) else {
        return Route { endpoint: Endpoint::NotFound, face: Face::OPENAI_CHAT };
    };
    if anthropic_version && (rest == "models" || rest.starts_with("models/")) {
        return Route { endpoint: anthropic(method, rest), face: Face::ANTHROPIC };
    }
    let endpoint = match openai(method, rest) {
        Endpoint::PassThrough { rest } if is_misspelled(method, rest) => Endpoint::NotFound,
        endpoint => endpoint,
    };
    let face = if endpoint == Endpoint::Responses { Face::OPENAI_RESPONSES } else { Face::OPENAI_CHAT };
    Route { endpoint, face }
}

/// Is it in the table of the administration and of people's own pages, or nowhere?
fn is_managed(path: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    path == "/openapi.json" || ["/admin", "/auth"].iter().any(|root| path.strip_prefix(root).is_some_and(below))
}

/// Is this something that applications call with a key of theirs? Whatever else there is, there is no CORS for it.
pub fn is_data_plane(endpoint: &Endpoint<'_>, path: &str) -> bool {
    // A path that could mean two things is not found, wherever it begins.
    *endpoint != Endpoint::NotFound && (path.starts_with("/v1/") || path.starts_with("/proxy/v1/"))
}

/// What a path that passes through does, by where it lies: pictures and sound have prices of their own. Looking at them is free.
pub fn passing(method: &Method, rest: &str) -> Operation {
    match rest.split(['/', ':']).next() {
        Some("images") if !method.is_safe() => Operation::Images,
        Some("audio") if !method.is_safe() => Operation::Audio,
        Some(_) | None => Operation::Passthrough,
    }
}

/// Would it be looked at here if it were in small letters? Some upstreams read a path in any case, and would do unseen what
/// is charged and limited under its own name.
fn is_misspelled(method: &Method, rest: &str) -> bool {
    let lower = rest.to_ascii_lowercase();
    let is_looked_at = !matches!(openai(method, &lower), Endpoint::PassThrough { .. })
        || passing(method, &lower) != passing(method, rest)
        || required::form(&lower).is_some();
    lower != rest && is_looked_at
}

fn openai<'a>(method: &Method, rest: &'a str) -> Endpoint<'a> {
    // Chats that are stored are looked at with other methods; no provider takes one in, but some do not mind the method.
    let post = |endpoint| match *method {
        Method::POST => endpoint,
        Method::GET | Method::HEAD => Endpoint::PassThrough { rest },
        _ => Endpoint::MethodNotAllowed { allow: "GET, HEAD, POST" },
    };
    let get = |endpoint| if *method == Method::GET { endpoint } else { Endpoint::PassThrough { rest } };
    match rest {
        "chat/completions" => post(Endpoint::ChatCompletions),
        "chat/completions/estimate" if *method == Method::POST => Endpoint::Estimate,
        "completions" if *method == Method::POST => Endpoint::Completions,
        "chat/completions/estimate" | "completions" | "embeddings" if *method != Method::POST => {
            Endpoint::MethodNotAllowed { allow: "POST" }
        }
        "embeddings" => Endpoint::Embeddings,
        "responses" => post(Endpoint::Responses),
        "models" => get(Endpoint::Models),
        // Anthropic's protocol has mounts of its own: here it would pass through unread.
        _ if rest == "messages" || rest.starts_with("messages/") => Endpoint::NotFound,
        _ => match (rest.strip_prefix("models/").filter(|id| !id.is_empty()), Billing::at(rest)) {
            (Some(id), _) => get(Endpoint::Model { id }),
            (None, Some(billing)) => get(Endpoint::Billing(billing)),
            (None, None) => Endpoint::PassThrough { rest },
        },
    }
}

fn anthropic<'a>(method: &Method, rest: &'a str) -> Endpoint<'a> {
    let post = |endpoint| if *method == Method::POST { endpoint } else { Endpoint::MethodNotAllowed { allow: "POST" } };
    let get = |endpoint| if *method == Method::GET { endpoint } else { Endpoint::MethodNotAllowed { allow: "GET" } };
    match rest {
        "messages" => post(Endpoint::Messages),
        "messages/count_tokens" => post(Endpoint::CountTokens),
        "models" => get(Endpoint::Models),
        _ => match rest.strip_prefix("models/").filter(|id| !id.is_empty()) {
            Some(id) => get(Endpoint::Model { id }),
            None => Endpoint::NotFound,
        },
    }
}

/// What applications of the one-api family ask for outside of every mount.
fn bare_billing(path: &str) -> Option<Billing> {
    match path {
        "/api/usage/token" | "/api/usage/token/" => Some(Billing::Token),
        "/dashboard/billing/subscription" => Some(Billing::Subscription),
        "/dashboard/billing/usage" => Some(Billing::Costs),
        _ => None,
    }
}

/// `/v1/messages…` as Anthropic's SDKs call it at a bare base URL, and everything under `/v1/anthropic`, where the SDKs
/// add their own `/v1`.
fn under_anthropic_mount(path: &str) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("/v1/anthropic/") {
        return Some(rest.strip_prefix("v1/").unwrap_or(rest));
    }
    let rest = path.strip_prefix("/v1/")?;
    (rest == "messages" || rest.starts_with("messages/")).then_some(rest)
}

fn under_openai_mount(path: &str) -> Option<&str> {
    let rest = path
        .strip_prefix("/v1/openai/")
        .or_else(|| path.strip_prefix("/proxy/v1/"))
        .or_else(|| path.strip_prefix("/v1/"))?;
    // A dot segment or an empty one could mean another path to the upstream than to this table.
    let bare_mount = path.starts_with("/v1/") && matches!(rest, "openai" | "anthropic");
    let plain = !rest.is_empty() && !bare_mount && rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    // Model names hold slashes, and some SDKs encode them.
    let slashes = !rest.starts_with("models/") && rest.to_ascii_lowercase().contains("%2f");
    (plain && !slashes && !means_two_things(rest)).then_some(rest)
}

/// Does it hold what a server may read as something else than is written? Nobody has to encode a letter, a digit or one of
/// `-._~` (RFC 3986, 2.3): whoever does has another path in mind. What ends a path or a part of it, backslashes and control
/// characters are in no name.
fn means_two_things(path: &str) -> bool {
    let ends = |byte: u8| matches!(byte, b';' | b'?' | b'#' | b'\\') || byte.is_ascii_control();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            if ends(*first) {
                return true;
            }
            continue;
        }
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte) || ends(byte) => return true,
            Some(_) => {}
            None => return true,
        }
    }
    false
}

fn health(path: &str) -> Option<HealthDepth> {
    match path {
        "/health" | "/healthz" => Some(HealthDepth::Summary),
        "/health/live" | "/live" => Some(HealthDepth::Live),
        "/health/ready" | "/ready" => Some(HealthDepth::Ready),
        "/health/detailed" => Some(HealthDepth::Detailed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use waypost_wire::Dialect;

    use super::*;

    fn get(path: &str) -> Endpoint<'_> {
        route(&Method::GET, path, false).endpoint
    }

    fn post(path: &str) -> Route<'_> {
        route(&Method::POST, path, false)
    }

    #[test]
    fn every_mount_leads_to_the_same_endpoints() {
        for mount in ["/v1", "/v1/openai", "/proxy/v1"] {
            let cases = [
                ("chat/completions", Endpoint::ChatCompletions, Dialect::OpenaiChat),
                ("completions", Endpoint::Completions, Dialect::OpenaiChat),
                ("embeddings", Endpoint::Embeddings, Dialect::OpenaiChat),
                ("responses", Endpoint::Responses, Dialect::OpenaiResponses),
            ];
            for (rest, endpoint, dialect) in cases {
                assert_eq!(post(&format!("{mount}/{rest}")).endpoint, endpoint);
                assert_eq!(post(&format!("{mount}/{rest}")).face.dialect, dialect);
            }
            assert_eq!(get(&format!("{mount}/models")), Endpoint::Models);
        }
        for path in ["/v1/messages", "/v1/anthropic/messages", "/v1/anthropic/v1/messages"] {
            assert_eq!((post(path).endpoint, post(path).face.dialect), (Endpoint::Messages, Dialect::Anthropic));
            assert_eq!(post(&format!("{path}/count_tokens")).endpoint, Endpoint::CountTokens);
        }
    }

    #[test]
    fn what_a_key_has_used_is_where_clients_of_other_relays_ask_for_it() {
        for (path, billing) in [
            ("/v1/dashboard/billing/subscription", Billing::Subscription),
            ("/dashboard/billing/subscription", Billing::Subscription),
            ("/v1/dashboard/billing/usage", Billing::Costs),
            ("/dashboard/billing/usage", Billing::Costs),
            ("/v1/usage", Billing::Usage),
            ("/api/usage/token", Billing::Token),
        ] {
            assert_eq!(get(path), Endpoint::Billing(billing), "{path}");
        }
        assert_eq!(post("/api/usage/token").endpoint, Endpoint::MethodNotAllowed { allow: "GET, HEAD" });
    }

    #[test]
    fn model_ids_may_hold_slashes_and_colons() {
        assert_eq!(get("/v1/models/vendor/a:b"), Endpoint::Model { id: "vendor/a:b" });
    }

    #[test]
    fn the_model_list_is_anthropics_where_its_header_or_mount_says_so() {
        assert_eq!(route(&Method::GET, "/v1/models", true).face.dialect, Dialect::Anthropic);
        assert_eq!(route(&Method::GET, "/v1/anthropic/models", false).face.dialect, Dialect::Anthropic);
        assert_eq!(route(&Method::GET, "/v1/models", false).face.dialect, Dialect::OpenaiChat);
    }

    #[test]
    fn what_the_table_lacks_under_a_mount_passes_through_with_any_method() {
        assert_eq!(get("/v1/files/file-1/content"), Endpoint::PassThrough { rest: "files/file-1/content" });
        assert_eq!(post("/proxy/v1/audio/speech").endpoint, Endpoint::PassThrough { rest: "audio/speech" });
        assert_eq!(
            route(&Method::DELETE, "/v1/models/ft:x", false).endpoint,
            Endpoint::PassThrough { rest: "models/ft:x" }
        );
        assert_eq!(
            route(&Method::from_bytes(b"BREW").unwrap(), "/v1/tea", false).endpoint,
            Endpoint::PassThrough { rest: "tea" }
        );
    }

    #[test]
    fn a_path_that_could_mean_two_things_is_not_found() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/models",
            "/v1//models",
            "/v1/../admin",
            "/v1/openai",
            "/v1/openai/",
            "/v1/anthropic",
            "/v1/a/%2e%2e/b",
            "/v1/a%2Fb",
            "/v1/a\\b",
            "/v1/a;b",
            "/v1/a%3fb",
            "/v1/a%",
            "/v1/a%2",
            "/v1/a%+1",
        ] {
            assert_eq!(get(path), Endpoint::NotFound, "{path}");
        }
    }

    #[test]
    fn no_spelling_of_a_path_leads_around_the_table() {
        for path in [
            "/v1/chat/complet%69ons",
            "/v1/chat/complet%69Ons",
            "/v1/%63hat/completions",
            "/v1/Chat/Completions",
            "/v1/chat/Completions",
            "/v1/chat/completions/",
            "/v1/openai/CHAT/completions",
            "/proxy/v1/chat/completion%73",
            "/v1/Responses",
            "/v1/completion%73",
            "/v1/Embeddings",
            "/v1/m%65ssages",
            "/v1/Messages",
            "/v1/messages/",
            "/v1/openai/messages",
            "/proxy/v1/messages",
            "/v1/anthropic/v1/Messages",
            "/v1/anthropic/m%65ssages",
            "/v1/Images/generations",
            "/v1/images/Generations",
            "/v1/%69mages/generations",
            "/v1/Audio/speech",
            "/v1/Fine_tuning/Jobs",
        ] {
            assert_eq!(post(path).endpoint, Endpoint::NotFound, "{path}");
        }
        for method in ["PUT", "PATCH", "DELETE", "post", "BREW"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"] {
                let endpoint = route(&method, path, false).endpoint;
                assert!(matches!(endpoint, Endpoint::MethodNotAllowed { .. }), "{method} {path}");
            }
        }
        assert_eq!(get("/v1/Models"), Endpoint::NotFound);
        // Ids are in any letters, and some SDKs encode those of models.
        for rest in ["files/file-AbC", "images/X1", "fine_tuning/jobs/ftjob-Ab", "chat/completions/chatcmpl-Ab"] {
            assert_eq!(post(&format!("/v1/{rest}")).endpoint, Endpoint::PassThrough { rest }, "{rest}");
        }
        assert_eq!(get("/v1/models/Vendor%2Ftool%3A8b"), Endpoint::Model { id: "Vendor%2Ftool%3A8b" });
        assert_eq!(
            route(&Method::DELETE, "/v1/models/ft%3AX", false).endpoint,
            Endpoint::PassThrough { rest: "models/ft%3AX" }
        );
    }

    #[test]
    fn pictures_and_sound_are_told_from_what_else_passes_through() {
        for (method, rest, operation) in [
            (Method::POST, "images/generations", Operation::Images),
            (Method::POST, "images:x", Operation::Images),
            (Method::POST, "audio/speech", Operation::Audio),
            (Method::DELETE, "audio/voices/v", Operation::Audio),
            (Method::GET, "audio/voices", Operation::Passthrough),
            (Method::POST, "imagesque", Operation::Passthrough),
            (Method::POST, "files", Operation::Passthrough),
        ] {
            assert_eq!(passing(&method, rest), operation, "{method} {rest}");
        }
    }

    #[test]
    fn no_method_makes_an_upstream_echo_or_us_a_tunnel() {
        for method in ["TRACE", "TRACK", "CONNECT"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for path in ["/v1/models", "/v1/files/a", "/v1/anthropic/x", "/health", ""] {
                assert!(matches!(route(&method, path, false).endpoint, Endpoint::MethodNotAllowed { .. }), "{path}");
            }
        }
    }

    #[test]
    fn a_wrong_method_says_what_is_allowed() {
        assert_eq!(get("/v1/messages"), Endpoint::MethodNotAllowed { allow: "POST" });
        assert_eq!(get("/v1/embeddings"), Endpoint::MethodNotAllowed { allow: "POST" });
        assert_eq!(post("/health").endpoint, Endpoint::MethodNotAllowed { allow: "GET, HEAD" });
    }
}
