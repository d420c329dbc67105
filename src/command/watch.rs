//! `rollgate status --watch`: follows a run that another process works on, and ends with it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::context::Context;
use super::refusal::Refusal;
use super::status::{Look, Looks};
use crate::exit::Exit;
use crate::ui::redraw::Redraw;
use crate::ui::terminal::Format;

/// The journal is on this machine and is read at this pace; nodes are asked as often as the operator says.
const PACE: Duration = Duration::from_secs(1);

/// What a wait ended with.
enum Woken {
    Time,
    Resize,
    Interrupt,
}

/// Shows it again until the run ends: in place on a terminal, elsewhere whenever something has changed.
pub(super) async fn watch(
    context: &Context,
    looks: &mut Looks<'_>,
    every: Duration,
) -> Result<Exit, Refusal> {
    let broken =
        |error: std::io::Error| Refusal::new(Exit::Broken, format!("signals cannot be caught: {error}"));
    // Caught before the first look, so that no Ctrl-C is lost while nodes are asked.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut resize = signal(SignalKind::window_change()).map_err(broken)?;
    let mut show = Show::on(context);
    let mut exit = Exit::Done;
    let mut is_first = true;
    let mut asked = Instant::now();
    loop {
        let look = tokio::select! {
            look = looks.look(is_first) => look?,
            _ = interrupt.recv() => return show.left(exit),
        };
        exit = look.exit;
        if !look.at_work {
            if is_first {
                return show.end(&look);
            }
            // The nodes were asked before the last step.
            return tokio::select! {
                last = looks.look(true) => show.end(&last?),
                _ = interrupt.recv() => show.end(&look),
            };
        }
        is_first = false;
        context.ask_nobody();
        show.now(&look)?;
        let until = tokio::time::Instant::now() + every.min(PACE);
        loop {
            match wait(until, &mut interrupt, &mut resize).await {
                Woken::Time => break,
                Woken::Resize => show.again(&look)?,
                Woken::Interrupt => return show.left(exit),
            }
        }
        if asked.elapsed() >= every && looks.ask_meanwhile()? {
            asked = Instant::now();
        }
        looks.take_answers().await;
    }
}

async fn wait(until: tokio::time::Instant, interrupt: &mut Signal, resize: &mut Signal) -> Woken {
    tokio::select! {
        () = tokio::time::sleep_until(until) => Woken::Time,
        _ = resize.recv() => Woken::Resize,
        _ = interrupt.recv() => Woken::Interrupt,
    }
}

/// Where it is shown.
struct Show<'a> {
    context: &'a Context,
    /// Only where standard output is a terminal that can move its cursor.
    block: Option<Redraw>,
    /// What was shown last, as it is compared.
    last: String,
}

impl<'a> Show<'a> {
    fn on(context: &'a Context) -> Self {
        let style = &context.style;
        let live = style.live && style.format == Format::Human && std::io::stdout().is_terminal();
        Self { context, block: live.then(Redraw::default), last: String::new() }
    }

    fn now(&mut self, look: &Look) -> Result<(), Refusal> {
        if self.block.is_some() {
            return self.again(look);
        }
        let ageless = look.ageless();
        if ageless != self.last {
            super::print(&look.text(self.context))?;
            self.last = ageless;
        }
        Ok(())
    }

    /// The same at the size that the terminal has now; nothing where it is not redrawn.
    fn again(&mut self, look: &Look) -> Result<(), Refusal> {
        let Some(block) = &mut self.block else { return Ok(()) };
        let face = self.context.style.out.measured();
        let text = block.frame(&face, &look.human(&face));
        super::print(&text).map(drop)
    }

    /// The last look stays, whole.
    fn end(&mut self, look: &Look) -> Result<Exit, Refusal> {
        match &mut self.block {
            Some(block) => {
                let face = self.context.style.out.measured();
                super::print(&block.last(&face, &look.human(&face)))?;
            }
            None => self.now(look)?,
        }
        Ok(look.exit)
    }

    /// Ctrl-C: what stands there stays, and the terminal's echo of it goes.
    fn left(&mut self, exit: Exit) -> Result<Exit, Refusal> {
        if self.block.is_some() {
            super::print(Redraw::LEAVE)?;
        }
        Ok(exit)
    }
}
