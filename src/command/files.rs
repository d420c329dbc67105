//! Inventory and procedure, read, linted and made into a plan.

use std::os::unix::fs::PermissionsExt as _;

use super::context::Context;
use super::insecure;
use super::program;
use super::refusal::{Refusal, nobody};
use crate::config::{self, Loaded, Mistake, Mistakes};
use crate::exit::Exit;
use crate::model::inventory::Inventory;
use crate::model::lint::{self, Finding, Severity};
use crate::model::name::NodeName;
use crate::model::plan::{Origin, Plan, Sources};
use crate::model::planner::{self, ArtifactFacts, Located};
use crate::model::selector::Selector;
use crate::transport::hash_file;
use crate::ui::ink::{Line, Tone};
use crate::ui::narrate::Loudness;
use crate::ui::{words, write};

/// The files of a cluster.
pub(super) struct Files {
    pub(super) loaded: Loaded,
    /// What others could have changed of them; absent unless that was allowed.
    pub(super) insecure: Option<Vec<String>>,
}

impl Files {
    /// Reads them, and looks for the tools that the procedure needs.
    pub(super) fn load(context: &Context) -> Result<Self, Refusal> {
        let files = Self::read(context)?;
        files.find_tools()?;
        Ok(files)
    }

    /// Reads them. An executable inventory is run, and what it prints is the inventory.
    pub(super) fn read(context: &Context) -> Result<Self, Refusal> {
        let path = context.inventory()?;
        let path = std::path::absolute(&path).unwrap_or(path);
        let is_program =
            path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0);
        let mut found = insecure::look(context, std::slice::from_ref(&path))?;
        let loaded = if is_program {
            config::load_source(program::printed_by(context, &path)?)?
        } else {
            config::load(&path)?
        };
        found.extend(insecure::look(context, &insecure::named(&loaded))?);
        if !found.is_empty() {
            insecure::note(context, &found);
        }
        let insecure = context.allow_insecure_files.then(|| found.iter().map(insecure::sentence).collect());
        Ok(Self { loaded, insecure })
    }

    /// Files that were made here and now.
    pub(super) fn of(loaded: Loaded) -> Self {
        Self { loaded, insecure: None }
    }

    fn find_tools(&self) -> Result<(), Refusal> {
        for tool in &self.loaded.procedure.required_tools {
            which::which(tool).map_err(|_| {
                Refusal::new(
                    Exit::CheckFailed,
                    format!("the procedure needs `{tool}`, and it is not in PATH"),
                )
                .help(format!("install {tool} on this machine, or take it out of `requires`"))
                .standing("nothing was done")
            })?;
        }
        Ok(())
    }

    /// Lints them: what cannot work is refused, what may be meant is answered.
    pub(super) fn lint(&self) -> Result<Vec<Mistake>, Refusal> {
        let (mistakes, warnings) = self.findings();
        mistakes.map_or(Ok(warnings), |mistakes| Err(mistakes.into()))
    }

    /// What is wrong with them, and what may be.
    pub(super) fn findings(&self) -> (Option<Mistakes>, Vec<Mistake>) {
        let findings = lint::lint(&self.loaded.inventory, &self.loaded.procedure);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.severity == Severity::Error);
        let placed = |finding: &Finding| self.loaded.mistake(finding);
        (Mistakes::of(errors, placed), warnings.into_iter().map(placed).collect())
    }

    /// Lints them before they are used, and says how much there is to read in `check`.
    pub(super) fn lint_for_use(&self, context: &Context) -> Result<(), Refusal> {
        let warnings = self.lint()?.len();
        if warnings > 0 && context.loudness > Loudness::Quiet {
            let face = &context.style.err;
            let check = context.command(&["check"], "").command();
            let text = format!("{} in these files; {check} shows them", words::count(warnings, "warning"));
            write::to_stderr(&format!(
                "{}\n",
                Line::new(face).tone(Tone::Wait, "note: ").text(&text).paint(face)
            ));
        }
        Ok(())
    }

    /// Makes the plan; artifacts are read for their sums, but for those that nodes fetch themselves.
    pub(super) async fn plan(&self) -> Result<Plan, Refusal> {
        let Loaded { inventory, procedure, inventory_source, procedure_source } = &self.loaded;
        let mut artifacts = Vec::new();
        for artifact in &procedure.artifacts {
            artifacts.push(match planner::locate(artifact, inventory)? {
                Located::Url { url, sha256 } => ArtifactFacts { origin: Origin::Url { url }, sha256 },
                Located::File { path, wanted } => {
                    let sum = hash_file(&path).await.map_err(|error| {
                        Refusal::input(format!("the artifact {} cannot be read: {error}", path.display()))
                            .help(format!("it is named in {}", procedure_source.path().display()))
                            .standing("nothing was done")
                    })?;
                    ArtifactFacts::of_file(path, wanted, sum.sha256, sum.size)?
                }
            });
        }
        let sources = Sources {
            inventory: inventory_source.path().to_owned(),
            inventory_sha256: inventory_source.sha256().to_owned(),
            procedure: procedure_source.path().to_owned(),
            procedure_sha256: procedure_source.sha256().to_owned(),
        };
        Ok(planner::plan(inventory, procedure, sources, &artifacts)?)
    }

    /// The nodes that `--limit` means; `None` without it.
    pub(super) fn limit(&self, terms: &[String]) -> Result<Option<Vec<NodeName>>, Refusal> {
        if terms.is_empty() {
            return Ok(None);
        }
        let inventory = &self.loaded.inventory;
        let chosen = Selector::from_list(&terms.join(",")).resolve(inventory);
        chosen.map(Some).map_err(|error| nobody(&error, &known(inventory)))
    }

    /// A node by its name.
    pub(super) fn node(&self, name: &NodeName) -> Result<(), Refusal> {
        self.limit(&[name.to_string()]).map(drop)
    }
}

fn known(inventory: &Inventory) -> Vec<&str> {
    let groups =
        inventory.nodes.iter().flat_map(|node| &node.groups).map(crate::model::name::GroupName::as_str);
    let mut known: Vec<&str> = inventory.nodes.iter().map(|node| node.name.as_str()).chain(groups).collect();
    known.sort_unstable();
    known.dedup();
    known
}
