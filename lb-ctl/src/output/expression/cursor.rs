//! A place in the text of an expression.

/// Where an expression can't be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at character {} of '{text}'", at + 1)]
pub struct SyntaxError {
    text: String,
    at: usize,
    reason: String,
}

#[derive(Clone)]
pub(in crate::output) struct Cursor<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(in crate::output) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(in crate::output) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(in crate::output) fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    pub(in crate::output) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the text if it is next.
    pub(in crate::output) fn eat(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.at += text.len();
        }
        there
    }

    pub(in crate::output) fn expect(&mut self, text: &str) -> Result<(), SyntaxError> {
        if self.eat(text) {
            Ok(())
        } else {
            Err(self.error(format!("expected '{text}'")))
        }
    }

    pub(in crate::output) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    pub(in crate::output) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A quoted text, if a quote is next; a backslash takes the character after it as it is.
    pub(in crate::output) fn quoted(&mut self) -> Result<Option<String>, SyntaxError> {
        let Some(quote @ ('"' | '\'')) = self.peek() else {
            return Ok(None);
        };
        let opened = self.clone();
        self.at += 1;
        let mut text = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => text.extend(characters.next().map(|(_, c)| c)),
                c if c == quote => {
                    self.at += at + 1;
                    return Ok(Some(text));
                }
                c => text.push(c),
            }
        }
        Err(opened.error("the quote is not closed"))
    }

    pub(in crate::output) fn error(&self, reason: impl Into<String>) -> SyntaxError {
        SyntaxError {
            text: self.text.to_owned(),
            at: self.text[..self.at].chars().count(),
            reason: reason.into(),
        }
    }
}
