//! Holds the code to the layer diagram of `src/lib.rs`: who may name whom, and what the model may
//! not name at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A layer and the layers that it may import.
const LAYERS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("config", &["model"]),
    ("journal", &["model"]),
    ("transport", &["model"]),
    ("ui", &["model"]),
    ("report", &["model"]),
    ("cli", &["model"]),
    ("exit", &["model"]),
    ("engine", &["model", "journal", "transport"]),
    ("command", &["model", "config", "journal", "transport", "ui", "report", "cli", "exit", "engine"]),
];

/// Crates that the model must not name.
const IMPURE_CRATES: [&str; 8] =
    ["tokio", "clap", "console", "dialoguer", "indicatif", "openssh", "rustix", "comfy_table"];

/// Modules of the standard library that the model must not name.
const IMPURE_STD: [&str; 7] = ["env", "fs", "net", "os", "process", "thread", "io"];

/// Ways to read a clock, as the last segments of a path.
const CLOCKS: [&[&str]; 5] =
    [&["SystemTime"], &["Instant"], &["Timestamp", "now"], &["Zoned", "now"], &["UNIX_EPOCH"]];

/// Ways to ask this machine about time zones.
const ZONES: [&[&str]; 4] =
    [&["TimeZone", "system"], &["TimeZone", "get"], &["TimeZone", "try_system"], &["tz", "db"]];

/// Names that say nothing about what a module is for.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "shared"];

/// Everything that is wrong with a set of sources, given as (path below `src`, text).
fn violations(files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut yaml = BTreeSet::new();
    for (file, text) in files {
        let modules = modules_of(file);
        for name in modules.iter().filter(|name| EMPTY_NAMES.contains(name)) {
            found.push(format!("{file}: no module is called `{name}`"));
        }
        let layer = modules.first().copied().unwrap_or("lib");
        for path in paths(&code_only(text)) {
            let segments: Vec<&str> = path.split("::").collect();
            if segments[0] == "serde_yaml" {
                yaml.insert(modules.iter().take(2).copied().collect::<Vec<_>>().join("::"));
            }
            if let Some(target) = layer_named(&segments, modules.len())
                && !may_import(layer, target)
            {
                found.push(format!("{file}: `{layer}` must not import `{target}` ({path})"));
            }
            if layer == "model" && is_impure(&segments) {
                found.push(format!("{file}: the model is pure and must not name {path}"));
            }
        }
    }
    if yaml.len() > 1 {
        let named_by: Vec<_> = yaml.into_iter().collect();
        found.push(format!("serde_yaml is for one module alone, and named by {}", named_by.join(" and ")));
    }
    found
}

/// The modules that a file stands for: `a/b.rs` is `[a, b]`, `a/mod.rs` is `[a]`, `lib.rs` is none.
fn modules_of(file: &str) -> Vec<&str> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').collect() }
}

/// The layer that a path names, where it leads out of its own module at all.
fn layer_named<'a>(segments: &[&'a str], depth: usize) -> Option<&'a str> {
    let ups = segments.iter().take_while(|segment| **segment == "super").count();
    match segments[0] {
        "crate" | "rollgate" => segments.get(1).copied(),
        // As many steps up as the file is deep arrive at the root; a nested `mod tests` needs one
        // more, and its shorter paths stay within the layer.
        "super" if ups >= depth => segments.get(ups).copied().filter(|name| is_layer(name)),
        _ => None,
    }
}

fn is_layer(name: &str) -> bool {
    LAYERS.iter().any(|(layer, _)| *layer == name)
}

fn may_import(layer: &str, target: &str) -> bool {
    layer == target
        || match LAYERS.iter().find(|(name, _)| *name == layer) {
            Some((_, allowed)) => allowed.contains(&target),
            None => layer == "main" && is_layer(target),
        }
}

fn is_impure(segments: &[&str]) -> bool {
    IMPURE_CRATES.contains(&segments[0])
        || (segments[0] == "std" && segments.get(1).is_some_and(|module| IMPURE_STD.contains(module)))
        || CLOCKS.iter().chain(&ZONES).any(|clock| segments.windows(clock.len()).any(|part| part == *clock))
}

/// Source text without comments and without the contents of literals.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let skip = comment(rest).or_else(|| raw_string(rest, code.chars().last())).or_else(|| quoted(rest));
        if let Some(length) = skip {
            code.push(' ');
            i += length;
        } else {
            code.push(chars[i]);
            i += 1;
        }
    }
    code
}

/// The length of the comment that text begins with.
fn comment(text: &[char]) -> Option<usize> {
    match text {
        ['/', '/', ..] => Some(text.iter().position(|c| *c == '\n').unwrap_or(text.len())),
        ['/', '*', ..] => {
            let mut depth = 0;
            for (at, pair) in text.windows(2).enumerate() {
                match pair {
                    ['/', '*'] => depth += 1,
                    ['*', '/'] => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Some(at + 2);
                }
            }
            Some(text.len())
        }
        _ => None,
    }
}

/// The length of the raw string that text begins with.
fn raw_string(text: &[char], before: Option<char>) -> Option<usize> {
    if text.first() != Some(&'r') || before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = 2 + hashes;
    let close = text[body..].windows(end.len()).position(|part| part == end);
    Some(close.map_or(text.len(), |at| body + at + end.len()))
}

/// The length of the string or character literal that text begins with. A lifetime is none.
fn quoted(text: &[char]) -> Option<usize> {
    match text {
        ['"', ..] => {
            let mut at = 1;
            while at < text.len() && text[at] != '"' {
                at += if text[at] == '\\' { 2 } else { 1 };
            }
            Some((at + 1).min(text.len()))
        }
        ['\'', '\\', _, rest @ ..] => Some(3 + rest.iter().position(|c| *c == '\'')? + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// Every path of two or more segments in the code, with the trees of `use` written out.
fn paths(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if tokens[at] == "use" {
            use_tree(&tokens, at + 1, "", &mut found)
        } else {
            plain_path(&tokens, at, &mut found)
        };
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Reads `a::b::c` and gives back where it ends. A word alone is no path.
fn plain_path(tokens: &[String], mut at: usize, found: &mut Vec<String>) -> usize {
    if !is_word(&tokens[at]) {
        return at + 1;
    }
    let mut path = tokens[at].clone();
    at += 1;
    while at + 1 < tokens.len() && tokens[at] == "::" && is_word(&tokens[at + 1]) {
        path = format!("{path}::{}", tokens[at + 1]);
        at += 2;
    }
    if path.contains("::") {
        found.push(path);
    }
    at
}

/// Reads one tree of a `use` and gives back where it ends.
fn use_tree(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            "as" => {
                found.push(path);
                return at + 2;
            }
            // `{self, ..}` is the prefix itself; a leading `self` is this module.
            "self" if !path.is_empty() => {}
            word if is_word(word) || word == "*" => {
                path = if path.is_empty() { word.to_owned() } else { format!("{path}::{word}") };
            }
            _ => break,
        }
        at += 1;
    }
    found.push(path);
    at
}

fn sources(dir: &Path, prefix: &str, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            sources(&path, &format!("{name}/"), into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_code_keeps_to_its_layers() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 3, "where is the code? {files:?}");
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let found = violations(&files);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The one place where processes are started, and the build's own.
const STARTS: [&str; 2] = ["transport/child.rs", "build.rs"];

/// Files that start a process past the place that keeps secrets out of its environment. Tests may.
fn starters<'f>(files: &[(&'f str, &str)]) -> Vec<&'f str> {
    let starts = |(file, text): &&(&str, &str)| {
        let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let words = code_only(own);
        !STARTS.contains(file) && !file.ends_with("tests.rs") && words.contains("Command::new(")
    };
    files.iter().filter(starts).map(|(file, _)| *file).collect()
}

#[test]
fn every_process_is_started_without_what_secrets_come_from() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let found = starters(&files);
    assert!(found.is_empty(), "transport::child::command starts processes, not {found:?}");
    let planted = [
        ("a.rs", "fn f() { Command::new(x); }\n#[cfg(test)]\nmod tests {}"),
        ("b.rs", "// Command::new(x)\n#[cfg(test)]\nmod tests { fn f() { Command::new(x); } }"),
        ("transport/child.rs", "Command::new(x)"),
    ];
    assert_eq!(starters(&planted), ["a.rs"]);
}

#[test]
fn planted_violations_are_found() {
    for (file, text, wanted) in [
        ("ui/gate.rs", "use crate::engine::Drive;", "`ui` must not import `engine`"),
        ("ui/gate.rs", "use crate::{model::plan::Plan, transport};", "`ui` must not import `transport`"),
        ("ui/mod.rs", "fn f() { super::journal::open(); }", "`ui` must not import `journal`"),
        ("ui/a/b.rs", "pub(crate) use super::super::super::config::load;", "`ui` must not import `config`"),
        ("engine/mod.rs", "let x = crate::ui::words::count(1);", "`engine` must not import `ui`"),
        ("config/raw.rs", "use crate::journal as j;", "`config` must not import `journal`"),
        ("cli.rs", "use crate::command::start;", "`cli` must not import `command`"),
        ("model/plan.rs", "use crate::config::load;", "`model` must not import `config`"),
        ("orphan.rs", "use crate::model::plan;", "`orphan` must not import `model`"),
        ("main.rs", "use rollgate::orphan;", "`main` must not import `orphan`"),
        ("model/plan.rs", "use std::{collections::BTreeMap, fs::File};", "must not name std::fs::File"),
        ("model/plan.rs", "use std::time::{self, SystemTime};", "must not name std::time::SystemTime"),
        ("model/plan.rs", "let at = jiff::Timestamp::now();", "must not name jiff::Timestamp::now"),
        ("model/plan.rs", "#[tokio::test] async fn f() {}", "must not name tokio::test"),
        ("model/plan.rs", "use clap::Parser as _;", "must not name clap::Parser"),
        ("model/mod.rs", "use console;", "must not name console"),
        ("ui/util.rs", "", "no module is called `util`"),
        ("engine/lock/manager.rs", "", "no module is called `manager`"),
        ("journal/helpers/mod.rs", "", "no module is called `helpers`"),
    ] {
        let found = violations(&[(file, text)]);
        assert!(found.iter().any(|line| line.contains(wanted)), "{file}: {text}\n  found only {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
    let found = violations(&[
        ("config/yaml/mod.rs", "use serde_yaml::Value;"),
        ("config/yaml/walk.rs", "use serde_yaml::Error;"),
        ("config/raw.rs", "serde_yaml::from_str(text)"),
    ]);
    assert_eq!(found, ["serde_yaml is for one module alone, and named by config::raw and config::yaml"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, text) in [
        ("ui/gate.rs", "use crate::model::plan::Plan;\nuse crate::ui::words;\nuse super::table;"),
        (
            "ui/gate.rs",
            "// crate::engine is above\n/// [`crate::engine::drive`] /* crate::config */\nfn f() {}",
        ),
        ("ui/gate.rs", r##"let a = "use crate::engine;"; let b = r#"crate::config" "#; let c = '"';"##),
        ("ui/gate.rs", "fn f<'a>(x: &'a str) -> &'a str { x } // crate::engine::x"),
        ("ui/gate.rs", "/* a /* nested */ crate::engine::x */ let c = '\\''; let d = '\\u{1b}';"),
        ("engine/mod.rs", "use crate::{model, journal::{Journal, line}, transport::{self, Session as S}};"),
        ("command/start.rs", "use crate::{cli, config, engine, exit, journal, model, transport, ui};"),
        ("main.rs", "use rollgate::{cli, command, exit};"),
        ("transport/ssh/mux.rs", "mod tests { use super::super::journal; }"),
        ("model/plan.rs", "use std::time::Duration; use std::path::PathBuf; use std::fmt;"),
        ("lib.rs", "pub mod model;"),
    ] {
        assert_eq!(violations(&[(file, text)]), [""; 0], "{file}: {text}");
    }
}
