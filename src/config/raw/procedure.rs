//! The procedure as written: what it is about, what it knows, and its phases.

use serde_json::json;

use super::super::shape::{
    Hint, Rule, batch, choice, duration, exactly_one, fits, from_one, identifier, json_path, line, name,
    only_with, program, required, sha256, text, title,
};
use super::check::{RawCheck, RawScript};
use super::step::{RawPoint, RawStep, RawWhen};
use super::words::{BECOME, FETCHES, READINGS, SHELLS};
use super::{Entries, OneOrMany, Or, Scalar, mapping};

mapping! {
    /// What is done with the nodes: checks, gates, phases, and the way back. See rollgate-procedure(5).
    RawProcedure [required(&["phases"])] {
        /// What it is called on screens and in reports. Example: `RabbitMQ 3.13`.
        procedure: Scalar => line(),
        /// What must be there before anything else is done.
        requires: RawRequires,
        /// How a node's installed version is read; `status` shows it: a command, or a mapping with `run`.
        /// Example: `mqctl version`.
        version: Or<RawScript> => text(),
        /// The version that the procedure leads to. Example: `${target}`, or `"1.10"` in quotes.
        to: Scalar => text(),
        /// Files that `stage` brings to nodes and verifies there, before anything is restarted.
        artifacts: Vec<RawArtifact>,
        /// Checks, by the names under which steps, gates and invariants refer to them.
        checks: Entries<RawCheck> => text().by(name()),
        /// Roles such as leader or standby, by name: each a check that is asked of several nodes.
        roles: Entries<RawRole> => text().by(identifier()),
        /// Names of checks that are asked of the other nodes before each node is touched, and compared with
        /// what they were when the run started.
        invariants: Vec<Scalar> => name(),
        /// Guards: when the check of one of them holds there is no run at all.
        refuse: Vec<RawGuard>,
        /// Steps that `stage` runs on every node after the artifacts are there, such as pulling an image. They
        /// restart nothing.
        stage: Vec<RawStep>,
        /// The phases, in order.
        phases: Vec<RawPhase> => text().filled(),
    }
}

mapping! {
    /// What must be there before anything else.
    RawRequires {
        /// Programs that must be found on the operator's machine. Example: `[ssh, jq]`.
        tools: Vec<Scalar> => program(),
    }
}

/// What nodes fetch comes from an address without anybody's password, as far as its variables let that be known.
fn fetched() -> Rule {
    let address = r"^(https?://[^/?#@\s]+/|\$\{)\S*[^/\s]$";
    ("dependencies", json!({ "fetch": { "properties": { "source": { "pattern": address } } } }))
}

/// What nodes do not fetch is a file.
fn fetched_or_file() -> Rule {
    let address = json!({ "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://" });
    ("anyOf", json!([{ "required": ["fetch"] }, { "properties": { "source": { "not": address } } }]))
}

mapping! {
    /// A file that `stage` brings to nodes.
    RawArtifact [
        required(&["source"]),
        only_with(&["fetch"], &["sha256"]),
        fetched(),
        fetched_or_file(),
    ] {
        /// The file on the operator's machine, which is copied; a relative path starts at this file's directory.
        /// With `fetch: node` an http or https URL. Example: `./mq-${target}.tar`.
        source: Scalar => text(),
        /// Who gets hold of it: with `node` each node fetches it from the URL in `source` itself, with curl or wget.
        /// Without it rollgate copies a file.
        fetch: Scalar => choice(FETCHES),
        /// Its SHA-256 sum, 64 hexadecimal digits. Without it the sum of the file as it is when it is staged; what
        /// nodes fetch needs it.
        sha256: Scalar => sha256(),
        /// Which nodes get it: a group, name or glob, `!x` leaves out, or a list. Default: all.
        nodes: OneOrMany => text(),
    }
}

mapping! {
    /// A role: a check, who is asked, and how many must have it.
    RawRole [required(&["run"]), fits(&["at"], "value", &["json"])] {
        /// The read-only command that is asked of every node of the set. Example: `cluster role`.
        run: Scalar => text(),
        /// Which shell reads it: `sh` (`sh -eu`) or `bash` (`bash -euo pipefail`).
        shell: Scalar => choice(SHELLS).or("sh"),
        /// How it gains rights, if not as the inventory says.
        r#become: Scalar => choice(BECOME),
        /// How its output is read: one `number`, `text`, `lines` that are not empty, the `exit` status, or
        /// `json`. Default: as the condition needs it.
        value: Scalar => choice(READINGS),
        /// Where in the JSON document the value stands. Example: `.role`.
        at: Scalar => json_path(),
        /// How long one reading may take: a number and its unit.
        timeout: Scalar => duration().or("30s"),
        /// Which nodes are asked: a group, name or glob, or a list. Default: all.
        of: OneOrMany => text(),
        /// How many nodes must have it. Example: `1` for a leader.
        exactly: usize => from_one(),
    } + condition
}

impl RawRole {
    /// The question without the set.
    pub(crate) fn check(&self) -> RawCheck {
        let condition = self.condition();
        RawCheck {
            run: self.run.clone(),
            shell: self.shell.clone(),
            r#become: self.r#become.clone(),
            value: self.value.clone(),
            at: self.at.clone(),
            timeout: self.timeout.clone(),
            equals: condition.equals,
            not_equals: condition.not_equals,
            at_least: condition.at_least,
            at_most: condition.at_most,
            matches: condition.matches,
            not_matches: condition.not_matches,
            one_of: condition.one_of,
            none_of: condition.none_of,
            empty: condition.empty,
            count_at_most: condition.count_at_most,
            count_at_least: condition.count_at_least,
            count_equals: condition.count_equals,
            ..RawCheck::default()
        }
    }
}

mapping! {
    /// A guard: when its check holds there is no run.
    RawGuard [required(&["check", "because"])] {
        /// The check that must not hold: a name, or a check in place.
        check: Or<RawCheck> => name(),
        /// Why there is no run when it holds.
        because: Scalar => text(),
    }
}

/// The keys of a phase that takes nodes through its sections, beside `nodes`.
const ROLLING: &[&str] =
    &["batch", "last", "spread", "max_failures", "precheck", "drain", "upgrade", "verify", "undrain", "soak"];

fn rolling_or_single() -> Rule {
    exactly_one(&["nodes", "steps"])
}

mapping! {
    /// A phase: a rolling one takes its nodes through the sections, batch by batch; one with `steps` runs once.
    RawPhase [required(&["name"]), rolling_or_single(), only_with(ROLLING, &["nodes"])] {
        /// What the phase is called on screens. Example: `brokers`.
        name: Scalar => title(),
        /// The phase is skipped unless this holds of a variable or captured value.
        when: RawWhen,
        /// What it means to begin this phase. You are asked first, and afterwards `rollback` is refused.
        point_of_no_return: Or<RawPoint> => text(),
        /// Which nodes: a group, name or glob, `!x` leaves out, or a list. Example: `[web, "!web4"]`.
        nodes: OneOrMany => text(),
        /// How many nodes at a time: a number, a share such as `25%`, or a list whose last entry repeats: `[1,
        /// 25%, 100%]` is a canary first, then wider. Default: 1.
        batch: OneOrMany => batch().or(1),
        /// A role whose nodes go last; it is asked again before every batch. Example: `leader`.
        last: Scalar => identifier(),
        /// A variable: of the nodes with the same value at most one is in a batch. Example: `rack`.
        spread: Scalar => identifier(),
        /// How many nodes may fail before the run stops.
        max_failures: usize => Hint::default().or(0),
        /// Steps before a node is touched; what fails here changes nothing.
        precheck: Vec<RawStep>,
        /// Steps that take the node out of service.
        drain: Vec<RawStep>,
        /// Steps that change the version.
        upgrade: Vec<RawStep>,
        /// Steps that see whether the new version works.
        verify: Vec<RawStep>,
        /// Steps that take the node back into service.
        undrain: Vec<RawStep>,
        /// How long the node must stay well before the next batch.
        soak: RawSoak,
        /// The steps of a phase that runs once, on the operator's machine unless they say `on`.
        steps: Vec<RawStep> => text().filled(),
        /// The steps that take a node back, in order. Without them the `undo` of its steps is done in reverse.
        rollback: Vec<RawStep>,
    }
}

mapping! {
    /// A time during which checks must hold.
    RawSoak [required(&["for", "checks"])] {
        /// How long the checks must keep holding: a number and its unit. Example: `2m`.
        r#for: Scalar => duration(),
        /// How often they are read: a number and its unit.
        every: Scalar => duration().or("10s"),
        /// The checks, by name or in place. Example: `[healthy]`.
        checks: Vec<Or<RawCheck>> => name().filled(),
    }
}
