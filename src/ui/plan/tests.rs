use super::super::ink::paint;
use super::super::sample;
use jiff::tz::TimeZone;

use super::*;
use crate::model::window::{Fate, Standing};

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
fn nothing_is_wider_than_the_screen() {
    let (plan, prospects) = (sample::plan(), prospects());
    let window = window();
    for width in [40, 80, 100, 200] {
        for line in lines(&face(width), &moment(), &plan, &prospects, Some(&window)) {
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
