//! From the `admin` section to the hash of its token. Decides what a token may look like. Knows no header and no path.
//! Tests are below.

use super::Problems;
use super::keys::{SAFE_KEY_LENGTH, from_hex};
use crate::access::fingerprint;
use crate::config::{self, Config, ConfigError};
use crate::snapshot::Admin;

pub(super) fn compile(config: &Config, problems: &mut Problems) -> Admin {
    Admin {
        token: token(&config.admin, problems),
        metrics: config.admin.metrics,
        debug_header: config.admin.debug_header,
    }
}

fn token(settings: &config::Admin, problems: &mut Problems) -> Option<[u8; 32]> {
    match (&settings.token, &settings.token_sha256) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            let error = ConfigError::at("admin.token_sha256", "`token` and `token_sha256` are both given");
            problems.error(error.fix("keep one of them"));
            None
        }
        (None, Some(hex)) => {
            let digest = from_hex(hex.trim());
            if digest.is_none() {
                problems.error(ConfigError::at("admin.token_sha256", "expected 64 hexadecimal digits"));
            }
            digest
        }
        (Some(secret), None) => {
            let text = secret.expose();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let error =
                    ConfigError::at("admin.token", "a token is made of visible ASCII characters, without spaces");
                problems.error(error.fix("use random letters and digits, such as those of `openssl rand -hex 32`"));
                return None;
            }
            if text.len() < SAFE_KEY_LENGTH {
                let warning = ConfigError::at("admin.token", "the token is short enough to be guessed");
                problems.warn(warning.fix(format!("use at least {SAFE_KEY_LENGTH} random characters")));
            }
            Some(fingerprint(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Format, MetricsAccess};
    use crate::health::States;
    use crate::snapshot::{self, Snapshot};

    const TOKEN: &str = "an-admin-token-0123456789";

    fn compiled(section: &str) -> Result<Snapshot, Vec<String>> {
        let config = Config::parse(&format!("admin: {section}\n"), Format::Yaml, "w.yaml", &|_| None);
        let compiled = config.and_then(|config| snapshot::compile(&config, &States::default()));
        compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_the_token_is_admitted_and_only_its_hash_is_kept() {
        let snapshot = compiled(&format!("{{token: {TOKEN}}}")).unwrap();
        let admin = &snapshot.admin;
        assert!(admin.admits(Some(TOKEN)) && !admin.is_off());
        let hash: String = admin.token.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        for other in [None, Some(""), Some("an-admin-token-012345678"), Some(hash.as_str())] {
            assert!(!admin.admits(other), "{other:?}");
        }
        assert!(snapshot.warnings.is_empty() && !format!("{snapshot:?}").contains(TOKEN));
        assert_eq!(compiled(&format!("{{token_sha256: {hash}, metrics: open}}")).unwrap().admin.token, admin.token);
    }

    #[test]
    fn without_a_token_nobody_is_an_administrator() {
        let admin = compiled("{metrics: open}").unwrap().admin;
        assert!(admin.is_off() && !admin.admits(Some("")) && !admin.admits(None));
        assert_eq!((admin.metrics, compiled("{}").unwrap().admin.metrics), (MetricsAccess::Open, MetricsAccess::Token));
    }

    #[test]
    fn a_short_token_is_warned_of_and_a_wrong_one_refused_with_its_place() {
        let warned = compiled("{token: hunter2}").unwrap();
        assert!(warned.warnings[0].to_string().contains("admin.token: the token is short"), "{:?}", warned.warnings);
        for (section, said) in [
            ("{token: 'a b'}", "admin.token: a token is made of"),
            ("{token: ''}", "admin.token: a token is made of"),
            ("{token_sha256: abc}", "admin.token_sha256: expected 64"),
            ("{token: abc, token_sha256: abc}", "keep one of them"),
            ("{metrics: closed}", "admin.metrics"),
        ] {
            let errors = compiled(section).unwrap_err();
            assert!(errors[0].starts_with("w.yaml:1:") && errors[0].contains(said), "{errors:?}");
        }
    }
}
