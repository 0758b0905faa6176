//! `INSERT` statements out of SQL text. Decides where a statement, a name and a value ends; knows no table. Tests are below, and in
//! `dump.rs`.

use std::collections::HashMap;
use std::fmt;

/// The rows that one statement inserts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insert {
    /// Without its schema.
    pub(super) table: String,
    /// As the statement names them, or the table's `CREATE TABLE`; empty if neither does.
    pub(super) columns: Vec<String>,
    /// Null is none.
    pub(super) values: Vec<Vec<Option<String>>>,
}

/// Where the text is not SQL that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transfer) struct Mistake {
    pub(super) line: usize,
    reason: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word or number.
    Word(String),
    /// A name in backticks or brackets, or anything in double quotes.
    Name(String),
    Text(String),
    Sign(char),
}

/// Every insert in the text.
pub(super) fn inserts(text: &str) -> Result<Vec<Insert>, Mistake> {
    let mut reader = Reader { rest: text, line: 1, peeked: None };
    let mut tables: HashMap<String, Vec<String>> = HashMap::new();
    let mut inserts = Vec::new();
    while let Some(token) = reader.next()? {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("insert") => {
                let mut insert = reader.insert()?;
                if insert.columns.is_empty() {
                    insert.columns = tables.get(&insert.table).cloned().unwrap_or_default();
                }
                inserts.push(insert);
            }
            Token::Word(word) if word.eq_ignore_ascii_case("create") => {
                if let Some((table, columns)) = reader.create()? {
                    tables.insert(table, columns);
                }
            }
            Token::Sign(';') => {}
            Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Sign(_) => reader.skip_statement()?,
        }
    }
    Ok(inserts)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    peeked: Option<Token>,
}

impl Reader<'_> {
    fn insert(&mut self) -> Result<Insert, Mistake> {
        while matches!(self.peek()?, Some(Token::Word(word)) if is_one_of(word, &["into", "ignore", "or", "replace"])) {
            self.next()?;
        }
        let table = self.name()?;
        let mut columns = Vec::new();
        if self.peek()? == Some(&Token::Sign('(')) {
            self.next()?;
            loop {
                columns.push(self.name()?);
                match self.next()? {
                    Some(Token::Sign(',')) => {}
                    Some(Token::Sign(')')) => break,
                    _ => return Err(self.mistake("expected `,` or `)` after the name of a column")),
                }
            }
        }
        match self.next()? {
            Some(Token::Word(word)) if is_one_of(&word, &["values", "value"]) => {}
            _ => return Err(self.mistake("expected `VALUES`")),
        }
        let mut values = Vec::new();
        loop {
            values.push(self.row()?);
            match self.peek()? {
                Some(Token::Sign(',')) => {
                    self.next()?;
                }
                Some(Token::Sign(';')) | None => break,
                // What to do about conflicts, perhaps.
                Some(_) => {
                    self.skip_statement()?;
                    break;
                }
            }
        }
        Ok(Insert { table, columns, values })
    }

    fn row(&mut self) -> Result<Vec<Option<String>>, Mistake> {
        if self.next()? != Some(Token::Sign('(')) {
            return Err(self.mistake("expected `(` before values"));
        }
        let mut row = Vec::new();
        loop {
            let mut value = None;
            loop {
                match self.next()? {
                    Some(Token::Text(text) | Token::Name(text)) => value = Some(text),
                    Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => value = None,
                    Some(Token::Word(word)) => value = Some(word),
                    Some(Token::Sign(sign @ ('-' | '+' | ':'))) if value.is_none() || sign == ':' => {
                        // A sign of a number; a type after `::` says nothing of the value.
                        if sign == ':' {
                            self.next()?;
                            if !matches!(self.peek()?, Some(Token::Sign(',' | ')'))) {
                                self.next()?;
                            }
                        }
                    }
                    Some(Token::Sign(',')) => break,
                    Some(Token::Sign(')')) => {
                        row.push(value);
                        return Ok(row);
                    }
                    Some(Token::Sign(_)) => return Err(self.mistake("expected a plain value")),
                    None => return Err(self.mistake("the text ends within values")),
                }
            }
            row.push(value);
        }
    }

    /// The table and its columns; `None` if no table is created.
    fn create(&mut self) -> Result<Option<(String, Vec<String>)>, Mistake> {
        if !matches!(self.next()?, Some(Token::Word(word)) if word.eq_ignore_ascii_case("table")) {
            self.skip_statement()?;
            return Ok(None);
        }
        while matches!(self.peek()?, Some(Token::Word(word)) if is_one_of(word, &["if", "not", "exists"])) {
            self.next()?;
        }
        let table = self.name()?;
        if self.next()? != Some(Token::Sign('(')) {
            self.skip_statement()?;
            return Ok(None);
        }
        let (mut columns, mut depth, mut is_first) = (Vec::new(), 1_u32, true);
        while depth > 0 {
            match self.next()? {
                Some(Token::Sign('(')) => depth += 1,
                Some(Token::Sign(')')) => depth -= 1,
                Some(Token::Sign(',')) if depth == 1 => {
                    is_first = true;
                    continue;
                }
                Some(Token::Name(name)) if is_first => columns.push(name),
                Some(Token::Word(word)) if is_first && !is_one_of(&word, &NO_COLUMN) => columns.push(word),
                Some(_) => {}
                None => return Err(self.mistake("the text ends within a table")),
            }
            is_first = false;
        }
        self.skip_statement()?;
        Ok(Some((table, columns)))
    }

    /// A name, without what stands before its last dot.
    fn name(&mut self) -> Result<String, Mistake> {
        loop {
            let name = match self.next()? {
                Some(Token::Word(name) | Token::Name(name)) => name,
                _ => return Err(self.mistake("expected a name")),
            };
            if self.peek()? != Some(&Token::Sign('.')) {
                return Ok(name.rsplit('.').next().unwrap_or_default().to_owned());
            }
            self.next()?;
        }
    }

    fn skip_statement(&mut self) -> Result<(), Mistake> {
        while let Some(token) = self.next()? {
            if token == Token::Sign(';') {
                break;
            }
        }
        Ok(())
    }

    // === tokens ===

    fn peek(&mut self) -> Result<Option<&Token>, Mistake> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref())
    }

    fn next(&mut self) -> Result<Option<Token>, Mistake> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Option<Token>, Mistake> {
        self.skip_space();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '\'' => self.quoted('\'').map(|text| Some(Token::Text(text))),
            '"' | '`' => self.quoted(first).map(|name| Some(Token::Name(name))),
            _ if first.is_alphanumeric() || first == '_' => {
                let end = self.rest.find(|letter: char| !(letter.is_alphanumeric() || "_.".contains(letter)));
                let word = self.take(end.unwrap_or(self.rest.len())).to_owned();
                // `b'1'` and `E'text'` say how the text after them is meant.
                if word.len() == 1 && self.rest.starts_with('\'') {
                    return self.quoted('\'').map(|text| Some(Token::Text(text)));
                }
                Ok(Some(Token::Word(word)))
            }
            _ => {
                self.take(first.len_utf8());
                Ok(Some(Token::Sign(first)))
            }
        }
    }

    fn skip_space(&mut self) {
        loop {
            let bare = self.rest.trim_start();
            self.take(self.rest.len() - bare.len());
            let is_line = self.rest.starts_with("--") || self.rest.starts_with('#');
            if is_line {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
            } else {
                return;
            }
        }
    }

    /// What stands in quotes; they are doubled or escaped within, and escapes are MySQL's.
    fn quoted(&mut self, quote: char) -> Result<String, Mistake> {
        self.take(quote.len_utf8());
        let mut text = String::new();
        loop {
            let Some(letter) = self.rest.chars().next() else { return Err(self.mistake("a quote is not closed")) };
            self.take(letter.len_utf8());
            if letter == quote {
                if !self.rest.starts_with(quote) {
                    return Ok(text);
                }
                self.take(quote.len_utf8());
                text.push(quote);
            } else if letter == '\\' && quote != '`' {
                let Some(escaped) = self.rest.chars().next() else {
                    return Err(self.mistake("a quote is not closed"));
                };
                self.take(escaped.len_utf8());
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '0' => '\0',
                    other => other,
                });
            } else {
                text.push(letter);
            }
        }
    }

    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn mistake(&self, reason: &'static str) -> Mistake {
        Mistake { line: self.line, reason }
    }
}

/// Words that begin something else than a column.
const NO_COLUMN: [&str; 9] =
    ["primary", "key", "unique", "constraint", "index", "foreign", "fulltext", "check", "spatial"];

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<Option<String>>> {
        inserts(text).unwrap().into_iter().flat_map(|insert| insert.values).collect()
    }

    #[test]
    fn values_are_read_as_each_database_writes_them() {
        let told = rows(
            "INSERT IGNORE INTO `a`.`t` VALUES ('it''s', \"x\", -1.5, NULL, b'0', E'a\\nb', 'c'::text, 7) \
             ON DUPLICATE KEY UPDATE id = 1; # the rest\ninsert into t values (';', ')');",
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                vec![text("it's"), text("x"), text("1.5"), None, text("0"), text("a\nb"), text("c"), text("7")],
                vec![text(";"), text(")")],
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, line) in
            [("insert into t values (1", 1), ("\n\ninsert into t (1) x", 3), ("insert into t values ('", 1)]
        {
            assert_eq!(inserts(text).unwrap_err().line, line, "{text}");
        }
        assert_eq!(inserts("").unwrap(), []);
        assert_eq!(inserts("drop table x; select 'insert into t values (1)';").unwrap(), []);
    }
}
