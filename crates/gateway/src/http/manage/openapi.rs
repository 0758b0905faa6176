//! The description of the administration for machines: OpenAPI 3.1, made of the table of routes and the types they name, so that it
//! cannot say anything else. Tests: `it/manage/openapi.rs`.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use waypost_core::role::{Reach, Role, reach};

use super::answer::Answer;
use super::ask::Ask;
use super::route::{Answering, Kind, Needs, Route, Shape};
use super::table;

pub(super) const ROUTES: &[Route] =
    &[described("/openapi.json", "openapi.root"), described("/admin/openapi.json", "openapi.admin")];

const fn described(path: &'static str, name: &'static str) -> Route {
    Route::new(("GET", path), name, "this description", Needs::Nobody, Kind::Show, answer)
}

fn answer(_: Ask<'_>) -> Answering<'_> {
    Box::pin(async { Answer::shown(&document()) })
}

/// The document.
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for route in table::all() {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = operations {
            operations.insert(route.method.to_ascii_lowercase(), operation(route, &mut generator, &error));
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost administration",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "People, keys, money and the running gateway. Amounts of money are decimal USD in strings, times are milliseconds since 1970.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The access token of a session, or the admin token of the configuration.",
                },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Schema) -> Value {
    let tag = route.name.split('.').next().unwrap_or_default();
    let mut operation = json!({
        "operationId": route.name,
        "tags": [tag],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route, generator, error),
        "x-waypost-roles": roles(route),
    });
    let Value::Object(fields) = &mut operation else { return operation };
    if route.needs == Needs::Nobody {
        fields.insert("security".into(), json!([]));
    }
    if let Some(schema) = input(route, generator) {
        let content = json!({ "application/json": { "schema": schema } });
        fields.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    operation
}

/// Where teams may say less, either of the two.
fn input(route: &Route, generator: &mut SchemaGenerator) -> Option<Value> {
    let of = |shape: Shape, generator: &mut SchemaGenerator| shape(generator).to_value();
    let all = of(route.input?, generator);
    Some(match route.team_input {
        Some(less) => json!({ "anyOf": [all, of(less, generator)] }),
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

fn responses(route: &Route, generator: &mut SchemaGenerator, error: &Schema) -> Value {
    let status = match (route.kind, route.output) {
        (Kind::Make, _) => "201",
        (Kind::End, None) => "204",
        (Kind::Show | Kind::List | Kind::Change | Kind::End | Kind::Act, _) => "200",
    };
    let mut good = json!({ "description": "done" });
    if let (Value::Object(good), Some(shape)) = (&mut good, route.output) {
        good.insert("content".into(), json!({ "application/json": { "schema": shape(generator).to_value() } }));
    }
    let mut responses = Map::new();
    responses.insert(status.into(), good);
    responses.insert(
        "default".into(),
        json!({
            "description": "what is wrong, and what to do about it",
            "content": { "application/json": { "schema": error.clone().to_value() } },
        }),
    );
    Value::Object(responses)
}

/// How far each role reaches, for the whole instance and within a team.
fn roles(route: &Route) -> Value {
    let (action, own) = match route.needs {
        Needs::Nobody => return json!("everybody"),
        Needs::May(action) => (action, false),
        Needs::User(action) => (action, true),
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
