//! `rollgate schema`: what an editor is told of the files.

use crate::cli::Described;
use crate::config::schema;

/// The schema of a file, as JSON. The copies under `examples/` are held equal to it.
pub fn text(of: Described) -> String {
    let schema = match of {
        Described::Inventory => schema::inventory(),
        Described::Procedure => schema::procedure(),
    };
    format!("{schema:#}\n")
}
