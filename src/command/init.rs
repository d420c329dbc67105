//! `rollgate init`: prints an inventory to begin with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::context::Context;
use super::files::Files;
use super::refusal::Refusal;
use crate::cli::Init;
use crate::config::starter::{BadAddress, NoInventory, Starter};
use crate::config::{Source, load_source};
use crate::exit::Exit;
use crate::ui::ink::{Line, Tone, paint};
use crate::ui::narrate::Loudness;
use crate::ui::next::Next;
use crate::ui::write;

/// The most that is read of a list of names or of Ansible's JSON, in bytes: ten thousand hosts.
const MOST_BYTES: u64 = 16 << 20;

pub(super) fn run(context: &Context, flags: &Init) -> Result<Exit, Refusal> {
    let starter = match &flags.from_ansible {
        Some(file) => {
            let json = read(file)?;
            Starter::from_ansible(&json).map_err(|error| foreign(file, &error))?
        }
        None => named(&flags.nodes)?,
    };
    let text = starter.text();
    // What is printed is used as it stands, so it is read first as it will be.
    let source = Source::from_bytes(Path::new("rollgate.yaml"), text.clone().into_bytes())?;
    Files::of(load_source(source)?).lint()?;
    let done = super::print(&text)?;
    if context.loudness > Loudness::Quiet {
        let face = &context.style.err;
        let left_out = starter.left_out().iter();
        let notes = left_out.map(|note| Line::new(face).tone(Tone::Wait, "left out: ").text(note));
        write::to_stderr(&paint(face, &notes.collect::<Vec<_>>()));
    }
    Ok(done)
}

/// The nodes of a command line; `-` stands for those on standard input.
fn named(words: &[String]) -> Result<Starter, Refusal> {
    if words.is_empty() {
        return Ok(Starter::with_placeholders());
    }
    let typed = if words.iter().any(|word| word == "-") { read(Path::new("-"))? } else { String::new() };
    let lines = || {
        let lines = typed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        // `kubectl get nodes -o name` says of each what kind of thing it is.
        lines.map(|line| line.strip_prefix("node/").unwrap_or(line))
    };
    let mut all: Vec<&str> = Vec::new();
    for word in words {
        match word.as_str() {
            "-" => all.extend(lines()),
            word => all.push(word),
        }
    }
    if all.is_empty() {
        return Err(Refusal::input("there is no name on standard input")
            .help("one node a line, as [user@]host[:port]")
            .next(help())
            .standing("nothing was printed"));
    }
    Starter::with_nodes(all).map_err(|BadAddress { what, help: how }| {
        Refusal::input(what).help(how).next(help()).standing("nothing was printed")
    })
}

fn foreign(file: &Path, error: &NoInventory) -> Refusal {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    Refusal::input(format!("{name}: {}", error.what))
        .help(&error.help)
        .next(help())
        .standing("nothing was printed")
}

/// The text of a file; `-` is standard input.
fn read(file: &Path) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let done = if file == Path::new("-") {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
    };
    let refuse = |why: &str| {
        let name =
            if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        Refusal::input(format!("{name} cannot be read: {why}")).next(help()).standing("nothing was printed")
    };
    done.map_err(|error| refuse(&error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refuse("it is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))
}

fn help() -> Next {
    Next::new(&["rollgate", "init", "--help"], "how nodes are named, with examples")
}
