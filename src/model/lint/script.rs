//! Reads a shell script far enough to say which variables it expands and sets, and which commands it
//! runs. It follows quoting, here-documents and substitutions, and leaves alone what it cannot follow.

use std::collections::BTreeSet;

use super::lexer;

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
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
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
    /// Whether it was quoted somewhere; then it is no reserved word.
    pub(super) is_quoted: bool,
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
    let mut parsed = lexer::read(body);
    let commands = std::mem::take(&mut parsed.commands);
    parsed.commands = commands.into_iter().map(|command| interpret(command, &mut parsed)).collect();
    let set = |name: &String| !parsed.sets.contains(name) && !parsed.guarded.contains(name);
    parsed.needs = std::mem::take(&mut parsed.needs).into_iter().filter(set).collect();
    parsed
}

pub(super) fn is_name(text: &str) -> bool {
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
            for argument in arguments {
                set(argument);
            }
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
