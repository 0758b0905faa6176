//! The environment as values: variables of the process over those of a `.env` file, which is read here, too.
//! Knows no file system and no process: pairs and a text come in. Tests are below.

use std::collections::BTreeMap;

use super::error::{ConfigError, Mark};

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, Variable>);

#[derive(Clone, PartialEq, Eq)]
struct Variable {
    value: String,
    /// Where in the `.env` file, if not of the process.
    line: Option<u32>,
}

/// A value may be a secret.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "*** of line {:?}", self.line)
    }
}

impl Variables {
    /// Variables of a process.
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, Variable { value, line: None })).collect())
    }

    /// Adds those of a `.env` file that are not set already. `file` is its name for errors.
    pub fn add_file(&mut self, text: &str, file: &str) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut read: BTreeMap<String, Variable> = BTreeMap::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, number) in text.lines().zip(1_u32..) {
            match assignment(line) {
                Ok(None) => {}
                // As in a shell, the last one counts.
                Ok(Some((name, value))) => {
                    read.insert(name.to_owned(), Variable { value, line: Some(number) });
                }
                Err((reason, fix)) => errors.push(ConfigError {
                    file: Some(file.to_owned()),
                    mark: Some(Mark::at(number, 1)),
                    ..ConfigError::at("", reason).fix(fix)
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for (name, variable) in read {
            self.0.entry(name).or_insert(variable);
        }
        Ok(())
    }

    /// A variable's value, empty or not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|variable| variable.value.as_str())
    }

    /// A variable's value, where it says something.
    pub fn said(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How people find the variable: `PORT`, or `.env:3: PORT`.
    pub(super) fn place(&self, name: &str) -> String {
        match self.0.get(name).and_then(|variable| variable.line) {
            Some(line) => format!(".env:{line}: {name}"),
            None => name.to_owned(),
        }
    }
}

type Wrong = (&'static str, &'static str);

/// `NAME=value`, `export NAME="value"`, a comment or nothing.
fn assignment(line: &str) -> Result<Option<(&str, String)>, Wrong> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let Some((name, value)) = line.split_once('=') else {
        return Err(("this is no variable", "write NAME=value, or begin the line with `#`"));
    };
    let name = name.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(("the name of a variable is made of letters, digits and `_`", "write NAME=value"));
    }
    Ok(Some((name, unquoted(value.trim())?)))
}

fn unquoted(value: &str) -> Result<String, Wrong> {
    let unclosed = ("the quotes are not closed", "end the value with the quote it begins with");
    let after = |rest: &str| {
        let rest = rest.trim_start();
        let clean = rest.is_empty() || rest.starts_with('#');
        clean.then_some(()).ok_or(("something follows the quoted value", "put all of it inside the quotes"))
    };
    if let Some(rest) = value.strip_prefix('\'') {
        let (text, rest) = rest.split_once('\'').ok_or(unclosed)?;
        return after(rest).map(|()| text.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        // A comment begins after a blank; a `#` inside a key is part of it.
        let end = value.match_indices('#').find(|(at, _)| value.get(..*at).is_some_and(|v| v.ends_with([' ', '\t'])));
        let value = end.map_or(value, |(at, _)| value.get(..at).unwrap_or(value));
        return Ok(if value.starts_with('#') { String::new() } else { value.trim_end().to_owned() });
    };
    let mut text = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return after(rest.get(at + 1..).unwrap_or("")).map(|()| text),
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, other)) => text.push(other),
                None => return Err(unclosed),
            },
            other => text.push(other),
        }
    }
    Err(unclosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_would_and_the_process_comes_first() {
        let mut variables = Variables::of([("A".to_owned(), "process".to_owned())]);
        let text =
            "# a comment\nA=file\nexport B = two # told\nC='x # y'\nD=\"a\\n\\\"b\\\"\" # c\nE=\nF=sk#1\nG=1\nG=2\n\n";
        variables.add_file(text, ".env").unwrap();
        for (name, value) in
            [("A", "process"), ("B", "two"), ("C", "x # y"), ("D", "a\n\"b\""), ("E", ""), ("F", "sk#1"), ("G", "2")]
        {
            assert_eq!(variables.get(name), Some(value), "{name}");
        }
        assert_eq!((variables.said("E"), variables.get("Z")), (None, None));
        assert_eq!((variables.place("A"), variables.place("B")), ("A".to_owned(), ".env:3: B".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line_and_no_value() {
        let text = "A=1\nsk-secret\n1B=sk-secret\nC=\"sk-secret\nD='a' sk-secret\n";
        let errors = Variables::default().add_file(text, ".env").unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let places: Vec<&str> = shown.iter().map(|error| error.split(": ").next().unwrap()).collect();
        assert_eq!(places, [".env:2:1", ".env:3:1", ".env:4:1", ".env:5:1"]);
        assert!(shown.iter().all(|error| !error.contains("secret")), "{shown:?}");
    }
}
