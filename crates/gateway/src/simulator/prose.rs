//! The simulator's way with words: text that refers to the prompt and owns up to being simulated.
//! Knows no limits and no tokens; the answer is cut elsewhere. Tests are in `answer.rs`.

use std::fmt::Write as _;

use waypost_wire::chat::ToolResult;

use super::prompt::{Prompt, text_of_parts};

/// The longest text that a prompt can ask for.
const MOST_WORDS: usize = 5_000;

const OPENINGS: [&str; 3] = ["You asked: ", "Your question was: ", "Here is what I read: "];

const SENTENCES: [&str; 6] = [
    " I am Waypost's built-in simulator, so I can show you how an answer travels, but not think of one.",
    " Everything around this text is real: the stream, the token counts, the finish reason and the usage record.",
    " Add a provider's key to have the same request answered by a model; your application need not change.",
    " Ask for a number of words, for JSON or for a tool call, and I will comply as a model would.",
    " A name such as sim/fail-503 or sim/cut makes me fail on purpose, to show how failover behaves.",
    " The same request always gets the same answer, which makes me useful in tests.",
];

/// An answer in prose. `variant` tells parallel answers apart.
pub(crate) fn reply(prompt: &Prompt<'_>, variant: usize) -> String {
    let mut text = attachments(prompt);
    if prompt.results.is_empty() {
        let topic = prompt.topic();
        let opening = OPENINGS.iter().cycle().nth(variant % OPENINGS.len());
        if topic.is_empty() {
            text.push_str("There was no question in words.");
        } else {
            _ = write!(text, "{}“{topic}”.", opening.unwrap_or(&""));
        }
    } else {
        text.push_str(&quoted(&prompt.results));
    }
    let sentences = SENTENCES.iter().cycle().skip(variant % SENTENCES.len());
    match prompt.words_wanted() {
        None => text.extend(sentences.take(3).copied()),
        Some(wanted) => fill(&mut text, wanted.min(MOST_WORDS), sentences),
    }
    text
}

/// What the simulator thinks before it answers.
pub(crate) fn thoughts(prompt: &Prompt<'_>) -> String {
    format!(
        "The question is “{}”. It has {} words. I should refer to it, say that I am a simulator, and keep it short.",
        prompt.topic(),
        prompt.text.split_whitespace().count(),
    )
}

fn attachments(prompt: &Prompt<'_>) -> String {
    let kinds =
        [(prompt.images, "image", "see"), (prompt.files, "document", "have"), (prompt.audios, "recording", "hear")];
    let mut text = String::new();
    for (count, noun, verb) in kinds.iter().filter(|(count, ..)| *count > 0) {
        let plural = if *count == 1 { "" } else { "s" };
        _ = write!(text, "I {verb} {count} {noun}{plural}. ");
    }
    text
}

fn quoted(results: &[&ToolResult]) -> String {
    let mut text = String::from("The tools answered:");
    for result in results {
        let failed = if result.is_error { " (an error)" } else { "" };
        _ = write!(text, " “{}”{failed}.", text_of_parts(&result.content));
    }
    text
}

fn fill<'a>(text: &mut String, wanted: usize, sentences: impl Iterator<Item = &'a &'a str>) {
    let mut words = text.split_whitespace().count();
    for sentence in sentences {
        if words >= wanted {
            return;
        }
        for word in sentence.split_whitespace().take(wanted - words) {
            _ = write!(text, " {word}");
            words += 1;
        }
    }
}
