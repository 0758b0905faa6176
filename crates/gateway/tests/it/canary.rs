//! Secrets stay where they were put: a unique one goes into everything that takes one, a gateway is put through its paces, and then
//! everything that it gave out or left on a disk is searched for them.
//!
//! Whoever adds something that takes a secret adds a line to [`SECRETS`] and says in [`gateway`] how it gets in; whoever adds an output
//! adds it to [`Outputs`].

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use waypost_testkit::{Request, Script, Upstream};

use crate::manage::text;
use crate::start::{Running, Waypost};
use crate::transfer::Folder;

/// What takes a secret, and the one that it gets: nothing else holds these words.
const SECRETS: [(&str, &str); 16] = [
    ("a provider's key in the file", "sk-canary-of-the-file-5f1c0a"),
    ("a provider's key in a variable", "sk-canary-of-the-variable-77b2"),
    ("a provider's key in the database", "sk-canary-of-the-database-91e4"),
    ("a header of a channel in the file", "canary-header-of-the-file-c0ffee"),
    ("a header of a channel in the database", "canary-header-of-the-database-dad"),
    ("a caller's key", "wp-canary-of-the-caller-03d9f2"),
    ("a caller's key that is refused", "wp-canary-of-a-stranger-8aa1"),
    ("the administrator's token", "canary-administrator-token-44c1e7"),
    ("a wrong administrator's token", "canary-wrong-administrator-2bd6"),
    ("the master key", "00c4a4a27000c4a4a27000c4a4a27000c4a4a27000c4a4a27000c4a4a27000ab"),
    ("what sessions are signed with", "canary-jwt-secret-0123456789-abcdefgh"),
    ("the secret at a provider of identities", "canary-oidc-client-secret-6c31"),
    ("a password", "canary-password-of-ann-e7d0"),
    ("the password after it", "canary-second-password-19ce"),
    ("a wrong password", "canary-wrong-password-a5b3"),
    ("a voucher's code that is none", "CA4A47C0-DE00CA4A-47C0DE00-CA4A47C0"),
];

/// The words of a secret.
fn secret(what: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| *name == what).expect("it is in the table").1
}

/// Everything that came out, by where; and the secrets that were made on the way, which were shown once and are not in it.
#[derive(Default)]
struct Outputs(Vec<(String, Vec<u8>)>, Vec<(&'static str, String)>);

impl Outputs {
    fn add(&mut self, place: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.0.push((place.into(), bytes.as_ref().to_vec()));
    }

    /// Every file of a folder, but those that somebody wrote secrets into by hand.
    fn add_folder(&mut self, folder: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                self.add_folder(&path, but);
            } else if !but.iter().any(|known| name == *known) {
                self.add(path.display().to_string(), std::fs::read(&path).unwrap_or_default());
            }
        }
    }

    /// Fails if a secret is anywhere, as it is or in base64.
    fn assert_clean(&self) {
        let given = SECRETS.iter().map(|(what, words)| (*what, *words));
        let secrets: Vec<_> = given.chain(self.1.iter().map(|(what, words)| (*what, words.as_str()))).collect();
        for (place, bytes) in &self.0 {
            for &(what, words) in &secrets {
                let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(words);
                // Where the letters around it are not known, the first and the last of base64 are not either.
                for form in [words, &encoded[4..encoded.len() - 4]] {
                    let at = bytes.windows(form.len()).position(|window| window == form.as_bytes());
                    assert!(at.is_none(), "{what} is in {place}: {:?}", around(bytes, at.unwrap_or_default()));
                }
            }
        }
    }
}

fn around(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(80), (at + 80).min(bytes.len()));
    String::from_utf8_lossy(&bytes[from..to]).into_owned()
}

/// A provider that says back whatever it was sent, in errors of several kinds.
async fn echo() -> Upstream {
    Upstream::by(|request| {
        let sent: Vec<String> = ["authorization", "x-api-key", "x-canary"]
            .iter()
            .filter_map(|name| request.header(name).map(str::to_owned))
            .collect();
        let sent = sent.join(" ");
        let words = format!(r#"{{"error": {{"message": "you sent {sent}", "type": "{sent}", "code": "{sent}"}}}}"#);
        let way =
            request.text().split_once("way-").map(|(_, way)| way.chars().take_while(|letter| *letter != '"').collect());
        match way.unwrap_or_else(String::new).as_str() {
            "stream" => Script::stream([format!("data: {words}\n\n")]),
            "cut" => Script::stream([words]).cut_after(1),
            status => Script::reply(status.parse().unwrap_or(500), words).header("x-echo", &sent),
        }
    })
    .await
}

fn file(upstream: &Upstream) -> String {
    format!(
        "channels:\n- {{name: filed, provider: openai, dialects: [openai_chat], base_url: '{url}/v1', api_key: {key}, models: [m], \
         headers: {{x-canary: {header}}}}}\n- {{name: named, provider: openai, dialects: [openai_chat], base_url: '{url}/v1', \
         api_key: '${{CANARY_KEY}}', models: [n]}}\nretry: {{backoff: {{base: 1ms}}}}\nkeys: [{{name: caller, key: {caller}}}]\n\
         identity:\n  jwt_secret: {jwt}\n  oidc: {{issuer: 'https://id.example', client_id: waypost, client_secret: {oidc}, \
         redirect_uri: 'https://waypost.example/auth/oidc/callback'}}\n",
        url = upstream.url(),
        key = secret("a provider's key in the file"),
        header = secret("a header of a channel in the file"),
        caller = secret("a caller's key"),
        jwt = secret("what sessions are signed with"),
        oidc = secret("the secret at a provider of identities"),
    )
}

fn kept(upstream: &Upstream) -> String {
    format!(
        "channels:\n- {{name: kept, provider: openai, dialects: [openai_chat], base_url: '{}/v1', api_key: {}, models: [k], \
         headers: {{x-canary: {}}}}}\n",
        upstream.url(),
        secret("a provider's key in the database"),
        secret("a header of a channel in the database"),
    )
}

async fn gateway(folder: &Folder, upstream: &Upstream) -> Running {
    Waypost::new()
        .file("waypost.yaml", &file(upstream))
        .env("CANARY_KEY", secret("a provider's key in a variable"))
        .env("WAYPOST_MASTER_KEY", secret("the master key"))
        .env("WAYPOST_ADMIN_TOKEN", secret("the administrator's token"))
        .env("DB_PATH", &folder.database())
        .arguments(&["--port", "0", "--log-level", "trace"])
        .start()
        .await
}

/// Asks for everything, in every way that fails.
async fn pace(gateway: &Running, outputs: &mut Outputs) {
    let ways = ["stream", "400", "500", "cut", "503", "404", "429", "401", "403"];
    for (model, way) in ["m", "n", "k", "unknown"].iter().flat_map(|model| ways.iter().map(move |way| (model, way))) {
        for (path, body) in [
            (
                "/v1/chat/completions",
                format!(
                    r#"{{"model":"{model}","stream":{},"messages":[{{"role":"user","content":"way-{way}"}}]}}"#,
                    *way == "stream"
                ),
            ),
            (
                "/v1/messages",
                format!(r#"{{"model":"{model}","max_tokens":9,"messages":[{{"role":"user","content":"way-{way}"}}]}}"#),
            ),
        ] {
            let ask = Request::post(path, body).bearer(secret("a caller's key"));
            let answer = ask.header("x-waypost-debug", "true").send(gateway.url()).await;
            outputs.add(format!("{path} {model} {way}"), format!("{:?}\n{}", answer.headers, answer.text()));
        }
    }
    for stranger in [secret("a caller's key that is refused"), secret("a wrong administrator's token")] {
        for path in ["/v1/models", "/admin/channels", "/metrics", "/admin/keys"] {
            let answer = Request::get(path).bearer(stranger).send(gateway.url()).await;
            outputs.add(format!("{path} for a stranger"), answer.text());
        }
        let asked = Request::post("/v1/chat/completions", r#"{"model":"m","messages":[]}"#).bearer(stranger);
        outputs.add("a stranger's request", asked.send(gateway.url()).await.text());
    }
    let paths = [
        "/admin",
        "/admin/deployments",
        "/admin/channels",
        "/admin/credentials",
        "/admin/explain?model=m",
        "/admin/config",
        "/admin/security",
        "/admin/provider-kinds",
        "/metrics",
        "/health/detailed",
        "/openapi.json",
        "/admin/keys",
    ];
    for path in paths {
        let answer = Request::get(path).bearer(secret("the administrator's token")).send(gateway.url()).await;
        outputs.add(path, format!("{:?}\n{}", answer.headers, answer.text()));
    }
    let reload = Request::post("/admin/reload", "").bearer(secret("the administrator's token"));
    outputs.add("/admin/reload", reload.send(gateway.url()).await.text());
    // A configuration that is wrong where the secrets stand.
    gateway.write(
        "waypost.yaml",
        &format!("channels: [{{name: x, api_key: [{}]}}]\n", secret("a provider's key in the file")),
    );
    let reload = Request::post("/admin/reload", "").bearer(secret("the administrator's token"));
    outputs.add("/admin/reload of a broken file", reload.send(gateway.url()).await.text());
}

/// Somebody comes by invite, forgets their password, changes it and redeems a voucher; everything that can be wrong is wrong once.
async fn people(gateway: &Running, outputs: &mut Outputs) {
    let ask = async |method: &str, path: &str, token: &str, body: Value| {
        let request = Request::new(method, path).header("content-type", "application/json").body(body.to_string());
        let request = if token.is_empty() { request } else { request.bearer(token) };
        request.send(gateway.url()).await
    };
    let admin = secret("the administrator's token");
    let made = async |path: &str, body: Value, field: &str| {
        let answer = ask("POST", path, admin, body).await;
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        answer.json().pointer(field).and_then(Value::as_str).expect("a secret").to_owned()
    };
    let invite = made("/admin/invites", json!({}), "/secret").await;
    let key = made("/admin/keys", json!({ "name": "canary" }), "/key").await;
    let code = made("/admin/vouchers", json!({ "label": "canary", "amount": "1" }), "/data/0/code").await;
    let unused = made("/admin/vouchers", json!({ "label": "canary", "amount": "1" }), "/data/0/code").await;

    let (email, first, second) = ("ann@example.org", secret("a password"), secret("the password after it"));
    let wrong = secret("a wrong password");
    let mut answers = Vec::new();
    let body = json!({ "email": email, "password": first, "invite": invite });
    answers.push(ask("POST", "/auth/register", "", body.clone()).await);
    assert_eq!(answers[0].status, 201, "{}", answers[0].text());
    answers.push(ask("POST", "/auth/register", "", body).await);
    for odd in [json!([wrong]), json!({ "is": wrong })] {
        answers.push(ask("POST", "/auth/login", "", json!({ "email": email, "password": odd })).await);
    }
    answers.push(ask("POST", "/auth/login", "", json!({ "email": wrong, "password": wrong, "pasword": wrong })).await);
    answers.push(ask("POST", "/auth/login", "", json!({ "email": email, "password": wrong })).await);
    let session = ask("POST", "/auth/login", "", json!({ "email": email, "password": first })).await;
    assert_eq!(session.status, 200, "{}", session.text());
    let token = text(&session.json(), "token").to_owned();
    let change = json!({ "current_password": wrong, "new_password": second });
    answers.push(ask("POST", "/auth/change-password", &token, change).await);

    for body in
        [json!({ "code": secret("a voucher's code that is none") }), json!({ "code": [code] }), json!({ "cod": code })]
    {
        answers.push(ask("POST", "/auth/vouchers/redeem", &token, body).await);
    }
    let redeemed = ask("POST", "/auth/vouchers/redeem", &token, json!({ "code": code })).await;
    assert_eq!(redeemed.status, 200, "{}", redeemed.text());
    answers.extend([redeemed, ask("POST", "/auth/vouchers/redeem", &token, json!({ "code": code })).await]);
    let change = json!({ "current_password": first, "new_password": second });
    let changed = ask("POST", "/auth/change-password", &token, change).await;
    assert!(changed.status < 300, "{}", changed.text());
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "way-400" }] });
    answers.push(ask("POST", "/v1/chat/completions", &key, chat).await);

    for path in [
        "/admin/users",
        "/admin/invites",
        "/admin/sessions",
        "/admin/vouchers",
        "/admin/credits/user:none",
        "/admin/keys",
        "/admin/audit",
        "/admin/logs",
        "/admin/usage?group_by=key,user",
        "/admin/catalog",
        "/admin/security",
        "/admin/security/events",
        "/metrics",
    ] {
        answers.push(ask("GET", path, admin, Value::Null).await);
    }
    for (number, answer) in answers.iter().enumerate() {
        outputs.add(format!("answer {number} to people"), format!("{:?}\n{}", answer.headers, answer.text()));
    }
    outputs.1.extend([
        ("an invite's secret", invite),
        ("a key that was made", key),
        ("a voucher's code", code),
        ("an unused voucher's code", unused),
        ("an access token", token),
    ]);
}

#[tokio::test]
async fn no_secret_is_in_any_output_or_on_the_disk_001_54() {
    let (folder, upstream) = (Folder::new(), echo().await);
    let mut outputs = Outputs::default();
    let import = folder.write("import.yaml", &kept(&upstream));
    let with_key =
        || Waypost::new().env("WAYPOST_MASTER_KEY", secret("the master key")).env("DB_PATH", &folder.database());
    let (code, out, err) = with_key().arguments(&["import", &import]).run().await;
    assert_eq!(code, Some(0), "{err}");
    outputs.add("waypost import", out + &err);
    let (_, out, err) = with_key().arguments(&["export"]).run().await;
    outputs.add("waypost export", out + &err);

    let mut gateway = gateway(&folder, &upstream).await;
    people(&gateway, &mut outputs).await;
    pace(&gateway, &mut outputs).await;
    // The logbook is written in batches; what it left is searched with everything else.
    tokio::time::sleep(Duration::from_millis(300)).await;
    outputs.add_folder(&folder.0, &["import.yaml"]);
    gateway.terminate();
    while let Some(line) = gateway.said_to_the_end().await {
        outputs.add("standard error", line);
    }
    while let Some(line) = gateway.logged_to_the_end().await {
        outputs.add("standard output", line);
    }
    outputs.add("standard error, before", gateway.heard());
    outputs.add_folder(&folder.0, &["import.yaml"]);
    for arguments in [
        &["export"][..],
        &["audit", "export"],
        &["ledger", "export"],
        &["ledger", "export", "--format", "json"],
        &["ledger", "verify"],
        &["config", "check"],
        &["config", "explain"],
    ] {
        let (code, out, err) = with_key().arguments(arguments).run().await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        outputs.add(format!("waypost {arguments:?}"), out + &err);
    }

    // Each secret that goes to a provider did go there, or the test proves nothing.
    let sent: Vec<String> = upstream.requests().iter().map(|request| format!("{:?}", request.headers)).collect();
    for (what, words) in SECRETS.iter().take(5) {
        assert!(sent.iter().any(|headers| headers.contains(words)), "{what} was not used");
    }
    let searched = |name: &str| outputs.0.iter().any(|(place, _)| place.contains(name));
    assert!(outputs.0.len() > 100 && searched("app.db") && searched("journal"), "too little was searched");
    outputs.assert_clean();
}
