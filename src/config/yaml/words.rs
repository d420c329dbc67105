//! The library's own errors in an operator's words: what is wrong, the place to look at, and what to
//! write. A Rust type name never reaches the screen.

use super::super::mistake::{Mistake, listed, meant};
use super::super::source::Source;
use super::super::surface;
use super::token;

type Spot = (usize, usize);

/// Explains any error of the library.
pub(super) fn explain(source: &Source, error: &serde_yaml::Error) -> Mistake {
    let spot = error.location().map(|place| (place.line(), place.column()));
    let text = error.to_string();
    let (message, context) = split_marks(&text);
    if let Some(mistake) = shape(source, message, spot) {
        return mistake;
    }
    if let Some(tab) = surface::tab(source, spot.map_or(usize::MAX, |(line, _)| line + 1)) {
        return tab;
    }
    syntax(source, message, spot, context).unwrap_or_else(|| match spot {
        Some(spot) => placed(source, spot, format!("this is not valid YAML: {message}"), "here", &[]),
        None => Mistake::unplaced(source.path(), format!("this is not valid YAML: {message}"), &[]),
    })
}

/// The message without positions, and the position of its context, which stands in the text alone.
fn split_marks(text: &str) -> (&str, Option<(&str, Option<Spot>)>) {
    let message = text.split(" at line ").next().unwrap_or(text);
    let context = text.rsplit_once(", while ").map(|(_, context)| {
        let (what, place) = context.split_once(" at line ").unwrap_or((context, ""));
        let spot = place
            .split_once(" column ")
            .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
        (what, spot)
    });
    (message, context)
}

fn placed(source: &Source, spot: Spot, what: impl Into<String>, note: &str, help: &[&str]) -> Mistake {
    let length = token(source.line(spot.0), spot.1);
    source.mistake(spot, length, what, note, help)
}

/// The words between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Errors of the typed parse: a known document of the wrong shape.
fn shape(source: &Source, message: &str, spot: Option<Spot>) -> Option<Mistake> {
    let spot = spot.unwrap_or((1, 1));
    let cut = |mark: &str| {
        let at = message.find(mark)?;
        let path = message[..at].trim_end_matches(": ");
        Some((path, &message[at + mark.len()..]))
    };
    let within = |path: &str| if path.is_empty() { String::new() } else { format!(" in {path}") };
    if let Some((path, rest)) = cut("unknown field `") {
        let (key, rest) = rest.split_once("`, ").unwrap_or((rest.trim_end_matches('`'), ""));
        return Some(unknown_word(source, spot, key, &quoted(rest), |key| {
            format!("unknown key `{key}`{}", within(path))
        }));
    }
    if let Some((path, rest)) = cut("unknown variant `") {
        let (word, rest) = rest.split_once("`, ").unwrap_or((rest.trim_end_matches('`'), ""));
        return Some(unknown_word(source, spot, word, &quoted(rest), |word| {
            format!("`{word}` is not a value of {path}")
        }));
    }
    if let Some((path, rest)) = cut("missing field `") {
        let key = rest.trim_end_matches('`');
        let what = format!("`{key}` is missing{}", within(path));
        return Some(source.mistake(spot, 1, what, &format!("needs `{key}:`"), &[]));
    }
    for mark in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((path, rest)) = cut(mark) {
            let (given, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "another value"));
            let what = match path {
                "" => format!("this file must be {}", wanted(expected)),
                path => format!("{path} must be {}", wanted(expected)),
            };
            let note = format!("this is {}", kind(given));
            return Some(placed(source, spot, what, &note, &[]));
        }
    }
    None
}

fn unknown_word(
    source: &Source,
    spot: Spot,
    word: &str,
    known: &[&str],
    what: impl Fn(&str) -> String,
) -> Mistake {
    let note = match meant(word, known.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "not known here".to_owned(),
    };
    let help = format!("known here: {}", listed(known.iter().copied()));
    placed(source, spot, what(word), &note, &[&help])
}

/// What was expected, without the names of types.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" => "a number from 0 to 255".to_owned(),
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping of keys to values".to_owned(),
        other if other.starts_with("struct ") => "a mapping of keys to values".to_owned(),
        other => other.to_owned(),
    }
}

/// What stands there instead.
fn kind(given: &str) -> &str {
    match given.split([' ', ':']).next().unwrap_or_default() {
        "string" => "text",
        "integer" | "floating" => "a number",
        "boolean" => "a yes/no value",
        "sequence" | "list" => "a list",
        "map" => "a mapping",
        "unit" | "Option" => "nothing",
        _ => "something else",
    }
}

/// What the library was in the middle of, and where that began.
type Context<'c> = Option<(&'c str, Option<Spot>)>;

/// One sign at fault.
fn sign(source: &Source, spot: Spot, what: &str, note: &str, help: &str) -> Mistake {
    source.mistake(spot, 1, what, note, &[help])
}

/// Errors of the YAML grammar.
fn syntax(source: &Source, message: &str, spot: Option<Spot>, context: Context<'_>) -> Option<Mistake> {
    let whole = document(source, message, spot);
    if whole.is_some() {
        return whole;
    }
    let spot = spot?;
    let (context, opened) = context.unwrap_or_default();
    value(source, message, spot, context, opened.unwrap_or(spot))
        .or_else(|| layout(source, message, spot, context, opened))
}

/// What is wrong with a document as a whole.
fn document(source: &Source, message: &str, spot: Option<Spot>) -> Option<Mistake> {
    Some(match message {
        "repetition limit exceeded" => sign(
            source,
            first_alias(source.text()),
            "aliases make this file too large",
            "an alias here",
            "write a check or group once under its name and refer to the name",
        ),
        "recursion limit exceeded" => sign(
            source,
            spot.unwrap_or((1, 1)),
            "values nest more than 64 deep",
            "too deep here",
            "is a `]` or `}` missing above?",
        ),
        text if text.contains("more than one document") => sign(
            source,
            second_document(source.text()),
            "a second document begins in this file",
            "second document here",
            "one file holds one inventory or one procedure; delete the `---` or split the file",
        ),
        _ => return None,
    })
}

/// A value that begins with a sign of YAML's own, or does not end.
fn value(source: &Source, message: &str, spot: Spot, context: &str, opened: Spot) -> Option<Mistake> {
    if context.contains("quoted scalar") {
        let what = "a quote is opened and never closed";
        return Some(sign(
            source,
            opened,
            what,
            "opened here",
            "close it on the same line, or drop both quotes",
        ));
    }
    if context.contains("tag") {
        let what = "`!` at the start of a value is a YAML tag";
        return Some(sign(source, opened, what, "here", "to leave out nodes, put it in quotes: \"!NAME\""));
    }
    if message.contains("did not find expected node content") {
        let help = "an entry of a list cannot be left out; for nothing write \"\"";
        return Some(sign(source, spot, "a value is missing here", "a value was expected", help));
    }
    if context.contains("alias") || message.contains("unknown anchor") || context.contains("an anchor") {
        let what = "a value that begins with `*` or `&` is an alias or anchor to YAML";
        let help = "to mean the character itself, such as in a glob, put the value in quotes: \"*\"";
        return Some(sign(source, opened, what, "here", help));
    }
    if message.contains("cannot start any token") {
        let c = source.line(spot.0).chars().nth(spot.1 - 1).unwrap_or(' ');
        let what = format!("a value cannot begin with `{c}`");
        return Some(sign(source, spot, &what, "here", "put the value in quotes"));
    }
    if context.contains("flow") {
        let (bracket, close) = if context.contains("mapping") { ('{', '}') } else { ('[', ']') };
        let what = format!("a `{bracket}` is opened and not closed where YAML expects it");
        let note = format!("opened here; line {} does not continue it", spot.0);
        let help = format!("close it with `{close}`; entries are separated by commas");
        return Some(sign(source, opened, &what, &note, &help));
    }
    None
}

/// Lines that do not fit together.
fn layout(
    source: &Source,
    message: &str,
    spot: Spot,
    context: &str,
    opened: Option<Spot>,
) -> Option<Mistake> {
    if message.contains("mapping values are not allowed") {
        let what = "a second `:` on one line, or a key that is indented too far";
        let help = "put a text that holds `: ` in quotes; keys of one mapping begin in the same column";
        return Some(sign(source, spot, what, "not expected here", help));
    }
    if message.contains("could not find expected ':'") {
        let what = "this is neither a key with a value nor an entry of a list";
        let help = "write `key: value`, or put a text of several lines behind `|`";
        return Some(placed(source, opened.unwrap_or(spot), what, "a `:` is missing", &[help]));
    }
    if message.contains("did not find expected") || context.contains("block") {
        let help = match opened {
            Some((line, column)) => format!(
                "the mapping or list above begins in line {line}, column {column}; its entries begin in the same column"
            ),
            None => "entries of one mapping or list begin in the same column".to_owned(),
        };
        let what = "this line does not fit the lines above it";
        let help = [help.as_str(), "is a quote or a bracket above it left open?"];
        return Some(placed(source, spot, what, "not expected here", &help));
    }
    None
}

/// The first alias in a text, for an error that comes without a place.
fn first_alias(text: &str) -> Spot {
    text.lines()
        .enumerate()
        .find_map(|(index, line)| {
            let at = line.char_indices().position(|(at, c)| {
                c == '*'
                    && line[..at].ends_with([' ', '[', '{', ',', ':'])
                    && line[at + 1..].starts_with(char::is_alphanumeric)
            })?;
            Some((index + 1, at + 1))
        })
        .unwrap_or((1, 1))
}

/// The line that begins a second document: the first `---` or `...` after any content.
fn second_document(text: &str) -> Spot {
    let content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let begins = |line: &str| line.starts_with("---") || line.starts_with("...");
    let mut any = false;
    for (index, line) in text.lines().enumerate() {
        if begins(line) && any {
            return (index + 1, 1);
        }
        any |= content(line);
    }
    (1, 1)
}
