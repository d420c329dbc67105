//! Jobs: what they are given byte for byte, what comes back, and where their secrets do not show.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rollgate::model::host::{Become, Shell};
use rollgate::transport::{Job, JobEnd, OutputSink, Secret, Stream, TransportError};

use super::node::{Heard, Node, command_lines, job, runs, secrets};

/// Values that shells like to take for something else, between those that proptest finds.
fn value() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "$(touch canary)",
        "`touch canary`",
        "'; touch canary; '",
        "\\",
        "\\\\n",
        "a\nb\n\n",
        "\n.\n",
        "'",
        "\"",
        "''",
        "%s%n",
        "-n",
        "*",
        "~",
        "!!",
        "\u{1}\u{7f}\u{81}",
        "\r",
        "é\u{202e}",
        " lead",
        "trail ",
        "",
        "$HOME",
    ]);
    let any = prop::collection::vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 0..40);
    prop_oneof![hostile.prop_map(str::to_owned), any.prop_map(|chars| chars.into_iter().collect())]
}

#[test]
fn values_arrive_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nodes = runtime.block_on(Node::both());
    for node in &nodes {
        let mut runner =
            TestRunner::new(Config { cases: 30, failure_persistence: None, ..Config::default() });
        let values = (value(), value(), value(), any::<bool>());
        runner
            .run(&values, |(env, secret, stdin, bash)| {
                let heard = Heard::default();
                // In hexadecimal, for what a secret is in would be masked.
                let script = "hex() { od -An -v -tx1 | tr -d ' \\n'; echo; }
                    printf %s \"$plain\" | hex; printf %s \"$hidden\" | hex; hex";
                let job = Job {
                    env: BTreeMap::from([("plain".to_owned(), env.clone())]),
                    secrets: secrets("hidden", &secret),
                    stdin: Some(Secret::new(stdin.clone())),
                    shell: if bash { Shell::Bash } else { Shell::Sh },
                    ..job(script)
                };
                let end = runtime.block_on(node.session.start(&job, &heard)).unwrap();
                prop_assert_eq!(end, JobEnd::Exited { code: 0 });
                let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
                prop_assert_eq!(heard.out(), format!("{}\n{}\n{}\n", hex(&env), hex(&secret), hex(&stdin)));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", node.how));
        let canary = runtime.block_on(node.run("ls canary 2>/dev/null || :"));
        assert_eq!(canary.1, "", "{}", node.how);
    }
}

#[tokio::test]
async fn an_exit_code_is_the_scripts_own() {
    for node in Node::both().await {
        for code in [0, 1, 2, 126, 127, 254, 255] {
            assert_eq!(node.run(&format!("exit {code}")).await.0, code, "{}", node.how);
        }
        assert_eq!(node.run("sh -c 'kill -TERM $$'").await.0, 143, "{}", node.how);
        assert_eq!(node.run("echo a\nfalse\necho b").await, (1, "a\n".to_owned(), String::new()));
    }
}

#[tokio::test]
async fn a_script_that_reads_gets_its_input_or_nothing() {
    for node in Node::both().await {
        assert_eq!(node.run("cat; read -r line || echo end; echo \"[${line}]\"").await.1, "end\n[]\n");
        let heard = Heard::default();
        let job =
            Job { stdin: Some(Secret::new("a\nb".to_owned())), ..job("read -r line; echo \"[$line]\"; cat") };
        node.session.start(&job, &heard).await.unwrap();
        assert_eq!(heard.out(), "[a]\nb");
    }
}

#[tokio::test]
async fn output_comes_line_by_line_while_the_job_runs() {
    for node in Node::both().await {
        let flag = node.dir.path().join("go");
        let script = format!(
            "echo first; echo err >&2; printf par; while [ ! -e {} ]; do sleep 0.05; done; printf 'tial\\xff'",
            flag.display()
        );
        let (session, heard) = (Arc::clone(&node.session), Arc::new(Heard::default()));
        let sink = Arc::clone(&heard);
        let run =
            tokio::spawn(
                async move { session.start(&Job { shell: Shell::Bash, ..job(&script) }, &*sink).await },
            );
        heard.wait_for("first\n").await;
        fs::write(&flag, "").unwrap();
        assert_eq!(run.await.unwrap().unwrap(), JobEnd::Exited { code: 0 });
        assert_eq!(heard.bytes(Stream::Out), b"first\npartial\xff");
        assert_eq!(heard.err(), "err\n");
        let lines = heard.0.lock().unwrap();
        let out: Vec<_> = lines.iter().filter(|line| line.0 == Stream::Out).collect();
        assert_eq!(out.len(), 2, "lines come whole: {out:?}");
    }
}

#[tokio::test]
async fn much_output_and_long_lines_come_whole() {
    for node in Node::both().await {
        let heard = Heard::default();
        let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; seq 1 20000";
        node.session.start(&job(script), &heard).await.unwrap();
        let out = heard.out();
        assert_eq!(out.find('\n'), Some(1_000_000));
        assert!(out.ends_with("\n19999\n20000\n"));
        assert!(heard.0.lock().unwrap().iter().all(|line| line.1.len() <= 1 << 16));
    }
}

#[tokio::test]
async fn a_daemon_left_behind_holds_nobody_up_and_lives() {
    for node in Node::both().await {
        let start = Instant::now();
        let (code, out, _) = node.run("sleep 60 & echo $!").await;
        assert_eq!(code, 0);
        assert!(start.elapsed() < Duration::from_secs(10));
        let pid = out.trim();
        assert!(runs(pid), "{}: it was killed", node.how);
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_ended() {
    for node in Node::both().await {
        let heard = Heard::default();
        let after = Duration::from_secs(1);
        let job = Job { deadline: after, ..job("echo $$; sleep 300 & sleep 300; echo not reached") };
        let start = Instant::now();
        let end = node.session.start(&job, &heard).await.unwrap();
        assert_eq!(end, JobEnd::TimedOut { after, stopped: true }, "{}", node.how);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(!runs(heard.out().trim()), "{}: it runs on", node.how);
        assert!(node.session.is_alive().await);
    }
}

#[tokio::test]
async fn a_job_that_ignores_to_be_ended_is_killed() {
    for node in Node::both().await {
        let after = Duration::from_millis(700);
        let job = Job { deadline: after, ..job("trap '' TERM; while :; do sleep 0.1; done") };
        let end = node.session.start(&job, &Heard::default()).await.unwrap();
        assert_eq!(end, JobEnd::TimedOut { after, stopped: true }, "{}", node.how);
    }
}

/// Takes its time for every line, as a slow disk does.
struct Slow(Heard);

impl OutputSink for Slow {
    fn line(&self, from: Stream, line: &[u8]) {
        std::thread::sleep(Duration::from_millis(100));
        self.0.line(from, line);
    }

    fn cut(&self, why: &str) {
        self.0.cut(why);
    }
}

#[tokio::test]
async fn what_was_printed_in_time_comes_whole_however_long_that_takes() {
    let node = Node::local().await;
    let slow = Slow(Heard::default());
    // Longer than what is fetched behind the end of the time may take at once.
    let script =
        "line=$(printf '%060000d' 0); n=0; while [ $n -lt 240 ]; do echo \"$line$n\"; n=$((n + 1)); done";
    let job = Job { deadline: Duration::from_millis(700), ..job(script) };
    let end = node.session.start(&job, &slow).await.unwrap();
    assert_eq!(end, JobEnd::Exited { code: 0 });
    let lines: Vec<String> = slow.0.out().lines().map(|line| line[60_000..].to_owned()).collect();
    let wanted: Vec<String> = (0..240).map(|n| n.to_string()).collect();
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn a_job_runs_where_it_is_told() {
    for node in Node::both().await {
        let dir = node.dir.path().join("with 'quote");
        fs::create_dir(&dir).unwrap();
        let run = async |cwd: &str| {
            let heard = Heard::default();
            let job = Job { cwd: Some(cwd.to_owned()), ..job("pwd -P") };
            (node.session.start(&job, &heard).await.unwrap(), heard.out(), heard.err())
        };
        let (_, out, _) = run(dir.to_str().unwrap()).await;
        assert_eq!(out.trim_end(), dir.canonicalize().unwrap().to_str().unwrap());
        let (end, _, err) = run("/no/such/place").await;
        assert_eq!(end, JobEnd::Exited { code: 126 });
        assert!(err.contains("rollgate: cannot run in the directory /no/such/place"), "{err}");
    }
}

#[tokio::test]
async fn a_local_node_has_a_directory_of_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::local().await;
    let root = node.endpoint.state_dir.clone().unwrap();
    let replies = node.session.probe(&[super::node::probe("pwd -P")], super::node::SOON).await.unwrap();
    assert_eq!(replies[0].stdout.text(), "/\n", "a question makes no directory");
    assert!(!root.exists());
    assert_eq!(
        node.run("pwd -P; : >mark").await.1.trim_end(),
        root.canonicalize().unwrap().to_str().unwrap()
    );
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(root.join("mark").exists());
}

#[tokio::test]
async fn a_value_that_no_process_can_be_given_is_refused_before_anything_begins() {
    let node = Node::local().await;
    let job = Job { env: BTreeMap::from([("a".to_owned(), "\0".to_owned())]), ..job("touch began") };
    let error = node.session.start(&job, &Heard::default()).await.unwrap_err();
    assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
    assert!(!node.endpoint.state_dir.unwrap().exists());
}

#[tokio::test]
async fn rights_that_are_not_to_be_had_mean_that_it_never_began() {
    for node in Node::both().await {
        let job = Job { become_with: Become::Doas, ..job("echo began") };
        let heard = Heard::default();
        let error = node.session.start(&job, &heard).await.unwrap_err();
        assert!(error.never_began(), "{error:?}");
        assert_eq!(heard.out(), "");
    }
}

#[tokio::test]
async fn a_secret_is_in_no_process_list_and_in_no_debug_output() {
    let token = "s3cr3t-0d61f2";
    for node in Node::both().await {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let watch = std::thread::spawn(move || {
            let (mut looks, mut hits) = (0, Vec::new());
            while !until.load(Ordering::Relaxed) {
                looks += 1;
                hits.extend(
                    command_lines()
                        .into_iter()
                        .filter(|(_, words)| words.iter().any(|word| word.contains(token))),
                );
                std::thread::sleep(Duration::from_millis(2));
            }
            (looks, hits)
        });
        let heard = Heard::default();
        for shell in [Shell::Sh, Shell::Bash] {
            let script = "[ \"$token\" = \"$(cat)\" ]; sleep 0.3; echo same";
            let job = Job {
                shell,
                secrets: secrets("token", token),
                stdin: Some(Secret::new(token.to_owned())),
                ..job(script)
            };
            assert!(!format!("{:?}", job.secrets).contains(token));
            node.session.start(&job, &heard).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let (looks, hits) = watch.join().unwrap();
        assert_eq!(heard.out(), "same\nsame\n");
        assert!(looks > 10);
        assert_eq!(hits, [], "{}", node.how);
    }
    assert_eq!(format!("{0} {0:?}", Secret::new(token.to_owned())), "*** ***");
}

#[tokio::test]
async fn a_job_at_the_terminal_says_how_it_ended() {
    let token = "terminal-5ecret";
    for node in Node::both().await {
        let mark = node.dir.path().join("mark");
        let job = Job {
            secrets: secrets("token", token),
            ..job(&format!("printf %s \"$token\" >{}; exit 7", mark.display()))
        };
        let end = node.session.interact(&job).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 7 }, "{}", node.how);
        assert_eq!(fs::read_to_string(&mark).unwrap(), token);
    }
    let left = fs::read_dir("/dev/shm").unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| fs::read_to_string(entry.path().join("job")).is_ok_and(|text| text.contains(token)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Its program waits in a file, secrets and all, and no longer than its shell needs to read it.
#[tokio::test]
async fn a_job_at_the_terminal_finds_nothing_left_of_its_program() {
    for (node, token) in Node::both().await.into_iter().zip(["terminal-5ecret-a", "terminal-5ecret-b"]) {
        let mark = node.dir.path().join("mark");
        // Others may have theirs at this moment: what is looked for is the secret, which the program sets.
        let script = "for place in /dev/shm /run /run/user/* /tmp; do
              find \"$place\" -maxdepth 1 -name 'rollgate.*' -exec ls -d {} + 2>/dev/null | sed 's/^/at /'
              grep -rlsF -e \"$token\" \"$place\"/rollgate.* 2>/dev/null | sed 's/^/in /'
            done";
        let job =
            Job { secrets: secrets("token", token), ..job(&format!("{{ {script}; }} >{}", mark.display())) };
        let end = node.session.interact(&job).await.unwrap();
        assert_eq!(end, JobEnd::Exited { code: 0 }, "{}", node.how);
        let seen = fs::read_to_string(&mark).unwrap();
        assert!(seen.contains("at /"), "{}: its directory was not seen: {seen}", node.how);
        assert!(!seen.contains("in /"), "{}: it is still there when the script begins: {seen}", node.how);
    }
}
