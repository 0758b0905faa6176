//! A small language for what an API accepts: which fields, of which types, which of them required.
//! It must not know how a provider words its refusal; it says where and what is wrong. Tests at the foot.

use serde_json::{Map, Value};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Any,
    Text,
    Words(&'static [&'static str]),
    Bool,
    Integer {
        least: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    List(&'static Shape),
    /// Any object when there are no fields.
    Object(&'static [Field]),
    /// An object whose first required word (`type`, `role`) says which fields it has.
    Tagged(&'static str, &'static [(&'static str, &'static [Field])]),
    /// Any of these; the complaint is the last one's.
    Either(&'static [Shape]),
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
    nullable: bool,
}

/// A field that has to be there.
pub(super) const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true, nullable: false }
}

/// A field that may be left out, but is not null.
pub(super) const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false, nullable: false }
}

/// A field that may be left out or null.
pub(super) const fn nil(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false, nullable: true }
}

/// The first thing wrong with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where, as `messages[0].content`; list places in brackets.
    pub(super) path: String,
    pub(super) what: Fault,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    Missing,
    Type(&'static str),
    Range(String),
    Word(String),
}

impl Shape {
    /// The first thing wrong with a value that stands at that path.
    pub(super) fn judge(&self, path: &str, value: &Value) -> Result<(), Wrong> {
        check_value(path, value, self)
    }
}

/// Checks the fields of an object, in the order of the table, then for names that are not in it.
pub(super) fn check(object: &Map<String, Value>, fields: &[Field]) -> Result<(), Wrong> {
    check_fields("", object, fields)
}

fn check_fields(path: &str, object: &Map<String, Value>, fields: &[Field]) -> Result<(), Wrong> {
    for field in fields {
        let at = join(path, field.name);
        match object.get(field.name) {
            None if field.required => return Err(Wrong { path: at, what: Fault::Missing }),
            None => {}
            Some(Value::Null) if field.nullable => {}
            Some(value) => check_value(&at, value, &field.shape)?,
        }
    }
    match object.keys().find(|name| fields.iter().all(|field| field.name != **name)) {
        Some(unknown) => Err(Wrong { path: join(path, unknown), what: Fault::Unknown }),
        None => Ok(()),
    }
}

fn check_value(path: &str, value: &Value, shape: &Shape) -> Result<(), Wrong> {
    let wrong = |what| Err(Wrong { path: path.to_owned(), what });
    match (shape, value) {
        (Shape::Any, _) | (Shape::Text, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => Ok(()),
        (Shape::Words(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        (Shape::Words(_), Value::String(word)) => wrong(Fault::Word(word.clone())),
        (Shape::Integer { least }, Value::Number(number)) => match number.as_i64() {
            Some(integer) if integer >= *least => Ok(()),
            Some(_) => wrong(Fault::Range(format!("greater than or equal to {least}"))),
            None => wrong(Fault::Type("integer")),
        },
        (Shape::Number { least, most }, Value::Number(number)) => match number.as_f64() {
            Some(float) if (*least..=*most).contains(&float) => Ok(()),
            _ => wrong(Fault::Range(format!("between {least} and {most}"))),
        },
        (Shape::List(of), Value::Array(items)) => {
            items.iter().enumerate().try_for_each(|(place, item)| check_value(&format!("{path}[{place}]"), item, of))
        }
        (Shape::Object([]), Value::Object(_)) => Ok(()),
        (Shape::Object(fields), Value::Object(object)) => check_fields(path, object, fields),
        (Shape::Tagged(tag, variants), Value::Object(object)) => check_tagged(path, object, tag, variants),
        (Shape::Either(shapes), _) => check_either(path, value, shapes),
        _ => wrong(Fault::Type(shape.name())),
    }
}

fn check_tagged(
    path: &str,
    object: &Map<String, Value>,
    tag: &str,
    variants: &[(&str, &[Field])],
) -> Result<(), Wrong> {
    let at = join(path, tag);
    let Some(word) = object.get(tag) else {
        return Err(Wrong { path: at, what: Fault::Missing });
    };
    match variants.iter().find(|(name, _)| word.as_str() == Some(*name)) {
        Some((_, fields)) => {
            let mut rest = object.clone();
            rest.shift_remove(tag);
            check_fields(path, &rest, fields)
        }
        None => Err(Wrong { path: at, what: Fault::Word(word.to_string()) }),
    }
}

/// The complaint is that of the shape whose JSON type fits, so that it names the innermost field.
fn check_either(path: &str, value: &Value, shapes: &[Shape]) -> Result<(), Wrong> {
    let mut complaint = Wrong { path: path.to_owned(), what: Fault::Type("one of its types") };
    for shape in shapes {
        match check_value(path, value, shape) {
            Ok(()) => return Ok(()),
            Err(wrong) if wrong.path != path || !matches!(wrong.what, Fault::Type(_)) => complaint = wrong,
            Err(_) => {}
        }
    }
    Err(complaint)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Shape {
    fn name(&self) -> &'static str {
        match self {
            Self::Any => "value",
            Self::Text | Self::Words(_) => "string",
            Self::Bool => "boolean",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "decimal",
            Self::List(_) => "array",
            Self::Object(_) | Self::Tagged(..) => "object",
            Self::Either(_) => "one of its types",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PART: Shape =
        Shape::Tagged("type", &[("text", &[must("text", Shape::Text)]), ("image", &[must("url", Shape::Text)])]);
    const FIELDS: &[Field] = &[
        must("model", Shape::Text),
        nil("temperature", Shape::Number { least: 0.0, most: 2.0 }),
        may("n", Shape::Integer { least: 1 }),
        may("content", Shape::Either(&[Shape::Text, Shape::List(&PART)])),
    ];

    fn first_wrong(body: Value) -> Option<(String, Fault)> {
        check(body.as_object().unwrap(), FIELDS).err().map(|wrong| (wrong.path, wrong.what))
    }

    #[test]
    fn what_fits_is_accepted() {
        for body in [
            json!({"model": "m", "temperature": null, "n": 1, "content": "hi"}),
            json!({"model": "m", "temperature": 1, "content": [{"type": "text", "text": "hi"}]}),
        ] {
            assert_eq!(first_wrong(body), None);
        }
    }

    #[test]
    fn the_complaint_names_the_innermost_field() {
        for (body, path, what) in [
            (json!({}), "model", Fault::Missing),
            (json!({"model": null}), "model", Fault::Type("string")),
            (json!({"model": "m", "n": null}), "n", Fault::Type("integer")),
            (json!({"model": "m", "n": 0}), "n", Fault::Range("greater than or equal to 1".into())),
            (json!({"model": "m", "n": 1.5}), "n", Fault::Type("integer")),
            (json!({"model": "m", "extra": 1}), "extra", Fault::Unknown),
            (json!({"model": "m", "content": 7}), "content", Fault::Type("one of its types")),
            (json!({"model": "m", "content": [{"type": "text"}]}), "content[0].text", Fault::Missing),
            (
                json!({"model": "m", "content": [{"type": "text", "text": "", "url": ""}]}),
                "content[0].url",
                Fault::Unknown,
            ),
            (json!({"model": "m", "content": [{"type": "sound"}]}), "content[0].type", Fault::Word("\"sound\"".into())),
        ] {
            assert_eq!(first_wrong(body.clone()), Some((path.to_owned(), what)), "{body}");
        }
    }
}
