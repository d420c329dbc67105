//! The runs of a cluster, the latest first, a row each: for eyes, for awk, and as one JSON document.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::model::duration::between;
use crate::model::name::ClusterName;

use super::document::{ROLLGATE, VERSION};
use super::ink::{Line, Tone};
use super::moment::Moment;
use super::next::{self, Next};
use super::status::{RunView, StatusView, run_object};
use super::table::Table;
use super::terminal::Face;
use super::words;

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its name.
    pub id: String,
    /// What is known of it; of a damaged journal what precedes the damage, if anything does.
    pub view: Option<StatusView>,
    /// Whether somebody works on it now.
    pub at_work: bool,
    /// The exit code that its stop stands for.
    pub exit_code: Option<u8>,
    /// One word for what is wrong with its journal, and the same in full.
    pub flaw: Option<(&'static str, String)>,
}

impl RunRow {
    fn run(&self) -> Option<&RunView> {
        self.view.as_ref()?.run.as_ref()
    }

    fn state(&self) -> &'static str {
        match (&self.flaw, self.run()) {
            (Some((word, _)), _) => word,
            (None, run) => run.map_or("unknown", |run| run.status),
        }
    }

    /// From its beginning to its end, to its latest record, or to now where somebody works on it.
    fn length(&self, moment: &Moment) -> Option<Duration> {
        let run = self.run()?;
        Some(between(run.started_at, if self.at_work { moment.now } else { run.latest_at }))
    }

    fn detail(&self) -> String {
        let mut parts: Vec<String> = self.flaw.iter().map(|(_, why)| why.clone()).collect();
        if let Some(run) = self.run().filter(|_| self.flaw.is_none()) {
            if !run.ended && !self.at_work {
                parts.push("no live controller: the rollgate that worked on it is gone".to_owned());
            }
            parts.extend(run.stop.iter().map(|stop| stop.why.clone()));
        }
        parts.join("; ")
    }
}

/// The list for eyes.
pub fn human(
    face: &Face,
    moment: &Moment,
    cluster: &ClusterName,
    rows: &[RunRow],
    next: &[Next],
) -> Vec<Line> {
    let count = if rows.is_empty() { "no run".to_owned() } else { words::count(rows.len(), "run") };
    let mut lines = vec![Line::new(face).tone(Tone::Strong, cluster.as_str()).text(&format!("  {count}"))];
    if !rows.is_empty() {
        lines.push(Line::new(face));
        let mut table = Table::new(2)
            .column("RUN")
            .if_room("KIND", 1)
            .column("STATE")
            .if_room("VERSIONS", 4)
            .if_room("NODES", 6)
            .if_room("BEGAN", 5)
            .if_room("LENGTH", 3)
            .if_room("BY", 2)
            .if_room("CHANGE", 4)
            .column("");
        for row in rows {
            table.row(cells(moment, row));
        }
        lines.extend(table.lines(face));
    }
    lines.push(Line::new(face));
    lines.extend(next::lines(face, next));
    lines
}

fn cells(moment: &Moment, row: &RunRow) -> Vec<(Tone, String)> {
    let run = row.run();
    let view = row.view.as_ref();
    let versions = view.map(|view| match (&view.from, &view.to) {
        (Some(from), Some(to)) => format!("{from} -> {to}"),
        (None, Some(to)) => format!("to {to}"),
        (from, None) => from.clone().unwrap_or_default(),
    });
    let nodes = view.filter(|view| !view.nodes.is_empty());
    let tone = match row.state() {
        "finished" | "rolled-back" | "unstaged" => Tone::Text,
        "failed" | "damaged" | "unreadable" => Tone::Bad,
        _ => Tone::Wait,
    };
    vec![
        (Tone::Strong, row.id.clone()),
        (Tone::Text, run.map(|run| run.kind.to_owned()).unwrap_or_default()),
        (tone, row.state().to_owned()),
        (Tone::Text, versions.unwrap_or_default()),
        (
            Tone::Text,
            nodes.map(|view| format!("{} of {}", view.done(), view.nodes.len())).unwrap_or_default(),
        ),
        (Tone::Dim, run.map(|run| moment.short(run.started_at)).unwrap_or_default()),
        (Tone::Text, row.length(moment).map(words::total).unwrap_or_default()),
        (Tone::Text, run.map(|run| run.by.user.clone()).unwrap_or_default()),
        (Tone::Text, run.and_then(|run| run.change.clone()).unwrap_or_default()),
        (Tone::Dim, row.detail()),
    ]
}

/// The stable form: ASCII, no blanks inside a field but the last, `-` for nothing, ISO times, seconds. New columns
/// only before the last one.
pub fn plain(moment: &Moment, rows: &[RunRow]) -> Vec<Line> {
    let word = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").replace(' ', "_");
    let mut table = Table::new(0);
    for title in
        ["RUN", "KIND", "STATE", "FROM", "TO", "DONE", "TOTAL", "BEGAN", "SECONDS", "BY", "CHANGE", "DETAIL"]
    {
        table = table.column(title);
    }
    for row in rows {
        let run = row.run();
        let view = row.view.as_ref();
        let count =
            |count: fn(&StatusView) -> usize| word(view.map(|view| count(view).to_string()).as_deref());
        let by = run.map(|run| format!("{}@{}", run.by.user, run.by.host));
        let cells = [
            row.id.clone(),
            word(run.map(|run| run.kind)),
            row.state().to_owned(),
            word(view.and_then(|view| view.from.as_deref())),
            word(view.and_then(|view| view.to.as_deref())),
            count(StatusView::done),
            count(|view| view.nodes.len()),
            word(run.map(|run| moment.iso(run.started_at)).as_deref()),
            word(row.length(moment).map(|length| length.as_secs().to_string()).as_deref()),
            word(by.as_deref()),
            word(run.and_then(|run| run.change.as_deref())),
            Some(row.detail()).filter(|detail| !detail.is_empty()).unwrap_or_else(|| "-".to_owned()),
        ];
        table.row(cells.into_iter().map(|cell| (Tone::Text, cell)).collect());
    }
    table.lines(&Face::PLAIN)
}

/// The document.
pub fn document(moment: &Moment, cluster: &ClusterName, rows: &[RunRow]) -> Json {
    let row_object = |row: &RunRow| {
        let mut object = match (&row.view, row.run()) {
            (Some(view), Some(run)) => run_object(moment, view, run, row.exit_code),
            _ => json!({ "id": row.id }),
        };
        object["from"] = json!(row.view.as_ref().and_then(|view| view.from.as_ref()));
        object["to"] = json!(row.view.as_ref().and_then(|view| view.to.as_ref()));
        object["state"] = json!(row.state().replace('-', "_"));
        object["at_work"] = json!(row.at_work);
        object["seconds"] = json!(row.length(moment).map(|length| length.as_secs_f64()));
        object["flaw"] = json!(row.flaw.as_ref().map(|(_, why)| why));
        object
    };
    json!({
        "format": "rollgate/runs",
        "format_version": VERSION,
        "rollgate": ROLLGATE,
        "read_at": moment.iso(moment.now),
        "cluster": cluster,
        "runs": rows.iter().map(row_object).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::ink::paint;
    use super::super::sample;
    use super::super::status::Circumstances;
    use super::*;

    fn rows() -> Vec<RunRow> {
        let view = StatusView::of_run(&sample::state(sample::events()), &Circumstances::default());
        let damaged = ("damaged", "the journal is damaged at line 3".to_owned());
        vec![
            RunRow {
                id: "2026-11-21.1".into(),
                view: Some(view),
                at_work: true,
                exit_code: None,
                flaw: None,
            },
            RunRow {
                id: "2026-11-20.2".into(),
                view: None,
                at_work: false,
                exit_code: None,
                flaw: Some(damaged),
            },
        ]
    }

    fn moment() -> Moment {
        Moment { now: sample::at(600), zone: TimeZone::UTC }
    }

    #[test]
    fn columns_are_stable_and_nothing_is_a_dash() {
        assert_eq!(
            paint(&Face::PLAIN, &plain(&moment(), &rows())),
            "\
RUN           KIND     STATE    FROM    TO      DONE  TOTAL  BEGAN                      SECONDS  BY              CHANGE     DETAIL
2026-11-21.1  upgrade  working  3.13.6  3.13.7  1     3      2026-11-21T08:14:02+00:00  600      anna@bastion-1  CHG-20418  -
2026-11-20.2  -        damaged  -       -       -     -      -                          -        -               -          the journal is damaged at line 3
"
        );
    }

    #[test]
    fn eyes_get_what_fits() {
        let cluster = sample::plan().cluster;
        let next = [Next::new(&["rollgate", "status"], "the latest in full")];
        for width in [40, 80, 100, 200] {
            let face = Face { color: false, unicode: true, width: Some(width) };
            let lines = human(&face, &moment(), &cluster, &rows(), &next);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
        }
        let face = Face { color: false, unicode: true, width: Some(130) };
        assert_eq!(
            paint(&face, &human(&face, &moment(), &cluster, &rows(), &next)),
            "\
mq-prod  2 runs

  RUN           KIND     STATE    VERSIONS          NODES   BEGAN  LENGTH  BY    CHANGE
  2026-11-21.1  upgrade  working  3.13.6 -> 3.13.7  1 of 3  08:14  10 min  anna  CHG-20418
  2026-11-20.2           damaged                                                            the journal is damaged at line 3

next: rollgate status  # the latest in full
"
        );
    }

    #[test]
    fn programs_get_objects() {
        let document = document(&moment(), &sample::plan().cluster, &rows());
        let pick = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("no {path}")).clone();
        assert_eq!(pick("/format"), "rollgate/runs");
        assert_eq!(pick("/runs/0/counts/done"), 1);
        assert_eq!(pick("/runs/0/to"), "3.13.7");
        assert_eq!(pick("/runs/0/seconds"), 600.0);
        assert_eq!(pick("/runs/1/state"), "damaged");
        assert_eq!(pick("/runs/1/flaw"), "the journal is damaged at line 3");
    }
}
