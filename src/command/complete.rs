//! What a shell offers at the tab key beyond flags: the names of this cluster's nodes, groups, gates and runs.
//! Only files of this machine are read, no program is run, and where something is wrong nothing is offered: an
//! error in the middle of a command line that is being typed helps nobody.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::context::{self, Context};
use super::man;
use super::runs::recorded;
use crate::cli::Cli;
use crate::config::{self, Loaded};
use crate::journal::ClusterDir;
use crate::model::event::{Decided, Settlement};
use crate::model::host::Connection;
use crate::ui::escape;

/// Answers the shell and ends, when it is a shell that asks: `COMPLETE=bash rollgate -- WORDS`. Without words
/// it gets the script by which it asks.
pub fn when_asked() {
    CompleteEnv::with_factory(command).complete();
}

/// The command line with what can be offered for its values.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|verb| verb.mut_args(with_names))
}

/// A flag's values by the flag's name, in whichever verb it stands.
fn with_names(arg: clap::Arg) -> clap::Arg {
    let offers: fn() -> Option<Vec<Offer>> = match arg.get_id().as_str() {
        "limit" => || Some(places(&loaded()?)),
        "pause_after" => || Some(nodes(&loaded()?)),
        "confirm" => || Some(vec![Offer::new(loaded()?.inventory.cluster.to_string())]),
        "overrides" => || Some(gates(&loaded()?)),
        "decisions" => decisions,
        "run" | "adopt" => runs,
        "page" => || Some(man::pages().into_iter().map(|page| Offer::new(page.name)).collect()),
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| candidates(typed, offers)))
}

/// A value, and what is said of it.
struct Offer {
    value: String,
    about: String,
}

impl Offer {
    fn new(value: String) -> Self {
        Self { value, about: String::new() }
    }
}

/// What goes on from what was typed. A `!` that leaves nodes out stays in front.
fn candidates(typed: &OsStr, offers: impl Fn() -> Option<Vec<Offer>>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().replace('\\', "");
    let (mark, begun) = match typed.strip_prefix('!') {
        Some(begun) => ("!", begun),
        None => ("", typed.as_str()),
    };
    let is_whole = |text: &str| escape::line(text.as_bytes(), false) == text;
    let fits = offers().unwrap_or_default().into_iter().filter(|offer| offer.value.starts_with(begun));
    // A shell writes them to the terminal as they are.
    fits.filter(|offer| is_whole(&offer.value))
        .map(|offer| {
            let about = (!offer.about.is_empty()).then(|| escape::line(offer.about.as_bytes(), false).into());
            CompletionCandidate::new(format!("{mark}{}", word(&offer.value))).help(about)
        })
        .collect()
}

/// A value as the shell takes it. bash puts it in as it is, the others quote it themselves.
fn word(value: &str) -> String {
    let is_bash = std::env::var_os("_CLAP_COMPLETE_COMP_TYPE").is_some();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=/".contains(c);
    if !is_bash {
        return value.to_owned();
    }
    value.chars().fold(String::new(), |mut word, c| {
        if !is_plain(c) {
            word.push('\\');
        }
        word.push(c);
        word
    })
}

/// The files of the cluster that the command line is about.
fn loaded() -> Option<Loaded> {
    let path = inventory()?;
    let facts = path.metadata().ok()?;
    // An inventory that is a program may take long and reach anywhere.
    let is_text = facts.is_file() && facts.permissions().mode() & 0o111 == 0;
    is_text.then(|| config::load(&path).ok()).flatten()
}

/// The inventory that the words say, else the environment, else the usual places.
fn inventory() -> Option<PathBuf> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let named = named_inventory(&words).or_else(|| std::env::var_os("ROLLGATE_INVENTORY").map(PathBuf::from));
    match named.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => Some(at_home(&path)),
        None => context::places().into_iter().find(|place| place.exists()),
    }
}

/// The value of `-i` among the words of a command line.
fn named_inventory(words: &[OsString]) -> Option<PathBuf> {
    words.iter().enumerate().find_map(|(at, word)| {
        let word = word.to_str()?;
        match word {
            "-i" | "--inventory" => words.get(at + 1).map(PathBuf::from),
            word => {
                let long = word.strip_prefix("--inventory=");
                let value = long.or_else(|| word.strip_prefix("-i").filter(|_| !word.starts_with("--")));
                value.map(PathBuf::from)
            }
        }
    })
}

/// A shell has not yet put the home directory in.
fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    }
}

fn nodes(loaded: &Loaded) -> Vec<Offer> {
    let nodes = loaded.inventory.nodes.iter();
    nodes
        .map(|node| Offer {
            value: node.name.to_string(),
            about: match &node.connection {
                Connection::Ssh(target) => target.host.clone(),
                Connection::Local => "this machine".to_owned(),
            },
        })
        .collect()
}

/// Nodes, then groups.
fn places(loaded: &Loaded) -> Vec<Offer> {
    let mut places = nodes(loaded);
    places.extend(loaded.inventory.groups.iter().map(|group| {
        let count = loaded.inventory.nodes.iter().filter(|node| node.groups.contains(&group.name)).count();
        let about = format!("group: {}", crate::ui::words::count(count, "node"));
        Offer { value: group.name.to_string(), about }
    }));
    places
}

fn gates(loaded: &Loaded) -> Vec<Offer> {
    let mut gates: Vec<Offer> = loaded.procedure.gates().map(|gate| Offer::new(format!("{gate}="))).collect();
    gates.dedup_by(|one, other| one.value == other.value);
    gates
}

fn cluster() -> Option<ClusterDir> {
    Some(Context::state_dir().ok()?.cluster(&loaded()?.inventory.cluster))
}

/// Recorded runs, the latest first.
fn runs() -> Option<Vec<Offer>> {
    let runs = cluster()?.runs().ok()?;
    Some(runs.iter().rev().map(|run| Offer::new(run.id().to_string())).collect())
}

/// Every answer for every step whose end nobody saw.
fn decisions() -> Option<Vec<Offer>> {
    let latest = recorded(&cluster()?, None).ok()??;
    let answers = |(key, undo): (crate::model::plan::StepKey, bool)| {
        [Settlement::Done, Settlement::NotDone, Settlement::Failed].map(|verdict| {
            let decided = Decided { key: key.clone(), undo, verdict, why: None };
            Offer::new(decided.to_string())
        })
    };
    Some(latest.state.undecided().into_iter().flat_map(answers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        named_inventory(&words).map(|path| path.display().to_string())
    }

    #[test]
    fn the_inventory_of_the_line_counts() {
        for line in [
            "rollgate start -i a.yaml -l",
            "rollgate --inventory a.yaml start",
            "rollgate start --inventory=a.yaml",
            "rollgate -ia.yaml status",
        ] {
            assert_eq!(named(line).as_deref(), Some("a.yaml"), "{line}");
        }
        assert_eq!(named("rollgate start -l db"), None);
        assert_eq!(named("rollgate start -i"), None);
    }
}
