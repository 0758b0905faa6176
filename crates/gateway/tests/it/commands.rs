//! The commands of every noun, by the built binary against the built binary: what people are shown, what machines are, what is
//! refused and how it is said.

use serde_json::Value;
use waypost_testkit::Request;

use crate::auth::PASSWORD;
use crate::start::{Running, Waypost};
use crate::transfer::Folder;

const TOKEN: &str = "an-admin-token-0123456789";
const KEY: &str = "wp-a-key-of-the-file-0123456789";
const FILE: &str =
    "channels: [{name: sim, provider: simulator}]\nkeys: [{name: filed, key: wp-a-key-of-the-file-0123456789}]\n";

/// A gateway with its own database, and commands that ask it.
struct House {
    gateway: Running,
    _folder: Folder,
}

impl House {
    async fn open() -> Self {
        let folder = Folder::new();
        let gateway = Waypost::new().file("waypost.yaml", FILE).arguments(&["--port", "0"]);
        let gateway = gateway.env("DB_PATH", &folder.database()).env("WAYPOST_ADMIN_TOKEN", TOKEN).start().await;
        Self { gateway, _folder: folder }
    }

    /// Runs a command as somebody: exit code, what it said, what it complained of.
    async fn ran_as(&self, token: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let waypost = Waypost::new().env("WAYPOST_URL", self.gateway.url()).env("WAYPOST_ADMIN_TOKEN", token);
        waypost.arguments(arguments).run().await
    }

    /// What a command said that must work.
    async fn run(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.ran_as(TOKEN, arguments).await;
        assert_eq!((code, &*err), (Some(0), ""), "{arguments:?}");
        out
    }

    /// The same as JSON.
    async fn json(&self, arguments: &[&str]) -> Value {
        let out = self.run(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&out).unwrap()
    }

    /// What a command complained of that must fail.
    async fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let (ended, out, err) = self.ran_as(TOKEN, arguments).await;
        assert_eq!((ended, &*out), (Some(code), ""), "{arguments:?}: {err}");
        err
    }

    /// One call to the simulator.
    async fn call(&self) {
        let body = r#"{"model":"sim/chat","messages":[{"role":"user","content":"Hello!"}]}"#;
        let answer = Request::post("/v1/chat/completions", body).bearer(KEY).send(self.gateway.url()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Waits until the log has so many calls: it is written in batches.
    async fn logged(&self, calls: usize) {
        let mut tries = 0;
        while self.json(&["logs", "list"]).await["data"].as_array().unwrap().len() != calls {
            tries += 1;
            assert!(tries < 200, "the calls are not in the log");
        }
    }
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

#[tokio::test]
async fn users_are_made_listed_changed_disabled_and_reset_by_command() {
    let house = House::open().await;
    let plan = house.json(&["plans", "create", "small", "--rpm", "5", "--model", "a*", "--price-factor", "0.8"]).await;
    let team = house.json(&["teams", "create", "Blue", "--plan", id(&plan)]).await;
    let made = house
        .json(&["users", "create", "ann@example.org", "--role", "auditor", "--team", id(&team), "--plan", id(&plan)])
        .await;
    assert_eq!((&made["team"], &made["role"], &made["plan"]), (&team["id"], &"auditor".into(), &plan["id"]));
    let secret = made["reset"]["secret"].as_str().unwrap();
    let table = house.run(&["users", "list", "--team", id(&team), "--enabled", "true"]).await;
    let row = table.lines().nth(1).unwrap();
    assert!(table.starts_with("ID ") && row.contains("ann@example.org") && row.contains("auditor"), "{table}");
    assert!(row.ends_with("yes") && !table.contains(secret), "{table}");
    let user = id(&made);
    let change = ["users", "change", user, "--role", "member", "--name", "none", "--team", "none", "--plan", "none"];
    let changed = house.json(&change).await;
    assert_eq!((changed["role"].as_str(), changed["name"].as_str()), (Some("member"), Some("none")));
    assert!(changed["team"].is_null() && changed["plan"].is_null(), "{changed}");
    assert_eq!(house.run(&["users", "disable", user]).await, format!("{user} is disabled\n"));
    assert_eq!(house.json(&["users", "list", "--enabled", "false"]).await["data"][0]["id"], *user);
    house.run(&["users", "enable", user]).await;
    let shown = house.run(&["users", "show", user]).await;
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["enabled", "yes"])), "{shown}");
    let reset = house.run(&["users", "reset", user]).await;
    assert!(reset.contains("wpi_"), "{reset}");
    let err = house.fail(1, &["users", "show", "usr_0"]).await;
    assert!(err.contains("404 /admin/users/usr_0: There is no `usr_0` here."), "{err}");
}

#[tokio::test]
async fn invites_let_somebody_register_and_can_be_withdrawn_by_command() {
    let house = House::open().await;
    let secret = house.run(&["invites", "create", "--email", "bob@example.org", "--days", "2"]).await;
    let body = serde_json::json!({ "email": "bob@example.org", "password": PASSWORD, "invite": secret.trim() });
    let answer = Request::post("/auth/register", body.to_string()).send(house.gateway.url()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let other = house.json(&["invites", "create"]).await;
    house.run(&["invites", "withdraw", id(&other)]).await;
    let table = house.run(&["invites", "list"]).await;
    assert!(table.contains("bob@example.org") && !table.contains(id(&other)) && !table.contains(secret.trim()));
}

#[tokio::test]
async fn teams_and_plans_are_changed_and_disabled_by_command() {
    let house = House::open().await;
    let plan = house.json(&["plans", "create", "small", "--rpm", "5", "--tpm", "70", "--endpoint", "chat"]).await;
    let changed = house.json(&["plans", "change", id(&plan), "--rpm", "none", "--billing", "postpaid"]).await;
    assert_eq!((&changed["limits"]["rpm"], &changed["limits"]["tpm"]), (&Value::Null, &70.into()));
    assert_eq!((&changed["endpoints"][0], &changed["billing"]), (&"chat".into(), &"postpaid".into()));
    house.run(&["plans", "disable", id(&plan)]).await;
    assert_eq!(house.json(&["plans", "show", id(&plan)]).await["enabled"], false);
    house.run(&["plans", "enable", id(&plan)]).await;
    assert!(house.run(&["plans", "list"]).await.lines().nth(1).unwrap().ends_with("yes"));
    let team = house.json(&["teams", "create", "Blue", "--plan", id(&plan)]).await;
    let changed = house.json(&["teams", "change", id(&team), "--name", "Red", "--plan", "none"]).await;
    assert_eq!((&changed["name"], &changed["plan"]), (&"Red".into(), &Value::Null));
    house.run(&["teams", "disable", id(&team)]).await;
    assert_eq!(house.json(&["teams", "show", id(&team)]).await["enabled"], false);
    house.run(&["teams", "enable", id(&team)]).await;
    assert!(house.run(&["teams", "list"]).await.contains("Red"));
}

#[tokio::test]
async fn credit_is_given_taken_and_told_to_the_last_digit_by_command() {
    let house = House::open().await;
    let give = ["credits", "top-up", "team:team_1", "--amount", "12.500000001", "--reason", "paid", "--reference", "7"];
    assert_eq!(house.json(&give).await["left"], "12.500000001");
    let err = house.fail(1, &give).await;
    assert!(err.contains("409 "), "{err}");
    let taken = house.run(&["credits", "adjust", "team:team_1", "--amount", "-2.5", "--reason", "too much"]).await;
    assert!(taken.lines().any(|line| line.split_whitespace().eq(["left", "10.000000001"])), "{taken}");
    assert_eq!(house.json(&["credits", "show", "team:team_1"]).await["granted"], "10.000000001");
    let page = house.run(&["credits", "history", "team:team_1", "--limit", "1"]).await;
    assert!(page.contains("adjustment  -2.5  token  too much"), "{page}");
    let next = page.lines().last().unwrap().strip_prefix("there are more: --after ").unwrap();
    let page = house.run(&["credits", "history", "team:team_1", "--after", next]).await;
    assert!(page.contains("top_up  12.500000001  token  paid") && !page.contains("more"), "{page}");
    for (amount, why) in [
        ("1e3", "an amount is written as 12.5"),
        ("0.0000000001", "an amount has at most 9 digits after the point"),
        ("9999999999999", "the amount is too large"),
    ] {
        let err = house.fail(2, &["credits", "top-up", "team:team_1", "--amount", amount, "--reason", "x"]).await;
        assert!(err.contains("--amount <USD>") && err.contains(why), "{err}");
    }
    let err = house.fail(2, &["credits", "show", "revenue"]).await;
    assert!(err.contains("expected user:<id>, team:<id> or key:<id>"), "{err}");
}

#[tokio::test]
async fn vouchers_are_made_listed_redeemed_and_withdrawn_by_command() {
    let house = House::open().await;
    let invite = house.run(&["invites", "create"]).await;
    let body = serde_json::json!({ "email": "ann@example.org", "password": PASSWORD, "invite": invite.trim() });
    let answer = Request::post("/auth/register", body.to_string()).send(house.gateway.url()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let body = serde_json::json!({ "email": "ann@example.org", "password": PASSWORD });
    let session = Request::post("/auth/login", body.to_string()).send(house.gateway.url()).await.json();
    let token = session["token"].as_str().unwrap();

    let made = house.run(&["vouchers", "create", "fair", "--amount", "2.5", "--count", "2"]).await;
    let rows: Vec<Vec<&str>> = made.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let [first, second] = &rows[..] else { panic!("{made}") };
    let (code, out, err) = house.ran_as(token, &["vouchers", "redeem", first[1], "--json"]).await;
    assert_eq!((code, &*out), (Some(0), "{\"amount\":\"2.5\"}\n"), "{err}");
    assert_eq!(house.run(&["vouchers", "withdraw", second[0]]).await, format!("{} is withdrawn\n", second[0]));
    let (code, _, err) = house.ran_as(token, &["vouchers", "redeem", second[1]]).await;
    assert!(code == Some(1) && err.contains("`code`"), "{err}");
    let table = house.run(&["vouchers", "list"]).await;
    assert!(table.contains("fair") && rows.iter().all(|row| !table.contains(row[1])), "{table}");
    let err = house.fail(1, &["vouchers", "redeem", "-"]).await;
    assert!(err.contains("standard input: write the code there"), "{err}");
}

#[tokio::test]
async fn budgets_are_made_changed_listed_and_deleted_by_command() {
    let house = House::open().await;
    let budget = house
        .json(&["budgets", "create", "--scope", "team:team_1", "--window", "month", "--amount", "100", "--alert", "80"])
        .await;
    assert_eq!((&budget["hard"], &budget["alerts"][0]), (&true.into(), &80.into()));
    let changed = house.json(&["budgets", "change", id(&budget), "--amount", "0.25", "--hard", "false"]).await;
    assert_eq!((&changed["amount"], &changed["hard"]), (&"0.25".into(), &false.into()));
    assert_eq!((&changed["window"], &changed["alerts"][0]), (&"month".into(), &80.into()));
    assert_eq!(house.json(&["budgets", "show", id(&budget)]).await["amount"], "0.25");
    let table = house.run(&["budgets", "list", "--scope", "team:team_1"]).await;
    assert!(table.lines().nth(1).unwrap().ends_with("team:team_1  month   0.25  no    80"), "{table}");
    assert_eq!(house.run(&["budgets", "list", "--scope", "global"]).await.lines().count(), 1);
    house.run(&["budgets", "delete", id(&budget)]).await;
    assert_eq!(house.json(&["budgets", "list"]).await["data"], serde_json::json!([]));
    for (flag, arguments) in [
        ("--scope <SCOPE>", ["--scope", "everything", "--window", "day", "--amount", "1"]),
        ("--window <WINDOW>", ["--scope", "global", "--window", "fortnight", "--amount", "1"]),
        ("--amount <USD>", ["--scope", "global", "--window", "day", "--amount", "much"]),
    ] {
        let err = house.fail(2, &[&["budgets", "create"], &arguments[..]].concat()).await;
        assert!(err.contains(flag), "{err}");
    }
}

#[tokio::test]
async fn usage_and_logs_are_told_by_two_nouns_and_page_by_page_by_command() {
    let house = House::open().await;
    for _ in 0..3 {
        house.call().await;
    }
    house.logged(3).await;
    let told = house.json(&["usage", "--group-by", "model,key"]).await;
    assert_eq!((&told["total"]["requests"], &told["data"][0]["key_name"]), (&3.into(), &"filed".into()));
    let table = house.run(&["usage", "--group-by", "day,model", "--key", "filed"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains("DAY ") && lines[0].contains("MODEL "), "{table}");
    assert!(lines[1].contains("sim/chat") && lines[2].starts_with("TOTAL"), "{table}");
    assert!(house.run(&["usage", "--from", "2020-01-01", "--to", "2020-01-02"]).await.contains("TOTAL"));
    let err = house.fail(1, &["usage", "--group-by", "day,model,key"]).await;
    assert!(err.contains("--group-by: give one or two"), "{err}");
    let err = house.fail(2, &["usage", "--group-by", "week"]).await;
    assert!(err.contains("--group-by <NOUNS>") && err.contains("deployment"), "{err}");

    let (mut after, mut seen) = (None::<String>, Vec::new());
    for _ in 0..4 {
        let mut arguments = vec!["logs", "list", "--limit", "1", "--model", "sim/chat"];
        arguments.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
        let page = house.run(&arguments).await;
        seen.extend(page.lines().nth(1).map(|row| row.split_whitespace().nth(1).unwrap().to_owned()));
        after = page.lines().last().and_then(|line| line.strip_prefix("there are more: --after ")).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    let unique: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (3, 3));
    assert_eq!(house.json(&["logs", "show", &seen[0]]).await["request_id"], *seen[0]);
    assert_eq!(house.json(&["logs", "list", "--error"]).await["data"], serde_json::json!([]));
    assert_eq!(house.json(&["logs", "list", "--min-cost", "1000", "--status", "2xx"]).await["next"], Value::Null);
}

#[tokio::test]
async fn sessions_are_listed_and_revoked_by_command() {
    let house = House::open().await;
    let invite = house.run(&["invites", "create"]).await;
    let body = serde_json::json!({ "email": "ann@example.org", "password": PASSWORD, "invite": invite.trim() });
    Request::post("/auth/register", body.to_string()).send(house.gateway.url()).await;
    let body = serde_json::json!({ "email": "ann@example.org", "password": PASSWORD });
    let session = Request::post("/auth/login", body.to_string()).send(house.gateway.url()).await.json();
    let token = session["token"].as_str().unwrap();
    let profile = async || Request::get("/auth/profile").bearer(token).send(house.gateway.url()).await;
    let user = profile().await.json()["id"].as_str().unwrap().to_owned();
    let listed = house.json(&["sessions", "list", "--user", &user]).await;
    let all = listed["data"].as_array().unwrap();
    assert!(!all.is_empty(), "{listed}");
    for session in all {
        house.run(&["sessions", "revoke", id(session)]).await;
    }
    assert_eq!(profile().await.status, 401);
    assert_eq!(house.run(&["sessions", "list"]).await.lines().count(), 1);
}

#[tokio::test]
async fn the_gateway_and_its_channels_are_looked_at_and_steered_by_command() {
    let house = House::open().await;
    house.call().await;
    assert!(house.run(&["channels", "list"]).await.contains("sim"));
    let deployments = house.json(&["deployments", "list", "--model", "sim/chat"]).await;
    let deployment = &deployments["data"][0];
    assert_eq!(house.json(&["deployments", "reset", id(deployment)]).await["state"], "healthy");
    assert!(house.run(&["credentials", "list", "--channel", "sim"]).await.starts_with("ID"));
    assert!(house.run(&["security", "show"]).await.contains("blocks"));
    assert!(house.run(&["security", "list", "--address", "::1"]).await.starts_with("AT"));
    assert_eq!(house.json(&["security", "pardon", "192.0.2.1"]).await["was_blocked"], false);
    assert!(house.run(&["gateway", "show"]).await.contains("version"));
    assert!(house.run(&["gateway", "config"]).await.contains("channels"));
    assert_eq!(house.json(&["gateway", "explain", "sim/chat"]).await["model"], "sim/chat");
    assert!(house.run(&["gateway", "provider-kinds"]).await.contains("openai"));
    assert_eq!(house.json(&["gateway", "reload"]).await["ok"], true);
    let err = house.fail(1, &["channels", "create", "{name}"]).await;
    assert!(err.contains("this is no JSON"), "{err}");
    let err = house.fail(2, &["deployments", "reset", "a/b"]).await;
    assert!(err.contains("expected an id as `list` prints it"), "{err}");
}

#[tokio::test]
async fn every_command_names_the_flag_that_is_missing_and_whom_it_could_not_reach() {
    let (code, out, err) = Waypost::new().arguments(&["users", "list"]).run().await;
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(err.contains("--token: give the admin token, or set WAYPOST_ADMIN_TOKEN"), "{err}");
    let away = ["budgets", "list", "--token", TOKEN, "--url", "http://127.0.0.1:1"];
    let (code, _, err) = Waypost::new().arguments(&away).run().await;
    assert!(code == Some(1) && err.contains("not reachable: http://127.0.0.1:1"), "{err}");
}
