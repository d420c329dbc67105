//! Changes that a node undoes by itself: the undo is a job whose own process waits before it begins, and whoever
//! makes one link first decides whether it does. The node's record of that is the only truth.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use zeroize::Zeroizing;

use super::converse::{Call, Ended, Heard, converse};
use super::error::TransportError;
use super::frame::{Mark, Nonce};
use super::job::{Job, JobRef};
use super::rights::Rights;
use super::runner::{self, Caller, RUNNER, lean};
use super::script::{Program, Unfit, push_quoted, quote};
use super::session::NodeSession;
use super::{line, trouble};
use crate::model::host::Become;
use crate::model::job::{Revert, Standing};

static REVERT: LazyLock<String> = LazyLock::new(|| lean(include_str!("runner/revert.sh")));

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

/// Starts the process that waits, unless somebody has, and hears that it does. `rights` are the change's.
fn armed(
    caller: &Caller<'_>,
    undo: &Job,
    (change, rights): (&JobRef, Become),
    after: Duration,
    nonce: &Nonce,
) -> Result<Program, Unfit> {
    // Whoever has no rights cannot end what has some; root can end everything.
    let gained = (caller.become_with == Become::None && rights != Become::None)
        .then(|| Rights::of(rights, caller.password));
    let stop = runner::stopping(caller, change);
    let mut hold = Zeroizing::new(String::with_capacity(2 * stop.len() + RUNNER.len() + REVERT.len() + 4096));
    let _ = writeln!(hold, "rg_after={}", after.as_millis() / 10);
    let _ = writeln!(
        hold,
        "rg_change={}",
        quote(&format!("{}/jobs/{}", change.run_dir(&caller.facts.root), change.id))
    );
    hold.push_str("rg_stopper=");
    push_quoted(&mut hold, &stop);
    let (before, behind) = gained.clone().unwrap_or_else(|| Rights::of(Become::None, None)).around("sh");
    // What was needed was proved when it was armed.
    let _ = writeln!(
        hold,
        "\nrg_stop_change() {{ rg_proved=yes; {}printf '%s\\n' \"$rg_stopper\"{behind}; }}",
        *before
    );
    hold.push_str(&RUNNER);
    hold.push_str(&REVERT);
    let mut text = Zeroizing::new(String::new());
    if let Some(gained) = gained {
        text.push_str(&gained.or_exit());
    }
    text.push_str(&REVERT);
    text.push_str(&runner::launch(caller, undo, nonce, (&hold, "rg_armed"))?);
    Ok(runner::call(caller, &text, nonce))
}

fn decided(caller: &Caller<'_>, armed: &JobRef, word: Option<RevertWord>, nonce: &Nonce) -> Program {
    let mut text = runner::given(caller, armed);
    text.push_str(&REVERT);
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

impl Told {
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).trim().to_owned()
    }
}

impl NodeSession {
    pub(super) async fn start_timer(
        &self,
        undo: &Job,
        change: (&JobRef, Become),
        after: Duration,
    ) -> Result<Standing, TransportError> {
        for rights in [self.become_with, undo.become_with, change.1] {
            self.unless_refused(rights)?;
        }
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = armed(&self.caller(), undo, change, after, &nonce);
        let program = program.map_err(|unfit| self.snag(unfit.into()))?;
        let (ended, told) = self.tell(program, &nonce).await?;
        match (ended, told.standing) {
            (Ended::Whole, Some(standing)) => Ok(standing),
            (Ended::Whole, None) => {
                let said = told.said();
                let denied = if change.1 == Become::None { None } else { self.denied(change.1, &said) };
                Err(denied.unwrap_or_else(|| self.not_begun(undo, &said)))
            }
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
        self.unless_refused(self.become_with)?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let (ended, told) = self.tell(decided(&self.caller(), armed, word, &nonce), &nonce).await?;
        match (ended, told.decided) {
            (Ended::Whole, Some(Revert::Pending)) if word.is_some() => {
                Err(self.unreachable(self.no_room(&told.said())))
            }
            (Ended::Whole, Some(decided)) => Ok(decided),
            // Nothing was decided. It is not asked again through a new login, which would try the password once more.
            _ => Err(self.denied(self.become_with, &told.said()).unwrap_or_else(|| {
                self.lost("the node does not say what was decided about undoing the step by itself")
            })),
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
