//! The words in which an editor is told what may be written: pieces of a JSON schema, draft-07, the latest that
//! editors of YAML understand. The keys themselves, their types and what is said of each stand with the mappings
//! under [`super::raw`].

use serde_json::{Map, Value, json};

use crate::model::name::SHELL_TAKEN;

/// Where definitions that several places share are kept while a schema is made.
#[derive(Debug, Default)]
pub(crate) struct Book {
    definitions: Map<String, Value>,
}

impl Book {
    /// A reference to a mapping, which is defined when it is first referred to.
    pub(crate) fn refer(&mut self, name: &str, object: fn(&mut Self) -> Object) -> Value {
        let name = name.trim_start_matches("Raw");
        if !self.definitions.contains_key(name) {
            // Holds the place, for a mapping may come to itself again.
            self.definitions.insert(name.to_owned(), Value::Null);
            let object = object(self).schema();
            self.definitions.insert(name.to_owned(), object);
        }
        json!({ "$ref": format!("#/definitions/{name}") })
    }

    /// The definitions, in the order of their first mention.
    pub(crate) fn into_definitions(self) -> Value {
        Value::Object(self.definitions)
    }
}

/// A type of the files that says what may be written for it.
pub(crate) trait Shape {
    /// Its schema; the hint says what its type alone cannot.
    fn shape(book: &mut Book, hint: &Hint) -> Value;
}

/// What a place asks of a value beyond the value's type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hint {
    /// What the single values in it must be.
    single: Option<Value>,
    /// What the keys of its mapping must be.
    keys: Option<Value>,
    /// What holds when the key is not written.
    default: Option<Value>,
    /// Whether a list in it needs an entry.
    filled: bool,
}

impl Hint {
    fn of(single: Value) -> Self {
        Self { single: Some(single), ..Self::default() }
    }

    /// What holds when the key is not written.
    pub(crate) fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// The keys of a mapping are such words.
    pub(crate) fn by(mut self, keys: Self) -> Self {
        self.keys = keys.single;
        self
    }

    /// A list needs an entry.
    pub(crate) fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// None of these words.
    pub(crate) fn but(mut self, words: &[&str]) -> Self {
        if let Some(Value::Object(single)) = &mut self.single {
            single.insert("not".to_owned(), json!({ "enum": words }));
        }
        self
    }

    /// What a single value must be: what is hinted, else what its type says.
    pub(crate) fn single(&self, otherwise: impl FnOnce() -> Value) -> Value {
        self.single.clone().unwrap_or_else(otherwise)
    }

    /// A list of values.
    pub(crate) fn list(&self, of: &Value) -> Value {
        let mut list = json!({ "type": "array", "items": of });
        if self.filled {
            list["minItems"] = json!(1);
        }
        list
    }

    /// A mapping from names to values.
    pub(crate) fn entries(&self, of: &Value) -> Value {
        let mut entries = json!({ "type": "object", "additionalProperties": of });
        if let Some(keys) = &self.keys {
            entries["propertyNames"] = keys.clone();
        }
        entries
    }
}

impl Shape for bool {
    fn shape(_: &mut Book, hint: &Hint) -> Value {
        hint.single(|| json!({ "type": "boolean" }))
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Shape for $type {
            fn shape(_: &mut Book, hint: &Hint) -> Value {
                hint.single(|| json!({ "type": "integer", "minimum": <$type>::MIN }))
            }
        }
    )*};
}

whole_numbers!(u16, u32, u64, usize, i32);

impl<T: Shape> Shape for Vec<T> {
    fn shape(book: &mut Book, hint: &Hint) -> Value {
        let of = T::shape(book, &Hint { filled: false, ..hint.clone() });
        hint.list(&of)
    }
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    about: String,
    keys: Map<String, Value>,
    rules: Map<String, Value>,
}

impl Object {
    /// A mapping of which this is said.
    pub(crate) fn new(about: &str) -> Self {
        Self { about: one_line(about), keys: Map::new(), rules: Map::new() }
    }

    /// Adds a key with what is said of it.
    pub(crate) fn key<T: Shape>(&mut self, book: &mut Book, key: &str, about: &str, hint: &Hint) {
        let mut schema = Map::from_iter([("description".to_owned(), json!(one_line(about)))]);
        match T::shape(book, hint) {
            Value::Object(shape) if !shape.contains_key("$ref") => schema.extend(shape),
            // Beside a reference nothing else counts.
            reference => drop(schema.insert("allOf".to_owned(), json!([reference]))),
        }
        if let Some(default) = &hint.default {
            schema.insert("default".to_owned(), default.clone());
        }
        self.keys.insert(key.trim_start_matches("r#").to_owned(), Value::Object(schema));
    }

    /// Takes over the keys of another mapping.
    pub(crate) fn keys_of(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Adds what must hold of the keys together. What several rules say of one key counts together.
    pub(crate) fn rule(&mut self, (word, rule): Rule) {
        let (Some(Value::Object(known)), Value::Object(more)) = (self.rules.get_mut(word), &rule) else {
            self.rules.insert(word.to_owned(), rule);
            return;
        };
        for (key, more) in more.clone() {
            let both = known.get(&key).map(|first| json!({ "allOf": [first, more] }));
            known.insert(key, both.unwrap_or(more));
        }
    }

    /// Its schema.
    pub(crate) fn schema(self) -> Value {
        let mut schema = Map::from_iter([
            ("description".to_owned(), json!(self.about)),
            ("type".to_owned(), json!("object")),
            ("properties".to_owned(), Value::Object(self.keys)),
            ("additionalProperties".to_owned(), json!(false)),
        ]);
        schema.extend(self.rules);
        Value::Object(schema)
    }
}

/// Lines of a doc comment as one text.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A keyword about a mapping's keys together, with its value.
pub(crate) type Rule = (&'static str, Value);

/// These keys must be written.
pub(crate) fn required(keys: &[&str]) -> Rule {
    ("required", json!(keys))
}

/// So many keys at least.
pub(crate) fn at_least(keys: usize) -> Rule {
    ("minProperties", json!(keys))
}

/// So many keys at most.
pub(crate) fn at_most(keys: usize) -> Rule {
    ("maxProperties", json!(keys))
}

/// Exactly one of these keys.
pub(crate) fn exactly_one(keys: &[&str]) -> Rule {
    ("oneOf", keys.iter().map(|key| json!({ "required": [key] })).collect())
}

/// Each of these keys is for mappings that have one of the others.
pub(crate) fn only_with(keys: &[&str], others: &[&str]) -> Rule {
    let needs = match others {
        [only] => json!({ "required": [only] }),
        others => {
            json!({ "anyOf": others.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>() })
        }
    };
    ("dependencies", keys.iter().map(|key| ((*key).to_owned(), needs.clone())).collect())
}

/// Where one of these keys is written, another has one of these values or none.
pub(crate) fn fits(keys: &[&str], other: &str, values: &[&str]) -> Rule {
    let fits = json!({ "properties": { other: { "enum": values } } });
    ("dependencies", keys.iter().map(|key| ((*key).to_owned(), fits.clone())).collect())
}

/// Where a key has this value, none of these others is written.
pub(crate) fn never_with(key: &str, value: &str, others: &[&str]) -> Rule {
    let is = json!({ "properties": { key: { "enum": [value] } }, "required": [key] });
    let others: Vec<Value> = others.iter().map(|other| json!({ "required": [other] })).collect();
    ("not", json!({ "allOf": [is, { "anyOf": others }] }))
}

/// Text that is not empty. A number is none: `1.10` would be 1.1 to YAML.
pub(crate) fn text() -> Hint {
    Hint::of(json!({ "type": "string", "pattern": "\\S" }))
}

/// Text that may be empty.
pub(crate) fn any_text() -> Hint {
    Hint::of(json!({ "type": "string" }))
}

/// Text of one line.
pub(crate) fn line() -> Hint {
    Hint::of(json!({ "type": "string", "pattern": "^\\s*\\S[^\\n]*\\s*$", "maxLength": 300 }))
}

/// A value that reaches commands as it is written; a number with a fraction needs quotes.
pub(crate) fn value() -> Hint {
    Hint::of(json!({ "type": ["string", "integer", "boolean"] }))
}

/// A number, or text that becomes one.
pub(crate) fn limit() -> Hint {
    Hint::of(json!({ "type": ["number", "string"], "pattern": "\\$\\{|^\\s*[-+]?[0-9.][0-9.eE+-]*\\s*$" }))
}

/// Text of a form, with what is said when it has another.
fn formed(pattern: &str, says: &str) -> Hint {
    Hint::of(json!({ "type": "string", "pattern": pattern, "patternErrorMessage": says }))
}

/// A time with its unit.
pub(crate) fn duration() -> Hint {
    let mut hint = formed(DURATION, "a number and its unit: 500ms, 10s, 30m, 1h30m, 2d");
    if let Some(single) = &mut hint.single {
        single["minLength"] = json!(2);
    }
    hint
}

/// A time of the day, of one day of the week or of every day.
pub(crate) fn time_of_week() -> Hint {
    formed(TIME_OF_WEEK, "a day and a time, such as Sat 22:00; or a time alone for every day")
}

/// One of a few words.
pub(crate) fn choice<T>(words: &[(&str, T)]) -> Hint {
    Hint::of(json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() }))
}

/// The name of a node, group, cluster or check.
pub(crate) fn name() -> Hint {
    formed(PLAIN, "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64")
}

/// A name, or a range of them.
pub(crate) fn names() -> Hint {
    formed(RANGE, "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, or a range: sn[1-3]")
}

/// The name of a phase or step.
pub(crate) fn title() -> Hint {
    formed(SPOKEN, "letters, digits, spaces and `.,:_()/+-`, beginning with a letter or digit, at most 64")
}

/// The name of a variable or role.
pub(crate) fn identifier() -> Hint {
    formed(IDENTIFIER, "a shell identifier: letters, digits and `_`, not beginning with a digit")
}

/// The name of a variable that a file may set.
pub(crate) fn own_variable() -> Hint {
    let mut hint = identifier();
    if let Some(single) = &mut hint.single {
        let taken = format!("^({}|(LD_|ROLLGATE_|rg_).*)$", SHELL_TAKEN.join("|"));
        single["not"] = json!({ "pattern": taken });
    }
    hint
}

/// What stands on ssh's command line.
pub(crate) fn host() -> Hint {
    formed(HOST, "letters, digits and `._-:[]@`, at most 255, not beginning with `-`")
}

/// A port.
pub(crate) fn port() -> Hint {
    Hint::of(json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX }))
}

/// A whole number from 1.
pub(crate) fn from_one() -> Hint {
    Hint::of(json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }))
}

/// An exit status.
pub(crate) fn exit_status() -> Hint {
    Hint::of(json!({ "type": "integer", "minimum": 0, "maximum": 255 }))
}

/// An absolute path on a node.
pub(crate) fn remote_path() -> Hint {
    formed("^/", "an absolute path, beginning with `/`")
}

/// An absolute path on a node that may begin with a variable.
pub(crate) fn remote_template() -> Hint {
    formed("^(/|\\$\\{)", "an absolute path, beginning with `/`")
}

/// A path that stays below a directory.
pub(crate) fn path_below() -> Hint {
    formed("^[^/~]", "a name, or a path without `..` and a `/` in front")
}

/// A SHA-256 sum, or a variable with one.
pub(crate) fn sha256() -> Hint {
    formed("^[0-9a-fA-F]{64}$|\\$\\{", "64 hexadecimal digits, as sha256sum prints them")
}

/// Permissions of a file.
pub(crate) fn mode() -> Hint {
    formed("^0*[0-7]{3,4}$", "three or four digits from 0 to 7, in quotes: \"0644\"")
}

/// A path into a JSON document.
pub(crate) fn json_path() -> Hint {
    formed("^\\.", "a path such as .items[0].state, or . for all of it")
}

/// The size of a batch: nodes or a share of them.
pub(crate) fn batch() -> Hint {
    let says = "a number from 1, a share such as 25%, or a list of them: [1, 25%, 100%]";
    Hint::of(json!({
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": PERCENT,
        "patternErrorMessage": says,
    }))
}

/// The name of a program.
pub(crate) fn program() -> Hint {
    formed("^[A-Za-z0-9._+/][A-Za-z0-9._+/-]*$", "one program an entry, without its arguments")
}

const PLAIN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
const SPOKEN: &str = "^[A-Za-z0-9]([A-Za-z0-9 .,:_()/+-]{0,62}[A-Za-z0-9.,:_()/+-])?$";
const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]{0,63}$";
const HOST: &str = "^[A-Za-z0-9._:\\[\\]@][A-Za-z0-9._:\\[\\]@-]{0,254}$";
const RANGE: &str = "^([A-Za-z0-9]|\\[[0-9]+-[0-9]+\\])([A-Za-z0-9._-]|\\[[0-9]+-[0-9]+\\])*$";
const DURATION: &str = "^\\s*([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?\\s*$";
const TIME_OF_WEEK: &str =
    "^\\s*((Mon|Tue|Wed|Thu|Fri|Sat|Sun|daily)\\s+)?([01]?[0-9]|2[0-3]):[0-5][0-9]\\s*$";
const PERCENT: &str = "^\\+?0*(100|[1-9][0-9]?)%$";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::model::duration;
    use crate::model::host::host_is_safe;
    use crate::model::name::{
        CheckName, ClusterName, GroupName, NodeName, PhaseName, RoleName, StepName, VarName,
        shadows_the_shell,
    };

    /// Whether a hint lets a word pass.
    fn passes(hint: &Hint, word: &str) -> bool {
        let single = hint.single.as_ref().unwrap();
        let fits = |pattern: &Value| Regex::new(pattern.as_str().unwrap()).unwrap().is_match(word);
        let not = single.get("not");
        let refused = not.and_then(|not| not.get("pattern")).is_some_and(fits)
            || not.and_then(|not| not["enum"].as_array()).is_some_and(|words| words.contains(&json!(word)));
        let long = single.get("minLength").is_none_or(|least| word.len() as u64 >= least.as_u64().unwrap());
        fits(&single["pattern"]) && long && !refused
    }

    fn agree(word: &str) {
        for (hint, is_ok) in [
            (name().but(NodeName::RESERVED), NodeName::parse(word).is_ok()),
            (name().but(GroupName::RESERVED), GroupName::parse(word).is_ok()),
            (name(), ClusterName::parse(word).is_ok()),
            (name(), CheckName::parse(word).is_ok()),
            (identifier(), RoleName::parse(word).is_ok()),
            (identifier(), VarName::parse(word).is_ok()),
            (own_variable(), VarName::parse(word).is_ok() && !shadows_the_shell(word)),
            (title(), PhaseName::parse(word).is_ok()),
            (title(), StepName::parse(word).is_ok()),
            (host(), host_is_safe(word)),
        ] {
            assert_eq!(passes(&hint, word), is_ok, "{word:?} {hint:?}");
        }
        // A time of nothing, or of more than 30 days, has the form of one.
        if duration::parse(word).is_ok() {
            assert!(passes(&duration(), word), "{word:?}");
        }
    }

    #[test]
    fn editors_and_rollgate_agree_on_names() {
        for word in [
            "",
            "a",
            "-a",
            "all",
            "node",
            "PATH",
            "LD_X",
            "LD",
            "rg_x",
            "a b",
            "a ",
            "1a",
            "_a",
            "1h30m",
            "5s",
            "s",
            "a.b-c_d",
            "[::1]",
            "ops@host:22",
            "50ms",
            "1m1s",
            "1s1m",
            "10",
            "a\u{e9}",
        ] {
            agree(word);
        }
        for length in [63, 64, 65, 255, 256] {
            agree(&"x".repeat(length));
        }
        for (word, is_time) in [("10", false), ("5m1h", false), ("30m", true), ("1.5h", false), ("", false)] {
            assert_eq!(passes(&duration(), word), is_time, "{word}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn editors_and_rollgate_agree_on_any_word(word in "[a-zA-Z0-9_. :@/\\[\\]()-]{0,12}") {
            agree(&word);
        }

        #[test]
        fn editors_and_rollgate_agree_on_times(word in "([0-9]{1,3}(ms|s|m|h|d)){1,3}") {
            agree(&word);
        }
    }
}
