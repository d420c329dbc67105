//! What a node went through, in words: `stopped once, 22 min`, `verify "version" failed once, repeated by anna`.

use crate::model::history::{NodeHistory, Then};
use crate::model::state::RunState;

use super::super::{run, words};

/// The words, a part for each kind of trouble.
pub(super) fn words(state: &RunState, history: &NodeHistory) -> Vec<String> {
    let mut parts = Vec::new();
    if history.stops > 0 {
        parts.push(format!("stopped {}, {}", times(history.stops), words::total(history.stood)));
    }
    for failure in &history.failures {
        let then = failure.then.iter().map(|then| match then {
            Then::Repeated => ", repeated".to_owned(),
            Then::RepeatedBy(who) => format!(", repeated by {who}"),
            Then::TakenAsDoneBy(who) => format!(", taken as done by {who}"),
        });
        let then: String = then.collect();
        let title = run::title_of(state, &failure.key);
        parts.push(format!("{title} failed {}{then}", times(failure.times)));
    }
    parts
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}
