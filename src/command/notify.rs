//! Tells people of a run by the inventory's `notify:`. It never holds the run up and never fails it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value as Json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::Screen;
use crate::journal::RunDir;
use crate::model::duration;
use crate::model::event::{Goal, Inquiry, Notice, Report};
use crate::model::inventory::Notify;
use crate::model::plan::Plan;
use crate::model::state::RunState;
use crate::transport::child;
use crate::ui::escape;
use crate::ui::moment::Moment;
use crate::ui::notification;

use crate::ui::write;

/// Who follows a run and tells of it.
pub(super) struct Notifier {
    notify: Notify,
    dir: RunDir,
    /// The inventory's directory: where relative paths of the command start.
    place: PathBuf,
    program: Vec<String>,
    screen: Screen,
    runtime: tokio::runtime::Handle,
    followed: Mutex<Followed>,
}

struct Followed {
    state: Option<RunState>,
    under_way: JoinSet<()>,
}

impl Notifier {
    pub(super) fn new(
        (plan, program): (&Plan, Vec<String>),
        notify: Notify,
        dir: RunDir,
        state: Option<RunState>,
        screen: Screen,
    ) -> Self {
        Self {
            notify,
            dir,
            place: plan.sources.inventory.parent().map(Path::to_path_buf).unwrap_or_default(),
            program,
            screen,
            runtime: tokio::runtime::Handle::current(),
            followed: Mutex::new(Followed { state, under_way: JoinSet::new() }),
        }
    }

    /// The screen with somebody who listens to what it is told.
    pub(super) fn listening(self: &Arc<Self>) -> Screen {
        let notifier = Arc::clone(self);
        Arc::new(move |report| {
            notifier.hear(&report);
            (notifier.screen)(report)
        })
    }

    fn hear(&self, report: &Report) {
        match report {
            Report::Record(record) => {
                let state = &mut self.followed().state;
                match state {
                    None => *state = RunState::open(record).ok(),
                    // One that cannot be is the engine's to say.
                    Some(state) => drop(state.apply(record)),
                }
            }
            Report::Ask(inquiry) => self.ask(inquiry),
            _ => {}
        }
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, inquiry: &Inquiry) {
        let mut followed = self.followed();
        let Some(state) = &followed.state else { return };
        let document = notification::asked(&Moment::current(), state, inquiry, &self.program());
        self.send(&mut followed, &document);
    }

    fn program(&self) -> Vec<&str> {
        self.program.iter().map(String::as_str).collect()
    }

    /// Tells that the invocation has ended, and waits until everything is told or has taken too long.
    pub(super) async fn end(&self, exit_code: u8, why: &str) {
        let mut under_way = {
            let mut followed = self.followed();
            let wanted = followed.state.as_ref().filter(|state| tells_of(&state.request.goal));
            let told = wanted
                .map(|state| notification::ended(&Moment::current(), state, exit_code, why, &self.program()));
            if let Some(document) = told {
                self.send(&mut followed, &document);
            }
            std::mem::take(&mut followed.under_way)
        };
        while under_way.join_next().await.is_some() {}
    }

    fn send(&self, followed: &mut Followed, document: &Json) {
        let text = format!("{}\n", escape::json(&document.to_string()));
        let (notify, dir, screen) = (self.notify.clone(), self.dir.clone(), Arc::clone(&self.screen));
        let place = self.place.clone();
        let telling = async move {
            if let Err(why) = tell(&notify, &dir, &place, &text).await {
                let text = format!("notify {why}; what it said is in {}/notify.log", dir.path().display());
                if !screen(Report::Notice(Notice::Said { node: None, text: text.clone() })) {
                    write::to_stderr(&format!(
                        "{}\n",
                        escape::line(format!("note: {text}").as_bytes(), false)
                    ));
                }
            }
        };
        followed.under_way.spawn_on(telling, &self.runtime);
    }
}

/// Staging and its end are watched by whoever does them.
fn tells_of(goal: &Goal) -> bool {
    matches!(goal, Goal::Finished | Goal::RolledBack(_))
}

/// Runs the command once, in a process group of its own: a Ctrl-C is not meant for it.
async fn tell(notify: &Notify, dir: &RunDir, place: &Path, text: &str) -> Result<(), String> {
    let log = dir.open_notify_log().map_err(|error| error.to_string())?;
    let also = log.try_clone().map_err(|error| error.to_string())?;
    let mut child = Command::from(child::command("sh"))
        .args(["-c", &notify.run])
        .current_dir(place)
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(also)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let stdin = child.stdin.take();
    let telling = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read it need not.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    match timeout(notify.timeout, telling).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("ended with {status}")),
        Ok(Err(error)) => Err(format!("cannot be waited for: {error}")),
        Err(_) => {
            if let Some(group) = group {
                // It may have ended in this moment.
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(format!("took longer than {}", duration::written(notify.timeout)))
        }
    }
}
