//! Counts tokens: of a text exactly as o200k_base does, and of a whole chat request by stated rules.
//!
//! Serves the simulator's usage, `count_tokens` for models whose provider has no counter, and answers whose provider
//! named no usage. Knows no prices and no models. Nothing is loaded or built before the first count, and nothing
//! afterwards: the tables are part of the binary. Tests are below, against the crate the vocabulary comes from.

mod hash;
mod letters;
mod merge;

use waypost_wire::chat::{Audio, Content, Function, Image, Media, Message, Part, Request, ResponseFormat, Tool};

pub(crate) use letters::pieces;

/// Texts longer than this many bytes are counted off the async threads (`spawn_blocking`): counting runs at tens of
/// megabytes a second, so this is about the longest that stays under a millisecond on a slow core.
pub const LONG_TEXT: usize = 16 * 1024;

/// Begins and ends a message for the model; OpenAI's published figure for its chat format.
const PER_MESSAGE: u64 = 3;
/// Opens the answer, once per request.
const PER_REPLY: u64 = 3;
/// Around one tool's definition.
const PER_TOOL: u64 = 8;
/// A picture: what OpenAI takes for 1024 by 1024 pixels in full detail, and what it takes in low detail.
const IMAGE: u64 = 765;
const IMAGE_LOW: u64 = 85;
/// A page of a document as text and picture, and how many bytes a page is taken to be.
const PAGE: u64 = 1_600;
const PAGE_BYTES: u64 = 50_000;
/// A tenth of a second of speech is one token: bytes in that time for plain and for packed sound.
const WAV_BYTES: u64 = 4_800;
const MP3_BYTES: u64 = 1_600;

/// The number of o200k_base tokens in a text. Words that name control tokens are ordinary text.
/// Linear in the text up to a logarithm; see [`LONG_TEXT`] for where to call it.
pub fn count(text: &str) -> u64 {
    pieces(text).map(|piece| merge::count(piece.as_bytes())).sum()
}

/// The longest beginning of a text that is at most so many tokens and ends between two pieces of it.
pub fn prefix(text: &str, most: u64) -> &str {
    let mut left = most;
    let mut end = 0;
    for piece in pieces(text) {
        let Some(rest) = left.checked_sub(merge::count(piece.as_bytes())) else {
            break;
        };
        left = rest;
        end += piece.len();
    }
    text.get(..end).unwrap_or(text)
}

/// About how many input tokens a chat request is.
///
/// Text, names, tool definitions, calls, results and schemas are counted exactly, with 3 tokens for each message and 3
/// for the reply, as OpenAI publishes for its own models, and 8 around each tool. An image is 765 tokens, or 85 if low
/// detail is asked for; a document is 1,600 for each 50,000 bytes begun, and one such page if only its address is known;
/// speech is ten tokens a second. What only one provider can read is counted as its JSON text.
pub fn count_request(request: &Request) -> u64 {
    let format = match &request.response_format {
        Some(ResponseFormat::JsonSchema { name, schema, .. }) => count(name) + count(&schema.to_string()),
        Some(ResponseFormat::Text | ResponseFormat::JsonObject) | None => 0,
    };
    count_prefix(request, request.messages.len()) + format + PER_REPLY
}

/// About how many tokens the tools and the first so many messages are: what a prompt cache would hold.
pub fn count_prefix(request: &Request, messages: usize) -> u64 {
    let tools: u64 = request.tools.iter().map(count_tool).sum();
    let messages = request.messages.iter().take(messages).map(count_message);
    tools + messages.sum::<u64>()
}

fn count_message(message: &Message) -> u64 {
    let name = message.name.as_deref().map_or(0, |name| 1 + count(name));
    PER_MESSAGE + name + count_parts(&message.parts)
}

/// About how many tokens these parts are, wherever they stand. Exact for text, reasoning and calls.
pub fn count_parts(parts: &[Part]) -> u64 {
    parts.iter().map(|part| count_content(&part.content)).sum()
}

fn count_content(content: &Content) -> u64 {
    match content {
        Content::Text(text) => count(&text.text),
        Content::Refusal(text) => count(text),
        Content::Reasoning(reasoning) => count(&reasoning.text),
        Content::ToolCall(call) => count(&call.name) + count(&call.arguments),
        Content::ToolResult(result) => count_parts(&result.content),
        Content::Image(image) => count_image(image),
        Content::File(file) => count_media(&file.source),
        Content::Audio(audio) => count_audio(audio),
        Content::Opaque { value, .. } => count(&value.to_string()),
    }
}

fn count_image(image: &Image) -> u64 {
    match image.detail.as_deref() {
        Some("low") => IMAGE_LOW,
        _ => IMAGE,
    }
}

fn count_media(media: &Media) -> u64 {
    match media {
        Media::Text(text) => count(text),
        Media::Base64 { data, .. } => PAGE * decoded_bytes(data).div_ceil(PAGE_BYTES).max(1),
        Media::Url(_) | Media::FileId(_) => PAGE,
    }
}

fn count_audio(audio: &Audio) -> u64 {
    let per_token = match audio.format.as_str() {
        "wav" | "pcm16" => WAV_BYTES,
        _ => MP3_BYTES,
    };
    decoded_bytes(&audio.data).div_ceil(per_token)
}

fn decoded_bytes(base64: &str) -> u64 {
    base64.len() as u64 / 4 * 3
}

fn count_tool(tool: &Tool) -> u64 {
    let words = match tool {
        Tool::Function(function) => count_function(function),
        Tool::Custom { name, description, format } => {
            let format = format.as_ref().map_or(0, |format| count(&format.to_string()));
            count(name) + description.as_deref().map_or(0, count) + format
        }
        Tool::WebSearch(options) => count(&options.to_string()),
        Tool::Hosted { kind, value, .. } => count(kind) + count(&value.to_string()),
    };
    PER_TOOL + words
}

fn count_function(function: &Function) -> u64 {
    let parameters = function.parameters.as_ref();
    count(&function.name)
        + function.description.as_deref().map_or(0, count)
        + parameters.map_or(0, |schema| count(&schema.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use waypost_wire::chat::{File, Role, Text, ToolCall, ToolKind, ToolResult};

    use super::*;

    fn reference(text: &str) -> u64 {
        let tokens = tiktoken_rs::o200k_base_singleton().encode_ordinary(text);
        tokens.len() as u64
    }

    #[test]
    fn published_examples_have_their_published_counts() {
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
        assert_eq!(count("tiktoken is great!"), 6);
        assert_eq!(count("antidisestablishmentarianism"), 6);
        assert_eq!(count("お誕生日おめでとう"), 8);
    }

    #[test]
    fn prose_code_and_many_scripts_count_as_the_reference_does() {
        for text in [
            "It's what they'll've said: WE'RE 12345678 years old, DON'T!\r\n\r\n  \tindented\n\n",
            "fn main() {\n    println!(\"{}\", vec![1, 2, 3].iter().sum::<i32>());\n}\n",
            "https://example.com/a//b?c=d&e=%20f#/g\n//\n/",
            "HTTPServer camelCase snake_case SCREAMING_SNAKE XMLHttpRequest iOS",
            "Привет, мир! Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया. 你好,世界。こんにちは",
            "e\u{301}\u{301}A\u{301}B \u{301} ʰABC ʰʰ ǅx ªº \u{17f}'\u{17f}t'\u{17f} x'ſ",
            "👩‍👩‍👧‍👦 🇩🇪 ✅✅ ½ ² Ⅷ ٣٤٥٦",
            "   \u{a0}\u{3000} x  \n \n y\u{2028}z \u{85} ",
            "<|endoftext|><|fim_prefix|>",
            "\u{0}\u{1}\u{7f}\u{ffff}\u{10ffff}",
            "it'S IT'D i'LL a'ReB 'tis ''s 's",
        ] {
            assert_eq!(count(text), reference(text), "{text:?}");
        }
    }

    #[test]
    fn long_runs_count_as_the_reference_does_and_in_no_quadratic_time() {
        for text in ["a", "ab", " ", "\n", "=", "A", "é", "漢", "1", "Ab", " \n"] {
            let text = text.repeat(3_000);
            assert_eq!(count(&text), reference(&text), "{:?}", &text[..6]);
        }
        assert_eq!(count(&"a".repeat(400_000)), 50_000);
    }

    #[test]
    fn pieces_put_together_are_the_text() {
        let text = "One, two:  three\n\n4567 'tis";
        assert_eq!(pieces(text).collect::<String>(), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_text_counts_as_the_reference_does(text in any::<String>()) {
            prop_assert_eq!(count(&text), reference(&text));
        }

        #[test]
        fn text_of_the_patterns_hard_characters_counts_as_the_reference_does(
            text in "[aAbZ ſʰªéÉǅ\u{301}'stmdrevlSTLE0-9½/.,<|\\t\r\n \u{a0}\u{3000}漢字あ-]{0,60}"
        ) {
            prop_assert_eq!(count(&text), reference(&text));
        }
    }

    proptest! {
        #[test]
        fn a_prefix_is_the_longest_that_fits(text in "[a-zA-Z0-9 .,'\n漢é]{0,60}", most in 0_u64..20) {
            let fitting = prefix(&text, most);
            prop_assert!(text.starts_with(fitting));
            prop_assert!(count(fitting) <= most);
            // Pieces of the whole text: cut off, the rest may fall into other ones.
            let mut end = 0;
            let mut tokens = 0;
            for piece in pieces(&text) {
                if end > fitting.len() {
                    break;
                }
                end += piece.len();
                tokens += merge::count(piece.as_bytes());
                prop_assert_eq!(end <= fitting.len(), tokens <= most);
            }
        }
    }

    fn request(parts: Vec<Part>) -> Request {
        Request { messages: vec![Message { role: Role::User, parts, name: None }], ..Request::default() }
    }

    #[test]
    fn a_request_costs_its_text_and_the_published_overhead() {
        assert_eq!(count_request(&request(vec![Part::text("hello world")])), 2 + 3 + 3);
    }

    #[test]
    fn images_documents_and_speech_follow_the_stated_rule() {
        let image = |detail: Option<&str>| {
            let source = Media::Url("https://example.com/cat.png".into());
            let detail = detail.map(String::from);
            count_parts(&[Content::Image(Image { source, detail }).into()])
        };
        assert_eq!(image(None), 765);
        assert_eq!(image(Some("low")), 85);
        let pdf = |bytes: usize| {
            let source = Media::Base64 { media_type: "application/pdf".into(), data: "A".repeat(bytes / 3 * 4) };
            count_parts(&[Content::File(File { source, filename: None }).into()])
        };
        assert_eq!(pdf(30), 1_600);
        assert_eq!(pdf(120_000), 3 * 1_600);
        let second = Audio { data: "A".repeat(48_000 / 3 * 4), format: "wav".into() };
        assert_eq!(count_parts(&[Content::Audio(second).into()]), 10);
    }

    #[test]
    fn tools_calls_results_and_schemas_are_counted() {
        let plain = request(vec![Part::text("hello world")]);
        let mut with_tool = plain.clone();
        let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        with_tool.tools.push(Tool::Function(Function {
            name: "get_weather".into(),
            description: Some("Current weather".into()),
            parameters: Some(parameters.clone()),
            ..Function::default()
        }));
        let words = count("get_weather") + count("Current weather") + count(&parameters.to_string());
        assert_eq!(count_request(&with_tool), count_request(&plain) + words + 8);

        let call = ToolCall {
            id: "call_1".into(),
            name: "get_weather".into(),
            arguments: r#"{"city":"Oslo"}"#.into(),
            kind: ToolKind::Function,
        };
        let result = ToolResult {
            call_id: "call_1".into(),
            name: None,
            content: vec![Content::Text(Text { text: "4 degrees".into(), ..Text::default() }).into()],
            is_error: false,
            kind: ToolKind::Function,
        };
        let parts = [Content::ToolCall(call).into(), Content::ToolResult(result).into()];
        let words = count("get_weather") + count(r#"{"city":"Oslo"}"#) + count("4 degrees");
        assert_eq!(count_parts(&parts), words);
    }
}
