//! A thousand reloads under five hundred open streams: none is cut, and no request is served by half of one configuration
//! and half of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use waypost_testkit::{Gate, Recorded, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const STREAMS: usize = 500;
const RELOADS: usize = 1000;
const CHAT: &str = "/v1/chat/completions";

/// Everything an upstream sees of a channel names the generation.
fn generation(number: usize, upstream: &Upstream) -> String {
    format!(
        "keys: [{{name: test, key: {KEY}}}]\nchannels:\n- {{name: g{number}, provider: openai, dialects: [openai_chat], \
         base_url: '{}/g{number}/v1', api_key: sk-g{number}, headers: {{x-generation: g{number}}}, \
         models: [{{name: m, upstream: m-g{number}}}]}}\n",
        upstream.url()
    )
}

/// The generation of a request, if all of it is of the same.
fn of_one(request: &Recorded) -> Option<String> {
    let generation = request.header("x-generation")?.to_owned();
    let agree = request.path() == format!("/{generation}/v1/chat/completions")
        && request.header("authorization") == Some(&format!("Bearer sk-{generation}"))
        && request.json()["model"] == format!("m-{generation}");
    agree.then_some(generation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_cut_no_stream_and_mix_no_configurations() {
    let gate = Gate::closed();
    let held = gate.clone();
    let mixed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&mixed);
    let pieces: Vec<&str> = fixtures::openai_chat::STREAM.split_inclusive("\n\n").collect();
    let count = pieces.len();
    let upstream = Upstream::by(move |request| {
        if of_one(request).is_none() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        if request.json()["stream"] == true {
            Script::stream(pieces.clone()).gated_after(3, &held)
        } else {
            Script::reply(200, fixtures::openai_chat::PLAIN)
        }
    })
    .await;
    let gateway = Gateway::start(&generation(0, &upstream)).await;

    let stream = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}],"stream":true}"#;
    let mut open = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let url = gateway.url().to_owned();
        open.push(tokio::spawn(async move { Request::post(CHAT, stream).bearer(KEY).open(&url).await }));
    }
    let mut streams = Vec::with_capacity(STREAMS);
    for live in open {
        let live = live.await.unwrap();
        assert_eq!(live.status, 200);
        streams.push(live);
    }

    let ask = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
    let over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (over, url) = (Arc::clone(&over), gateway.url().to_owned());
        tokio::spawn(async move {
            let mut asked = 0;
            while !over.load(Ordering::SeqCst) {
                let answer = Request::post(CHAT, ask).bearer(KEY).send(&url).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                asked += 1;
            }
            asked
        })
    };
    for number in 1..=RELOADS {
        gateway.take(&generation(number, &upstream));
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::SeqCst);
    let asked: usize = asking.await.unwrap();

    gate.pass(count * STREAMS);
    for mut live in streams {
        let text = String::from_utf8(live.rest().await.to_vec()).unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "a stream was cut: {text}");
    }
    assert_eq!(mixed.load(Ordering::SeqCst), 0, "requests of mixed configurations");
    let generations: std::collections::HashSet<_> = upstream.requests().iter().filter_map(of_one).collect();
    assert!(asked > 1 && generations.len() > 1, "{asked} requests saw {} configurations", generations.len());
}
