//! What holds of every reply, also of one that is garbled or made to mislead: whatever a node says, and in whatever
//! pieces it arrives.
//!
//! Compiled for the tests here and for `tests/fuzz`, which calls [`hears`] with anything.

use std::sync::Mutex;
use std::time::Duration;

use memchr::memmem;
use tokio::sync::oneshot;

use super::converse::{Heard, Hearing};
use super::facts;
use super::fence;
use super::follow::Seen;
use super::frame::{Mark, Nonce};
use super::job::{OutputSink, ProbeEnd, ProbeReply, Stream};
use super::probe::Answers;
use super::sum::sum_of;
use crate::model::condition::{Answer, Condition, Form, Test, Verdict};
use crate::model::host::Become;
use crate::model::job::Standing;
use crate::model::template::{Template, Vars};

/// Scripts that the node was asked to run, as at a login with rights.
const SCRIPTS: usize = 2;
/// The longest line of a job's output that is handed on at once.
const LONGEST_LINE: usize = 1 << 16;
/// What is kept of a reply that is none.
const MOST_NOISE: usize = 1024;
/// What is kept of what a script says on one stream.
const MOST_CAPTURED: usize = 1 << 20;
/// What is kept of what stands before a job's output.
const MOST_BEFORE: usize = 4096;

/// Parts standard output from standard error, in what [`hears`] is given.
const PARTED: &[u8] = b"\n===\n";

/// Hears a reply in one piece and in many, and holds what was understood against the laws of this module. The first
/// byte says how it is cut; a line `===` stands between its two streams; the nonce is `rg-00…07:`.
///
/// # Panics
///
/// If one of them is broken.
pub fn hears(bytes: &[u8]) {
    let [cut, said @ ..] = bytes else { return };
    let (out, err) = match memmem::find(said, PARTED) {
        Some(at) => (&said[..=at], &said[at + PARTED.len()..]),
        None => (said, &[][..]),
    };
    let whole = Understood::of(&[out], &[err]);
    let pieces = Understood::of(&cut_up(out, *cut), &cut_up(err, *cut));
    assert_eq!(whole, pieces, "it matters in which pieces a reply comes");
    whole.is_within_bounds(said.len());
    reads(&whole.replies, &String::from_utf8_lossy(out));
}

/// Pieces of one to sixteen bytes, in an order that `seed` determines.
fn cut_up(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut rest, mut pieces, mut draw) = (bytes, Vec::new(), u32::from(seed) + 1);
    while !rest.is_empty() {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, after) = rest.split_at(rest.len().min((draw >> 28) as usize + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// All that is made of a reply: by the one who asked questions, and by the one who follows a job.
#[derive(Debug, PartialEq)]
struct Understood {
    over: bool,
    noise: Vec<u8>,
    age: Option<Duration>,
    offset: Option<u64>,
    marks: Vec<(Stream, Mark)>,
    replies: Vec<ProbeReply>,
    begun: bool,
    standing: Option<Standing>,
    exit: Option<i32>,
    before: Vec<u8>,
    handed_on: [Vec<u8>; 2],
    taken: [u64; 2],
}

impl Understood {
    fn of(out: &[&[u8]], err: &[&[u8]]) -> Self {
        let mut hearing = Hearing::new(&Nonce::known(), SCRIPTS - 1);
        let (offset, mut at_offset) = oneshot::channel();
        let mut offset = Some(offset);
        let (mut answers, mut seen, lines) = (Answers::expected(SCRIPTS), Seen::default(), Lines::default());
        let mut marks = Vec::new();
        let mut on = |heard: Heard<'_>| {
            answers.hear(&heard);
            seen.hear(&heard, &lines);
            if let Heard::Mark { stream, mark } = heard {
                marks.push((stream, mark));
            }
        };
        for (stream, pieces) in [(Stream::Out, out), (Stream::Err, err)] {
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                hearing.take(stream, piece, &mut on, &mut offset);
            }
        }
        for stream in [Stream::Out, Stream::Err] {
            hearing.take(stream, &[], &mut on, &mut offset);
        }
        seen.flush(&lines);
        let mut replies = answers.replies(&ProbeEnd::Died);
        for reply in &mut replies {
            // It is read off a clock here.
            reply.took = Duration::ZERO;
        }
        Self {
            over: hearing.over(),
            noise: hearing.noise,
            age: hearing.age,
            offset: at_offset.try_recv().ok(),
            marks,
            replies,
            begun: seen.begun,
            standing: seen.standing,
            exit: seen.exit,
            before: seen.before,
            handed_on: lines.0.into_inner().expect("no sink has panicked"),
            taken: seen.taken,
        }
    }

    /// Nothing is made up, and what is kept has a limit.
    fn is_within_bounds(&self, said: usize) {
        assert!(self.noise.len() <= MOST_NOISE && self.before.len() <= MOST_BEFORE);
        let captured = || self.replies.iter().flat_map(|reply| [&reply.stdout, &reply.stderr]);
        assert!(captured().all(|one| one.bytes.len() <= MOST_CAPTURED));
        let kept: usize = captured().map(|one| one.bytes.len()).sum();
        assert!(kept <= said, "{kept} bytes of {said}");
        for (handed_on, taken) in self.handed_on.iter().zip(self.taken) {
            assert_eq!(handed_on.len() as u64, taken, "where to go on from is where it was left");
            assert!(handed_on.len() <= said);
        }
        assert_eq!(self.replies.len(), SCRIPTS);
        let ends = self.marks.iter().filter(|(_, mark)| matches!(mark, Mark::End { .. })).count();
        assert!(ends >= 2 || !self.over, "over without an end on both streams");
        let died = self.replies.iter().filter(|reply| reply.end == ProbeEnd::Died).count();
        assert!(died <= 1, "those after the one that died were not run");
    }
}

/// What is read out of the text of a reply: facts, locks, sums, values. None of it may panic, and none is a path
/// that leads elsewhere.
fn reads(replies: &[ProbeReply], text: &str) {
    let told = |text: &str| ProbeReply {
        end: ProbeEnd::Exited { code: 0 },
        stdout: super::Captured { bytes: text.as_bytes().to_vec(), truncated: false },
        stderr: super::Captured::default(),
        took: Duration::ZERO,
    };
    for facts in [facts::read(replies, Become::None, None), facts::read(&[told(text)], Become::None, None)]
        .into_iter()
        .flatten()
    {
        assert!(facts.root.starts_with('/') && facts.home.starts_with('/'), "{facts:?}");
    }
    if let Some(lock) = fence::Answer::read(text).fence() {
        assert!(lock.epoch > 0);
    }
    for sum in text.lines().filter_map(sum_of) {
        assert!(sum.sha256.len() == 64 && sum.sha256.is_ascii());
    }
    for reply in replies {
        assert!(reply.stdout.text().len() <= reply.stdout.bytes.len() * 3);
    }
    for exit in [0, 1] {
        judges(Answer { exit, stdout: text, stderr: text });
    }
}

/// A value that cannot be read never passes.
fn judges(answer: Answer<'_>) {
    let forms = [Form::Number, Form::Text, Form::Lines, Form::Exit, Form::Json { at: ".a[0].b".to_owned() }];
    for form in forms {
        for test in
            [Test::AtMost(Template::new("1")), Test::Matches(Template::new("a|b+")), Test::CountAtMost(1)]
        {
            let condition = Condition { form: form.clone(), tests: vec![test] };
            let (value, verdict) = condition.judge(answer, &Vars::default());
            assert!(value.is_some() || matches!(verdict, Verdict::Unreadable { .. }), "{verdict:?}");
            assert!(answer.exit == 0 || !verdict.holds() || form == Form::Exit, "{verdict:?}");
        }
    }
}

/// Keeps what is handed on of a job's output.
#[derive(Default)]
struct Lines(Mutex<[Vec<u8>; 2]>);

impl OutputSink for Lines {
    fn line(&self, from: Stream, line: &[u8]) {
        assert!(!line.is_empty() && line.len() <= LONGEST_LINE);
        let mut kept = self.0.lock().expect("no sink has panicked");
        kept[usize::from(from == Stream::Err)].extend_from_slice(line);
    }

    fn cut(&self, _why: &str) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nodes_really_say_keeps_the_laws() {
        let nonce = Nonce::known();
        let p = nonce.prefix();
        let begun = |index| format!("{p}B {index} 4711\n{p}R {index} 0\n");
        let facts = "uid=0\nhome=/root\nstate=\nway=systemd\n";
        let out = format!(
            "motd\n{}{facts}{p}E 0 0\n{}{p}A 0 90\n{p}S 0 ended,7,0,0,1\n{p}E 1 0\n",
            begun(0),
            begun(1)
        );
        let err = format!("{p}B 0 4711\n{p}E 0 0\n{p}B 1 4711\ncut{p}O 0 {}\n{p}E 1 0\n", u64::MAX);
        let understood = Understood::of(&[out.as_bytes()], &[err.as_bytes()]);
        assert!(understood.over && understood.begun && understood.noise == b"motd\n");
        assert_eq!(understood.offset, Some(u64::MAX));
        let ended = Standing::Ended { code: 7, interrupted: false, stopped: false, rebooted: true };
        assert_eq!(understood.standing, Some(ended));
        assert_eq!(understood.replies[0].stdout.text(), facts);
        for cut in 0..=255 {
            hears(&[&[cut], out.as_bytes(), PARTED, err.as_bytes()].concat());
        }
    }

    #[test]
    fn a_home_that_is_no_path_leads_nowhere() {
        for home in ["", "root", "../../etc", "~"] {
            hears(format!("\0uid=7\nhome={home}\nstate=x\n").as_bytes());
        }
    }

    /// Each limit is reached, so that each counts: noise, a capture, what stands before a job's output, a line.
    #[test]
    fn of_what_has_no_end_no_more_is_kept_than_its_limit() {
        let p = Nonce::known();
        let p = p.prefix();
        let flood = "x".repeat(MOST_CAPTURED + 2 * LONGEST_LINE);
        let out = format!("{flood}\n{p}B 0 4711\n{flood}\n{p}R 0 0\n{flood}\n{p}E 0 0\n");
        let err = format!("{flood}\n{p}B 0 4711\n{flood}\n{p}R 0 0\n{flood}\n{p}E 0 0\n");
        let understood = Understood::of(&[out.as_bytes()], &[err.as_bytes()]);
        understood.is_within_bounds(out.len() + err.len());
        assert_eq!((understood.noise.len(), understood.before.len()), (MOST_NOISE, MOST_BEFORE));
        let [first, ..] = &understood.replies[..] else { panic!("no reply") };
        for captured in [&first.stdout, &first.stderr] {
            assert_eq!((captured.bytes.len(), captured.truncated), (MOST_CAPTURED, true));
        }
        assert!(understood.handed_on.iter().all(|lines| lines.len() > MOST_CAPTURED));
    }

    proptest! {
        #[test]
        fn anything_at_all_keeps_the_laws(
            cut: u8,
            parted in 0_usize..12,
            parts in prop::collection::vec((0_usize..9, prop::collection::vec(any::<u8>(), 0..20)), 0..12),
        ) {
            let mut bytes = vec![cut];
            for (at, (mark, noise)) in parts.into_iter().enumerate() {
                let words = ["B 0 2", "R 0 0", "E 0 0", "B 1 2", "R 1 0", "E 1 1", "S 0 running", "O 0 1", ""];
                bytes.extend_from_slice(if at == parted { PARTED } else { &noise });
                bytes.extend_from_slice(format!("{}{}\n", Nonce::known().prefix(), words[mark]).as_bytes());
            }
            hears(&bytes);
        }
    }
}
