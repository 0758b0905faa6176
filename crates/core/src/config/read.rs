//! From a tree to typed sections, through serde, with every mistake found in one go.
//!
//! serde stops at the first mistake. So a part that is wrong is reported, marked as skipped and the reading starts
//! again, until nothing is left to find. Knows no section. Tests are below and with the sections.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, Mark};
use super::node::{Entry, Node, Step, Value, joined, snake_case};
use crate::nearest::nearest;

/// More than this nobody reads in one go.
const MAX_ERRORS: usize = 25;

/// Reads the tree as `T`, or says everything that is wrong with it.
pub(super) fn read<T: DeserializeOwned>(mut root: Node) -> Result<T, Vec<ConfigError>> {
    let mut errors = Vec::new();
    loop {
        let problem = match T::deserialize(Reader { node: &root }) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(ReadError(problem)) => problem,
        };
        let steps: Vec<Step> = problem.steps.iter().rev().copied().collect();
        let Some(node) = root.descend(&steps) else {
            return Err(errors);
        };
        // What is missing only because it was wrong itself, or misspelt, has been reported.
        if !problem.missing.is_some_and(|field| was_skipped(node, field)) {
            errors.push(problem.into_error(node.mark));
        }
        node.skipped = true;
        if steps.is_empty() || errors.len() >= MAX_ERRORS {
            return Err(errors);
        }
    }
}

fn was_skipped(node: &Node, field: &str) -> bool {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().any(|entry| entry.node.skipped && !nearest(&snake_case(&entry.key), [field], 1).is_empty())
        }
        Value::List(_) | Value::Scalar { .. } => false,
    }
}

// === impl ReadError ===

/// One mistake; where it is gets known while the error travels outwards.
#[derive(Debug)]
struct ReadError(Box<Problem>);

#[derive(Debug)]
struct Problem {
    reason: String,
    fix: Option<String>,
    missing: Option<&'static str>,
    mark: Option<Mark>,
    /// From the inside out.
    keys: Vec<String>,
    steps: Vec<Step>,
}

impl Problem {
    fn into_error(self, around: Mark) -> ConfigError {
        let path = self
            .keys
            .iter()
            .rev()
            .fold(String::new(), |path, key| if key.starts_with('[') { path + key } else { joined(&path, key) });
        ConfigError { file: None, mark: self.mark.or(Some(around)), path, reason: self.reason, fix: self.fix }
    }
}

impl ReadError {
    fn new(reason: String) -> Self {
        Self(Box::new(Problem { reason, fix: None, missing: None, mark: None, keys: Vec::new(), steps: Vec::new() }))
    }

    fn within(mut self, step: Step, key: String, mark: Mark) -> Self {
        self.0.mark.get_or_insert(mark);
        self.0.keys.push(key);
        self.0.steps.push(step);
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", named(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Unsigned(number) => Self::new(format!("expected {expected}, found {number}")),
            Unexpected::Signed(number) => Self::new(format!("expected {expected}, found {number}")),
            Unexpected::Bool(_)
            | Unexpected::Float(_)
            | Unexpected::Char(_)
            | Unexpected::Str(_)
            | Unexpected::Bytes(_)
            | Unexpected::Unit
            | Unexpected::Option
            | Unexpected::NewtypeStruct
            | Unexpected::Seq
            | Unexpected::Map
            | Unexpected::Enum
            | Unexpected::UnitVariant
            | Unexpected::NewtypeVariant
            | Unexpected::TupleVariant
            | Unexpected::StructVariant
            | Unexpected::Other(_) => Self::invalid_type(found, expected),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(format!("expected one of {}", expected.join(", ")));
        error.0.fix = suggestion(variant, expected);
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new("there is no such key".to_owned());
        error.0.fix = suggestion(&snake_case(field), expected)
            .or_else(|| Some(format!("the keys here are {}", expected.join(", "))));
        error
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(format!("`{field}` is missing"));
        error.0.missing = Some(field);
        error
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given under two names"))
    }
}

fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    nearest(word, known.iter().copied(), 1).first().map(|name| format!("did you mean `{name}`?"))
}

/// Types only: a text in the wrong place may well be a secret.
fn named(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map | Unexpected::NewtypeStruct => "a map",
        Unexpected::Bytes(_)
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "something else",
    }
}

// === impl Reader ===

#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
}

impl<'n> Reader<'n> {
    /// A plain number as serde wants it; what is no number is left to the visitor to refuse.
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => {
                let digits = text.replace('_', "");
                if let Ok(number) = digits.parse() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = digits.parse() {
                    visitor.visit_i64(number)
                } else if let Ok(number) = digits.parse() {
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(text)
                }
            }
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => self.deserialize_any(visitor),
        }
    }

    fn map<'de, V: Visitor<'de>>(self, keys: Keys, visitor: V) -> Result<V::Value, ReadError> {
        let entries: &'n [Entry] = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } if self.node.is_null() => &[],
            Value::Scalar { .. } | Value::List(_) => return self.deserialize_any(visitor),
        };
        visitor.visit_map(Entries { entries, at: 0, keys })
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { .. } if self.node.is_null() => visitor.visit_unit(),
            Value::Scalar { text, plain: true } if truth(text).is_some() => {
                visitor.visit_bool(truth(text) == Some(true))
            }
            Value::Scalar { text, plain: true } if looks_like_a_number(text) => self.number(visitor),
            Value::Scalar { text, .. } => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, at: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, at: 0, keys: Keys::Section }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            // Text is text however it is written: `key: 12345`, `api_version: 2024-10-21`.
            Value::Scalar { text, .. } if !self.node.is_null() => visitor.visit_str(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() { visitor.visit_seq(Items { items: &[], at: 0 }) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.map(Keys::Free, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.map(Keys::Fields(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { text, .. } => visitor.visit_enum(Word(&snake_case(text))),
            Value::List(_) | Value::Map(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.number(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The spellings of YAML 1.2.
fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn looks_like_a_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') && digits.parse::<f64>().is_ok()
}

struct Items<'n> {
    items: &'n [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        loop {
            let step = self.at;
            let Some(node) = self.items.get(step) else {
                return Ok(None);
            };
            self.at += 1;
            if !node.skipped {
                return seed
                    .deserialize(Reader { node })
                    .map(Some)
                    .map_err(|error| error.within(step, format!("[{step}]"), node.mark));
            }
        }
    }
}

struct Entries<'n> {
    entries: &'n [Entry],
    /// The entry whose value is next, plus one.
    at: usize,
    keys: Keys,
}

/// What the keys of a map may be.
#[derive(Clone, Copy)]
enum Keys {
    /// Names that the owner chose.
    Free,
    /// The keys of a section.
    Fields(&'static [&'static str]),
    /// The keys of a section that is told from other forms of the same only now.
    Section,
}

impl Entries<'_> {
    /// A section's key by its snake-case name, so that `baseUrl` and `base-url` are `base_url`.
    fn known(&self, key: &str) -> String {
        match self.keys {
            Keys::Free => key.to_owned(),
            Keys::Section => snake_case(key),
            Keys::Fields(fields) if fields.contains(&key) => key.to_owned(),
            Keys::Fields(fields) => {
                let snake = Some(snake_case(key)).filter(|snake| fields.contains(&snake.as_str()));
                snake.unwrap_or_else(|| key.to_owned())
            }
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        loop {
            let step = self.at;
            let Some(entry) = self.entries.get(step) else {
                return Ok(None);
            };
            self.at += 1;
            if entry.node.skipped {
                continue;
            }
            let key = self.known(&entry.key);
            return seed
                .deserialize(StrDeserializer::<ReadError>::new(&key))
                .map(Some)
                .map_err(|error| error.within(step, entry.key.clone(), entry.mark));
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let step = self.at.saturating_sub(1);
        let Some(entry) = self.entries.get(step) else {
            return Err(ReadError::new("a value is missing".to_owned()));
        };
        seed.deserialize(Reader { node: &entry.node })
            .map_err(|error| error.within(step, entry.key.clone(), entry.node.mark))
    }
}

/// A variant without content.
struct Word<'n>(&'n str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let word = seed.deserialize(StrDeserializer::<ReadError>::new(self.0))?;
        Ok((word, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ReadError> {
        Err(ReadError::new("expected one word".to_owned()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new("expected one word".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::new("expected one word".to_owned()))
    }
}
