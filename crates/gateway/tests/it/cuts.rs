//! Every recorded stream of every upstream dialect, for a caller of every dialect, cut at every event and within each: what is
//! charged is exact, grows with what was delivered, never exceeds the whole answer or what was held, and all of it together
//! is what the ledger says.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use waypost_core::ledger::Account;
use waypost_core::usage::{Basis, Outcome, UsageRecord, estimate};
use waypost_store::journal::{Position, Record};
use waypost_store::ledger::ChainKey;
use waypost_store::money::{Money, Settings};
use waypost_testkit::{Client, Request, Script, Upstream as Server, fixtures};
use waypost_wire::Dialect;
use waypost_wire::chat::Usage;
use waypost_wire::chat::event::Event;
use waypost_wire::sse::Framer;

use crate::dialects::{Caller, Upstream};
use crate::harness::{Database, Gateway, KEY, NOW};

/// Prices in pico-USD for a token, none of them whole nano-USD.
const INPUT: u128 = 123_457;
const OUTPUT: u128 = 987_653;
const CACHE_READ: u128 = 12_347;
const CACHE_WRITE: u128 = 151_999;
const CACHE_WRITE_1H: u128 = 240_001;
const REASONING: u128 = 987_659;
const PRICES: &str = "prices: [{model: m, input: 0.123457, output: 0.987653, cache_read: 0.012347, cache_write: 0.151999, \
                      cache_write_1h: 0.240001, reasoning: 0.987659}]\n";

/// A gateway whose upstream plays what it is told, with its books.
struct Till {
    gateway: Gateway,
    money: Money,
    play: Arc<Mutex<Script>>,
    client: Client,
    asked: u64,
    _upstream: Server,
    _database: Database,
}

impl Till {
    async fn open(upstream: Upstream) -> Self {
        let play = Arc::new(Mutex::new(Script::never_answer()));
        let told = Arc::clone(&play);
        let server = Server::forgetful(move |_| told.lock().unwrap().clone()).await;
        let database = Database::sqlite().await;
        let settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let (money, _) = Money::open(database.store.clone(), &folder, settings, NOW).await.expect("money opens");
        let channel = upstream.channel("one", &server.url(), "");
        let yaml = format!(
            "keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n{PRICES}channels:\n{channel}"
        );
        let gateway = Gateway::with_money(&yaml, database.store.clone(), money.clone()).await;
        let client = Client::connect(gateway.url()).await;
        Self { gateway, money, play, client, asked: 0, _upstream: server, _database: database }
    }

    /// What becomes of a request whose upstream does this.
    async fn charged(&mut self, caller: Caller, body: &str, script: Script) -> UsageRecord {
        *self.play.lock().unwrap() = script;
        self.asked += 1;
        let request = Request::post(caller.path(), body.to_owned()).bearer(KEY);
        let request = request.header("x-request-id", &format!("n{}", self.asked));
        // A caller of a stream that broke may be hung up on.
        if self.client.try_send(&request).await.is_err() {
            self.client = Client::connect(self.gateway.url()).await;
        }
        let record = self.gateway.record().await;
        assert_eq!(*record.request_id, *format!("n{}", self.asked));
        record
    }

    /// The journal has for each request what was held first, and never more than that afterwards; the ledger has the sum.
    async fn close(self, sum: i64) {
        self.money.journal().close();
        let mut held: HashMap<Arc<str>, i64> = HashMap::new();
        let mut told: HashMap<Arc<str>, i64> = HashMap::new();
        let mut from = Position::default();
        loop {
            let (records, next) = self.money.journal().read(from).expect("it can be read");
            if records.is_empty() {
                break;
            }
            for (_, record) in records {
                match record {
                    Record::Hold(hold) => drop(held.insert(hold.request, hold.amount.get())),
                    Record::Checkpoint(point) => {
                        let before = told.insert(Arc::clone(&point.request), point.cost.get()).unwrap_or(0);
                        assert!(point.cost.get() <= held[&point.request], "{point:?}");
                        assert!(before >= 0 && point.cost.get() >= 0);
                    }
                    Record::Settle(settle) => assert!(settle.cost.get() <= held[&settle.request], "{settle:?}"),
                    Record::Release(_) | Record::Anchor(_) | Record::Seal => {}
                }
            }
            from = next;
        }
        assert_eq!(held.len() as u64, self.asked, "each request was held for");
        assert!(!told.is_empty(), "some were told of on the way");
        self.money.close(NOW).await.expect("the journal is folded");
        let report = self.money.verify(&mut self.money.verifier(), NOW).await.expect("the books can be read");
        assert!(report.flaws.is_empty(), "{:?}", report.flaws);
        let balance = self.money.store().balance(&Account::key("test")).await.expect("it can be read");
        assert_eq!(balance.map_or(0, |balance| balance.spent.get()), sum);
    }
}

/// A request that may use as much as any of the recorded answers did.
fn request(caller: Caller) -> String {
    let text = "word ".repeat(4000);
    let messages = json!([{ "role": "user", "content": text }]);
    match caller {
        Caller::Chat => json!({ "model": "m", "stream": true, "max_tokens": 8000, "messages": messages }),
        Caller::Messages => json!({ "model": "m", "stream": true, "max_tokens": 8000, "messages": messages }),
        Caller::Responses => json!({ "model": "m", "stream": true, "max_output_tokens": 8000, "input": text }),
    }
    .to_string()
}

/// What usage costs, worked out anew: each token in its class, rounded up once.
fn price(usage: &Usage) -> i64 {
    let count = |tokens: Option<u64>| u128::from(tokens.unwrap_or(0));
    let (read, write, reasoning) = (count(usage.cache_read), count(usage.cache_write), count(usage.reasoning));
    let long = count(usage.cache_write_1h);
    assert!(read + write <= count(usage.input) && long <= write && reasoning <= count(usage.output), "{usage:?}");
    let pico = (count(usage.input) - read - write) * INPUT
        + read * CACHE_READ
        + (write - long) * CACHE_WRITE
        + long * CACHE_WRITE_1H
        + (count(usage.output) - reasoning) * OUTPUT
        + reasoning * REASONING;
    i64::try_from(pico.div_ceil(1000)).unwrap()
}

fn cost(record: &UsageRecord) -> i64 {
    record.cost.as_ref().map_or(0, |cost| cost.nano_usd)
}

fn dialect(upstream: Upstream) -> Dialect {
    match upstream {
        Upstream::Chat => Dialect::OpenaiChat,
        Upstream::Anthropic => Dialect::Anthropic,
        Upstream::Responses => Dialect::OpenaiResponses,
        Upstream::Gemini => Dialect::Gemini,
    }
}

/// The recorded streams of a dialect, by name.
fn recordings(upstream: Upstream) -> Vec<(String, String)> {
    let name = dialect(upstream).name();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in [format!("wire/tests/golden/chat/{name}"), format!("testkit/fixtures/{name}")] {
        for entry in std::fs::read_dir(crates.join(&folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "sse") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// How many bytes of words, thoughts and calls are in a stream. What is no text counts by its size, as far less.
fn words(upstream: Upstream, bytes: &str) -> u64 {
    let (mut framer, mut decoder) = (Framer::new(1 << 20), dialect(upstream).codec().stream_decoder());
    framer.push(Bytes::copy_from_slice(bytes.as_bytes()));
    let (mut events, mut media) = (Vec::new(), 0);
    while let Some(frame) = framer.next_frame().unwrap().or_else(|| framer.finish()) {
        let before = events.len();
        if decoder.frame(&frame, &mut events).is_err() {
            break;
        }
        if events.iter().skip(before).any(|event| matches!(event, Event::Opaque { .. } | Event::Audio { .. })) {
            media += frame.data().map_or(0, <[u8]>::len) as u64 / 25;
        }
    }
    let length = |event: &Event| match event {
        Event::Text { text, .. }
        | Event::Refusal { text, .. }
        | Event::Reasoning { text, .. }
        | Event::ToolArguments { text, .. } => text.len(),
        Event::ToolCall { name, .. } => name.len(),
        _ => 0,
    };
    media + events.iter().map(|event| length(event) as u64).sum::<u64>()
}

/// Where to cut a stream: behind each event, and for those who are told byte for byte also within.
fn cuts(bytes: &str, within: bool) -> Vec<usize> {
    let mut cuts = vec![0];
    for event in fixtures::events(bytes) {
        let from = cuts.last().copied().unwrap_or(0);
        if within {
            cuts.extend([from + event.len() / 2, from + event.len() - 1]);
        }
        cuts.push(from + event.len());
    }
    cuts
}

/// The most that a cut stream can be charged: by what its provider says at the end, or by what is known before that.
fn most(whole: &Usage, body: &str, words: u64) -> Usage {
    Usage {
        input: whole.input.max(Some(estimate(body.len() as u64))),
        output: whole.output.max(Some(estimate(words))),
        // What is read from a cache is cheaper, so the most is without.
        cache_read: None,
        ..*whole
    }
}

async fn cut_everywhere(upstream: Upstream) {
    let mut till = Till::open(upstream).await;
    let (mut sum, mut compared, mut complete) = (0, 0, 0);
    for (name, bytes) in recordings(upstream) {
        let words = words(upstream, &bytes);
        for caller in Caller::ALL {
            let body = request(caller);
            let whole = till.charged(caller, &body, Script::stream([bytes.clone()])).await;
            complete += usize::from(whole.outcome == Outcome::Complete);
            assert_eq!(cost(&whole), price(&whole.usage), "{name} for {caller:?}, whole");
            sum += cost(&whole);
            let most = most(&whole.usage, &body, words);
            let mut before: Option<UsageRecord> = None;
            for cut in cuts(&bytes, caller.own() == upstream) {
                let story = format!("{name} for {caller:?}, cut at {cut} of {}", bytes.len());
                let script = match cut {
                    0 => Script::stream(Vec::<Bytes>::new()).cut_after(0),
                    _ => Script::stream([Bytes::copy_from_slice(&bytes.as_bytes()[..cut])]).cut_after(1),
                };
                let record = till.charged(caller, &body, script).await;
                sum += cost(&record);
                if record.outcome == Outcome::Failed {
                    assert_eq!(cost(&record), 0, "{story}: nothing was delivered");
                    continue;
                }
                assert_eq!(cost(&record), price(&record.usage), "{story}");
                assert!(cost(&record) <= price(&most), "{story}: {:?} of {most:?}", record.usage);
                // Where the provider has said what it counted, or never does, a part is never dearer than the whole.
                if record.usage.input == whole.usage.input && Some(estimate(words)) <= whole.usage.output {
                    assert!(cost(&record) <= cost(&whole), "{story}: {:?} of {:?}", record.usage, whole.usage);
                    compared += 1;
                }
                if let Some(before) = before
                    && before.usage.input == record.usage.input
                    && record.basis == Basis::Estimated
                {
                    assert!(cost(&before) <= cost(&record), "{story}: {:?}, then {:?}", before.usage, record.usage);
                }
                before = Some(record);
            }
        }
    }
    assert!(complete >= 12 && compared >= 50, "{complete} whole answers, {compared} comparisons");
    till.close(sum).await;
}

#[tokio::test]
async fn a_chat_stream_is_charged_exactly_wherever_it_is_cut() {
    cut_everywhere(Upstream::Chat).await;
}

#[tokio::test]
async fn an_anthropic_stream_is_charged_exactly_wherever_it_is_cut() {
    cut_everywhere(Upstream::Anthropic).await;
}

#[tokio::test]
async fn a_responses_stream_is_charged_exactly_wherever_it_is_cut() {
    cut_everywhere(Upstream::Responses).await;
}

#[tokio::test]
async fn a_gemini_stream_is_charged_exactly_wherever_it_is_cut() {
    cut_everywhere(Upstream::Gemini).await;
}
