//! An inventory that is a program: run with a limit on its time and on what it prints.

use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::context::Context;
use super::refusal::Refusal;
use crate::config::Source;
use crate::config::source::MOST_BYTES;
use crate::model::duration;
use crate::transport::child;
use crate::ui::ink::{Line, Tone};
use crate::ui::write;

/// How long it may take. One that asks a cloud for a thousand machines needs seconds.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long its last words may take to come when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Lines of its error output that are shown; who says more says it to nobody.
const MOST_LINES: usize = 200;
/// Bytes of one such line.
const MOST_OF_A_LINE: u64 = 1000;

/// What a program prints, as an inventory. Its error output is shown under its name as it comes.
pub(super) fn printed_by(context: &Context, path: &Path) -> Result<Source, Refusal> {
    let refused = |why: &str| {
        Refusal::input(format!("the inventory {} is a program, and it {why}", path.display()))
            .help("run it by hand: it must print the inventory as YAML or JSON")
            .next(context.command(&["check", "--syntax-only"], "try it again"))
            .standing("nothing was done")
    };
    let mut child = child::command(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| refused(&format!("cannot be run: {error}")))?;
    let relayed = show(context, path, child.stderr.take());
    let printed = read(child.stdout.take());
    let done = wait(&mut child, &printed, PATIENCE);
    if done.is_err() {
        // It may have ended in this moment.
        let _ = child.kill();
        let _ = child.wait();
    }
    // What it left behind may hold its error output open for ever.
    let _ = relayed.recv_timeout(LAST_WORDS);
    let (status, bytes) = done.map_err(|why| refused(&why))?;
    if !status.success() {
        return Err(refused(&format!("ended with {status}")));
    }
    Ok(Source::from_bytes(path, bytes)?)
}

/// Shows its error output under its name; the answer comes when there is no more of it.
fn show(context: &Context, path: &Path, stderr: Option<ChildStderr>) -> Receiver<()> {
    let (sender, receiver) = channel();
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let face = context.style.err;
    let head = Line::new(&face).tone(Tone::Dim, &format!("{name} | "));
    thread::spawn(move || {
        let say = |text: &str| write::to_stderr(&format!("{}\n", head.clone().text(text).paint(&face)));
        if let Some(stderr) = stderr {
            relay(stderr, say);
        }
        // Nobody listens any more once that has taken too long.
        let _ = sender.send(());
    });
    receiver
}

/// Its output as far as an inventory may be long, and one byte of what is too much.
fn read(stdout: Option<impl Read + Send + 'static>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes));
        // Nobody listens any more once it has taken too long.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver
}

/// The end of the program and all that it printed.
fn wait(
    child: &mut Child,
    printed: &Receiver<io::Result<Vec<u8>>>,
    patience: Duration,
) -> Result<(ExitStatus, Vec<u8>), String> {
    let until = Instant::now() + patience;
    let late = || format!("did not end within {}", duration::written(patience));
    let bytes = printed.recv_timeout(patience).map_err(|_| late())?;
    let bytes = bytes.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > MOST_BYTES {
        return Err(format!("prints more than {} MiB", MOST_BYTES >> 20));
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status, bytes)),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err(late()),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    }
}

/// Hands on lines as they come, as many and as long as anybody reads, and reads on after that.
fn relay(stderr: impl Read, say: impl Fn(&str)) {
    let mut reader = BufReader::new(stderr);
    for _ in 0..MOST_LINES {
        let mut line = Vec::new();
        match (&mut reader).take(MOST_OF_A_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => say(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
            _ => return,
        }
    }
    say("(what it says from here on is not shown)");
    let _ = io::copy(&mut reader, &mut io::sink());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn come_of(script: &str, patience: Duration) -> Result<Vec<u8>, String> {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let printed = read(child.stdout.take());
        let done = wait(&mut child, &printed, patience);
        let _ = child.kill();
        let _ = child.wait();
        done.map(|(_, bytes)| bytes)
    }

    #[test]
    fn neither_time_nor_output_is_without_end() {
        let long = Duration::from_mins(1);
        assert_eq!(come_of("printf 'cluster: a'", long), Ok(b"cluster: a".to_vec()));
        assert_eq!(come_of("exec yes", long), Err("prints more than 1 MiB".to_owned()));
        let short = Duration::from_millis(200);
        for script in ["exec sleep 50", "exec sleep 50 >&-"] {
            assert_eq!(come_of(script, short), Err("did not end within 200ms".to_owned()), "{script}");
        }
    }

    #[test]
    fn of_what_it_says_besides_only_the_beginning_is_shown() {
        let said = std::cell::RefCell::new(Vec::new());
        relay("x\n".repeat(5000).as_bytes(), |line| said.borrow_mut().push(line.to_owned()));
        let said = said.into_inner();
        assert_eq!((said.len(), said[0].as_str()), (MOST_LINES + 1, "x"));
    }
}
