//! Steps as written.

use serde_json::{Value, json};

use super::super::shape::{
    Hint, Rule, at_least, choice, duration, exactly_one, exit_status, from_one, identifier, json_path, mode,
    name, only_with, own_variable, path_below, remote_template, required, text, title, value,
};
use super::check::{RawCheck, RawScript};
use super::kind::{KINDS, Kind};
use super::words::{BECOME, READINGS, RESTRICTS, RETRIES, SCOPES, SHELLS};
use super::{Entries, Or, RawCondition, Scalar, mapping};

mapping! {
    /// The value of a variable, and what must hold of it.
    RawWhen [required(&["var"]), at_least(2)] {
        /// The variable or captured value. Example: `database`.
        var: Scalar => identifier(),
    } + condition
}

mapping! {
    /// A point of no return in full.
    RawPoint [required(&["text"])] {
        /// What it means to go past this point.
        text: Scalar => text(),
        /// Whether `rollback` is possible all the same.
        rollback_possible: bool => Hint::default().or(false),
    }
}

mapping! {
    /// Checks that are watched while a step runs.
    RawDuring [required(&["checks"])] {
        /// How often they are read: a number and its unit.
        every: Scalar => duration().or("5s"),
        /// The checks, by name or in place. Example: `[healthy]`.
        checks: Vec<Or<RawCheck>> => name().filled(),
    }
}

mapping! {
    /// A value kept for later steps.
    RawCapture [required(&["name"])] {
        /// The variable that later steps read. Example: `previous`.
        name: Scalar => own_variable(),
        /// How the output of a `run` step is read: one `number`, `text`, `lines` that are not empty, the `exit`
        /// status, or `json`. Default: `text`.
        value: Scalar => choice(READINGS),
        /// Where in the JSON document the value stands. Example: `.version`.
        at: Scalar => json_path(),
        /// Whether just one line or item must be there.
        exactly_one: bool => Hint::default().or(false),
        /// Whether the value must not be empty.
        not_empty: bool => Hint::default().or(false),
        /// The values that it may have. Example: `[mysql, oracle]`.
        one_of: Vec<Scalar> => value(),
        /// Replacements of whole values. Example: `{ "null": "false" }`.
        map: Entries<Scalar> => value(),
        /// Whether it is kept out of all records, and read again by an invocation that goes on; for `check` steps
        /// only.
        secret: bool => Hint::default().or(false),
    }
}

mapping! {
    /// The way to undo a step: a script, or a text for a human.
    RawUndo [exactly_one(&["run", "manual"]), only_with(&["shell", "become"], &["run"])] {
        /// A command, or a script of several lines behind `|`.
        run: Scalar => text(),
        /// Which shell reads it. Default: that of the step.
        shell: Scalar => choice(SHELLS),
        /// How it gains rights. Default: as the step does.
        r#become: Scalar => choice(BECOME),
        /// What a human has to do.
        manual: Scalar => text(),
    }
}

mapping! {
    /// A file to the node.
    RawPut [required(&["source", "to"])] {
        /// The file on the operator's machine.
        source: Scalar => text(),
        /// Where it goes on the node, an absolute path. Example: `/etc/mq/mq.conf`.
        to: Scalar => remote_template(),
        /// Its permissions in octal, in quotes. Example: `"0644"`.
        mode: Scalar => mode().or("0600"),
    }
}

mapping! {
    /// A file from the node.
    RawGet [required(&["from", "to"])] {
        /// The file on the node, an absolute path. Example: `/var/log/mq.log`.
        from: Scalar => remote_template(),
        /// Its name below the run's directory. It is never overwritten. Example: `mq.log`.
        to: Scalar => path_below(),
    }
}

/// One kind. A human's task may bring a check along.
fn one_kind() -> Rule {
    let kinds = KINDS.iter().map(|(word, kind)| match kind {
        Kind::Check => json!({ "required": [word], "not": { "required": ["manual"] } }),
        _ => json!({ "required": [word] }),
    });
    ("oneOf", kinds.collect())
}

/// Each key with the kinds that it has a meaning for.
fn keys_of_kinds() -> Rule {
    let mut rules = serde_json::Map::new();
    for key in KINDS.iter().flat_map(|(_, kind)| kind.keys()) {
        let takers = KINDS.iter().filter(|(_, kind)| kind.keys().contains(key));
        let takers: Vec<&str> = takers.map(|(word, _)| *word).collect();
        if !takers.contains(key) {
            let (_, Value::Object(rule)) = only_with(&[*key], &takers) else { continue };
            rules.extend(rule);
        }
    }
    ("dependencies", Value::Object(rules))
}

/// A step that has the terminal has no other streams.
fn interactive_alone() -> Rule {
    let alone = json!({ "properties": { "interactive": { "enum": [false] } } });
    (
        "dependencies",
        ["stdin", "capture", "during"].map(|key| (key.to_owned(), alone.clone())).into_iter().collect(),
    )
}

/// What restricts SSH can be undone at once, and by a script.
fn restricted() -> Rule {
    let with = json!({
        "required": ["undo"],
        "properties": { "undo": { "not": { "type": "object", "required": ["manual"] } }, "interactive": { "enum": [false] } },
    });
    let timed = json!({ "required": ["restricts"], "properties": { "reboots": { "enum": [false] } } });
    let asked = json!({ "required": ["restricts"] });
    ("dependencies", json!({ "restricts": with, "revert_after": timed, "way_in": asked }))
}

mapping! {
    /// A step: exactly one of run, check, wait, gate, manual, reboot, put, get, with the keys that go with it.
    RawStep [one_kind(), keys_of_kinds(), interactive_alone(), restricted(),
        only_with(&["temporary"], &["undo"])] {
        /// What it is called on screens; within a phase every name is used once. The name of a gate is the
        /// value of `gate`. Example: `stop the receiver`.
        name: Scalar => title(),
        /// A script that changes something: a command, or several lines behind `|`. Variables are in its
        /// environment: write `"$target"`.
        run: Scalar => text(),
        /// A check, by name or in place, that fails the section when it does not hold. Beside `manual`: asked
        /// when the human is done.
        check: Or<RawCheck> => name(),
        /// A check, by name or in place, that is asked again until it holds.
        wait: Or<RawCheck> => name(),
        /// Checks and a question to you; the value is the gate's name, as `--override GATE=REASON` takes it.
        /// Without `checks` it is a plain question. Example: `isolated`.
        gate: Scalar => title(),
        /// What a human has to do; then a confirmation, then the `check` if there is one.
        manual: Scalar => text(),
        /// A command that restarts the machine; then a new boot and a login are waited for. Example: `systemctl
        /// reboot`.
        reboot: Scalar => text(),
        /// A file to the node. Example: `{ source: ./mq.conf, to: /etc/mq/mq.conf, mode: "0644" }`.
        put: RawPut,
        /// A file from the node. Example: `{ from: /var/log/mq.log, to: mq.log }`.
        get: RawGet,
        /// The step is skipped unless this holds of a variable or captured value.
        when: RawWhen,
        /// Where it is done, if not on the node whose turn it is: `operator`, a node's name, `pinned.ROLE` or
        /// `live.ROLE`.
        on: Scalar => text(),
        /// How long it may take: a number and its unit. Default: 30m; 10m for `wait`, 1h for `reboot`.
        timeout: Scalar => duration(),
        /// How often it is tried again after a failure without asking.
        retries: u32 => Hint::default().or(0),
        /// A check, by name or in place, that says that it is done already.
        skip_if: Or<RawCheck> => name(),
        /// The way to undo it, on the machine where it was done: a command, or a mapping with `run` or
        /// `manual`. Of a `manual` step: a text.
        undo: Or<RawUndo> => text(),
        /// The change must be undone at the end of this scope, whatever happens in between: the turn of the
        /// `node`, the `phase` or the `run`. It needs `undo`.
        temporary: Scalar => choice(SCOPES),
        /// A value that later steps read as a variable: its name, or a mapping. Example: `previous`.
        capture: Or<RawCapture> => own_variable(),
        /// What it means to go past this step. You are asked first, and afterwards `rollback` is refused.
        point_of_no_return: Or<RawPoint> => text(),
        /// Which shell reads it: `sh` (`sh -eu`) or `bash` (`bash -euo pipefail`).
        shell: Scalar => choice(SHELLS).or("sh"),
        /// How it gains rights, if not as the inventory says.
        r#become: Scalar => choice(BECOME),
        /// What it reads on standard input. Example: `${registry_password}`.
        stdin: Scalar => text(),
        /// The directory in which it starts.
        cwd: Scalar => text(),
        /// Further variables of its environment. Example: `{ image: "quay.io/mq:${target}" }`.
        env: Entries<Scalar> => value().by(own_variable()),
        /// Exit statuses that mean success. Default: `[0]`.
        ok_codes: Vec<i32> => exit_status().filled(),
        /// Gives it your terminal, and binds it to its connection: when that is lost, nobody knows how it ended.
        interactive: bool => Hint::default().or(false),
        /// Checks that are watched while it runs; you are asked when one stops holding.
        during: RawDuring,
        /// The checks of a gate, by name or in place. Example: `[queue-empty, clients-gone]`.
        checks: Vec<Or<RawCheck>> => name(),
        /// The question of a gate. Example: `Is the change approved?`.
        question: Scalar => text(),
        /// How many readings in a row must hold.
        steady: u32 => from_one().or(1),
        /// How often it is read: a number and its unit.
        every: Scalar => duration().or("5s"),
        /// Whether the cluster's name must be typed; `--yes` never answers such a gate.
        typed: bool => Hint::default().or(false),
        /// A condition on the value that means that it never will hold. Example: `{ one_of: [failed] }`.
        fail_when: RawCondition,
        /// A condition on a value that is on its way and does not hold yet; any other value is then an unknown
        /// state. Example: `{ one_of: [working] }`.
        r#while: RawCondition,
        /// A command that says how far it is; whenever it prints a new line, `timeout` begins again.
        per: Or<RawScript> => text(),
        /// A command whose new lines are shown while waiting. Example: `tail -n 5 /var/log/mq.log`.
        show: Or<RawScript> => text(),
        /// Restarting the machine is what the script is for: when its end is unknown and the machine was booted
        /// since, it is done.
        reboots: bool => Hint::default().or(false),
        /// A check, by name or in place, that says whether it was done when nobody knows how it ended.
        done_if: Or<RawCheck> => name(),
        /// `safe`: doing it again does no harm, even after an attempt that nobody knows the end of.
        retry: Scalar => choice(RETRIES),
        /// `ssh`: it decides who may log in. A new login must work after it, else its `undo` runs at once over the
        /// connection that is still open.
        restricts: Scalar => choice(RESTRICTS),
        /// A check, by name or in place, that must hold right before it: that the way in by which you come stays
        /// open. The node sees you come from `$ROLLGATE_OPERATOR_ADDRESS`. `--override STEP=REASON` passes it.
        way_in: Or<RawCheck> => name(),
        /// The node undoes it by itself unless a new login confirms it within this time, counted from before it
        /// begins: a number and its unit. Example: `2m`.
        revert_after: Scalar => duration(),
    }
}
