//! Which web pages may call the API from a browser, as the file says it. Tests: `snapshot/compile/cors.rs`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;

/// Which web pages may call the API from a browser (CORS). It holds for the paths that applications call and for nothing
/// else: never for the administration or metrics, and never together with cookies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins of the pages, such as `https://app.example` or `http://localhost:5173`; `*` is any page. None by default.
    pub origins: Vec<String>,
    /// How long a browser may remember what it was allowed.
    pub max_age: Span,
}

impl Default for Cors {
    fn default() -> Self {
        Self { origins: Vec::new(), max_age: Span::seconds(600) }
    }
}
