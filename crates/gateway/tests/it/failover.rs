//! Failover of whole answers: what goes on to the next credential or deployment, what stops, and what a caller is told
//! when nobody answers. No key of a channel is ever seen.

use waypost_testkit::{Answer, ClosedPort, Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY};

/// In every first channel's key, and so in whatever an upstream may echo.
const CANARY: &str = "sk-secret-one";

fn two_tiers(upstream: Upstream, first: &str, second: &str) -> String {
    [upstream.channel("one", first, "tier: 1,"), upstream.channel("two", second, "tier: 2,")].concat()
}

fn assert_no_key(answer: &Answer) {
    let headers: Vec<_> = answer.headers.iter().collect();
    let seen = format!("{headers:?}{}", answer.text());
    assert!(!seen.contains("sk-secret"), "{seen}");
}

/// What an upstream can do wrong before its answer, and is no fault of the request.
fn faults() -> Vec<(&'static str, Script)> {
    let html = "<html><body>sk-secret-one</body></html>";
    let plain = fixtures::openai_chat::PLAIN;
    let error = format!(r#"{{"error":{{"message":"Wrong key {CANARY}","type":"server_error","code":null}}}}"#);
    let mut faults = vec![
        ("cut before the answer", Script::cut_before_answer()),
        ("reset", Script::reset_before_answer()),
        ("cut in the head", Script::reply(200, plain).cut_in_head()),
        ("bad status line", Script::raw("HTTP/1.1 OK\r\n\r\n").close_silently()),
        ("another protocol", Script::raw("SSH-2.0-OpenSSH_9.6\r\n").close_silently()),
        ("a status nobody knows", Script::raw("HTTP/1.1 999 ?\r\ncontent-length: 0\r\n\r\n").close_silently()),
        ("a redirect", Script::reply(302, "").header("location", "http://127.0.0.1:1/")),
        ("HTML", Script::reply(200, html).header("content-type", "text/html")),
        ("HTML that says it is JSON", Script::reply(200, html)),
        ("nothing", Script::reply(200, "")),
        ("no content", Script::raw("HTTP/1.1 204 No Content\r\n\r\n")),
        ("an error inside", Script::reply(200, error.clone())),
        ("an error without a word", Script::reply(200, r#"{"error":{}}"#)),
        ("a list", Script::reply(200, "[]")),
        ("an empty object", Script::reply(200, "{}")),
        ("null", Script::reply(200, "null")),
        ("truncated JSON", Script::reply(200, &plain[..plain.len() / 2])),
        ("a cut body", Script::reply(200, plain).wrong_length(10).close_silently()),
        ("a stream", Script::stream([fixtures::openai_chat::STREAM])),
    ];
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 529, 401, 402, 403, 404, 410] {
        faults.push(("a status", Script::reply(status, error.clone())));
        faults.push(("a status with HTML", Script::reply(status, html).header("content-type", "text/html")));
    }
    faults
}

#[tokio::test]
async fn whatever_an_upstream_does_wrong_the_next_deployment_answers_003_01() {
    for (fault, script) in faults() {
        let story = format!("{fault}: {script:?}");
        let faulty = Scripted::always(script).await;
        let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
        let channels = two_tiers(Upstream::Chat, &faulty.url(), &healthy.url());
        let mut gateway = Gateway::with_channels(&channels).await;

        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;

        assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::PLAIN), "{story}");
        assert_eq!(answer.header("x-waypost-attempts"), Some("2"), "{story}");
        assert_eq!((faulty.hits(), healthy.hits()), (1, 1), "{story}");
        assert_eq!(gateway.record().await.attempts, 2);
        gateway.assert_no_record();
    }
}

#[tokio::test]
async fn a_port_that_refuses_is_followed_by_the_next_deployment() {
    let closed = ClosedPort::take();
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = Gateway::with_channels(&two_tiers(Upstream::Chat, &closed.url(), &healthy.url())).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, answer.header("x-waypost-attempts")), (200, Some("2")));
}

#[tokio::test]
async fn with_nobody_left_the_caller_is_told_in_its_own_dialect_and_sees_no_key() {
    for caller in Caller::ALL {
        for (fault, script) in faults() {
            let story = format!("{caller:?}, {fault}: {script:?}");
            let faulty = Scripted::always(script).await;
            let gateway = Gateway::with_channels(&caller.own().channel("one", &faulty.url(), "")).await;
            let answer = gateway.post(caller.path(), caller.request()).await;
            assert!(matches!(answer.status, 502 | 504 | 429 | 404), "{story}: {} {}", answer.status, answer.text());
            assert!(caller.is_error_body(&answer), "{story}: {}", answer.text());
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 429, "{story}");
            assert_no_key(&answer);
        }
    }
}

#[tokio::test]
async fn a_request_the_upstream_rejects_is_not_tried_again_and_its_sentence_is_passed_on() {
    for caller in Caller::ALL {
        for status in [400, 413, 415, 422] {
            let sentence = "Your `temperature` is too hot.";
            let body = format!(
                r#"{{"type":"error","error":{{"message":"{sentence} Key: {CANARY}.","type":"invalid_request_error","param":"temperature","code":"too_hot"}}}}"#
            );
            let strict = Scripted::always(Script::reply(status, body)).await;
            let unused = Scripted::start(vec![]).await;
            let channels = two_tiers(caller.own(), &strict.url(), &unused.url());
            let gateway = Gateway::with_channels(&channels).await;
            let answer = gateway.post(caller.path(), caller.request()).await;
            assert_eq!((answer.status, strict.hits(), unused.hits()), (status, 1, 0), "{caller:?}");
            assert!(answer.text().contains(sentence), "{}", answer.text());
            assert_no_key(&answer);
        }
    }
}

#[tokio::test]
async fn a_rejection_inside_a_success_shows_no_key_either() {
    let body = format!(r#"{{"error":{{"message":"No: {CANARY}","type":"invalid_request_error","code":"400"}}}}"#);
    let event = format!("data: {body}\n\n");
    for (script, request) in [
        (Script::reply(200, body), Caller::Chat.request().to_owned()),
        (Script::stream([event]), Caller::Chat.stream_request()),
    ] {
        let strict = Scripted::always(script).await;
        let gateway = Gateway::with_channels(&Upstream::Chat.channel("one", &strict.url(), "")).await;
        let answer = gateway.post("/v1/chat/completions", request).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("No: "), "{}", answer.text());
        assert_no_key(&answer);
    }
}

/// A gateway whose first channel has two keys.
async fn with_two_keys(first: &str, second: &str) -> Gateway {
    let two_keys = Upstream::Chat
        .channel("one", first, "tier: 1,")
        .replace("api_key: sk-secret-one", "api_keys: [sk-secret-a, sk-secret-b]");
    Gateway::with_channels(&[two_keys, Upstream::Chat.channel("two", second, "tier: 2,")].concat()).await
}

#[tokio::test]
async fn a_dead_spent_or_limited_key_is_followed_by_the_channels_other_key() {
    for status in [401, 402, 403, 429] {
        // Whichever key is taken first is refused.
        let taken = std::sync::Mutex::new(None);
        let choosy = Scripted::by(move |request| {
            let key = request.header("authorization").map(str::to_owned);
            let mut taken = taken.lock().unwrap();
            if *taken.get_or_insert_with(|| key.clone()) == key {
                Script::reply(status, fixtures::openai_chat::ERROR_500)
            } else {
                Script::reply(200, fixtures::openai_chat::PLAIN)
            }
        })
        .await;
        let unused = Scripted::start(vec![]).await;
        let gateway = with_two_keys(&choosy.url(), &unused.url()).await;
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
        assert_eq!((answer.status, choosy.hits(), unused.hits()), (200, 2, 0), "{status}");
    }
}

#[tokio::test]
async fn after_all_keys_of_a_channel_comes_the_next_deployment_and_never_a_401() {
    let dead = Scripted::always(Script::reply(401, fixtures::openai_chat::ERROR_401)).await;
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = with_two_keys(&dead.url(), &healthy.url()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, dead.hits(), healthy.hits()), (200, 2, 1));

    let gateway = with_two_keys(&dead.url(), &dead.url()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, dead.hits()), (502, 5));
    assert_no_key(&answer);
}

#[tokio::test]
async fn a_failing_server_is_not_asked_again_with_another_key() {
    let failing = Scripted::always(Script::reply(500, fixtures::openai_chat::ERROR_500)).await;
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = with_two_keys(&failing.url(), &healthy.url()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, failing.hits(), healthy.hits()), (200, 1, 1));
}

/// What a caller is told when the two deployments answer so.
async fn told(first: Script, second: Script) -> Answer {
    let (first, second) = (Scripted::always(first).await, Scripted::always(second).await);
    let gateway = Gateway::with_channels(&two_tiers(Upstream::Chat, &first.url(), &second.url())).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((first.hits(), second.hits()), (1, 1));
    answer
}

#[tokio::test]
async fn a_missing_model_is_told_only_if_all_say_so() {
    let missing = || Script::reply(404, fixtures::openai_chat::ERROR_404_MODEL);
    let both = told(missing(), missing()).await;
    assert_eq!((both.status, &both.json()["error"]["code"]), (404, &"model_not_found".into()));
    assert_eq!(told(missing(), Script::reply(500, "")).await.status, 502);
    assert_eq!(told(Script::reply(500, ""), missing()).await.status, 502);
}

#[tokio::test]
async fn a_limit_is_told_with_the_sooner_of_the_waits_if_all_are_limited() {
    let limited = |wait| Script::reply(429, fixtures::openai_chat::ERROR_429).header("retry-after", wait);
    let answer = told(limited("30"), limited("7")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    let answer = told(limited("-5"), limited("soon")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "the sentence says 2 s");
    let answer = told(limited("1000000000"), limited("1000000000")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3600")));
    assert_eq!(told(limited("1"), Script::reply(503, "")).await.status, 502);
}

#[tokio::test]
async fn a_slow_first_byte_is_followed_by_the_next_deployment_and_is_a_504_without_one() {
    let slow = Scripted::always(Script::never_answer()).await;
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let impatient = "tier: 1, timeouts: {first_byte: 50ms},";
    let first = Upstream::Chat.channel("one", &slow.url(), impatient);
    let gateway =
        Gateway::with_channels(&[first.clone(), Upstream::Chat.channel("two", &healthy.url(), "tier: 2,")].concat())
            .await;
    assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 200);
    let gateway = Gateway::with_channels(&first).await;
    assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 504);
    slow.wait_aborted(2).await;
}

#[tokio::test]
async fn the_total_is_one_deadline_for_all_attempts() {
    let slow = Scripted::always(Script::never_answer()).await;
    let unused = Scripted::start(vec![]).await;
    let channels = [
        Upstream::Chat.channel("one", &slow.url(), "tier: 1, timeouts: {total: 200ms},"),
        Upstream::Chat.channel("two", &unused.url(), "tier: 2, timeouts: {total: 200ms},"),
    ];
    let gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, slow.hits(), unused.hits()), (504, 1, 0));
}

#[tokio::test]
async fn a_dripping_answer_ends_at_the_total() {
    let dripping = Script::stream(vec![" "; 10_000])
        .header("content-type", "application/json")
        .gap(std::time::Duration::from_millis(5));
    let slow = Scripted::start(vec![dripping]).await;
    let channel = Upstream::Chat.channel("one", &slow.url(), "timeouts: {total: 200ms},");
    let gateway = Gateway::with_channels(&channel).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    slow.wait_aborted(1).await;
}

#[tokio::test]
async fn an_oversized_answer_stops() {
    let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let endless = Script::stream(vec![piece; 40]).header("content-type", "application/json");
    let large = Scripted::start(vec![endless]).await;
    let unused = Scripted::start(vec![]).await;
    let gateway = Gateway::with_channels(&two_tiers(Upstream::Chat, &large.url(), &unused.url())).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, unused.hits()), (502, 0));
    large.wait_aborted(1).await;
}

#[tokio::test]
async fn with_retry_off_or_spent_the_first_failures_are_the_answer() {
    for (retry, hits) in [("{enabled: false}", (1, 0, 0)), ("{max_attempts: 2}", (1, 1, 0)), ("{}", (1, 1, 1))] {
        let failing = [(); 3].map(|()| Scripted::always(Script::reply(503, "")));
        let [one, two, three] = failing;
        let (one, two, three) = (one.await, two.await, three.await);
        let channels = [
            Upstream::Chat.channel("one", &one.url(), "tier: 1,"),
            Upstream::Chat.channel("two", &two.url(), "tier: 2,"),
            Upstream::Chat.channel("three", &three.url(), "tier: 3,"),
        ];
        let config = format!("keys: [{{name: test, key: {KEY}}}]\nretry: {retry}\nchannels:\n{}", channels.concat());
        let gateway = Gateway::start(&config).await;
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
        assert_eq!((answer.status, (one.hits(), two.hits(), three.hits())), (502, hits), "{retry}");
    }
}
