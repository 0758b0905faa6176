//! Makes of what was taken down what may be kept, and brings it into the database, beside the requests. Nothing waits for it: while the
//! database is away what is in memory is written later, and what does not fit there is lost and counted. Tests: `it/captures.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use waypost_core::redact::{About, Redacted, redact};
use waypost_core::secret::Secret;
use waypost_store::captures::{self, Body, CapturedCall, Direction};
use waypost_store::seal::Dice;
use waypost_store::{Store, Vault, VaultError};

use super::tape::{Recorded, Reel};
use super::{Counts, Order};
use crate::logbook::is_away;
use crate::pipeline::meter::Chain;

/// How long the job waits before it tries again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// In the place of an upload.
const UPLOAD: &str = "[an upload, which was passed on while it arrived]";

/// Keeps what was captured until every way in is gone and all of it is kept.
pub(super) async fn run(
    mut reels: mpsc::Receiver<Reel>,
    store: Store,
    vault: Arc<Vault>,
    mut dice: Dice,
    counts: Arc<Counts>,
) {
    while let Some(reel) = reels.recv().await {
        let order = Arc::clone(&reel.order);
        let id = dice.id("cpt");
        // A large body is long to read. The room that it has is given back afterwards.
        match tokio::task::spawn_blocking(move || developed(id, &reel)).await {
            Ok(call) => keep(&store, &vault, &mut dice, (&call, &order), &counts).await,
            Err(error) => {
                tracing::error!(%error, "a captured request could not be made ready to be kept");
                order.give_back(&counts);
            }
        }
        note_lost(&store, &order).await;
    }
}

async fn keep(store: &Store, vault: &Vault, dice: &mut Dice, (call, order): (&CapturedCall, &Order), counts: &Counts) {
    let mut pause = PAUSE.0;
    loop {
        match captures::keep(store, vault, dice, call).await {
            Ok(true) => {
                counts.kept.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // It was ended meanwhile, or others had kept all that was ordered.
            Ok(false) => return,
            Err(VaultError::Store(error)) if is_away(&error) => {
                if pause == PAUSE.0 {
                    tracing::warn!(error = %Chain(&error), "captured bodies wait for the database");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the bodies of a captured request could not be kept");
                order.give_back(counts);
                return;
            }
        }
    }
}

async fn note_lost(store: &Store, order: &Order) {
    let lost = order.lost.swap(0, Ordering::Relaxed);
    if lost > 0
        && let Err(error) = captures::note_lost(store, &order.capture.id, lost).await
    {
        tracing::warn!(error = %Chain(&error), "it could not be written down that captured bodies were lost");
        order.lost.fetch_add(lost, Ordering::Relaxed);
    }
}

/// What may be kept of a request.
fn developed(id: String, reel: &Reel) -> CapturedCall {
    let secrets = secrets(reel);
    let known: Vec<&str> = secrets.iter().map(Secret::expose).collect();
    let most = usize::try_from(reel.order.capture.limits.body_bytes).unwrap_or(usize::MAX);
    let request = match &reel.request {
        Some(body) => kept(Direction::Request, (body, reel.request_bytes, false), &known, most),
        None => {
            let bytes = i64::try_from(reel.request_bytes).unwrap_or(i64::MAX);
            Body { direction: Direction::Request, text: Secret::new(UPLOAD), bytes, cut: false, redacted: 1 }
        }
    };
    let Recorded { kept: beginning, whole, bytes, ended } = &reel.answer;
    let taken = whole.as_ref().map_or(&**beginning, Bytes::as_ref);
    let cut = !ended || (taken.len() as u64) < *bytes;
    let answer = kept(Direction::Answer, (taken, *bytes, cut), &known, most);
    let capture = &reel.order.capture;
    CapturedCall {
        id,
        capture: capture.id.clone(),
        request_id: reel.request_id.to_string(),
        owner: capture.owner.clone(),
        at: reel.at,
        bodies: vec![request, answer],
    }
}

fn kept(direction: Direction, (taken, bytes, cut): (&[u8], u64, bool), known: &[&str], most: usize) -> Body {
    let Redacted { mut text, places } = redact(taken, About { known, cut });
    let too_long = text.len() > most;
    if too_long {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Body {
        direction,
        text: Secret::new(text),
        bytes: number(bytes),
        cut: cut || too_long,
        redacted: number(places as u64),
    }
}

/// Everything that is known to be a secret: what the caller showed, and what is sent to providers, some of which say it back.
fn secrets(reel: &Reel) -> Vec<Secret> {
    let channels = reel.live.snapshot.channels.iter();
    let of_channels = channels.flat_map(|channel| {
        let credentials = channel.credentials.iter().filter_map(|credential| credential.header.as_ref());
        credentials.chain(&channel.headers).filter_map(|(_, value)| value.to_str().ok())
    });
    let bare = of_channels.map(|value| Secret::new(value.strip_prefix("Bearer ").unwrap_or(value)));
    bare.chain(reel.token.clone()).collect()
}
