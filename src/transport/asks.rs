//! Who is asked when a login asks, and what plays askpass for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::BoxFuture;
use super::answers::{Answers, Challenge, NoAnswer, Reach, Verdict};
use super::askpass::{Askpass, Login};
use super::job::Secret;
use super::warden::Warden;
use crate::model::name::{NodeName, VarName};

/// What every login of a dialer is given to ask with.
#[derive(Clone)]
pub(super) struct Asks {
    pub(super) answers: Arc<dyn Answers>,
    /// What plays askpass; this program itself unless it is said.
    pub(super) program: Option<PathBuf>,
}

impl Asks {
    /// Answers nothing.
    pub(super) fn nothing() -> Self {
        Self { answers: Arc::new(Nobody), program: None }
    }

    /// Listens for a login; `None` where nothing that it asks could be answered.
    pub(super) fn listen(&self, warden: &Warden, login: &Login<'_>) -> io::Result<Option<Askpass>> {
        Askpass::listen(warden, &self.answers, login, self.program.as_deref())
    }
}

/// Where nobody answers.
struct Nobody;

impl Answers for Nobody {
    fn reach(&self, _: Option<&VarName>) -> Reach {
        Reach::Nothing
    }

    fn answer<'a>(&'a self, _: &'a Challenge) -> BoxFuture<'a, Result<Secret, NoAnswer>> {
        Box::pin(async { Err(NoAnswer::Nobody) })
    }

    fn tell(&self, _: &NodeName, _: &str) {}

    fn ended(&self, _: &NodeName, _: Verdict) -> bool {
        false
    }
}
