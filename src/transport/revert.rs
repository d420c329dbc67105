//! Changes that a node undoes by itself: the undo is a job whose own process waits before it begins, and whoever
//! makes one link first decides whether it does. The node's record of that is the only truth.

use std::fmt::Write as _;
use std::time::Duration;

use super::converse::{Call, Ended, Heard, converse};
use super::error::TransportError;
use super::frame::{Mark, Nonce};
use super::job::{Job, JobRef};
use super::runner::{self, Caller, RUNNER};
use super::script::{Program, Unfit, quote};
use super::session::NodeSession;
use super::{line, trouble};
use crate::model::job::{Revert, Standing};

const REVERT: &str = include_str!("runner/revert.sh");

/// How long a node may take to say that it waits, or what was decided.
const PATIENCE: Duration = Duration::from_secs(20);

/// What can be decided about a change that its node undoes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevertWord {
    /// It stays: a new login has shown that one can still come in.
    Confirm,
    /// The node does not undo it: whoever says so does.
    Withdraw,
}

impl RevertWord {
    fn text(self) -> &'static str {
        match self {
            Self::Confirm => "confirmed",
            Self::Withdraw => "withdrawn",
        }
    }
}

/// Starts the process that waits, unless somebody has, and hears that it does.
fn armed(
    caller: &Caller<'_>,
    undo: &Job,
    change: &JobRef,
    after: Duration,
    nonce: &Nonce,
) -> Result<Program, Unfit> {
    let root = &caller.facts.root;
    let mut hold = format!("rg_after={}\n", after.as_millis() / 10);
    let values = [
        ("rg_change", format!("{}/jobs/{}", change.run_dir(root), change.id)),
        ("rg_change_name", change.name()),
    ];
    for (name, value) in values {
        let _ = writeln!(hold, "{name}={}", quote(&value));
    }
    hold.push_str(RUNNER);
    hold.push_str(REVERT);
    let mut text = runner::launch(caller, undo, nonce, &hold)?;
    text.push_str(REVERT);
    text.push_str("rg_armed\n");
    Ok(runner::call(caller, &text, nonce))
}

fn decided(caller: &Caller<'_>, armed: &JobRef, word: Option<RevertWord>, nonce: &Nonce) -> Program {
    let mut text = runner::given(caller, armed);
    text.push_str(REVERT);
    let _ = writeln!(text, "rg_word={}\nrg_decide", word.map_or("", RevertWord::text));
    runner::call(caller, &text, nonce)
}

/// What is heard of either.
#[derive(Default)]
struct Told {
    standing: Option<Standing>,
    decided: Option<Revert>,
    said: Vec<u8>,
}

impl NodeSession {
    pub(super) async fn start_timer(
        &self,
        undo: &Job,
        change: &JobRef,
        after: Duration,
    ) -> Result<Standing, TransportError> {
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = armed(&self.caller(), undo, change, after, &nonce);
        let program = program.map_err(|unfit| self.snag(unfit.into()))?;
        let (ended, told) = self.tell(program, &nonce).await?;
        match (ended, told.standing) {
            (Ended::Whole, Some(standing)) => Ok(standing),
            (Ended::Whole, None) => Err(self.not_begun(undo, String::from_utf8_lossy(&told.said).trim())),
            (Ended::Late { sent: false, .. }, _) => {
                Err(self.unreachable(trouble::closed(self.place(), "it took no program")))
            }
            _ => Err(self.lost("the node does not say whether it would undo the step by itself")),
        }
    }

    pub(super) async fn decide_timer(
        &self,
        armed: &JobRef,
        word: Option<RevertWord>,
    ) -> Result<Revert, TransportError> {
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let (ended, told) = self.tell(decided(&self.caller(), armed, word, &nonce), &nonce).await?;
        match (ended, told.decided) {
            (Ended::Whole, Some(Revert::Pending)) if word.is_some() => {
                Err(self.unreachable(self.no_room(String::from_utf8_lossy(&told.said).trim())))
            }
            (Ended::Whole, Some(decided)) => Ok(decided),
            _ => Err(self.lost("the node does not say what was decided about undoing the step by itself")),
        }
    }

    async fn tell(&self, program: Program, nonce: &Nonce) -> Result<(Ended, Told), TransportError> {
        let mut told = Told::default();
        let call =
            Call { line: line::WHOLE, program, nonce, last: 0, feed: None, deadline: PATIENCE, pulse: None };
        let mut hear = |heard: Heard<'_>| match heard {
            Heard::Output { bytes, .. } => {
                let room = 4096_usize.saturating_sub(told.said.len());
                told.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Heard::Mark { mark: Mark::Stands(standing), .. } => told.standing = Some(standing),
            Heard::Mark { mark: Mark::Decided(decided), .. } => told.decided = Some(decided),
            Heard::Mark { .. } => {}
        };
        let ended = converse(&*self.link, call, &mut hear).await;
        Ok((ended.map_err(|broken| self.snag(broken.into()))?, told))
    }
}
