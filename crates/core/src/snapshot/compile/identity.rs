//! What must hold of the `identity` section before anybody signs in by it: a secret that cannot be guessed, and a provider
//! that is spoken to in private. Decides nothing later. Tests are below.

use std::collections::BTreeSet;

use super::Problems;
use crate::config::{self, Config, ConfigError};
use crate::role::Role;

/// The shortest secret, in characters, and the fewest different ones that a random one has.
const SECRET_LENGTH: usize = 32;
const DIFFERENT: usize = 10;

/// What examples and manuals are full of; compared in lower case and without what separates words.
const KNOWN: [&str; 9] = [
    "yoursecret",
    "yourjwt",
    "yoursuper",
    "changeme",
    "changethis",
    "supersecret",
    "secretkey",
    "mysecret",
    "replacethis",
];

pub(super) fn check(config: &Config, problems: &mut Problems) {
    if let Some(secret) = &config.identity.jwt_secret {
        check_secret(secret.expose(), problems);
    }
    if let Some(oidc) = &config.identity.oidc {
        check_oidc(oidc, config.identity.registration, problems);
    }
}

fn check_secret(secret: &str, problems: &mut Problems) {
    let error = |reason: String| {
        let error = ConfigError::at("identity.jwt_secret", reason);
        error.fix("use the output of `openssl rand -hex 32`, or leave it out: Waypost then makes one and keeps it")
    };
    let length = secret.chars().count();
    if length < SECRET_LENGTH {
        return problems.error(error(format!(
            "the secret (JWT_SECRET) has {length} characters, and must have at least {SECRET_LENGTH}"
        )));
    }
    let plain: String = secret.to_lowercase().chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
    let different = secret.chars().collect::<BTreeSet<_>>().len();
    if different < DIFFERENT || KNOWN.iter().any(|known| plain.contains(known)) {
        problems.error(error("the secret (JWT_SECRET) can be guessed: it is an example, or too regular".to_owned()));
    }
}

fn check_oidc(oidc: &config::Oidc, registration: config::Registration, problems: &mut Problems) {
    let mut wrong = |key: &str, reason: &str, fix: &str| {
        problems.error(ConfigError::at(format!("identity.oidc.{key}"), reason).fix(fix));
    };
    for (key, url) in [("issuer", &oidc.issuer), ("redirect_uri", &oidc.redirect_uri)] {
        if !is_private(url) {
            wrong(key, "expected an https URL", "write it as https://host/path; http is for loopback addresses only");
        }
    }
    if !oidc.redirect_uri.ends_with("/auth/oidc/callback") {
        let fix = "write the address of this gateway and /auth/oidc/callback, as it is registered at the provider";
        wrong("redirect_uri", "the browser would not come back to this gateway", fix);
    }
    if oidc.client_id.is_empty() {
        wrong("client_id", "it is empty", "write the id that the provider gave to this gateway");
    }
    if !oidc.scopes.iter().any(|scope| scope == "openid") {
        wrong("scopes", "`openid` is missing", "add it: without it the provider says nothing of who somebody is");
    }
    if oidc.create_users == Some(true) && !oidc.bounds_newcomers(registration) {
        let fix = "name the domains whose people may come in `domains`, or write `create_users: false`";
        wrong("create_users", "everybody who has an account at the provider would become a user", fix);
    }
    if matches!(oidc.role, Role::Owner | Role::Admin) {
        wrong("role", "new users would be administrators", "let an owner raise those who should be");
    }
    if !oidc.return_to.starts_with('/') || oidc.return_to.starts_with("//") || oidc.return_to.contains('\\') {
        wrong("return_to", "expected a path of this gateway", "begin it with one `/`");
    }
}

/// Does nobody on the way read along?
fn is_private(url: &str) -> bool {
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    if let Some(rest) = url.strip_prefix("https://") {
        return !host(rest).is_empty() && !host(rest).contains('@');
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let host = host(rest);
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Format, Registration, Span};
    use crate::health::States;
    use crate::role::Role;
    use crate::snapshot;

    fn read(section: &str) -> Result<Config, Vec<String>> {
        let config = Config::parse(&format!("identity: {section}\n"), Format::Yaml, "w.yaml", &|_| None);
        let config = config.and_then(|config| snapshot::compile(&config, &States::default()).map(|_| config));
        config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn left_out_it_asks_for_invites_and_short_lives() {
        let identity = read("{}").unwrap().identity;
        assert_eq!((identity.registration, identity.access_token), (Registration::Invite, Span::seconds(900)));
        assert_eq!((identity.session_days, identity.oidc.is_none()), (30, true));
    }

    #[test]
    fn a_secret_has_32_characters_that_are_not_regular_and_no_example_001_54() {
        let good = "k3J9_sQ0vZ7pLx2mB8nRt5wYc1dFgH4a";
        assert!(read(&format!("{{jwt_secret: {good}}}")).is_ok());
        for (secret, said) in [
            (&good[1..], "w.yaml:1:12: identity.jwt_secret: the secret (JWT_SECRET) has 31 characters"),
            ("''", "has 0 characters"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "can be guessed"),
            ("your-super-secret-jwt-key-at-least-32-characters", "can be guessed"),
            ("Please_Change-Me-to-something-random-0123456789", "can be guessed"),
        ] {
            let errors = read(&format!("{{jwt_secret: {secret}}}")).unwrap_err();
            assert!(errors[0].contains(said) && errors[0].contains("openssl rand"), "{errors:?}");
            assert!(secret.len() < 3 || !errors[0].contains(secret), "{errors:?}");
        }
    }

    #[test]
    fn a_provider_is_spoken_to_in_private_and_makes_nobody_an_administrator() {
        let oidc = |more: &str| {
            let section = "issuer: https://id.example, client_id: waypost";
            read(&format!("{{oidc: {{{section}, redirect_uri: 'https://gw.example/auth/oidc/callback'{more}}}}}"))
        };
        let usual = oidc("").unwrap().identity.oidc.unwrap();
        assert_eq!((usual.role, usual.create_users, usual.scopes.len()), (Role::Member, None, 3));
        for (more, said) in [
            (", role: owner", "oidc.role"),
            (", scopes: [email]", "`openid` is missing"),
            (", return_to: //evil.example", "oidc.return_to"),
            (", return_to: 'https://evil.example'", "oidc.return_to"),
        ] {
            assert!(oidc(more).unwrap_err()[0].contains(said), "{more}");
        }
        for issuer in ["http://id.example", "ftp://id.example", "https://", "https://a@b", "http://127.0.0.1.example"] {
            let section =
                format!("{{oidc: {{issuer: '{issuer}', client_id: w, redirect_uri: 'https://g/auth/oidc/callback'}}}}");
            assert!(read(&section).unwrap_err()[0].contains("oidc.issuer"), "{issuer}");
        }
        assert!(read("{oidc: {issuer: 'http://127.0.0.1:1', client_id: w, redirect_uri: 'http://localhost:3000/auth/oidc/callback'}}").is_ok());
    }

    #[test]
    fn a_provider_makes_users_of_those_whose_domains_are_named_or_of_everybody_where_registration_is_open() {
        let made = |registration: &str, more: &str| {
            let section = "issuer: https://id.example, client_id: w, redirect_uri: 'https://g/auth/oidc/callback'";
            let identity = read(&format!("{{registration: {registration}, oidc: {{{section}{more}}}}}"))?.identity;
            Ok::<_, Vec<String>>(identity.oidc.unwrap().creates_users(identity.registration))
        };
        for closed in ["invite", "closed"] {
            assert_eq!(made(closed, ""), Ok(false));
            assert_eq!(made(closed, ", domains: [corp.example]"), Ok(true));
            assert_eq!(made(closed, ", domains: [corp.example], create_users: true"), Ok(true));
            assert_eq!(made(closed, ", domains: [corp.example], create_users: false"), Ok(false));
            let errors = made(closed, ", create_users: true").unwrap_err();
            assert!(errors[0].contains("w.yaml:1:") && errors[0].contains("identity.oidc.create_users"), "{errors:?}");
            assert!(
                errors[0].contains("everybody who has an account") && errors[0].contains("`domains`"),
                "{errors:?}"
            );
        }
        assert_eq!((made("open", ""), made("open", ", create_users: false")), (Ok(true), Ok(false)));
        assert_eq!(made("open", ", create_users: true"), Ok(true));
    }
}
