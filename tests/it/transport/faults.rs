//! Connections that break, freeze or fall silent: an error in time, and never a second run.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollgate::model::host::Become;
use rollgate::transport::{Job, JobEnd, Limit, TransportError};
use rustix::process::{Pid, Signal, kill_process};

use super::node::{Heard, Node, SOON, connect, job, probe};

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Starts a job that counts its runs, and waits until it has begun.
async fn begun(node: &Node, deadline: Duration) -> tokio::task::JoinHandle<Result<(), TransportError>> {
    let (session, heard) = (Arc::clone(&node.session), Arc::new(Heard::default()));
    let script = format!("echo run >>{}; echo begun; sleep 4", node.dir.path().join("runs").display());
    let sink = Arc::clone(&heard);
    let run =
        tokio::spawn(async move { session.start(&Job { deadline, ..job(&script) }, &*sink).await.map(drop) });
    heard.wait_for("begun").await;
    run
}

fn runs(node: &Node) -> usize {
    fs::read_to_string(node.dir.path().join("runs")).unwrap().lines().count()
}

#[tokio::test]
async fn a_master_killed_in_a_job_means_that_contact_is_lost() {
    let node = Node::ssh().await;
    let run = begun(&node, SOON).await;
    let start = Instant::now();
    signal(node.sshd.as_ref().unwrap().masters()[0], Signal::KILL);
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(!node.session.is_alive().await);
    assert_eq!(node.sshd.as_ref().unwrap().log().matches("Accepted publickey").count(), 1);
    assert_eq!(runs(&node), 1);
}

#[tokio::test]
async fn a_connection_killed_on_the_node_means_that_contact_is_lost() {
    let node = Node::ssh().await;
    let run = begun(&node, SOON).await;
    let replies =
        node.session.probe(&[probe("ps -o ppid= -p $$; ps -o ppid= -p $PPID")], SOON).await.unwrap();
    let server = replies[0].stdout.text().lines().next().unwrap().trim().parse().unwrap();
    signal(server, Signal::KILL);
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    assert_eq!(runs(&node), 1);
    connect(&node.endpoint).await.unwrap();
}

#[tokio::test]
async fn a_frozen_master_is_noticed_at_the_deadline_and_ended() {
    let node = Node::ssh().await;
    let sshd = node.sshd.as_ref().unwrap();
    let start = Instant::now();
    let run = begun(&node, Duration::from_secs(2)).await;
    let master = sshd.masters()[0];
    signal(master, Signal::STOP);
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    let error = node.session.probe(&[probe(":")], SOON).await.unwrap_err();
    assert!(error.never_began(), "{error:?}");
    let ended = Instant::now();
    while sshd.masters().contains(&master) {
        assert!(ended.elapsed() < SOON, "the frozen ssh is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_question_to_a_frozen_master_never_began() {
    let node = Node::ssh().await;
    // What goes into the channel that was opened ahead may have arrived; one of these takes that.
    for _ in 0..2 {
        node.session.probe(&[probe(":")], SOON).await.unwrap();
    }
    signal(node.sshd.as_ref().unwrap().masters()[0], Signal::STOP);
    let start = Instant::now();
    let error = node.session.probe(&[probe(":")], Duration::from_secs(1)).await.unwrap_err();
    assert!(error.never_began(), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_job_of_this_machine_goes_on_when_nobody_waits_for_it() {
    let node = Node::local().await;
    let (session, heard) = (Arc::clone(&node.session), Arc::new(Heard::default()));
    let (sink, job) = (Arc::clone(&heard), job("echo one; sleep 0.5; echo two; exit 9"));
    let at = job.at.clone();
    let run = tokio::spawn(async move { session.start(&job, &*sink).await.map(drop) });
    heard.wait_for("\n").await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    let (limit, again) = (Limit { deadline: SOON, become_with: Become::None }, Heard::default());
    let end = node.session.attach(&at, [0, 0], &limit, &again).await.unwrap();
    assert_eq!((end, again.out().as_str()), (JobEnd::Exited { code: 9 }, "one\ntwo\n"));
}
