//! What a provider's token must say to be believed: OpenID Connect Core, 3.1.3.7. Knows no connection. Tests are below.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Algorithm, Key};

/// How far the provider's clock may be from ours, in seconds.
const SKEW: i64 = 60;
/// Longer ones nobody sends.
const LONGEST: usize = 64 * 1024;

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Claims {
    /// The address, if the provider vouches for it.
    pub(super) fn verified_email(&self) -> Option<&str> {
        // Some providers write the truth as text.
        let verified = match &self.email_verified {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(word)) => word == "true",
            Some(_) | None => false,
        };
        self.email.as_deref().filter(|email| verified && email.contains('@') && email.len() <= 254)
    }

    /// What somebody is called; empty if the provider does not say, or says what cannot be shown.
    pub(super) fn name(&self) -> &str {
        let shown = |name: &&str| name.chars().count() <= 100 && !name.chars().any(char::is_control);
        self.name.as_deref().filter(shown).unwrap_or_default()
    }
}

/// What must be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no token, or its algorithm is none of ours.
    Form,
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    Time,
    Nonce,
    Subject,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "it is no token signed with RS256 or ES256",
            Self::UnknownKey => "the provider publishes no such key",
            Self::Signature => "its signature is wrong",
            Self::Issuer => "its issuer (iss) is not identity.oidc.issuer",
            Self::Audience => "it is for somebody else (aud, azp) than identity.oidc.client_id",
            Self::Time => "it is past its time (exp), or from the future (iat); compare the clocks",
            Self::Nonce => "it belongs to another sign-in (nonce)",
            Self::Subject => "it does not say who somebody is (sub)",
        })
    }
}

impl Expected<'_> {
    /// What a token says, if it is signed by one of the keys and says what it must.
    pub(super) fn read(&self, token: &str, keys: &[Key]) -> Result<Claims, Fault> {
        if token.len() > LONGEST {
            return Err(Fault::Form);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Form)?;
        let (header, body) = signed.split_once('.').ok_or(Fault::Form)?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Form);
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| Fault::Form)?;
        if header.crit.is_some() {
            return Err(Fault::Form);
        }
        let mut meant = keys.iter().filter(|key| key.is_meant(header.kid.as_deref(), header.alg)).peekable();
        if meant.peek().is_none() {
            return Err(Fault::UnknownKey);
        }
        let signature = decoded(signature)?;
        if !meant.any(|key| key.signed(signed.as_bytes(), &signature)) {
            return Err(Fault::Signature);
        }
        let claims: Claims = serde_json::from_slice(&decoded(body)?).map_err(|_| Fault::Form)?;
        self.check(claims)
    }

    fn check(&self, claims: Claims) -> Result<Claims, Fault> {
        let audience = claims.aud.all();
        let for_us = audience.iter().any(|one| one == self.client);
        let by_us = match &claims.azp {
            Some(azp) => azp == self.client,
            None => audience.len() == 1,
        };
        if claims.iss != self.issuer {
            Err(Fault::Issuer)
        } else if !for_us || !by_us {
            Err(Fault::Audience)
        } else if claims.exp <= self.now - SKEW || claims.iat > self.now + SKEW {
            Err(Fault::Time)
        } else if claims.nonce.as_deref() != Some(self.nonce) {
            Err(Fault::Nonce)
        } else if claims.sub.is_empty() || claims.sub.len() > 255 {
            Err(Fault::Subject)
        } else {
            Ok(claims)
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::super::keys;
    use super::*;

    const NOW: i64 = 1_790_000_000;
    const EXPECTED: Expected<'_> = Expected { issuer: "https://id.example", client: "waypost", nonce: "n-1", now: NOW };

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
        }

        fn keys(&self, more: Value) -> Vec<Key> {
            let point = self.0.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
            let mut key = json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            keys::read(json!({ "keys": [{ "kty": "oct", "k": "AA" }, key] }).to_string().as_bytes()).unwrap()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "kid": "k1" })
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example", "sub": "s-1", "aud": "waypost", "exp": NOW + 300, "iat": NOW, "nonce": "n-1",
            "email": "a@example.org", "email_verified": true, "name": "A", "other": { "things": 1 },
        })
    }

    #[test]
    fn a_token_that_says_all_it_must_is_believed() {
        let signer = Signer::new();
        let keys = signer.keys(json!({ "use": "sig", "alg": "ES256" }));
        let read = EXPECTED.read(&signer.sign(&header(), &claims()), &keys).unwrap();
        assert_eq!((read.sub.as_str(), read.verified_email(), read.name()), ("s-1", Some("a@example.org"), "A"));
        assert!(EXPECTED.read(&signer.sign(&json!({ "alg": "ES256" }), &claims()), &keys).is_ok(), "without a kid");
    }

    #[test]
    fn whatever_is_wrong_with_a_claim_is_found() {
        let signer = Signer::new();
        let keys = signer.keys(json!({}));
        for (claim, value, fault) in [
            ("iss", json!("https://id.example/"), Fault::Issuer),
            ("aud", json!("other"), Fault::Audience),
            ("aud", json!(["waypost", "other"]), Fault::Audience),
            ("azp", json!("other"), Fault::Audience),
            ("exp", json!(NOW - 60), Fault::Time),
            ("iat", json!(NOW + 61), Fault::Time),
            ("nonce", json!("n-2"), Fault::Nonce),
            ("nonce", json!(null), Fault::Nonce),
            ("sub", json!(""), Fault::Subject),
            ("exp", json!("9999999999"), Fault::Form),
            ("sub", json!(7), Fault::Form),
        ] {
            let mut claims = claims();
            claims[claim] = value;
            let read = EXPECTED.read(&signer.sign(&header(), &claims), &keys);
            assert_eq!(read.err(), Some(fault), "{claim}");
        }
        let mut both = claims();
        (both["aud"], both["azp"]) = (json!(["other", "waypost"]), json!("waypost"));
        assert!(EXPECTED.read(&signer.sign(&header(), &both), &keys).is_ok());
    }

    #[test]
    fn only_a_key_of_the_provider_signs_and_only_in_the_two_ways() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let keys = signer.keys(json!({}));
        let fault = |token: &str, keys: &[Key]| EXPECTED.read(token, keys).err();
        assert_eq!(fault(&stranger.sign(&header(), &claims()), &keys), Some(Fault::Signature));
        let other = json!({ "alg": "ES256", "kid": "k2" });
        assert_eq!(fault(&signer.sign(&other, &claims()), &keys), Some(Fault::UnknownKey));
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "HS256", "kid": "k1" }),
            json!({ "alg": "es256", "kid": "k1" }),
            json!({ "kid": "k1" }),
            json!({ "alg": "ES256", "kid": "k1", "crit": ["exp"] }),
        ] {
            assert_eq!(fault(&signer.sign(&header, &claims()), &keys), Some(Fault::Form), "{header}");
        }
        // An EC key is none for RS256, whatever the token says.
        let confused = json!({ "alg": "RS256", "kid": "k1" });
        assert_eq!(fault(&signer.sign(&confused, &claims()), &keys), Some(Fault::UnknownKey));
        for more in [json!({ "use": "enc" }), json!({ "alg": "ES512" }), json!({ "crv": "P-384" })] {
            let keys = signer.keys(more);
            assert_eq!(fault(&signer.sign(&header(), &claims()), &keys), Some(Fault::UnknownKey));
        }
        for token in ["", "a", "a.b", "a.b.c", "..."] {
            assert_eq!(fault(token, &keys), Some(Fault::Form), "{token}");
        }
    }

    #[test]
    fn an_address_counts_only_if_the_provider_vouches_for_it() {
        let signer = Signer::new();
        for (verified, counts) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("yes"), false),
            (json!(null), false),
        ] {
            let mut claims = claims();
            claims["email_verified"] = verified.clone();
            let read = EXPECTED.read(&signer.sign(&header(), &claims), &signer.keys(json!({}))).unwrap();
            assert_eq!(read.verified_email().is_some(), counts, "{verified}");
        }
    }

    /// The modulus of a key of 2048 bits that was thrown away, and the signature that it made of [`claims`]' least form.
    const MODULUS: &str = concat!(
        "45yEWGqVGL9lh1zWAscx2XodO5CnOUIS3CIY1B1YBxsEKuwL2yFzAkf7UPjE3FXjmd9QLaqevnAca51rY9shedBpWxH59ORWUiYC",
        "F-sM1RS6gRSusYqPG8Gy628IeLcACtU5lwNx2VPUtvPp25EZBFKLwLK3JV2ljpjrf4CUXlxBPTXHU4VzHxAY9fXv68D74llbMGR6",
        "ygpPN5o2alXbqhvPd8JwiW1tlpEbZN_oKiHeTcQmnul4ZbVfjlRF9wV65tiSTGhMqV-pNXJ9QpyUCa4zUOwj4_Xo_0zJC-iXxvj6",
        "xWFhm13vQzwhMVLvNJ-q3rNuSVzMAt-J_uPHETaG-Q"
    );
    const SIGNATURE: &str = concat!(
        "spTIJTlBAf2UfbJb8dDBb-yTvTG0xD8l7rYdAz-L069qKF3P1I6YVbKcMBLNr5u1FrEEsvnsjmvoyRdHvK1Aqr8a5kQTgXCcfPbX",
        "o9oHcSjUFF5p2w1hW0m-bpTx3mvG3BjLXPCdOXCj3OwHmfAD_PdwBHM32IyFlIjGoM8iL4gTPAPrrt_P8hXgCRSIZWtB3AJ2TxHP",
        "zRMs_EJbxENr3fQfHBX0Dnyqrg4_cxKf9Qhl7-a5Wsg1Y9joAVjUAbPDo0GbOIlSvFJ7NEsAGaQwXPbozv8-rVhMhRRTd2UbWn3m",
        "NCySUCcscz71MBXptnEKjNicWMtd4zvUk1FMQNX3qQ"
    );

    #[test]
    fn a_token_signed_with_rsa_is_believed_too_and_no_other_bytes_with_its_signature() {
        let set =
            json!({ "keys": [{ "kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": MODULUS, "e": "AQAB" }] });
        let keys = keys::read(set.to_string().as_bytes()).unwrap();
        let signed = |header: &str, subject: &str| {
            let claims = format!(
                r#"{{"iss":"https://id.example","sub":"{subject}","aud":"waypost","exp":1790000300,"iat":1790000000,"nonce":"n-1"}}"#
            );
            format!("{}.{}.{SIGNATURE}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
        };
        let fault = |token: &str| EXPECTED.read(token, &keys).err();
        assert_eq!(fault(&signed(r#"{"alg":"RS256","kid":"r1"}"#, "s-1")), None);
        assert_eq!(fault(&signed(r#"{"alg":"RS256","kid":"r1"}"#, "s-2")), Some(Fault::Signature));
        assert_eq!(fault(&signed(r#"{"alg":"RS256"}"#, "s-1")), Some(Fault::Signature));
        assert_eq!(fault(&signed(r#"{"alg":"ES256","kid":"r1"}"#, "s-1")), Some(Fault::UnknownKey));
    }
}
