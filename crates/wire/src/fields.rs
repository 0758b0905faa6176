//! A JSON object that is read field by field, so that a decoder says what happens to each of them: what is taken is
//! understood, what is left over is reported. Errors name the field by its full path.

use serde_json::{Map, Value};

use crate::error::WireError;
use crate::peek::{join, missing, mistyped};

type Result<T> = std::result::Result<T, WireError>;

/// The fields of one object that nobody has taken yet. A `null` counts as absent, as OpenAI's API reads it.
#[derive(Clone, Debug)]
pub struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The top level of a body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { path: String::new(), map }),
            Ok(_) => Err(WireError::Syntax { at: 0, message: "an object was expected" }),
            Err(error) => Err(WireError::Syntax { at: error.column(), message: "it cannot be parsed" }),
        }
    }

    /// An object inside a document; `path` is where it stands.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            _ => Err(mistyped(&path, "an object")),
        }
    }

    /// The full path of a field of this object.
    pub fn param(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Where this object stands; empty at the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Looks at a field without taking it.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Takes a field of any type.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(mistyped(&self.param(key), "a string")),
        }
    }

    pub fn required_string(&mut self, key: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| missing(&self.param(key)))
    }

    pub fn bool(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(mistyped(&self.param(key), "true or false")),
        }
    }

    /// A whole number that is not negative.
    pub fn u64(&mut self, key: &str) -> Result<Option<u64>> {
        self.number(key, "a whole number that is not negative", Value::as_u64)
    }

    pub fn i64(&mut self, key: &str) -> Result<Option<i64>> {
        self.number(key, "a whole number", Value::as_i64)
    }

    pub fn f64(&mut self, key: &str) -> Result<Option<f64>> {
        self.number(key, "a number", Value::as_f64)
    }

    /// The items of an array, each with its path.
    pub fn array(&mut self, key: &str) -> Result<Option<Vec<(Value, String)>>> {
        let path = self.param(key);
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                Ok(Some(items.into_iter().enumerate().map(|(at, item)| (item, format!("{path}[{at}]"))).collect()))
            }
            Some(_) => Err(mistyped(&path, "an array")),
        }
    }

    /// A nested object, to be read the same way.
    pub fn object(&mut self, key: &str) -> Result<Option<Fields>> {
        let path = self.param(key);
        self.take(key).map(|value| Fields::of(value, path)).transpose()
    }

    /// What nobody took, nulls left out.
    pub fn rest(self) -> Map<String, Value> {
        self.map.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    fn number<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| mistyped(&self.param(key), expected)),
        }
    }
}

/// A token count as providers really send them: whole numbers, floats, negative or absurd ones. What counts nothing, a
/// negative number or a fraction included, is absent, so that it is estimated; the rest is moved into range. Accounting clamps further.
pub fn token_count(value: &Value) -> Option<u64> {
    let float =
        || value.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0).map(|float| float.min(9.0e15) as u64);
    value.as_u64().or_else(float)
}
