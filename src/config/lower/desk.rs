//! Where mistakes are noted while a file is lowered, and the questions that every value answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::super::mistake::{Mistake, Mistakes, PRINTED, listed, meant};
use super::super::path::Path;
use super::super::raw::{Entries, OneOrMany, Scalar};
use super::super::source::Source;
use super::super::yaml::{self, Aim};
use crate::model::duration;
use crate::model::host::host_is_safe;
use crate::model::name::{BadName, VarName, shadows_the_shell};

/// What was wrong, by path; its place is looked up when it is shown.
struct Finding {
    path: Path,
    aim: Aim,
    what: String,
    note: String,
    help: Vec<String>,
    /// Whether the value may be something that nobody should read.
    veiled: bool,
}

/// One file on its way to the model.
pub(crate) struct Desk<'s> {
    source: &'s Source,
    findings: RefCell<Vec<Finding>>,
}

impl<'s> Desk<'s> {
    /// Opens a file.
    pub(crate) fn new(source: &'s Source) -> Self {
        Self { source, findings: RefCell::default() }
    }

    /// Whether nothing was noted so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.borrow().is_empty()
    }

    /// Everything that was noted, in the order of the file. Finding a place takes a pass over the file, so
    /// that only as many are looked up as will be shown.
    pub(crate) fn mistakes(self) -> Option<Mistakes> {
        let findings = self.findings.into_inner();
        let more = findings.len().saturating_sub(PRINTED);
        let mut veils = Vec::new();
        let mut found: Vec<Mistake> = findings
            .into_iter()
            .take(PRINTED)
            .map(|finding| {
                let place = yaml::nearest(self.source, &finding.path, finding.aim);
                let length = yaml::token(self.source.line(place.0), place.1);
                let help: Vec<&str> = finding.help.iter().map(String::as_str).collect();
                if finding.veiled {
                    veils.push(place);
                }
                self.source.mistake(place, length, finding.what, &finding.note, &help)
            })
            .collect();
        // The lines around another mistake may be those.
        for place in found.iter_mut().filter_map(|mistake| mistake.place.as_mut()) {
            for (line, column) in &veils {
                place.veil(*line, *column);
            }
        }
        found.sort_by_key(|mistake| mistake.place.as_ref().map(|place| (place.line, place.column)));
        Mistakes::collect_with(found, more)
    }

    /// Notes what is wrong with a value.
    pub(crate) fn wrong(&self, path: &Path, what: impl Display, note: impl Display, help: impl Display) {
        self.note(Aim::Value, path, &what, &note, &help);
    }

    /// Notes what is wrong with a value that has a secret in it: it is not shown.
    pub(super) fn wrong_unseen(
        &self,
        path: &Path,
        what: impl Display,
        note: impl Display,
        help: impl Display,
    ) {
        self.note(Aim::Value, path, &what, &note, &help);
        if let Some(finding) = self.findings.borrow_mut().last_mut() {
            finding.veiled = true;
        }
    }

    /// Notes what is wrong with a key, wherever its value is.
    pub(super) fn wrong_key(&self, path: &Path, what: impl Display, note: impl Display, help: impl Display) {
        self.note(Aim::Key, path, &what, &note, &help);
    }

    fn note(&self, aim: Aim, path: &Path, what: &dyn Display, note: &dyn Display, help: &dyn Display) {
        let (what, help) = (what.to_string(), help.to_string());
        let mut findings = self.findings.borrow_mut();
        if findings.iter().rev().take(8).any(|found| found.what == what && found.path == *path) {
            return;
        }
        findings.push(Finding {
            path: path.clone(),
            aim,
            what,
            note: note.to_string(),
            help: if help.is_empty() { Vec::new() } else { vec![help] },
            veiled: false,
        });
    }

    /// The name of a secret. What stands there instead may be the secret itself, so it is not repeated.
    pub(super) fn secret(&self, path: &Path, value: &Scalar, known: &BTreeSet<String>) -> Option<VarName> {
        let word = match value {
            Scalar::Text(word) => word.as_str(),
            _ => "",
        };
        if known.contains(word) {
            return VarName::parse(word).ok();
        }
        let note = match meant(word, known.iter().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "not known".to_owned(),
        };
        let help = if known.is_empty() {
            "declare it, such as secrets: { login_password: { prompt: Password of the nodes } }, and write \
             password: login_password; the password itself never stands here"
                .to_owned()
        } else {
            format!(
                "known: {}; the password itself never stands here",
                listed(known.iter().map(String::as_str))
            )
        };
        self.wrong_unseen(path, format!("`{path}` names none of `secrets:`"), note, help);
        None
    }

    /// Notes that a key is missing from a mapping.
    pub(crate) fn missing(&self, path: &Path, key: &str, help: &str) {
        let what = match path.segments() {
            [] => format!("`{key}:` is missing"),
            _ => format!("`{key}:` is missing in {path}"),
        };
        self.wrong(path, what, format!("needs `{key}:`"), help);
    }

    /// The value of a key that must be there.
    pub(super) fn needed<'v, T>(
        &self,
        path: &Path,
        key: &str,
        value: Option<&'v T>,
        help: &str,
    ) -> Option<&'v T> {
        if value.is_none() {
            self.missing(path, key, help);
        }
        value
    }

    /// Notes a word that is none of those that are known, with the one that was probably meant.
    pub(super) fn unknown<'k>(
        &self,
        path: &Path,
        kind: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let note = match meant(word, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "not known".to_owned(),
        };
        let help = if known.is_empty() {
            format!("there is no {kind} at all")
        } else {
            format!("known: {}", listed(known))
        };
        self.wrong(path, format!("there is no {kind} `{word}`"), note, help);
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, path: &Path, value: &Scalar, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(path, value)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let note = match meant(&text, known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "not allowed here".to_owned(),
            };
            let what = format!("`{text}` is not a value of {path}");
            self.wrong(path, what, note, format!("allowed: {}", listed(known)));
        }
        found
    }

    /// Text that is not empty. A number is refused: what was written cannot be told from it.
    pub(super) fn text(&self, path: &Path, value: &Scalar) -> Option<String> {
        let kind = match value {
            Scalar::Text(text) if text.trim().is_empty() => {
                self.wrong(
                    path,
                    format!("`{path}` is empty"),
                    "nothing in it",
                    "give it a value, or delete it",
                );
                return None;
            }
            Scalar::Text(text) => return Some(text.clone()),
            Scalar::Int(_) | Scalar::Float(_) => "a number",
            Scalar::Bool(_) => "a yes/no value",
        };
        let written = self.written(path);
        let what = format!("`{path}` must be text, and {written} is {kind} to YAML");
        self.wrong(path, what, "this value", format!("write it in quotes: \"{written}\""));
        None
    }

    /// A value that becomes text as it is written: text, whole numbers, `true` and `false`. A number with a
    /// fraction is refused: `1.10` and `1.1` are the same to YAML.
    pub(super) fn value(&self, path: &Path, value: &Scalar) -> Option<String> {
        match value {
            Scalar::Text(text) => Some(text.clone()),
            Scalar::Int(number) => Some(number.to_string()),
            Scalar::Bool(answer) => Some(answer.to_string()),
            Scalar::Float(_) => {
                let written = self.written(path);
                let what = format!("{written} is a number to YAML, which does not keep how it is written");
                self.wrong(path, what, "this value", format!("write it in quotes: \"{written}\""));
                None
            }
        }
    }

    /// The words that stand at a path in the file.
    fn written(&self, path: &Path) -> String {
        let (line, column) = yaml::nearest(self.source, path, Aim::Value);
        let line = self.source.line(line);
        line.chars().skip(column - 1).take(yaml::token(line, column)).collect()
    }

    /// Text of one line, for what is shown as a name or title.
    pub(super) fn line(&self, path: &Path, value: &Scalar) -> Option<String> {
        let text = self.text(path, value)?;
        let text = text.trim();
        if text.contains('\n') || text.chars().count() > 200 {
            let what = format!("`{path}` must be one line of at most 200 characters");
            self.wrong(path, what, "too long", "");
            return None;
        }
        Some(text.to_owned())
    }

    /// A name of any kind.
    pub(super) fn name<T>(
        &self,
        path: &Path,
        value: &Scalar,
        parse: impl Fn(&str) -> Result<T, BadName>,
    ) -> Option<T> {
        let text = self.text(path, value)?;
        self.named(path, Aim::Value, &text, parse)
    }

    /// A name that is the key of a mapping.
    pub(super) fn key_name<T>(
        &self,
        path: &Path,
        key: &str,
        parse: impl Fn(&str) -> Result<T, BadName>,
    ) -> Option<T> {
        self.named(path, Aim::Key, key, parse)
    }

    fn named<T>(
        &self,
        path: &Path,
        aim: Aim,
        text: &str,
        parse: impl Fn(&str) -> Result<T, BadName>,
    ) -> Option<T> {
        match parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.note(aim, path, &error, &"this name", &"");
                None
            }
        }
    }

    /// The name of a variable that a file sets as a key.
    pub(super) fn own_var(&self, path: &Path, name: &str) -> Option<VarName> {
        self.settable(path, Aim::Key, name)
    }

    /// The name of a variable that a file sets as a value.
    pub(super) fn own_var_at(&self, path: &Path, name: &str) -> Option<VarName> {
        self.settable(path, Aim::Value, name)
    }

    fn settable(&self, path: &Path, aim: Aim, name: &str) -> Option<VarName> {
        let parsed = self.named(path, aim, name, VarName::parse)?;
        if shadows_the_shell(name) {
            let what = format!("`{name}` is a variable that shells or rollgate set themselves");
            self.note(aim, path, &what, &"this name", &"choose another name, in lower case by custom");
            return None;
        }
        Some(parsed)
    }

    /// Variables with their values.
    pub(super) fn vars(&self, path: &Path, entries: Option<&Entries<Scalar>>) -> BTreeMap<VarName, String> {
        let mut vars = BTreeMap::new();
        for (name, value) in entries.map(|entries| entries.0.as_slice()).unwrap_or_default() {
            let at = path.key(name);
            let (name, value) = (self.own_var(&at, name), self.value(&at, value));
            if let (Some(name), Some(value)) = (name, value) {
                vars.insert(name, value);
            }
        }
        vars
    }

    /// A time with its unit.
    pub(super) fn duration(&self, path: &Path, value: &Scalar) -> Option<Duration> {
        let help = "a number and its unit: 500ms, 10s, 30m, 1h30m, 2d";
        let Scalar::Text(text) = value else {
            let written = self.written(path);
            self.wrong(path, format!("`{path}` needs a unit"), format!("{written} what?"), help);
            return None;
        };
        duration::parse(text)
            .map_err(|why| self.wrong(path, format!("`{text}` is not a value of {path}"), why, help))
            .ok()
    }

    /// A time, or what holds when none is written.
    pub(super) fn duration_or(
        &self,
        path: &Path,
        value: Option<&Scalar>,
        default: Duration,
    ) -> Option<Duration> {
        value.map_or(Some(default), |value| self.duration(path, value))
    }

    /// What stands on ssh's command line.
    pub(super) fn host(&self, path: &Path, value: &Scalar) -> Option<String> {
        let text = self.text(path, value)?;
        if host_is_safe(&text) {
            return Some(text);
        }
        let what = format!("`{text}` cannot be given to ssh");
        self.wrong(
            path,
            what,
            "this value",
            "letters, digits and `._-:[]@`, at most 255, not beginning with `-`",
        );
        None
    }

    /// One or many values, each with its path.
    pub(super) fn list<'v>(&self, path: &Path, values: &'v OneOrMany) -> Vec<(Path, &'v Scalar)> {
        match values {
            OneOrMany::One(value) => vec![(path.clone(), value)],
            OneOrMany::Many(values) => {
                if values.is_empty() {
                    self.wrong(
                        path,
                        format!("`{path}` is empty"),
                        "nothing in it",
                        "give it a value, or delete it",
                    );
                }
                values.iter().enumerate().map(|(index, value)| (path.index(index), value)).collect()
            }
        }
    }

    /// Whether a text can be a path that a script, a message and a list of files hold on one line.
    pub(super) fn is_path(&self, path: &Path, text: &str) -> bool {
        let fits = !text.chars().any(char::is_control);
        if !fits {
            self.wrong(
                path,
                format!("`{path}` holds control characters"),
                "this path",
                "such a file must be renamed",
            );
        }
        fits
    }

    /// A path on this machine: `~/` is the home directory, all else starts at the file's own directory.
    pub(crate) fn local_path(&self, path: &Path, value: &Scalar) -> Option<PathBuf> {
        let text = self.text(path, value).filter(|text| self.is_path(path, text))?;
        if let Some(below) = text.strip_prefix("~/") {
            let Some(home) = std::env::home_dir() else {
                self.wrong(path, "`~` has no meaning: HOME is not set", "this path", "write the whole path");
                return None;
            };
            return Some(home.join(below));
        }
        if text.starts_with('~') {
            let what = format!("`{text}` is not understood");
            self.wrong(path, what, "this path", "only `~/` is; write the whole path");
            return None;
        }
        Some(self.directory().join(text))
    }

    /// The directory of the file, absolute.
    pub(super) fn directory(&self) -> PathBuf {
        let file = std::path::absolute(self.source.path()).unwrap_or_else(|_| self.source.path().to_owned());
        file.parent().map_or_else(|| PathBuf::from("/"), std::path::Path::to_path_buf)
    }

    /// An absolute path on a node.
    pub(super) fn remote_path(&self, path: &Path, value: &Scalar) -> Option<PathBuf> {
        let text = self.text(path, value).filter(|text| self.is_path(path, text))?;
        if text.starts_with('/') && !text.split('/').any(|part| part == "..") {
            return Some(PathBuf::from(text));
        }
        let what = format!("`{path}` must be an absolute path");
        self.wrong(path, what, "this path", "begin with `/`, without `..`");
        None
    }
}
