//! Connecting: what is read, and every way in which it can fail.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollgate::model::host::{Become, Connection, SshTarget};
use rollgate::transport::{Connector, Dialer, Endpoint, Kind, ReadOnlyConnector, TransportError, Trouble};

use super::node::{Node, SOON, Sshd, connect, job, plant, probe, refusal};

fn trouble(error: TransportError) -> Trouble {
    assert!(error.never_began());
    match error {
        TransportError::Unreachable { why, .. } => *why,
        other => panic!("{other:?}"),
    }
}

fn aimed(sshd: &Sshd, change: impl FnOnce(&mut SshTarget)) -> Endpoint {
    let mut target = sshd.target();
    change(&mut target);
    Endpoint { connection: Connection::Ssh(target), ..sshd.endpoint() }
}

#[tokio::test]
async fn facts_are_read_at_login() {
    for node in Node::both().await {
        let facts = node.session.facts();
        assert_eq!(facts.uid, rustix::process::geteuid().as_raw());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!(facts.boot_id.as_deref(), Some(boot.trim()));
        assert_eq!(
            Some(facts.root.as_ref()),
            node.endpoint.state_dir.as_deref().and_then(|dir| dir.to_str())
        );
        assert!(facts.kernel.starts_with("Linux "), "{facts:?}");
        if let Some(sshd) = &node.sshd {
            let seen = facts.ssh_connection.as_deref().unwrap();
            assert!(seen.ends_with(&format!("127.0.0.1 {}", sshd.port)), "{seen}");
        }
        assert!(node.session.is_alive().await);
    }
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_the_lines_to_type() {
    let sshd = Sshd::start();
    fs::write(sshd.path("known"), "").unwrap();
    let why = trouble(refusal(&sshd.endpoint()).await);
    assert_eq!(why.kind, Kind::HostKeyUnknown);
    let scan = format!("ssh-keyscan -p {} 127.0.0.1", sshd.port);
    assert_eq!(why.next, Some(format!("{scan} | ssh-keygen -lf -")));
    assert!(why.help.contains(&scan), "{}", why.help);
}

#[tokio::test]
async fn an_unknown_host_key_is_kept_where_that_was_asked_for() {
    let sshd = Sshd::start();
    fs::write(sshd.path("known"), "").unwrap();
    let endpoint = aimed(&sshd, |target| target.accept_new_host_keys = true);
    connect(&endpoint).await.unwrap().close().await;
    connect(&sshd.endpoint()).await.unwrap();
}

#[tokio::test]
async fn a_changed_host_key_is_refused_whatever_was_asked_for() {
    let sshd = Sshd::start();
    let other = Sshd::start();
    sshd.trust(&other.path("host.pub"));
    for accept in [false, true] {
        let endpoint = aimed(&sshd, |target| target.accept_new_host_keys = accept);
        let why = trouble(refusal(&endpoint).await);
        assert_eq!(why.kind, Kind::HostKeyChanged, "{why:?}");
        assert!(why.text.contains("CHANGED, now SHA256:"), "{}", why.text);
    }
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_said_to_be() {
    let sshd = Sshd::start();
    let other = Sshd::start();
    let error = refusal(&aimed(&sshd, |target| target.identity_file = Some(other.path("id")))).await;
    assert_eq!(
        error.to_string(),
        format!("cannot log in to n1 (127.0.0.1 port {}): Permission denied (publickey)", sshd.port)
    );
    assert!(error.help().unwrap().contains("BatchMode=yes"));
    assert!(error.next().unwrap().starts_with("ssh -o BatchMode=yes"));
    assert_eq!(trouble(error).kind, Kind::PermissionDenied);
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_said_to_be() {
    let sshd = Sshd::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let why = trouble(refusal(&aimed(&sshd, |target| target.port = Some(port))).await);
    assert_eq!(why.kind, Kind::ConnectionRefused);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let sshd = Sshd::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let endpoint = aimed(&sshd, |target| {
        target.port = Some(silent.local_addr().unwrap().port());
        target.connect_timeout = Duration::from_secs(1);
    });
    let why = trouble(refusal(&endpoint).await);
    assert_eq!(why.kind, Kind::TimedOut, "{why:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_address_that_ssh_would_take_for_an_option_reaches_no_command_line() {
    let sshd = Sshd::start();
    let canary = sshd.path("canary");
    let touch = format!("-oProxyCommand=touch {}", canary.display());
    for host in [touch.as_str(), "a;b", "$(id)", "a b", "", "a\nb", "`id`"] {
        let error = refusal(&aimed(&sshd, |target| target.host = host.to_owned())).await;
        assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
        let error = refusal(&aimed(&sshd, |target| target.jump = vec![host.to_owned()])).await;
        assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
    }
    assert!(!canary.exists());
}

#[tokio::test]
async fn rights_that_are_not_to_be_had_are_found_out_at_login() {
    let bin = tempfile::tempdir().unwrap();
    plant(bin.path(), "sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    let sshd = Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display()));
    let endpoint = Endpoint { become_with: Become::Sudo, ..sshd.endpoint() };
    let error = refusal(&endpoint).await;
    let text = "sudo there wants a password, and is given none: sudo: a password is required";
    assert!(error.to_string().ends_with(text), "{error}");
    assert!(error.help().unwrap().contains("NOPASSWD"));
    assert!(error.next().unwrap().ends_with("127.0.0.1 sudo -n true"));
    assert_eq!(trouble(error).kind, Kind::Become);
}

/// Signs the key of a login, for a time that ssh-keygen's `-V` says.
fn sign(sshd: &Sshd, authority: &std::path::Path, validity: &str) {
    let login = rustix::process::geteuid().as_raw().to_string();
    let login = std::process::Command::new("id").args(["-un", &login]).output().unwrap();
    let login = String::from_utf8(login.stdout).unwrap();
    let signed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-I", "tests", "-n", login.trim(), "-V", validity, "-s"])
        .arg(authority)
        .arg(sshd.path("id.pub"))
        .status()
        .unwrap();
    assert!(signed.success());
}

#[tokio::test]
async fn a_certificate_lets_in_while_it_is_valid() {
    let authority = tempfile::tempdir().unwrap();
    let key = authority.path().join("ca");
    super::node::keygen(&key);
    let sshd = Sshd::with(&format!("TrustedUserCAKeys {}.pub", key.display()));
    // The key alone is nobody's there.
    fs::rename(sshd.path("authorized"), sshd.path("id.pub")).unwrap();
    let why = trouble(refusal(&sshd.endpoint()).await);
    assert_eq!(why.kind, Kind::PermissionDenied);
    sign(&sshd, &key, "-1h:+1h");
    connect(&sshd.endpoint()).await.unwrap().close().await;
    assert!(sshd.log().contains("ED25519-CERT"), "{}", sshd.log());
    sign(&sshd, &key, "-2h:-1h");
    let why = trouble(refusal(&sshd.endpoint()).await);
    assert_eq!(why.kind, Kind::PermissionDenied);
}

#[tokio::test]
async fn a_login_without_a_shell_is_said_to_be() {
    let sshd = Sshd::with("ForceCommand echo This account is currently not available.; exit 1");
    let why = trouble(refusal(&sshd.endpoint()).await);
    assert_eq!(why.kind, Kind::Shell);
    assert_eq!(why.text, "the login's shell says: This account is currently not available.");
}

#[tokio::test]
async fn a_noisy_login_does_no_harm() {
    let noise = "echo noise; echo more >&2; printf 'no newline'; printf 'nor here' >&2";
    let sshd = Sshd::with(&format!("ForceCommand {noise}; eval \"$SSH_ORIGINAL_COMMAND\"\nBanner none"));
    let node = Node::over(sshd).await;
    assert_eq!(node.run("echo out; echo err >&2").await, (0, "out\n".to_owned(), "err\n".to_owned()));
}

#[tokio::test]
async fn a_crowd_at_a_server_that_takes_few_gets_in() {
    let sshd = Sshd::with("MaxStartups 3:50:5");
    let endpoint = sshd.endpoint();
    let dialer = Arc::new(Dialer::new());
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (dialer, endpoint) = (Arc::clone(&dialer), endpoint.clone());
        crowd.spawn(async move { dialer.connect(&endpoint).await.map(|session| session.facts().uid) });
    }
    while let Some(one) = crowd.join_next().await {
        one.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_with_few_channels_is_waited_for() {
    let sshd = Sshd::with("MaxSessions 2");
    let node = Node::over(sshd).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let session = Arc::clone(&node.session);
        calls.spawn(async move { session.probe(&[probe("sleep 0.2; echo done")], SOON).await });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap()[0].stdout.text(), "done\n");
    }
    let logins = node.sshd.as_ref().unwrap().log().matches("Accepted publickey").count();
    assert_eq!(logins, 1, "there is no second connection");
}

/// Calls over a connection, one after the other; more than those after which a channel is kept ready.
async fn call_often(node: &Node) {
    for number in 0..8 {
        let replies = node.session.probe(&[probe(&format!("echo {number}"))], SOON).await.unwrap();
        assert_eq!(replies[0].stdout.text(), format!("{number}\n"));
    }
}

#[tokio::test]
async fn a_channel_that_is_kept_ready_takes_the_place_of_none_that_is_needed() {
    let node = Node::over(Sshd::with("MaxSessions 1")).await;
    call_often(&node).await;
    // No shell that waits for a program can take a file.
    let from = node.dir.path().join("from");
    fs::write(&from, "content").unwrap();
    let to = node.dir.path().join("to");
    let upload = super::copies::upload(&from, to.display().to_string()).await;
    node.session.put(&upload, &|_| {}, SOON).await.unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "content");
    call_often(&node).await;
}

#[tokio::test]
async fn a_channel_that_was_kept_ready_and_closed_by_the_server_is_not_missed() {
    let node = Node::over(Sshd::with("ChannelTimeout session=1s")).await;
    for _ in 0..2 {
        call_often(&node).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(node.session.is_alive().await);
    let (code, out, _) = node.run("echo done").await;
    assert_eq!((code, out.as_str()), (0, "done\n"));
}

#[tokio::test]
async fn a_channel_that_is_kept_ready_has_no_part_in_what_a_login_says() {
    let node = Node::over(Sshd::with("ForceCommand echo welcome; eval \"$SSH_ORIGINAL_COMMAND\"")).await;
    call_often(&node).await;
    let (code, out, err) = node.run("echo done").await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "done\n", ""));
}

#[tokio::test]
async fn closing_ends_ssh_and_removes_its_socket() {
    let sshd = Sshd::start();
    let session = connect(&sshd.endpoint()).await.unwrap();
    let masters = sshd.masters();
    assert_eq!(masters.len(), 1);
    let line = super::node::command_lines().into_iter().find(|(pid, _)| *pid == masters[0]).unwrap().1;
    let socket = line.iter().position(|word| word == "-S").map(|at| line[at + 1].clone()).unwrap();
    let directory = std::path::Path::new(&socket).parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    session.close().await;
    assert!(!session.is_alive().await);
    let error = session.start(&job(":"), &super::node::Heard::default()).await.unwrap_err();
    assert_eq!(trouble(error).kind, Kind::Closed);
    drop(session);
    assert!(!directory.exists());
    let start = Instant::now();
    while sshd.masters() == masters {
        assert!(start.elapsed() < SOON, "ssh runs on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_a_dry_run_is_given_reads_and_leaves_nothing_behind() {
    let sshd = Sshd::start();
    let here = Node::local().await;
    for endpoint in [sshd.endpoint(), here.endpoint.clone()] {
        let readers = ReadOnlyConnector::new(Arc::new(Dialer::new()));
        let reader = readers.connect(&endpoint).await.unwrap();
        let replies = reader.probe(&[probe("pwd")], SOON).await.unwrap();
        assert_eq!(replies.len(), 1);
        let sums = reader.hash(&[format!("{}/stage/x", reader.facts().root)], SOON).await.unwrap();
        assert_eq!(sums, [None]);
        assert!(!endpoint.state_dir.unwrap().exists());
    }
}
