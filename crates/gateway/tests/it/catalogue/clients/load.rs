//! Too much at once: what is one too many is told so at once, and what was admitted is answered.

use serde_json::json;
use tokio::time::timeout;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Client, Request, Script, Upstream, fixtures};

use super::{CHAT, MESSAGE, PATIENCE, assert_serves, before};
use crate::harness::KEY;
use crate::start::Waypost;

#[tokio::test]
async fn a_request_above_the_limit_is_503_before_its_body_is_read_and_the_admitted_ones_are_answered() {
    let upstream = Upstream::by(|request| {
        let held = request.text().contains("hold");
        let plain = Script::reply(200, fixtures::openai_chat::PLAIN);
        if held { Script::never_answer() } else { plain }
    })
    .await;
    let mut gateway = before(&upstream, Limits { max_requests: 2, ..Limits::default() }).await;
    let mut held = vec![];
    for _ in 0..2 {
        let mut client = Client::connect(gateway.url()).await;
        let body = CHAT.replace("Hi", "hold");
        client.write(&Request::post("/v1/chat/completions", body).bearer(KEY).to_bytes("a")).await.unwrap();
        held.push(client);
    }
    upstream.wait_hits(2).await;

    for (path, body) in [("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGE)] {
        // The head alone: nobody waits for what it announces.
        let mut client = Client::connect(gateway.url()).await;
        let request = Request::post(path, "").bearer(KEY).header("content-length", &body.len().to_string());
        client.write(&request.to_bytes("a")).await.unwrap();
        let answer = timeout(PATIENCE, client.answer()).await.expect("at once").unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        let error = &answer.json()["error"];
        if path == "/v1/messages" {
            assert_eq!(error["type"], json!("overloaded_error"));
        } else {
            assert_eq!(error["code"], json!("overloaded"));
        }
    }
    assert_eq!(Request::get("/health/ready").send(gateway.url()).await.status, 200);
    assert_eq!(upstream.hits(), 2);

    held.into_iter().for_each(Client::hang_up);
    for _ in 0..2 {
        gateway.record().await;
    }
    gateway.wait_empty().await;
    assert_serves(&gateway).await;
}

#[tokio::test]
async fn out_of_descriptors_accepting_pauses_and_recovers_alone() {
    let mut waypost = Waypost::with_descriptors(40).arguments(&["--port", "0"]).start().await;
    let mut clients = vec![];
    for _ in 0..60 {
        clients.push(Client::connect(waypost.url()).await);
    }
    waypost.hear("cannot accept connections").await;
    drop(clients);
    let answer = timeout(PATIENCE, Request::get("/health").send(waypost.url())).await.expect("it recovers");
    assert_eq!(answer.status, 200);
    waypost.terminate();
    assert_eq!(waypost.exit_code().await, Some(0));
}
