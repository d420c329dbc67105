//! `rollgate report`: a run as a document for the change ticket, or as a bundle of all there is.

mod bundle;
mod columns;
mod evidence;
mod output;

use std::path::{Path, PathBuf};

use super::context::Context;
use super::files::Files;
use super::refusal::Refusal;
use super::runs::{exit_of, recorded};
use crate::cli::{Report as Flags, ReportFormat};
use crate::engine::secrets::{Ask, Secrets};
use crate::exit::Exit;
use crate::report::{Facts, Report};
use crate::ui::document;
use crate::ui::moment::Moment;
use crate::ui::terminal::Format;
use columns::Columns;
use output::{Reserved, Target};

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
    let reserved = Reserved::of(&files, &run)?;
    let target = |path: &Path| Target::new(context, path, &reserved);
    let target = flags.bundle.as_ref().or(file.as_ref()).map(|path| target(path)).transpose()?;
    let holder = cluster.holder()?;
    let is_ours =
        |holder: &crate::journal::Holder| holder.run.as_ref().is_none_or(|held| *held == run.state.run);
    let at_work = run.state.end.is_none() && holder.as_ref().is_some_and(is_ours);
    let (secrets, unknown) = Secrets::fetch_some(
        &run.state.plan.secrets,
        &Ask { env: &|name| std::env::var(name).ok(), prompt: None },
    );
    let mask = |text: &str| secrets.mask(text);
    let moment = Moment::current();
    let (bytes, journal) = evidence::journal(&run, at_work)?;
    let facts = Facts {
        state: &run.state,
        records: &run.records,
        moment: &moment,
        at_work,
        exit: run.state.end.as_ref().map(exit_of).map(|exit| (exit.number(), exit.meaning())),
        files: evidence::sources(&files, &run.state.plan),
        journal,
        unknown_secrets: unknown.iter().map(ToString::to_string).collect(),
        mask: &mask,
    };
    let report = Report::of(&facts);
    let text = match (format, &target) {
        (_, Some(target)) if flags.bundle.is_some() => {
            let packed = bundle::bundle(&run, &bytes, &facts, &report, &secrets)?;
            return target.write(context, &packed, true);
        }
        (ReportFormat::Html, _) => report.html(),
        (ReportFormat::Svg, _) => report.svg(),
        (ReportFormat::Text, _) => {
            report.text(&Columns { unicode: target.is_none() && context.style.out.unicode })
        }
        (ReportFormat::Json, _) => document::text(&report.json()),
    };
    match target {
        None => super::print(&text),
        Some(target) => target.write(context, text.as_bytes(), false),
    }
}

fn cluster_name(files: &Files) -> &str {
    files.loaded.inventory.cluster.as_str()
}

/// Where the report goes, and as what.
fn destination(context: &Context, flags: &Flags) -> Result<(Option<PathBuf>, ReportFormat), Refusal> {
    if flags.bundle.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Refusal::input("a bundle does not go to standard output")
            .help("name a file for it; a file that is called - is ./-")
            .next(context.command(&["report", "--bundle", "run.tar.gz"], "all that is known, in one file"))
            .standing("nothing was written"));
    }
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
