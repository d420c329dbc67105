//! Reads a shell script far enough to say which variables it expands and sets, and which commands it
//! runs. It follows quoting, here-documents and substitutions, and leaves alone what it cannot follow.

use std::collections::BTreeSet;

/// What a script does, as far as it can be read off.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Its commands, those of substitutions included.
    pub(super) commands: Vec<Command>,
    /// Variables that must be set.
    pub(super) needs: BTreeSet<String>,
    /// Variables that may be unset, for the script says what happens then.
    pub(super) guarded: BTreeSet<String>,
    /// Variables that it sets.
    pub(super) sets: BTreeSet<String>,
    /// Whether it runs what cannot be read here (`eval`, `.`), or allows for unset variables.
    pub(super) is_opaque: bool,
}

/// A simple command.
#[derive(Debug, Clone, Default)]
pub(super) struct Command {
    /// Its words without leading assignments and reserved words.
    pub(super) words: Vec<Word>,
    /// Where its output goes, by operator.
    pub(super) redirects: Vec<(String, Word)>,
    /// Whether it reads from a pipe.
    pub(super) reads_pipe: bool,
    /// Whether it writes into a pipe.
    pub(super) writes_pipe: bool,
    /// Whether its result is a condition: `if`, `while`, `until`, `!`.
    pub(super) is_condition: bool,
    /// Whether its output becomes a value: `$(…)`.
    pub(super) is_substituted: bool,
}

/// A word without its quotes.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// The text; a variable stands as `$name`.
    pub(super) text: String,
    /// The variables that it expands.
    pub(super) names: Vec<String>,
    is_quoted: bool,
}

impl Command {
    /// What is run, past `sudo` and the like; empty for a mere assignment.
    pub(super) fn name(&self) -> &str {
        const PASS_ON: &[&str] = &["sudo", "doas", "exec", "command", "nohup", "env"];
        let mut words = self.words.iter().map(|word| word.text.as_str()).peekable();
        let mut found = words.next().unwrap_or("");
        while PASS_ON.contains(&found) {
            while let Some(flag) = words.next_if(|word| word.starts_with('-') || is_assignment(word)) {
                if matches!(flag, "-u" | "-g" | "-C" | "--user" | "--group") {
                    words.next();
                }
            }
            let Some(next) = words.next() else { break };
            found = next;
        }
        found.rsplit('/').next().unwrap_or(found)
    }

    /// The command as one line of text.
    pub(super) fn line(&self) -> String {
        let words = self.words.iter().map(|word| word.text.as_str());
        let redirects = self.redirects.iter().flat_map(|(operator, to)| [operator.as_str(), &to.text]);
        words.chain(redirects).collect::<Vec<_>>().join(" ")
    }
}

/// Reads a script.
pub(super) fn parse(body: &str) -> Parsed {
    let mut lexer = Lexer::new(body);
    while lexer.at < lexer.chars.len() {
        lexer.list(None, false);
    }
    let mut parsed = lexer.out;
    let commands = std::mem::take(&mut parsed.commands);
    parsed.commands = commands.into_iter().map(|command| interpret(command, &mut parsed)).collect();
    let set = |name: &String| !parsed.sets.contains(name) && !parsed.guarded.contains(name);
    parsed.needs = std::mem::take(&mut parsed.needs).into_iter().filter(set).collect();
    parsed
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn assigned(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    is_name(name).then_some(name)
}

fn is_assignment(text: &str) -> bool {
    assigned(text).is_some()
}

/// Strips reserved words and assignments, and notes what the command sets.
fn interpret(mut command: Command, parsed: &mut Parsed) -> Command {
    const RESERVED: &[&str] =
        &["if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time", "esac"];
    while let Some(first) = command.words.first() {
        if RESERVED.contains(&first.text.as_str()) && !first.is_quoted {
            command.is_condition |= matches!(first.text.as_str(), "if" | "elif" | "while" | "until" | "!");
        } else if let Some(name) = assigned(&first.text) {
            parsed.sets.insert(name.to_owned());
        } else {
            break;
        }
        command.words.remove(0);
    }
    let texts: Vec<&str> = command.words.iter().map(|word| word.text.as_str()).collect();
    let Some((name, arguments)) = texts.split_first() else { return command };
    let mut set = |text: &str| {
        let name = assigned(text).unwrap_or(text);
        if is_name(name) {
            parsed.sets.insert(name.to_owned());
        }
    };
    match *name {
        "export" | "readonly" | "local" | "declare" | "typeset" | "read" | "mapfile" | "readarray" => {
            arguments.iter().for_each(|argument| set(argument));
        }
        "for" | "select" => arguments.iter().take(1).for_each(|argument| set(argument)),
        "getopts" => ["OPTARG", "OPTIND"].iter().chain(arguments).for_each(|argument| set(argument)),
        "printf" if arguments.first() == Some(&"-v") => {
            arguments.iter().skip(1).take(1).for_each(|name| set(name));
        }
        "." | "source" | "eval" => parsed.is_opaque = true,
        "set" => {
            parsed.is_opaque |= arguments
                .iter()
                .any(|flag| *flag == "nounset" || flag.starts_with('+') && flag.contains('u'));
        }
        _ => {}
    }
    command
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
                        self.redirect_of(&word.text, &mut command)
                    } else {
                        command.words.push(word)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(body: &str) -> Vec<String> {
        parse(body).needs.into_iter().collect()
    }

    #[test]
    fn finds_what_a_script_expands() {
        for (body, expected) in [
            ("echo $a ${b} \"$c\" \"${d}x\"", "a b c d"),
            ("echo '$a' \\$b \"\\$c\" $1 $@ \"$?\" $$ $#", ""),
            ("echo ${#a} ${b%%.*} ${c#x$d} ${e/f/$g}", "a b c d e g"),
            ("echo ${a:-1} ${b-} ${c:=x} ${d:+y} ${e:?needed}", ""),
            ("echo ${a:-$b}", "b"),
            ("[ -n \"${a:-}\" ] && echo $a", ""),
            ("a=1; echo $a$b", "b"),
            ("x=$(cat $f | grep \"$(hostname $h)\")", "f h"),
            ("x=`cat $f`; echo $x", "f"),
            ("echo $((n + $m))", "m"),
            ("n=0; n=$((n + 1)); echo $n", ""),
            ("(( i = 0 )); echo $i", ""),
            ("for i in $list; do echo $i; done", "list"),
            ("while read -r a b; do echo $a $b; done < $f", "f"),
            ("while IFS=: read x y; do echo \"$x $y\"; done", ""),
            ("export A=$b C; echo $A $C", "b"),
            ("local x; readonly y=1; echo $x $y", ""),
            ("while getopts ab: o; do echo $o $OPTARG; done", ""),
            ("# $a\necho x # $b\necho x#$c", "c"),
            ("awk '{print $NF, $name}' $f", "f"),
            ("sed \"s/x$/y/\" a$", ""),
            ("f() { echo $x; }; f", "x"),
            ("if [ $a = 1 ]; then echo $b; else echo $c; fi", "a b c"),
            ("case $a in x) echo $b;; *) c=1; echo $c;; esac", "a b"),
            ("( cd $d && echo $e ) >$f 2>&1", "d e f"),
            ("a=1 b=$c cmd $d", "c d"),
            ("cat <<EOF\n$a ${b} \\$c $(id $d)\nEOF\necho $e", "a b d e"),
            ("cat <<'EOF' >$f\n$a\nEOF\necho $e", "e f"),
            ("cat <<-\"X\"\n\t$a\n\tX\necho $e", "e"),
            ("cat <<A; cat <<'B'\n$a\nA\n$b\nB\necho $c", "a c"),
            ("cat <<EOF\nnever closed $a", "a"),
            ("cmd <<< \"$a\"", "a"),
            ("diff <(sort $a) <(sort $b)", "a b"),
            ("echo \"${a:-\"$b\"}\" 'it'\\''s $c'", "b"),
            ("printf -v out %s x; echo $out", ""),
            ("echo $'a\\n$b'", ""),
        ] {
            assert_eq!(needs(body).join(" "), expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for body in [". /etc/profile", "source x", "eval \"$(ssh-agent)\"", "set +u", "set +eu"] {
            assert!(parse(body).is_opaque, "{body}");
        }
        assert!(!parse("set -eu; set -- a b").is_opaque);
    }

    #[test]
    fn commands_and_their_pipes() {
        let parsed = parse("sudo -n -u ops cat f | tr a b >>out || true\nif ps | grep x; then y=$(id); fi");
        let seen: Vec<_> = parsed
            .commands
            .iter()
            .map(|c| (c.name(), c.reads_pipe, c.writes_pipe, c.is_condition, c.is_substituted))
            .collect();
        assert_eq!(
            seen,
            [
                ("cat", false, true, false, false),
                ("tr", true, false, false, false),
                ("true", false, false, false, false),
                ("ps", false, true, true, false),
                ("grep", true, false, true, false),
                ("id", false, false, false, true),
                ("", false, false, false, false),
                ("", false, false, false, false),
            ]
        );
        assert_eq!(parsed.commands[1].redirects[0].0, ">>");
    }

    #[test]
    fn what_is_nested_too_deep_is_not_followed() {
        for part in ["$(", "(", "`", "${a:-"] {
            assert!(parse(&part.repeat(2000)).needs.is_empty(), "{part}");
        }
        assert!(parse(&"$(".repeat(2000)).is_opaque);
    }

    proptest::proptest! {
        #[test]
        fn no_script_makes_it_panic(body in "[ -~\n]{0,60}|[$(){}<>'\"`|&;#\\\\a=\n -]{0,40}") {
            parse(&body);
        }
    }
}
