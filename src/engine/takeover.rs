//! What the nodes keep of a run, for the day when the operator's machine is gone. With each job a node was given
//! the journal up to the intent to start just that job; the longest copy says what was begun anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::pool::Opens;
use super::site::Site;
use super::{asking, scene};
use crate::model::event::Failure;
use crate::model::host::Shell;
use crate::model::job::Standing;
use crate::model::name::NodeName;
use crate::model::plan::StepKey;
use crate::model::state::{RunState, UndoStatus};
use crate::transport::{Probe, ProbeEnd, Reader, TransportError};

/// How long a node may take to list or to hand over its copies.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lists the copies: run, number of the first record.
const LIST: &str = r#"cd -- "$rg_runs" 2>/dev/null || exit 0
for rg_copy in */journal/[0-9]*; do
  case ${rg_copy##*/} in (*[!0-9]*) ;; (*) printf '%s\n' "$rg_copy" ;; esac
done"#;

/// A run as the nodes keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name on the nodes: the run's and its token.
    pub key: String,
    /// Lines of its journal by their numbers. Of several that differ the one that most nodes have.
    pub lines: BTreeMap<u64, String>,
    /// Who has any of them.
    pub nodes: BTreeSet<NodeName>,
}

impl Kept {
    /// The journal: lines without a gap, from the first on.
    pub fn journal(&self) -> String {
        let dense = (0..).zip(&self.lines).take_while(|(at, (number, _))| at == *number);
        dense.map(|(_, (_, line))| line.as_str()).collect()
    }
}

/// Everything that nodes keep of runs, and who could not be asked.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The runs, by their names on the nodes.
    pub runs: Vec<Kept>,
    /// Nodes that did not answer, and why.
    pub silent: Vec<(NodeName, Failure)>,
}

/// Asks nodes for their copies, all at the same time. `scratch` is a private directory for what is fetched.
pub async fn gather<O: Opens>(site: &Site<O>, nodes: &[NodeName], scratch: &Path) -> Gathered {
    let asked = nodes.iter().map(|node| async move { (node, copies(site, node, scratch).await) });
    let mut seen: BTreeMap<String, BTreeMap<u64, BTreeMap<String, usize>>> = BTreeMap::new();
    let mut owners: BTreeMap<String, BTreeSet<NodeName>> = BTreeMap::new();
    let mut gathered = Gathered::default();
    for (node, copies) in futures_util::future::join_all(asked).await {
        match copies {
            Ok(copies) => {
                for (key, from, text) in copies {
                    owners.entry(key.clone()).or_default().insert(node.clone());
                    let lines = seen.entry(key).or_default();
                    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                    for (number, line) in (from..).zip(whole) {
                        *lines.entry(number).or_default().entry(line.to_owned()).or_default() += 1;
                    }
                }
            }
            Err(error) => gathered.silent.push((node.clone(), asking::unreachable(&error))),
        }
    }
    for (key, numbered) in seen {
        let most = |said: BTreeMap<String, usize>| said.into_iter().max_by_key(|(_, count)| *count);
        let lines = numbered.into_iter().filter_map(|(number, said)| Some((number, most(said)?.0))).collect();
        let nodes = owners.remove(&key).unwrap_or_default();
        gathered.runs.push(Kept { key, lines, nodes });
    }
    gathered
}

/// A step, or its undo, that was begun and whose end is in no journal; where it stands by its node's own account.
#[derive(Debug)]
pub struct UnderWay {
    /// Which.
    pub key: StepKey,
    /// Whether it is the undo.
    pub undo: bool,
    /// What the node says.
    pub standing: Result<Standing, Failure>,
}

/// Asks the nodes of a run for what is under way there.
pub async fn under_way<O: Opens>(site: &Site<O>, state: &RunState) -> Vec<UnderWay> {
    let begun = state.steps.iter().filter(|(_, step)| step.is_in_flight());
    let asked = begun.filter_map(|(key, step)| {
        let undo = matches!(step.undo, UndoStatus::Running | UndoStatus::Dangling);
        let attempt = if undo { step.undo_attempts } else { step.attempts };
        let job = scene::job(state, key, undo, attempt)?;
        let on = step.on.first()?.clone();
        Some(async move {
            let (job, on) = (&job, &on);
            let standing = site.pool.with(on, |session| async move { session.standing(job).await }).await;
            UnderWay {
                key: key.clone(),
                undo,
                standing: standing.map_err(|error| asking::unreachable(&error)),
            }
        })
    });
    futures_util::future::join_all(asked).await
}

/// One node's copies: run, number of the first record, text.
async fn copies<O: Opens>(
    site: &Site<O>,
    node: &NodeName,
    scratch: &Path,
) -> Result<Vec<(String, u64, String)>, TransportError> {
    let session = site.pool.session(node).await?;
    let runs = format!("{}/{}/runs", session.facts().root, site.plan.cluster);
    let probe = Probe {
        script: LIST.to_owned(),
        shell: Shell::Sh,
        env: BTreeMap::from([("rg_runs".to_owned(), runs.clone())]),
        secrets: BTreeMap::new(),
        become_with: asking::become_on(site, node),
    };
    let batch = [probe];
    let replies = session.probe(&batch, PATIENCE).await?;
    let listed = match replies.first() {
        Some(reply) if reply.end == (ProbeEnd::Exited { code: 0 }) => reply.stdout.text(),
        _ => String::new(),
    };
    let mut copies = Vec::new();
    for (at, name) in listed.lines().enumerate() {
        let Some((key, from)) = name.split_once("/journal/") else { continue };
        let (Ok(from), true) = (from.parse(), is_key(key)) else { continue };
        let to = scratch.join(format!("{node}.{at}"));
        session.get(&format!("{runs}/{name}"), &to, PATIENCE).await?;
        let read = std::fs::read_to_string(&to);
        // Whether it can be removed or not: the directory goes as a whole.
        let _ = std::fs::remove_file(&to);
        // What is no text is no journal; another node has one.
        copies.extend(read.ok().map(|text| (key.to_owned(), from, text)));
    }
    Ok(copies)
}

/// Whether a directory's name, as a node tells it, can be that of a run.
fn is_key(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(run, token)| {
        token.len() == 8
            && token.chars().all(|c| c.is_ascii_hexdigit())
            && run.starts_with(|c: char| c.is_ascii_digit())
            && run.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_run_can_be_called_is_one() {
        for good in ["2026-11-21.1-00c0ffee", "2026-11-21.12-9f3c2a1b"] {
            assert!(is_key(good), "{good}");
        }
        for bad in
            ["", "..", "-00c0ffee", "../x-00c0ffee", "2026-11-21.1-00c0ffe", "a-00c0ffee", "1/2-00c0ffee"]
        {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_gap_ends_the_journal() {
        let lines = [(0, "a\n"), (1, "b\n"), (3, "d\n")].map(|(number, line)| (number, line.to_owned()));
        let kept = Kept { key: String::new(), lines: lines.into(), nodes: BTreeSet::new() };
        assert_eq!(kept.journal(), "a\nb\n");
    }
}
