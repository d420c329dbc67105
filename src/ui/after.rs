//! What follows from how an invocation ended: the commands to type next, what is still in force, and what
//! giving up now would mean.

use crate::model::event::{Decided, Goal, Halt, RunEnd, Settlement, Stop};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;
use crate::model::planner::way_back;
use crate::model::procedure::Action;
use crate::model::state::{RunState, RunStatus};

use super::next::Next;
use super::run;
use super::words;

pub use super::run::outstanding;

/// Nodes that are named one by one.
const NAMED: usize = 6;

/// The commands that make sense now. `program` is how this one was called: `rollgate`, and the global flags that
/// every command needs again.
pub fn next(state: &RunState, program: &[&str]) -> Vec<Next> {
    let command = |words: &[&str], note: &str| Next::new(&[program, words].concat(), note);
    let status = || command(&["status"], "where everything stands");
    match state.status() {
        RunStatus::Staged => vec![
            command(&["start"], "upgrade, stopping at every gate"),
            command(&["unstage"], "remove what was staged"),
        ],
        RunStatus::RolledBack if state.is_open() => vec![
            status(),
            command(&["start", "--resume"], "upgrade what was rolled back again"),
            command(&["unstage"], "leave it so, and end the run"),
        ],
        RunStatus::Finished => {
            vec![
                command(&["report", "-f", &report_file(state)], "the run as one page, for the ticket"),
                status(),
            ]
        }
        RunStatus::RolledBack => vec![status()],
        RunStatus::Unstaged => vec![command(&["stage"], "begin anew")],
        RunStatus::Working | RunStatus::Waiting | RunStatus::RollingBack => {
            vec![command(&["status", "--watch"], "look on")]
        }
        RunStatus::Stopped | RunStatus::Failed => stopped(state, program),
    }
}

/// The file that a report goes to: named after the ticket, else after the run. A ticket may have any name; one
/// that could lead elsewhere is none for a file.
fn report_file(state: &RunState) -> String {
    let fits = |change: &&String| {
        change.starts_with(|c: char| c.is_ascii_alphanumeric())
            && change.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let change = state.request.change.as_ref().or(state.opened.change.as_ref()).filter(fits);
    format!("{}.html", change.unwrap_or(&state.run.0))
}

/// The same for `status` itself, which does not send anybody to `status`.
pub fn next_of_status(state: &RunState, program: &[&str]) -> Vec<Next> {
    let mut next = next(state, program);
    next.retain(|next| next.argv.last().is_none_or(|word| word != "status"));
    if state.status() == RunStatus::Finished && state.no_return().is_none() {
        let done = changed_nodes(state);
        if !done.is_empty() {
            let note = format!("take {} back", words::list_some(&done, NAMED));
            next.push(Next::new(&[program, &["rollback"]].concat(), &note));
        }
    }
    next
}

/// The words that go on with a run: the verb, and what it takes where nobody can be asked.
pub fn resuming(state: &RunState) -> Vec<&str> {
    let cluster = state.plan.cluster.as_str();
    let (mut resume, unattended) = match state.request.goal {
        Goal::Staged => (vec!["stage"], vec![]),
        Goal::Finished | Goal::RolledBack(_) => {
            (vec!["start", "--resume"], vec!["--yes", "--confirm", cluster])
        }
        Goal::Unstaged => (vec!["unstage"], vec!["--yes"]),
    };
    if !state.request.attended {
        resume.extend(unattended);
    }
    resume
}

fn stopped(state: &RunState, program: &[&str]) -> Vec<Next> {
    let command = |words: &[&str], note: &str| Next::new(&[program, words].concat(), note);
    let Some(RunEnd::Stopped(stop)) = &state.end else { return Vec::new() };
    let node = stop.key.as_ref().map(|key| &key.node).filter(|node| !node.is_operator());
    let resume = resuming(state);
    let forward = state.request.goal == Goal::Finished;
    let on = |note: &str| command(&resume, note);
    let mut next = match stop.halt {
        Halt::GateClosed if resume[0] != "start" => vec![on("wait for the gate again")],
        Halt::GateClosed => vec![
            on("wait for the gate again"),
            command(&[&resume[..], &["--gate-timeout", "2h"]].concat(), "wait longer"),
        ],
        Halt::WindowClosed => vec![
            on("go on, once the window is open for long enough"),
            command(&[&resume[..], &["--override", "window=REASON"]].concat(), "go on all the same"),
        ],
        Halt::NoAnswer if forward && state.request.attended => vec![on("ask again")],
        Halt::NoAnswer => match done_by_hand(state, stop) {
            Some(answer) => {
                vec![command(&[&resume[..], &["--override", &answer]].concat(), "once somebody has done it")]
            }
            None => vec![on("pass gates as they open")],
        },
        Halt::LimitReached => vec![on("go on with the other nodes")],
        Halt::CheckFailed => vec![on("go on, once the check holds")],
        Halt::Unreachable => vec![command(&["check"], "reach every node"), on("go on")],
        Halt::Input => vec![command(&["check"], "look for mistakes"), on("go on")],
        Halt::Held => held(state, &resume, program),
        Halt::UndoFailed | Halt::RollbackFailed => {
            vec![on("try it again"), command(&["status"], "what is still in force")]
        }
        Halt::Unknown | Halt::Killed => {
            vec![on("ask the nodes what became of it, then go on"), command(&["status"], "what is known")]
        }
        Halt::UpgradeFailed | Halt::VerifyFailed => vec![on("try the step again, then go on")],
        Halt::Local | Halt::DrainFailed | Halt::Interrupted => vec![on("go on")],
    };
    if resume[0] == "start" {
        next.splice(1..1, decisions(state, &[program, &resume[..]].concat()));
    }
    let way_back = state.has_started() && state.no_return().is_none();
    if way_back && !matches!(state.request.goal, Goal::RolledBack(_)) {
        if let Some(node) = node.filter(|_| stop.halt >= Halt::UpgradeFailed) {
            next.push(command(&["rollback", "-l", node.as_str()], &before(state, node)));
        }
        let done = changed_nodes(state);
        if !done.is_empty() && stop.halt < Halt::UpgradeFailed {
            next.push(command(&["rollback"], &format!("take {} back", words::list_some(&done, NAMED))));
        }
    }
    if !state.has_started() && forward && stop.halt != Halt::Held {
        next.push(command(&["unstage"], "remove what was staged"));
    }
    next
}

/// What says that a step was done by hand, where nothing else can tell.
fn done_by_hand(state: &RunState, stop: &Stop) -> Option<String> {
    let (_, planned) = state.plan.find(&stop.key.as_ref()?.step)?;
    match &planned.step()?.action {
        Action::Manual(manual) if manual.check.is_none() => Some(format!("{}=REASON", planned.gate_name()?)),
        _ => None,
    }
}

/// What a human may say of each step whose end nobody knows, as it is typed: every answer for the first,
/// then one for each of a few others.
fn decisions(state: &RunState, resume: &[&str]) -> Vec<Next> {
    const OTHERS: usize = 2;
    let answer = |(key, undo): &(StepKey, bool), verdict, note: &str| {
        let decided = Decided { key: key.clone(), undo: *undo, verdict, why: None }.to_string();
        Next::new(&[resume, &["--decide", &decided]].concat(), note)
    };
    let unknown = state.unknown();
    let Some((first, others)) = unknown.split_first() else { return Vec::new() };
    let mut next = vec![
        answer(first, Settlement::Done, "you know that it was done: go on with what follows"),
        answer(first, Settlement::NotDone, "you know that it was not: do it again"),
        answer(first, Settlement::Failed, "you know that it failed"),
    ];
    for (number, other) in others.iter().take(OTHERS).enumerate() {
        let left = others.len() - number - 1;
        let more =
            if number + 1 == OTHERS && left > 0 { format!(", and for {left} more") } else { String::new() };
        next.push(answer(other, Settlement::Done, &format!("likewise for {}{more}", other.0.node)));
    }
    next
}

/// What to do about somebody else's lock: wait for him, look, and only where he seems gone, break it.
fn held(state: &RunState, resume: &[&str], program: &[&str]) -> Vec<Next> {
    let command = |words: &[&str], note: &str| Next::new(&[program, resume, words].concat(), note);
    let mut next = Vec::new();
    let status = Next::new(&[program, &["status"]].concat(), "who holds which node, and where it stands");
    let Some((_, fence)) = &state.refused else {
        return vec![status, command(&["--lock-wait", "10m"], "go on, once the other one lets go")];
    };
    if fence.ended.is_none() {
        next.push(command(&["--lock-wait", "10m"], "wait for it, ten minutes at most"));
    }
    next.push(status);
    if fence.is_stale() && fence.holds() {
        let note = "take it all the same, once you know that nobody works there";
        next.push(command(&["--break-lock", "REASON"], note));
    }
    next
}

fn before(state: &RunState, node: &NodeName) -> String {
    state
        .versions
        .get(node)
        .map_or_else(|| format!("take {node} back"), |versions| format!("back to {}", versions.before))
}

/// The nodes that a rollback would take back, in the order of the inventory; none where it is refused.
fn changed_nodes(state: &RunState) -> Vec<&str> {
    let turns = way_back(state, None).unwrap_or_default();
    let nodes = state.plan.nodes.iter().map(|node| &node.name);
    nodes.filter(|node| turns.iter().any(|turn| turn.node == **node)).map(NodeName::as_str).collect()
}

/// What giving up now would mean, one sentence for each fact.
pub fn aborting(state: &RunState) -> Vec<String> {
    if !state.is_open() {
        return Vec::new();
    }
    if !state.has_started() {
        return vec!["no node was changed; unstage removes what was staged".to_owned()];
    }
    let mut facts = Vec::new();
    let (mut done, mut midway, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
    for node in run::nodes_of(state) {
        let touched = state.turns.keys().any(|turn| turn.node == *node && state.has_changed(turn));
        match (run::is_done(state, node), touched) {
            (true, _) => done.push(node.as_str()),
            (false, true) => midway.push(node.as_str()),
            (false, false) => untouched.push(node.as_str()),
        }
    }
    let verb = |nodes: &[&str], one: &str, many: &str| {
        let word = if nodes.len() == 1 { one } else { many };
        format!("{} {word}", words::list_some(nodes, NAMED))
    };
    if !done.is_empty() {
        let version = state.plan.to.as_deref().map(|to| format!(" on {to}")).unwrap_or_default();
        facts.push(format!("{}{version}", verb(&done, "stays", "stay")));
    }
    if !midway.is_empty() {
        facts.push(verb(
            &midway,
            "is left in the middle of its turn",
            "are left in the middle of their turns",
        ));
    }
    if !untouched.is_empty() {
        facts.push(verb(&untouched, "is untouched", "are untouched"));
    }
    let changes = outstanding(state);
    if !changes.is_empty() {
        facts.push(format!("undone first: {}", words::list(&changes)));
    }
    match state.no_return() {
        Some(text) => facts.push(format!("no rollback: the point of no return is passed ({text})")),
        None if !(done.is_empty() && midway.is_empty()) => {
            facts.push("rollback leads back to the versions before".to_owned());
        }
        None => {}
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::event::{Event, Outcome, Stop};
    use crate::model::plan::Section;

    fn stopped_with(halt: Halt) -> RunState {
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let stop = Stop { halt, why: "mq-02: queue depth: stayed closed".into(), key: Some(key.clone()) };
        events.push((500, Event::StopRequested { stop: stop.clone() }));
        events.push((500, Event::StepEnded { key, attempt: 1, outcome: Outcome::Interrupted }));
        events.push((500, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
        sample::state(events)
    }

    fn commands(state: &RunState) -> Vec<String> {
        next(state, &["rollgate", "-i", "a b.yaml"]).iter().map(Next::command).collect()
    }

    #[test]
    fn every_stop_has_a_way_out() {
        for halt in [
            Halt::LimitReached,
            Halt::Local,
            Halt::Input,
            Halt::GateClosed,
            Halt::WindowClosed,
            Halt::NoAnswer,
            Halt::CheckFailed,
            Halt::Unreachable,
            Halt::Held,
            Halt::DrainFailed,
            Halt::Interrupted,
            Halt::UndoFailed,
            Halt::UpgradeFailed,
            Halt::VerifyFailed,
            Halt::Unknown,
            Halt::RollbackFailed,
            Halt::Killed,
        ] {
            let commands = commands(&stopped_with(halt));
            assert!(
                commands.iter().any(|command| command.contains("start --resume")),
                "{halt:?}: {commands:?}"
            );
        }
    }

    #[test]
    fn a_closed_gate_can_be_waited_for_longer() {
        assert_eq!(
            commands(&stopped_with(Halt::GateClosed)),
            [
                "rollgate -i 'a b.yaml' start --resume",
                "rollgate -i 'a b.yaml' start --resume --gate-timeout 2h",
                "rollgate -i 'a b.yaml' rollback",
            ]
        );
    }

    #[test]
    fn a_failed_node_can_be_taken_back_alone() {
        let next = next(&stopped_with(Halt::UpgradeFailed), &["rollgate"]);
        assert_eq!(next[1].command(), "rollgate rollback -l mq-02");
        assert_eq!(next[1].note, "back to 3.13.6");
    }

    #[test]
    fn what_nobody_knows_is_decided_by_a_command_for_each_answer() {
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let outcome = Outcome::Unknown { why: "the node was booted".into(), rebooted: true };
        let stop = Stop { halt: Halt::Unknown, why: "mq-02: queue depth".into(), key: Some(key.clone()) };
        let effect = sample::key("mq-02", Section::Drain, 1);
        events.push((500, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done }));
        events.push((500, Event::UndoStarted { key: effect.clone(), attempt: 1 }));
        events.push((501, Event::UndoEnded { key: effect.clone(), attempt: 1, outcome }));
        events.push((502, Event::StopRequested { stop: stop.clone() }));
        events.push((502, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
        let commands = commands(&sample::state(events));
        let decide = format!("rollgate -i 'a b.yaml' start --resume --decide {effect}.undo=");
        assert_eq!(commands[0], "rollgate -i 'a b.yaml' start --resume");
        assert_eq!(commands[1..4], ["done", "retry", "fail"].map(|word| format!("{decide}{word}")));
    }

    #[test]
    fn without_a_terminal_the_flags_are_named() {
        let mut state = stopped_with(Halt::NoAnswer);
        state.request.attended = false;
        assert_eq!(commands(&state)[0], "rollgate -i 'a b.yaml' start --resume --yes --confirm mq-prod");
    }

    #[test]
    fn a_finished_run_is_reported_under_the_name_of_its_ticket() {
        let mut state = sample::state(sample::events());
        state.end = Some(RunEnd::Finished);
        let offered = |state: &RunState| commands(state)[0].clone();
        assert_eq!(offered(&state), "rollgate -i 'a b.yaml' report -f CHG-20418.html");
        for change in ["../CHG", "-x", "a b"] {
            state.request.change = Some(change.to_owned());
            assert_eq!(offered(&state), "rollgate -i 'a b.yaml' report -f 2026-11-21.1.html", "{change}");
        }
    }

    #[test]
    fn giving_up_is_spelled_out() {
        assert_eq!(
            aborting(&stopped_with(Halt::GateClosed)),
            [
                "mq-01 stays on 3.13.7",
                "mq-02 is left in the middle of its turn",
                "mq-03 is untouched",
                "undone first: mq-02: drain \"stop the receiver\"",
                "rollback leads back to the versions before",
            ]
        );
    }
}
