//! Access tokens: JWTs of one algorithm, HS256, whose header is compared and never followed. Decides what a token must say;
//! whether its session still lives is for `identity::live`. Tests are below.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// `{"alg":"HS256","typ":"JWT"}`: the only header there is.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
const ISSUER: &str = "waypost";
/// How far the clocks of two instances may be apart, in seconds.
const SKEW: i64 = 60;
/// More is none of ours.
const LONGEST: usize = 2048;

/// What a token says. Every part is required, and of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    /// The user's id.
    pub sub: String,
    /// The session's id.
    pub sid: String,
    /// The user's generation.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// Seconds since 1970.
    pub iat: i64,
    pub exp: i64,
}

/// Signs and reads tokens.
pub struct Tokens {
    key: hmac::Key,
}

/// Not a token of ours, or past its time. Why, nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadToken;

impl Tokens {
    /// With a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A token for a session, valid from `iat` to `exp`, in seconds since 1970.
    pub fn issue(&self, user: &str, session: &str, generation: i64, iat: i64, exp: i64) -> String {
        let claims =
            Claims { iss: ISSUER.to_owned(), sub: user.to_owned(), sid: session.to_owned(), generation, iat, exp };
        // Texts and numbers can always be written.
        let body = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(body));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a token says, if it is one of ours and `now` (seconds since 1970) is within its time.
    pub fn read(&self, token: &str, now: i64) -> Result<Claims, BadToken> {
        let claims = self.read_at_any_time(token)?;
        let in_time = claims.exp > now && claims.iat <= now.saturating_add(SKEW) && claims.iat < claims.exp;
        if in_time { Ok(claims) } else { Err(BadToken) }
    }

    /// Is it one of ours, however long its time is over? Nobody guesses such a token.
    pub fn is_ours(&self, token: &str) -> bool {
        self.read_at_any_time(token).is_ok()
    }

    fn read_at_any_time(&self, token: &str) -> Result<Claims, BadToken> {
        if token.len() > LONGEST {
            return Err(BadToken);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken)?;
        let (header, body) = signed.split_once('.').ok_or(BadToken)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadToken)?;
        if header != HEADER {
            return Err(BadToken);
        }
        hmac::verify(&self.key, signed.as_bytes(), &signature).map_err(|_| BadToken)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadToken)?;
        let claims: Claims = serde_json::from_slice(&body).map_err(|_| BadToken)?;
        if claims.iss == ISSUER { Ok(claims) } else { Err(BadToken) }
    }

    /// Seals a text for a purpose, so that whoever keeps it for us can read but not change it.
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        let body = URL_SAFE_NO_PAD.encode(text);
        let signature = hmac::sign(&self.key, format!("{purpose} {body}").as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The text that was sealed for that purpose.
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Option<String> {
        let (body, signature) = sealed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, format!("{purpose} {body}").as_bytes(), &signature).ok()?;
        String::from_utf8(URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_790_000_000;

    fn tokens() -> Tokens {
        Tokens::new(SECRET)
    }

    /// Signs whatever it is given, as somebody would who had the secret or had found a way around it.
    fn forged(header: &str, body: &str, secret: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    const PLAIN: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn body(exp: &str) -> String {
        format!(r#"{{"iss":"waypost","sub":"usr_a","sid":"ses_a","gen":1,"iat":{NOW},"exp":{exp}}}"#)
    }

    #[test]
    fn a_token_says_what_was_put_into_it_until_its_time_is_over_001_35() {
        let token = tokens().issue("usr_a", "ses_a", 3, NOW, NOW + 900);
        let claims = tokens().read(&token, NOW + 899).unwrap();
        assert_eq!((claims.sub.as_str(), claims.sid.as_str(), claims.generation), ("usr_a", "ses_a", 3));
        assert_eq!(tokens().read(&token, NOW + 900), Err(BadToken));
        assert_eq!(tokens().read(&token, NOW - 61), Err(BadToken), "from the future");
        let others = Tokens::new(b"another secret of thirty-two bytes");
        assert_eq!(others.read(&token, NOW), Err(BadToken));
        assert!(tokens().is_ours(&token) && !others.is_ours(&token), "whatever the time");
        assert!(
            tokens().read(&forged(PLAIN, &body(&(NOW + 9).to_string()), SECRET), NOW).is_ok(),
            "the forger is able"
        );
    }

    #[test]
    fn no_changed_byte_is_taken_001_35() {
        let token = tokens().issue("usr_a", "ses_a", 1, NOW, NOW + 900);
        for place in 0..token.len() {
            for other in [b'A', b'B', b'.', b'=', b' '] {
                let mut bytes = token.clone().into_bytes();
                if bytes[place] == other {
                    continue;
                }
                bytes[place] = other;
                assert_eq!(tokens().read(std::str::from_utf8(&bytes).unwrap(), NOW), Err(BadToken), "byte {place}");
            }
        }
        for text in
            ["", ".", "..", "...", "a.b.c", &token[..token.len() - 1], &format!("{token}="), &format!("{token}.x")]
        {
            assert_eq!(tokens().read(text, NOW), Err(BadToken), "{text}");
        }
    }

    #[test]
    fn no_header_but_ours_is_followed() {
        let good = body(&(NOW + 900).to_string());
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"hs256","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"typ":"JWT","alg":"HS256"}"#,
            r#"{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}"#,
            r#"{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}"#,
            r#"{"alg":"HS256","typ":"JWT","jku":"https://evil.example"}"#,
            r#"{"alg":"HS256","typ":"JWT","crit":["exp"]}"#,
        ] {
            assert_eq!(tokens().read(&forged(header, &good, SECRET), NOW), Err(BadToken), "{header}");
            assert_eq!(tokens().read(&forged(header, &good, b""), NOW), Err(BadToken), "{header}");
        }
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(&good));
        assert_eq!(tokens().read(&unsigned, NOW), Err(BadToken));
        let (signed, _) =
            forged(PLAIN, &good, SECRET).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(tokens().read(&format!("{signed}."), NOW), Err(BadToken), "without its signature");
    }

    #[test]
    fn claims_are_required_and_of_their_type() {
        for exp in
            ["\"9999999999\"", "9999999999.0", "1e10", "null", "true", "[9999999999]", "-1", "99999999999999999999"]
        {
            assert_eq!(tokens().read(&forged(PLAIN, &body(exp), SECRET), NOW), Err(BadToken), "exp {exp}");
        }
        let good: serde_json::Value = serde_json::from_str(&body(&(NOW + 900).to_string())).unwrap();
        for claim in ["iss", "sub", "sid", "gen", "iat", "exp"] {
            let mut less = good.clone();
            less.as_object_mut().unwrap().remove(claim);
            assert_eq!(tokens().read(&forged(PLAIN, &less.to_string(), SECRET), NOW), Err(BadToken), "{claim}");
        }
        let more = good.to_string().replace("{\"iss\"", "{\"nbf\":\"0\",\"iss\"");
        assert_eq!(tokens().read(&forged(PLAIN, &more, SECRET), NOW), Err(BadToken));
        let twice = good.to_string().replace("{\"iss\"", "{\"sub\":\"usr_b\",\"iss\"");
        assert_eq!(tokens().read(&forged(PLAIN, &twice, SECRET), NOW), Err(BadToken));
        let foreign = good.to_string().replace("waypost", "other");
        assert_eq!(tokens().read(&forged(PLAIN, &foreign, SECRET), NOW), Err(BadToken));
    }

    #[test]
    fn what_is_sealed_for_one_purpose_is_nothing_for_another() {
        let sealed = tokens().seal("oidc", "state");
        assert_eq!(tokens().unseal("oidc", &sealed).as_deref(), Some("state"));
        assert_eq!(tokens().unseal("other", &sealed), None);
        assert_eq!(tokens().unseal("oidc", &format!("x{sealed}")), None);
        assert_eq!(tokens().read(&sealed, NOW), Err(BadToken));
    }
}
