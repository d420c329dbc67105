//! What follows from a node's account of a job that an earlier invocation began, and how a step is settled
//! whose end nobody saw. Two pure functions, each the whole of its table.

use super::condition::Verdict;
use super::event::{Decided, Means, Settlement};
use super::job::Standing;
use super::procedure::IfUnknown;

/// What to do about a job. Whoever asks has raised the fence before: what has not begun never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It never began and never will: the step is to do, its guards are asked anew.
    NeverBegan,
    /// The node will tell how it ends, or can tell how it ended: attach, and take what comes.
    Follow,
    /// Its own process is gone, and processes that it started still run: ask again when they have ended.
    AwaitOrphans {
        /// How many.
        orphans: u32,
    },
    /// It began, and the node cannot tell how it ended.
    Unknown {
        /// Why.
        why: String,
        /// Whether the node was booted since.
        rebooted: bool,
    },
}

/// What a node's answer means (`reliability.md` §3.3).
pub fn rule(standing: Standing) -> Ruling {
    let unknown = |why: &str, rebooted| Ruling::Unknown { why: why.to_owned(), rebooted };
    match standing {
        Standing::Absent { known: true } | Standing::Void | Standing::Unbegun | Standing::Fenced => {
            Ruling::NeverBegan
        }
        Standing::Absent { known: false } => unknown(
            "the node knows nothing of this run: it was put back to an earlier state, or rollgate's directory \
             on it is lost",
            false,
        ),
        Standing::Conflict => unknown("the node was given another script under the name of this one", false),
        Standing::Running | Standing::Ended { interrupted: false, .. } => Ruling::Follow,
        Standing::Ended { interrupted: true, rebooted, .. } => {
            unknown("the node was shut down while it ran", rebooted)
        }
        Standing::Lost { orphans, .. } if orphans > 0 => Ruling::AwaitOrphans { orphans },
        Standing::Lost { rebooted: true, .. } => unknown("the node was booted while it ran", true),
        Standing::Lost { rebooted: false, .. } => {
            unknown("its process is gone and left no exit status", false)
        }
    }
}

/// What comes next for a step that is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// It is settled.
    Settled(Settlement, Means),
    /// The check of `done_if` is to be read first.
    AskProbe,
    /// Only a human can say.
    AskHuman,
}

/// Settles it by the first that can: the reboot that it is for, the check that says whether it was done,
/// the word that another attempt does no harm, a human's decision. A check that cannot be read leaves it to
/// the human: whoever wrote one did not want the step to be begun again unseen.
pub fn settle(
    declared: &IfUnknown,
    rebooted: bool,
    probed: Option<&Verdict>,
    decided: Option<&Decided>,
) -> Settling {
    let human = match decided {
        Some(decided) => Settling::Settled(decided.verdict, Means::Decided),
        None => Settling::AskHuman,
    };
    if declared.reboots && rebooted {
        return Settling::Settled(Settlement::Done, Means::Reboot);
    }
    match (&declared.done_if, probed) {
        (Some(_), None) => Settling::AskProbe,
        (Some(_), Some(Verdict::Holds)) => Settling::Settled(Settlement::Done, Means::Probe),
        (Some(_), Some(Verdict::DoesNotHold { .. })) => Settling::Settled(Settlement::NotDone, Means::Probe),
        (None, _) if declared.retry_is_safe => Settling::Settled(Settlement::NotDone, Means::RetrySafe),
        (Some(_), Some(Verdict::Unreadable { .. })) | (None, _) => human,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::CheckName;
    use crate::model::procedure::CheckRef;

    fn ended(interrupted: bool, rebooted: bool) -> Standing {
        Standing::Ended { code: 3, interrupted, stopped: false, rebooted }
    }

    fn lost(rebooted: bool, orphans: u32) -> Standing {
        Standing::Lost { rebooted, orphans }
    }

    /// What is asserted of a ruling: whether it is unknown, and whether the reboot was kept.
    fn unknown(ruling: &Ruling) -> Option<bool> {
        match ruling {
            Ruling::Unknown { why, rebooted } => {
                assert!(!why.is_empty());
                Some(*rebooted)
            }
            _ => None,
        }
    }

    #[test]
    fn every_answer_of_a_node_has_its_ruling() {
        for standing in
            [Standing::Absent { known: true }, Standing::Void, Standing::Unbegun, Standing::Fenced]
        {
            assert_eq!(rule(standing), Ruling::NeverBegan, "{standing:?}");
        }
        for standing in [Standing::Running, ended(false, false), ended(false, true)] {
            assert_eq!(rule(standing), Ruling::Follow, "{standing:?}");
        }
        let stopped = Standing::Ended { code: 143, interrupted: false, stopped: true, rebooted: false };
        assert_eq!(rule(stopped), Ruling::Follow, "the code of what rollgate stopped is known");
        for (standing, rebooted) in [
            (Standing::Absent { known: false }, false),
            (Standing::Conflict, false),
            (ended(true, false), false),
            (ended(true, true), true),
            (lost(false, 0), false),
            (lost(true, 0), true),
        ] {
            assert_eq!(unknown(&rule(standing)), Some(rebooted), "{standing:?}");
        }
        for rebooted in [false, true] {
            assert_eq!(rule(lost(rebooted, 2)), Ruling::AwaitOrphans { orphans: 2 });
        }
    }

    #[test]
    fn what_never_began_is_never_unknown_and_never_followed() {
        for standing in [Standing::Void, Standing::Unbegun, Standing::Fenced] {
            assert!(standing.never_began());
            assert_eq!(rule(standing), Ruling::NeverBegan);
        }
    }

    fn declared(reboots: bool, done_if: bool, retry_is_safe: bool) -> IfUnknown {
        let name = CheckName::parse("there").unwrap();
        IfUnknown { reboots, done_if: done_if.then_some(CheckRef::Named(name)), retry_is_safe }
    }

    fn readings() -> [Option<Verdict>; 4] {
        let why = || "says so".to_owned();
        [
            None,
            Some(Verdict::Holds),
            Some(Verdict::DoesNotHold { why: why() }),
            Some(Verdict::Unreadable { why: why() }),
        ]
    }

    /// The order once more, written as the table of `SPEC3` and not as the function.
    #[test]
    fn every_combination_is_settled_by_the_first_that_can() {
        let decisions: Vec<Option<Decided>> = ["done", "retry", "fail"]
            .iter()
            .map(|word| Some(format!("a/p.upgrade.1={word}").parse().unwrap()))
            .chain([None])
            .collect();
        let mut seen = 0;
        for bits in 0..16_u8 {
            let (reboots, done_if, safe, rebooted) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0, bits & 8 > 0);
            for reading in readings() {
                for decision in &decisions {
                    let found = settle(
                        &declared(reboots, done_if, safe),
                        rebooted,
                        reading.as_ref(),
                        decision.as_ref(),
                    );
                    let by_human = decision.as_ref().map_or(Settling::AskHuman, |decided| {
                        Settling::Settled(decided.verdict, Means::Decided)
                    });
                    let expected = match (reboots && rebooted, done_if, &reading, safe) {
                        (true, ..) => Settling::Settled(Settlement::Done, Means::Reboot),
                        (_, true, None, _) => Settling::AskProbe,
                        (_, true, Some(Verdict::Holds), _) => {
                            Settling::Settled(Settlement::Done, Means::Probe)
                        }
                        (_, true, Some(Verdict::DoesNotHold { .. }), _) => {
                            Settling::Settled(Settlement::NotDone, Means::Probe)
                        }
                        (_, false, _, true) => Settling::Settled(Settlement::NotDone, Means::RetrySafe),
                        (_, true, Some(Verdict::Unreadable { .. }), _) | (_, false, _, false) => by_human,
                    };
                    assert_eq!(found, expected, "{bits:04b} {reading:?} {decision:?}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 256);
    }

    #[test]
    fn a_step_that_says_nothing_is_left_to_a_human() {
        assert_eq!(settle(&IfUnknown::default(), true, None, None), Settling::AskHuman);
    }
}
