//! Thousands of nodes: what is asked of each record and of each node does not look through all the others.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::builder::*;
use super::simulator::epoch;
use crate::model::event::{Event, Outcome, Record, RunEnd, RunId, TurnEnd};
use crate::model::stand::Stand;
use crate::model::state::RunState;

const NODES: usize = 3_000;
const STEPS: usize = 5;

/// Ten times what it takes a debug build; when each batch looked through all nodes it took 9.5 s.
const LIMIT: Duration = Duration::from_secs(6);

fn records() -> Vec<Record> {
    let names: Vec<String> = (1..=NODES).map(|number| format!("n{number}")).collect();
    let phase = rolling("all", |phase| {
        phase.upgrade = (1..=STEPS).map(|number| run(&format!("step{number}"))).collect();
    });
    let plan = plan(&names.join(" "), vec![phase]);
    let steps: Vec<_> = plan.phases[0].steps.iter().map(|step| step.id.clone()).collect();
    let (run, token) = (RunId("r.1".to_owned()), "00c0ffee".to_owned());
    let opened = Event::RunOpened { run, token, plan: Box::new(plan), request: finish() };
    let mut events = vec![opened, Event::PhaseStarted { phase: 0 }];
    for (batch, name) in names.iter().enumerate() {
        let turn = turn(0, name);
        events.push(Event::BatchFormed { phase: 0, batch, nodes: vec![node(name)], last: Vec::new() });
        for id in &steps {
            let key = turn.key(id);
            events.push(Event::StepStarted { key: key.clone(), attempt: 1, on: vec![node(name)] });
            events.push(Event::StepEnded { key, attempt: 1, outcome: Outcome::Done });
        }
        events.push(Event::TurnEnded { turn, end: TurnEnd::Done });
    }
    events.extend([Event::PhaseEnded { phase: 0 }, Event::RunClosed { verdict: RunEnd::Finished }]);
    let numbered = (0..).zip(events);
    numbered.map(|(seq, event)| Record { seq, at: epoch() + SignedDuration::from_secs(1), event }).collect()
}

#[test]
fn a_long_journal_is_folded_and_every_node_looked_at() {
    let records = records();
    let begun = Instant::now();
    let state = RunState::replay(&records).unwrap().unwrap();
    let stands = state.plan.nodes.iter().map(|node| Stand::of(&state, &node.name));
    assert_eq!(stands.filter(|stand| *stand == Stand::Done).count(), NODES);
    assert!(begun.elapsed() < LIMIT, "{} records took {:?}", records.len(), begun.elapsed());
}
