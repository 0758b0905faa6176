//! Captures over HTTP: ordered for one key, for a while and up to a number of requests; what was captured is shown to whoever may read
//! bodies, and each reading leaves a row in the audit log. Tests: `it/captures.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::captures::{self, Capture, CapturedCall, Filter, Limits};
use waypost_store::keys::{self, Owner};
use waypost_store::page::Scope;
use waypost_store::{StoreError, VaultError};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::keys::view::check_name;
use super::route::{Kind, Needs, Route, shape};

const READ: Needs = Needs::May(Action::ReadBodies);
const WRITE: Needs = Needs::May(Action::WriteCaptures);

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/captures"), "capture.list", "captures, the newest first", READ, Kind::List, |ask| {
        Box::pin(list(ask))
    })
    .giving(shape::<Page<CaptureView>>)
    .asking(&[("key", "only those of this key, by its id, or by its name if it is one of a file")]),
    Route::new(
        ("POST", "/admin/captures"),
        "capture.order",
        "keep the bodies of a key's requests for a while",
        WRITE,
        Kind::Make,
        |ask| Box::pin(order(ask)),
    )
    .taking(shape::<NewCapture>)
    .giving(shape::<CaptureView>),
    Route::new(("GET", "/admin/captures/{id}"), "capture.get", "one capture", READ, Kind::Show, |ask| {
        Box::pin(get(ask))
    })
    .giving(shape::<CaptureView>),
    Route::new(
        ("DELETE", "/admin/captures/{id}"),
        "capture.end",
        "end a capture at once, and delete what it has kept",
        WRITE,
        Kind::End,
        |ask| Box::pin(end(ask)),
    ),
    Route::new(
        ("GET", "/admin/logs/{id}/bodies"),
        "call.bodies",
        "what was captured of the newest call with this request id; reading it is written down in the audit log",
        READ,
        Kind::Show,
        |ask| Box::pin(bodies(ask)),
    )
    .giving(shape::<BodiesView>),
];

/// How long a capture may last, and lasts if nothing is said.
const MOST_SECONDS: i64 = 7 * 86_400;
const USUAL_SECONDS: i64 = 3600;
/// How many requests it may keep.
const MOST_CALLS: i64 = 1000;
const USUAL_CALLS: i64 = 100;
/// How much of a body it may keep.
const LEAST_BYTES: i64 = 1 << 10;
const MOST_BYTES: i64 = 1 << 20;
const USUAL_BYTES: i64 = 64 << 10;

/// An order to keep the bodies of one key's requests.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Capture")]
pub(super) struct CaptureView {
    id: String,
    created_at: i64,
    /// The id of the key; its name if it is one of a file.
    key: String,
    key_name: String,
    /// Whose the key was when it was ordered; of whoever has it later nothing is kept.
    user: Option<String>,
    team: Option<String>,
    /// In milliseconds since 1970, like `until`.
    from: i64,
    until: i64,
    /// Who ordered it; `token` is the admin token.
    ordered_by: String,
    why: String,
    /// The most that is kept of one body.
    body_bytes: i64,
    /// Of how many requests bodies are kept.
    calls: i64,
    /// Of how many they were.
    taken: i64,
    /// Of how many they were lost, because too much was waiting.
    lost: i64,
    /// Would a request be captured now?
    in_force: bool,
}

impl CaptureView {
    fn of(capture: Capture, now: i64) -> Self {
        Self {
            in_force: capture.is_in_force(now),
            id: capture.id,
            created_at: capture.created_at,
            key: capture.key,
            key_name: capture.key_name,
            user: capture.owner.user,
            team: capture.owner.team,
            from: capture.from,
            until: capture.until,
            ordered_by: capture.ordered_by,
            why: capture.why,
            body_bytes: capture.limits.body_bytes,
            calls: capture.limits.calls,
            taken: capture.taken,
            lost: capture.lost,
        }
    }
}

/// What is to be captured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCapture {
    /// The id of a key, or the name of one of a file.
    key: String,
    /// Why, for whoever reads the audit log.
    why: String,
    /// Milliseconds since 1970; now if nothing is said.
    #[serde(default)]
    from: Option<i64>,
    /// For how long, 1 to 604800 (7 days); an hour if nothing is said.
    #[serde(default)]
    seconds: Option<i64>,
    /// Of how many requests, 1 to 1000; 100 if nothing is said.
    #[serde(default)]
    calls: Option<i64>,
    /// How much of a body, 1024 to 1048576; 65536 if nothing is said.
    #[serde(default)]
    body_bytes: Option<i64>,
}

impl NewCapture {
    /// From when until when, and how much.
    fn bounds(&self, now: i64) -> Result<(i64, i64, Limits), GatewayError> {
        let within = |field: &str, said: Option<i64>, usual: i64, least: i64, most: i64| match said.unwrap_or(usual) {
            number if (least..=most).contains(&number) => Ok(number),
            _ => {
                let message = format!("`{field}` is a number from {least} to {most}.");
                Err(GatewayError::invalid_request(message, Some(field)))
            }
        };
        let seconds = within("seconds", self.seconds, USUAL_SECONDS, 1, MOST_SECONDS)?;
        let calls = within("calls", self.calls, USUAL_CALLS, 1, MOST_CALLS)?;
        let body_bytes = within("body_bytes", self.body_bytes, USUAL_BYTES, LEAST_BYTES, MOST_BYTES)?;
        let from = self.from.unwrap_or(now);
        let until = from.saturating_add(seconds * 1000);
        if from < 0 || until <= now || until == i64::MAX {
            let message =
                "`from` is a time in milliseconds since 1970, from which on the capture lasts into the future.";
            return Err(GatewayError::invalid_request(message, Some("from")));
        }
        Ok((from, until, Limits { body_bytes, calls }))
    }
}

/// The bodies of one call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallBodies")]
pub(super) struct BodiesView {
    request_id: String,
    /// The capture that kept them.
    capture: String,
    /// Milliseconds since 1970.
    at: i64,
    bodies: Vec<BodyView>,
}

/// One body.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallBody")]
pub(super) struct BodyView {
    /// `request` is what the caller sent, `answer` what it was sent.
    direction: &'static str,
    /// Without its secrets and media.
    text: String,
    /// How long the body was.
    bytes: i64,
    /// Its end is missing: it was too long, or it never came.
    cut: bool,
    /// How many secrets and media were taken out.
    redacted: i64,
}

impl BodiesView {
    fn of(call: CapturedCall) -> Self {
        let bodies = call.bodies.into_iter().map(|body| BodyView {
            direction: body.direction.name(),
            // Whoever asks may read bodies.
            text: body.text.expose().to_owned(),
            bytes: body.bytes,
            cut: body.cut,
            redacted: body.redacted,
        });
        Self { bodies: bodies.collect(), request_id: call.request_id, capture: call.capture, at: call.at }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (filter, after, now) = (Filter { key: ask.query.get("key") }, ask.after()?, ask.now());
    let page = captures::page(ask.store()?, &ask.scope()?, &filter, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, |capture| CaptureView::of(capture, now)))
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let capture = captures::get(ask.store()?, &ask.scope()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    Answer::shown(&CaptureView::of(capture, ask.now()))
}

async fn order(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (wanted, now) = (ask.input::<NewCapture>()?, ask.now());
    check_name("why", &wanted.why)?;
    let (from, until, limits) = wanted.bounds(now)?;
    if !ask.app.captures.can_keep() {
        let message =
            "This gateway keeps no log of calls, so it keeps no bodies: switch `logging.database.enabled` on first.";
        return Err(GatewayError::conflict(message, None));
    }
    let (key, key_name, owner) = meant(&ask, &wanted.key).await?;
    let capture = Capture {
        id: ask.new_id("cap")?,
        created_at: now,
        key,
        key_name,
        owner,
        from,
        until,
        ordered_by: ask.actor.id.to_string(),
        why: wanted.why,
        limits,
        taken: 0,
        lost: 0,
    };
    let mut tx = ask.begin().await?;
    captures::order(&mut tx, &capture).await.map_err(|error| ask.fault(error))?;
    let (id, team) = (capture.id.clone(), capture.owner.team.clone());
    let view = CaptureView::of(capture, now);
    ask.commit(tx, &id, team.as_deref(), &json!({ "capture": view })).await?;
    ask.take_effect("capture", &id).await?;
    // It never changes, so it has no other version.
    Answer::made(&view, 1)
}

/// The key that is meant: its id, its name, and whose it is. Keys of files are only within reach of those who see everything.
async fn meant(ask: &Ask<'_>, wanted: &str) -> Result<(String, String, Owner), GatewayError> {
    let scope = ask.scope()?;
    match keys::get(ask.store()?, &scope, wanted).await {
        Ok(key) if key.revoked_at.is_none() => return Ok((key.id, key.name, key.owner)),
        Ok(_) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(ask.fault(error)),
    }
    let live = ask.app.live();
    let filed = live.snapshot.keys.values().find(|caller| scope == Scope::All && *caller.id == *wanted);
    let filed = filed.map(|caller| {
        let owner =
            Owner { user: caller.user.as_deref().map(str::to_owned), team: caller.team.as_deref().map(str::to_owned) };
        (caller.id.to_string(), caller.name.to_string(), owner)
    });
    filed.ok_or_else(|| {
        let message = format!("There is no key `{wanted}` here that is in force; give the id of one.");
        GatewayError::invalid_request(message, Some("key"))
    })
}

async fn end(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (store, scope) = (ask.store()?, ask.scope()?);
    let mut tx = ask.begin().await?;
    let capture = captures::end(store, &mut tx, &scope, ask.id()).await.map_err(|error| ask.fault(error))?;
    let (id, team) = (capture.id.clone(), capture.owner.team.clone());
    ask.commit(tx, &id, team.as_deref(), &json!({ "capture": CaptureView::of(capture, ask.now()) })).await?;
    ask.take_effect("capture", &id).await?;
    Ok(Answer::done())
}

async fn bodies(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let none = || GatewayError::no_such(ask.id());
    let vault = ask.app.vault.get().ok_or_else(none)?;
    let found = captures::of_request(ask.store()?, vault, &ask.scope()?, ask.id()).await;
    let call = found.map_err(|error| fault(&ask, error))?.ok_or_else(none)?;
    // Nobody has read what is not written down.
    let detail = json!({ "capture": call.capture, "at": call.at });
    ask.commit(ask.begin().await?, ask.id(), call.owner.team.as_deref(), &detail).await?;
    Answer::shown(&BodiesView::of(call))
}

fn fault(ask: &Ask<'_>, error: VaultError) -> GatewayError {
    match error {
        VaultError::Store(error) => ask.fault(error),
        VaultError::Seal(error) => GatewayError::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(said: serde_json::Value) -> Result<(i64, i64, Limits), Option<String>> {
        let wanted: NewCapture = serde_json::from_value(said).unwrap();
        wanted.bounds(1_000_000).map_err(|error| error.param().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_is_an_hour_a_hundred_requests_and_64_kib() {
        let limits = Limits { body_bytes: 65_536, calls: 100 };
        assert_eq!(bounds(json!({ "key": "k", "why": "w" })), Ok((1_000_000, 4_600_000, limits)));
    }

    #[test]
    fn a_capture_is_bounded_in_time_number_and_size_and_begins_no_later_than_it_ends() {
        for (field, wrong) in [
            ("seconds", [0, -1, 604_801]),
            ("calls", [0, -1, 1001]),
            ("body_bytes", [1023, -1, 1_048_577]),
            ("from", [-1, -3_000_000, i64::MAX]),
        ] {
            for number in wrong {
                let said = json!({ "key": "k", "why": "w", field: number });
                assert_eq!(bounds(said), Err(Some(field.to_owned())), "{field} {number}");
            }
        }
        // An hour that is over.
        assert!(bounds(json!({ "key": "k", "why": "w", "from": 1, "seconds": 100 })).is_err());
    }
}
