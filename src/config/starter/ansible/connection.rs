//! How Ansible reaches a host, as ssh is told of it here.

use std::net::Ipv6Addr;

use serde_json::{Map, Value};

use super::super::note::Notes;
use crate::model::host::host_is_safe;

/// The way to one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Connection {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identity_file: Option<String>,
    /// Jump hosts with commas between them.
    pub(super) jump: Option<String>,
    pub(super) is_local: bool,
    pub(super) become_with: Option<&'static str>,
}

/// Variables that say how a host is reached. A later spelling is an older one.
const HOST: &[&str] = &["ansible_host", "ansible_ssh_host"];
const PORT: &[&str] = &["ansible_port", "ansible_ssh_port"];
const USER: &[&str] = &["ansible_user", "ansible_ssh_user"];
const KEY: &[&str] = &["ansible_ssh_private_key_file", "ansible_private_key_file"];
const ARGS: &[&str] = &["ansible_ssh_common_args", "ansible_ssh_extra_args"];
const BECOME: &[&str] = &["ansible_become", "ansible_become_method", "ansible_become_user"];
const OTHERS: &[&str] = &["ansible_connection"];

/// Whether a variable is read here.
pub(super) fn is_known(name: &str) -> bool {
    [HOST, PORT, USER, KEY, ARGS, BECOME, OTHERS].iter().any(|names| names.contains(&name))
}

/// Whether ssh can be given this as a host.
pub(super) fn is_host(text: &str) -> bool {
    let is_name = host_is_safe(text) && !text.contains([':', '@', '[', ']']);
    is_name || text.parse::<Ipv6Addr>().is_ok()
}

impl Connection {
    /// Reads it from all variables of a host; what cannot be said here is noted.
    pub(super) fn read(vars: &Map<String, Value>, of: &str, notes: &mut Notes) -> Self {
        let said = |names: &[&str]| names.iter().find_map(|name| text(vars.get(*name)?));
        for (name, _) in vars.iter().filter(|(name, value)| is_known(name) && is_template(value)) {
            notes.add(format!("`{name}`: a template of Jinja, which only Ansible fills in"), of);
        }
        let mut way = Self { host: said(HOST), ..Self::default() };
        match said(OTHERS).as_deref() {
            Some("local") => way.is_local = true,
            None | Some("ssh" | "smart" | "paramiko" | "paramiko_ssh" | "ansible.builtin.ssh") => {}
            Some(_) => notes.add("`ansible_connection`: only ssh and local are known here", of),
        }
        if let Some(port) = said(PORT) {
            way.port = port.parse().ok().filter(|port| *port != 0);
            if way.port.is_none() {
                notes.add("`ansible_port`: it is no port", of);
            }
        }
        way.user = said(USER).filter(|user| {
            let fits = host_is_safe(user) && !user.contains([':', '@', '[', ']']);
            if !fits {
                notes.add("`ansible_user`: it cannot be given to ssh", of);
            }
            fits
        });
        way.identity_file = said(KEY).filter(|file| {
            let fits = !file.is_empty() && !file.chars().any(char::is_control);
            let fits = fits && (!file.starts_with('~') || file.starts_with("~/"));
            if !fits {
                notes.add("`ansible_ssh_private_key_file`: it is no path that can be read here", of);
            }
            fits
        });
        for name in ARGS {
            if let Some(args) = vars.get(*name).and_then(text) {
                way.read_args(name, &args, of, notes);
            }
        }
        way.become_with = become_with(vars, of, notes);
        if way.is_local {
            (way.host, way.port, way.user) = (None, None, None);
        }
        way
    }

    /// Jump hosts from ssh's own arguments. Of the others only the names are said: a value may hold a password.
    fn read_args(&mut self, name: &str, args: &str, of: &str, notes: &mut Notes) {
        let words = words(args);
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_at_checked(2) {
                Some((flag @ ("-J" | "-o"), "")) => (flag, words.next().unwrap_or_default()),
                Some((flag @ ("-J" | "-o"), value)) => (flag, value),
                _ => ("", word),
            };
            let (option, value) = match flag {
                "-J" => ("ProxyJump", value),
                "-o" => value.split_once(['=', ' ']).unwrap_or((value, "")),
                // What stands alone may be the value of what stands before it.
                _ if word.starts_with('-') => (word.get(..2).unwrap_or("-"), ""),
                _ => continue,
            };
            let hosts = || value.split(',').all(host_is_safe);
            if option.eq_ignore_ascii_case("proxyjump") && hosts() {
                self.jump = Some(value.to_owned());
            } else {
                notes.add(format!("`{option}` of `{name}`: write it into ~/.ssh/config"), of);
            }
        }
    }
}

/// How commands gain rights.
fn become_with(vars: &Map<String, Value>, of: &str, notes: &mut Notes) -> Option<&'static str> {
    let said = |name: &str| vars.get(name).and_then(text);
    if !said("ansible_become").is_some_and(|word| is_yes(&word)) {
        return None;
    }
    if said("ansible_become_user").is_some_and(|user| user != "root") {
        notes.add("`ansible_become_user`: rights are root's here; write `sudo -n -u USER` in the step", of);
    }
    match said("ansible_become_method").as_deref() {
        None | Some("sudo" | "ansible.builtin.sudo") => Some("sudo"),
        Some("doas" | "community.general.doas") => Some("doas"),
        Some(_) => {
            notes.add("`ansible_become_method`: only sudo and doas are known here", of);
            None
        }
    }
}

fn is_yes(word: &str) -> bool {
    ["true", "yes", "on", "1", "y", "t"].contains(&word.to_lowercase().as_str())
}

/// Whether Ansible would put something in first.
pub(super) fn is_template(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

/// A single value as text; a template is none.
fn text(value: &Value) -> Option<String> {
    match value {
        value if is_template(value) => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(answer) => Some(answer.to_string()),
        _ => None,
    }
}

/// Words as a shell splits them: blanks, and quotes that hold some together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(args: &str) -> (Option<String>, Vec<String>) {
        let mut notes = Notes::default();
        let mut way = Connection::default();
        way.read_args("ansible_ssh_common_args", args, "db1", &mut notes);
        (way.jump, notes.into_lines())
    }

    #[test]
    fn a_jump_host_is_found_however_it_is_written() {
        for args in [
            "-J bastion",
            "-Jbastion",
            "-o ProxyJump=bastion",
            "-oProxyJump=bastion",
            "-o 'ProxyJump bastion'",
            "-o \"ProxyJump=bastion\"",
        ] {
            assert_eq!(jump(args), (Some("bastion".to_owned()), vec![]), "{args}");
        }
        assert_eq!(jump("-J a,ops@b:22").0.unwrap(), "a,ops@b:22");
    }

    #[test]
    fn of_other_arguments_no_value_is_told() {
        let (jump, notes) = jump("-o ProxyCommand=\"sshpass -p hunter2 ssh -W %h:%p b\" -C -J '$(x)'");
        assert_eq!(jump, None);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].starts_with("`ProxyCommand` of `ansible_ssh_common_args`"), "{notes:?}");
        assert!(!notes.concat().contains("hunter2") && !notes.concat().contains("$("), "{notes:?}");
    }
}
