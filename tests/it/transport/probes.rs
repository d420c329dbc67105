//! Questions: batches, their replies, and scripts that hang.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rollgate::model::host::{Become, Shell};
use rollgate::transport::{Probe, ProbeEnd};

use super::node::{Node, SOON, plant, probe, runs};

#[tokio::test]
async fn every_script_of_a_batch_has_its_own_reply() {
    for node in Node::both().await {
        let batch = [
            probe("echo one; echo 'no newline' | tr -d '\\n' >&2"),
            probe("exit 255"),
            probe("echo ${unset_variable}; echo not reached"),
            probe("false; echo not reached"),
            probe("if then"),
            Probe { shell: Shell::Bash, ..probe("false | true; echo not reached") },
            Probe { shell: Shell::Bash, ..probe("[[ a == a* ]] && echo bash") },
            probe("cat; echo six"),
        ];
        let replies = node.session.probe(&batch, SOON).await.unwrap();
        let seen: Vec<_> = replies.iter().map(|reply| (reply.end.clone(), reply.stdout.text())).collect();
        let exited = |code, text: &str| (ProbeEnd::Exited { code }, text.to_owned());
        assert_eq!(seen[0], exited(0, "one\n"));
        assert_eq!(replies[0].stderr.text(), "no newline");
        assert_eq!(seen[1], exited(255, ""));
        assert_eq!(seen[2], exited(2, ""), "{}", replies[2].stderr.text());
        assert_eq!(seen[3], exited(1, ""));
        assert_eq!(seen[4], exited(2, ""));
        assert_eq!(seen[5], exited(1, ""));
        assert_eq!(seen[6], exited(0, "bash\n"));
        assert_eq!(seen[7], exited(0, "six\n"));
    }
}

#[tokio::test]
async fn a_batch_is_one_shell_of_one_channel() {
    let node = Node::ssh().await;
    let batch: Vec<_> = (0..8).map(|_| probe("echo $$ $PPID")).collect();
    let replies = node.session.probe(&batch, SOON).await.unwrap();
    let first = replies[0].stdout.text();
    assert!(replies.iter().all(|reply| reply.stdout.text() == first), "{replies:?}");
}

#[tokio::test]
async fn scripts_in_turn_have_a_time_each_and_answer_one_by_one() {
    let node = Node::ssh().await;
    let batch = [
        probe("echo one; sleep 0.6"),
        probe("echo two; sleep 0.6"),
        probe("exit 3"),
        probe("sleep 300"),
        probe("echo never"),
    ];
    let limits = [Duration::from_secs(1); 5];
    let begun = Instant::now();
    let heard = std::sync::Mutex::new(Vec::new());
    let told = |number: usize, reply: rollgate::transport::ProbeReply| {
        heard.lock().unwrap().push((number, reply.end, reply.stdout.text(), begun.elapsed()));
    };
    node.session.probe_in_turn(&batch, &limits, &told).await.unwrap();
    let heard = heard.into_inner().unwrap();
    let said: Vec<_> =
        heard.iter().map(|(number, end, text, _)| (*number, end.clone(), text.as_str())).collect();
    let exited = |code| ProbeEnd::Exited { code };
    // Of the one behind it nothing is said: it was never run.
    let wanted =
        [(0, exited(0), "one\n"), (1, exited(0), "two\n"), (2, exited(3), ""), (3, ProbeEnd::TimedOut, "")];
    assert_eq!(said, wanted);
    assert!(heard[0].3 + Duration::from_millis(500) < heard[1].3, "{heard:?}");
    assert!(node.session.is_alive().await);
}

#[tokio::test]
async fn a_shell_that_dies_in_turn_is_the_end_of_those_behind_it() {
    for node in Node::both().await {
        let batch = [probe("echo first"), probe("kill -9 $$"), probe("echo third")];
        let heard = std::sync::Mutex::new(Vec::new());
        let told = |number: usize, reply: rollgate::transport::ProbeReply| {
            heard.lock().unwrap().push((number, reply.end));
        };
        node.session.probe_in_turn(&batch, &[SOON; 3], &told).await.unwrap();
        assert_eq!(heard.into_inner().unwrap(), [(0, ProbeEnd::Exited { code: 0 }), (1, ProbeEnd::Died)]);
    }
}

#[tokio::test]
async fn a_script_that_hangs_costs_itself_and_those_behind_it() {
    for node in Node::both().await {
        let batch = [probe("echo first"), probe("echo $$; exec sleep 300"), probe("echo third")];
        let start = Instant::now();
        let replies = node.session.probe(&batch, Duration::from_secs(1)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(replies[0].end, ProbeEnd::Exited { code: 0 });
        assert_eq!(replies[0].stdout.text(), "first\n");
        assert_eq!(replies[1].end, ProbeEnd::TimedOut);
        assert!(matches!(replies[2].end, ProbeEnd::NotRun { .. }));
        assert!(!runs(replies[1].stdout.text().trim()), "{}: it hangs on", node.how);
        assert!(node.session.is_alive().await, "{}", node.how);
    }
}

#[tokio::test]
async fn a_script_that_kills_its_shell_leaves_the_others_replies() {
    for node in Node::both().await {
        let batch = [probe("echo first"), probe("kill -9 $$"), probe("echo third")];
        let replies = node.session.probe(&batch, SOON).await.unwrap();
        assert_eq!(replies[0].stdout.text(), "first\n");
        assert_eq!(replies[1].end, ProbeEnd::Died);
        assert!(matches!(replies[2].end, ProbeEnd::NotRun { .. }));
    }
}

#[tokio::test]
async fn output_without_end_is_kept_up_to_a_bound() {
    for node in Node::both().await {
        let batch = [probe("head -c 3000000 /dev/zero"), probe("echo second")];
        let replies = node.session.probe(&batch, SOON).await.unwrap();
        assert_eq!(replies[0].stdout.bytes.len(), 1 << 20);
        assert!(replies[0].stdout.truncated);
        assert_eq!(replies[1].stdout.text(), "second\n");
    }
}

#[tokio::test]
async fn rights_are_gained_for_the_scripts_that_want_them() {
    let bin = tempfile::tempdir().unwrap();
    plant(bin.path(), "sudo", "#!/bin/sh\n[ \"$1\" = -n ] || exit 9\nshift\nBY_SUDO=yes exec \"$@\"\n");
    let sshd = super::node::Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display()));
    let node = Node::over(sshd).await;
    let script = "printf '%s %s\\n' \"${BY_SUDO:-no}\" \"$value\"";
    let ask = |become_with| Probe {
        env: BTreeMap::from([("value".to_owned(), "it's".to_owned())]),
        become_with,
        ..probe(script)
    };
    let batch = [ask(Become::None), ask(Become::Sudo), ask(Become::Doas)];
    let replies = node.session.probe(&batch, SOON).await.unwrap();
    assert_eq!(replies[0].stdout.text(), "no it's\n");
    assert_eq!(replies[1].stdout.text(), "yes it's\n");
    let ProbeEnd::NotRun { why } = &replies[2].end else { panic!("{:?}", replies[2]) };
    assert!(why.contains("not found"), "{why}");
}

#[tokio::test]
async fn an_empty_batch_asks_nothing() {
    let node = Node::local().await;
    assert!(node.session.probe(&[], SOON).await.unwrap().is_empty());
}
