//! Which web pages may read answers in a browser. Decides by the origin alone; headers are drawn by the gateway.
//! Tests: `snapshot/compile/cors.rs`.

use std::collections::HashSet;

use http::HeaderValue;

/// The origins whose pages may call the data plane.
#[derive(Debug, Default)]
pub struct Cors {
    /// Any page may.
    pub any: bool,
    /// Pages of these may, compared as browsers write them.
    pub origins: HashSet<Box<[u8]>>,
    /// Seconds that a browser may remember a preflight; absent where nobody may call anyway.
    pub max_age: Option<HeaderValue>,
}

impl Cors {
    /// No page may.
    pub fn is_off(&self) -> bool {
        !self.any && self.origins.is_empty()
    }

    /// May a page of this origin?
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.any || self.origins.contains(origin.as_bytes())
    }
}
