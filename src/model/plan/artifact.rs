//! An artifact in the plan: which file, by its sum, who gets it, and how they come by it.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::name::NodeName;
use crate::model::url::Url;

/// A file that nodes get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub struct PlannedArtifact {
    /// Where it comes from.
    pub origin: Origin,
    /// Its name in the staging directory.
    pub name: String,
    /// Its sum, 64 hexadecimal digits.
    pub sha256: String,
    /// Who gets it.
    pub nodes: Vec<NodeName>,
}

/// Where a planned artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is copied from the operator's machine.
    File {
        /// The file there.
        source: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Each node fetches it itself. How large it is only the server knows.
    Url {
        /// The address.
        url: Url,
    },
}

impl Origin {
    /// Its size in bytes, where that is known beforehand.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::File { size, .. } => Some(*size),
            Self::Url { .. } => None,
        }
    }

    /// The address, where a node fetches it itself.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::File { .. } => None,
            Self::Url { url } => Some(url),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { source, .. } => source.display().fmt(f),
            Self::Url { url } => url.fmt(f),
        }
    }
}

/// A file that nodes get: copied from `source`, or fetched by each of them from `url`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PlannedArtifact")]
struct Written {
    /// The file on the operator's machine, where it is copied from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<PathBuf>,
    /// The address, where nodes fetch it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    /// Its name in the staging directory.
    name: String,
    /// Its sum, 64 hexadecimal digits.
    sha256: String,
    /// Its size in bytes, where it is copied: that of what nodes fetch only the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Who gets it.
    nodes: Vec<NodeName>,
}

impl From<PlannedArtifact> for Written {
    fn from(artifact: PlannedArtifact) -> Self {
        let PlannedArtifact { origin, name, sha256, nodes } = artifact;
        let (source, size, url) = match origin {
            Origin::File { source, size } => (Some(source), Some(size), None),
            Origin::Url { url } => (None, None, Some(url)),
        };
        Self { source, url, name, sha256, size, nodes }
    }
}

impl TryFrom<Written> for PlannedArtifact {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { source, url, name, sha256, size, nodes } = written;
        let origin = match (source, size, url) {
            (Some(source), Some(size), None) => Origin::File { source, size },
            (None, None, Some(url)) => Origin::Url { url },
            _ => return Err(format!("the artifact {name} has neither a file with its size nor a URL alone")),
        };
        Ok(Self { origin, name, sha256, nodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PlannedArtifact, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn either_a_file_or_an_address_comes_back_as_it_was_written() {
        let file = r#"{"source":"/srv/a.tar","name":"a.tar","sha256":"00","size":3,"nodes":["n1"]}"#;
        let url = r#"{"url":"http://h/a.tar","name":"a.tar","sha256":"00","nodes":["n1"]}"#;
        for (json, size) in [(file, Some(3)), (url, None)] {
            let artifact = read(json).unwrap();
            assert_eq!(artifact.origin.size(), size);
            assert_eq!(serde_json::to_string(&artifact).unwrap(), json);
        }
        for json in [
            r#"{"name":"a.tar","sha256":"00","nodes":[]}"#,
            r#"{"source":"/srv/a.tar","name":"a.tar","sha256":"00","nodes":[]}"#,
            r#"{"source":"/srv/a.tar","url":"http://h/a.tar","size":3,"name":"a.tar","sha256":"00","nodes":[]}"#,
            r#"{"url":"http://u:p@h/a.tar","name":"a.tar","sha256":"00","nodes":[]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
