//! The characters of a shell script as commands, words and expansions: quoting, here-documents,
//! substitutions.

use super::script::{Command, Parsed, Word, is_name};

/// Reads a script as it stands; what its commands mean is not looked at.
pub(super) fn read(body: &str) -> Parsed {
    let mut lexer = Lexer::new(body);
    while lexer.at < lexer.chars.len() {
        lexer.list(None, false);
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: Parsed,
    /// Here-documents whose body begins after this line: delimiter, tabs stripped, quoted.
    documents: Vec<(String, bool, bool)>,
    /// How deep substitutions stand in each other here.
    depth: usize,
}

/// Nobody reads what is nested deeper, and neither is it followed.
const MOST_DEEP: usize = 100;

impl Lexer {
    fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0, out: Parsed::default(), documents: Vec::new(), depth: 0 }
    }

    /// Reads text that stands within this one.
    fn inside(&self, text: &str) -> Self {
        Self { depth: self.depth + 1, ..Self::new(text) }
    }

    fn is_too_deep(&mut self) -> bool {
        let is_too_deep = self.depth > MOST_DEEP;
        if is_too_deep {
            self.out.is_opaque = true;
            self.at = self.chars.len();
        }
        is_too_deep
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes a text if it stands here.
    fn take(&mut self, text: &str) -> bool {
        let stands = text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c));
        if stands {
            self.at += text.chars().count();
        }
        stands
    }

    /// Commands up to a closing character, or to the end.
    fn list(&mut self, until: Option<char>, is_substituted: bool) {
        if self.is_too_deep() {
            return;
        }
        self.depth += 1;
        let new = |reads_pipe| Command { reads_pipe, is_substituted, ..Command::default() };
        let mut command = new(false);
        while let Some(c) = self.peek(0) {
            if Some(c) == until {
                self.at += 1;
                break;
            }
            match c {
                '\n' | ';' => {
                    self.at += 1;
                    self.end(&mut command, new(false));
                    if c == '\n' {
                        self.read_documents();
                    }
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '#' => self.skip_line(),
                '&' if self.peek(1) == Some('>') => self.at += 1,
                '&' => {
                    self.at += if self.peek(1) == Some('&') { 2 } else { 1 };
                    self.end(&mut command, new(false));
                }
                '|' if self.take("||") => self.end(&mut command, new(false)),
                '|' => {
                    self.at += if self.peek(1) == Some('&') { 2 } else { 1 };
                    command.writes_pipe = true;
                    let mut next = new(true);
                    next.is_condition = command.is_condition || begins_condition(&command);
                    self.end(&mut command, next);
                }
                '(' if self.take("()") => {}
                '(' if self.take("((") => self.arithmetic(true),
                '(' => {
                    self.at += 1;
                    self.list(Some(')'), is_substituted);
                }
                ')' => {
                    self.at += 1;
                    command.words.clear();
                }
                '<' | '>' => self.redirect(&mut command),
                _ => {
                    let word = self.word();
                    let is_descriptor = matches!(self.peek(0), Some('<' | '>'))
                        && !word.is_quoted
                        && word.text.chars().all(|c| c.is_ascii_digit());
                    if is_descriptor {
                        self.redirect_of(&word.text, &mut command);
                    } else {
                        command.words.push(word);
                    }
                }
            }
        }
        self.end(&mut command, new(false));
        self.depth -= 1;
    }

    fn end(&mut self, command: &mut Command, next: Command) {
        let ended = std::mem::replace(command, next);
        if !ended.words.is_empty() || !ended.redirects.is_empty() {
            self.out.commands.push(ended);
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn redirect(&mut self, command: &mut Command) {
        self.redirect_of("", command);
    }

    fn redirect_of(&mut self, descriptor: &str, command: &mut Command) {
        const OPERATORS: &[&str] = &["<<<", "<<-", "<<", "<&", "<>", "<(", ">>", ">&", ">|", ">(", "<", ">"];
        let Some(operator) = OPERATORS.iter().find(|operator| self.take(operator)) else { return };
        if operator.ends_with('(') {
            return self.list(Some(')'), true);
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        let to = self.word();
        if matches!(*operator, "<<" | "<<-") {
            self.documents.push((to.text, *operator == "<<-", to.is_quoted));
        } else {
            command.redirects.push((format!("{descriptor}{operator}"), to));
        }
    }

    /// The bodies of the here-documents that this line has announced.
    fn read_documents(&mut self) {
        for (delimiter, strips_tabs, is_quoted) in std::mem::take(&mut self.documents) {
            let mut body = String::new();
            while self.at < self.chars.len() {
                let begin = self.at;
                self.skip_line();
                let line: String = self.chars[begin..self.at].iter().collect();
                self.at += 1;
                if (if strips_tabs { line.trim_start_matches('\t') } else { &line }) == delimiter {
                    break;
                }
                body.push_str(&line);
                body.push('\n');
            }
            if !is_quoted {
                self.expand(&body, &mut Word::default());
            }
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    self.at += 1;
                    self.literal(&mut word);
                }
                '"' => {
                    self.at += 1;
                    word.is_quoted = true;
                    self.quoted(&mut word);
                }
                '\\' => {
                    word.is_quoted = true;
                    word.text.extend(self.peek(1).filter(|c| *c != '\n'));
                    self.at += 2;
                }
                '$' => self.dollar(&mut word),
                '`' => self.backquoted(),
                _ => {
                    word.text.push(c);
                    self.at += 1;
                }
            }
        }
        word
    }

    fn literal(&mut self, word: &mut Word) {
        word.is_quoted = true;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            if c == '\'' {
                break;
            }
            word.text.push(c);
        }
    }

    /// The inside of double quotes.
    fn quoted(&mut self, word: &mut Word) {
        while let Some(c) = self.peek(0) {
            match c {
                '"' => {
                    self.at += 1;
                    break;
                }
                '\\' => {
                    word.text.extend(self.peek(1));
                    self.at += 2;
                }
                '$' => self.dollar(word),
                '`' => self.backquoted(),
                _ => {
                    word.text.push(c);
                    self.at += 1;
                }
            }
        }
    }

    /// Text that is expanded as within double quotes, in which quotes mean nothing.
    fn expand(&mut self, text: &str, word: &mut Word) {
        let mut inner = self.inside(text);
        if inner.is_too_deep() {
            return self.absorb(inner.out);
        }
        while let Some(c) = inner.peek(0) {
            match c {
                '\\' => inner.at += 2,
                '$' => inner.dollar(word),
                '`' => inner.backquoted(),
                _ => inner.at += 1,
            }
        }
        self.absorb(inner.out);
    }

    fn absorb(&mut self, inner: Parsed) {
        self.out.commands.extend(inner.commands);
        self.out.needs.extend(inner.needs);
        self.out.guarded.extend(inner.guarded);
        self.out.sets.extend(inner.sets);
        self.out.is_opaque |= inner.is_opaque;
    }

    fn dollar(&mut self, word: &mut Word) {
        self.at += 1;
        match self.peek(0) {
            Some('(') if self.take("((") => self.arithmetic(false),
            Some('(') => {
                self.at += 1;
                self.list(Some(')'), true);
            }
            Some('{') => {
                self.at += 1;
                self.braced(word);
            }
            Some('\'') => {
                self.at += 1;
                self.literal(word);
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                self.needs(word, name);
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => self.at += 1,
            _ => word.text.push('$'),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.at += 1;
        }
        name
    }

    fn needs(&mut self, word: &mut Word, name: String) {
        word.text.push('$');
        word.text.push_str(&name);
        self.out.needs.insert(name.clone());
        word.names.push(name);
    }

    /// `${name}` in all its forms.
    fn braced(&mut self, word: &mut Word) {
        let mut rest = String::new();
        let mut depth = 1;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '\\' => {
                    rest.push(c);
                    rest.extend(self.peek(0));
                    self.at += 1;
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            rest.push(c);
        }
        let body = rest.strip_prefix('#').unwrap_or(&rest);
        let length = body.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count();
        let (name, operation) = body.split_at(length);
        if is_name(name) {
            let operator = operation.trim_start_matches(':');
            if operator.starts_with(['-', '+', '=', '?']) {
                self.out.guarded.insert(name.to_owned());
                word.text.push('$');
                word.text.push_str(name);
                word.names.push(name.to_owned());
            } else {
                self.needs(word, name.to_owned());
            }
        }
        let operation = operation.to_owned();
        self.expand(&operation, &mut Word::default());
    }

    fn backquoted(&mut self) {
        self.at += 1;
        let mut body = String::new();
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '`' => break,
                '\\' => {
                    body.extend(self.peek(0));
                    self.at += 1;
                }
                _ => body.push(c),
            }
        }
        let mut inner = self.inside(&body);
        inner.list(None, true);
        self.absorb(inner.out);
    }

    /// `((…))`: what is assigned in it is set; bare names in it may be unset.
    fn arithmetic(&mut self, is_command: bool) {
        let mut depth = 0;
        let mut body = String::new();
        while let Some(c) = self.peek(0) {
            if depth == 0 && self.take("))") {
                break;
            }
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            body.push(c);
            self.at += 1;
        }
        if is_command || body.contains('=') {
            let names = body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            self.out.sets.extend(names.filter(|name| is_name(name)).map(str::to_owned));
        }
        self.expand(&body, &mut Word::default());
    }
}

fn begins_condition(command: &Command) -> bool {
    command
        .words
        .iter()
        .take(2)
        .any(|word| !word.is_quoted && matches!(word.text.as_str(), "if" | "elif" | "while" | "until" | "!"))
}
