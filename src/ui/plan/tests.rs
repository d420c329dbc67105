use jiff::tz::TimeZone;

use super::super::ink::paint;
use super::super::sample;
use super::*;
use crate::model::window::Fate;

fn prospects() -> Prospects {
    let closed = {
        let mut reading = sample::reading(4812.0, 0);
        reading.remedy = Some("see the processor log".into());
        reading
    };
    ["mq-01", "mq-02", "mq-03"]
        .into_iter()
        .map(|name| {
            let mut prospect = Prospect {
                version: Some("3.13.6".into()),
                staged: Some(true),
                prechecks: vec![sample::reading(3.0, 0)],
                gates: vec![("queue depth".into(), vec![sample::reading(12.0, 0)])],
                ..Prospect::default()
            };
            if name == "mq-02" {
                prospect.gates[0].1 = vec![closed.clone()];
                prospect.done_already.push("drain \"stop the receiver\"".into());
            }
            (sample::node(name), prospect)
        })
        .collect()
}

fn moment() -> Moment {
    Moment { now: sample::at(0), zone: TimeZone::UTC }
}

/// It opens in three hours, and two of three nodes are done in it.
fn window() -> WindowView {
    let fates = [("mq-01", Fate::Inside), ("mq-02", Fate::Inside), ("mq-03", Fate::Later)];
    let opens = sample::at(3 * 3600).to_zoned(TimeZone::get("Europe/Madrid").unwrap());
    WindowView {
        hours: "Sat 12:14 to Sun 04:00 (Europe/Madrid)".into(),
        standing: Standing::Closed { opens: Some(opens) },
        fates: fates.map(|(name, fate)| (sample::node(name), fate)).to_vec(),
    }
}

fn face(width: usize) -> Face {
    Face { color: false, unicode: true, width: Some(width) }
}

#[test]
fn the_plan_says_who_when_and_what() {
    let text = paint(&face(100), &lines(&face(100), &moment(), &sample::plan(), &prospects(), None));
    assert_eq!(
        text,
        "\
mq-prod  3.13.6 -> 3.13.7   3 nodes   brokers                            /etc/rollgate/rollgate.yaml

  #  NODE   RUNS    STAGED  PRE-CHECKS   GATES
  1  mq-01  3.13.6  yes     1 of 1 hold  queue depth
  2  mq-02  3.13.6  yes     1 of 1 hold  queue depth (closed now)
  3  mq-03  3.13.6  yes     1 of 1 hold  queue depth

brokers, each node: drain \"stop the receiver\" (at most 30m, undone after the node) -> gate \"queue
                    depth\" (at most 30m) -> upgrade \"install\" (at most 30m) -> check \"cluster sees 3
                    nodes\"
  mq-01, mq-02 and mq-03; one at a time; stops at the first failure

You are asked at every gate. Ctrl-C stops at a safe point.
"
    );
}

#[test]
fn a_dry_run_puts_the_problems_first() {
    let (plan, prospects) = (sample::plan(), prospects());
    let moment = moment();
    let next = [Next::new(&["rollgate", "start"], "")];
    let dry =
        DryRun { plan: &plan, prospects: &prospects, refused: &[], window: None, exit_code: 0, next: &next };
    let text = paint(&Face::PLAIN, &dry_run(&Face::PLAIN, &moment, &dry));
    assert_eq!(
            text,
            "\
DRY RUN mq-prod -> 3.13.7  Sat 2026-11-21 08:14 +00:00  nothing was changed
RESULT  would start; 1 of 3 gates closed (exit 0)

PROBLEMS
  mq-02  gate \"queue depth\": queue depth 4812, needs <= 100
         see the processor log

DONE ALREADY
  mq-02  drain \"stop the receiver\"

PLAN
  1  mq-01  3.13.6  staged  pre-checks 1 of 1 hold  gates 1 of 1 open
  2  mq-02  3.13.6  staged  pre-checks 1 of 1 hold  gates 0 of 1 open
  3  mq-03  3.13.6  staged  pre-checks 1 of 1 hold  gates 1 of 1 open
brokers, each node: drain \"stop the receiver\" (at most 30m, undone after the node) -> gate \"queue depth\" (at most 30m) -> upgrade \"install\" (at most 30m) -> check \"cluster sees 3 nodes\"
  mq-01, mq-02 and mq-03; one at a time; stops at the first failure

not tried in a dry run: drain and upgrade (they change something)
rollgate 0.1.0, inventory /etc/rollgate/rollgate.yaml sha256 3f9a41c0
next: rollgate start
"
        );
}

#[test]
fn nothing_is_wider_than_the_screen() {
    let (plan, prospects) = (sample::plan(), prospects());
    let moment = moment();
    let refused = ["a 3-on-1 appliance cannot be rolled".to_owned()];
    let window = window();
    for width in [40, 80, 100, 200] {
        let dry = DryRun {
            plan: &plan,
            prospects: &prospects,
            refused: &refused,
            window: Some(&window),
            exit_code: 12,
            next: &[],
        };
        let shown = lines(&face(width), &moment, &plan, &prospects, Some(&window)).into_iter();
        for line in shown.chain(dry_run(&face(width), &moment, &dry)) {
            assert!(line.width() <= width, "{width}: {line:?}");
        }
    }
}

#[test]
fn the_plan_shows_the_window_and_how_long_it_took_the_last_time() {
    let mut prospects = prospects();
    prospects[0].1.last_time = Some(Duration::from_mins(9));
    let text = paint(&face(100), &lines(&face(100), &moment(), &sample::plan(), &prospects, Some(&window())));
    for line in [
        "  #  NODE   RUNS    STAGED  PRE-CHECKS   GATES                     LAST TIME",
        "  1  mq-01  3.13.6  yes     1 of 1 hold  queue depth               9 min",
        "Window: Sat 12:14 to Sun 04:00 (Europe/Madrid); closed until Sat 12:14 (Europe/Madrid), 3h from now",
        "  once it opens, mq-01 and mq-02 would be done before it closes",
        "  mq-03 would be left for another opening",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line:?} in:\n{text}");
    }
}

#[test]
fn a_dry_run_says_what_the_window_means() {
    let (plan, prospects, window) = (sample::plan(), prospects(), window());
    let dry = DryRun {
        plan: &plan,
        prospects: &prospects[..1],
        refused: &[],
        window: Some(&window),
        exit_code: 0,
        next: &[],
    };
    let text = paint(&Face::PLAIN, &dry_run(&Face::PLAIN, &moment(), &dry));
    assert!(text.contains("RESULT  would start once the window opens (exit 0)\n"), "{text}");
    assert!(text.contains("\nWINDOW\n  Sat 12:14 to Sun 04:00 (Europe/Madrid); closed until "), "{text}");
    let object = window.object(&moment());
    assert_eq!(object["open"], false);
    assert_eq!(object["opens_at"], "2026-11-21T11:14:02+00:00");
    assert_eq!(object["nodes"]["mq-03"], "later");
}
