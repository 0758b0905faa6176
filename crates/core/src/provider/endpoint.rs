//! Where an operation lives at a provider, and how a path template becomes a path.
//! Decides what may stand in a path; must not know hosts or secrets. Tests are below.

use waypost_wire::Dialect;

use crate::operation::Operation;

/// One operation in one dialect at one path.
///
/// In a template `{model}` stands for the upstream's model name, `{path}` for the caller's path below its version
/// prefix (`/files/file-1`), `{version}` for the channel's `api_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub operation: Operation,
    /// The dialect of the bodies. Operations other than chat count as `openai_chat` in OpenAI's API.
    pub dialect: Dialect,
    pub path: &'static str,
    /// The path for streams, where it differs.
    pub stream_path: Option<&'static str>,
    /// The path starts at the host, whatever path the base URL has.
    pub from_root: bool,
}

/// What a template's placeholders stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The base URL's path, without a slash at the end.
    pub prefix: &'a str,
    /// The name the upstream knows.
    pub model: &'a str,
    /// The caller's path below its version prefix; used by pass-through only.
    pub path: &'a str,
    /// The caller's query, without the question mark.
    pub query: Option<&'a str>,
    pub version: &'a str,
    pub stream: bool,
}

impl Endpoint {
    pub const CHAT: Self = Self::openai(Operation::Chat, "/chat/completions");
    pub const RESPONSES: Self = Self::new(Operation::Chat, Dialect::OpenaiResponses, "/responses");
    pub const MESSAGES: Self = Self::new(Operation::Chat, Dialect::Anthropic, "/messages");
    pub const COUNT_TOKENS: Self = Self::new(Operation::CountTokens, Dialect::Anthropic, "/messages/count_tokens");
    /// Every path of OpenAI's API that has no line of its own.
    pub const ANYTHING: Self = Self::openai(Operation::Passthrough, "{path}");

    pub const fn new(operation: Operation, dialect: Dialect, path: &'static str) -> Self {
        Self { operation, dialect, path, stream_path: None, from_root: false }
    }

    pub const fn openai(operation: Operation, path: &'static str) -> Self {
        Self::new(operation, Dialect::OpenaiChat, path)
    }

    /// Anthropic's Messages at a path of its own, beside the vendor's main API.
    pub const fn messages_at(path: &'static str) -> Self {
        Self { from_root: true, ..Self::new(Operation::Chat, Dialect::Anthropic, path) }
    }

    /// The path and query to request. `None` if the caller's words cannot safely stand in a path.
    pub fn path_and_query(&self, place: &Place<'_>) -> Option<String> {
        let template = match self.stream_path {
            Some(path) if place.stream => path,
            Some(_) | None => self.path,
        };
        let mut out = String::with_capacity(place.prefix.len() + template.len() + 64);
        if !self.from_root {
            out.push_str(place.prefix);
        }
        let mut rest = without_overlap(&out, template);
        while let Some((literal, tail)) = rest.split_once('{') {
            out.push_str(literal);
            let (name, tail) = tail.split_once('}')?;
            match name {
                "model" => push_segment(&mut out, place.model)?,
                "version" => push_segment(&mut out, place.version)?,
                "path" => out.push_str(clean_path(place.path)?),
                _ => return None,
            }
            rest = tail;
        }
        out.push_str(rest);
        if let Some(query) = place.query.filter(|query| !query.is_empty()) {
            if !is_query(query) {
                return None;
            }
            out.push(if out.contains('?') { '&' } else { '?' });
            out.push_str(query);
        }
        Some(out)
    }
}

/// Base URLs are written with and without the API's own first segments; what the prefix already ends with is not repeated.
fn without_overlap<'t>(prefix: &str, template: &'t str) -> &'t str {
    template
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([template.len()])
        .filter(|at| *at > 0)
        .filter_map(|at| Some((template.get(..at)?, template.get(at..)?)))
        .rfind(|(head, _)| prefix.ends_with(head))
        .map_or(template, |(_, tail)| tail)
}

/// Percent-encodes everything that could end the segment, and refuses what servers read as "here" or "up".
fn push_segment(out: &mut String, text: &str) -> Option<()> {
    if matches!(text, "" | "." | "..") {
        return None;
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.extend(DIGITS.get(usize::from(half)).copied().map(char::from));
            }
        }
    }
    Some(())
}

/// A caller's path is relayed only if it is absolute, plain and stays below its prefix, however it is decoded.
fn clean_path(path: &str) -> Option<&str> {
    let plain =
        path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\?#{}\"<>`^|".contains(&byte));
    let climbs = path.split('/').any(|segment| {
        let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
        let name = decoded.split(';').next().unwrap_or_default();
        matches!(name, "." | "..") || segment.contains("%25") || hides_a_slash(&decoded)
    });
    (plain && !climbs).then_some(path)
}

/// An encoded slash is legal inside a model id; together with dots it is a way up.
fn hides_a_slash(decoded: &str) -> bool {
    decoded.contains("%5c") || decoded.split("%2f").any(|part| matches!(part, "." | ".."))
}

fn is_query(query: &str) -> bool {
    query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(endpoint: Endpoint, place: &Place<'_>) -> Option<String> {
        endpoint.path_and_query(place)
    }

    #[test]
    fn a_base_url_may_be_written_with_or_without_the_first_segments() {
        let messages = Endpoint::new(Operation::Chat, Dialect::Anthropic, "/v1/messages");
        let azure = Endpoint::openai(Operation::Chat, "/openai/v1/chat/completions");
        let cases = [
            (messages, "", "/v1/messages"),
            (messages, "/v1", "/v1/messages"),
            (messages, "/relay/anthropic", "/relay/anthropic/v1/messages"),
            (messages, "/relay/v1", "/relay/v1/messages"),
            (azure, "", "/openai/v1/chat/completions"),
            (azure, "/openai", "/openai/v1/chat/completions"),
            (azure, "/openai/v1", "/openai/v1/chat/completions"),
            (Endpoint::CHAT, "/v1", "/v1/chat/completions"),
            (Endpoint::messages_at("/anthropic/v1/messages"), "/v1", "/anthropic/v1/messages"),
        ];
        for (endpoint, prefix, expected) in cases {
            let place = Place { prefix, ..Place::default() };
            assert_eq!(path(endpoint, &place).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_model_name_cannot_leave_its_segment() {
        let endpoint = Endpoint::openai(Operation::Chat, "/d/{model}/chat?api-version={version}");
        let named = |model| path(endpoint, &Place { model, version: "2024-10-21", ..Place::default() });
        assert_eq!(
            named("a/../b?c#d é").as_deref(),
            Some("/d/a%2F..%2Fb%3Fc%23d%20%C3%A9/chat?api-version=2024-10-21")
        );
        assert_eq!(named("qwen3:8b").as_deref(), Some("/d/qwen3:8b/chat?api-version=2024-10-21"));
        assert_eq!((named(".."), named("."), named("")), (None, None, None));
    }

    #[test]
    fn streams_may_have_their_own_path_and_queries_are_joined() {
        let endpoint = Endpoint {
            stream_path: Some("/m:stream?alt=sse"),
            ..Endpoint::new(Operation::Chat, Dialect::Gemini, "/m:once")
        };
        let place = Place { stream: true, query: Some("beta=true"), ..Place::default() };
        assert_eq!(path(endpoint, &place).as_deref(), Some("/m:stream?alt=sse&beta=true"));
        let place = Place { stream: false, ..place };
        assert_eq!(path(endpoint, &place).as_deref(), Some("/m:once?beta=true"));
    }

    #[test]
    fn a_relayed_path_stays_below_its_prefix() {
        let relayed =
            |path: &str| Endpoint::ANYTHING.path_and_query(&Place { prefix: "/v1", path, ..Place::default() });
        assert_eq!(relayed("/models/ft:gpt-4o%2Fx").as_deref(), Some("/v1/models/ft:gpt-4o%2Fx"));
        for bad in [
            "files",
            "/../admin",
            "/a/%2e%2E/b",
            "/a/..;x/b",
            "/a/%252e%252e/b",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\b",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\r\nb",
        ] {
            assert_eq!(relayed(bad), None, "{bad}");
        }
    }
}
