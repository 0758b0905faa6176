//! Mounts, keys and headers: what is the same wherever a request comes in.

use waypost_testkit::{Request, Script, Upstream, fixtures};

use super::{CHAT, COMPLETION, EMBEDDING, MESSAGE, RESPONSE, anthropic, openai, openai_error};
use crate::harness::{Gateway, KEY, channel};

#[tokio::test]
async fn every_mount_leads_to_the_same_endpoints() {
    let (upstream, gateway) = openai().await;
    let endpoints =
        [("chat/completions", CHAT), ("responses", RESPONSE), ("completions", COMPLETION), ("embeddings", EMBEDDING)];
    for (rest, body) in endpoints {
        for mount in ["/v1", "/v1/openai", "/proxy/v1"] {
            assert_eq!(gateway.post(&format!("{mount}/{rest}"), body).await.status, 200, "{mount}/{rest}");
            assert_eq!((upstream.last().path(), upstream.last().text()), (&*format!("/v1/{rest}"), body));
        }
    }
    let (upstream, gateway) = anthropic().await;
    for path in ["/v1/messages", "/v1/anthropic/messages", "/v1/anthropic/v1/messages"] {
        assert_eq!(gateway.post(path, MESSAGE).await.text(), fixtures::anthropic::PLAIN);
        assert_eq!(upstream.last().path(), "/v1/messages");
    }
}

#[tokio::test]
async fn a_key_may_come_in_any_of_three_headers_and_in_no_other_place() {
    let (upstream, gateway) = openai().await;
    let post = |path: &str| Request::post(path, CHAT);
    let chat = "/v1/chat/completions";
    for request in [
        post(chat).bearer(KEY),
        post(chat).header("Authorization", &format!("bearer {KEY}")),
        post(chat).header("x-api-key", KEY),
        post(chat).header("api-key", KEY),
    ] {
        assert_eq!(request.send(gateway.url()).await.status, 200);
        let seen = upstream.last();
        assert_eq!(seen.headers.all("authorization").collect::<Vec<_>>(), ["Bearer sk-main"]);
        assert!(!seen.headers.iter().any(|(_, value)| value.contains(KEY)), "{:?}", seen.headers);
    }
    let hits = upstream.hits();
    for request in [
        post(&format!("{chat}?key={KEY}")),
        post(&format!("{chat}?api_key={KEY}&api-key={KEY}")),
        post(chat).header("cookie", &format!("key={KEY}")),
        post(chat).header("authorization", KEY),
        post(chat).header("x-goog-api-key", KEY),
    ] {
        openai_error(&request.send(gateway.url()).await, 401);
    }
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_is_replaced() {
    let (_upstream, gateway) = openai().await;
    let (_other, claude) = anthropic().await;
    let post = |id: &str| Request::post("/v1/chat/completions", CHAT).bearer(KEY).header("x-request-id", id);
    for id in ["abc-123_X.y:z", &"a".repeat(128)] {
        assert_eq!(post(id).send(gateway.url()).await.header("x-request-id"), Some(id));
    }
    let mut made = std::collections::BTreeSet::new();
    for id in ["", "a b", "a\"b", "<x>", "caf\u{e9}", &"a".repeat(129)] {
        let answer = post(id).send(gateway.url()).await;
        let own = answer.header("x-request-id").unwrap().to_owned();
        assert!(own.starts_with("req_") && own.len() == 36, "{own}");
        made.insert(own);
    }
    assert_eq!(made.len(), 6, "ids are made anew");
    let answer =
        Request::post("/v1/messages", MESSAGE).bearer(KEY).header("x-request-id", "mine").send(claude.url()).await;
    assert_eq!((answer.header("request-id"), answer.header("x-request-id")), (Some("mine"), Some("mine")));
    let answer = Request::post("/v1/chat/completions", CHAT).bearer(KEY).send(gateway.url()).await;
    assert_eq!(answer.header("request-id"), None);
}

#[tokio::test]
async fn answers_tell_deployment_attempts_and_basis_on_every_endpoint() {
    let (_upstream, gateway) = openai().await;
    let endpoints = [
        ("chat/completions", CHAT, "gpt-4o"),
        ("responses", RESPONSE, "gpt-4o"),
        ("completions", COMPLETION, "gpt-3.5-turbo-instruct"),
        ("embeddings", EMBEDDING, "text-embedding-3-small"),
    ];
    for (rest, body, model) in endpoints {
        let answer = gateway.post(&format!("/v1/{rest}"), body).await;
        assert_eq!(answer.header("x-waypost-deployment"), Some(&*format!("main/{model}")));
        assert_eq!(
            (answer.header("x-waypost-attempts"), answer.header("x-waypost-cost-basis")),
            (Some("1"), Some("provider")),
            "{rest}"
        );
        assert_eq!(
            (answer.header("x-waypost-losses"), answer.header("x-content-type-options")),
            (None, Some("nosniff"))
        );
    }
}

#[tokio::test]
async fn a_model_name_cannot_write_headers_or_paths() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let channels = [
        channel("main", "openai", &upstream.url(), "['*']"),
        channel("azure", "azure_openai", &upstream.url(), "['az-*']").replace("name: azure,", "name: azure, tier: 2,"),
    ]
    .concat();
    let gateway = Gateway::with_channels(&channels).await;
    for model in [r"gpt\r\nx-evil: 1\r\n\r\n", r"gpt\u0000", r"a\n", r"\u0085"] {
        let answer = gateway.post("/v1/chat/completions", CHAT.replace("gpt-4o", model)).await;
        assert_eq!(openai_error(&answer, 400)["param"], "model", "{model}");
        assert_eq!((answer.header("x-evil"), upstream.hits()), (None, 0));
    }
    for model in [r"gpt\u2028", "../../admin", "caf\u{e9}"] {
        let answer = gateway.post("/v1/chat/completions", CHAT.replace("gpt-4o", model)).await;
        assert_eq!((answer.status, answer.header("x-evil")), (200, None), "{model}");
        assert_eq!((upstream.last().path(), upstream.last().header("x-evil")), ("/v1/chat/completions", None));
    }
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;
    let answer = gateway.post("/v1/chat/completions", CHAT.replace("gpt-4o", r"gpt\r\nx-evil: 1")).await;
    assert!(!openai_error(&answer, 400)["message"].as_str().unwrap().contains(['\r', '\n']));
    assert_eq!(answer.header("x-evil"), None);
}

#[tokio::test]
async fn only_known_headers_cross_the_gateway_in_either_direction() {
    let script = Script::reply(200, fixtures::openai_chat::PLAIN)
        .header("set-cookie", "session=1")
        .header("server", "cloudflare")
        .header("openai-organization", "org-secret")
        .header("openai-processing-ms", "12")
        .header("x-request-id", "req_upstream")
        .header("x-ratelimit-remaining-requests", "3")
        .header("access-control-allow-origin", "*")
        .header("x-waypost-deployment", "forged")
        .header("alt-svc", "h3=\":443\"");
    let upstream = Upstream::always(script).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;
    let request = Request::post("/v1/chat/completions", CHAT)
        .bearer(KEY)
        .header("cookie", "me=1")
        .header("x-forwarded-for", "203.0.113.9")
        .header("openai-organization", "org-caller")
        .header("x-stainless-os", "Linux")
        .header("referer", "https://caller.example/")
        .header("idempotency-key", "stainless-1")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1");

    let answer = request.send(gateway.url()).await;

    for name in [
        "set-cookie",
        "server",
        "openai-organization",
        "x-ratelimit-remaining-requests",
        "access-control-allow-origin",
        "alt-svc",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("openai-processing-ms"), Some("12"));
    assert_ne!(answer.header("x-request-id"), Some("req_upstream"));
    assert_eq!(answer.headers.all("x-waypost-deployment").collect::<Vec<_>>(), ["main/gpt-4o"]);
    let seen = upstream.last();
    for name in
        ["cookie", "x-forwarded-for", "openai-organization", "x-stainless-os", "referer", "x-hop", "x-waypost-strict"]
    {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("idempotency-key"), Some("stainless-1"));
}
