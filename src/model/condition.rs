//! A value against a condition: it holds, it does not hold, or it cannot be read. The third is never
//! a pass (`product.md` §1; argo-rollouts #3850 shows what happens otherwise).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::{Template, Vars};

/// How it begins that a command had no answer; its last words may follow behind a colon.
pub const ENDED_BADLY: &str = "the command ended with exit status";

/// How a check's output is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Standard output is one number.
    Number,
    /// Standard output, without blanks at either end.
    Text,
    /// The non-empty lines of standard output.
    Lines,
    /// The exit status; output does not matter.
    #[default]
    Exit,
    /// Standard output is JSON; the value stands at a path such as `.items[0].state`.
    Json {
        /// The path; `.` is the whole document.
        at: String,
    },
}

/// One requirement; all of a condition's must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The value is this one. Numbers compare as numbers.
    Equals(Template),
    /// The value is not this one.
    NotEquals(Template),
    /// The number is at least this.
    AtLeast(Template),
    /// The number is at most this.
    AtMost(Template),
    /// The text, or each line, matches this regular expression somewhere.
    Matches(Template),
    /// The text, or each line, matches this regular expression nowhere.
    NotMatches(Template),
    /// The value is one of these.
    OneOf(Vec<Template>),
    /// The value is none of these.
    NoneOf(Vec<Template>),
    /// There is no output, or there is some.
    Empty(bool),
    /// So many lines or JSON items at most.
    CountAtMost(u64),
    /// So many lines or JSON items at least.
    CountAtLeast(u64),
    /// Exactly so many lines or JSON items.
    CountEquals(u64),
}

/// What is read, and what must hold of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// How the output is read.
    pub form: Form,
    /// All of these must hold. None with [`Form::Exit`] means status 0; none otherwise means that
    /// the value is readable.
    pub tests: Vec<Test>,
}

/// A value as read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// Text.
    Text(String),
    /// Lines.
    Lines(Vec<String>),
    /// An exit status.
    Exit(i32),
    /// A part of a JSON document.
    Json(serde_json::Value),
}

/// What a command left behind.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its exit status.
    pub exit: i32,
    /// Its standard output.
    pub stdout: &'a str,
    /// Its standard error.
    pub stderr: &'a str,
}

/// The three results of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every test holds.
    Holds,
    /// A value was read and a test does not hold of it.
    DoesNotHold {
        /// What was needed: `needs <= 100`.
        why: String,
    },
    /// No value, or not of the form that was said.
    Unreadable {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// Why it does not hold or cannot be told.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Holds => None,
            Self::DoesNotHold { why } | Self::Unreadable { why } => Some(why),
        }
    }

    /// Whether every test holds.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Json(serde_json::Value::String(text)) => f.write_str(text),
            Self::Lines(lines) => write!(f, "{}", lines.len()),
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Json(value) => write!(f, "{value}"),
        }
    }
}

impl Value {
    /// The value as a capture keeps it: lines joined, JSON strings bare.
    pub fn to_text(&self) -> String {
        match self {
            Self::Lines(lines) => lines.join("\n"),
            Self::Exit(code) => code.to_string(),
            other => other.to_string(),
        }
    }

    /// The number for trends and limits: the number itself, or the count of lines or items.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Exit(code) => Some(f64::from(*code)),
            Self::Lines(lines) => Some(lines.len() as f64),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Json(serde_json::Value::Number(number)) => number.as_f64(),
            Self::Json(value) => count(value).map(|count| count as f64),
        }
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Lines(lines) => Some(lines.len() as u64),
            Self::Text(text) => Some(text.lines().filter(|line| !line.trim().is_empty()).count() as u64),
            Self::Json(value) => count(value),
            Self::Number(_) | Self::Exit(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Lines(lines) => lines.is_empty(),
            Self::Json(value) => value.is_null() || count(value) == Some(0) || value.as_str() == Some(""),
            Self::Number(_) | Self::Exit(_) => false,
        }
    }

    fn every_line(&self, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Lines(lines) => lines.iter().all(|line| test(line)),
            other => test(&other.to_text()),
        }
    }
}

fn count(value: &serde_json::Value) -> Option<u64> {
    match value {
        serde_json::Value::Array(items) => Some(items.len() as u64),
        serde_json::Value::Object(members) => Some(members.len() as u64),
        _ => None,
    }
}

impl Form {
    /// Reads a value out of what a command left behind. Every form but [`Form::Exit`] wants status
    /// 0: what a failing command printed is not an answer.
    pub fn read(&self, answer: Answer<'_>) -> Result<Value, String> {
        if *self == Self::Exit {
            return Ok(Value::Exit(answer.exit));
        }
        if answer.exit != 0 {
            let said = answer.stderr.trim().lines().last().unwrap_or("").trim();
            let colon = if said.is_empty() { "" } else { ": " };
            return Err(format!("{ENDED_BADLY} {}{colon}{said}", answer.exit));
        }
        let text = answer.stdout.trim();
        match self {
            Self::Exit => Ok(Value::Exit(answer.exit)),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Lines => Ok(Value::Lines(
                text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect(),
            )),
            Self::Number => text
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Value::Number)
                .ok_or_else(|| format!("`{}` is not a number", shorten(text))),
            Self::Json { at } => {
                let document = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
                walk(&document, at).cloned().map(Value::Json)
            }
        }
    }
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() > 40 {
        line.chars().take(37).chain("...".chars()).collect()
    } else {
        line.to_owned()
    }
}

/// Splits `.a.b[0]` into its members and indices; `None` where it is no such path.
pub fn path_segments(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix('.')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let mut segments = Vec::new();
    for member in rest.split('.') {
        let (name, indices) = member.split_at(member.find('[').unwrap_or(member.len()));
        if name.is_empty() && indices.is_empty() {
            return None;
        }
        if !name.is_empty() {
            segments.push(name.to_owned());
        }
        for index in indices.split_terminator(']') {
            let digits = index.strip_prefix('[')?;
            digits.parse::<usize>().ok()?;
            segments.push(format!("[{digits}"));
        }
    }
    Some(segments)
}

fn walk<'a>(document: &'a serde_json::Value, path: &str) -> Result<&'a serde_json::Value, String> {
    let segments = path_segments(path).ok_or_else(|| format!("`{path}` is not a JSON path"))?;
    let mut here = document;
    for segment in segments {
        let next = match segment.strip_prefix('[') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| here.get(index)),
            None => here.get(segment.as_str()),
        };
        here = next.ok_or_else(|| format!("the answer has nothing at `{path}`"))?;
    }
    Ok(here)
}

impl Condition {
    /// Reads and judges in one go.
    pub fn judge(&self, answer: Answer<'_>, vars: &Vars) -> (Option<Value>, Verdict) {
        match self.form.read(answer) {
            Ok(value) => {
                let verdict = self.verdict(&value, vars);
                (Some(value), verdict)
            }
            Err(why) => (None, Verdict::Unreadable { why }),
        }
    }

    /// Judges a value that was read.
    pub fn verdict(&self, value: &Value, vars: &Vars) -> Verdict {
        if self.tests.is_empty() && self.form == Form::Exit {
            return match value {
                Value::Exit(0) => Verdict::Holds,
                _ => Verdict::DoesNotHold { why: "needs exit 0".to_owned() },
            };
        }
        for test in &self.tests {
            match test.holds(value, vars) {
                Ok(true) => {}
                Ok(false) => return Verdict::DoesNotHold { why: format!("needs {}", test.wording(vars)) },
                Err(why) => return Verdict::Unreadable { why },
            }
        }
        Verdict::Holds
    }

    /// The condition in words: `<= 100`, `equals leader`.
    pub fn wording(&self, vars: &Vars) -> String {
        if self.tests.is_empty() {
            return if self.form == Form::Exit { "exit 0" } else { "an answer" }.to_owned();
        }
        self.tests.iter().map(|test| test.wording(vars)).collect::<Vec<_>>().join(", ")
    }

    /// Every template in the condition, for finding unset variables before anything runs.
    pub fn templates(&self) -> Vec<&Template> {
        self.tests
            .iter()
            .flat_map(|test| match test {
                Test::Equals(t)
                | Test::NotEquals(t)
                | Test::AtLeast(t)
                | Test::AtMost(t)
                | Test::Matches(t)
                | Test::NotMatches(t) => vec![t],
                Test::OneOf(list) | Test::NoneOf(list) => list.iter().collect(),
                Test::Empty(_) | Test::CountAtMost(_) | Test::CountAtLeast(_) | Test::CountEquals(_) => {
                    vec![]
                }
            })
            .collect()
    }
}

impl Test {
    fn holds(&self, value: &Value, vars: &Vars) -> Result<bool, String> {
        let text = |template: &Template| template.render(vars).map_err(|unset| unset.to_string());
        let equal = |template: &Template| Ok::<_, String>(same(value, &text(template)?));
        Ok(match self {
            Self::Equals(wanted) => equal(wanted)?,
            Self::NotEquals(unwanted) => !equal(unwanted)?,
            Self::AtLeast(limit) => number(value)? >= limit_of(&text(limit)?)?,
            Self::AtMost(limit) => number(value)? <= limit_of(&text(limit)?)?,
            Self::Matches(pattern) => {
                let regex = pattern_of(&text(pattern)?)?;
                !value.is_empty() && value.every_line(|line| regex.is_match(line))
            }
            Self::NotMatches(pattern) => {
                let regex = pattern_of(&text(pattern)?)?;
                value.every_line(|line| !regex.is_match(line))
            }
            Self::OneOf(list) => any(list, equal)?,
            Self::NoneOf(list) => !any(list, equal)?,
            Self::Empty(wanted) => value.is_empty() == *wanted,
            Self::CountAtMost(limit) => counted(value)? <= *limit,
            Self::CountAtLeast(limit) => counted(value)? >= *limit,
            Self::CountEquals(wanted) => counted(value)? == *wanted,
        })
    }

    fn wording(&self, vars: &Vars) -> String {
        let word = |template: &Template| visible(&template.render_known(vars)).to_owned();
        let list = |list: &[Template]| list.iter().map(word).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Equals(t) => word(t),
            Self::NotEquals(t) => format!("anything but {}", word(t)),
            Self::AtLeast(t) => format!(">= {}", t.render_known(vars)),
            Self::AtMost(t) => format!("<= {}", t.render_known(vars)),
            Self::Matches(t) => format!("a match of /{}/", t.render_known(vars)),
            Self::NotMatches(t) => format!("no match of /{}/", t.render_known(vars)),
            Self::OneOf(items) => list(items),
            Self::NoneOf(items) => format!("neither {}", list(items)),
            Self::Empty(true) => "nothing".to_owned(),
            Self::Empty(false) => "something".to_owned(),
            Self::CountAtMost(limit) => format!("<= {limit}"),
            Self::CountAtLeast(limit) => format!(">= {limit}"),
            Self::CountEquals(wanted) => format!("exactly {wanted}"),
        }
    }
}

/// A word as it stands in a sentence: one that is empty would leave a hole there.
pub fn visible(word: &str) -> &str {
    if word.is_empty() { "\"\"" } else { word }
}

fn any(list: &[Template], equal: impl Fn(&Template) -> Result<bool, String>) -> Result<bool, String> {
    for item in list {
        if equal(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Numbers compare as numbers, an exit status as its number, all else as text.
fn same(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Number(number) => {
            wanted.trim().parse::<f64>().is_ok_and(|wanted| wanted.total_cmp(number).is_eq())
        }
        Value::Lines(lines) => lines.join("\n") == wanted.trim_end(),
        Value::Json(serde_json::Value::Number(number)) => {
            number.to_string() == wanted || wanted.parse().ok() == number.as_f64()
        }
        other => other.to_text() == wanted,
    }
}

fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Lines(_) => None,
        other => other.number(),
    }
    .ok_or_else(|| format!("`{}` is not a number", shorten(&value.to_text())))
}

fn counted(value: &Value) -> Result<u64, String> {
    value.count().ok_or_else(|| format!("`{}` cannot be counted", shorten(&value.to_text())))
}

fn limit_of(text: &str) -> Result<f64, String> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|limit| limit.is_finite())
        .ok_or_else(|| format!("the limit `{}` is not a number", shorten(text)))
}

fn pattern_of(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("`{}` is not a regular expression", shorten(text)))
}

#[cfg(test)]
mod tests;
