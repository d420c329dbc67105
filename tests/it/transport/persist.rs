//! Connections that stay open between commands: taken up without a login, and never when a login is what is needed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollgate::model::host::{Become, Connection, SshTarget};
use rollgate::transport::{Connector, Dialer, Endpoint, Kind, Session, TransportError};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::node::{SOON, Sshd, command_lines, keygen, plant, probe};

/// A node whose connections stay open, and a directory for their sockets.
struct Site {
    sshd: Sshd,
    sockets: TempDir,
    target: SshTarget,
}

impl Site {
    fn new() -> Self {
        Self::over(Sshd::start())
    }

    fn over(sshd: Sshd) -> Self {
        let sockets =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let target = SshTarget { persist: Some(Duration::from_mins(1)), ..sshd.target() };
        Self { sshd, sockets, target }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { connection: Connection::Ssh(self.target.clone()), ..self.sshd.endpoint() }
    }

    /// As a command does that begins now.
    fn dialer(&self) -> Dialer {
        Dialer::new().with_sockets_in(self.sockets.path().to_owned())
    }

    async fn connect(&self) -> Arc<dyn Session> {
        self.dialer().connect(&self.endpoint()).await.unwrap()
    }

    async fn refusal(&self) -> TransportError {
        match self.dialer().connect(&self.endpoint()).await {
            Ok(_) => panic!("connected"),
            Err(error) => error,
        }
    }

    fn logins(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }

    fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let list = fs::read_dir(self.sockets.path()).unwrap().map(|entry| entry.unwrap().path());
        list.partition(|path| path.extension().is_none())
    }

    fn found(&self) -> Vec<PathBuf> {
        self.files().0
    }

    /// What is remembered of the nodes of these connections.
    fn memories(&self) -> Vec<PathBuf> {
        self.files().1
    }

    /// The masters whose sockets lie here; one in the background names nothing but its socket.
    fn masters(&self) -> Vec<i32> {
        let place = self.sockets.path().to_str().unwrap();
        let is_here = |words: &[String]| {
            words.first().is_some_and(|word| word.starts_with("ssh")) && words.concat().contains(place)
        };
        command_lines().into_iter().filter(|(_, words)| is_here(words)).map(|(pid, _)| pid).collect()
    }

    async fn only_master(&self) -> i32 {
        wait("one master", || self.masters().len() == 1).await;
        self.masters()[0]
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for pid in self.masters() {
            signal(pid, Signal::KILL);
        }
    }
}

fn signal(pid: i32, signal: Signal) {
    // It may have ended in this moment.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

async fn wait(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}: never");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn answers(session: &Arc<dyn Session>, script: &str) -> String {
    session.probe(&[probe(script)], SOON).await.unwrap()[0].stdout.text().trim().to_owned()
}

/// The server's process of a session's connection.
async fn server(session: &Arc<dyn Session>) -> i32 {
    let parents = "p=$(ps -o ppid= -p $$); ps -o pid=,args= -p $p | grep sshd || ps -o ppid= -p $p";
    answers(session, parents).await.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_next_command_logs_in_to_nothing() {
    let site = Site::new();
    site.connect().await.close().await;
    let master = site.only_master().await;
    for _ in 0..3 {
        let session = site.connect().await;
        assert_eq!(answers(&session, "echo here").await, "here");
        session.close().await;
        assert!(session.probe(&[probe(":")], SOON).await.unwrap_err().never_began());
    }
    assert_eq!((site.logins(), site.masters()), (1, vec![master]));
}

#[tokio::test]
async fn who_a_node_is_is_asked_once_a_connection() {
    let site = Site::new();
    let kernel = site.connect().await.facts().kernel.clone();
    let memory = site.memories().remove(0);
    assert_eq!(fs::metadata(&memory).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&memory).unwrap();
    assert!(text.contains(&kernel), "{text}");
    let plant = |kernel_of: &str| fs::write(&memory, text.replace(&kernel, kernel_of)).unwrap();
    plant("remembered");
    let session = site.connect().await;
    assert_eq!(
        (session.facts().kernel.as_str(), answers(&session, "echo here").await),
        ("remembered", "here".into())
    );
    // Nor is a channel opened that nobody waits for.
    let channels = || site.sshd.log().matches("Starting session").count();
    let before = channels();
    let session = site.connect().await;
    tokio::join!(answers(&session, "sleep 0.3"), answers(&session, "sleep 0.3"));
    assert_eq!(channels() - before, 2);
    // Asked all the same: by who wants to know it now, for another directory, and where it is not whole.
    let anew = site.dialer().asking_anew().connect(&site.endpoint()).await.unwrap();
    assert_eq!(anew.facts().kernel, kernel);
    plant("remembered");
    let elsewhere = Endpoint { state_dir: Some("/elsewhere".into()), ..site.endpoint() };
    assert_eq!(site.dialer().connect(&elsewhere).await.unwrap().facts().root, "/elsewhere");
    fs::write(&memory, &text[..text.len() / 2]).unwrap();
    assert_eq!(site.connect().await.facts(), anew.facts());
    assert_eq!(fs::read_to_string(&memory).unwrap(), text);
    assert_eq!(site.logins(), 1);
    // It goes when the connection has gone.
    signal(site.only_master().await, Signal::KILL);
    wait("its end", || site.masters().is_empty()).await;
    plant("remembered");
    assert_eq!(site.connect().await.facts().kernel, kernel);
    site.connect().await;
    assert_eq!((memory.exists(), site.memories().len(), site.logins()), (false, 1, 2));
}

#[tokio::test]
async fn what_a_command_needs_again_is_a_new_login() {
    let site = Site::new();
    site.connect().await;
    let dialer = site.dialer();
    let (one, two) =
        (dialer.connect(&site.endpoint()).await.unwrap(), dialer.connect(&site.endpoint()).await.unwrap());
    assert_eq!(site.logins(), 2);
    assert_eq!((answers(&one, "echo 1").await, answers(&two, "echo 2").await), ("1".into(), "2".into()));
}

#[tokio::test]
async fn a_login_that_is_to_prove_something_is_one_and_ends_with_its_session() {
    let site = Site::new();
    let first = site.connect().await;
    let proof = site.dialer().log_in(&site.endpoint()).await.unwrap();
    assert_eq!((site.logins(), site.found().len()), (2, 1));
    assert_eq!((site.sshd.masters().len(), site.masters().len()), (2, 1));
    proof.close().await;
    wait("the proof's end", || site.sshd.masters() == site.masters()).await;
    // The node lets nobody in any more: what is open does not hide it.
    fs::write(site.sshd.path("authorized"), "").unwrap();
    site.connect().await;
    let Err(error) = site.dialer().log_in(&site.endpoint()).await else { panic!("logged in") };
    assert!(matches!(&error, TransportError::Unreachable { why, .. } if why.kind == Kind::PermissionDenied));
    assert!(first.is_alive().await);
}

#[tokio::test]
async fn a_master_that_was_killed_is_replaced() {
    let site = Site::new();
    site.connect().await;
    let stale = site.found();
    signal(site.only_master().await, Signal::KILL);
    wait("its end", || site.masters().is_empty()).await;
    assert_eq!(site.found(), stale, "a killed ssh leaves its socket");
    let session = site.connect().await;
    assert_eq!(answers(&session, "echo here").await, "here");
    assert_eq!(site.logins(), 2);
    assert!(site.found().len() == 1 && site.found() != stale, "{:?}", site.found());
}

#[tokio::test]
async fn a_frozen_master_is_noticed_soon() {
    let site = Site::new();
    site.connect().await;
    signal(site.only_master().await, Signal::STOP);
    let start = Instant::now();
    let session = site.connect().await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!((answers(&session, "echo here").await, site.logins()), ("here".into(), 2));
}

#[tokio::test]
async fn a_node_that_fell_silent_or_began_anew_is_noticed_soon() {
    for how in [Signal::STOP, Signal::KILL] {
        let site = Site::new();
        let session = site.connect().await;
        let server = server(&session).await;
        drop(session);
        signal(server, how);
        let start = Instant::now();
        let session = site.connect().await;
        assert!(start.elapsed() < Duration::from_secs(8), "{how:?}: {:?}", start.elapsed());
        assert_eq!((answers(&session, "echo here").await, site.logins()), ("here".into(), 2), "{how:?}");
        signal(server, Signal::CONT);
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_in_use_is_ended_though_it_was_taken_up() {
    let site = Site::new();
    site.connect().await;
    let session = site.connect().await;
    let (server, master) = (server(&session).await, site.only_master().await);
    signal(server, Signal::STOP);
    let error = session.probe(&[probe(":")], Duration::from_secs(1)).await.unwrap_err();
    wait("the master's end", || !site.masters().contains(&master)).await;
    assert!(site.found().is_empty(), "{:?}", site.found());
    assert!(error.to_string().contains("silent"), "{error}");
    signal(server, Signal::CONT);
    assert_eq!(site.logins(), 1);
}

#[tokio::test]
async fn it_lasts_as_long_as_it_is_used_and_its_time_longer() {
    let mut site = Site::new();
    site.target.persist = Some(Duration::from_millis(700));
    let session = site.connect().await;
    let master = site.only_master().await;
    let other = site.connect().await;
    // More than its time, in which it is held and nothing is asked.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    drop(other);
    assert_eq!((answers(&session, "echo here").await, site.masters()), ("here".into(), vec![master]));
    drop(session);
    wait("its end", || site.masters().is_empty() && site.found().is_empty()).await;
    site.connect().await;
    assert_eq!(site.logins(), 2);
}

#[tokio::test]
async fn whatever_decides_where_it_leads_makes_it_another() {
    let mut site = Site::new();
    let (config, more) = (site.sshd.path("ssh_config"), site.sshd.path("more.conf"));
    let include = format!("Include \"{}\"\n", site.sshd.path("mo*.conf").display());
    fs::write(&config, &include).unwrap();
    site.target.config_file = Some(config.clone());
    let logins = |site: &Site| site.logins();
    site.connect().await;
    site.connect().await;
    assert_eq!(logins(&site), 1);
    // The text, what it includes, the key's file, the time, the node's name.
    fs::write(&config, format!("{include}Compression no\n")).unwrap();
    site.connect().await;
    assert_eq!(logins(&site), 2);
    fs::write(more, "Compression no\n").unwrap();
    site.connect().await;
    assert_eq!(logins(&site), 3);
    site.connect().await;
    assert_eq!(logins(&site), 3);
    let id = fs::read(site.sshd.path("id")).unwrap();
    fs::remove_file(site.sshd.path("id")).unwrap();
    fs::write(site.sshd.path("id"), id).unwrap();
    fs::set_permissions(site.sshd.path("id"), fs::Permissions::from_mode(0o600)).unwrap();
    site.connect().await;
    assert_eq!(logins(&site), 4);
    site.target.persist = Some(Duration::from_secs(59));
    site.connect().await;
    assert_eq!(logins(&site), 5);
    site.target.host = "localhost".to_owned();
    let error = site.refusal().await;
    assert!(error.to_string().contains("host key"), "{error}");
    // Where ssh alone knows what is included, nothing is taken up.
    site.target.host = "127.0.0.1".to_owned();
    fs::write(&config, "Include ${HOME}/none\n").unwrap();
    site.connect().await;
    site.connect().await;
    assert_eq!(logins(&site), 7);
}

#[tokio::test]
async fn a_directory_that_others_reach_is_refused() {
    let site = Site::new();
    site.connect().await;
    let path = site.sockets.path().to_owned();
    for mode in [0o770, 0o701, 0o1777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = site.refusal().await;
        assert!(error.never_began() && error.to_string().contains("others than you may enter it"), "{error}");
        assert!(error.help().unwrap().contains("XDG_RUNTIME_DIR"));
        assert_eq!(error.next().unwrap(), format!("ls -ld {}", path.display()));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let link = site.sshd.path("link");
    symlink(&path, &link).unwrap();
    assert!(refused(&site, &link).await.contains("it is no directory"));
    let foreign = site.sshd.path("foreign");
    let foreign: &Path = if rustix::process::geteuid().is_root() {
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(4242), None).unwrap();
        &foreign
    } else {
        Path::new("/usr")
    };
    assert!(refused(&site, foreign).await.contains("it belongs to user"));
    assert_eq!(site.logins(), 1);
}

async fn refused(site: &Site, directory: &Path) -> String {
    let dialer = Dialer::new().with_sockets_in(directory.to_owned());
    match dialer.connect(&site.endpoint()).await {
        Ok(_) => panic!("connected"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_link_in_the_place_of_a_socket_is_not_followed() {
    let site = Site::new();
    site.connect().await;
    let socket = site.found().remove(0);
    let moved = site.sshd.path("moved");
    fs::rename(&socket, &moved).unwrap();
    symlink(&moved, &socket).unwrap();
    site.connect().await;
    assert_eq!(site.logins(), 2);
}

#[tokio::test]
async fn two_share_one_and_its_channels() {
    let site = Site::over(Sshd::with("MaxSessions 3"));
    site.connect().await;
    let (one, two) = tokio::join!(site.connect(), site.connect());
    assert_eq!(site.logins(), 1);
    let mut calls = tokio::task::JoinSet::new();
    for turn in 0..12 {
        let session = Arc::clone(if turn % 2 == 0 { &one } else { &two });
        calls.spawn(async move { answers(&session, "sleep 0.1; echo done").await });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap(), "done");
    }
    assert_eq!((site.logins(), site.masters().len()), (1, 1));
}

#[tokio::test]
async fn one_without_room_is_left_to_who_uses_it() {
    let site = Site::over(Sshd::with("MaxSessions 1"));
    let first = site.connect().await;
    let call = tokio::spawn(async move { (answers(&first, "sleep 3; echo done").await, first) });
    let master = site.only_master().await;
    wait("the call", || site.sshd.log().matches("Starting session").count() >= 2).await;
    site.connect().await;
    assert_eq!((call.await.unwrap().0.as_str(), site.logins()), ("done", 2));
    assert!(site.masters().contains(&master));
}

#[tokio::test]
async fn a_connection_over_which_nothing_works_is_not_left_open() {
    let bin = tempfile::tempdir().unwrap();
    plant(bin.path(), "sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    let site = Site::over(Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", bin.path().display())));
    let endpoint = Endpoint { become_with: Become::Sudo, ..site.endpoint() };
    let refusal = |error: Result<Arc<dyn Session>, TransportError>| error.err().unwrap().to_string();
    assert!(refusal(site.dialer().connect(&endpoint).await).contains("sudo there wants a password"));
    wait("its end", || site.masters().is_empty()).await;
    assert!(site.found().is_empty(), "{:?}", site.found());
    // One that was good for less is left alone, and a login of its own says what is wrong. That there are rights is
    // never remembered.
    site.connect().await;
    assert_eq!(site.memories().len(), 1);
    assert!(refusal(site.dialer().connect(&endpoint).await).contains("sudo there wants a password"));
    assert_eq!((site.logins(), site.masters().len()), (3, 1));
}

#[tokio::test]
async fn a_jump_host_s_words_are_heard() {
    let (mut site, jump) = (Site::new(), Sshd::start());
    let config = site.sshd.path("ssh_config");
    let other = site.sshd.path("other");
    keygen(&other);
    fs::write(
        &config,
        format!(
            "Host jump\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n",
            jump.port,
            other.display(),
            jump.path("known").display()
        ),
    )
    .unwrap();
    site.target.config_file = Some(config.clone());
    site.target.jump = vec!["jump".to_owned()];
    let error = site.refusal().await;
    let why = match &error {
        TransportError::Unreachable { why, .. } => why,
        other => panic!("{other:?}"),
    };
    assert!(why.said.iter().any(|line| line.contains("Permission denied (publickey)")), "{why:?}");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&*other.to_string_lossy(), &jump.path("id").to_string_lossy())).unwrap();
    site.connect().await;
    let session = site.connect().await;
    assert_eq!((answers(&session, "echo here").await, site.logins()), ("here".into(), 1));
    // Ended, it takes the jump host's ssh along.
    let through = || {
        command_lines()
            .iter()
            .filter(|(_, words)| {
                words.iter().any(|word| word == "-W")
                    && words.iter().any(|word| word.contains(config.to_str().unwrap()))
            })
            .count()
    };
    assert_eq!(through(), 1);
    let server = server(&session).await;
    signal(server, Signal::STOP);
    session.probe(&[probe(":")], Duration::from_secs(1)).await.unwrap_err();
    wait("the jump host's ssh", || through() == 0).await;
    signal(server, Signal::CONT);
}
