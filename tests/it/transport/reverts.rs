//! Changes that a node undoes by itself: confirmed, withdrawn or undone, always one of them and always once, and the
//! node's own record says which.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use rollgate::model::host::Become;
use rollgate::model::job::{Revert, Standing};
use rollgate::transport::{
    Endpoint, Job, JobEnd, JobId, JobRef, Kind, Limit, RevertWord, Session, TransportError,
};

use super::node::{Heard, Node, SOON, connect, job, plant};
use super::rights::Guarded;
use super::runner::{kill_server, sshd, sshd_with};
use crate::support::PATIENCE;

/// A time that no test waits for.
const LONG: Duration = Duration::from_mins(10);

/// What a test arms: the undo, and the change that it takes back.
struct Armed {
    undo: Job,
    change: JobRef,
    ran: PathBuf,
}

impl Armed {
    fn new(dir: &Path) -> Self {
        let change = job(":").at;
        let ran = dir.join(format!("undone.{}", change.id));
        let mut undo = job(&format!("echo undone >>{}", ran.display()));
        undo.at.id = JobId::parse(&format!("{}.revert", change.id)).unwrap();
        Self { undo, change, ran }
    }

    async fn arm(&self, session: &dyn Session, after: Duration) -> Standing {
        session.arm(&self.undo, (&self.change, Become::None), after).await.unwrap()
    }

    /// How often the node has undone it.
    fn times(&self) -> usize {
        fs::read_to_string(&self.ran).map_or(0, |text| text.lines().count())
    }

    /// Waits until the node's process for it has ended.
    async fn ended(&self, endpoint: &Endpoint) {
        let start = Instant::now();
        let exit = kept(endpoint, &self.undo.at, "exit");
        while !fs::read_to_string(&exit).is_ok_and(|outcome| outcome.contains("kept")) {
            assert!(start.elapsed() < PATIENCE, "the node's timer does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A file that the node keeps of a job.
fn kept(endpoint: &Endpoint, at: &JobRef, file: &str) -> PathBuf {
    let runs = endpoint.state_dir.as_ref().unwrap().join(at.cluster.as_str()).join("runs");
    runs.join(&at.run).join("jobs").join(at.id.as_str()).join(file)
}

fn record(endpoint: &Endpoint, at: &JobRef) -> String {
    fs::read_to_string(kept(endpoint, at, "verdict")).unwrap_or_default()
}

/// Decides; whoever loses contact meanwhile asks again.
async fn decide(endpoint: &Endpoint, session: &Arc<dyn Session>, at: &JobRef, word: RevertWord) -> Revert {
    let (start, mut session) = (Instant::now(), Arc::clone(session));
    loop {
        match session.decide(at, Some(word)).await {
            Ok(told) => return told,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        if let Ok(again) = connect(endpoint).await {
            session = again;
        }
    }
}

/// One change whose time is over just when two connections decide about it; who came first.
async fn race(node: &Node, other: &Arc<dyn Session>, case: u64) -> Revert {
    let armed = Armed::new(node.dir.path());
    let after = Duration::from_secs(1);
    let (begun, mut session) = (Instant::now(), Arc::clone(&node.session));
    // Whoever loses contact arms it again, and it is the same one.
    while let Err(error) = session.arm(&armed.undo, (&armed.change, Become::None), after).await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        session = connect(&node.endpoint).await.unwrap_or(session);
    }
    // Some come before it is over, some after, the most just then.
    tokio::time::sleep(after.mul_f64(0.025 * (case % 50) as f64)).await;
    let (endpoint, at) = (&node.endpoint, &armed.undo.at);
    let (one, two) = tokio::join!(
        decide(endpoint, &node.session, at, RevertWord::Confirm),
        decide(endpoint, other, at, RevertWord::Withdraw),
    );
    assert_eq!(one, two, "both were told the same");
    armed.ended(endpoint).await;
    assert_eq!(armed.times(), usize::from(one == Revert::Reverted), "{one:?}");
    assert_eq!(record(endpoint, at), format!("{}\n", format!("{one:?}").to_lowercase()));
    one
}

#[tokio::test]
async fn of_the_time_a_confirmation_and_a_withdrawal_exactly_one_is_first() {
    for (shell, races) in [("dash", 150), ("busybox", 50)] {
        let node = if shell == "dash" { Node::local().await } else { Node::over(sshd(shell)).await };
        let other = connect(&node.endpoint).await.unwrap();
        let ends: Vec<Revert> =
            stream::iter(0..races).map(|case| race(&node, &other, case)).buffer_unordered(4).collect().await;
        let count = |wanted| ends.iter().filter(|end| **end == wanted).count();
        let [confirmed, withdrawn, reverted] =
            [Revert::Confirmed, Revert::Withdrawn, Revert::Reverted].map(count);
        println!("{shell}: {races} races: {confirmed} confirmed, {withdrawn} withdrawn, {reverted} undone");
        assert!(confirmed + withdrawn > 0 && reverted > 0, "no race");
        assert_eq!(confirmed + withdrawn + reverted, ends.len());
    }
}

#[tokio::test]
async fn it_outlives_the_connection_that_it_was_started_by() {
    let node = Node::ssh().await;
    let armed = Armed::new(node.dir.path());
    let other = connect(&node.endpoint).await.unwrap();
    assert_eq!(armed.arm(&*other, Duration::from_secs(1)).await, Standing::Running);
    kill_server(&*other).await;
    armed.ended(&node.endpoint).await;
    assert_eq!(armed.times(), 1);
    assert_eq!(record(&node.endpoint, &armed.undo.at), "reverted\n");
    // Whoever follows it hears how its undo ended.
    let limit = Limit { deadline: SOON, become_with: armed.undo.become_with };
    let end = node.session.attach(&armed.undo.at, [0, 0], &limit, &Heard::default()).await.unwrap();
    assert_eq!(end, JobEnd::Exited { code: 0 });
}

#[tokio::test]
async fn what_was_decided_before_its_time_is_never_undone() {
    for node in Node::both().await {
        for (word, told) in
            [(RevertWord::Confirm, Revert::Confirmed), (RevertWord::Withdraw, Revert::Withdrawn)]
        {
            let armed = Armed::new(node.dir.path());
            assert_eq!(armed.arm(&*node.session, LONG).await, Standing::Running);
            assert_eq!(node.session.decide(&armed.undo.at, None).await.unwrap(), Revert::Pending);
            assert_eq!(node.session.decide(&armed.undo.at, Some(word)).await.unwrap(), told, "{}", node.how);
            // Its process does not stay for the rest of the time.
            armed.ended(&node.endpoint).await;
            assert_eq!(armed.times(), 0, "{}", node.how);
        }
    }
}

#[tokio::test]
async fn armed_twice_it_waits_once() {
    let node = Node::local().await;
    let armed = Armed::new(node.dir.path());
    let after = Duration::from_millis(600);
    assert_eq!(armed.arm(&*node.session, after).await, Standing::Running);
    assert_eq!(armed.arm(&*node.session, after).await, Standing::Running);
    armed.ended(&node.endpoint).await;
    assert_eq!(armed.times(), 1);
}

/// The call that arms it may sit in a dead link, and arrive when rollgate has gone on.
#[tokio::test]
async fn what_was_withdrawn_before_it_was_armed_never_is() {
    let node = Node::local().await;
    let armed = Armed::new(node.dir.path());
    let told = node.session.decide(&armed.undo.at, Some(RevertWord::Withdraw)).await.unwrap();
    assert_eq!(told, Revert::Withdrawn);
    assert_eq!(armed.arm(&*node.session, Duration::from_millis(10)).await, Standing::Void);
    assert_eq!(armed.times(), 0);
}

#[tokio::test]
async fn what_is_still_at_it_is_ended_before_it_is_undone() {
    let node = Node::local().await;
    let mut armed = Armed::new(node.dir.path());
    let log = node.dir.path().join("log");
    let change =
        Job { deadline: LONG, ..job(&format!("echo made >>{0}; sleep 300; echo late >>{0}", log.display())) };
    armed.change = change.at.clone();
    armed.undo.script = format!("echo undone >>{0}; echo undone >>{1}", log.display(), armed.ran.display());
    assert_eq!(armed.arm(&*node.session, Duration::from_secs(1)).await, Standing::Running);
    let heard = Heard::default();
    let end = tokio::time::timeout(PATIENCE, node.session.start(&change, &heard)).await;
    let end = end.expect("the node ends it").unwrap();
    assert!(matches!(end, JobEnd::TimedOut { stopped: true, .. }), "{end:?}");
    armed.ended(&node.endpoint).await;
    assert_eq!(fs::read_to_string(log).unwrap(), "made\nundone\n");
}

/// Its start may be as late as that.
#[tokio::test]
async fn a_change_that_had_not_begun_when_it_was_undone_never_begins() {
    let node = Node::local().await;
    let mut armed = Armed::new(node.dir.path());
    let made = node.dir.path().join("made");
    let change = job(&format!("echo made >>{}", made.display()));
    armed.change = change.at.clone();
    armed.arm(&*node.session, Duration::from_millis(10)).await;
    armed.ended(&node.endpoint).await;
    assert_eq!(armed.times(), 1);
    let end = node.session.start(&change, &Heard::default()).await.unwrap();
    assert_eq!(end, JobEnd::Unclear(Standing::Void));
    assert!(!made.exists());
}

#[tokio::test]
async fn under_a_lost_lock_it_is_not_armed() {
    let node = Node::local().await;
    let armed = Armed::new(node.dir.path());
    let cluster = node.endpoint.state_dir.as_ref().unwrap().join(armed.undo.at.cluster.as_str());
    fs::create_dir_all(cluster.join("fence")).unwrap();
    fs::write(cluster.join("fence/2"), "").unwrap();
    assert_eq!(armed.arm(&*node.session, Duration::from_millis(10)).await, Standing::Fenced);
    assert_eq!(armed.times(), 0);
}

#[tokio::test]
async fn its_undo_may_fail_and_says_so() {
    let node = Node::local().await;
    let mut armed = Armed::new(node.dir.path());
    armed.undo.script = "echo cannot >&2; exit 5".to_owned();
    armed.arm(&*node.session, Duration::from_millis(10)).await;
    let limit = Limit { deadline: SOON, become_with: armed.undo.become_with };
    let heard = Heard::default();
    let end = node.session.attach(&armed.undo.at, [0, 0], &limit, &heard).await.unwrap();
    assert_eq!((end, heard.err().as_str()), (JobEnd::Exited { code: 5 }, "cannot\n"));
}

/// Whoever has no rights cannot end what has some: the undo would run beside the change.
#[tokio::test]
async fn what_is_still_at_it_is_ended_with_the_rights_that_it_has() {
    let mut guarded = Guarded::new().for_steps_alone();
    let node = guarded.node().await;
    let mut armed = Armed::new(node.dir.path());
    let log = node.dir.path().join("log");
    let change = Job {
        deadline: LONG,
        become_with: Become::Sudo,
        ..job(&format!("echo made >>{0}; sleep 300; echo late >>{0}", log.display()))
    };
    armed.change = change.at.clone();
    armed.undo.script = format!("echo undone >>{0}; echo undone >>{1}", log.display(), armed.ran.display());
    let rights = (&armed.change, Become::Sudo);
    let standing = node.session.arm(&armed.undo, rights, Duration::from_secs(3)).await.unwrap();
    assert_eq!(standing, Standing::Running);
    let before = guarded.calls();
    let end = tokio::time::timeout(PATIENCE, node.session.start(&change, &Heard::default())).await;
    let end = end.expect("the node ends it").unwrap();
    assert!(matches!(end, JobEnd::TimedOut { stopped: true, .. }), "{end:?}");
    armed.ended(&node.endpoint).await;
    assert_eq!(fs::read_to_string(log).unwrap(), "made\nundone\n");
    // One proof and one shell for the change, and one shell for the end of it: that was proved when it was armed.
    let calls = guarded.calls()[before.len()..].to_vec();
    assert_eq!(calls.iter().filter(|call| call.contains("-- sh -c")).count(), 2, "{calls:?}");
    assert!(guarded.tried().iter().all(|line| line == super::rights::PASSWORD), "{:?}", guarded.tried());
}

#[tokio::test]
async fn without_the_rights_of_the_change_it_is_not_armed() {
    let mut guarded = Guarded::new().for_steps_alone();
    let node = guarded.node().await;
    let armed = Armed::new(node.dir.path());
    guarded.change();
    let before = guarded.tried().len();
    for says in ["sudo does not take the password", "it is not tried again"] {
        let rights = (&armed.change, Become::Sudo);
        let error = node.session.arm(&armed.undo, rights, LONG).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(guarded.tried().len(), before + 1);
    }
    assert!(!kept(&node.endpoint, &armed.undo.at, "owner").exists());
}

/// Each time counts where accounts are locked for less.
#[tokio::test]
async fn a_password_that_is_another_by_now_is_tried_once_to_decide() {
    let mut guarded = Guarded::new();
    let node = guarded.node().await;
    let mut armed = Armed::new(node.dir.path());
    armed.undo.become_with = Become::Sudo;
    let rights = (&armed.change, Become::Sudo);
    assert_eq!(node.session.arm(&armed.undo, rights, LONG).await.unwrap(), Standing::Running);
    let before = guarded.tried().len();
    guarded.change();
    for says in ["sudo does not take the password", "it is not tried again"] {
        let error = node.session.decide(&armed.undo.at, Some(RevertWord::Confirm)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        let TransportError::Unreachable { why, .. } = error else { panic!("{error:?}") };
        assert_eq!(why.kind, Kind::Password);
        assert_eq!(guarded.tried().len(), before + 1);
    }
    // The one who waits goes on waiting; it is told here, since nobody else tells it.
    fs::write(kept(&node.endpoint, &armed.undo.at, "verdict"), "withdrawn\n").unwrap();
    armed.ended(&node.endpoint).await;
    assert_eq!(armed.times(), 0);
}

/// As on a disk that has become read-only: nobody can confirm it there, so the node opens itself, and says so to
/// whoever comes when words are kept again.
#[tokio::test]
async fn where_no_word_can_be_kept_it_is_undone_all_the_same() {
    let tools = tempfile::tempdir().unwrap();
    let no_link = tools.path().join("no-link");
    let ln = format!("#!/bin/sh\n[ ! -e {} ] || exit 1\nexec /bin/ln \"$@\"\n", no_link.display());
    plant(tools.path(), "ln", &ln);
    let node = Node::over(sshd_with(tools.path())).await;
    let armed = Armed::new(node.dir.path());
    assert_eq!(armed.arm(&*node.session, Duration::from_secs(2)).await, Standing::Running);
    fs::write(&no_link, "").unwrap();
    let error = node.session.decide(&armed.undo.at, Some(RevertWord::Confirm)).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    armed.ended(&node.endpoint).await;
    assert_eq!((armed.times(), record(&node.endpoint, &armed.undo.at).as_str()), (1, ""));
    fs::remove_file(no_link).unwrap();
    for word in [RevertWord::Confirm, RevertWord::Withdraw] {
        assert_eq!(node.session.decide(&armed.undo.at, Some(word)).await.unwrap(), Revert::Reverted);
    }
    assert_eq!(record(&node.endpoint, &armed.undo.at), "reverted\n");
}
