//! Where the built binary finds its configuration, what comes before what, what it does with a broken one, and what it says
//! about all of it.

use serde_json::json;
use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::start::Waypost;

const CHAT: &str = "/v1/chat/completions";
const KEY: &str = "wp-files-0123456789";
const ASK: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;

fn keys() -> String {
    format!("keys: [{{name: a, key: {KEY}}}]\n")
}

fn channel(name: &str) -> String {
    format!("channels: [{{name: {name}, provider: simulator, models: [{{name: gpt-4o, upstream: sim/chat}}]}}]\n")
}

fn whole(name: &str) -> String {
    format!("server: {{port: 0}}\n{}{}", keys(), channel(name))
}

fn json_of(name: &str) -> String {
    json!({
        "server": {"port": 0},
        "keys": [{"name": "a", "key": KEY}],
        "channels": [{"name": name, "provider": "simulator", "models": [{"name": "gpt-4o", "upstream": "sim/chat"}]}],
    })
    .to_string()
}

async fn deployment(url: &str) -> Option<String> {
    let answer = Request::post(CHAT, ASK).bearer(KEY).send(url).await;
    answer.header("x-waypost-deployment").map(str::to_owned)
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

// === places ===

#[tokio::test]
async fn the_first_of_the_usual_places_is_taken_and_a_mode_narrows_them_004_24_004_26() {
    let all = || {
        Waypost::new()
            .file("waypost.yaml", &whole("yaml"))
            .file("waypost.json", &json_of("json"))
            .file("config/router_config.yaml", &whole("router"))
    };
    let cases: [(Waypost, &[&str], &str); 6] = [
        (all(), &[], "yaml/gpt-4o"),
        (all(), &["--mode", "json"], "json/gpt-4o"),
        (all(), &["--mode", "auto", "--config", "config/router_config.yaml"], "router/gpt-4o"),
        (Waypost::new().file("waypost.json", &json_of("json")), &[], "json/gpt-4o"),
        (Waypost::new().file("config/router_config.yaml", &whole("router")), &["--mode", "yaml"], "router/gpt-4o"),
        (
            Waypost::new().file("config/system.yaml", &keys()).file("config/channels.json", &channel_json()),
            &["--port", "0"],
            "layer/gpt-4o",
        ),
    ];
    for (waypost, arguments, expected) in cases {
        let waypost = waypost.arguments(arguments).start().await;
        assert_eq!(deployment(waypost.url()).await.as_deref(), Some(expected), "{arguments:?}");
    }
}

fn channel_json() -> String {
    r#"{"channels": [{"name": "layer", "provider": "simulator", "models": [{"name": "gpt-4o", "upstream": "sim/chat"}]}]}"#
        .to_owned()
}

#[tokio::test]
async fn a_mode_without_its_place_is_refused_with_the_way_out() {
    let words = "there is none of waypost.json, config/router_config.json, config; name the file with --config";
    let (code, _, err) = Waypost::new().file("waypost.yaml", "").arguments(&["--mode", "json"]).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("waypost: --mode json: {words}")), "{err}");
    let (code, _, err) = Waypost::new().env("WAYPOST_MODE", "json").arguments(&["check"]).run().await;
    assert_eq!((code, err.contains(words)), (Some(1), true), "{err}");
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone_and_an_empty_one_is_told() {
    let setup = Waypost::new().file("config/app.yaml", "a: 1\n").arguments(&["check"]).run().await;
    assert!(setup.1.contains("environment: ok"), "{setup:?}");
    let waypost = Waypost::new().file("other/readme.txt", "").arguments(&["--config", "other", "check"]);
    let (code, _, err) = waypost.run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("other: holds no .yaml, .yml or .json file"), "{err}");
}

#[tokio::test]
async fn a_mistake_in_a_folder_is_shown_in_its_own_file_004_01() {
    let waypost = Waypost::new()
        .file("config/system.yaml", "server: {port: 1}\n")
        .file("config/waypost.yml", "server:\n  port: 2\n")
        .file("config/.hidden.yaml", "broken: [\n");
    let (code, _, err) = waypost.arguments(&["check"]).run().await;
    assert_eq!(code, Some(1));
    let words = "waypost: config/waypost.yml:2:9: server.port: this was said already, at config/system.yaml:1; keep one of them";
    assert_eq!(err.trim_end(), words);
}

// === the environment ===

#[tokio::test]
async fn a_env_file_counts_and_the_real_environment_comes_before_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let env = format!("# mine\nPORT={port}\nWAYPOST_API_KEY={KEY}\nLOG_FORMAT=json\n");
    let (code, _, err) = Waypost::new().file(".env", &env).run().await;
    assert_eq!((code, err.contains(&format!("cannot listen on 127.0.0.1:{port}"))), (Some(1), true), "{err}");
    let waypost = Waypost::new().file(".env", &env).env("PORT", "0").start().await;
    let models = Request::get("/v1/models").bearer(KEY).send(waypost.url()).await;
    assert_eq!(models.status, 200);

    let (code, _, err) = Waypost::new().file(".env", "PORT=0\nsk-secret\n").run().await;
    assert_eq!(
        (code, err.contains("waypost: .env:2:1: this is no variable; write NAME=value")),
        (Some(1), true),
        "{err}"
    );
    assert!(!err.contains("secret"), "{err}");
    let (_, _, err) = Waypost::new().file(".env", "OPENAI_API_KEY_1=sk\nOPENAI_PRIORITY_1=11\n").run().await;
    let words = ".env:2: OPENAI_PRIORITY_1: channels[0].tier: expected a whole number from 1 to 10, found 11; correct the variable";
    assert!(err.contains(words), "{err}");
}

#[tokio::test]
async fn the_numbered_example_of_the_document_starts_and_lists_both_in_order_003_20_003_21_003_22() {
    let (official, relay) = (
        Upstream::always(Script::reply(500, "{}")).await,
        Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await,
    );
    let env = format!(
        "# 主要 API (优先级1)\nOPENAI_API_KEY_1=sk-your-official-key\nOPENAI_BASE_URL_1={}/v1\nOPENAI_PRIORITY_1=1\n\n\
         # 代理 API (优先级2)  \nOPENAI_API_KEY_2=your-proxy-key\nOPENAI_BASE_URL_2={}/v1\nOPENAI_PRIORITY_2=2\n\n\
         # 全局配置\nOPENAI_FALLBACK_ENABLED=true\nOPENAI_MAX_RETRIES=3\n",
        official.url(),
        relay.url()
    );
    let waypost = Waypost::new()
        .file(".env", &env)
        .env("WAYPOST_API_KEY", KEY)
        .env("WAYPOST_ADMIN_TOKEN", "admin-0123456789abcdef")
        .arguments(&["--port", "0"])
        .start()
        .await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("openai-2/gpt-4o"));
    assert_eq!(relay.last().header("authorization"), Some("Bearer your-proxy-key"));
    assert!(official.hits() >= 1, "the lower number was tried first");
    let listed =
        Request::get("/admin/endpoints").bearer("admin-0123456789abcdef").send(waypost.url()).await.text().to_owned();
    assert!(listed.find("openai-1") < listed.find("openai-2") && listed.contains("openai-1"), "{listed}");
}

#[tokio::test]
async fn without_failover_the_first_failure_is_the_answer_003_23() {
    let (first, second) = (
        Upstream::always(Script::reply(500, "{}")).await,
        Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await,
    );
    let waypost = Waypost::new()
        .env("OPENAI_API_KEY_1", "sk-1")
        .env("OPENAI_BASE_URL_1", &first.url())
        .env("OPENAI_API_KEY_2", "sk-2")
        .env("OPENAI_BASE_URL_2", &second.url())
        .env("OPENAI_FALLBACK_ENABLED", "false")
        .env("WAYPOST_API_KEY", KEY)
        .arguments(&["--port", "0"])
        .start()
        .await;
    let answer = Request::post(CHAT, ASK).bearer(KEY).send(waypost.url()).await;
    assert!(answer.status >= 500);
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

#[tokio::test]
async fn health_is_where_the_document_looks_for_it_004_28() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    drop(taken);
    let text = whole("a").replace("port: 0", "port: 1");
    let waypost = Waypost::new().file("waypost.yaml", &text).env("PORT", &port).start().await;
    assert_eq!(waypost.url(), format!("http://127.0.0.1:{port}"));
    assert_eq!(Request::get("/health").send(waypost.url()).await.status, 200);
}

// === the last that worked ===

#[cfg(unix)]
#[tokio::test]
async fn a_start_with_a_broken_file_serves_the_last_that_worked_loudly_and_a_correction_is_taken() {
    use std::os::unix::fs::PermissionsExt as _;
    let good = whole("good").replace("provider: simulator", "provider: simulator, api_key: '${SECRET}'");
    let mut waypost = Waypost::new().file("waypost.yaml", &good).env("SECRET", "sk-secret").start().await;
    let kept = waypost.path(".waypost/waypost.yaml.last-good");
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.contains("${SECRET}") && !text.contains("sk-secret"), "{text}");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    waypost.terminate();
    assert_eq!(waypost.exit_code().await, Some(0));

    let broken = "server: {port: 0}\nchannels: [\n";
    let again = |arguments: &[&str]| {
        Waypost::new()
            .file("waypost.yaml", broken)
            .file(".waypost/waypost.yaml.last-good", &text)
            .env("SECRET", "sk-secret")
            .env("WAYPOST_ADMIN_TOKEN", "admin-0123456789abcdef")
            .arguments(arguments)
    };
    let mut waypost = again(&[]).start().await;
    assert!(waypost.heard().contains("\"level\":\"ERROR\""), "{}", waypost.heard());
    assert!(waypost.heard().contains("waypost.yaml:3:1: not valid YAML"), "{}", waypost.heard());
    assert!(waypost.heard().contains("the last configuration that worked is in use"), "{}", waypost.heard());
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("good/gpt-4o"));
    let admin = Request::get("/admin").bearer("admin-0123456789abcdef");
    let report = admin.send(waypost.url()).await.json()["last_reload"].clone();
    assert!(report["errors"][0].as_str().unwrap().starts_with("waypost.yaml:3:1"), "{report}");
    waypost.write("waypost.yaml", &whole("corrected"));
    waypost.hear("the configuration was taken into use").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("corrected/gpt-4o"));
    let kept = std::fs::read_to_string(waypost.path(".waypost/waypost.yaml.last-good")).unwrap();
    assert!(kept.contains("corrected"), "{kept}");

    let (code, _, err) = again(&["--strict-config"]).run().await;
    assert_eq!((code, err.contains("not valid YAML")), (Some(1), true), "{err}");
    let (code, _, _) = again(&[]).env("WAYPOST_STRICT_CONFIG", "true").run().await;
    assert_eq!(code, Some(1));
    let (code, _, _) = again(&["check"]).run().await;
    assert_eq!(code, Some(1), "a check is never lenient");
}

#[tokio::test]
async fn where_nothing_can_be_kept_it_serves_all_the_same() {
    let waypost = Waypost::new().file("waypost.yaml", &whole("a")).file("state", "a file, no folder");
    let mut waypost = waypost.arguments(&["--state-dir", "state"]).start().await;
    waypost.hear("cannot be kept").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("a/gpt-4o"));
    let waypost = Waypost::new().file("waypost.yaml", &whole("a")).env("WAYPOST_STATE_DIR", "kept/here").start().await;
    assert!(waypost.path("kept/here/waypost.yaml.last-good").is_file());
}

// === reloading ===

#[tokio::test]
async fn a_file_added_to_a_folder_and_a_file_that_appears_are_taken_into_use_000_21_000_22() {
    let folder = Waypost::new().file("config/system.yaml", &keys()).file("config/channels.yaml", &channel("one"));
    let mut waypost = folder.arguments(&["--port", "0"]).start().await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("one/gpt-4o"));
    waypost.remove("config/channels.yaml");
    waypost.write("config/more.yaml", &channel("two"));
    waypost.hear("\"generation\":2").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("two/gpt-4o"));
    waypost.write("config/more.yaml", "channels: [\n");
    waypost.hear("config/more.yaml:2:1").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("two/gpt-4o"));

    let mut setup = Waypost::new().arguments(&["--port", "0"]).start().await;
    setup.write("waypost.yaml", &whole("first"));
    setup.hear("\"generation\":2").await;
    assert_eq!(deployment(setup.url()).await.as_deref(), Some("first/gpt-4o"));
}

#[tokio::test]
async fn an_account_added_to_the_env_file_is_taken_into_use_003_27() {
    let (first, second) = (
        Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await,
        Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await,
    );
    let one = format!("OPENAI_API_KEY=sk-1\nOPENAI_BASE_URL={}/v1\nWAYPOST_API_KEY={KEY}\n", first.url());
    let mut waypost = Waypost::new().file(".env", &one).arguments(&["--port", "0"]).start().await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("openai/gpt-4o"));
    let two = one.replace("_KEY=sk-1", "_KEY_2=sk-1").replace("BASE_URL=", "BASE_URL_2=")
        + &format!("OPENAI_API_KEY_1=sk-2\nOPENAI_BASE_URL_1={}/v1\n", second.url());
    waypost.write(".env", &two);
    waypost.hear("\"generation\":2").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("openai-1/gpt-4o"));
    assert_eq!(second.last().header("authorization"), Some("Bearer sk-2"));
    waypost.write(".env", &two.replace("OPENAI_API_KEY_1", "1OPENAI_API_KEY"));
    waypost.hear(".env:4:1: the name of a variable").await;
    assert_eq!(deployment(waypost.url()).await.as_deref(), Some("openai-1/gpt-4o"));
}

// === the commands that look ===

#[tokio::test]
async fn check_reports_what_could_be_better_and_every_mistake_003_36() {
    let text = format!(
        "{}channels:\n- {{name: a, provider: openai, base_url: 'http://relay.example.com/v1', api_key: k, models: [m]}}\n\
         - {{name: b, provider: openai, base_url: 'http://relay.example.com/v1', api_key: k, models: [m]}}\n",
        keys()
    );
    let waypost =
        Waypost::new().file("w.yaml", &text).env("OPENAI_MAX_RETRYS", "1").arguments(&["config", "check", "w.yaml"]);
    let (code, out, err) = waypost.run().await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for words in [
        "warning: w.yaml:3:31: channels[0].base_url: the key goes over an unencrypted connection; use https://",
        "warning: w.yaml:4:3: channels[1]: this is the same account for the same models as `a`",
        "warning: OPENAI_MAX_RETRYS: the variable means nothing to Waypost; did you mean `OPENAI_MAX_RETRIES`?",
    ] {
        assert!(out.contains(words), "{out}");
    }
    assert!(out.ends_with("w.yaml: ok, 2 channels, 1 models\n"), "{out}");

    let text = "channels:\n- {name: a, tier: 11, provider: openai, api_key: sk-secret}\nretry: {maxRetries: 11}\n";
    let (code, out, err) = Waypost::new().file("w.yaml", text).arguments(&["config", "check", "w.yaml"]).run().await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        lines(&err),
        [
            "waypost: w.yaml:2:19: channels[0].tier: expected a whole number from 1 to 10, found 11",
            "w.yaml:3:21: retry.maxRetries: expected a whole number from 0 to 10, found 11",
        ]
    );
}

#[tokio::test]
async fn explain_says_of_every_value_where_it_came_from_and_shows_no_secret() {
    let text = format!("{}server:\n  host: 127.0.0.9\n", whole("a").replace("server: {port: 0}\n", ""));
    let waypost = || Waypost::new().file("waypost.yaml", &text).file(".env", "OPENAI_MAX_RETRIES=2\n").env("PORT", "1");
    let (code, out, _) = waypost().arguments(&["config", "explain", "server"]).run().await;
    assert_eq!(code, Some(0));
    let has = |out: &str, line: &str| assert!(lines(out).contains(&line), "{line} is none of\n{out}");
    has(&out, "server.port: 1  (environment variable PORT)");
    has(&out, "server.host: \"127.0.0.9\"  (waypost.yaml:4)");
    has(&out, "server.max_connections: 10000  (default)");
    assert!(lines(&out).iter().all(|line| line.starts_with("server.")));
    let (_, out, _) = waypost().arguments(&["--port", "2", "config", "explain"]).run().await;
    has(&out, "server.port: 2  (command line --port)");
    has(&out, "keys[0].key: ***  (waypost.yaml:1)");
    has(&out, "retry.max_retries: 2  (environment variable .env:1: OPENAI_MAX_RETRIES)");
    assert!(!out.contains(KEY), "{out}");
    let (code, _, err) = waypost().arguments(&["config", "explain", "server.prot"]).run().await;
    assert_eq!(
        (code, err.trim_end()),
        (Some(1), "waypost: server.prot: nothing is set there; did you mean `server.port`?")
    );
}

#[tokio::test]
async fn diff_says_what_changes_between_two_files_and_since_the_last_that_worked() {
    let (before, after) = (whole("a"), whole("b").replace(KEY, "wp-other-0123456789") + "breaker: fast\n");
    let two = || Waypost::new().file("a.yaml", &before).file("b.yaml", &after);
    let (code, out, _) = two().arguments(&["config", "diff", "a.yaml", "b.yaml"]).run().await;
    assert_eq!(code, Some(0));
    let expected = [
        "~ breaker: standard -> fast",
        "- channels[a]: all of it",
        "+ channels[b]: all of it",
        "~ keys[a].key: another secret",
    ];
    assert_eq!(lines(&out), expected);
    let (_, out, _) = two().arguments(&["config", "diff", "a.yaml", "a.yaml"]).run().await;
    assert_eq!(out, "no difference\n");

    let kept = json!([{"name": "a.yaml", "json": false, "text": before}]).to_string();
    let since = Waypost::new().file("waypost.yaml", &after).file(".waypost/waypost.yaml.last-good", &kept);
    let (_, out, _) = since.arguments(&["config", "diff"]).run().await;
    assert_eq!(lines(&out), expected);
    let (code, _, err) = two().arguments(&["config", "diff", "a.yaml"]).run().await;
    assert_eq!((code, err.contains("no gateway has started with it here")), (Some(1), true), "{err}");
}
