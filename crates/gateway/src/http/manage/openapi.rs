//! The description of all routes for machines: OpenAPI 3.1, made of the table of routes and the types they name, so that it
//! cannot say anything else. Tests: `it/manage/openapi.rs`.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use waypost_core::role::{Reach, Role, reach};

use super::answer::Answer;
use super::ask::Ask;
use super::route::{Answering, Kind, Needs, Route, Shape, shape};
use super::table;
use crate::identity::ACCESS_COOKIE;

pub(super) const ROUTES: &[Route] =
    &[described("/openapi.json", "openapi.root"), described("/admin/openapi.json", "openapi.admin")];

const fn described(path: &'static str, name: &'static str) -> Route {
    Route::new(("GET", path), name, "this description", Needs::Nobody, Kind::Show, answer)
        .giving(shape::<Map<String, Value>>)
}

fn answer(_: Ask<'_>) -> Answering<'_> {
    Box::pin(async { Answer::shown(&document()) })
}

/// The document.
pub(crate) fn document() -> Value {
    let mut schemas = Schemas::new();
    let error = schemas.given(shape::<ErrorBody>);
    let mut paths = Map::new();
    for route in table::described() {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = operations {
            operations.insert(route.method.to_ascii_lowercase(), operation(route, &mut schemas, &error));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "People, keys, money and the running gateway. Amounts of money are decimal USD in strings, times are milliseconds since 1970.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The access token of a session, or the admin token of the configuration.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": ACCESS_COOKIE,
                    "description": "The session of a browser. For changes it counts only from pages of this gateway.",
                },
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key, as for a chat.",
                },
            },
        },
    })
}

/// The types that are named. What is read may leave out what is optional; what is written has every field that it always has, so
/// that these are two contracts.
struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        // Generators of types take a field with a default for one that is always there, which is true of answers only.
        let optional = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("default")));
        Self {
            taken: settings.clone().with_transform(optional).into_generator(),
            given: settings.for_serialize().into_generator(),
        }
    }

    fn taken(&mut self, shape: Shape) -> Value {
        shape(&mut self.taken).to_value()
    }

    fn given(&mut self, shape: Shape) -> Value {
        shape(&mut self.given).to_value()
    }

    /// All of them by their names. No name stands for two things: a test compares them.
    fn all(mut self) -> Map<String, Value> {
        let mut all = self.given.take_definitions(true);
        all.extend(self.taken.take_definitions(true));
        all
    }
}

fn operation(route: &Route, schemas: &mut Schemas, error: &Value) -> Value {
    let tag = route.name.split('.').next().unwrap_or_default();
    let mut operation = json!({
        "operationId": route.name,
        "tags": [tag],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route, schemas, error),
        "x-waypost-roles": roles(route),
    });
    let Value::Object(fields) = &mut operation else { return operation };
    match route.needs {
        Needs::Nobody => fields.insert("security".into(), json!([])),
        Needs::Key => fields.insert("security".into(), json!([{ "key": [] }])),
        Needs::May(_) | Needs::User(_) | Needs::SignedIn => None,
    };
    if let Some(schema) = input(route, schemas) {
        let content = json!({ "application/json": { "schema": schema } });
        fields.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    operation
}

/// Where teams may say less, either of the two.
fn input(route: &Route, schemas: &mut Schemas) -> Option<Value> {
    let all = schemas.taken(route.input?);
    Some(match route.team_input {
        Some(less) => json!({ "anyOf": [all, schemas.taken(less)] }),
        None => all,
    })
}

fn parameters(route: &Route) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let parameter = |place: &str, name: &str, required: bool, says: &str, schema: &Value| json!({ "in": place, "name": name, "required": required, "description": says, "schema": schema });
    let mut parameters: Vec<Value> =
        route.variables().map(|name| parameter("path", name, true, "the id of it", &text)).collect();
    parameters.extend(route.query.iter().map(|(name, says)| parameter("query", name, false, says, &text)));
    if route.kind == Kind::List {
        let number = json!({ "type": "integer", "minimum": 1, "maximum": waypost_store::page::MAX_PAGE });
        parameters.push(parameter("query", "limit", false, "how many a page has; 100 if nothing is said", &number));
        parameters.push(parameter("query", "after", false, "`next` of the page before", &text));
    }
    if route.kind == Kind::Change {
        let says = "the `ETag` of what the change is made for; `*` for whatever version there is";
        parameters.push(parameter("header", "If-Match", true, says, &text));
    }
    parameters
}

fn responses(route: &Route, schemas: &mut Schemas, error: &Value) -> Value {
    let status = match (route.kind, route.output) {
        (Kind::Make, _) => "201",
        (Kind::Send, _) => "303",
        (Kind::End | Kind::Act, None) => "204",
        (Kind::Show | Kind::List | Kind::Follow | Kind::Change | Kind::End | Kind::Act, _) => "200",
    };
    let mut good = json!({ "description": "done" });
    if let (Value::Object(good), Some(shape)) = (&mut good, route.output) {
        good.insert("content".into(), json!({ "application/json": { "schema": schemas.given(shape) } }));
    }
    if let (Value::Object(good), Kind::Follow) = (&mut good, route.kind) {
        good.insert("content".into(), json!({ "text/event-stream": { "schema": { "type": "string" } } }));
    }
    if let (Value::Object(good), Some((name, says))) = (&mut good, told_in_head(route)) {
        let header = json!({ "description": says, "schema": { "type": "string" } });
        good.insert("headers".into(), json!({ name: header }));
    }
    let mut responses = Map::new();
    responses.insert(status.into(), good);
    responses.insert(
        "default".into(),
        json!({
            "description": "what is wrong, and what to do about it",
            "content": { "application/json": { "schema": error } },
        }),
    );
    Value::Object(responses)
}

/// A header that matters of an answer, and what it says.
fn told_in_head(route: &Route) -> Option<(&'static str, &'static str)> {
    let changed = |other: &Route| other.kind == Kind::Change && other.path == route.path;
    match route.kind {
        Kind::Change => Some(("ETag", "the version that there is now")),
        Kind::Show if table::all().any(changed) => Some(("ETag", "the version, for `If-Match` of a change")),
        Kind::Send => Some(("Location", "where the browser goes on")),
        Kind::Show | Kind::List | Kind::Follow | Kind::Make | Kind::End | Kind::Act => None,
    }
}

/// How far each role reaches, for the whole instance and within a team.
fn roles(route: &Route) -> Value {
    let (action, own) = match route.needs {
        Needs::Nobody => return json!("everybody"),
        Needs::May(action) => (action, false),
        Needs::User(action) => (action, true),
        Needs::SignedIn => return json!("whoever is signed in"),
        Needs::Key => return json!("whoever has a key"),
    };
    let word = |reach: Reach| match reach {
        Reach::Nothing => "nothing",
        Reach::Own => "own",
        Reach::Team | Reach::All if own => "own",
        Reach::Team => "team",
        Reach::All => "all",
    };
    let of = |in_team| -> Value {
        Role::ALL
            .iter()
            .map(|role| (role.name().to_owned(), json!(word(reach(*role, in_team, action)))))
            .collect::<Map<_, _>>()
            .into()
    };
    json!({ "instance": of(false), "team": of(true) })
}

/// Every error.
#[derive(JsonSchema)]
#[schemars(rename = "Error")]
#[expect(dead_code, reason = "only its schema is used; errors are drawn in one place for all of HTTP")]
struct ErrorBody {
    error: ErrorDetail,
}

/// What is wrong.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ErrorDetail {
    /// A sentence for people.
    message: String,
    /// A kind of error.
    r#type: String,
    /// The field that is to be mended.
    param: Option<String>,
    /// A word for programs.
    code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_both_ways_is_the_same_both_ways() {
        let mut schemas = Schemas::new();
        for route in table::described() {
            route.input.into_iter().chain(route.team_input).for_each(|shape| drop(schemas.taken(shape)));
            route.output.into_iter().for_each(|shape| drop(schemas.given(shape)));
        }
        let taken = schemas.taken.take_definitions(true);
        for (name, given) in schemas.given.take_definitions(true) {
            assert!(taken.get(&name).is_none_or(|taken| *taken == given), "`{name}` stands for two things");
        }
    }
}
