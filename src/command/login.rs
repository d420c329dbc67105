//! What an invocation answers logins with: the secrets that it fetched, and whoever sits at its terminal.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::context::Context;
use crate::engine::keyring::{Person, Query, Typed};
use crate::engine::secrets::Secrets;
use crate::model::name::NodeName;
use crate::transport::{BoxFuture, Dialer, Secret, Wanted};
use crate::ui::desk::Lender;
use crate::ui::escape;
use crate::ui::ink::Line;
use crate::ui::login::{Asked, PATIENCE, Sort, ask};
use crate::ui::prompt::{self, Call, Hidden};
use crate::ui::terminal::Face;
use crate::ui::write;

impl Context {
    /// Connections whose logins are answered with these secrets, with what was typed earlier in this invocation, and
    /// by whoever sits at its terminal.
    pub(super) fn dialer(&self, secrets: &Secrets) -> Dialer {
        self.keyring.know(secrets);
        self.ask_at(None);
        Dialer::asking(Arc::clone(&self.keyring) as _)
    }

    /// Has logins ask where a desk stands, which lends them its terminal.
    pub(super) fn ask_through(&self, lender: Lender) {
        self.ask_at(Some(lender));
    }

    /// From here on logins that are made anew have what is known already, and ask nobody: the terminal shows
    /// something that is redrawn.
    pub(super) fn ask_nobody(&self) {
        self.asks_nobody.set(true);
        self.keyring.ask(None);
    }

    fn ask_at(&self, lender: Option<Lender>) {
        let is_asked = self.style.interactive && !self.asks_nobody.get();
        let seat = Seat { face: self.style.err, lender, shown: Mutex::default() };
        let person = Arc::new(seat) as Arc<dyn Person>;
        self.keyring.ask(is_asked.then_some(person));
    }
}

impl Context {
    /// Asks for a secret, without showing what is typed.
    pub(super) fn ask_secret(&self, text: &str) -> Option<Zeroizing<String>> {
        let face = &self.style.err;
        let question = format!("{}: ", Line::of(face, text.trim_end_matches(':')).paint(face));
        let (_call, called) = Call::pair().ok()?;
        match prompt::hidden(prompt::stdin().ok()?, &question, &called, PATIENCE).ok()? {
            Hidden::Line(typed) => Some(typed),
            Hidden::Stop => {
                interrupt();
                None
            }
            Hidden::Nothing | Hidden::Nobody | Hidden::TakenBack => None,
        }
    }
}

/// To whoever works a Ctrl-C at a question is one like any other.
fn interrupt() {
    // There is this process.
    let _ = kill_process(getpid(), Signal::INT);
}

/// The operator's seat.
struct Seat {
    face: Face,
    /// Who lends the terminal, where it is not free.
    lender: Option<Lender>,
    /// What was shown last: ssh says some things again and again.
    shown: Mutex<String>,
}

impl Person for Seat {
    fn ask<'a>(&'a self, question: &'a Query) -> BoxFuture<'a, Typed> {
        Box::pin(async move {
            let Ok((call, called)) = Call::pair() else { return Typed::NoMore };
            let (tell, told) = oneshot::channel();
            let (face, query) = (self.face, question.clone());
            // A step that has the terminal has it for its own login as well.
            let lender = self.lender.clone().filter(|_| !question.challenge.has_terminal);
            let is_run = self.lender.is_some();
            std::thread::spawn(move || {
                let lent = lender.as_ref().map(Lender::borrow);
                let typed = match lent {
                    Some(None) => Hidden::TakenBack,
                    _ => put(&face, &query, &called).unwrap_or(Hidden::Nobody),
                };
                drop(lent);
                if typed == Hidden::Stop && is_run {
                    interrupt();
                }
                // The login may have ended meanwhile.
                let _ = tell.send(typed);
            });
            let typed = told.await;
            drop(call);
            match typed {
                Ok(Hidden::Line(line)) => Typed::Line(Secret::new(line)),
                Ok(Hidden::Nothing) => Typed::Nothing,
                _ => Typed::NoMore,
            }
        })
    }

    fn tell(&self, node: &NodeName, text: &str) {
        let text = format!("{node}: {}\n", escape::line(text.as_bytes(), self.face.unicode));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == text {
            return;
        }
        shown.clone_from(&text);
        let lender = self.lender.clone();
        std::thread::spawn(move || {
            let _lent = lender.as_ref().and_then(Lender::borrow);
            write::to_stderr(&text);
        });
    }
}

fn put(face: &Face, query: &Query, called: &prompt::Called) -> std::io::Result<Hidden> {
    let challenge = &query.challenge;
    let sort = match challenge.wanted {
        Wanted::Password if query.own => Sort::OwnPassword,
        Wanted::Password => Sort::Password,
        Wanted::OtherPassword => Sort::OtherPassword,
        Wanted::Passphrase { .. } => Sort::Passphrase,
        Wanted::Code => Sort::Code,
    };
    let asked = Asked { node: challenge.node.as_str(), said: &challenge.said, sort, again: query.again };
    ask(prompt::stdin()?, &face.measured(), &asked, called)
}
