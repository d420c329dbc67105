//! The stable form of a status, for awk and screen readers.

use crate::model::window::Outside;

use super::super::ink::{Line, Tone};
use super::super::moment::Moment;
use super::super::run;
use super::super::table::Table;
use super::super::terminal::Face;
use super::{QuestionView, StatusView, broken};

/// The stable form: ASCII, no blanks inside a field but the last, `-` for nothing, ISO times. New columns only
/// before the last one.
pub fn plain(moment: &Moment, view: &StatusView, exit_code: Option<u8>) -> Vec<Line> {
    let face = &Face::PLAIN;
    let word = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").replace(' ', "_");
    let run = view.run.as_ref();
    let mut lines = vec![Line::of(
        face,
        &format!(
            "cluster {} from {} to {} run {} state {} done {} total {} change {}",
            view.cluster,
            word(view.from.as_deref()),
            word(view.to.as_deref()),
            word(run.map(|run| run.id.as_str())),
            word(run.map(|run| run.status)),
            view.done(),
            view.nodes.len(),
            word(run.and_then(|run| run.change.as_deref())),
        ),
    )];
    lines.extend(view.notes.iter().map(|text| Line::new(face).tone(Tone::Wait, text)));
    let mut table = Table::new(0);
    for title in ["NODE", "ROLE", "VERSION", "STAGED", "STATE", "SINCE", "DETAIL"] {
        table = table.column(title);
    }
    for node in &view.nodes {
        let roles = if node.roles.is_empty() { &node.groups } else { &node.roles };
        let state = if node.observed.reachable == Some(false) { "unreachable" } else { node.stand.code() };
        let cells = [
            node.name.to_string(),
            word(Some(&roles.join(","))),
            word(node.version.as_deref()),
            word(node.staged.map(|staged| if staged { "yes" } else { "no" })),
            state.to_owned(),
            word(node.since.map(|since| moment.iso(since)).as_deref()),
            if node.detail.is_empty() { "-".to_owned() } else { node.detail.clone() },
        ];
        table.row(cells.into_iter().map(|cell| (Tone::Text, cell)).collect());
    }
    lines.extend(table.lines(face));
    if let Some(run) = run {
        if let Some(stop) = &run.stop {
            let exit = exit_code.map(|code| format!("exit {code}, ")).unwrap_or_default();
            lines.push(Line::of(face, &format!("stopped: {exit}{}", stop.why)));
        }
        let waiting = QuestionView::sentences(run, |at| moment.iso(at)).into_iter();
        lines.extend(waiting.map(|text| Line::of(face, &format!("waits-for-an-answer: {text}"))));
        lines
            .extend(run.broke.iter().map(|found| Line::of(face, &format!("lock-broken: {}", broken(found)))));
        let outside = run.outside.iter().map(Outside::sentence);
        lines.extend(outside.map(|why| Line::of(face, &format!("outside-window: {why}"))));
        if let Some(left) = run.left {
            lines.push(Line::of(face, &format!("left: {}", run::left(left))));
        }
        let armed = run.armed.iter().map(|armed| armed.sentence(moment));
        lines.extend(armed.map(|text| Line::of(face, &format!("armed: {text}"))));
        lines.extend(run.outstanding.iter().map(|change| Line::of(face, &format!("in-force: {change}"))));
        lines.extend(run.aborting.iter().map(|fact| Line::of(face, &format!("giving-up: {fact}"))));
    }
    if let Some(window) = &view.window {
        lines.push(Line::of(face, &format!("window: {}", window.words_iso(moment))));
    }
    for next in &view.next {
        lines.push(Line::of(face, &format!("next: {}", next.command())));
    }
    lines
}
