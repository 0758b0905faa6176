//! From `server.cors` to the origins that are compared with what browsers send. Tests are below.

use http::HeaderValue;

use super::Problems;
use crate::config::{Config, ConfigError};
use crate::snapshot::Cors;

const FIX: &str = "write it as browsers do: `https://app.example`, `http://localhost:5173`, or `*` for any page";

/// Reads the origins; what no browser would ever send is an error.
pub(super) fn compile(config: &Config, problems: &mut Problems) -> Cors {
    let settings = &config.server.cors;
    let mut cors = Cors { max_age: Some(HeaderValue::from(settings.max_age.0.as_secs())), ..Cors::default() };
    for (position, origin) in settings.origins.iter().enumerate() {
        if origin == "*" {
            cors.any = true;
        } else if is_origin(origin) {
            cors.origins.insert(origin.as_bytes().into());
        } else {
            let path = format!("server.cors.origins[{position}]");
            problems.error(ConfigError::at(path, format!("`{origin}` is not the origin of a page")).fix(FIX));
        }
    }
    cors
}

/// Scheme, host and perhaps a port, in small letters. `null` is what any sandboxed page may call itself, so it is none.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let scheme_ok = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let host_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~:[]".contains(&byte);
    scheme_ok && !host.is_empty() && host.bytes().all(host_byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::health::States;
    use crate::snapshot;

    fn compiled(origins: &str) -> Result<Cors, Vec<String>> {
        let text = format!("server: {{cors: {{origins: [{origins}], max_age: 1m}}}}\n");
        let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).unwrap();
        let shown = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect();
        snapshot::compile(&config, &States::default()).map(|snapshot| snapshot.cors).map_err(shown)
    }

    #[test]
    fn nobody_may_unless_the_file_says_so() {
        assert!(compiled("").unwrap().is_off());
        assert!(snapshot::compile(&Config::default(), &States::default()).unwrap().cors.is_off());
    }

    #[test]
    fn listed_origins_may_and_others_may_not() {
        let cors = compiled("'https://app.example', 'http://localhost:5173', 'tauri://localhost'").unwrap();
        let may = |origin: &'static str| cors.allows(&HeaderValue::from_static(origin));
        assert!(may("https://app.example") && may("http://localhost:5173") && may("tauri://localhost"));
        for other in ["http://app.example", "https://app.example:444", "https://app.example.evil.example", "null", ""] {
            assert!(!may(other), "{other}");
        }
        assert_eq!(cors.max_age.unwrap(), "60");
        assert!(compiled("'*'").unwrap().allows(&HeaderValue::from_static("https://any.example")));
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_its_place() {
        for wrong in
            ["null", "app.example", "https://", "https://app.example/", "https://*.example", "HTTPS://a.example"]
        {
            let errors = compiled(&format!("'https://fine.example', '{wrong}'")).unwrap_err();
            assert_eq!(errors.len(), 1, "{wrong}");
            assert!(
                errors[0].starts_with("w.yaml:1:") && errors[0].contains("server.cors.origins[1]: `"),
                "{errors:?}"
            );
            assert!(errors[0].contains("write it as browsers do"), "{errors:?}");
        }
    }
}
