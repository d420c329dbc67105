//! The lock on a node: one winner, whatever races; never broken by silence alone; refused where others could
//! exchange it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures_util::future::join_all;
use rollgate::model::event::{Operator, RunId};
use rollgate::model::fence::{FenceEnd, FenceOwner};
use rollgate::model::name::ClusterName;
use rollgate::transport::{FenceClaim, FenceRule, Session, Taking, TransportError};

use super::node::{Node, Sshd, connect};

fn claim(seat: &str) -> FenceClaim {
    FenceClaim {
        cluster: ClusterName::parse("mq").unwrap(),
        owner: FenceOwner {
            run: RunId("2026-11-21.1".to_owned()),
            token: format!("{seat}{seat}"),
            seat: seat.to_owned(),
            by: Operator { user: "anna".to_owned(), host: format!("desk-{seat}"), pid: 7 },
            doing: "start".to_owned(),
            args: "start --yes".to_owned(),
        },
        rule: FenceRule::Own,
        above: 0,
        first: true,
    }
}

async fn epoch(session: &dyn Session, claim: &FenceClaim) -> u64 {
    match session.take_fence(claim).await.unwrap() {
        Taking::Taken { epoch, .. } => epoch,
        other => panic!("{other:?}"),
    }
}

fn fence_dir(node: &Node) -> PathBuf {
    Path::new(node.root()).join("mq/fence")
}

/// Sets the time of the latest sign of life back.
fn silence(node: &Node, epoch: u64, ago: &str) {
    let beat = fence_dir(node).join(format!("{epoch}.beat"));
    assert!(Command::new("touch").args(["-d", ago]).arg(beat).status().unwrap().success());
}

#[tokio::test]
async fn a_lock_is_taken_shown_kept_and_released() {
    for node in Node::both().await {
        let (session, cluster) = (&node.session, claim("aaaa").cluster);
        assert_eq!(session.fence(&cluster).await.unwrap(), None, "{}", node.how);
        assert!(!Path::new(node.root()).exists(), "looking makes nothing");

        let mine = claim("aaaa");
        let taken = session.take_fence(&mine).await.unwrap();
        assert_eq!(taken, Taking::Taken { epoch: 1, before: FenceEnd::Released });
        let fence = session.fence(&cluster).await.unwrap().unwrap();
        assert_eq!((fence.epoch, fence.ended, fence.owner.by.host.as_str()), (1, None, "desk-aaaa"));
        assert!(fence.seen.as_secs() < 10 && fence.age.as_secs() < 10, "{fence:?}");
        let run = Path::new(node.root()).join("mq/runs/2026-11-21.1-aaaaaaaa");
        assert_eq!(fs::read_to_string(run.join("known")).unwrap(), "aaaa\n");
        for dir in [run.join("jobs"), run.join("journal"), fence_dir(&node)] {
            assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }

        let Taking::Held(held) = session.take_fence(&claim("bbbb")).await.unwrap() else { panic!() };
        assert_eq!(held.owner.seat, "aaaa");
        // The same directory again: its earlier process is gone.
        assert_eq!(
            session.take_fence(&mine).await.unwrap(),
            Taking::Taken { epoch: 2, before: FenceEnd::Stopped }
        );
        silence(&node, 2, "10 minutes ago");
        assert!(session.fence(&cluster).await.unwrap().unwrap().is_stale());
        session.beat(&cluster, 2).await.unwrap();
        assert!(!session.fence(&cluster).await.unwrap().unwrap().is_stale());

        session.end_fence(&cluster, 2, FenceEnd::Stopped).await.unwrap();
        assert!(matches!(session.take_fence(&claim("bbbb")).await.unwrap(), Taking::Held(_)));
        session.end_fence(&cluster, 2, FenceEnd::Released).await.unwrap();
        assert_eq!(epoch(&**session, &claim("bbbb")).await, 3);
    }
}

#[tokio::test]
async fn silence_alone_frees_nothing_and_a_sign_of_life_keeps_it() {
    for node in Node::both().await {
        let session = &node.session;
        assert_eq!(epoch(&**session, &claim("aaaa")).await, 1);
        let breaking = FenceClaim { rule: FenceRule::Break, ..claim("bbbb") };
        assert!(matches!(session.take_fence(&breaking).await.unwrap(), Taking::Held(_)), "it lives");
        silence(&node, 1, "1 day ago");
        assert!(
            matches!(session.take_fence(&claim("bbbb")).await.unwrap(), Taking::Held(_)),
            "not by itself"
        );
        assert_eq!(epoch(&**session, &breaking).await, 2);
    }
}

/// As one that was put back to a snapshot.
#[tokio::test]
async fn a_lock_that_its_node_forgot_has_ended() {
    let node = Node::local().await;
    let mine = claim("aaaa");
    assert_eq!(epoch(&*node.session, &mine).await, 1);
    fs::remove_dir_all(fence_dir(&node)).unwrap();
    node.session.end_fence(&mine.cluster, 1, FenceEnd::Stopped).await.unwrap();
    assert!(!fence_dir(&node).exists(), "nothing is made up");
    assert!(node.session.beat(&mine.cluster, 1).await.is_err(), "but nobody works under it");
}

#[tokio::test]
async fn an_adopted_run_has_moved_for_the_one_who_had_it() {
    let node = Node::local().await;
    let session = &node.session;
    let mine = claim("aaaa");
    assert_eq!(epoch(&*node.session, &mine).await, 1);
    let mut adopting = FenceClaim { rule: FenceRule::Adopt, ..mine.clone() };
    adopting.owner.seat = "bbbb".to_owned();
    assert!(matches!(session.take_fence(&adopting).await.unwrap(), Taking::Held(_)), "its holder lives");
    silence(&node, 1, "2 minutes ago");
    assert_eq!(epoch(&*node.session, &adopting).await, 2);
    session.end_fence(&mine.cluster, 2, FenceEnd::Released).await.unwrap();
    let again = FenceClaim { first: false, above: 1, ..mine.clone() };
    assert!(
        matches!(session.take_fence(&again).await.unwrap(), Taking::Moved(_)),
        "its record is out of date"
    );
    let breaking = FenceClaim { rule: FenceRule::Break, ..again };
    assert!(matches!(session.take_fence(&breaking).await.unwrap(), Taking::Moved(_)));
}

/// A node that was set up anew knows neither the run nor how far its locks had counted.
#[tokio::test]
async fn a_node_that_forgot_counts_on_and_does_not_learn_of_the_run_anew() {
    let node = Node::local().await;
    let mine = claim("aaaa");
    assert_eq!(epoch(&*node.session, &mine).await, 1);
    fs::remove_dir_all(node.root()).unwrap();
    let again = FenceClaim { first: false, above: 4, ..mine };
    assert_eq!(epoch(&*node.session, &again).await, 5);
    assert!(!Path::new(node.root()).join("mq/runs/2026-11-21.1-aaaaaaaa/known").exists());
}

#[tokio::test]
async fn of_several_at_once_one_wins_every_epoch() {
    // ROLLGATE_RACES=500 for a soak; each race costs four claims and a release, fsynced.
    let races: u64 = std::env::var("ROLLGATE_RACES").map_or(40, |races| races.parse().unwrap());
    // A disk that takes its time: who has looked and not yet linked is overtaken more often than not.
    let tools = tempfile::tempdir().unwrap();
    let slow = tools.path().join("sync");
    fs::write(&slow, "#!/bin/sh\nsleep 0.15\nPATH=/usr/bin:/bin exec sync \"$@\"\n").unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("SetEnv PATH={}:/usr/bin:/bin", tools.path().display());
    let node = Node::over(Sshd::with(&path)).await;
    let other = connect(&node.endpoint).await.unwrap();
    assert_eq!(node.run("command -v sync").await.1.trim(), slow.display().to_string());
    let claims = ["aaaa", "bbbb", "cccc", "dddd"].map(claim);
    let mut wins = [0; 4];
    for race in 1..=races {
        let tries = claims.iter().enumerate().map(|(number, claim)| {
            let session = if number % 2 == 0 { &node.session } else { &other };
            session.take_fence(claim)
        });
        let won: Vec<usize> = join_all(tries)
            .await
            .into_iter()
            .enumerate()
            .filter(|(_, taking)| matches!(taking, Ok(Taking::Taken { epoch, .. }) if *epoch == race))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(won.len(), 1, "race {race}: {won:?} have it");
        wins[won[0]] += 1;
        node.session.end_fence(&claims[0].cluster, race, FenceEnd::Released).await.unwrap();
    }
    println!("{races} races of four: {wins:?} wins, one winner each");
}

async fn refused(node: &Node, why: &str) {
    match node.session.take_fence(&claim("aaaa")).await {
        Err(error @ TransportError::Lock { .. }) => {
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.help().is_some_and(|help| help.contains("state_dir")));
        }
        other => panic!("{why}: {other:?}"),
    }
}

#[tokio::test]
async fn a_directory_that_others_could_exchange_holds_no_lock() {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for node in Node::both().await {
        let root = Path::new(node.root()).to_owned();
        let parent = root.parent().unwrap();
        mode(parent, 0o777);
        refused(&node, "everybody can write").await;
        mode(parent, 0o700);
        fs::remove_dir_all(&root).ok();
        fs::create_dir(&root).unwrap();
        mode(&root, 0o1777);
        refused(&node, "everybody can write").await;
        fs::remove_dir(&root).unwrap();
        symlink("/tmp", &root).unwrap();
        refused(&node, "is a link").await;
        fs::remove_file(&root).unwrap();
        mode(parent, 0o1777);
        assert_eq!(epoch(&*node.session, &claim("aaaa")).await, 1, "sticky, as /tmp");
        mode(parent, 0o700);
    }
}

/// A word of a holder that would be shell source, or a line of its own.
#[tokio::test]
async fn what_a_holder_says_of_himself_is_data() {
    let node = Node::local().await;
    let session: &Arc<dyn Session> = &node.session;
    let canary = node.dir.path().join("canary");
    let by = Operator {
        user: format!("$(touch {0})'`touch {0}`", canary.display()),
        host: "a\nend=released".to_owned(),
        pid: 1,
    };
    let mut mine = claim("aaaa");
    mine.owner = FenceOwner { by: by.clone(), args: "%s\\n=\u{1b}[2J".to_owned(), ..mine.owner };
    assert_eq!(epoch(&**session, &mine).await, 1);
    let fence = session.fence(&mine.cluster).await.unwrap().unwrap();
    assert_eq!(
        (fence.owner.by.user, fence.owner.by.host.as_str(), fence.ended),
        (by.user, "a end=released", None)
    );
    assert_eq!(fence.owner.args, "%s\\n= [2J");
    assert!(!canary.exists());
}
