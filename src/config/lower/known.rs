//! What a procedure may refer to: nodes, groups, checks, roles and variables, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::super::path::Path;
use super::super::raw::Scalar;
use super::super::raw::check::RawCheck;
use super::super::raw::procedure::RawProcedure;
use super::super::raw::step::RawStep;
use super::super::raw::{OneOrMany, Or};
use super::check;
use super::desk::Desk;
use crate::model::condition::Form;
use crate::model::inventory::Inventory;
use crate::model::name::{BUILT_IN, CheckName, RoleName, VarName};
use crate::model::selector::Selector;
use crate::model::template::Template;

/// Everything that has a name. Without an inventory, because it has mistakes of its own, what only it
/// could tell is not asked.
pub(super) struct Known<'k> {
    inventory: Option<&'k Inventory>,
    checks: BTreeMap<&'k str, &'k RawCheck>,
    roles: BTreeSet<&'k str>,
    vars: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl<'k> Known<'k> {
    /// Gathers the names of a procedure and its inventory.
    pub(super) fn gather(inventory: Option<&'k Inventory>, raw: &'k RawProcedure) -> Self {
        let checks: BTreeMap<&str, &RawCheck> =
            raw.checks.iter().flat_map(|checks| &checks.0).map(|(name, raw)| (name.as_str(), raw)).collect();
        let roles: BTreeSet<&str> =
            raw.roles.iter().flat_map(|roles| &roles.0).map(|(name, _)| name.as_str()).collect();
        let mut vars: BTreeSet<String> = BUILT_IN
            .iter()
            .chain(&["ROLLGATE_RUN_DIR", "ROLLGATE_STAGED"])
            .map(|&name| name.to_owned())
            .collect();
        for role in &roles {
            let role = role.to_uppercase();
            vars.extend([format!("ROLLGATE_PINNED_{role}"), format!("ROLLGATE_LIVE_{role}")]);
        }
        if let Some(inventory) = inventory {
            let groups = inventory.groups.iter().map(|group| &group.vars);
            let nodes = inventory.nodes.iter().map(|node| &node.vars);
            let all = [&inventory.vars].into_iter().chain(groups).chain(nodes).flat_map(|vars| vars.keys());
            vars.extend(all.chain(inventory.secrets.keys()).map(ToString::to_string));
        }
        vars.extend(steps(raw).filter_map(captured).map(str::to_owned));
        let of_inventory = inventory.into_iter().flat_map(|inventory| inventory.secrets.keys());
        let kept_secret = steps(raw).filter(|step| is_captured_as_secret(step)).filter_map(captured);
        let secrets = of_inventory.map(ToString::to_string).chain(kept_secret.map(str::to_owned)).collect();
        Self { inventory, checks, roles, vars, secrets }
    }

    /// A check by its name.
    pub(super) fn check(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<CheckName> {
        let text = desk.text(path, value)?;
        if !self.checks.contains_key(text.as_str()) {
            desk.unknown(path, "check", &text, self.checks.keys().copied());
            return None;
        }
        CheckName::parse(&text).ok()
    }

    /// How the value of a named check is read.
    pub(super) fn form(&self, name: &CheckName) -> Option<Form> {
        self.checks.get(name.as_str()).map(|raw| check::form_of(raw))
    }

    /// Whether a secret of the inventory has this name.
    pub(super) fn is_secret(&self, name: &VarName) -> bool {
        self.inventory.is_some_and(|inventory| inventory.secrets.contains_key(name))
    }

    /// A role by its name.
    pub(super) fn role(&self, desk: &Desk<'_>, path: &Path, text: &str) -> Option<RoleName> {
        if !self.roles.contains(text) {
            desk.unknown(path, "role", text, self.roles.iter().copied());
            return None;
        }
        RoleName::parse(text).ok()
    }

    /// Whether a role has this name.
    pub(super) fn is_role(&self, text: &str) -> bool {
        self.roles.contains(text)
    }

    /// A variable by its name.
    pub(super) fn var(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<VarName> {
        let text = desk.text(path, value)?;
        if !self.is_set(desk, path, &text) {
            return None;
        }
        if self.secrets.contains(&text) {
            let help = "compare it in a script: a `check` that exits with 0 where it holds";
            desk.wrong(path, format!("`{text}` is a secret, which is given to scripts alone"), "here", help);
            return None;
        }
        VarName::parse(&text).ok()
    }

    fn is_set(&self, desk: &Desk<'_>, path: &Path, name: &str) -> bool {
        let known = self.inventory.is_none() || self.vars.contains(name);
        if !known {
            desk.unknown(path, "variable", name, self.vars.iter().map(String::as_str));
        }
        known
    }

    /// Text with `${name}` in it; every name must be set somewhere.
    pub(super) fn template(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Template> {
        let text = desk.text(path, value)?;
        self.template_of(desk, path, text).filter(|template| !self.has_secret(desk, path, template))
    }

    /// The same of what a script reads: of all texts this one may have secrets in it.
    pub(super) fn input(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Template> {
        let text = desk.text(path, value)?;
        self.template_of(desk, path, text)
    }

    /// The same of a path.
    pub(super) fn path(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Template> {
        let template = self.template(desk, path, value)?;
        desk.is_path(path, template.as_str()).then_some(template)
    }

    /// A text that is shown, stored or exported must name no secret.
    fn has_secret(&self, desk: &Desk<'_>, path: &Path, template: &Template) -> bool {
        let names = template.names();
        let Some(name) = names.iter().find(|name| self.secrets.contains(**name)) else { return false };
        let help = "a script has it as a variable of its shell, `stdin:` may name it, and a program that wants it in \
                    its environment is given it there: PGPASSWORD=\"$password\" psql";
        desk.wrong(path, format!("`{name}` is a secret, and this is shown or stored"), "in this value", help);
        true
    }

    /// The same of a value that may be a number or empty.
    pub(super) fn value_template(&self, desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Template> {
        let text = desk.value(path, value)?;
        self.template_of(desk, path, text).filter(|template| !self.has_secret(desk, path, template))
    }

    fn template_of(&self, desk: &Desk<'_>, path: &Path, text: String) -> Option<Template> {
        let literal = text.replace("$${", "");
        let mut opened = literal.match_indices("${").map(|(at, _)| &literal[at..]);
        if let Some(rest) = opened.find(|rest| !rest.contains('}')) {
            let shown: String = rest.chars().take(20).collect();
            let help = "write ${name}; a literal ${ is written $${";
            desk.wrong(path, format!("`{shown}` is opened and never closed"), "in this value", help);
            return None;
        }
        let template = Template::new(text);
        for name in template.names() {
            if VarName::parse(name).is_err() {
                let help =
                    "only ${name} works here; in scripts the shell's own forms do; a literal ${ is $${";
                desk.wrong(path, format!("`${{{name}}}` names no variable"), "in this value", help);
                return None;
            }
            if !self.is_set(desk, path, name) {
                return None;
            }
        }
        Some(template)
    }

    /// Nodes by group, name or glob.
    pub(super) fn selector(&self, desk: &Desk<'_>, path: &Path, values: &OneOrMany) -> Option<Selector> {
        let mut terms = Vec::new();
        for (at, value) in desk.list(path, values) {
            let term = desk.text(&at, value)?;
            if self.matches(desk, &at, &term) {
                terms.push(term);
            }
        }
        let selector = Selector(terms);
        if let Some(inventory) = self.inventory
            && desk.is_clean()
            && selector.resolve(inventory).is_err()
        {
            desk.wrong(path, "no node is left", "every node is left out again", "");
            return None;
        }
        (!selector.0.is_empty()).then_some(selector)
    }

    fn matches(&self, desk: &Desk<'_>, path: &Path, term: &str) -> bool {
        let Some(inventory) = self.inventory else { return true };
        let bare = term.strip_prefix('!').unwrap_or(term);
        if bare.contains(',') || bare.contains(' ') {
            desk.wrong(path, format!("`{term}` is not one group or node"), "here", "write a list: [a, b]");
            return false;
        }
        if Selector(vec![bare.to_owned()]).resolve(inventory).is_ok() {
            return true;
        }
        desk.unknown(path, "node or group", bare, self.places());
        false
    }

    /// A node, where the inventory can tell.
    pub(super) fn is_node(&self, text: &str) -> bool {
        self.inventory.is_none_or(|inventory| inventory.nodes.iter().any(|node| node.name.as_str() == text))
    }

    /// A group, where the inventory can tell.
    pub(super) fn is_group(&self, text: &str) -> bool {
        self.inventory
            .is_none_or(|inventory| inventory.groups.iter().any(|group| group.name.as_str() == text))
    }

    /// Every group, then every node.
    pub(super) fn places(&self) -> Vec<&str> {
        self.inventory.map_or_else(Vec::new, |inventory| {
            let groups = inventory.groups.iter().map(|group| group.name.as_str());
            groups.chain(inventory.nodes.iter().map(|node| node.name.as_str())).collect()
        })
    }
}

fn is_captured_as_secret(step: &RawStep) -> bool {
    matches!(&step.capture, Some(Or::Full(capture)) if capture.secret == Some(true))
}

fn captured(step: &RawStep) -> Option<&str> {
    match step.capture.as_ref()? {
        Or::Short(Scalar::Text(name)) => Some(name),
        Or::Full(capture) => match capture.name.as_ref()? {
            Scalar::Text(name) => Some(name),
            _ => None,
        },
        Or::Short(_) => None,
    }
}

fn steps(raw: &RawProcedure) -> impl Iterator<Item = &RawStep> {
    let phases = raw.phases.iter().flatten().flat_map(|phase| {
        [
            &phase.precheck,
            &phase.drain,
            &phase.upgrade,
            &phase.verify,
            &phase.undrain,
            &phase.steps,
            &phase.rollback,
        ]
    });
    [&raw.stage].into_iter().chain(phases).flatten().flatten()
}
