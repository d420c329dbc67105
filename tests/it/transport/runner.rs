//! The node-side runner: whoever starts a job, however often, and whatever dies meanwhile, it runs once, and its
//! exit status and its output come back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use rollgate::model::host::Become;
use rollgate::model::job::Standing;
use rollgate::transport::{
    Connector as _, Dialer, Endpoint, Job, JobEnd, JobRef, Limit, Secret, Session, Stream, TransportError,
};
use rustix::process::{Pid, Signal, kill_process};

use super::node::{Heard, Node, SOON, Sshd, connect, job, plant, probe};
use crate::support::PATIENCE;

const LIMIT: Limit = Limit { deadline: SOON, become_with: Become::None };

/// The directory of busybox, which several tests use, is made once.
static MADE: std::sync::Once = std::sync::Once::new();

/// An sshd whose logins find busybox before everything else, or what this machine has.
pub(crate) fn sshd(shell: &str) -> Sshd {
    if shell != "busybox" {
        return Sshd::start();
    }
    let bin = std::env::temp_dir().join(format!("rollgate-busybox-{}", std::process::id()));
    MADE.call_once(|| {
        // One of an earlier process of this number is as good.
        let _ = fs::remove_dir_all(&bin);
        fs::create_dir(&bin).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("busybox is installed (apt-get install busybox)");
        let applets = Command::new(busybox).arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines() {
            symlink(busybox, bin.join(applet)).unwrap();
        }
    });
    Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.display()))
}

fn fences(endpoint: &Endpoint, job: &JobRef) -> std::path::PathBuf {
    endpoint.state_dir.as_ref().unwrap().join(job.cluster.as_str()).join("fence")
}

/// Marks the run as known, as the lock does it.
fn know(endpoint: &Endpoint, job: &JobRef) {
    let run = endpoint.state_dir.as_ref().unwrap().join(job.cluster.as_str()).join("runs").join(&job.run);
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("known"), "").unwrap();
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Ends the process on the other side of a session's connection.
pub(crate) async fn kill_server(session: &dyn Session) {
    let replies = session.probe(&[probe("ps -o ppid= -p $$; ps -o ppid= -p $PPID")], SOON).await.unwrap();
    let server = replies[0].stdout.text().lines().next().unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_job_that_two_clients_start_at_once_runs_once() {
    const IDS: usize = 200;
    for shell in ["dash", "busybox"] {
        let node = Node::over(sshd(shell)).await;
        let said = node.session.probe(&[probe("readlink -f \"$(command -v sh)\"")], SOON).await.unwrap();
        assert!(said[0].stdout.text().contains(shell), "sh is {}", said[0].stdout.text());
        let other = connect(&node.endpoint).await.unwrap();
        let once = stream::iter(0..IDS)
            .map(|id| {
                let ran = node.dir.path().join(format!("ran.{id}"));
                let (one, two) = (Arc::clone(&node.session), Arc::clone(&other));
                async move {
                    let job = job(&format!("echo run >>{}; echo said; exit 3", ran.display()));
                    let heard = [Heard::default(), Heard::default()];
                    let (a, b) = tokio::join!(one.start(&job, &heard[0]), two.start(&job, &heard[1]));
                    let same = [a, b].into_iter().zip(&heard).all(|(end, heard)| {
                        end.unwrap() == JobEnd::Exited { code: 3 } && heard.out() == "said\n"
                    });
                    same && lines(&ran) == 1
                }
            })
            .buffer_unordered(4)
            .filter(|once| std::future::ready(*once))
            .count()
            .await;
        println!("{shell}: {once} of {IDS} jobs started by two clients at once ran once");
        assert_eq!(once, IDS, "{shell}");
    }
}

/// One job whose connection is cut in its middle; whether it ran once, and all of it came back.
async fn cut(sshd: &Sshd, dir: &Path, case: usize) -> bool {
    let (by_server, chatty) = (case.is_multiple_of(2), (case / 2).is_multiple_of(2));
    let ran = dir.join(format!("ran.{case}"));
    let talk = if chatty {
        "i=0; while [ $i -lt 4000 ]; do echo \"line $i of what it says\"; i=$((i+1)); done; \
         printf 'and no newline'; head -c 70000 /dev/zero | tr '\\0' e >&2"
    } else {
        ":"
    };
    let mut job = job(&format!("echo run >>{}; sleep 0.4; {talk}; sleep 0.4; exit 7", ran.display()));
    job.deadline = Duration::from_mins(1);
    // Connections are slow to make when a hundred are; what is tested is what follows.
    let endpoint = sshd.endpoint();
    let session = Dialer::new().connect(&endpoint).await.unwrap();
    let (sink, at) = (Arc::new(Heard::default()), job.at.clone());
    let run = {
        let (session, sink) = (Arc::clone(&session), Arc::clone(&sink));
        tokio::spawn(async move { session.start(&job, &*sink).await })
    };
    while !ran.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(17 * (case as u64 % 30))).await;
    if by_server {
        kill_server(&*session).await;
    } else {
        session.close().await;
    }
    let mut end = run.await.unwrap();
    if matches!(end, Err(TransportError::Lost { .. })) {
        let again = connect(&endpoint).await.unwrap();
        let from = [sink.bytes(Stream::Out).len() as u64, sink.bytes(Stream::Err).len() as u64];
        end = again.attach(&at, from, &LIMIT, &*sink).await;
    }
    let (out, err) = (sink.bytes(Stream::Out), sink.bytes(Stream::Err));
    let mut whole: Vec<u8> = Vec::new();
    if chatty {
        whole = (0..4000).flat_map(|i| format!("line {i} of what it says\n").into_bytes()).collect();
        whole.extend(b"and no newline");
    }
    let errors = if chatty { 70_000 } else { 0 };
    end.is_ok_and(|end| end == JobEnd::Exited { code: 7 })
        && out == whole
        && err.len() == errors
        && lines(&ran) == 1
}

#[tokio::test]
async fn a_connection_cut_in_a_job_loses_neither_its_exit_code_nor_a_byte() {
    const CASES: usize = 100;
    let (sshd, dir) = (sshd("dash"), tempfile::tempdir().unwrap());
    let whole = stream::iter(0..CASES)
        .map(|case| cut(&sshd, dir.path(), case))
        .buffer_unordered(4)
        .filter(|whole| std::future::ready(*whole))
        .count()
        .await;
    println!("{whole} of {CASES} jobs whose connection was cut gave their exit code and every byte");
    assert_eq!(whole, CASES);
}

#[tokio::test]
async fn whoever_takes_over_first_raises_the_fence_and_then_sees_every_job_that_may_run() {
    const RACES: usize = 500;
    let node = Node::local().await;
    let mut began = 0;
    for race in 0..RACES {
        let ran = node.dir.path().join(format!("ran.{race}"));
        let mut job = job(&format!("echo run >>{}", ran.display()));
        job.at.run = format!("2026-11-21.1-{race:08x}");
        job.at.cluster = rollgate::model::name::ClusterName::parse(&format!("race{race}")).unwrap();
        know(&node.endpoint, &job.at);
        let fences = fences(&node.endpoint, &job.at);
        fs::create_dir_all(&fences).unwrap();
        let (session, at) = (Arc::clone(&node.session), job.at.clone());
        let start = tokio::spawn(async move { session.start(&job, &Heard::default()).await });
        tokio::time::sleep(Duration::from_micros(131 * (race as u64 % 300))).await;
        fs::write(fences.join("2"), "").unwrap();
        let seen = node.session.standing(&at).await.unwrap();
        let end = start.await.unwrap().unwrap();
        let ran = lines(&ran);
        began += ran;
        match end {
            JobEnd::Exited { code: 0 } => {
                assert!(ran == 1 && !matches!(seen, Standing::Absent { .. }), "{seen:?}");
            }
            JobEnd::Unclear(Standing::Fenced) => assert_eq!(ran, 0),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    println!("{RACES} starts raced a take-over: {began} ran and were seen, the others never began");
    assert!(began > 0 && began < RACES, "no race: {began}");
}

#[tokio::test]
async fn a_job_started_under_a_lost_lock_never_begins() {
    for node in Node::both().await {
        let job = job(&format!("echo run >>{}", node.dir.path().join("ran").display()));
        let fences = fences(&node.endpoint, &job.at);
        fs::create_dir_all(&fences).unwrap();
        fs::write(fences.join("12"), "").unwrap();
        let end = node.session.start(&job, &Heard::default()).await.unwrap();
        assert_eq!(end, JobEnd::Unclear(Standing::Fenced));
        let again = node.session.start(&Job { epoch: 12, ..job }, &Heard::default()).await.unwrap();
        assert_eq!(again, JobEnd::Unclear(Standing::Fenced), "what was refused stays refused");
        assert!(!node.dir.path().join("ran").exists());
    }
}

#[tokio::test]
async fn another_script_under_the_same_name_is_a_conflict() {
    let node = Node::local().await;
    let one = job("exit 4");
    let end = node.session.start(&one, &Heard::default()).await.unwrap();
    assert_eq!(end, JobEnd::Exited { code: 4 });
    let two = Job { at: one.at.clone(), ..job("exit 5") };
    let end = node.session.start(&two, &Heard::default()).await.unwrap();
    assert_eq!(end, JobEnd::Unclear(Standing::Conflict));
}

#[tokio::test]
async fn what_a_node_says_of_a_job_that_is_not_there() {
    let node = Node::local().await;
    let job = job(":").at;
    assert_eq!(node.session.standing(&job).await.unwrap(), Standing::Absent { known: false });
    know(&node.endpoint, &job);
    assert_eq!(node.session.standing(&job).await.unwrap(), Standing::Absent { known: true });
    let end = node.session.attach(&job, [0, 0], &LIMIT, &Heard::default()).await.unwrap();
    assert_eq!(end, JobEnd::Unclear(Standing::Absent { known: true }));
}

/// The process that keeps how a job ends.
fn supervisor(node: &Node, at: &JobRef) -> Pid {
    let runs = node.endpoint.state_dir.as_ref().unwrap().join("test/runs");
    let owner =
        fs::read_to_string(runs.join(&at.run).join("jobs").join(at.id.as_str()).join("owner")).unwrap();
    Pid::from_raw(owner.split(' ').nth(3).unwrap().parse().unwrap()).unwrap()
}

/// At a shutdown all are told to end, in any order: it is no end of the script's own also where the script hears
/// of it first.
#[tokio::test]
async fn a_shutdown_that_the_script_hears_of_first_is_one() {
    let node = Node::local().await;
    let job = job("sh -c 'echo $PPID'; while :; do sleep 0.1; done");
    let (session, heard, at) = (Arc::clone(&node.session), Arc::new(Heard::default()), job.at.clone());
    let sink = Arc::clone(&heard);
    let run = tokio::spawn(async move { session.start(&job, &*sink).await });
    heard.wait_for("\n").await;
    let script = Pid::from_raw(heard.out().trim().parse().unwrap()).unwrap();
    let supervisor = supervisor(&node, &at);
    kill_process(script, Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    kill_process(supervisor, Signal::TERM).unwrap();
    let end = run.await.unwrap().unwrap();
    let shutdown = Standing::Ended { code: 143, interrupted: true, stopped: false, rebooted: false };
    assert_eq!(end, JobEnd::Unclear(shutdown));
}

#[tokio::test]
async fn a_killed_supervisor_leaves_a_job_lost_when_its_last_process_is_gone() {
    let node = Node::local().await;
    let job = job(&format!("echo $PPID $$; sleep 1; echo late >>{}", node.dir.path().join("late").display()));
    let (session, heard, at) = (Arc::clone(&node.session), Arc::new(Heard::default()), job.at.clone());
    let sink = Arc::clone(&heard);
    let run = tokio::spawn(async move { session.start(&job, &*sink).await });
    heard.wait_for("\n").await;
    kill_process(supervisor(&node, &at), Signal::KILL).unwrap();
    let seen = node.session.standing(&at).await.unwrap();
    assert!(matches!(seen, Standing::Lost { rebooted: false, orphans: 1.. }), "{seen:?}");
    let end = run.await.unwrap().unwrap();
    assert_eq!(end, JobEnd::Unclear(Standing::Lost { rebooted: false, orphans: 0 }));
    assert!(node.dir.path().join("late").exists(), "it was waited for");
}

#[tokio::test]
async fn an_end_reaches_what_left_its_session() {
    for node in Node::both().await {
        let after = Duration::from_millis(800);
        let pid = node.dir.path().join("pid");
        let script = format!("setsid sh -c 'echo $$ >{}; exec sleep 300' & sleep 300", pid.display());
        let end =
            node.session.start(&Job { deadline: after, ..job(&script) }, &Heard::default()).await.unwrap();
        assert_eq!(end, JobEnd::TimedOut { after, stopped: true }, "{}", node.how);
        assert!(!super::node::runs(fs::read_to_string(pid).unwrap().trim()), "{}: it runs on", node.how);
    }
}

#[tokio::test]
async fn a_job_that_was_given_up_before_it_began_never_begins() {
    const RACES: usize = 100;
    let node = Node::local().await;
    let mut began = 0;
    for race in 0..RACES {
        let ran = node.dir.path().join(format!("ran.{race}"));
        // As soon as it is started it is too late: the node is told to end it.
        let deadline = Duration::from_micros(400 * race as u64);
        let job = Job { deadline, ..job(&format!("echo run >>{}; sleep 5", ran.display())) };
        let end = node.session.start(&job, &Heard::default()).await;
        let after = node.session.standing(&job.at).await.unwrap();
        match end {
            Ok(JobEnd::TimedOut { stopped: true, .. }) => began += 1,
            Ok(JobEnd::Unclear(standing)) if standing.never_began() => assert_eq!(lines(&ran), 0),
            // The call was not even made.
            Err(error) if error.never_began() => assert_eq!(lines(&ran), 0),
            other => panic!("{other:?}, {after:?}"),
        }
        assert_ne!(after, Standing::Running, "it runs on");
    }
    println!("{RACES} jobs given up at once: {began} had begun and were ended, the others never began");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ran = (0..RACES).filter(|race| node.dir.path().join(format!("ran.{race}")).exists()).count();
    assert!(ran <= began);
}

/// A sum of a secret would stay on the node, where it can be guessed at: neither a secret nor the input that it may
/// stand in has a part in what tells two scripts apart. Other input has.
#[tokio::test]
async fn another_value_of_a_secret_makes_no_other_job() {
    for node in Node::both().await {
        let ran = node.dir.path().join("ran");
        let at = job(":").at;
        let of = |value: &str| Job {
            at: at.clone(),
            secrets: super::node::secrets("token", value),
            stdin: Some(Secret::new(format!("{value} as input"))),
            ..job(&format!("echo run >>{}; cat >/dev/null; echo said", ran.display()))
        };
        for value in ["first-5ecret", "second-5ecret"] {
            let heard = Heard::default();
            let end = node.session.start(&of(value), &heard).await.unwrap();
            assert_eq!(end, JobEnd::Exited { code: 0 }, "{}: {value}", node.how);
            assert_eq!(heard.out(), "said\n");
        }
        assert_eq!(lines(&ran), 1, "{}", node.how);
        let at = job(":").at;
        let of = |input: &str| Job {
            at: at.clone(),
            stdin: Some(Secret::new(input.to_owned())),
            ..job("cat >/dev/null")
        };
        let first = node.session.start(&of("one"), &Heard::default()).await.unwrap();
        let second = node.session.start(&of("two"), &Heard::default()).await.unwrap();
        assert_eq!(first, JobEnd::Exited { code: 0 });
        assert_eq!(second, JobEnd::Unclear(Standing::Conflict), "{}", node.how);
    }
}

/// An sshd whose logins find these programs first, and no start file that uses one of them itself.
pub(crate) fn sshd_with(tools: &Path) -> Sshd {
    Sshd::with(&format!("SetEnv PATH={0}:/usr/bin:/bin HOME={0}", tools.display()))
}

/// A node on which every nap takes half a minute: whoever waits for a look at something waits that long.
#[tokio::test]
async fn the_end_of_a_step_is_told_and_not_looked_for() {
    let tools = tempfile::tempdir().unwrap();
    let nappers = tools.path().join("nappers");
    let sleep = format!("#!/bin/sh\nexec >&- 2>&-\necho $PPID >>{}\nexec /bin/sleep 30\n", nappers.display());
    plant(tools.path(), "sleep", &sleep);
    let node = Node::over(sshd_with(tools.path())).await;
    let begun = Instant::now();
    for _ in 0..3 {
        let end = node.session.start(&job("echo done"), &Heard::default()).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 0 });
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    // A ticker may not have come to its nap yet.
    while lines(&nappers) < 3 {
        assert!(begun.elapsed() < PATIENCE, "one ticker a step");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines(&nappers), 3, "one ticker a step");
}

/// What tells a follower to look again ends with him.
#[tokio::test]
async fn nothing_of_a_call_is_left_when_its_step_has_ended() {
    let tools = tempfile::tempdir().unwrap();
    let nappers = tools.path().join("nappers");
    plant(
        tools.path(),
        "sleep",
        &format!("#!/bin/sh\necho $PPID >>{}\nexec /bin/sleep \"$@\"\n", nappers.display()),
    );
    let node = Node::over(sshd_with(tools.path())).await;
    node.session.start(&job("/bin/sleep 0.7"), &Heard::default()).await.unwrap();
    let begun = Instant::now();
    loop {
        let nappers = fs::read_to_string(&nappers).unwrap();
        let is_alive = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        };
        if !nappers.lines().any(is_alive) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "still there: {nappers}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_a_step_costs_beside_a_plain_ssh_command() {
    const ROUNDS: usize = 40;
    let node = Node::ssh().await;
    let master = node.sshd.as_ref().unwrap().masters()[0];
    let words = fs::read(format!("/proc/{master}/cmdline")).unwrap();
    let words: Vec<&str> = words.split(|byte| *byte == 0).map(|word| str::from_utf8(word).unwrap()).collect();
    let socket = words[words.iter().position(|word| *word == "-S").unwrap() + 1];
    let plain = |command: &str, input: &str| {
        let start = Instant::now();
        let mut child = Command::new("ssh")
            .args([
                "-S",
                socket,
                "-o",
                "ControlMaster=no",
                "-o",
                "ProxyCommand=/bin/false",
                "127.0.0.1",
                command,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        start.elapsed()
    };
    let mut took: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        took[0].push(plain("true", ""));
        took[1].push(plain("sh -s", "true\n"));
        let start = Instant::now();
        node.session.probe(&[probe("true")], SOON).await.unwrap();
        took[2].push(start.elapsed());
        let start = Instant::now();
        node.session.start(&job("true"), &Heard::default()).await.unwrap();
        took[3].push(start.elapsed());
    }
    let median = |list: &mut Vec<Duration>| {
        list.sort();
        list[ROUNDS / 2].as_secs_f64() * 1000.0
    };
    let [bare, piped, check, step] = &mut took;
    let (bare, piped, check, step) = (median(bare), median(piped), median(check), median(step));
    println!(
        "one command over one connection, median of {ROUNDS}: ssh true {bare:.1} ms, ssh sh -s {piped:.1} ms, \
         a check {check:.1} ms, a step {step:.1} ms ({:+.1} ms over ssh sh -s)",
        step - piped
    );
    assert!(step < piped + 250.0, "a step costs {step:.0} ms beside {piped:.0} ms");
}
