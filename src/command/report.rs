//! `rollgate report`: a run as a document for the change ticket, or as a bundle of all there is.

mod bundle;
mod columns;
mod output;

use std::path::{Path, PathBuf};

use super::context::Context;
use super::files::Files;
use super::refusal::Refusal;
use super::runs::{Recorded, exit_of, recorded};
use crate::cli::{Report as Flags, ReportFormat};
use crate::config::{Source, without_secrets};
use crate::engine::secrets::Secrets;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::model::plan::Plan;
use crate::report::{Facts, FileFact, JournalFact, Report};
use crate::transport::hash_file;
use crate::ui::document;
use crate::ui::moment::Moment;
use crate::ui::terminal::Format;
use columns::Columns;
use output::Target;

pub(super) fn run(context: &Context, flags: &Flags) -> Result<Exit, Refusal> {
    let (file, format) = destination(context, flags)?;
    let files = Files::read(context)?;
    let cluster = Context::state_dir()?.cluster(&files.loaded.inventory.cluster);
    let Some(run) = recorded(&cluster, flags.run.as_ref())? else {
        return Err(Refusal::input(format!(
            "no run of {} is recorded on this machine",
            cluster_name(&files)
        ))
        .help("a run is recorded by the machine that works on it; status --from-nodes asks the nodes")
        .next(context.command(&["start", "--dry-run"], "the plan, and every gate reading"))
        .standing("nothing was written"));
    };
    let holder = cluster.holder()?;
    let is_ours =
        |holder: &crate::journal::Holder| holder.run.as_ref().is_none_or(|held| *held == run.state.run);
    let at_work = run.state.end.is_none() && holder.as_ref().is_some_and(is_ours);
    let (secrets, unknown) = Secrets::fetch_some(&run.state.plan.secrets, |name| std::env::var(name).ok());
    let mask = |text: &str| secrets.mask(text);
    let moment = Moment::current();
    let facts = Facts {
        state: &run.state,
        records: &run.records,
        moment: &moment,
        at_work,
        exit: run.state.end.as_ref().map(exit_of).map(|exit| (exit.number(), exit.meaning())),
        files: sources(&run.state.plan),
        journal: journal(&run)?,
        unknown_secrets: unknown.iter().map(ToString::to_string).collect(),
        mask: &mask,
    };
    let report = Report::of(&facts);
    if let Some(path) = &flags.bundle {
        let target = Target::new(context, path)?;
        let packed = bundle::bundle(&run, &facts, &report, &secrets)?;
        return target.write(context, &packed, true);
    }
    let text = match format {
        ReportFormat::Html => report.html(),
        ReportFormat::Svg => report.svg(),
        ReportFormat::Text => report.text(&Columns { unicode: file.is_none() && context.style.out.unicode }),
        ReportFormat::Json => document::text(&report.json()),
    };
    match file {
        None => super::print(&text),
        Some(path) => Target::new(context, &path)?.write(context, text.as_bytes(), false),
    }
}

fn cluster_name(files: &Files) -> &str {
    files.loaded.inventory.cluster.as_str()
}

/// Where the report goes, and as what.
fn destination(context: &Context, flags: &Flags) -> Result<(Option<PathBuf>, ReportFormat), Refusal> {
    let file = flags.file.as_ref().filter(|file| file.as_os_str() != "-").cloned();
    let by_style = match context.style.format {
        Format::Json => ReportFormat::Json,
        Format::Human | Format::Plain => ReportFormat::Text,
    };
    let format = match (flags.format, &file) {
        (Some(format), _) => format,
        (None, None) => by_style,
        (None, Some(file)) => by_ending(file).ok_or_else(|| {
            Refusal::input(format!("the ending of {} says no format", file.display()))
                .help("endings: .html, .svg, .txt, .json; --format says it for any other name")
                .next(context.command(&["report", "-f", "report.html"], "one page for the change ticket"))
                .standing("nothing was written")
        })?,
    };
    Ok((file, format))
}

fn by_ending(file: &Path) -> Option<ReportFormat> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "html" | "htm" => Some(ReportFormat::Html),
        "svg" => Some(ReportFormat::Svg),
        "txt" => Some(ReportFormat::Text),
        "json" => Some(ReportFormat::Json),
        _ => None,
    }
}

/// The files that the plan was made of, with their text where that is still the same.
fn sources(plan: &Plan) -> Vec<FileFact> {
    let sources = &plan.sources;
    let fact = |role, path: &Path, sha256: &str| {
        let source = Source::read(path).ok().filter(|source| source.sha256() == sha256);
        let text = source.map(|source| without_secrets(source.text()));
        FileFact { role, path: path.to_owned(), sha256: sha256.to_owned(), text }
    };
    let mut facts = vec![fact("inventory", &sources.inventory, &sources.inventory_sha256)];
    // A procedure that is written in the inventory is no file of its own.
    if sources.procedure != sources.inventory {
        facts.push(fact("procedure", &sources.procedure, &sources.procedure_sha256));
    }
    facts
}

fn journal(run: &Recorded) -> Result<JournalFact, Refusal> {
    let path = run.dir.journal_path();
    let sum = Context::runtime()?.block_on(hash_file(&path)).map_err(|error| {
        Refusal::new(Exit::Broken, format!("{} cannot be read: {error}", path.display()))
            .standing("nothing was written")
    })?;
    let flaw = run.flaw.as_ref().map(|flaw| match flaw {
        JournalError::Damaged { .. } => "the journal is damaged: this is what precedes the damage".to_owned(),
        other => other.to_string(),
    });
    Ok(JournalFact { path, sha256: sum.sha256, flaw })
}
