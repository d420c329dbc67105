//! The way back.

use super::builder::*;
use super::simulator::{Simulation, World, simulate, take_back};
use crate::model::event::{Decision, FailureKind, Goal, Halt, Outcome, RunEnd};
use crate::model::host::Shell;
use crate::model::planner::{NoWayBack, way_back};
use crate::model::procedure::{BatchSize, Phase, Scope};
use crate::model::procedure::{Procedure, Script};
use crate::model::state::{RunStatus, TurnStatus};

fn written() -> Phase {
    let mut phase = rolling("all", |phase| phase.upgrade = vec![run("up")]);
    phase.rollback = vec![run("down"), check("old")];
    phase
}

fn undoable() -> Phase {
    rolling("all", |phase| {
        phase.precheck = vec![check("fit")];
        phase.drain = vec![run("stop").temporary(Scope::Node)];
        phase.upgrade = vec![run("fetch").with_undo(), run("up").with_undo()];
    })
}

fn done(names: &str, phases: Vec<Phase>) -> Simulation {
    simulate(plan(names, phases), finish(), &mut World::default())
}

#[test]
fn the_latest_node_goes_back_first() {
    let mut simulation = done("a b", vec![written()]);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "b down, b old, a down, a old");
    assert_eq!(*simulation.verdict(), RunEnd::RolledBack);
    assert!(!simulation.state.is_open());
    assert_eq!(way_back(&simulation.state, None), Err(NoWayBack::NothingChanged { run: "r.1".to_owned() }));
}

#[test]
fn without_a_section_steps_are_undone_in_reverse() {
    let mut simulation = done("a b", vec![undoable()]);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "b ~up, b ~fetch, a ~up, a ~fetch");
}

#[test]
fn phases_go_back_in_reverse_too() {
    let mut simulation = done("a", vec![single("dump", vec![run("dump").with_undo()]), written()]);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a down, a old, operator ~dump");
}

#[test]
fn a_limit_takes_back_these_nodes_alone() {
    let mut simulation = done("a b c", vec![written()]);
    take_back(&mut simulation, Some(&nodes("b")), &mut World::default());
    assert_eq!(simulation.story(), "b down, b old");
    assert!(simulation.state.is_open());
    assert_eq!(simulation.state.turns[&turn(0, "a")].status, TurnStatus::Done);
}

#[test]
fn what_was_taken_back_is_to_do_again() {
    let mut simulation = done("a b c", vec![written(), single("end", vec![run("end")])]);
    take_back(&mut simulation, Some(&nodes("b")), &mut World::default());
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[b], b up");
    take_back(&mut simulation, Some(&nodes("b")), &mut World::default());
    assert_eq!(simulation.story(), "b down, b old", "and can be taken back again");
}

#[test]
fn after_a_whole_rollback_the_first_one_is_a_canary_again() {
    let mut phase = rolling("all", |phase| {
        phase.batch = vec![BatchSize::Nodes(1), BatchSize::Percent(100)];
        phase.upgrade = vec![run("up")];
    });
    phase.rollback = vec![run("down")];
    let mut simulation = done("a b c", vec![phase]);
    take_back(&mut simulation, None, &mut World::default());
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[a], a up, [b c], b up, c up");
}

#[test]
fn the_old_version_is_checked_at_the_end() {
    let version = Script { body: "v".into(), shell: Shell::Sh, become_with: None };
    let procedure = Procedure { version: Some(version), ..procedure(vec![undoable()]) };
    let mut simulation = simulate(plan_of("a", &procedure), finish(), &mut World::default());
    let turns = way_back(&simulation.state, None).unwrap();
    let mut world = World::failing(&["a runs the old version"]);
    simulation.resume(request(Goal::RolledBack(turns))).run(&mut world).audit();
    assert_eq!(simulation.story(), "a ~up, a ~fetch, a runs the old version");
    assert_eq!(simulation.halt(), Some(Halt::RollbackFailed));
    // Everything is undone, yet the node is still on its way.
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a runs the old version");
}

#[test]
fn only_what_was_changed_goes_back() {
    let refuse = |name: &str, _: u32| match name {
        "b up" => failed(FailureKind::Unreachable),
        _ => Outcome::Done,
    };
    let mut world = World { step: Box::new(refuse), ..World::default() };
    let mut simulation = simulate(plan("a b c", vec![written()]), finish(), &mut world);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a down, a old", "nothing began on b");
}

#[test]
fn a_half_done_step_goes_back_though_a_later_start_did_not_get_so_far() {
    let mut phase = written();
    if let crate::model::procedure::PhaseBody::Rolling(body) = &mut phase.body {
        body.precheck = vec![check("fit")];
    }
    let mut simulation = simulate(plan("a", vec![phase]), finish(), &mut World::failing(&["a up"]));
    simulation.resume(finish()).run(&mut World::failing(&["a fit"])).audit();
    assert_eq!(simulation.story(), "a fit");
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a down, a old");
}

#[test]
fn a_change_made_again_does_not_move_its_node_in_the_order() {
    let mut phase = rolling("all", |phase| {
        phase.drain = vec![run("alerts off").temporary(Scope::Run)];
        phase.upgrade = vec![run("up")];
        phase.verify = vec![check("well")];
    });
    phase.rollback = vec![run("down")];
    let plan = plan("a b", vec![phase]);
    let mut simulation = simulate(plan, finish(), &mut World::failing(&["b well"]));
    let mut world = World::interrupted_at("b well");
    simulation.resume(finish()).run(&mut world).audit();
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "b down, a down");
}

#[test]
fn a_temporary_change_of_a_longer_scope_is_undone_beside_the_section() {
    let mut phase = rolling("all", |phase| {
        phase.drain = vec![run("alerts off").temporary(Scope::Run)];
        phase.upgrade = vec![run("up")];
    });
    phase.rollback = vec![run("down")];
    let back = |_: &_| Decision::RollBack;
    let mut world = World::failing(&["a up"]).answering(back);
    let simulation = simulate(plan("a", vec![phase]), attended(), &mut world);
    assert_eq!(simulation.story(), "[a], a alerts off, a up, a down, a ~alerts off");
    assert_eq!(simulation.halt(), Some(Halt::Interrupted));
    assert!(simulation.state.outstanding().is_empty());
}

#[test]
fn one_node_is_taken_back_at_the_terminal_then_the_run_stops() {
    let back = |_: &_| Decision::RollBack;
    let mut world = World::failing(&["b up"]).answering(back);
    let mut simulation = simulate(plan("a b c", vec![written()]), attended(), &mut world);
    assert_eq!(simulation.story(), "[a], a up, [b], b up, b down, b old");
    assert_eq!(simulation.halt(), Some(Halt::Interrupted));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "[b], b up, [c], c up");
}

#[test]
fn a_failed_way_back_stops_and_goes_on_where_it_stood() {
    let mut phase = written();
    phase.rollback = vec![run("unload"), run("down")];
    let mut simulation = done("a b", vec![phase]);
    let turns = way_back(&simulation.state, None).unwrap();
    let mut world = World::failing(&["b down"]);
    simulation.resume(request(Goal::RolledBack(turns))).run(&mut world).audit();
    assert_eq!(simulation.story(), "b unload, b down");
    assert_eq!(simulation.halt(), Some(Halt::RollbackFailed));
    assert_eq!(simulation.state.status(), RunStatus::Failed);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "b down, a unload, a down");
}

#[test]
fn going_forward_after_half_a_way_back_does_everything_that_it_took_away() {
    let stop_at_fetch = |name: &str, _: u32| {
        if name == "a fetch" { failed(FailureKind::Script) } else { Outcome::Done }
    };
    let mut simulation = done("a", vec![undoable()]);
    let turns = way_back(&simulation.state, None).unwrap();
    let mut world = World { undo: Box::new(stop_at_fetch), ..World::default() };
    simulation.resume(request(Goal::RolledBack(turns))).run(&mut world).audit();
    assert_eq!(simulation.story(), "a ~up, a ~fetch");
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a fit, a stop, a fetch, a up, a ~stop");

    let mut phase = written();
    phase.rollback = vec![run("unload"), run("down")];
    let mut simulation = done("a", vec![phase]);
    let turns = way_back(&simulation.state, None).unwrap();
    simulation.resume(request(Goal::RolledBack(turns))).run(&mut World::failing(&["a down"])).audit();
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a up");
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a unload, a down", "the whole section again");
}

#[test]
fn a_node_can_be_left_out_of_the_way_back() {
    let mut simulation = done("a b", vec![written()]);
    let turns = way_back(&simulation.state, None).unwrap();
    let mut world =
        World::failing(&["b down"]).answering(|_| Decision::SkipNode { reason: "re-imaged".into() });
    let request = crate::model::event::Request { attended: true, ..request(Goal::RolledBack(turns)) };
    simulation.resume(request).run(&mut world).audit();
    assert_eq!(simulation.story(), "b down, a down, a old");
    assert_eq!(*simulation.verdict(), RunEnd::RolledBack);
    assert!(simulation.state.is_open(), "b still has the new version");
}

#[test]
fn nothing_leads_back_from_beyond_the_point() {
    for (possible, refused) in [(false, true), (true, false)] {
        let mut phase = written();
        phase.point_of_no_return = Some(point(possible));
        let simulation = done("a", vec![phase]);
        let back = way_back(&simulation.state, None);
        assert_eq!(back.is_err(), refused);
        let text = "data is converted".to_owned();
        assert_eq!(back.err(), refused.then_some(NoWayBack::PointOfNoReturn { text }));
    }
}

#[test]
fn without_section_and_undo_there_is_no_way_back() {
    let phase = rolling("all", |phase| phase.upgrade = vec![run("up").with_undo(), run("reload")]);
    let simulation = done("a", vec![phase.clone()]);
    assert!(matches!(
        way_back(&simulation.state, None),
        Err(NoWayBack::NoUndo { label, .. }) if label == "reload"
    ));
    // What was not needed does not stand in the way.
    let skip = |name: &str, _: u32| match name {
        "a reload" => Outcome::Skipped { why: "done already".into() },
        _ => Outcome::Done,
    };
    let mut world = World { step: Box::new(skip), ..World::default() };
    let mut simulation = simulate(plan("a", vec![phase]), finish(), &mut world);
    take_back(&mut simulation, None, &mut World::default());
    assert_eq!(simulation.story(), "a ~up");
}

#[test]
fn what_is_temporary_elsewhere_is_undone_at_the_end_of_a_rollback() {
    let mut phase = rolling("all", |phase| {
        phase.drain = vec![run("alerts off").temporary(Scope::Run)];
        phase.upgrade = vec![run("up").with_undo()];
    });
    phase.rollback = vec![run("down")];
    // The first invocation dies with everything in force.
    let mut world = World::default();
    let mut simulation = Simulation::open(plan("a b", vec![phase]), finish());
    while !simulation.log.contains(&"b alerts off".to_owned()) {
        assert!(simulation.step(&mut world));
    }
    take_back(&mut simulation, Some(&nodes("a")), &mut world);
    assert_eq!(simulation.story(), "a down, b ~alerts off, a ~alerts off");
}

#[test]
fn unstaging_removes_what_was_staged_and_nothing_else() {
    let mut procedure = procedure(vec![written()]);
    procedure.stage = vec![run("pull")];
    let mut simulation = simulate(plan_of("a b", &procedure), request(Goal::Staged), &mut World::default());
    simulation.resume(request(Goal::Unstaged)).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a remove what was staged, b remove what was staged");
    assert_eq!(simulation.state.status(), RunStatus::Unstaged);
}

#[test]
fn unstaging_undoes_what_the_steps_of_stage_did() {
    let mut procedure = procedure(vec![written()]);
    procedure.stage = vec![run("pull").with_undo(), run("announce").with_undo()];
    for goal in [request(Goal::Staged), finish()] {
        let mut simulation = simulate(plan_of("a", &procedure), goal, &mut World::default());
        simulation.resume(request(Goal::Unstaged)).run(&mut World::default()).audit();
        assert_eq!(
            simulation.story(),
            "a ~announce, a ~pull, a remove what was staged",
            "the latest first, and nothing that an upgrade did"
        );
    }
}

#[test]
fn a_node_that_cannot_be_unstaged_can_be_left_or_tried_again() {
    let mut procedure = procedure(vec![written()]);
    procedure.stage = vec![run("pull")];
    let staged = || simulate(plan_of("a b", &procedure), request(Goal::Staged), &mut World::default());
    let failing = || World::failing(&["a remove what was staged"]);
    let mut simulation = staged();
    simulation.resume(request(Goal::Unstaged)).run(&mut failing()).audit();
    assert_eq!(simulation.halt(), Some(Halt::CheckFailed));
    simulation.resume(request(Goal::Unstaged)).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a remove what was staged");

    let mut simulation = staged();
    let request = crate::model::event::Request { attended: true, ..request(Goal::Unstaged) };
    let skip = |_: &_| Decision::SkipNode { reason: "gone".into() };
    simulation.resume(request).run(&mut failing().answering(skip)).audit();
    assert_eq!(*simulation.verdict(), RunEnd::Unstaged);
}
