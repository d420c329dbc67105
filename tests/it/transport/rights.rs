//! Rights that take a password: a sudo of the test's own, which reads passwords as the real one was seen to, and keeps
//! each that it was given.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollgate::model::host::Become;
use rollgate::transport::{
    Endpoint, Job, JobEnd, Kind, Limit, Probe, ProbeEnd, Secret, TransportError, Upload, hash_bytes,
};
use tempfile::TempDir;

use super::node::{Heard, Node, SOON, Sshd, command_lines, connect, job, plant, probe, refusal};

/// Quotes, blanks, a leading dash: nothing of it may mean anything to a shell.
pub(super) const PASSWORD: &str = "-n it's \"$HOME\" `id` \\0 pä§ %s";

/// A node whose sudo wants a password.
pub(super) struct Guarded {
    dir: TempDir,
    endpoint: Endpoint,
    sshd: Option<Sshd>,
}

impl Guarded {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        plant(dir.path(), "sudo", include_str!("../support/sudo.sh"));
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let sshd = Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", dir.path().display()));
        let endpoint = Endpoint {
            become_with: Become::Sudo,
            become_password: Some(Secret::new(PASSWORD.to_owned())),
            ..sshd.endpoint()
        };
        Self { dir, endpoint, sshd: Some(sshd) }
    }

    /// sudo wants none.
    fn free(self) -> Self {
        fs::write(self.dir.path().join("free"), "").unwrap();
        self
    }

    /// Steps alone gain rights.
    pub(super) fn for_steps_alone(mut self) -> Self {
        self.endpoint.become_with = Become::None;
        self
    }

    pub(super) async fn node(&mut self) -> Node {
        let session = connect(&self.endpoint).await.unwrap();
        let (endpoint, dir) = (self.endpoint.clone(), tempfile::tempdir().unwrap());
        Node { how: "ssh", session, endpoint, sshd: self.sshd.take(), dir }
    }

    /// The password is another one from now on.
    pub(super) fn change(&self) {
        fs::write(self.dir.path().join("password"), "another").unwrap();
    }

    /// Every line that sudo has taken for a password.
    pub(super) fn tried(&self) -> Vec<String> {
        let tried = fs::read_to_string(self.dir.path().join("tried")).unwrap_or_default();
        tried.lines().map(ToOwned::to_owned).collect()
    }

    /// How sudo was called, each time.
    pub(super) fn calls(&self) -> Vec<String> {
        let called = fs::read_to_string(self.dir.path().join("called")).unwrap_or_default();
        called.lines().map(ToOwned::to_owned).collect()
    }
}

fn by_sudo(script: &str) -> Probe {
    Probe { become_with: Become::Sudo, ..probe(script) }
}

const WHO: &str = "printf '%s %s\\n' \"${BY_SUDO:-no}\" \"$value\"; printf 'a word\\n' >&2; set >&2";

#[tokio::test]
async fn a_password_reaches_sudo_and_nothing_but_sudo() {
    for mut guarded in [Guarded::new(), Guarded::new().free(), Guarded::new().for_steps_alone()] {
        let node = guarded.node().await;
        let ask = |become_with| Probe {
            env: BTreeMap::from([("value".to_owned(), "it's".to_owned())]),
            become_with,
            ..probe(WHO)
        };
        let batch = [ask(Become::Sudo), ask(Become::None), ask(Become::Sudo)];
        let replies = node.session.probe(&batch, SOON).await.unwrap();
        let out: Vec<String> = replies.iter().map(|reply| reply.stdout.text()).collect();
        assert_eq!(out, ["yes it's\n", "no it's\n", "yes it's\n"]);
        for reply in &replies {
            let err = reply.stderr.text();
            assert!(err.starts_with("a word\n"), "{err}");
            // `set` shows every variable and function that the script could find.
            assert!(!err.contains("pä§") && !err.contains("lecture"), "{err}");
        }
        assert!(guarded.tried().iter().all(|line| line == PASSWORD), "{:?}", guarded.tried());
        assert_eq!(guarded.tried().is_empty(), guarded.dir.path().join("free").exists());
        let called = fs::read_to_string(guarded.dir.path().join("called")).unwrap();
        assert!(!called.contains("pä§"), "{called}");
    }
}

#[tokio::test]
async fn jobs_run_with_rights_that_take_a_password() {
    for mut guarded in [Guarded::new(), Guarded::new().free(), Guarded::new().for_steps_alone()] {
        let node = guarded.node().await;
        let heard = Heard::default();
        let job = Job { become_with: Become::Sudo, ..job("echo \"by ${BY_SUDO:-no}\"; set; exit 7") };
        let end = node.session.start(&job, &heard).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 7 });
        assert!(heard.out().contains("by yes\n") && !heard.out().contains("pä§"), "{}", heard.out());
        let again = Heard::default();
        let limit = Limit { deadline: SOON, become_with: Become::Sudo };
        let end = node.session.attach(&job.at, [0, 0], &limit, &again).await.unwrap();
        assert_eq!((end, again.out()), (JobEnd::Exited { code: 7 }, heard.out()));
        assert!(guarded.tried().iter().all(|line| line == PASSWORD), "{:?}", guarded.tried());
    }
}

#[tokio::test]
async fn files_are_copied_with_rights_that_take_a_password() {
    for mut guarded in [Guarded::new(), Guarded::new().free()] {
        let node = guarded.node().await;
        let content: Vec<u8> = (0..70_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let from = node.dir.path().join("from");
        fs::write(&from, &content).unwrap();
        let to = node.dir.path().join("it's there").to_str().unwrap().to_owned();
        let sum = hash_bytes(&content);
        let upload =
            Upload { from, sum, to: to.clone(), mode: 0o640, become_with: Become::Sudo, noted: false };
        let copied = node.session.put(&upload, &|_| {}, SOON).await.unwrap();
        assert!(!copied.unchanged);
        assert_eq!(fs::read(&to).unwrap(), content);
        // Nothing is sent then, and whoever would hand it on is not waited for.
        assert!(node.session.put(&upload, &|_| {}, SOON).await.unwrap().unchanged);
        let back = node.dir.path().join("back");
        node.session.get(&to, &back, SOON).await.unwrap();
        assert_eq!(fs::read(&back).unwrap(), content);
        assert!(guarded.tried().iter().all(|line| line == PASSWORD), "{:?}", guarded.tried());
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_found_out_at_login() {
    for guarded in [Guarded::new(), Guarded::new().for_steps_alone()] {
        guarded.change();
        let error = refusal(&guarded.endpoint).await;
        assert!(error.to_string().contains("sudo does not take the password: sudo: 1 incorrect"), "{error}");
        assert!(error.help().unwrap().contains("the secret that `become:` names"));
        assert!(error.next().unwrap().starts_with("ssh -t "), "{:?}", error.next());
        let TransportError::Unreachable { why, .. } = error else { panic!("{error:?}") };
        assert_eq!(why.kind, Kind::Password);
        assert_eq!(guarded.tried(), [PASSWORD]);
    }
}

#[tokio::test]
async fn a_password_that_becomes_wrong_is_tried_once_more_and_no_program_is_taken_for_one() {
    let mut guarded = Guarded::new();
    let node = guarded.node().await;
    let before = guarded.tried().len();
    guarded.change();
    let (first, second) = (by_sudo("echo one"), by_sudo("echo two"));
    let replies = node.session.probe(&[first.clone(), second], SOON).await.unwrap();
    for reply in &replies {
        assert!(matches!(&reply.end, ProbeEnd::NotRun { .. }), "{reply:?}");
    }
    assert_eq!(guarded.tried()[before..], [PASSWORD]);
    let error = node.session.probe(&[first], SOON).await.unwrap_err();
    assert!(error.to_string().contains("it is not tried again"), "{error}");
    assert_eq!(node.session.probe(&[probe("echo on")], SOON).await.unwrap()[0].stdout.text(), "on\n");
    let heard = Heard::default();
    let work = Job { become_with: Become::Sudo, ..job("echo began") };
    assert!(node.session.start(&work, &heard).await.unwrap_err().never_began());
    // Of a job that was begun earlier nobody says that it never began.
    let limit = Limit { deadline: SOON, become_with: Become::Sudo };
    let error = node.session.attach(&work.at, [0, 0], &limit, &heard).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    assert_eq!(guarded.tried()[before..], [PASSWORD]);
}

#[tokio::test]
async fn a_job_and_a_copy_find_out_too_that_the_password_is_another() {
    for is_copy in [false, true] {
        let mut guarded = Guarded::new();
        let node = guarded.node().await;
        let before = guarded.tried().len();
        guarded.change();
        let error = if is_copy {
            let from = node.dir.path().join("from");
            fs::write(&from, "content\nof several\nlines\n").unwrap();
            let sum = hash_bytes(b"content\nof several\nlines\n");
            let to = node.dir.path().join("to").to_str().unwrap().to_owned();
            let upload = Upload { from, sum, to, mode: 0o600, become_with: Become::Sudo, noted: false };
            node.session.put(&upload, &|_| {}, SOON).await.unwrap_err()
        } else {
            let work = Job { become_with: Become::Sudo, ..job("echo began") };
            node.session.start(&work, &Heard::default()).await.unwrap_err()
        };
        let TransportError::Unreachable { why, .. } = error else { panic!("{error:?}") };
        assert_eq!(why.kind, Kind::Password);
        assert_eq!(guarded.tried()[before..], [PASSWORD]);
    }
}

#[tokio::test]
async fn rights_that_are_no_shells_are_found_out_at_login() {
    let guarded = Guarded::new();
    fs::write(guarded.dir.path().join("partial"), "").unwrap();
    let error = refusal(&guarded.endpoint).await;
    assert!(error.to_string().contains("sudoers allows the login some commands, and no shell"), "{error}");
    assert!(!format!("{error:?}").contains("pä§"), "{error:?}");
}

#[tokio::test]
async fn a_password_that_is_no_line_is_given_to_nobody() {
    for wrong in ["two\nlines", "a\rb", "", "a\0b", "--rollgate--"] {
        let mut guarded = Guarded::new();
        guarded.endpoint.become_password = Some(Secret::new(wrong.to_owned()));
        let error = refusal(&guarded.endpoint).await;
        assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
        assert!(guarded.tried().is_empty());
    }
}

#[tokio::test]
async fn a_password_is_on_no_command_line_and_in_no_environment() {
    let mut guarded = Guarded::new();
    let stop = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&stop);
    let watch = std::thread::spawn(move || {
        let (mut looks, mut hits) = (0, Vec::new());
        while !until.load(Ordering::Relaxed) {
            looks += 1;
            let lines = command_lines();
            hits.extend(
                lines.iter().filter(|(_, words)| words.iter().any(|word| word.contains("pä§"))).cloned(),
            );
            for (pid, _) in lines {
                let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                if String::from_utf8_lossy(&environ).contains("pä§") {
                    hits.push((pid, vec!["environ".to_owned()]));
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        (looks, hits)
    });
    let node = guarded.node().await;
    node.session.probe(&[by_sudo("sleep 0.2")], SOON).await.unwrap();
    let work = Job { become_with: Become::Sudo, ..job("sleep 0.2") };
    node.session.start(&work, &Heard::default()).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let (looks, hits) = watch.join().unwrap();
    assert!(looks > 3, "{looks}");
    assert_eq!(hits, []);
}
