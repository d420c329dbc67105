//! `${name}` in messages, paths and conditions. Scripts are never templates: they get environment
//! variables, so shell quoting works and no value becomes shell source (`product.md` §3).

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values by variable name, as they reach scripts and templates.
pub type Vars = BTreeMap<String, String>;

/// Text in which `${name}` stands for a variable; `$${` is a literal `${`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Template(String);

/// A variable that a template names and nothing sets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`${{{name}}}` is not set")]
pub struct Unset {
    /// The variable.
    pub name: String,
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

impl Template {
    /// Takes text as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The variables that the text names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.pieces()
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Name(name) => Some(name),
                Piece::Text(_) => None,
            })
            .collect()
    }

    /// Whether the text names no variable.
    pub fn is_literal(&self) -> bool {
        self.names().is_empty()
    }

    /// Puts the values in.
    pub fn render(&self, vars: &Vars) -> Result<String, Unset> {
        self.render_with(|name| vars.get(name).map(String::as_str))
    }

    /// Puts in what `value` says of a name, into a text that is long enough from the beginning: of a secret nothing
    /// is left where a shorter one was.
    pub fn render_with<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, Unset> {
        let mut parts = Vec::new();
        for piece in self.pieces() {
            parts.push(match piece {
                Piece::Text(literal) => literal,
                Piece::Name(name) => value(name).ok_or_else(|| Unset { name: name.to_owned() })?,
            });
        }
        Ok(parts.concat())
    }

    /// Puts in the values that are known and leaves the rest as written, for screens.
    pub fn render_known(&self, vars: &Vars) -> String {
        self.pieces()
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(literal) => literal.to_owned(),
                Piece::Name(name) => vars.get(name).cloned().unwrap_or_else(|| format!("${{{name}}}")),
            })
            .collect()
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                // `$${` is written for a literal `${`: drop one dollar, keep the rest.
                pieces.push(Piece::Text(&rest[..at - 1]));
                pieces.push(Piece::Text(&rest[at..at + 2]));
                rest = &rest[at + 2..];
                continue;
            }
            let Some(length) = rest[at + 2..].find('}') else { break };
            pieces.push(Piece::Text(&rest[..at]));
            pieces.push(Piece::Name(&rest[at + 2..at + 2 + length]));
            rest = &rest[at + 3 + length..];
        }
        pieces.push(Piece::Text(rest));
        pieces
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        Vars::from([("a".into(), "1".into()), ("b".into(), "$(x)".into())])
    }

    #[test]
    fn values_go_in_as_they_are() {
        assert_eq!(Template::new("x ${a} ${b}!").render(&vars()).unwrap(), "x 1 $(x)!");
    }

    #[test]
    fn two_dollars_are_a_literal() {
        let template = Template::new("$${a} ${a}");
        assert_eq!(template.render(&vars()).unwrap(), "${a} 1");
        assert_eq!(template.names(), ["a"]);
    }

    #[test]
    fn an_unset_variable_is_an_error() {
        assert_eq!(Template::new("${c}").render(&vars()).unwrap_err().name, "c");
        assert_eq!(Template::new("${c} ${a").render_known(&vars()), "${c} ${a");
    }
}
