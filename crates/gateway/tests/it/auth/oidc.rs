//! Signing in at a provider of identities: a scripted one on loopback, as strict as a real one, and a browser that keeps cookies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use waypost_core::role::Role;
use waypost_testkit::{Answer, Request};

use super::{House, text};

/// What the provider does, and what it has seen.
struct Said {
    issuer: String,
    key: EcdsaKeyPair,
    /// What its tokens say beyond what they must.
    claims: Value,
    /// Of the flow under way, from the way there.
    asked: HashMap<String, String>,
    tokens: usize,
}

#[derive(Clone)]
struct Provider(Arc<Mutex<Said>>);

impl Provider {
    async fn start(claims: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self(Arc::new(Mutex::new(Said { issuer, key, claims, asked: HashMap::new(), tokens: 0 })));
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        provider
    }

    fn issuer(&self) -> String {
        self.0.lock().unwrap().issuer.clone()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.unwrap_or(0);
            bytes.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            }
            if read == 0 {
                return;
            }
        };
        let (status, answer) = self.answer(&head, &body);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let _ = stream.write_all((head + &answer).as_bytes()).await;
    }

    fn answer(&self, head: &str, body: &str) -> (u16, Value) {
        let mut said = self.0.lock().unwrap();
        let issuer = said.issuer.clone();
        match head.split(' ').nth(1).unwrap() {
            "/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                }),
            ),
            "/keys" => {
                let point = said.key.public_key().as_ref();
                let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
                (200, json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k1", "x": x, "y": y }] }))
            }
            "/token" => said.token(head, body),
            _ => (404, json!({})),
        }
    }

    /// What the provider makes of the address that the browser was sent to.
    fn visit(&self, location: &str) -> HashMap<String, String> {
        let (page, query) = location.split_once('?').unwrap();
        assert_eq!(page, format!("{}/authorize", self.issuer()));
        let asked = pairs(query);
        self.0.lock().unwrap().asked = asked.clone();
        asked
    }
}

impl Said {
    fn token(&mut self, head: &str, body: &str) -> (u16, Value) {
        let form = pairs(body);
        let basic = STANDARD.encode("waypost:the-client-secret");
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
        let good = head.contains(&format!("Basic {basic}"))
            && form["grant_type"] == "authorization_code"
            && form["code"] == "the-code"
            && Some(&form["redirect_uri"]) == self.asked.get("redirect_uri")
            && Some(&challenge) == self.asked.get("code_challenge");
        if !good {
            return (400, json!({ "error": "invalid_grant" }));
        }
        self.tokens += 1;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "sub": "subject-1", "aud": "waypost", "iat": now, "exp": now + 300, "nonce": self.asked["nonce"],
        });
        claims.as_object_mut().unwrap().extend(self.claims.as_object().unwrap().clone());
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": "k1" })), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        (200, json!({ "access_token": "x", "token_type": "Bearer", "id_token": token }))
    }
}

fn pairs(text: &str) -> HashMap<String, String> {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(if byte == b'+' { b' ' } else { byte });
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

fn verified(email: &str) -> Value {
    json!({ "email": email, "email_verified": true, "name": "A. Person" })
}

async fn house(provider: &Provider, more: &str) -> House {
    house_where("open", provider, more).await
}

/// With this registration.
async fn house_where(registration: &str, provider: &Provider, more: &str) -> House {
    let issuer = provider.issuer();
    let oidc = format!(
        "{{issuer: '{issuer}', client_id: waypost, client_secret: the-client-secret, redirect_uri: 'http://localhost:3000/auth/oidc/callback', return_to: /console{more}}}"
    );
    House::new(&format!("{{registration: {registration}, oidc: {oidc}}}")).await
}

/// The cookie of a name, as a browser would send it back.
fn cookie(answer: &Answer, name: &str) -> String {
    let set = answer.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
    let of_name =
        set.filter_map(|(_, value)| value.split(';').next()).find(|pair| pair.starts_with(&format!("{name}=")));
    of_name.expect("the cookie is set").to_owned()
}

/// Goes there and comes back: what the gateway says in the end.
async fn walk(house: &House, provider: &Provider) -> Answer {
    let began = Request::get("/auth/oidc/start").send(house.gateway.url()).await;
    assert_eq!(began.status, 303, "{}", began.text());
    let asked = provider.visit(began.header("location").unwrap());
    let back = format!("/auth/oidc/callback?code=the-code&state={}", asked["state"]);
    Request::get(&back).header("cookie", &cookie(&began, "__Host-waypost-oidc")).send(house.gateway.url()).await
}

async fn profile(house: &House, came: &Answer) -> Value {
    let access = cookie(came, "__Host-waypost");
    Request::get("/auth/profile").header("cookie", &access).send(house.gateway.url()).await.json()
}

#[tokio::test]
async fn whoever_the_provider_vouches_for_becomes_a_user_and_is_the_same_one_next_time() {
    let provider = Provider::start(verified("A@example.org")).await;
    let house = house(&provider, ", role: auditor").await;
    let came = walk(&house, &provider).await;
    assert_eq!((came.status, came.header("location")), (303, Some("/console")), "{}", came.text());
    let me = profile(&house, &came).await;
    assert_eq!((text(&me, "email"), text(&me, "role"), text(&me, "name")), ("A@example.org", "auditor", "A. Person"));
    // The provider's word for somebody counts, not their address.
    provider.0.lock().unwrap().claims = verified("renamed@example.org");
    let again = walk(&house, &provider).await;
    assert_eq!(profile(&house, &again).await["id"], me["id"]);
    let actions: Vec<_> = house.audit().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.register", "session.begin", "session.begin"]);
    // Without a password there is none to guess.
    let login = json!({ "email": "a@example.org", "password": "" });
    assert_eq!(house.post("/auth/login", &login).await.status, 401);
}

#[tokio::test]
async fn a_user_who_is_here_already_is_found_by_a_verified_address_only() {
    let provider = Provider::start(json!({ "email": "a@example.org", "email_verified": false })).await;
    let house = house(&provider, "").await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let stranger = walk(&house, &provider).await;
    assert_eq!((stranger.status, stranger.header("set-cookie")), (403, None), "{}", stranger.text());
    provider.0.lock().unwrap().claims = verified("a@EXAMPLE.org");
    let came = walk(&house, &provider).await;
    assert_eq!(profile(&house, &came).await["id"].as_str(), Some(house.user("a@example.org").await.id.as_str()));
    assert_eq!(house.user("a@example.org").await.role, Role::Member);
}

#[tokio::test]
async fn whoever_registered_an_address_before_its_owner_came_is_out_with_it() {
    let provider = Provider::start(verified("ceo@example.org")).await;
    let house = house(&provider, "").await;
    let squatter = house.somebody("ceo@example.org").await;
    let came = walk(&house, &provider).await;
    assert_eq!(came.status, 303, "{}", came.text());
    assert_eq!(profile(&house, &came).await["id"], squatter["user"]["id"]);
    assert_eq!(house.profile_status(text(&squatter, "token")).await, 401);
    let refresh = json!({ "refresh_token": squatter["refresh_token"] });
    assert_eq!(house.post("/auth/refresh", &refresh).await.status, 401);
    let login = json!({ "email": "ceo@example.org", "password": super::PASSWORD });
    assert_eq!(house.post("/auth/login", &login).await.status, 401);
    // The next time nothing ends.
    let again = walk(&house, &provider).await;
    assert_eq!(profile(&house, &again).await["id"], profile(&house, &came).await["id"]);
    let actions: Vec<_> = house.audit().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.register", "session.begin", "user.link", "session.begin", "session.begin"]);
}

#[tokio::test]
async fn an_address_that_went_to_another_account_of_the_provider_opens_nothing() {
    let provider = Provider::start(verified("bob@example.org")).await;
    let house = house(&provider, "").await;
    let bob = walk(&house, &provider).await;
    assert_eq!(bob.status, 303);
    let mut another = verified("bob@example.org");
    another["sub"] = "subject-2".into();
    provider.0.lock().unwrap().claims = another;
    let came = walk(&house, &provider).await;
    assert_eq!((came.status, came.header("set-cookie")), (403, None), "{}", came.text());
    assert!(came.text().contains("another account"), "{}", came.text());
    assert_eq!(text(&profile(&house, &bob).await, "email"), "bob@example.org", "nothing ended for the first");
}

#[tokio::test]
async fn a_team_does_not_come_by_somebody_of_another_by_registering_their_address() {
    let provider = Provider::start(verified("ceo@example.org")).await;
    let house = house(&provider, "").await;
    let admin = house.somebody_who_is("admin@example.org", Role::Admin).await;
    let squatter = house.somebody_of("ceo@example.org", "team_m").await;
    let refused = walk(&house, &provider).await;
    assert_eq!((refused.status, refused.header("set-cookie")), (403, None), "{}", refused.text());
    assert_eq!(house.profile_status(&squatter).await, 200, "whose it is, nobody has said yet");
    // An administrator of the instance has looked.
    let id = house.user("ceo@example.org").await.id;
    let unlink = Request::new("DELETE", &format!("/admin/users/{id}/identities")).bearer(&admin);
    assert_eq!(unlink.send(house.gateway.url()).await.status, 204);
    assert_eq!(house.profile_status(&squatter).await, 401);
    let login = json!({ "email": "ceo@example.org", "password": super::PASSWORD });
    assert_eq!(house.post("/auth/login", &login).await.status, 401);
    let came = walk(&house, &provider).await;
    assert_eq!(profile(&house, &came).await["id"], id.as_str());
}

#[tokio::test]
async fn somebody_whom_the_provider_numbers_anew_comes_in_again_once_they_are_unlinked() {
    let provider = Provider::start(verified("bob@example.org")).await;
    let house = house(&provider, "").await;
    let admin = house.somebody_who_is("admin@example.org", Role::Admin).await;
    let bob = walk(&house, &provider).await;
    let id = text(&profile(&house, &bob).await, "id").to_owned();
    let mut anew = verified("bob@example.org");
    anew["sub"] = "subject-2".into();
    provider.0.lock().unwrap().claims = anew;
    assert_eq!(walk(&house, &provider).await.status, 403);
    let unlink = Request::new("DELETE", &format!("/admin/users/{id}/identities")).bearer(&admin);
    assert_eq!(unlink.send(house.gateway.url()).await.status, 204);
    let ended = Request::get("/auth/profile").header("cookie", &cookie(&bob, "__Host-waypost"));
    assert_eq!(ended.send(house.gateway.url()).await.status, 401, "what the old number began has ended");
    let again = walk(&house, &provider).await;
    assert_eq!(text(&profile(&house, &again).await, "id"), id);
    // Now the old number is somebody else.
    provider.0.lock().unwrap().claims = verified("bob@example.org");
    assert_eq!(walk(&house, &provider).await.status, 403);
    let detail = house.detail_of("user.unlink").await;
    assert_eq!(detail["identities"], json!([{ "issuer": provider.issuer(), "subject": "subject-1" }]));
}

#[tokio::test]
async fn a_provider_alone_makes_nobody_a_user_where_registration_is_not_open() {
    let provider = Provider::start(verified("new@example.org")).await;
    for registration in ["invite", "closed"] {
        let house = house_where(registration, &provider, "").await;
        assert_eq!(walk(&house, &provider).await.status, 403, "{registration}");
        assert!(waypost_store::users::is_empty(&house.database.store).await.unwrap());
        let bounded = house_where(registration, &provider, ", domains: [example.org]").await;
        assert_eq!(walk(&bounded, &provider).await.status, 303, "{registration}");
    }
}

#[tokio::test]
async fn only_known_people_and_allowed_domains_come_in_where_that_is_said() {
    let provider = Provider::start(verified("new@example.org")).await;
    let closed = house(&provider, ", create_users: false").await;
    assert_eq!(walk(&closed, &provider).await.status, 403);
    let domain = house(&provider, ", domains: [example.com]").await;
    assert_eq!(walk(&domain, &provider).await.status, 403);
    provider.0.lock().unwrap().claims = verified("new@EXAMPLE.com");
    assert_eq!(walk(&domain, &provider).await.status, 303);
}

#[tokio::test]
async fn a_flow_counts_once_for_the_browser_that_began_it() {
    let provider = Provider::start(verified("a@example.org")).await;
    let house = house(&provider, "").await;
    let url = house.gateway.url();
    let began = Request::get("/auth/oidc/start").send(url).await;
    let asked = provider.visit(began.header("location").unwrap());
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    assert_eq!(asked["scope"], "openid email profile");
    let flow = cookie(&began, "__Host-waypost-oidc");
    let set = began.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly; SameSite=Lax") && set.contains("Secure"), "{set}");
    let back = |query: &str| Request::get(&format!("/auth/oidc/callback?{query}"));
    let good = format!("code=the-code&state={}", asked["state"]);
    let other = Request::get("/auth/oidc/start").send(url).await;
    for (request, why) in [
        (back(&good), "no cookie"),
        (back(&good).header("cookie", &cookie(&other, "__Host-waypost-oidc")), "the cookie of another flow"),
        (back(&good).header("cookie", &flow.replace('.', "x.")), "a changed cookie"),
        (back("code=the-code&state=other").header("cookie", &flow), "another state"),
        (back("code=the-code").header("cookie", &flow), "no state"),
        (back(&format!("error=access_denied&state={}", asked["state"])).header("cookie", &flow), "a refusal"),
    ] {
        let answer = request.send(url).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{why}");
    }
    assert_eq!(provider.0.lock().unwrap().tokens, 0);
    let wrong = back(&format!("code=other&state={}", asked["state"])).header("cookie", &flow).send(url).await;
    assert_eq!(wrong.status, 502, "{}", wrong.text());
    assert_eq!(back(&good).header("cookie", &flow).send(url).await.status, 303);
}

#[tokio::test]
async fn a_token_that_says_something_else_lets_nobody_in() {
    let provider = Provider::start(json!({})).await;
    let house = house(&provider, "").await;
    for claims in [
        json!({ "nonce": "another" }),
        json!({ "aud": "another" }),
        json!({ "iss": "https://another.example" }),
        json!({ "exp": 1 }),
        json!({ "sub": "" }),
    ] {
        let mut said = verified("a@example.org");
        said.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        provider.0.lock().unwrap().claims = said;
        let answer = walk(&house, &provider).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (502, None), "{claims}: {}", answer.text());
    }
    // Nobody was made of it.
    assert!(waypost_store::users::is_empty(&house.database.store).await.unwrap());
}

#[tokio::test]
async fn where_no_provider_is_named_there_is_no_way_to_one() {
    let house = House::open().await;
    for path in ["/auth/oidc/start", "/auth/oidc/callback?code=a&state=b"] {
        assert_eq!(Request::get(path).send(house.gateway.url()).await.status, 404);
    }
}
