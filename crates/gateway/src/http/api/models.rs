//! `GET /v1/models` and `/v1/models/{id}`, in both protocols. Lists what the key may use. Tests: `it/v1/models.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use waypost_core::GatewayError;
use waypost_core::access::Caller;
use waypost_core::capability::Capabilities;
use waypost_core::operation::Operation;
use waypost_core::snapshot::{ListedModel, Snapshot};
use waypost_wire::Dialect;
use waypost_wire::peek::Features;

use crate::app::{App, Live};
use crate::http::body::Body;
use crate::http::{Arrival, reply};
use crate::pipeline::admit::{self, Knock, Told};

/// All models the caller may use, by name.
pub fn list(app: &App, arrival: &Arrival) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let caller = enter(app, &live, arrival)?;
    let listed = live.snapshot.models.iter().filter(|model| live.snapshot.admits(&caller, &model.name));
    let models: Vec<Value> = listed.map(|model| drawn(app, model, &caller, arrival.face.dialect)).collect();
    let body = if arrival.face.dialect == Dialect::Anthropic {
        let id = |model: Option<&Value>| model.and_then(|model| model.get("id").cloned()).unwrap_or_default();
        json!({ "first_id": id(models.first()), "last_id": id(models.last()), "has_more": false, "data": models })
    } else {
        json!({ "object": "list", "data": models })
    };
    Told::with(app, &caller, arrival).on(Ok(reply::json(StatusCode::OK, &body)))
}

/// Lists are read here and reach no upstream, so they take nothing of a key's limits.
fn enter(app: &App, live: &Live, arrival: &Arrival) -> Result<Arc<Caller>, GatewayError> {
    let headers = arrival.request.headers();
    admit::enter(app, live, &Knock { headers, client: arrival.client, operation: Operation::Models, path: "models" })
}

/// One model. A name that only a family serves is answered too, because it can be used.
pub fn one(app: &App, arrival: &Arrival, id: &str) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let caller = enter(app, &live, arrival)?;
    let id = decoded(id);
    let model = found(&live.snapshot, &caller, &id);
    let shown = model.map(|model| reply::json(StatusCode::OK, &drawn(app, &model, &caller, arrival.face.dialect)));
    Told::with(app, &caller, arrival).on(shown)
}

fn found(snapshot: &Snapshot, caller: &Caller, id: &str) -> Result<ListedModel, GatewayError> {
    let mut nearest = snapshot.nearest(id);
    nearest.retain(|name| snapshot.admits(caller, name));
    let unknown = || GatewayError::model_not_found(id, &nearest);
    if !snapshot.admits(caller, id) {
        return Err(unknown());
    }
    if let Some(listed) = snapshot.models.iter().find(|listed| *listed.name == *id) {
        return Ok(listed.clone());
    }
    let route = snapshot.route(id).ok_or_else(unknown)?;
    let first = route.tiers.first().and_then(|tier| tier.deployments.first()).ok_or_else(unknown)?;
    Ok(ListedModel::of(id, first))
}

fn drawn(app: &App, model: &ListedModel, caller: &Caller, dialect: Dialect) -> Value {
    if dialect == Dialect::Anthropic {
        return json!({
            "type": "model",
            "id": &*model.name,
            "display_name": &*model.name,
            "created_at": "1970-01-01T00:00:00Z",
            "max_input_tokens": model.capabilities.context,
            "max_tokens": model.capabilities.max_output,
        });
    }
    let mut drawn = json!({
        "id": &*model.name,
        "object": "model",
        "created": app.started(),
        "owned_by": model.owned_by,
    });
    let mut add = |key: &str, value: Value| {
        if let Some(object) = drawn.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    };
    let capabilities = &model.capabilities;
    if let Some(name) = model.alias_of.as_deref().filter(|name| caller.may_use(name)) {
        add("alias_of", name.into());
    }
    if model.group {
        add("kind", "group".into());
    }
    if let Some(context) = capabilities.context {
        add("context_length", context.into());
    }
    if let Some(most) = capabilities.max_output {
        add("max_output_tokens", most.into());
    }
    if let Some(modality) = capabilities.modality {
        add("modality", modality.name().into());
    }
    let known = known(capabilities);
    if !known.is_empty() {
        add("capabilities", known.into());
    }
    if let Some(day) = capabilities.checked {
        add("catalogue", day.into());
    }
    drawn
}

/// What somebody has said the model can or cannot do.
fn known(capabilities: &Capabilities) -> Map<String, Value> {
    const SHOWN: [(&str, Features); 7] = [
        ("streaming", Features::STREAMING),
        ("functions", Features::TOOLS),
        ("vision", Features::VISION),
        ("audio", Features::AUDIO),
        ("json_mode", Features::JSON_MODE),
        ("json_schema", Features::JSON_SCHEMA),
        ("reasoning", Features::REASONING),
    ];
    let said = |(name, feature): (&str, Features)| Some((name.to_owned(), capabilities.knows(feature)?.into()));
    SHOWN.into_iter().filter_map(said).collect()
}

/// Some SDKs encode the slashes of a name, some do not.
pub(in crate::http) fn decoded(id: &str) -> Cow<'_, str> {
    if !id.contains('%') {
        return Cow::Borrowed(id);
    }
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}
