//! How a row about upstreams is told: a faulty upstream alone, then with a healthy one behind it, for callers of every
//! dialect; and what must hold whatever went wrong.

use std::future::Future;

use waypost_core::usage::{AttemptOutcome, Outcome};
use waypost_testkit::{Answer, ClosedPort, Peer, Script, Upstream as Scripted};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY};

/// What faulty upstreams say, and no caller may ever see.
pub(super) const MARK: &str = "words-of-the-upstream";
/// The faulty channel's key.
pub(super) const SECRET: &str = "sk-secret-one";

/// Long enough for loopback, short enough to be waited for.
pub(super) const SHORT: &str = "timeouts: {connect: 300ms, first_byte: 300ms, idle: 300ms, total: 5s},";

/// A faulty upstream.
pub(super) enum Faulty {
    Scripted(Scripted),
    Peer(Peer),
    Closed(ClosedPort),
    /// Any address, such as one that speaks another protocol.
    At(String, Peer),
}

impl Faulty {
    pub(super) async fn plays(script: Script) -> Self {
        Self::Scripted(Scripted::always(script).await)
    }

    fn url(&self) -> String {
        match self {
            Self::Scripted(scripted) => scripted.url(),
            Self::Peer(peer) => peer.url(),
            Self::Closed(port) => port.url(),
            Self::At(url, _) => url.clone(),
        }
    }

    /// How often it was asked: requests, or connections if it never reads any.
    fn asked(&self) -> Option<usize> {
        match self {
            Self::Scripted(scripted) => Some(scripted.hits()),
            Self::Peer(peer) | Self::At(_, peer) => Some(peer.connections()),
            Self::Closed(_) => None,
        }
    }
}

/// What a row demands.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The status a caller sees if nobody else can answer.
    pub(super) status: u16,
    /// Whether the next deployment is asked.
    pub(super) fails_over: bool,
}

/// The next deployment answers; without one, the caller sees this status.
pub(super) const fn fails_over(status: u16) -> Row {
    Row { status, fails_over: true }
}

/// The caller sees this status, and nobody else is asked.
pub(super) const fn stops(status: u16) -> Row {
    Row { status, fails_over: false }
}

/// Who asks whom, and whether for a stream: each dialect by itself and two pairs that are translated.
pub(super) const PAIRS: [(Caller, Upstream, bool); 6] = [
    (Caller::Chat, Upstream::Chat, false),
    (Caller::Chat, Upstream::Chat, true),
    (Caller::Messages, Upstream::Anthropic, false),
    (Caller::Responses, Upstream::Responses, true),
    (Caller::Messages, Upstream::Chat, true),
    (Caller::Responses, Upstream::Gemini, false),
];

pub(super) fn request(caller: Caller, stream: bool) -> String {
    if stream { caller.stream_request() } else { caller.request().to_owned() }
}

/// An upstream that answers as it is asked.
pub(super) async fn healthy(upstream: Upstream) -> Scripted {
    Scripted::by(move |request| {
        let streams = request.path_and_query.contains("alt=sse") || request.text().contains("\"stream\":true");
        if streams { Script::stream(upstream.events()) } else { Script::reply(200, upstream.plain()) }
    })
    .await
}

/// A gateway that tries a channel's deployment once.
pub(super) async fn alone(channel: &str) -> Gateway {
    Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nchannels:\n{channel}\n"))
        .await
}

/// Proves a row for every pair. `faulty` starts one faulty upstream; `more` are settings of its channel.
pub(super) async fn prove<F: Future<Output = Faulty>>(what: &str, row: Row, more: &str, faulty: impl Fn() -> F) {
    let [a, b, c, d, e, f] = PAIRS.map(|pair| Box::pin(tell(what, row, pair, more, &faulty)));
    // Together, since some of them wait.
    tokio::join!(a, b, c, d, e, f);
}

async fn tell<F: Future<Output = Faulty>>(
    what: &str,
    row: Row,
    pair: (Caller, Upstream, bool),
    more: &str,
    faulty: &impl Fn() -> F,
) {
    let (caller, upstream, stream) = pair;
    let story = format!("{what}, {caller:?} over {upstream:?}, streamed: {stream}");
    let alone = async { tell_alone(&story, row, pair, more, faulty().await).await };
    let both = async { tell_both(&story, row, pair, more, faulty().await).await };
    tokio::join!(alone, both);
}

/// Proves a row for a script.
pub(super) async fn prove_script(what: &str, row: Row, more: &str, script: Script) {
    prove(what, row, more, || Faulty::plays(script.clone())).await;
}

async fn tell_alone(story: &str, row: Row, pair: (Caller, Upstream, bool), more: &str, faulty: Faulty) {
    let (caller, upstream, stream) = pair;
    let mut gateway = alone(&upstream.channel("one", &faulty.url(), more)).await;
    let answer = gateway.post(caller.path(), request(caller, stream)).await;
    assert_eq!(answer.status, row.status, "{story}: {}", answer.text());
    assert_refused(caller, &answer, story);
    let record = gateway.record().await;
    gateway.assert_no_record();
    assert_eq!((record.outcome, record.status, record.attempts), (Outcome::Failed, row.status, 1), "{story}");
    assert_eq!((record.usage.input, record.usage.output), (None, None), "{story}: nothing is charged");
    assert!(faulty.asked().is_none_or(|asked| asked == 1), "{story}: asked {:?} times", faulty.asked());
}

async fn tell_both(story: &str, row: Row, pair: (Caller, Upstream, bool), more: &str, faulty: Faulty) {
    let (caller, upstream, stream) = pair;
    let healthy = healthy(upstream).await;
    let channels = [
        upstream.channel("one", &faulty.url(), &format!("tier: 1, {more}")),
        upstream.channel("two", &healthy.url(), "tier: 2,"),
    ];
    let mut gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post(caller.path(), request(caller, stream)).await;
    let record = gateway.record().await;
    gateway.assert_no_record();
    assert_clean(&answer, story);
    if row.fails_over {
        assert_eq!((answer.status, healthy.hits()), (200, 1), "{story}: {}", answer.text());
        assert_eq!((record.outcome, record.attempts), (Outcome::Complete, 2), "{story}");
        assert_eq!(record.deployment.as_deref(), Some("two/m"), "{story}");
        let trail: Vec<_> = record.trail.iter().map(|one| (&*one.deployment, failed(one.outcome))).collect();
        assert_eq!(trail, [("one/m", true), ("two/m", false)], "{story}");
        assert!(record.usage.input > Some(0) && record.usage.output > Some(0), "{story}: {:?}", record.usage);
    } else {
        assert_eq!((answer.status, healthy.hits()), (row.status, 0), "{story}: {}", answer.text());
        assert_eq!((record.outcome, record.attempts), (Outcome::Failed, 1), "{story}");
    }
    assert!(faulty.asked().is_none_or(|asked| asked == 1), "{story}: asked {:?} times", faulty.asked());
}

fn failed(outcome: AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Failed(_))
}

/// An error in the caller's own dialect, in our own words, with a wait exactly where there is something to wait for.
pub(super) fn assert_refused(caller: Caller, answer: &Answer, story: &str) {
    assert_clean(answer, story);
    assert!(caller.is_error_body(answer), "{story}: {}", answer.text());
    let wait = answer.header("retry-after").map(|wait| wait.parse::<u32>().expect("whole seconds"));
    assert_eq!(wait.is_some(), matches!(answer.status, 429 | 503), "{story}");
    assert!(wait.is_none_or(|wait| (1..=3600).contains(&wait)), "{story}: {wait:?}");
}

/// Neither words nor headers of the upstream's own reach a caller, and its key never.
pub(super) fn assert_clean(answer: &Answer, story: &str) {
    const DENIED: [&str; 10] = [
        "set-cookie",
        "alt-svc",
        "server",
        "link",
        "location",
        "refresh",
        "via",
        "www-authenticate",
        "content-encoding",
        "retry-after-ms",
    ];
    for (name, value) in answer.headers.iter() {
        let name = name.to_ascii_lowercase();
        assert!(!DENIED.contains(&&*name) && !name.contains("ratelimit"), "{story}: {name}: {value}");
        assert!(!value.contains(MARK) && !value.contains("sk-secret"), "{story}: {name}: {value}");
    }
    let body = String::from_utf8_lossy(&answer.body);
    assert!(!body.contains(MARK) && !body.contains("sk-secret"), "{story}: {body}");
}
