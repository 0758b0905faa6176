//! What signing in takes, and the lists of the admin API, as whoever waits for an answer of the built gateway sees it, with a
//! hundred thousand keys and ten million calls in its database. `cargo bench -p waypost-gateway --bench routes [-- CALLS [KEYS]]`;
//! makes a SQLite database of about 5 GB in the folder for temporary files, and removes it.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark tells and may stop")]

#[path = "../../store/benches/lists/fill.rs"]
mod fill;

use std::path::{Path, PathBuf};
use std::time::Instant;

use fill::{DAYS, FIRST_DAY, TURNS, fill, measured, run};
use serde_json::{Value, json};
use waypost_store::logbook::DAY_MS;
use waypost_store::{Place, Store};
use waypost_testkit::{Answer, Client, Request, Waypost};

const CALLS: i64 = 10_000_000;
const KEYS: i64 = 100_000;
const TOKEN: &str = "the-admin-token-of-a-benchmark";
const PASSWORD: &str = "correct horse battery";
/// Nobody is who has more keys than this.
const EACH: i64 = 5;

#[tokio::main]
async fn main() {
    let mut told = std::env::args().filter_map(|argument| argument.parse().ok());
    let (calls, keys) = (told.next().unwrap_or(CALLS), told.next().unwrap_or(KEYS));
    let folder = Folder(std::env::temp_dir().join(format!("waypost-bench-routes-{}", std::process::id())));
    let began = Instant::now();
    let store = Store::open(&Place::Sqlite(folder.0.join("app.db")), 0).await.expect("SQLite opens");
    fill(&store, calls).await;
    people(&store, keys).await;
    store.close().await;
    println!("{calls} calls and {keys} keys of {} users, {} s to make them", keys / EACH, began.elapsed().as_secs());

    let config = format!(
        "server: {{port: 0}}\ndatabase: {{path: '{}'}}\nadmin: {{token: {TOKEN}}}\nidentity: {{registration: open}}\n\
         logging: {{database: {{days: 3660}}}}\nchannels: [{{name: sim, provider: simulator}}]\n",
        folder.0.join("app.db").display()
    );
    let began = Instant::now();
    let waypost = Waypost::start(Path::new(env!("CARGO_BIN_EXE_waypost")), &folder.0, &config).await;
    println!("{} ms to start", began.elapsed().as_millis());
    sign_in(&waypost).await;
    lists(&waypost, calls, keys).await;
    waypost.stop();
}

/// Gone when the benchmark ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Users without passwords, with five keys each.
async fn people(store: &Store, keys: i64) {
    let start = FIRST_DAY * DAY_MS;
    let numbers = |count: i64| {
        format!("with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n + 1 < {count})")
    };
    let users = (keys / EACH).max(1);
    run(
        store,
        format!(
            "insert into users (id, created_at, changed_at, version, email, login, name, role, enabled, generation) \
             {} select 'usr_' || printf('%026d', n), {start} + n, {start} + n, 1, 'user' || n || '@example.org', \
             'user' || n || '@example.org', 'user ' || n, 'member', 1, 1 from numbers",
            numbers(users)
        ),
    )
    .await;
    run(
        store,
        format!(
            "insert into keys (id, name, hint, user_id, enabled, origin, created_at, created_by, version) \
             {} select 'key_' || printf('%026d', n), 'application ' || n, printf('%04d', n % 10000), \
             'usr_' || printf('%026d', n / {EACH}), 1, 'api', {start} + n, 'bench', 1 from numbers",
            numbers(keys)
        ),
    )
    .await;
    run(
        store,
        format!(
            "insert into key_secrets (hash, key_id, hint, created_at) {} select cast(printf('%032d', n) as blob), \
             'key_' || printf('%026d', n), printf('%04d', n % 10000), {start} + n from numbers",
            numbers(keys)
        ),
    )
    .await;
}

/// Asks and is answered well.
async fn ask(url: &str, request: Request, status: u16) -> Answer {
    let answer = Client::connect(url).await.send(&request).await;
    assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
    answer
}

/// Finding the user, checking the password with Argon2id, beginning a session and writing it down.
async fn sign_in(waypost: &Waypost) {
    let url = waypost.url.as_str();
    let post = |path: &str, body: Value| Request::post(path, body.to_string());
    let login = |email: &str| json!({ "email": email, "password": PASSWORD });
    ask(url, post("/auth/register", login("bench@example.org")), 201).await;
    measured("POST /auth/login", |_| ask(url, post("/auth/login", login("bench@example.org")), 200)).await;
    let session = ask(url, post("/auth/login", login("bench@example.org")), 200).await.json();
    let token = session["token"].as_str().expect("there is a session").to_owned();
    measured("GET /auth/profile", |_| ask(url, Request::get("/auth/profile").bearer(&token), 200)).await;
    let made = |turn: i64| post("/auth/api-keys", json!({ "name": format!("app {turn}") })).bearer(&token);
    measured("POST /auth/api-keys", |turn| ask(url, made(turn), 201)).await;
    measured("GET /auth/api-keys", |_| ask(url, Request::get("/auth/api-keys").bearer(&token), 200)).await;
}

/// Each list from its beginning, and from anywhere.
async fn lists(waypost: &Waypost, calls: i64, keys: i64) {
    let url = waypost.url.as_str();
    let get = async |name: &str, path: &dyn Fn(i64) -> String| {
        measured(name, |turn| ask(url, Request::get(&path(turn)).bearer(TOKEN), 200)).await;
    };
    let start = FIRST_DAY * DAY_MS;
    let (key_at, user_at) = (|turn: i64| keys * turn / TURNS, |turn: i64| keys / EACH * turn / TURNS);
    get("GET /admin/keys", &|_| "/admin/keys?limit=100".to_owned()).await;
    get("GET /admin/keys, any page", &|turn| {
        format!("/admin/keys?limit=100&after={}_key_{:026}", start + key_at(turn), key_at(turn))
    })
    .await;
    get("GET /admin/keys/{id}", &|turn| format!("/admin/keys/key_{:026}", key_at(turn))).await;
    get("GET /admin/users", &|_| "/admin/users?limit=100".to_owned()).await;
    get("GET /admin/users, any page", &|turn| {
        format!("/admin/users?limit=100&after={}_usr_{:026}", start + user_at(turn), user_at(turn))
    })
    .await;
    get("GET /admin/audit", &|_| "/admin/audit?limit=100".to_owned()).await;
    get("GET /admin/logs", &|_| "/admin/logs?limit=100".to_owned()).await;
    let step = DAYS * DAY_MS / calls.max(1);
    get("GET /admin/logs, any page", &|turn| {
        let number = calls * (TURNS - turn) / TURNS;
        format!("/admin/logs?limit=100&after={}.{number}", start + number * step)
    })
    .await;
    get("GET /admin/logs of a key", &|turn| format!("/admin/logs?limit=100&key=key_{:026}", turn * 97)).await;
    let days = "from=2026-09-04&to=2026-10-03";
    get("GET /admin/usage by key and model, 30 days", &|_| format!("/admin/usage?group_by=key,model&limit=100&{days}"))
        .await;
    get("GET /admin/usage by day, 30 days", &|_| format!("/admin/usage?group_by=day&{days}")).await;
}
