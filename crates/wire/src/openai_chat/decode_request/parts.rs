//! Reads the content of messages: a string, or a list of parts. Tests: `decode_request/tests.rs`.

use serde_json::Value;

use super::{Result, Strays, cache, keep};
use crate::Dialect;
use crate::chat::{Audio, Content, File, Image, Media, Part, Signature};
use crate::error::WireError;
use crate::fields::Fields;
use crate::openai_chat::content::{document, media};
use crate::openai_chat::reasoning::thought;
use crate::peek::{missing, mistyped, not_one_of};

const KINDS: [&str; 6] = ["text", "image_url", "input_audio", "file", "refusal", "thinking"];

/// `content` of a message. Absent and null give no parts.
pub(super) fn content(message: &mut Fields, strays: &mut Strays) -> Result<Vec<Part>> {
    match message.peek("content") {
        None => Ok(Vec::new()),
        Some(Value::String(_)) => Ok(message.string("content")?.map(Part::text).into_iter().collect()),
        Some(Value::Array(_)) => {
            let items = message.array("content")?.unwrap_or_default();
            items.into_iter().map(|(value, path)| part(value, path, strays)).collect()
        }
        Some(_) => Err(mistyped(&message.param("content"), "a string or an array of parts")),
    }
}

fn part(value: Value, path: String, strays: &mut Strays) -> Result<Part> {
    // Mistral takes bare strings in a list.
    if let Value::String(text) = value {
        return Ok(Part::text(text));
    }
    let mut fields = Fields::of(value, path)?;
    let kind = fields.required_string("type")?;
    let mut part: Part = match &*kind {
        "text" | "input_text" | "output_text" => Part::text(fields.required_string("text")?),
        "refusal" => Content::Refusal(fields.required_string("refusal")?).into(),
        "image_url" => Content::Image(image(&mut fields)?).into(),
        "input_audio" => Content::Audio(audio(&mut fields)?).into(),
        "file" => Content::File(file(&mut fields)?).into(),
        "thinking" => thinking(&mut fields)?,
        _ => return Err(not_one_of(&fields.param("type"), &kind, &KINDS)),
    };
    part.cache = cache(&mut fields)?;
    keep(fields, "messages[].content[]", strays);
    Ok(part)
}

/// `image_url`: an object, or (Mistral and others) the address alone.
fn image(part: &mut Fields) -> Result<Image> {
    let (url, detail, param) = match part.peek("image_url") {
        None => return Err(missing(&part.param("image_url"))),
        Some(Value::String(_)) => (part.required_string("image_url")?, part.string("detail")?, part.param("image_url")),
        Some(_) => {
            let mut image = part.object("image_url")?.ok_or_else(|| missing(&part.param("image_url")))?;
            (image.required_string("url")?, image.string("detail")?, image.param("url"))
        }
    };
    Ok(Image { source: media(&url).ok_or_else(|| not_base64(&param))?, detail })
}

fn audio(part: &mut Fields) -> Result<Audio> {
    let mut audio = part.object("input_audio")?.ok_or_else(|| missing(&part.param("input_audio")))?;
    Ok(Audio { data: audio.required_string("data")?, format: audio.required_string("format")? })
}

fn file(part: &mut Fields) -> Result<File> {
    let mut file = part.object("file")?.ok_or_else(|| missing(&part.param("file")))?;
    let filename = file.string("filename")?;
    let param = file.param("file_data");
    let source = match (file.string("file_data")?, file.string("file_id")?) {
        (Some(data), _) => document(&data, filename.as_deref()).ok_or_else(|| not_base64(&param))?,
        (None, Some(id)) => Media::FileId(id),
        (None, None) => return Err(missing(&param)),
    };
    Ok(File { source, filename })
}

/// A thought among the content, as Mistral writes it: a list of texts, or one text.
fn thinking(part: &mut Fields) -> Result<Part> {
    let mut text = String::new();
    match part.peek("thinking") {
        Some(Value::String(_)) => text = part.required_string("thinking")?,
        _ => {
            for (value, path) in part.array("thinking")?.unwrap_or_default() {
                text.push_str(&Fields::of(value, path)?.string("text")?.unwrap_or_default());
            }
        }
    }
    let mut part_read = thought(text);
    // Blocks of Anthropic's that a client put into a list are sealed; Mistral's are not.
    let seal = part.string("signature")?.filter(|seal| !seal.is_empty());
    part_read.signature = seal.map(|seal| Signature { dialect: Dialect::Anthropic, seal });
    Ok(part_read)
}

fn not_base64(param: &str) -> WireError {
    WireError::invalid(param, format!("`{param}` is a data URL, so it must be base64: `data:<type>;base64,<data>`"))
}
