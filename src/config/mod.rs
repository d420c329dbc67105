//! An operator's YAML files become model values, or mistakes that say what is wrong, where it stands,
//! and what to write instead.
//!
//! ```text
//! Source (bytes → plain text) → yaml (text → raw) → lower (raw → model, all mistakes at once)
//! ```

mod lower;
pub mod mistake;
mod path;
mod raw;
mod redacted;
pub mod schema;
mod shape;
pub mod source;
pub mod starter;
mod surface;
mod yaml;

use std::path::Path;

use crate::model::inventory::Inventory;
use crate::model::lint::{Document, Finding};
use crate::model::procedure::Procedure;
use lower::Desk;
pub(crate) use mistake::meant;
pub use mistake::{Mistake, Mistakes, Place};
use raw::Or;
use raw::inventory::RawInventory;
use raw::procedure::RawProcedure;
pub use redacted::without_secrets;
pub use source::Source;

/// A cluster and what is to be done with it, with the texts that said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The inventory.
    pub inventory: Inventory,
    /// The procedure.
    pub procedure: Procedure,
    /// The inventory's text, path and sum.
    pub inventory_source: Source,
    /// The same of the procedure; the inventory's when it is written there.
    pub procedure_source: Source,
}

impl Loaded {
    /// What a linter found, as a mistake with its place.
    pub fn mistake(&self, found: &Finding) -> Mistake {
        let inline = self.inventory_source.path() == self.procedure_source.path();
        let (source, place) = match found.document {
            Document::Inventory => (&self.inventory_source, found.place.clone()),
            Document::Procedure if inline => (&self.inventory_source, format!("procedure.{}", found.place)),
            Document::Procedure => (&self.procedure_source, found.place.clone()),
        };
        let at = yaml::nearest(source, &path::Path::parse(&place), yaml::Aim::Value);
        let length = yaml::token(source.line(at.0), at.1);
        source.mistake(at, length, found.message.as_str(), found.rule, &[&found.help])
    }
}

/// Reads an inventory and the procedure that it names.
pub fn load(path: &Path) -> Result<Loaded, Mistakes> {
    load_source(Source::read(path)?)
}

/// The same for an inventory that was read elsewhere, such as the output of an executable. A relative
/// path in it starts at the directory of the source's path.
pub fn load_source(source: Source) -> Result<Loaded, Mistakes> {
    let raw: RawInventory = yaml::parse(&source)?;
    let desk = Desk::new(&source);
    let inventory = lower::inventory::lower(&desk, &raw);
    let at = path::Path::default().key("procedure");
    match &raw.procedure {
        None => {
            let help = "the path of the procedure file, or the procedure itself as a mapping";
            desk.missing(&path::Path::default(), "procedure", help);
            Err(certain(desk))
        }
        Some(Or::Full(raw_procedure)) => {
            let name = inventory.as_ref().map_or("", |inventory| inventory.cluster.as_str());
            let procedure =
                lower::procedure::lower(&desk, &at, raw_procedure, inventory.as_ref(), Some(name));
            match (inventory, procedure, desk.mistakes()) {
                (Some(inventory), Some(procedure), None) => Ok(Loaded {
                    inventory,
                    procedure,
                    inventory_source: source.clone(),
                    procedure_source: source,
                }),
                (_, _, mistakes) => Err(mistakes.expect("what cannot be lowered has a mistake noted for it")),
            }
        }
        Some(Or::Short(file)) => {
            let Some(file) = desk.local_path(&at, file) else { return Err(certain(desk)) };
            if !file.exists() {
                let what = format!("there is no procedure {}", file.display());
                desk.wrong(&at, what, "this file", "relative paths start at the inventory's directory");
                return Err(certain(desk));
            }
            let procedure = named_procedure(&file, inventory.as_ref());
            match (desk.mistakes(), procedure) {
                (None, Ok((procedure, procedure_source))) => Ok(Loaded {
                    inventory: inventory.expect("an inventory without mistakes is lowered"),
                    procedure: procedure.expect("a procedure without mistakes is lowered"),
                    inventory_source: source,
                    procedure_source,
                }),
                (Some(mistakes), procedure) => Err(mistakes.and(procedure.err())),
                (None, Err(mistakes)) => Err(mistakes),
            }
        }
    }
}

fn certain(desk: Desk<'_>) -> Mistakes {
    desk.mistakes().expect("a mistake was noted just before")
}

/// Reads a procedure in a file of its own. Without an inventory there may be none even though it has
/// no mistakes.
fn named_procedure(
    file: &Path,
    inventory: Option<&Inventory>,
) -> Result<(Option<Procedure>, Source), Mistakes> {
    let source = Source::read(file)?;
    let raw: RawProcedure = yaml::parse(&source)?;
    let desk = Desk::new(&source);
    let procedure = lower::procedure::lower(&desk, &path::Path::default(), &raw, inventory, None);
    desk.mistakes().map_or(Ok((procedure, source)), Err)
}
