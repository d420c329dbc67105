//! What a job is given to keep: it is in no environment, and what the job prints of it comes into no file of the
//! node. It is followed, ends and is stopped like any other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollgate::model::host::Shell;
use rollgate::transport::{Job, JobEnd, Secret, TransportError};

use super::node::{Heard, Node, SOON, Sshd, command_lines, job, secrets};
use super::runner::sshd;

const TOKEN: &str = "t0k\"n/4f81 e6'&\u{e9}x";
/// A part that every form has but base64.
const PART: &str = "4f81";

/// Over ssh with dash and with busybox, and on this machine.
async fn nodes() -> [Node; 3] {
    [Node::over(sshd("dash")).await, Node::over(sshd("busybox")).await, Node::local().await]
}

fn secretive(script: &str) -> Job {
    Job { secrets: secrets("token", TOKEN), ..job(script) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files below a node's own directory in which a text stands.
fn holding(node: &Node, text: &str) -> Vec<PathBuf> {
    let mut files = files(Path::new(node.root()));
    // A pipe has nothing in it to be read, and would wait for it.
    files.retain(|path| fs::metadata(path).is_ok_and(|facts| facts.is_file()));
    assert!(!files.is_empty(), "{}: no file in {}", node.how, node.root());
    files.retain(|path| fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)));
    files
}

fn out_file(node: &Node, job: &Job) -> PathBuf {
    let run = Path::new(node.root()).join("test/runs").join(&job.at.run);
    run.join("jobs").join(job.at.id.as_str()).join("out")
}

/// The filters that work for a job.
fn filters(node: &Node, job: &Job) -> BTreeSet<i32> {
    let pipes = out_file(node, job).parent().unwrap().display().to_string();
    let is_one = |words: &[String]| {
        words.iter().any(|word| word.starts_with(&pipes))
            && words.iter().any(|word| word.contains("NR == FNR"))
    };
    command_lines().into_iter().filter(|(_, words)| is_one(words)).map(|(pid, _)| pid).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_a_job_prints_of_a_secret_comes_into_no_file() {
    let script = r#"
        printf 'raw %s\n' "$token"
        printf 'error %s\n' "$token" >&2
        printf 'json "%s"\n' "$(printf %s "$token" | sed 's/["\\]/\\&/g')"
        printf 'url %s\n' "$(printf %s "$token" | sed "s/\"/%22/g; s,/,%2F,g; s/ /%20/g; s/'/%27/g; s/&/%26/g; s/é/%C3%A9/")"
        printf 'alone %s\n' "$(printf %s "$token" | base64 | tr -d '\n')"
        printf 'basic %s\n' "$(printf 'user:%s' "$token" | base64 | tr -d '\n')"
        printf 'untouched \377\n'
        printf 'end %s end' "$token"
        exit 3"#;
    for node in nodes().await {
        for shell in [Shell::Sh, Shell::Bash] {
            let heard = Heard::default();
            let job = Job { shell, ..secretive(script) };
            let end = node.session.start(&job, &heard).await.unwrap();
            assert_eq!(end, JobEnd::Exited { code: 3 }, "{}: {}", node.how, heard.err());
            let out = String::from_utf8_lossy(&fs::read(out_file(&node, &job)).unwrap()).into_owned();
            let lines: Vec<&str> = out.lines().collect();
            assert_eq!(lines[..3], ["raw ***", "json \"***\"", "url ***"], "{}", node.how);
            assert!(lines[3].starts_with("alone ***") && lines[3].len() < 14, "{}", lines[3]);
            assert!(lines[4].starts_with("basic dXNlcj") && lines[4].contains("***"), "{}", lines[4]);
            assert_eq!(lines[5..], ["untouched \u{fffd}", "end *** end"]);
            assert_eq!((heard.out(), heard.err()), (out, "error ***\n".to_owned()), "{}", node.how);
        }
        let encoded = "dDBrIm4vNGY4MSBlN";
        for text in [PART, encoded, &encoded[..8]] {
            assert!(holding(&node, text).is_empty(), "{}: {:?}", node.how, holding(&node, text));
        }
    }
}

#[tokio::test]
async fn a_job_whose_output_ends_with_a_nul_ends_as_it_does() {
    for node in nodes().await {
        let script = "printf 'one %s\\n' \"$token\"; printf 'two\\0'; printf 'three\\0' >&2; exit 4";
        let (heard, job) = (Heard::default(), secretive(script));
        let start = Instant::now();
        let end = node.session.start(&job, &heard).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 4 }, "{}", node.how);
        assert!(start.elapsed() < SOON, "{}: {:?}", node.how, start.elapsed());
        assert!(heard.out().starts_with("one ***\ntwo"), "{}: {:?}", node.how, heard.out());
    }
}

#[tokio::test]
async fn what_a_job_finds_of_a_secret_that_it_is_not_given_comes_into_no_file_either() {
    for node in nodes().await {
        let heard = Heard::default();
        let found = node.dir.path().join("found");
        fs::write(&found, format!("is {TOKEN}\n")).unwrap();
        let script = format!("echo \"[${{token-not given}}]\"; cat {}", found.display());
        let job = Job { hidden: vec![Secret::new(TOKEN.to_owned())], ..job(&script) };
        let end = node.session.start(&job, &heard).await.unwrap();
        assert_eq!((end, heard.out()), (JobEnd::Exited { code: 0 }, "[not given]\nis ***\n".to_owned()));
        assert!(holding(&node, PART).is_empty(), "{}: {:?}", node.how, holding(&node, PART));
    }
}

#[tokio::test]
async fn lines_are_followed_as_they_come() {
    for node in nodes().await {
        let go = node.dir.path().join("go");
        let script = format!(
            "echo \"one $token\"; echo 'two' >&2; while [ ! -e {} ]; do sleep 0.05; done; echo three",
            go.display()
        );
        let (heard, job) = (Arc::new(Heard::default()), secretive(&script));
        let run = {
            let (session, heard) = (Arc::clone(&node.session), Arc::clone(&heard));
            tokio::spawn(async move { session.start(&job, &*heard).await })
        };
        heard.wait_for("one ***\n").await;
        fs::write(go, "").unwrap();
        assert_eq!(run.await.unwrap().unwrap(), JobEnd::Exited { code: 0 });
        assert_eq!((heard.out(), heard.err()), ("one ***\nthree\n".to_owned(), "two\n".to_owned()));
    }
}

#[tokio::test]
async fn all_of_much_output_is_there_when_it_ends() {
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo \"$i $token\"; echo \"$i\" >&2; i=$((i + 1)); done; exit 4";
    for node in nodes().await {
        let heard = Heard::default();
        let end = node.session.start(&secretive(script), &heard).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 4 }, "{}", node.how);
        let [out, err] = ["{} ***\n", "{}\n"]
            .map(|line| (0..3000).map(|i| line.replace("{}", &i.to_string())).collect::<String>());
        assert!(heard.out() == out && heard.err() == err, "{}: something is missing", node.how);
    }
}

#[tokio::test]
async fn what_a_job_leaves_running_holds_nobody_up_and_is_masked_still() {
    for node in nodes().await {
        let go = node.dir.path().join("go");
        let script = format!(
            "( while [ ! -e {} ]; do sleep 0.1; done; echo \"late $token\" ) & echo started; exit 5",
            go.display()
        );
        let (heard, job) = (Heard::default(), secretive(&script));
        assert_eq!(node.session.start(&job, &heard).await.unwrap(), JobEnd::Exited { code: 5 });
        assert_eq!(heard.out(), "started\n", "{}", node.how);
        assert_eq!(filters(&node, &job).len(), 2, "{}", node.how);
        fs::write(go, "").unwrap();
        let file = out_file(&node, &job);
        until("what came late is not there", || {
            fs::read_to_string(&file).is_ok_and(|text| text.ends_with("late ***\n"))
        })
        .await;
        until("a filter stays for nobody", || filters(&node, &job).is_empty()).await;
        assert!(holding(&node, PART).is_empty());
    }
}

#[tokio::test]
async fn a_job_that_is_stopped_says_its_last_words() {
    for node in nodes().await {
        let script = "trap 'echo \"last $token\"; exit 9' TERM; echo up; while :; do sleep 0.1; done";
        let (heard, job) = (Heard::default(), Job { deadline: Duration::from_secs(2), ..secretive(script) });
        let end = node.session.start(&job, &heard).await.unwrap();
        let stopped = JobEnd::TimedOut { after: Duration::from_secs(2), stopped: true };
        assert_eq!((end, heard.out()), (stopped, "up\nlast ***\n".to_owned()), "{}", node.how);
        until("a filter stays", || filters(&node, &job).is_empty()).await;
    }
}

#[tokio::test]
async fn a_filter_that_dies_holds_nobody_up() {
    for node in nodes().await {
        let go = node.dir.path().join("go");
        let script =
            format!("echo up; while [ ! -e {} ]; do sleep 0.05; done; echo \"$token\"; exit 6", go.display());
        let (heard, job) = (Arc::new(Heard::default()), secretive(&script));
        let run = {
            let (session, heard, job) = (Arc::clone(&node.session), Arc::clone(&heard), job.clone());
            tokio::spawn(async move { session.start(&job, &*heard).await })
        };
        heard.wait_for("up\n").await;
        for pid in filters(&node, &job) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        until("they live on", || filters(&node, &job).is_empty()).await;
        fs::write(go, "").unwrap();
        let end = run.await.unwrap().unwrap();
        let JobEnd::Exited { code } = end else { panic!("{}: {end:?}", node.how) };
        assert_ne!((code, heard.out()), (0, "up\n".to_owned()), "it could not print, and that is no success");
        assert!(holding(&node, PART).is_empty());
    }
}

#[tokio::test]
async fn a_secret_is_a_variable_of_the_script_alone() {
    let inherited = Node::over(Sshd::with("SetEnv token=inherited SHELLOPTS=allexport")).await;
    for node in [inherited, Node::local().await] {
        for shell in [Shell::Sh, Shell::Bash] {
            let script = "[ \"$token\" = \"$(cat)\" ] && echo same
                sh -c 'echo \"[${token-not there}]\"'
                env | grep -c '^token=' || :
                set -a; sh -c 'echo \"[${token-not there}]\"'; set +a
                given=\"$token\" sh -c '[ \"$given\" ] && echo given'";
            let job = Job { shell, stdin: Some(Secret::new(TOKEN.to_owned())), ..secretive(script) };
            let heard = Heard::default();
            node.session.start(&job, &heard).await.unwrap();
            let wanted = "same\n[not there]\n0\n[not there]\ngiven\n";
            assert_eq!(heard.out(), wanted, "{} {shell:?}: {}", node.how, heard.err());
        }
    }
}

/// A directory with what busybox has, but for one program.
fn without(program: &str) -> tempfile::TempDir {
    let bin = tempfile::tempdir().unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox is installed (apt-get install busybox)");
    let applets = Command::new(busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|applet| *applet != program) {
        symlink(busybox, bin.path().join(applet)).unwrap();
    }
    bin
}

#[tokio::test]
async fn where_nothing_can_be_masked_nothing_begins() {
    for program in ["awk", "mkfifo"] {
        let bin = without(program);
        let node = Node::over(Sshd::with(&format!("SetEnv PATH={}", bin.path().display()))).await;
        let ran = node.dir.path().join("ran");
        let job = secretive(&format!(": >{}", ran.display()));
        let refused = node.session.start(&job, &Heard::default()).await.unwrap_err();
        let TransportError::Refused { why, .. } = &refused else { panic!("{refused:?}") };
        assert!(why.contains("no awk or no mkfifo; install them"), "{why}");
        assert!(!ran.exists());
        assert_eq!(node.run("echo works").await.1, "works\n");
    }
}
