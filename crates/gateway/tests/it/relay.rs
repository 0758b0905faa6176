//! The plainest story: one request, one upstream, one answer, one record.

use waypost_core::usage::{Basis, Outcome};
use waypost_testkit::{Script, Upstream, fixtures};

use crate::harness::{Gateway, channel};

const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;

#[tokio::test]
async fn a_chat_completion_is_relayed_and_recorded() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let mut gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;

    let answer = gateway.post("/v1/chat/completions", CHAT).await;

    assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::PLAIN));
    assert_eq!(answer.header("x-waypost-deployment"), Some("main/gpt-4o"));
    assert_eq!(answer.header("x-waypost-attempts"), Some("1"));
    assert_eq!(answer.header("x-waypost-cost-basis"), Some("provider"));
    assert_eq!(upstream.last().header("authorization"), Some("Bearer sk-main"));
    assert_eq!(upstream.last().text(), CHAT);
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.basis, record.attempts), (Outcome::Complete, Basis::Provider, 1));
    assert_eq!(answer.header("x-request-id"), Some(&*record.request_id));
}

#[tokio::test]
async fn a_failing_deployment_is_followed_by_the_next_003_01() {
    let broken = Upstream::always(Script::reply(503, "{}")).await;
    let healthy = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let channels =
        [channel("one", "openai", &broken.url(), "[gpt-4o]"), channel("two", "openai", &healthy.url(), "[gpt-4o]")];
    let channels =
        channels.concat().replace("name: one,", "name: one, tier: 1,").replace("name: two,", "name: two, tier: 2,");
    let gateway = Gateway::with_channels(&channels).await;

    let answer = gateway.post("/v1/chat/completions", CHAT).await;

    assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::PLAIN));
    assert_eq!(answer.header("x-waypost-attempts"), Some("2"));
    assert_eq!((broken.hits(), healthy.hits()), (1, 1));
}
