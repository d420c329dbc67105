//! Artifacts on their way into the plan: where each comes from in this cluster, and what is known of it.

use std::path::PathBuf;

use super::{PlanError, cluster_vars};
use crate::model::inventory::Inventory;
use crate::model::plan::{Origin, PlannedArtifact};
use crate::model::procedure::{Artifact, Procedure, Source, is_sha256};
use crate::model::template::Template;
use crate::model::url::Url;

/// An artifact, its variables put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// A file on the operator's machine, which is to be looked at.
    File {
        /// Where it lies.
        path: PathBuf,
        /// The sum that the procedure wants, in lower case.
        wanted: Option<String>,
    },
    /// An address from which nodes fetch it themselves: nobody looks at it before they do.
    Url {
        /// The address.
        url: Url,
        /// The sum that the procedure wants, in lower case.
        sha256: String,
    },
}

/// What the plan is made of where an artifact is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFacts {
    /// Where it comes from.
    pub origin: Origin,
    /// Its sum, 64 hexadecimal digits.
    pub sha256: String,
}

impl ArtifactFacts {
    /// A file that was read through, unless it is another one than the procedure wants.
    pub fn of_file(
        source: PathBuf,
        wanted: Option<String>,
        sha256: String,
        size: u64,
    ) -> Result<Self, PlanError> {
        match wanted {
            Some(wanted) if wanted != sha256 => {
                Err(PlanError::WrongSum { file: source, wanted, found: sha256 })
            }
            _ => Ok(Self { origin: Origin::File { source, size }, sha256 }),
        }
    }
}

/// Where an artifact comes from in this cluster.
pub fn locate(artifact: &Artifact, inventory: &Inventory) -> Result<Located, PlanError> {
    let vars = cluster_vars(inventory);
    let place = || "artifacts".to_owned();
    let render = |template: &Template| {
        template.render(&vars).map_err(|source| PlanError::Unset { place: place(), source })
    };
    let sum = |template: &Template| {
        let text = render(template)?;
        if is_sha256(&text) {
            return Ok(text.to_ascii_lowercase());
        }
        Err(PlanError::BadSum { place: place(), text: text.escape_debug().to_string() })
    };
    match &artifact.source {
        Source::File { path, base, sha256 } => {
            let file = render(path)?;
            if Url::is_meant(&file) {
                let written = path.as_str().escape_debug().to_string();
                return Err(PlanError::NotFetched { place: place(), written });
            }
            Ok(Located::File { path: base.join(file), wanted: sha256.as_ref().map(sum).transpose()? })
        }
        Source::Url { url, sha256 } => {
            let url = Url::parse(&render(url)?).map_err(|source| PlanError::BadUrl {
                place: place(),
                written: url.as_str().escape_debug().to_string(),
                source,
            })?;
            Ok(Located::Url { url, sha256: sum(sha256)? })
        }
    }
}

/// The artifacts with who gets them, in the order of the procedure.
pub(super) fn planned_artifacts(
    inventory: &Inventory,
    procedure: &Procedure,
    facts: &[ArtifactFacts],
) -> Result<Vec<PlannedArtifact>, PlanError> {
    let mut planned: Vec<PlannedArtifact> = Vec::new();
    for (artifact, ArtifactFacts { origin, sha256 }) in procedure.artifacts.iter().zip(facts) {
        let name = match origin {
            Origin::File { source, .. } => {
                source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Origin::Url { url } => url.name().to_owned(),
        };
        let place = "artifacts".to_owned();
        let nodes =
            artifact.nodes.resolve(inventory).map_err(|source| PlanError::Nobody { place, source })?;
        if planned
            .iter()
            .any(|other| other.name == name && other.nodes.iter().any(|node| nodes.contains(node)))
        {
            return Err(PlanError::SameName { name });
        }
        planned.push(PlannedArtifact { origin: origin.clone(), name, sha256: sha256.clone(), nodes });
    }
    Ok(planned)
}

/// What is done with artifacts, in words.
pub(super) fn staging_label(artifacts: &[PlannedArtifact]) -> &'static str {
    let fetched = artifacts.iter().filter(|artifact| artifact.origin.url().is_some()).count();
    match fetched {
        0 => "copy artifacts",
        all if all == artifacts.len() => "fetch artifacts",
        _ => "copy and fetch artifacts",
    }
}
