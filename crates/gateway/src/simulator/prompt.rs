//! What the simulator understands of a prompt: the last question, what it is about and what came with it.
//! Reads only the neutral request. Tests are below and in `answer.rs`.

use waypost_wire::chat::{Content, Message, Part, Request, Role, ToolResult};

/// The longest topic that is quoted, in words.
const TOPIC_WORDS: usize = 14;

/// The turn that waits for an answer.
pub(crate) struct Prompt<'a> {
    /// The text of the last user message, however many parts it has.
    pub(crate) text: String,
    pub(crate) images: usize,
    pub(crate) files: usize,
    pub(crate) audios: usize,
    /// Results of tools that came after the last assistant message.
    pub(crate) results: Vec<&'a ToolResult>,
}

impl<'a> Prompt<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        let turns = &request.messages;
        let user = turns.iter().rfind(|message| message.role == Role::User);
        let parts = user.map(|message| message.parts.as_slice()).unwrap_or_default();
        let contents = || parts.iter().map(|part| &part.content);
        let answered = turns.iter().rposition(|message| message.role == Role::Assistant);
        let fresh = turns.get(answered.map_or(0, |at| at + 1)..);
        Self {
            text: text_of_parts(parts),
            images: contents().filter(|part| matches!(part, Content::Image(_))).count(),
            files: contents().filter(|part| matches!(part, Content::File(_))).count(),
            audios: contents().filter(|part| matches!(part, Content::Audio(_))).count(),
            results: fresh.unwrap_or_default().iter().flat_map(results_of).collect(),
        }
    }

    /// The first words of the question, on one line and without its closing mark.
    pub(crate) fn topic(&self) -> String {
        let mut words = self.text.split_whitespace();
        let kept: Vec<&str> = words.by_ref().take(TOPIC_WORDS).collect();
        let more = if words.next().is_some() { " …" } else { "" };
        let topic = kept.join(" ");
        format!("{}{more}", topic.trim_end_matches(['.', '!', '?', ':', ',']))
    }

    /// What the question is about: the words after its last preposition, taken apart at commas and "and"; else its topic.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let topic = self.topic();
        let words: Vec<&str> = topic.split(' ').collect();
        let is_preposition = |word: &&str| matches!(*word, "in" | "for" | "of" | "at" | "about" | "on" | "from" | "to");
        let after = words.iter().rposition(is_preposition).map_or(0, |at| at + 1);
        let phrase = words.get(after..).filter(|rest| !rest.is_empty());
        let phrase = phrase.unwrap_or(&words).join(" ");
        let phrase = without_adverb(&phrase);
        let mut subjects: Vec<String> = Vec::new();
        for subject in phrase.split(" and ").flat_map(|part| part.split(',')) {
            let subject = subject.trim().to_owned();
            if !subject.is_empty() && !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        subjects
    }

    /// The first whole number in the question.
    pub(crate) fn number(&self) -> Option<i64> {
        let mut words = self.text.split(|c: char| !c.is_ascii_digit());
        words.find_map(|word| word.parse().ok())
    }

    /// How many words are asked for, as in "in 300 words".
    pub(crate) fn words_wanted(&self) -> Option<usize> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let pairs = words.iter().zip(words.iter().skip(1));
        let mut counts = pairs.filter(|(_, unit)| unit.to_lowercase().starts_with("word"));
        counts.find_map(|(count, _)| count.trim_matches('-').parse().ok())
    }

    /// Does the question hold this word, whatever its case?
    pub(crate) fn mentions(&self, word: &str) -> bool {
        let mut words = self.text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        words.any(|said| said.eq_ignore_ascii_case(word))
    }
}

/// All text among the parts, one part to a line.
pub(crate) fn text_of_parts(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn results_of(message: &Message) -> impl Iterator<Item = &ToolResult> {
    message.parts.iter().filter_map(|part| match &part.content {
        Content::ToolResult(result) => Some(result),
        _ => None,
    })
}

fn without_adverb(phrase: &str) -> &str {
    let endings = [" today", " tomorrow", " now", " right now", " please"];
    let found = endings.iter().find_map(|ending| phrase.strip_suffix(ending));
    found.unwrap_or(phrase).trim_end_matches(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str) -> Prompt<'static> {
        Prompt { text: text.to_owned(), images: 0, files: 0, audios: 0, results: Vec::new() }
    }

    #[test]
    fn subjects_are_what_follows_the_last_preposition() {
        assert_eq!(prompt("What's the weather in Oslo and Paris today?").subjects(), ["Oslo", "Paris"]);
        assert_eq!(prompt("Prices for tea, milk, and tea, please.").subjects(), ["tea", "milk"]);
        assert_eq!(prompt("Say hello").subjects(), ["Say hello"]);
        assert!(prompt("").subjects().is_empty());
    }

    #[test]
    fn numbers_and_word_counts_are_found() {
        assert_eq!(prompt("Roll 3 dice").number(), Some(3));
        assert_eq!(prompt("an essay of 300 words").words_wanted(), Some(300));
        assert_eq!(prompt("in other words").words_wanted(), None);
    }

    #[test]
    fn a_word_is_mentioned_only_as_a_whole() {
        assert!(prompt("Use get_weather, please").mentions("get_weather"));
        assert!(prompt("The WEATHER?").mentions("weather"));
        assert!(!prompt("weathered stone").mentions("weather"));
    }

    #[test]
    fn the_prompt_is_the_last_user_message() {
        let said = |role, text: &str| Message { role, parts: vec![Part::text(text)], name: None };
        let request = Request {
            messages: vec![said(Role::User, "one"), said(Role::Assistant, "two"), said(Role::User, "three")],
            ..Request::default()
        };
        assert_eq!(Prompt::of(&request).text, "three");
    }
}
