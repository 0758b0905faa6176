//! Every value that is in force, by its path, and where it was said.
//!
//! Reads the values as `Debug` writes them: it knows every field of every section without a list of them, and a secret has no
//! other writing there than `***`. Tests are below.

use super::Config;
use super::node::snake_case;

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// As `channels[0].tier`.
    pub path: String,
    /// As people write it; secrets are `***`.
    pub value: String,
    /// `waypost.yaml:3`, `environment variable PORT`, `command line --port` or `default`.
    pub origin: String,
}

/// Keys that can be written in two ways: the field and the other word.
const ALIASES: [(&str, &str); 12] = [
    ("tier", "priority"),
    ("base_url", "url"),
    ("provider", "type"),
    ("verify_tls", "verify_ssl"),
    ("max_output_tokens", "max_tokens"),
    ("key_sha256", "sha256"),
    ("fallback_channel", "fallback_provider"),
    ("rps", "max_rps"),
    ("rpm", "max_rpm"),
    ("tpm", "max_tpm"),
    ("rpd", "daily_limit"),
    ("concurrency", "max_concurrency"),
];

/// What is in force below `key`, or everywhere if it is empty, in the order of the sections.
pub fn explain(config: &Config, key: &str) -> Vec<Effective> {
    let under = |path: &str| {
        key.is_empty() || path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let values = flattened(config).into_iter().filter(|(path, _)| under(path));
    values
        .map(|(path, value)| {
            let origin = said(config, &path).unwrap_or_else(|| "default".to_owned());
            Effective { path, value, origin }
        })
        .collect()
}

fn said(config: &Config, path: &str) -> Option<String> {
    let exact = config.origin.said(path);
    exact.or_else(|| {
        let (around, last) = path.rsplit_once('.').map_or(("", path), |(around, last)| (around, last));
        let (_, other) = ALIASES.iter().find(|(field, _)| *field == last)?;
        config.origin.said(&if around.is_empty() { (*other).to_owned() } else { format!("{around}.{other}") })
    })
}

/// Paths and values; what is not set at all is left out.
pub(super) fn flattened(config: &Config) -> Vec<(String, String)> {
    let text = format!("{config:?}");
    let mut reader = Reader { rest: &text, leaves: Vec::new() };
    reader.value("");
    let hidden = |path: &str| {
        path.starts_with("origin")
            || path.starts_with("api_prices")
            || path.ends_with(".discovered")
            || path == "telemetry.otlp.exact"
    };
    reader.leaves.retain(|(path, value)| !hidden(path) && value != "None");
    // A header may carry a key.
    for (_, value) in reader.leaves.iter_mut().filter(|(path, _)| path.contains("].headers.")) {
        *value = "***".to_owned();
    }
    reader.leaves
}

struct Reader<'t> {
    rest: &'t str,
    leaves: Vec<(String, String)>,
}

impl Reader<'_> {
    fn value(&mut self, path: &str) {
        if self.eat("[") {
            self.items(path, "]", |path, position| format!("{path}[{position}]"));
        } else if self.eat("{") {
            self.entries(path);
        } else if self.rest.starts_with('"') {
            let text = self.text();
            self.leaf(path, text);
        } else {
            let end = self.rest.find([' ', '(', ')', ',', ']', '}']).unwrap_or(self.rest.len());
            let word = self.take(end);
            if self.eat(" { ") {
                self.fields(path);
            } else if self.eat("(") {
                // A wrapper says nothing of its own.
                self.items(path, ")", |path, _| path.to_owned());
            } else {
                // A word of a closed set, as files write it.
                let is_word = word.starts_with(|first: char| first.is_ascii_uppercase()) && word != "None";
                self.leaf(path, if is_word { snake_case(&word) } else { word });
            }
        }
    }

    fn fields(&mut self, path: &str) {
        while !self.rest.is_empty() && !self.eat(" }") {
            self.eat(", ");
            let end = self.rest.find(": ").unwrap_or(self.rest.len());
            let name = self.take(end);
            self.eat(": ");
            self.value(&if path.is_empty() { name } else { format!("{path}.{name}") });
        }
    }

    fn entries(&mut self, path: &str) {
        if self.eat("}") {
            return self.leaf(path, "{}".to_owned());
        }
        while !self.rest.is_empty() && !self.eat("}") {
            self.eat(", ");
            let before = self.rest.len();
            let key = self.text();
            self.eat(": ");
            self.value(&format!("{path}.{}", key.trim_matches('"')));
            if self.rest.len() == before {
                return;
            }
        }
    }

    fn items(&mut self, path: &str, end: &str, name: impl Fn(&str, usize) -> String) {
        if self.eat(end) {
            return self.leaf(path, "[]".to_owned());
        }
        let mut position = 0;
        while !self.rest.is_empty() && !self.eat(end) {
            self.eat(", ");
            let before = self.rest.len();
            self.value(&name(path, position));
            position += 1;
            if self.rest.len() == before {
                return;
            }
        }
    }

    fn leaf(&mut self, path: &str, value: String) {
        self.leaves.push((path.to_owned(), value));
    }

    /// A quoted text, quotes included.
    fn text(&mut self) -> String {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, letter)| {
            let closes = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            closes
        });
        self.take(end.map_or(self.rest.len(), |(at, _)| at + 1))
    }

    fn take(&mut self, end: usize) -> String {
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken.to_owned()
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Inputs, Text, Variables, load};
    use super::*;

    fn values(yaml: &str) -> Vec<Effective> {
        explain(&Config::parse(yaml, Format::Yaml, "w.yaml", &|_| None).unwrap(), "")
    }

    fn line(values: &[Effective], path: &str) -> Option<(String, String)> {
        values.iter().find(|value| value.path == path).map(|value| (value.value.clone(), value.origin.clone()))
    }

    #[test]
    fn every_value_has_a_path_and_an_origin_and_no_secret_is_shown() {
        let text = "keys: [{name: a, key: wp-secret}]\nchannels:\n- name: \"x, y } ]\"\n  api_key: sk-secret\n  priority: 3\n  \
                    headers: {a.b: '\"q\"'}\n  timeouts: {idle: 1.5s}\n  models: [m, {name: n, upstream: u}]\nbreaker: fast\n";
        let values = values(text);
        let shown = |path: &str, value: &str, origin: &str| {
            assert_eq!(line(&values, path), Some((value.to_owned(), origin.to_owned())), "{path}: {values:#?}");
        };
        shown("keys[0].key", "***", "w.yaml:1");
        shown("keys[0].models[0]", "\"*\"", "default");
        shown("channels[0].name", "\"x, y } ]\"", "w.yaml:3");
        shown("channels[0].api_key", "***", "w.yaml:4");
        shown("channels[0].tier", "3", "w.yaml:5");
        shown("channels[0].headers.a.b", "***", "w.yaml:6");
        shown("channels[0].timeouts.idle", "1.5s", "w.yaml:7");
        shown("channels[0].models[1].upstream", "\"u\"", "w.yaml:8");
        shown("breaker", "fast", "w.yaml:9");
        shown("server.port", "3000", "default");
        shown("retry.backoff.strategy", "exponential", "default");
        shown("open_mode", "false", "default");
        assert!(values.iter().all(|value| !value.value.contains("secret") && !value.path.starts_with("origin")));
    }

    #[test]
    fn variables_and_arguments_are_named() {
        let variables = Variables::of([("OPENAI_MAX_RETRIES".to_owned(), "2".to_owned())]);
        let text = Text { name: "w.yaml".into(), format: Format::Yaml, text: "server: {port: 1}\n".into() };
        let argument = super::super::Argument { flag: "--port", path: &["server", "port"], value: "7".into() };
        let inputs = Inputs {
            texts: &[text],
            variables: &variables,
            arguments: &[argument],
            catalog: None,
            dice: [0; 24],
            callers_elsewhere: false,
            simulated: &[],
        };
        let config = load(&inputs).unwrap().config;
        let port = explain(&config, "server.port");
        assert_eq!((port.len(), port[0].value.as_str(), port[0].origin.as_str()), (1, "7", "command line --port"));
        let retries = explain(&config, "retry.max_retries");
        assert_eq!(retries[0].origin, "environment variable OPENAI_MAX_RETRIES");
    }
}
