//! What is proved: each proof sets its stage, asks, and says what was not as it should be.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::stage::{Heard, Stage, channel};
use super::upstream::{ANSWER, Act, Upstream};
use crate::jobs::Jobs;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}],"stream":true,"stream_options":{"include_usage":true}}"#;
const MESSAGES: &str = "/v1/messages";
const MESSAGE: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello!"}]}"#;
const MESSAGE_STREAM: &str =
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello!"}],"stream":true}"#;
/// Pauses between attempts would only make the proofs longer.
const QUICK: &str = "retry: {backoff: {base: 1ms}}";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Whole,
    Stream,
    Translated,
    TranslatedStream,
    ServerError,
    DeadKey,
    Refused,
    Died,
    Limited,
    Breaker,
    AllFail,
}

pub(super) const PROOFS: [(Proof, &str); 11] = [
    (Proof::Whole, "an answer comes through byte for byte"),
    (Proof::Stream, "a stream comes through to its end"),
    (Proof::Translated, "an Anthropic caller is answered by an OpenAI upstream"),
    (Proof::TranslatedStream, "and so is one that wants a stream"),
    (Proof::ServerError, "a 500 is followed by the next account"),
    (Proof::DeadKey, "a dead key is followed by the next one, and not sent again"),
    (Proof::Refused, "a refused connection is followed by the next account"),
    (Proof::Died, "a stream that dies before its first word is told by another"),
    (Proof::Limited, "a rate limit is obeyed for as long as the provider asks"),
    (Proof::Breaker, "an account that fails is left alone, tried out and used again"),
    (Proof::AllFail, "when all accounts fail, the caller gets one clean error"),
];

/// Proves one thing, or says what was wrong.
pub(super) async fn prove(proof: Proof, jobs: &Jobs) -> Result<(), String> {
    match proof {
        Proof::Whole => whole(jobs).await,
        Proof::Stream => stream(jobs).await,
        Proof::Translated => translated(jobs).await,
        Proof::TranslatedStream => translated_stream(jobs).await,
        Proof::ServerError => second(jobs, |_| Act::Fail(500), ASK).await,
        Proof::DeadKey => dead_key(jobs).await,
        Proof::Refused => refused(jobs).await,
        Proof::Died => second(jobs, |_| Act::Die, STREAM).await,
        Proof::Limited => limited(jobs).await,
        Proof::Breaker => breaker(jobs).await,
        Proof::AllFail => all_fail(jobs).await,
    }
}

/// A gateway before one upstream that is well.
async fn well(jobs: &Jobs) -> Result<Stage, String> {
    let upstream = Upstream::start(jobs, |_| Act::Answer).await?;
    Stage::open(jobs, QUICK, &[channel("a", &upstream.url(), "")]).await
}

async fn whole(jobs: &Jobs) -> Result<(), String> {
    let heard = well(jobs).await?.post(CHAT, ASK).await?;
    answered(&heard)?;
    ensure(heard.text() == ANSWER, || format!("the answer was changed: {}", heard.text()))
}

async fn stream(jobs: &Jobs) -> Result<(), String> {
    let heard = well(jobs).await?.post(CHAT, STREAM).await?;
    told(&heard)
}

async fn translated(jobs: &Jobs) -> Result<(), String> {
    let heard = well(jobs).await?.post(MESSAGES, MESSAGE).await?;
    answered(&heard)?;
    let json = heard.json();
    let right =
        json["type"] == "message" && json["content"][0]["text"] == "Hello!" && json["usage"]["input_tokens"] == 3;
    ensure(right, || format!("this is no message: {}", heard.text()))
}

async fn translated_stream(jobs: &Jobs) -> Result<(), String> {
    let heard = well(jobs).await?.post(MESSAGES, MESSAGE_STREAM).await?;
    answered(&heard)?;
    let right =
        ["event: message_start", "Hello!", "event: message_stop"].iter().all(|word| heard.text().contains(word));
    ensure(right, || format!("this is no stream of a message: {}", heard.text()))
}

/// The first account does this, the second one answers.
async fn second(
    jobs: &Jobs,
    first: impl Fn(&super::upstream::Asked) -> Act + Send + Sync + 'static,
    ask: &'static str,
) -> Result<(), String> {
    let (ill, well) = (Upstream::start(jobs, first).await?, Upstream::start(jobs, |_| Act::Answer).await?);
    let channels = [channel("a", &ill.url(), ""), channel("b", &well.url(), "tier: 2")];
    let heard = Stage::open(jobs, QUICK, &channels).await?.post(CHAT, ask).await?;
    if ask == STREAM {
        told(&heard)?
    } else {
        answered(&heard)?
    }
    by(&heard, "b/m")?;
    ensure((ill.hits(), well.hits()) == (1, 1), || format!("{} and {} requests were sent", ill.hits(), well.hits()))
}

async fn dead_key(jobs: &Jobs) -> Result<(), String> {
    let account = Upstream::start(jobs, |asked| if asked.key == "k1" { Act::Fail(401) } else { Act::Answer }).await?;
    let stage = Stage::open(jobs, QUICK, &[channel("a", &account.url(), "api_keys: [k1, k2]")]).await?;
    for _ in 0..3 {
        answered(&stage.post(CHAT, ASK).await?)?;
    }
    ensure(account.keys() == ["k1", "k2", "k2", "k2"], || {
        format!("these keys were sent: {}", account.keys().join(", "))
    })
}

async fn refused(jobs: &Jobs) -> Result<(), String> {
    // Nobody listens there any more once the listener is gone.
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    drop(listener);
    let well = Upstream::start(jobs, |_| Act::Answer).await?;
    let channels = [channel("a", &format!("http://{address}/v1"), ""), channel("b", &well.url(), "tier: 2")];
    let heard = Stage::open(jobs, QUICK, &channels).await?.post(CHAT, ASK).await?;
    answered(&heard)?;
    by(&heard, "b/m")
}

async fn limited(jobs: &Jobs) -> Result<(), String> {
    let limit = |asked: &super::upstream::Asked| if asked.before == 0 { Act::Limit(1) } else { Act::Answer };
    let (first, other) = (Upstream::start(jobs, limit).await?, Upstream::start(jobs, |_| Act::Answer).await?);
    let channels = [channel("a", &first.url(), ""), channel("b", &other.url(), "tier: 2")];
    let stage = Stage::open(jobs, QUICK, &channels).await?;
    for _ in 0..3 {
        let heard = stage.post(CHAT, ASK).await?;
        answered(&heard)?;
        by(&heard, "b/m")?;
    }
    ensure(first.hits() == 1, || format!("the limited account was asked {} times", first.hits()))?;
    sleep(Duration::from_millis(1050)).await;
    by(&stage.post(CHAT, ASK).await?, "a/m")
}

async fn breaker(jobs: &Jobs) -> Result<(), String> {
    let act = |asked: &super::upstream::Asked| if asked.before < 2 { Act::Fail(503) } else { Act::Answer };
    let account = Upstream::start(jobs, act).await?;
    let settings = "retry: {max_attempts: 1}\nbreaker: {failures: 2, open_for: 300ms, reset_after: 1m, ramp: 1ms}";
    let stage = Stage::open(jobs, settings, &[channel("a", &account.url(), "")]).await?;
    for expected in [502, 502, 503, 503] {
        let status = stage.post(CHAT, ASK).await?.status;
        ensure(status == expected, || format!("status {status} instead of {expected}"))?;
    }
    ensure(account.hits() == 2, || format!("the isolated account was asked {} times", account.hits()))?;
    sleep(Duration::from_millis(350)).await;
    for _ in 0..3 {
        answered(&stage.post(CHAT, ASK).await?)?;
    }
    Ok(())
}

async fn all_fail(jobs: &Jobs) -> Result<(), String> {
    let (first, other) = (Upstream::start(jobs, |_| Act::Fail(500)).await?, Upstream::start(jobs, |_| Act::Die).await?);
    let channels = [channel("a", &first.url(), ""), channel("b", &other.url(), "tier: 2")];
    let heard = Stage::open(jobs, QUICK, &channels).await?.post(MESSAGES, MESSAGE_STREAM).await?;
    let right = heard.status == 502 && heard.json()["type"] == "error";
    ensure(right, || format!("status {}: {}", heard.status, heard.text()))
}

// === what is expected ===

fn answered(heard: &Heard) -> Result<(), String> {
    ensure(heard.status == 200, || format!("status {}: {}", heard.status, heard.text()))
}

/// A stream with its word and its end.
fn told(heard: &Heard) -> Result<(), String> {
    answered(heard)?;
    let right = heard.text().contains("Hello!") && heard.text().trim_end().ends_with("data: [DONE]");
    ensure(right, || format!("the stream is not whole: {}", heard.text()))
}

fn by(heard: &Heard, deployment: &str) -> Result<(), String> {
    let answered = heard.header("x-waypost-deployment");
    ensure(answered == deployment, || format!("`{answered}` answered instead of `{deployment}`"))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
