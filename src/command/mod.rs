//! One short file per verb: flags become a request, the engine does it, and the end is an exit code.

mod adopt;
mod approve;
pub mod askpass;
mod check;
pub mod complete;
pub mod completions;
mod context;
mod detach;
mod dry_run;
mod files;
mod init;
mod insecure;
mod invocation;
mod list;
mod login;
pub mod man;
mod notify;
mod program;
mod refusal;
mod report;
mod rollback;
mod runs;
pub mod schema;
mod stage;
mod start;
mod status;
mod unrecorded;
mod unstage;
mod watch;
mod window;

use std::io::{IsTerminal as _, Write as _};
use std::process::Stdio;

use clap::CommandFactory as _;
use serde_json::Value as Json;

use crate::cli::{Cli, Verb};
use crate::exit::Exit;
use crate::transport::child;
use crate::ui::document::{self, Problem};
use crate::ui::error;
use crate::ui::ink::paint;
use crate::ui::next::Next;
use crate::ui::terminal::{Restore, Style, Wishes};
use crate::ui::write;
use context::Context;
use refusal::{Refusal, suggested};

/// Runs one verb.
pub fn run(cli: &Cli) -> Exit {
    no_core_dumps();
    let is_background = detach::is_background();
    let mut context = Context::of(&cli.global, is_background);
    if matches!(cli.verb, Verb::Completions(_) | Verb::Man(_)) {
        context.print_text();
    }
    let _restore = Restore::on_drop(&context.style);
    let done = match &cli.verb {
        Verb::Start(_) | Verb::Rollback(_) if is_background => detach::take_over(&context),
        Verb::Stage(flags) => stage::run(&context, flags),
        Verb::Start(flags) => start::run(&context, flags),
        Verb::Status(flags) => status::run(&context, flags),
        Verb::Unstage(flags) => unstage::run(&context, flags),
        Verb::Rollback(flags) => rollback::run(&context, flags),
        Verb::Approve(flags) => approve::run(&context, flags),
        Verb::Check(flags) => check::run(&context, flags),
        Verb::Init(flags) => init::run(&context, flags),
        Verb::Schema(flags) => print(&schema::text(flags.of)),
        Verb::Report(flags) => report::run(&context, flags),
        Verb::Completions(flags) => print(&completions::script(flags.shell)),
        Verb::Man(flags) => match man::find(&flags.page) {
            Ok(page) if std::io::stdout().is_terminal() => read(&page.text),
            Ok(page) => print(&page.text),
            Err(pages) => Err(Refusal::input(format!("there is no page `{}`", flags.page))
                .help(suggested(
                    &format!("rollgate-{}", flags.page),
                    "pages",
                    &pages.iter().map(String::as_str).collect::<Vec<_>>(),
                ))
                .next(context.command(&["man"], "the first page"))),
        },
    };
    done.unwrap_or_else(|refusal| refusal.show(&context))
}

/// Ends where the command line is none: with help or the version that was asked for, else with what is wrong
/// and the command that says what is right.
pub fn unparsed(unfit: &clap::Error) -> Exit {
    if !unfit.use_stderr() {
        // Nothing can be told to anybody when the stream is closed.
        let _ = unfit.print();
        return Exit::Done;
    }
    let known = Cli::command();
    let verb = std::env::args().skip(1).find(|word| known.find_subcommand(word).is_some());
    let words: Vec<&str> = ["rollgate"].into_iter().chain(verb.as_deref()).chain(["--help"]).collect();
    let next = Next::new(&words, "every flag, with examples");
    let face = &Style::detect(&Wishes::default()).err;
    let text = unfit.render().to_string();
    write::to_stderr(&paint(face, &error::rendered(face, text.trim_end(), std::slice::from_ref(&next))));
    if wants_a_document() {
        let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let help = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
        let error = Problem {
            exit_code: Exit::Input.number(),
            error: what.to_owned(),
            help: help.map(str::to_owned).collect(),
            next: vec![next],
            ..Problem::default()
        };
        // Nothing can be told to anybody when the stream is closed.
        let _ = print(&error.line());
    }
    Exit::Input
}

/// Whether a command line that is none asks for JSON all the same: whoever reads it is a program.
fn wants_a_document() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let pair = words.windows(2).any(|pair| matches!(&*pair[0], "-o" | "--output") && pair[1] == "json");
    let joined = words.iter().any(|word| matches!(&**word, "-ojson" | "-o=json" | "--output=json"));
    pair || joined || std::env::var("ROLLGATE_OUTPUT").is_ok_and(|style| style == "json")
}

/// Prints a document for a program.
fn print_document(document: &Json) -> Result<Exit, Refusal> {
    print(&document::text(document))
}

fn print(text: &str) -> Result<Exit, Refusal> {
    let mut stdout = write::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Refusal::new(Exit::Broken, format!("standard output cannot be written: {error}")))?;
    Ok(Exit::Done)
}

/// Has man(1) show a page at a terminal; where there is no man its source is better than nothing.
fn read(page: &str) -> Result<Exit, Refusal> {
    let man = child::command("man").args(["--local-file", "-"]).stdin(Stdio::piped()).spawn();
    let Ok(mut man) = man else { return print(page) };
    if let Some(mut stdin) = man.stdin.take() {
        // A reader who quits early has seen enough.
        let _ = stdin.write_all(page.as_bytes());
    }
    let _ = man.wait();
    Ok(Exit::Done)
}

/// Secrets are in this process: a crash must not write them to a disk.
fn no_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Where the system does not let it, there is nothing else to do.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A system that hands dumps to a program does so without a limit; and the environment that rollgate was called
    // with, with secrets of `env:` in it, is root's alone to read as long as this holds.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
