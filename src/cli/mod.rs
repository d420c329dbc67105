//! What can be typed: the verbs, their flags and their help. What a verb does stands in `command`.

mod approve;
mod completions;
mod detach;
mod groups;
mod init;
mod report;
mod schema;
mod status;
mod values;
mod version;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::model::event::{Decided, RunId};
use crate::model::name::NodeName;

pub use approve::Approve;
pub use completions::{Completions, Shell};
pub use detach::Detach;
pub use groups::{Consent, Limit, Lock};
pub use init::Init;
pub use report::{Report, ReportFormat};
pub use schema::{Described, Schema};
pub use status::Status;
pub use values::Override;
use values::{duration_with_unit, run_id};

const GLOBAL: &str = "Global options";

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "rollgate",
    version,
    about = "Gated rolling upgrades of clustered nodes over SSH",
    max_term_width = 100,
    subcommand_value_name = "COMMAND",
    after_help = "\
Examples:
  rollgate init mq-01 mq-02 > rollgate.yaml   write a file to begin with
  rollgate start --dry-run                    show the plan and every gate reading

Exit codes: 0 done, 2 your input, 1x stopped with the cluster whole, 2x a node needs you.
See rollgate(1), rollgate-inventory(5), rollgate-procedure(5)."
)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli {
    /// Reads the command line of this process, a program that was built of `commit`, where that is known.
    pub fn of_process(commit: Option<&str>) -> Result<Self, clap::Error> {
        let mut command = Self::command().long_version(version::long(commit));
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Flags that every verb takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Global {
    /// Inventory file (default: ./rollgate.yaml, then the user and system one)
    #[arg(short, long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    #[arg(env = "ROLLGATE_INVENTORY", hide_env = true)]
    pub inventory: Option<PathBuf>,

    /// Output style; auto is human on a terminal, plain elsewhere
    #[arg(short, long, global = true, value_name = "STYLE", help_heading = GLOBAL)]
    #[arg(env = "ROLLGATE_OUTPUT", hide_env = true, default_value = "auto", hide_default_value = true)]
    pub output: Output,

    /// Use colour
    #[arg(long, global = true, value_name = "WHEN", help_heading = GLOBAL)]
    #[arg(default_value = "auto", hide_default_value = true)]
    pub color: Color,

    /// Never ask; stop where an answer would be needed
    #[arg(long, global = true, help_heading = GLOBAL)]
    #[arg(env = "ROLLGATE_NO_INPUT", hide_env = true, value_parser = FalseyValueParser::new())]
    pub no_input: bool,

    /// Use files that others could have changed
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub allow_insecure_files: bool,

    /// Say less (errors and the last line only)
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more (what begins, what was read and captured)
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The styles of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// Human on a terminal, plain elsewhere.
    #[default]
    #[value(help = None)]
    Auto,
    /// For the eye.
    #[value(help = None)]
    Human,
    /// One fact a line, ASCII: pipes, cron, screen readers.
    #[value(help = None)]
    Plain,
    /// One document, or one event per line.
    #[value(help = None)]
    Json,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, as the environment says.
    #[default]
    #[value(help = None)]
    Auto,
    /// Everywhere.
    #[value(help = None)]
    Always,
    /// Nowhere.
    #[value(help = None)]
    Never,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Copy and verify the new version on every node; nothing restarts
    #[command(after_help = "\
Examples:
  rollgate stage               copy what is missing to every node
  rollgate stage -l db-3       only to this node
  rollgate stage --parallel 1  one node after the other

Exit codes: 0, 1, 2, 11, 12, 13, 14, 16, 20, 22, 24; see rollgate(1).")]
    Stage(Stage),

    /// Upgrade the nodes batch by batch, stopping at every gate
    #[command(after_help = "\
Examples:
  rollgate start --dry-run           show the plan and every gate reading
  rollgate start --resume            go on with the run that stopped
  rollgate start --yes --confirm mq-prod
                                     without a terminal: pass gates that open

Exit codes: 0, 1, 2, 10 to 17, 19 to 24; see rollgate(1).")]
    Start(Start),

    /// Show what each node runs and where the current run stands
    #[command(after_help = "\
Examples:
  rollgate status                the latest run, and the version on each node
  rollgate status --watch        again every 5 seconds until the run ends
  rollgate status --list         every run of the cluster, the latest first
  rollgate status 2026-11-21.1   an earlier run
  rollgate status -o json        one document, for a program

Exit codes: 0, 1, 2, 12; with --detailed-exitcode 10 to 24; see rollgate(1).")]
    Status(Status),

    /// Stop a run safely, undo what is temporary, remove what was staged
    #[command(after_help = "\
Examples:
  rollgate unstage             ask, then stop and clean up
  rollgate unstage --yes       do not ask

Exit codes: 0, 1, 2, 11 to 14, 16, 17, 22, 24; see rollgate(1).")]
    Unstage(Unstage),

    /// Put nodes back on the version they ran before
    #[command(after_help = "\
Examples:
  rollgate rollback            every node that was changed, the last one first
  rollgate rollback -l db-2    only this one
  rollgate start --resume      go on with a rollback that stopped

Exit codes: 0, 1, 2, 10 to 14, 16, 17, 22 to 24; see rollgate(1).")]
    Rollback(Rollback),

    /// Check the files, SSH access and tools; change nothing
    #[command(after_help = "\
Examples:
  rollgate check                       lint the files, then reach every node
  rollgate check --syntax-only         the files only: editors, pre-commit, CI
  rollgate check -i ./mq-prod.yaml     another cluster

Exit codes: 0, 1, 2, 12, 13; see rollgate(1).")]
    Check(Check),

    /// Answer a gate or question that waits, from any terminal
    Approve(Approve),

    /// Write a run's report: HTML, SVG, text, JSON, or a bundle
    Report(Report),

    /// Print a commented starter inventory
    #[command(after_help = init::AFTER)]
    Init(Init),

    /// Print the JSON schema of an inventory or procedure, for editors
    #[command(after_help = schema::AFTER)]
    Schema(Schema),

    /// Print a shell completion script
    #[command(after_help = completions::AFTER)]
    Completions(Completions),

    /// Show a manual page; print its source off a terminal
    #[command(after_help = "\
Examples:
  rollgate man                   read rollgate(1)
  rollgate man procedure         how a procedure is written
  rollgate man start > start.1   the source of a page

Exit codes: 0, 1, 2; see rollgate(1).")]
    Man(Man),
}

/// Flags of `stage`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Stage {
    /// Which nodes.
    #[command(flatten)]
    pub limit: Limit,

    /// Nodes to copy to at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,

    /// Ticket or change number for the journal and the report
    #[arg(long, value_name = "ID", env = "ROLLGATE_CHANGE", hide_env = true)]
    pub change: Option<String>,

    /// Somebody else's lock.
    #[command(flatten)]
    pub lock: Lock,
}

/// Flags of `start`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Start {
    /// Which nodes.
    #[command(flatten)]
    pub limit: Limit,

    /// Run pre-checks and read every gate, change nothing
    #[arg(short = 'n', long, conflicts_with = "detach")]
    pub dry_run: bool,

    /// With --dry-run: exit 19 when an upgrade is pending and could start
    #[arg(long, requires = "dry_run")]
    pub detailed_exitcode: bool,

    /// Go on with the run that stopped
    #[arg(long, conflicts_with = "dry_run")]
    pub resume: bool,

    /// With --resume: take over a run from what its nodes keep
    #[arg(long, value_name = "RUN", requires = "resume", value_parser = run_id)]
    pub adopt: Option<RunId>,

    /// With --resume: settle an unknown step: done, retry, fail[:WHY]
    #[arg(long = "decide", value_name = "STEP=VERDICT", requires = "resume")]
    pub decisions: Vec<Decided>,

    /// How it is agreed to.
    #[command(flatten)]
    pub consent: Consent,

    /// Open one closed gate, or the window; journaled (repeatable)
    #[arg(long = "override", value_name = "GATE=REASON")]
    pub overrides: Vec<Override>,

    /// Give up waiting for a gate after this long, such as 30m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration_with_unit)]
    pub gate_timeout: Option<Duration>,

    /// Stop at a safe point after this node
    #[arg(long, value_name = "NODE", value_parser = NodeName::parse)]
    pub pause_after: Option<NodeName>,

    /// Whether it goes on without the terminal.
    #[command(flatten)]
    pub detach: Detach,

    /// Somebody else's lock.
    #[command(flatten)]
    pub lock: Lock,
}

/// Flags of `unstage`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Unstage {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Somebody else's lock.
    #[command(flatten)]
    pub lock: Lock,
}

/// Flags of `rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rollback {
    /// Which nodes.
    #[command(flatten)]
    pub limit: Limit,

    /// How it is agreed to.
    #[command(flatten)]
    pub consent: Consent,

    /// Whether it goes on without the terminal.
    #[command(flatten)]
    pub detach: Detach,

    /// Somebody else's lock.
    #[command(flatten)]
    pub lock: Lock,
}

/// Flags of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// Read the files only, do not connect
    #[arg(long)]
    pub syntax_only: bool,
}

/// Arguments of `man`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Man {
    /// The page, such as rollgate-start or rollgate-inventory
    #[arg(default_value = "rollgate")]
    pub page: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn refused(words: &[&str]) -> String {
        let error = Cli::try_parse_from([&["rollgate"], words].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn a_start_says_all_it_can() {
        let cli = Cli::try_parse_from([
            "rollgate",
            "start",
            "-i",
            "mq.yaml",
            "-nl",
            "db,!db-2",
            "-l",
            "web*",
            "--override",
            "queue depth=CHG 7 = agreed",
            "--override",
            "isolated=x",
            "--gate-timeout",
            "1h30m",
            "--pause-after",
            "db-1",
            "--change",
            "CHG-1",
            "-y",
            "--confirm",
            "mq-prod",
            "--detailed-exitcode",
            "-vv",
        ])
        .unwrap();
        assert_eq!(cli.global.inventory.as_deref(), Some(std::path::Path::new("mq.yaml")));
        assert_eq!(cli.global.verbose, 2);
        let Verb::Start(start) = cli.verb else { panic!("{:?}", cli.verb) };
        assert_eq!(start.limit.limit, ["db", "!db-2", "web*"]);
        assert_eq!(start.overrides[0].gate.as_str(), "queue depth");
        assert_eq!(start.overrides[0].reason, "CHG 7 = agreed");
        assert_eq!(start.overrides[1].gate.as_str(), "isolated");
        assert_eq!(start.gate_timeout, Some(Duration::from_mins(90)));
        assert_eq!(start.pause_after.unwrap().as_str(), "db-1");
        assert_eq!(start.consent.confirm.as_deref(), Some("mq-prod"));
        assert!(start.dry_run && start.detailed_exitcode && start.consent.yes && !start.resume);
    }

    #[test]
    fn global_flags_stand_before_or_behind_the_verb() {
        assert_eq!(parsed("rollgate -o json status").global, parsed("rollgate status -o json").global);
        assert_eq!(parsed("rollgate status").global.output, Output::Auto);
        assert!(parsed("rollgate check --no-input").global.no_input);
    }

    #[test]
    fn watch_has_a_pace_of_its_own() {
        let watch = |line| match parsed(line).verb {
            Verb::Status(status) => status.watch,
            other => panic!("{other:?}"),
        };
        assert_eq!(watch("rollgate status"), None);
        assert_eq!(watch("rollgate status -w"), Some(5));
        assert_eq!(watch("rollgate status --watch 2"), Some(2));
        assert_eq!(watch("rollgate status 2026-11-21.1 -w"), Some(5));
        assert_eq!(watch("rollgate status --watch --offline"), Some(5));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_out() {
        for (words, expected) in [
            (&["start", "--detailed-exitcode"][..], "--dry-run"),
            (&["start", "--dryrun"], "a similar argument exists: '--dry-run'"),
            (&["-o", "jsn", "status"], "a similar value exists: 'json'"),
            (&["strat"], "similar subcommands exist: 'stage', 'status', 'start'"),
            (&["start", "--override", "isolated"], "write GATE=REASON"),
            (&["start", "--override", "isolated= "], "the reason is empty"),
            (&["start", "--override", "=x"], "a step name is needed here"),
            (&["start", "--gate-timeout", "30"], "the unit is missing"),
            (&["start", "--gate-timeout", "0s"], "30m, 1h30m"),
            (&["start", "--lock-wait", "10"], "the unit is missing"),
            (&["unstage", "--break-lock", " "], "the reason is empty"),
            (&["start", "--pause-after", "db 1"], "cannot be a node name"),
            (&["status", "--watch", "0"], "1..=3600"),
            (&["status", "latest"], "such as 2026-11-21.1"),
            (&["stage", "--parallel", "0"], "1..=256"),
            (&["status", "-q", "-v"], "cannot be used with"),
        ] {
            let message = refused(words);
            assert!(message.contains(expected), "{words:?}: {message}");
        }
    }
}
