//! Variables that are also variables here: a shell identifier with a single value that is no secret.

use serde_json::{Map, Value};

use super::super::Vars;
use super::super::note::Notes;
use crate::model::name::{VarName, shadows_the_shell};

/// Parts of names that say that the value is a secret.
const SECRET: &[&str] = &["pass", "secret", "token", "private_key", "api_key", "apikey", "credential"];

/// The variables of a host or group that can stay as they are.
pub(super) fn all(vars: &Map<String, Value>, of: &str, notes: &mut Notes) -> Vars {
    let mut kept = Vec::new();
    for (name, value) in vars {
        match own(name, value) {
            Ok(None) => {}
            Ok(Some(text)) => kept.push((name.clone(), text)),
            Err(why) => notes.add(format!("`{name}`: {why}"), of),
        }
    }
    kept
}

/// The text of a value; none for what says how a host is reached, which is read elsewhere.
fn own(name: &str, value: &Value) -> Result<Option<String>, &'static str> {
    if super::connection::is_known(name) {
        return Ok(None);
    }
    if matches!(name, "ansible_become_password" | "ansible_become_pass" | "ansible_sudo_pass") {
        return Err("name a secret with it: `become: { with: sudo, password: NAME }`");
    }
    if name.starts_with("ansible_") {
        return Err("it means something to Ansible alone");
    }
    if VarName::parse(name).is_err() {
        return Err("a variable is called by a shell identifier of at most 64 characters");
    }
    if shadows_the_shell(name) {
        return Err("shells or rollgate set it themselves");
    }
    let lower = name.to_lowercase();
    if SECRET.iter().any(|part| lower.contains(part)) {
        return Err("by its name a secret: write it under `secrets:`, which says where it comes from");
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            return Err("a number with a fraction, and 3.10 is 3.1 to Ansible: write it here, in quotes");
        }
        Value::Number(number) => number.to_string(),
        Value::Bool(answer) => answer.to_string(),
        Value::Null => return Err("it has no value"),
        Value::Object(_) if value.get("__ansible_vault").is_some() => {
            return Err(
                "a secret of ansible-vault: write it under `secrets:`, which says where it comes from",
            );
        }
        Value::Array(_) | Value::Object(_) => return Err("it is no single value"),
    };
    if super::connection::is_template(value) {
        return Err("a template of Jinja, which only Ansible fills in");
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err("there is a control character in it");
    }
    Ok(Some(text))
}
