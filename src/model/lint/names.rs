//! Variables: every name that a script or a text uses must be set for every node that it concerns, and
//! a captured one before it is used.

use std::collections::{BTreeMap, BTreeSet};

use super::walk::{self, Located, few};
use super::{Finding, error, script};
use crate::model::condition::{Condition, Test};
use crate::model::inventory::Inventory;
use crate::model::name::{BUILT_IN, NodeName};
use crate::model::plan::Section;
use crate::model::procedure::{Action, Check, CheckRef, PhaseBody, Procedure, Target, Undo, When};
use crate::model::template::Template;

/// Variables that a shell, a login or a connection sets.
const ENVIRONMENT: &[&str] = &[
    "DISPLAY",
    "EDITOR",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HOME",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LINENO",
    "LOGNAME",
    "MACHTYPE",
    "MAIL",
    "OLDPWD",
    "OPTARG",
    "OPTIND",
    "OSTYPE",
    "PATH",
    "PIPESTATUS",
    "PPID",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELL",
    "SHLVL",
    "TERM",
    "TMPDIR",
    "TZ",
    "UID",
    "USER",
];

const ENVIRONMENT_OF: &[&str] = &["BASH", "LC_", "SSH_", "SUDO_", "XDG_"];

/// The findings about variables.
pub(super) fn unset(inventory: &Inventory, procedure: &Procedure) -> Vec<Finding> {
    let mut names = Names::new(inventory, procedure);
    names.before_the_phases();
    names.open();
    for (number, phase) in procedure.phases.iter().enumerate() {
        names.phase(number, phase);
    }
    names.findings()
}

struct Names<'a> {
    inventory: &'a Inventory,
    procedure: &'a Procedure,
    /// What is set for each node, and for the operator's machine, before anything runs.
    set: BTreeMap<NodeName, BTreeSet<String>>,
    /// What is set for all of them once the run is opened.
    read_at_the_start: BTreeSet<String>,
    captured: BTreeMap<NodeName, BTreeSet<String>>,
    /// Where each capture stands.
    captures: BTreeMap<String, String>,
    /// Which nodes miss which variable, by the place that uses it.
    missing: BTreeMap<(String, String), BTreeSet<NodeName>>,
    order: Vec<(String, String)>,
}

impl<'a> Names<'a> {
    fn new(inventory: &'a Inventory, procedure: &'a Procedure) -> Self {
        let mut common: BTreeSet<String> = BUILT_IN.iter().map(|&name| name.to_owned()).collect();
        common.extend(inventory.secrets.keys().map(ToString::to_string));
        let mut read_at_the_start: BTreeSet<String> = common.take("ROLLGATE_FROM").into_iter().collect();
        for role in procedure.roles.keys() {
            let role = role.as_str().to_uppercase();
            common.insert(format!("ROLLGATE_LIVE_{role}"));
            read_at_the_start.insert(format!("ROLLGATE_PINNED_{role}"));
        }
        let mut operator = common.clone();
        operator.extend(inventory.vars.keys().map(ToString::to_string));
        operator.insert("ROLLGATE_RUN_DIR".to_owned());
        let mut set = BTreeMap::from([(NodeName::operator(), operator)]);
        for node in &inventory.nodes {
            let mut names = common.clone();
            names.extend(inventory.vars_of(node).into_keys());
            if procedure.artifacts.iter().any(|artifact| {
                artifact.nodes.resolve(inventory).is_ok_and(|nodes| nodes.contains(&node.name))
            }) {
                names.insert("ROLLGATE_STAGED".to_owned());
            }
            set.insert(node.name.clone(), names);
        }
        let captures = walk::steps(procedure)
            .into_iter()
            .rev()
            .filter_map(|at| Some((at.step.capture.as_ref()?.name.to_string(), at.place)))
            .collect();
        Self {
            inventory,
            procedure,
            set,
            read_at_the_start,
            captured: BTreeMap::new(),
            captures,
            missing: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// Who is asked what names nobody: see [`crate::model::plan::Plan::everybody`].
    fn everybody(&self) -> Vec<NodeName> {
        if self.inventory.nodes.is_empty() {
            return vec![NodeName::operator()];
        }
        self.inventory.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn before_the_phases(&mut self) {
        let (procedure, nodes, operator) = (self.procedure, self.everybody(), [NodeName::operator()]);
        for (index, artifact) in procedure.artifacts.iter().enumerate() {
            self.template(&format!("artifacts[{index}].source"), artifact.source.written(), &operator);
            if let Some(sum) = artifact.source.sha256() {
                self.template(&format!("artifacts[{index}].sha256"), sum, &operator);
            }
        }
        if let Some(to) = &procedure.to {
            self.template("to", to, &operator);
        }
        if let Some(version) = &procedure.version {
            self.script("version", &version.body, &nodes, &Target::Itself, &BTreeSet::new());
        }
        for (name, role) in &procedure.roles {
            let asked = role.of.resolve(self.inventory).unwrap_or_default();
            self.check(&format!("roles.{name}"), &role.check, &asked);
        }
        for name in &procedure.invariants {
            if let Some(check) = procedure.checks.get(name) {
                self.check(&format!("checks.{name}"), check, &nodes);
            }
        }
        for (index, guard) in procedure.guards.iter().enumerate() {
            self.check_ref(&format!("refuse[{index}].check"), &guard.check, &nodes);
            self.template(&format!("refuse[{index}].because"), &guard.because, &operator);
        }
        for at in walk::staging(procedure) {
            self.step(&at, &nodes);
        }
    }

    /// Guards held nobody back, roles are pinned, versions are read.
    fn open(&mut self) {
        self.set.values_mut().for_each(|names| names.extend(self.read_at_the_start.iter().cloned()));
    }

    fn phase(&mut self, number: usize, phase: &'a crate::model::procedure::Phase) {
        let operator = vec![NodeName::operator()];
        let place = format!("phases[{number}]");
        if let Some(when) = &phase.when {
            self.when(&format!("{place}.when"), when, &operator);
        }
        if let Some(point) = &phase.point_of_no_return {
            self.template(&format!("{place}.point_of_no_return"), &point.text, &operator);
        }
        let lanes = match &phase.body {
            PhaseBody::Single(_) => operator,
            PhaseBody::Rolling(body) => body.nodes.resolve(self.inventory).unwrap_or_default(),
        };
        let (back, forward): (Vec<_>, Vec<_>) =
            walk::steps_of(number, phase).into_iter().partition(|at| at.section == Section::Rollback);
        for at in forward {
            self.step(&at, &lanes);
        }
        if let PhaseBody::Rolling(body) = &phase.body {
            for (index, check) in body.soak.iter().flat_map(|soak| &soak.checks).enumerate() {
                self.check_ref(&format!("{place}.soak.checks[{index}]"), check, &lanes);
            }
        }
        for at in back {
            self.step(&at, &lanes);
        }
    }

    fn step(&mut self, at: &Located<'a>, lanes: &[NodeName]) {
        let (place, step) = (&at.place, at.step);
        let key = |key: &str| format!("{place}.{key}");
        if let Some(when) = &step.when {
            self.when(&key("when"), when, lanes);
        }
        if let Some(point) = &step.point_of_no_return {
            self.template(&key("point_of_no_return"), &point.text, lanes);
        }
        for (place, check) in walk::checks_of(at) {
            self.check_ref(&place, check, lanes);
        }
        self.action(at, lanes);
        if let Some(capture) = &step.capture {
            for lane in lanes {
                self.captured.entry(lane.clone()).or_default().insert(capture.name.to_string());
            }
        }
        match &step.undo {
            Some(Undo::Run(script)) => {
                self.script(&key("undo"), &script.body, lanes, &step.on, &BTreeSet::new());
            }
            Some(Undo::Manual(text)) => self.template(&key("undo"), text, lanes),
            None => {}
        }
    }

    fn action(&mut self, at: &Located<'a>, lanes: &[NodeName]) {
        let (place, step) = (&at.place, at.step);
        let key = |key: &str| format!("{place}.{key}");
        match &step.action {
            Action::Run(run) => {
                for (name, value) in &run.env {
                    self.template(&format!("{place}.env.{name}"), value, lanes);
                }
                for (name, text) in [("stdin", &run.stdin), ("cwd", &run.cwd)] {
                    if let Some(text) = text {
                        self.template(&key(name), text, lanes);
                    }
                }
                let own = run.env.keys().map(ToString::to_string).collect();
                self.script(&key("run"), &run.script.body, lanes, &step.on, &own);
            }
            Action::Reboot(script) => {
                self.script(&key("reboot"), &script.body, lanes, &step.on, &BTreeSet::new());
            }
            Action::Wait(wait) => {
                for (word, script) in [("per", &wait.per), ("show", &wait.show)] {
                    if let Some(script) = script {
                        self.script(&key(word), &script.body, lanes, &step.on, &BTreeSet::new());
                    }
                }
                for (word, condition) in [("fail_when", &wait.fail_when), ("while", &wait.on_its_way)] {
                    if let Some(condition) = condition {
                        self.condition(&key(word), condition, lanes);
                    }
                }
            }
            Action::Gate(gate) => {
                if let Some(question) = &gate.question {
                    self.template(&key("question"), question, lanes);
                }
            }
            Action::Manual(manual) => self.template(&key("manual"), &manual.text, lanes),
            Action::Put(put) => {
                self.template(&key("put.source"), &put.source, lanes);
                self.template(&key("put.to"), &put.to, lanes);
            }
            Action::Get(get) => {
                self.template(&key("get.from"), &get.from, lanes);
                self.template(&key("get.to"), &get.to, lanes);
            }
            Action::Check(_) => {}
        }
    }

    fn check_ref(&mut self, place: &str, reference: &'a CheckRef, lanes: &[NodeName]) {
        match reference {
            CheckRef::Inline(check) => self.check(place, check, lanes),
            CheckRef::Named(name) => {
                let procedure = self.procedure;
                if let Some(check) = procedure.checks.get(name) {
                    self.check(&format!("checks.{name}"), check, lanes);
                }
            }
        }
    }

    fn check(&mut self, place: &str, check: &Check, lanes: &[NodeName]) {
        for script in walk::scripts_of_check(place, check) {
            self.script(&script.place, script.body, lanes, &check.on, &BTreeSet::new());
        }
        if let Some(remedy) = &check.remedy {
            self.template(&format!("{place}.remedy"), remedy, lanes);
        }
        self.condition(place, &check.condition, lanes);
    }

    fn when(&mut self, place: &str, when: &When, lanes: &[NodeName]) {
        self.uses(&format!("{place}.var"), [when.var.to_string()], lanes, &Target::Itself);
        self.condition(place, &when.condition, lanes);
    }

    fn condition(&mut self, place: &str, condition: &Condition, lanes: &[NodeName]) {
        for test in &condition.tests {
            let (key, templates): (&str, Vec<&Template>) = match test {
                Test::Equals(text) => ("equals", vec![text]),
                Test::NotEquals(text) => ("not_equals", vec![text]),
                Test::AtLeast(text) => ("at_least", vec![text]),
                Test::AtMost(text) => ("at_most", vec![text]),
                Test::Matches(text) => ("matches", vec![text]),
                Test::NotMatches(text) => ("not_matches", vec![text]),
                Test::OneOf(texts) => ("one_of", texts.iter().collect()),
                Test::NoneOf(texts) => ("none_of", texts.iter().collect()),
                Test::Empty(_) | Test::CountAtMost(_) | Test::CountAtLeast(_) | Test::CountEquals(_) => {
                    continue;
                }
            };
            for template in templates {
                self.template(&format!("{place}.{key}"), template, lanes);
            }
        }
    }

    fn template(&mut self, place: &str, template: &Template, lanes: &[NodeName]) {
        let names: Vec<String> = template.names().into_iter().map(str::to_owned).collect();
        self.uses(place, names, lanes, &Target::Itself);
    }

    /// `own` are the variables that the step itself adds.
    fn script(&mut self, place: &str, body: &str, lanes: &[NodeName], on: &Target, own: &BTreeSet<String>) {
        let parsed = script::parse(body);
        if parsed.is_opaque {
            return;
        }
        let is_asked = |name: &String| {
            !own.contains(name)
                && !ENVIRONMENT.contains(&name.as_str())
                && !ENVIRONMENT_OF.iter().any(|prefix| name.starts_with(prefix))
        };
        self.uses(place, parsed.needs.into_iter().filter(is_asked), lanes, on);
    }

    fn uses(
        &mut self,
        place: &str,
        names: impl IntoIterator<Item = String>,
        lanes: &[NodeName],
        on: &Target,
    ) {
        for name in names {
            let without: BTreeSet<NodeName> =
                lanes.iter().filter(|lane| !self.is_set(&name, lane, on)).cloned().collect();
            if without.is_empty() {
                continue;
            }
            let key = (place.to_owned(), name);
            if !self.missing.contains_key(&key) {
                self.order.push(key.clone());
            }
            self.missing.entry(key).or_default().extend(without);
        }
    }

    /// Whether a lane's script sees a variable on every machine where it may run.
    fn is_set(&self, name: &str, lane: &NodeName, on: &Target) -> bool {
        let is_in = |sets: &BTreeMap<NodeName, BTreeSet<String>>, node: &NodeName| {
            sets.get(node).is_some_and(|names| names.contains(name))
        };
        let machines = self.machines(lane, on);
        // What only the machine where it runs can say is not taken from the lane.
        if matches!(name, "ROLLGATE_STAGED" | "ROLLGATE_RUN_DIR") {
            return machines.iter().all(|node| is_in(&self.set, node));
        }
        is_in(&self.captured, &NodeName::operator())
            || is_in(&self.captured, lane)
            || is_in(&self.set, lane)
            || !machines.is_empty() && machines.iter().all(|node| is_in(&self.set, node))
    }

    fn machines(&self, lane: &NodeName, on: &Target) -> Vec<NodeName> {
        match on {
            Target::Itself => vec![lane.clone()],
            Target::Operator => vec![NodeName::operator()],
            Target::Node(node) => vec![node.clone()],
            Target::Group(group) => {
                let members = self.inventory.nodes.iter().filter(|node| node.groups.contains(group));
                members.map(|node| node.name.clone()).collect()
            }
            Target::Pinned(role) | Target::Live(role) => self
                .procedure
                .roles
                .get(role)
                .and_then(|role| role.of.resolve(self.inventory).ok())
                .unwrap_or_default(),
        }
    }

    fn findings(self) -> Vec<Finding> {
        let known: BTreeSet<&str> =
            self.set.values().flatten().chain(self.captures.keys()).map(String::as_str).collect();
        let finding = |key: &(String, String)| {
            let ((place, name), nodes) = (key, &self.missing[key]);
            let nodes: Vec<&NodeName> = nodes.iter().filter(|node| !node.is_operator()).collect();
            let is_set_elsewhere = known.contains(name.as_str());
            let whom = if nodes.is_empty() {
                " on the operator's machine".to_owned()
            } else if is_set_elsewhere {
                format!(" for {}", few(&nodes))
            } else {
                String::new()
            };
            if let Some(capture) = self.captures.get(name) {
                let message = format!("`{name}` is used here{whom} before anything has captured it");
                return error("used-before-captured", place, message, format!("{capture} captures it"));
            }
            if self.read_at_the_start.contains(name) {
                let message = format!("`{name}` is not set yet");
                let help =
                    "it is read when `start` begins: after `stage`, roles, guards and invariants".to_owned();
                return error("unset-variable", place, message, help);
            }
            let help = if let Some(near) = nearest(name, &known) {
                format!("did you mean `{near}`?")
            } else if name.starts_with("ROLLGATE_") {
                "see ROLLGATE_* in rollgate(1) for what is set where".to_owned()
            } else {
                format!(
                    "set it under `vars:`, capture it in an earlier step, or write ${{{name}:-…}} in a script"
                )
            };
            error("unset-variable", place, format!("`{name}` is not set{whom}"), help)
        };
        self.order.iter().map(finding).collect()
    }
}

/// The known name that this one is most likely a slip of.
fn nearest<'k>(name: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    known
        .iter()
        .filter(|other| **other != name)
        .map(|other| (strsim::damerau_levenshtein(name, other), *other))
        .filter(|(distance, other)| *distance <= (other.len() / 4).clamp(1, 3))
        .min()
        .map(|(_, other)| other)
}
