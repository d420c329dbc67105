//! What every verb needs: the flags that all share, how output looks, who is asking.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing_subscriber::EnvFilter;

use super::refusal::Refusal;
use crate::cli::{Color, Global, Lock, Output};
use crate::engine::keyring::Keyring;
use crate::engine::secrets::{Masked, Secrets};
use crate::exit::Exit;
use crate::journal::{ClusterDir, ClusterLock, Holder, JournalError, RunDir, StateDir};
use crate::model::duration;
use crate::model::event::{LockTerms, Operator, RunId};
use crate::model::plan::Plan;
use crate::ui::ink::{Line, paint};
use crate::ui::narrate::Loudness;
use crate::ui::next::Next;
use crate::ui::terminal::{ColorChoice, Format, OutputChoice, Style, Wishes};
use crate::ui::write;

/// The surroundings of an invocation.
pub(super) struct Context {
    pub(super) style: Style,
    pub(super) loudness: Loudness,
    /// How this program is called again: its name and the flags that every call needs.
    pub(super) program: Vec<String>,
    pub(super) by: Operator,
    /// The command line, for the journal.
    pub(super) args: Vec<String>,
    /// Whether files are used that others could have changed.
    pub(super) allow_insecure_files: bool,
    /// What logins of this invocation are answered with.
    pub(super) keyring: Arc<Keyring>,
    /// Whether none of them may ask anybody any more.
    pub(super) asks_nobody: Cell<bool>,
    inventory: Option<PathBuf>,
}

impl Context {
    /// Those of this process. One that is `alone` has no terminal, whatever its streams are still connected to.
    pub(super) fn of(global: &Global, alone: bool) -> Self {
        let wishes = Wishes {
            output: match global.output {
                Output::Auto => OutputChoice::Auto,
                Output::Human => OutputChoice::Human,
                Output::Plain => OutputChoice::Plain,
                Output::Json => OutputChoice::Json,
            },
            color: match global.color {
                Color::Auto => ColorChoice::Auto,
                Color::Always => ColorChoice::Always,
                Color::Never => ColorChoice::Never,
            },
            no_input: global.no_input,
        };
        let style = if alone { Style::PLAIN } else { Style::detect(&wishes) };
        style.apply();
        let mut program = vec!["rollgate".to_owned()];
        if let Some(inventory) = &global.inventory
            && std::env::var_os("ROLLGATE_INVENTORY").is_none_or(|named| *inventory != *named)
        {
            program.extend(["-i".to_owned(), inventory.display().to_string()]);
        }
        if global.allow_insecure_files {
            program.push("--allow-insecure-files".to_owned());
        }
        Self {
            style,
            allow_insecure_files: global.allow_insecure_files,
            loudness: match (global.quiet, global.verbose) {
                (true, _) => Loudness::Quiet,
                (false, 0) => Loudness::Normal,
                (false, _) => Loudness::Verbose,
            },
            program,
            by: operator(),
            args: std::env::args().skip(1).collect(),
            keyring: Arc::default(),
            asks_nobody: Cell::new(false),
            inventory: global.inventory.clone(),
        }
    }

    /// A script or a manual page is a format of its own: `-o json` leaves it as it is.
    pub(super) fn print_text(&mut self) {
        if self.style.format == Format::Json {
            self.style.format = Format::Plain;
        }
    }

    /// Shows what is about to be done. Somebody who agreed beforehand and wants quiet need not read it.
    pub(super) fn announce(&self, agreed: bool, text: &str) {
        if !agreed || self.loudness > Loudness::Quiet {
            write::to_stderr(text);
        }
    }

    /// Says a sentence on standard error.
    pub(super) fn say(&self, text: &str) {
        let face = &self.style.err;
        write::to_stderr(&paint(face, &[Line::of(face, text)]));
    }

    /// A command to type next.
    pub(super) fn command(&self, words: &[&str], note: &str) -> Next {
        Next::new(&[&self.program(), words].concat(), note)
    }

    pub(super) fn program(&self) -> Vec<&str> {
        self.program.iter().map(String::as_str).collect()
    }

    /// How this program is called from anywhere on this machine, for that plan's cluster.
    pub(super) fn program_anywhere(&self, plan: &Plan) -> Vec<String> {
        let inventory = plan.sources.inventory.display().to_string();
        let insecure = self.allow_insecure_files.then(|| "--allow-insecure-files".to_owned());
        ["rollgate".to_owned(), "-i".to_owned(), inventory].into_iter().chain(insecure).collect()
    }

    /// The inventory: `-i`, else the first of the usual places.
    pub(super) fn inventory(&self) -> Result<PathBuf, Refusal> {
        if let Some(path) = &self.inventory {
            return Ok(path.clone());
        }
        let places = places();
        places.iter().find(|place| place.exists()).cloned().ok_or_else(|| {
            let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Refusal::input("there is no inventory")
                .help(format!("looked for {}", tried.join(", ")))
                .help(
                    "-i names another file; `rollgate init NODE... > rollgate.yaml` writes one to begin with",
                )
                .next(Next::new(&["rollgate", "man", "inventory"], "how to write one, with an example"))
                .standing("nothing was done")
        })
    }

    /// Where records are kept.
    pub(super) fn state_dir() -> Result<StateDir, Refusal> {
        Ok(StateDir::locate(|name| std::env::var_os(name), rustix::process::geteuid().is_root())?)
    }

    /// Who holds a cluster's lock from now on.
    pub(super) fn holder(&self, run: Option<RunId>, doing: &str) -> Holder {
        Holder { run, by: self.by.clone(), since: Timestamp::now(), doing: doing.to_owned() }
    }

    /// Takes the cluster on this machine, waiting for another rollgate here as long as the flags say, and
    /// says how its nodes are to be locked.
    pub(super) async fn lock(
        &self,
        cluster: &ClusterDir,
        doing: &str,
        flags: &Lock,
    ) -> Result<(ClusterLock, LockTerms), Refusal> {
        let begun = Instant::now();
        let patience = flags.lock_wait.unwrap_or_default();
        let mut is_told = false;
        let lock = loop {
            let refused = match cluster.lock(self.holder(None, doing)) {
                Ok(lock) => break lock,
                Err(error @ JournalError::Held { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            if begun.elapsed() >= patience {
                let mine = |words: &[&str], note: &str| self.command(&[&[doing], words].concat(), note);
                return Err(Refusal::from(refused)
                    .next(mine(&["--lock-wait", "10m"], "wait for it, ten minutes at most"))
                    .next(self.command(&["status", "--watch"], "look on"))
                    .standing("nothing was done"));
            }
            if !is_told {
                self.say(&format!("waiting {} at most: {refused}", duration::written(patience)));
                is_told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                _ = tokio::signal::ctrl_c() => {
                    return Err(Refusal::new(Exit::Stopped, "Ctrl-C while waiting for the cluster's lock")
                        .next(self.command(&["status", "--watch"], "look on"))
                        .standing("nothing was done"));
                }
            }
        };
        let mut terms = terms(cluster, flags)?;
        if is_told {
            terms.wait = flags.lock_wait.map(|wait| wait.saturating_sub(begun.elapsed()));
        }
        Ok((lock, terms))
    }

    /// The log for a bug report; it never reaches the terminal.
    pub(super) fn log_to(run: &RunDir, secrets: &Secrets) {
        let filter = std::env::var("ROLLGATE_LOG").unwrap_or_else(|_| "rollgate=debug".to_owned());
        let Ok(file) = run.open_debug_log() else { return };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            // A log that cannot be written is no news on a screen, and least of all once a line.
            .log_internal_errors(false)
            .with_writer(std::sync::Mutex::new(Masked::new(secrets.clone(), file)))
            .finish();
        // One process works on one run; a second subscriber would be refused, and the first one stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// The runtime of an invocation: one thread, for the work is on the nodes.
    pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Refusal> {
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Refusal::new(Exit::Broken, format!("this machine cannot start a runtime: {error}"))
        })
    }
}

/// Where an inventory is looked for that is not named.
pub(super) fn places() -> Vec<PathBuf> {
    let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = env("XDG_CONFIG_HOME").or_else(|| env("HOME").map(|home| home.join(".config")));
    [Some(PathBuf::from("rollgate.yaml"))]
        .into_iter()
        .chain([config.map(|config| config.join("rollgate/rollgate.yaml"))])
        .chain([Some(PathBuf::from("/etc/rollgate/rollgate.yaml"))])
        .flatten()
        .collect()
}

/// How an invocation locks its nodes. The caller holds the cluster on this machine.
pub(super) fn terms(cluster: &ClusterDir, flags: &Lock) -> Result<LockTerms, Refusal> {
    Ok(LockTerms { seat: cluster.seat()?, wait: flags.lock_wait, break_for: flags.break_lock.clone() })
}

/// The login that is at work; behind sudo the one who called it.
fn operator() -> Operator {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = env("SUDO_USER").or_else(|| env("LOGNAME")).or_else(|| env("USER")).unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        name_of(uid).unwrap_or_else(|| format!("uid {uid}"))
    });
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Operator { user, host, pid: std::process::id() }
}

/// The login name of a user id, where the system's own list has one: cron does not set `LOGNAME` everywhere.
fn name_of(uid: u32) -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
