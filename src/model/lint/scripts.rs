//! What scripts should not do: hide a failure, append twice, give a secret away, lock the operator out.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::script::{self, Command, Parsed};
use super::walk::{self, Scripted};
use super::{Finding, Severity, error, warning};
use crate::model::host::Shell;
use crate::model::inventory::Inventory;
use crate::model::procedure::Procedure;

pub(super) fn findings(inventory: &Inventory, procedure: &Procedure) -> Vec<Finding> {
    let secrets = secrets(inventory, procedure);
    let mut findings = Vec::new();
    for script in walk::scripts(procedure) {
        let parsed = script::parse(script.body);
        findings.extend(secret_shown(&script, &parsed, &secrets));
        findings.extend(secret_argument(&script, &parsed, &secrets));
        findings.extend(secret_exported(&script, &parsed, &secrets));
        findings.extend(unverified_script(&script, &parsed));
        findings.extend(copied_prompt(&script, &parsed));
        if script.changes.is_some() {
            findings.extend(hidden_failure(&script, &parsed));
            findings.extend(appends(&script, &parsed));
            findings.extend(cuts_ssh(&script, &parsed));
        }
    }
    findings
}

fn secrets(inventory: &Inventory, procedure: &Procedure) -> BTreeSet<String> {
    let captured = walk::steps(procedure).into_iter().filter_map(|at| {
        at.step.capture.as_ref().filter(|capture| capture.secret).map(|capture| capture.name.to_string())
    });
    inventory.secrets.keys().map(ToString::to_string).chain(captured).collect()
}

/// The first secret that a command's words hold: one that is declared, or a variable that is called like one.
fn secret_in<'c>(command: &'c Command, secrets: &BTreeSet<String>) -> Option<&'c String> {
    let mut names = command.words.iter().flat_map(|word| &word.names);
    names.find(|name| secrets.contains(*name) || is_called_secret(name))
}

/// Whether a name is that of a secret by its last word, as in `MYSQL_PASSWORD`. How many there are, or in which
/// file one is, is none.
fn is_called_secret(name: &str) -> bool {
    const WORDS: &[&str] = &["password", "passwd", "passphrase", "secret", "token"];
    let last = name.rsplit('_').next().unwrap_or(name);
    WORDS.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// What is said of a variable that is declared a secret, and of one that only sounds like it.
fn called(name: &str, secrets: &BTreeSet<String>) -> String {
    if secrets.contains(name) {
        format!("secret `{name}`")
    } else {
        format!("`{name}`, a secret by its name,")
    }
}

const PRINTS: &[&str] = &["echo", "printf"];

/// Commands of the shell itself: their words are in no list of processes.
const BUILT_IN: &[&str] = &[
    "", ":", "[", "[[", "case", "declare", "echo", "exit", "export", "for", "local", "printf", "read",
    "readonly", "return", "set", "shift", "test", "typeset", "unset",
];

fn secret_shown(script: &Scripted<'_>, parsed: &Parsed, secrets: &BTreeSet<String>) -> Option<Finding> {
    let is_traced = parsed.commands.iter().any(|command| {
        command.name() == "set"
            && command.words.iter().any(|word| word.text.starts_with('-') && word.text.contains('x'))
    });
    let traced = parsed.commands.iter().filter(|_| is_traced).find_map(|c| secret_in(c, secrets));
    let printed = parsed.commands.iter().filter(|command| {
        PRINTS.contains(&command.name())
            && !command.writes_pipe
            && !command.is_substituted
            && command
                .redirects
                .iter()
                .all(|(operator, _)| !operator.starts_with(['>', '1']) || operator.contains('&'))
    });
    let mut printed = printed.filter_map(|command| secret_in(command, secrets));
    if let Some(name) = traced.or_else(|| printed.next()) {
        return Some(warning(
            "secret-shown",
            &script.place,
            format!("{} is printed", called(name, secrets)),
            format!("hand it on instead: printf %s \"${name}\" | COMMAND that reads standard input"),
        ));
    }
    // What a check reads is judged and not shown; what a change prints is on the screen and in the records.
    script.changes?;
    let command = parsed.commands.iter().find(|command| prints_stored_secret(command, script.body))?;
    Some(warning(
        "secret-shown",
        &script.place,
        format!("`{}` prints a secret as it is stored", command.line()),
        "write it to a file of mode 0600, or compare it: [ \"$(...)\" = \"$wanted\" ]",
    ))
}

/// A secret of Kubernetes in full, or one that is decoded, where nothing takes the output.
fn prints_stored_secret(command: &Command, body: &str) -> bool {
    let has = |wanted: &[&str]| command.words.iter().any(|word| wanted.contains(&word.text.as_str()));
    let is_taken = command.writes_pipe
        || command.is_substituted
        || command.redirects.iter().any(|(operator, _)| operator.starts_with(['>', '1']));
    let is_shown = match command.name() {
        "oc" | "kubectl" => {
            let names_one =
                |word: &script::Word| matches!(word.text.split('/').next(), Some("secret" | "secrets"));
            has(&["get"]) && has(&["-o", "-oyaml", "-ojson"]) && command.words.iter().any(names_one)
        }
        "base64" => command.reads_pipe && has(&["-d", "-D", "--decode"]) && SECRET_KEY.is_match(body),
        _ => false,
    };
    is_shown && !is_taken
}

/// A key that is called like a secret.
static SECRET_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\bsecrets?\b|passw(or)?d|passphrase|token").expect("a constant pattern that a test uses")
});

/// `$ oc edit …`, as documentation shows it.
fn copied_prompt(script: &Scripted<'_>, parsed: &Parsed) -> Option<Finding> {
    let prompt =
        |command: &&Command| command.words.first().is_some_and(|word| word.text == "$" && !word.is_quoted);
    let command = parsed.commands.iter().find(prompt)?;
    let rest: Vec<&str> = command.words.iter().skip(1).map(|word| word.text.as_str()).collect();
    Some(error(
        "copied-prompt",
        &script.place,
        "this begins with a `$` that was the prompt of a shell: there is no such command".to_owned(),
        format!("leave it out: {}", rest.join(" ")),
    ))
}

fn secret_argument(script: &Scripted<'_>, parsed: &Parsed, secrets: &BTreeSet<String>) -> Option<Finding> {
    let (name, command) = parsed
        .commands
        .iter()
        .filter(|command| !BUILT_IN.contains(&command.name()))
        .find_map(|command| Some((secret_in(command, secrets)?, command.name())))?;
    let finding = error(
        "secret-argument",
        &script.place,
        format!(
            "{} is an argument of `{command}`: everybody on that machine can read it in `ps`",
            called(name, secrets)
        ),
        format!("let it read standard input, or its own environment: VARIABLE=\"${name}\" {command}"),
    );
    // A name is no proof.
    let severity = if secrets.contains(name) { Severity::Error } else { Severity::Warning };
    Some(Finding { severity, ..finding })
}

/// `export password`, which gives it to everything that the script runs from there on.
fn secret_exported(script: &Scripted<'_>, parsed: &Parsed, secrets: &BTreeSet<String>) -> Option<Finding> {
    let exports = |command: &&Command| {
        let is_flagged =
            || command.words.iter().any(|word| word.text.starts_with('-') && word.text.contains('x'));
        match command.name() {
            "export" => true,
            "declare" | "typeset" => is_flagged(),
            _ => false,
        }
    };
    let name = parsed.commands.iter().filter(exports).find_map(|command| {
        let mut named = command.words.iter().map(|word| word.text.split('=').next().unwrap_or_default());
        named.find_map(|word| secrets.get(word)).or_else(|| {
            let mut held = command.words.iter().flat_map(|word| &word.names);
            held.find_map(|name| secrets.get(name))
        })
    })?;
    Some(warning(
        "secret-exported",
        &script.place,
        format!("secret `{name}` is exported: everything that runs from here on has it in its environment"),
        format!("give it to the one command that needs it: VARIABLE=\"${name}\" COMMAND"),
    ))
}

fn hidden_failure(script: &Scripted<'_>, parsed: &Parsed) -> Option<Finding> {
    const CANNOT_FAIL: &[&str] = &["", ":", "echo", "printf", "true", "yes", "seq", "date"];
    if script.shell != Shell::Sh {
        return None;
    }
    let hidden = parsed.commands.iter().find(|command| {
        command.writes_pipe && !command.is_condition && !CANNOT_FAIL.contains(&command.name())
    })?;
    Some(warning(
        "hidden-failure",
        &script.place,
        format!(
            "when `{}` fails before the `|` nobody will know: sh looks at the last command alone",
            hidden.name()
        ),
        "add `shell: bash`, which stops at any of them, or write to a file first",
    ))
}

fn unverified_script(script: &Scripted<'_>, parsed: &Parsed) -> Option<Finding> {
    let fetches = |command: &&Command| command.writes_pipe && matches!(command.name(), "curl" | "wget");
    let runs = |command: &&Command| {
        command.reads_pipe && matches!(command.name(), "sh" | "bash" | "dash" | "ksh" | "python" | "python3")
    };
    parsed.commands.iter().find(fetches)?;
    parsed.commands.iter().find(runs)?;
    Some(warning(
        "unverified-script",
        &script.place,
        "a script is run as it comes from the network, half of it if the connection breaks".to_owned(),
        "name its URL under `artifacts:` with `fetch: node` and its sha256, so that it is whole and verified first",
    ))
}

/// `{"op":"add","path":"/spec/tags/-"}` adds another one every time.
static PATCH_ADDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""path\\?"\s*:\s*\\?"[^"]*/-\\?""#).expect("a constant pattern that a test uses")
});

fn appends(script: &Scripted<'_>, parsed: &Parsed) -> Option<Finding> {
    let step = script.changes?;
    let looks_first = parsed.commands.iter().any(|command| {
        command.name() == "grep"
            && command.words.iter().any(|word| word.text.starts_with('-') && word.text.contains('q'))
    });
    if step.skip_if.is_some() || looks_first {
        return None;
    }
    let is_of_no_matter = |to: &str| {
        to.starts_with("/dev/")
            || Path::new(to).extension().is_some_and(|end| end == "log")
            || to.contains("ROLLGATE_RUN_DIR")
    };
    let is_new = |to: &str| {
        let writes = |(operator, target): &(String, script::Word)| operator == ">" && target.text == to;
        parsed.commands.iter().any(|command| command.redirects.iter().any(writes))
    };
    let redirected = parsed
        .commands
        .iter()
        .flat_map(|command| &command.redirects)
        .filter(|(operator, _)| matches!(operator.as_str(), ">>" | "1>>"))
        .map(|(_, to)| to.text.as_str())
        .find(|to| !is_of_no_matter(to) && !is_new(to));
    let teed = parsed.commands.iter().find_map(|command| {
        let appends = command.name() == "tee"
            && command.words.iter().any(|word| matches!(word.text.as_str(), "-a" | "--append"));
        command.words.last().filter(|to| appends && !is_of_no_matter(&to.text)).map(|to| to.text.as_str())
    });
    let what = match redirected.or(teed) {
        Some(to) => format!("this appends to {to}"),
        None if PATCH_ADDS.is_match(script.body) => "this patch adds an item to a list".to_owned(),
        None => return None,
    };
    Some(warning(
        "appends",
        &script.place,
        format!("{what}: done again, it is there twice"),
        "add `skip_if:` with a check that says that it is there already",
    ))
}

/// Changes that decide who may log in.
static GUARDS_SSH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        /etc/hosts\.(deny|allow)
        | \b(ip6?tables|nft)\b.*\b(dport|dports)\b.*\b(22|ssh)\b
        | \b(ip6?tables)\b.*-P\s+INPUT\s+(DROP|REJECT)
        | /etc/ssh/sshd_config
        | /\.ssh/authorized_keys
        | \b(Allow|Deny)(Users|Groups)\s+\S | \bPermitRootLogin\s+(no|prohibit) | \bPubkeyAuthentication\s+no
        | \bufw\b.*\b(enable|deny|reject|limit)\b
        | \bfirewall-cmd\b.*--remove-service=ssh
        | \bsystemctl\b.*\b(stop|disable|mask|restart)\b.*\bsshd?\b
        | \bservice\s+sshd?\s+(stop|restart)\b",
    )
    .expect("a constant pattern that a test uses")
});

const READS: &[&str] =
    &["cat", "grep", "ls", "head", "tail", "stat", "test", "[", "diff", "cmp", "md5sum", "sha256sum"];

fn cuts_ssh(script: &Scripted<'_>, parsed: &Parsed) -> Option<Finding> {
    let changes = |command: &&Command| {
        let writes = command.redirects.iter().any(|(operator, _)| operator.contains('>'));
        GUARDS_SSH.is_match(&command.line()) && (writes || !READS.contains(&command.name()))
    };
    let command = parsed.commands.iter().find(changes)?;
    let step = script.changes?;
    if step.restricts.is_some() {
        return None;
    }
    let (lacks, help) = match &step.undo {
        None => (
            "nothing undoes it",
            "add `undo:` and `restricts: ssh`: a new login must work after it, else it is undone",
        ),
        Some(_) => (
            "nothing proves a new login after it",
            "add `restricts: ssh`: a new login must work after it, else it is undone at once",
        ),
    };
    Some(warning(
        "cuts-ssh",
        &script.place,
        format!("`{}` can cut the way that rollgate and you come in by, and {lacks}", command.name()),
        help,
    ))
}
