//! Facts of the terminal, decided once: who can be asked, what may be redrawn, what may be coloured.
//!
//! Every crate that draws is told by [`Style::apply`]; none looks at the environment by itself, because they
//! disagree (console lets `CLICOLOR_FORCE` beat `NO_COLOR`, and takes an empty `NO_COLOR` for a set one).

use std::io;
use std::os::fd::AsFd;

use rustix::termios;

/// Narrower than this no screen is laid out; the terminal wraps instead.
pub(super) const NARROWEST: usize = 20;

/// What `--output` wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputChoice {
    /// Human on a terminal, plain elsewhere.
    #[default]
    Auto,
    /// Laid out for eyes.
    Human,
    /// ASCII, one fact a line, nothing redrawn.
    Plain,
    /// One document, or one record a line.
    Json,
}

/// What `--color` wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// By the environment and the terminal.
    #[default]
    Auto,
    /// Also into pipes.
    Always,
    /// Not at all.
    Never,
}

/// The flags that say how output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// `--output`.
    pub output: OutputChoice,
    /// `--color`.
    pub color: ColorChoice,
    /// `--no-input`.
    pub no_input: bool,
}

/// What the three streams are.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the system")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Standard input is a terminal.
    pub stdin_tty: bool,
    /// Standard output is a terminal.
    pub stdout_tty: bool,
    /// Standard error is a terminal.
    pub stderr_tty: bool,
    /// This process is in the foreground of its controlling terminal.
    pub foreground: bool,
    /// Columns of the terminal.
    pub columns: Option<usize>,
}

impl Facts {
    /// Asks the system. A terminal without a controlling process group, or with another one in the foreground,
    /// is one where nobody can answer.
    pub fn gather() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let columns = |fd: rustix::fd::BorrowedFd<'_>| {
            termios::tcgetwinsize(fd).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
        };
        Self {
            stdin_tty: termios::isatty(&stdin),
            stdout_tty: termios::isatty(&stdout),
            stderr_tty: termios::isatty(&stderr),
            foreground: termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp()),
            columns: columns(stderr.as_fd()).or_else(|| columns(stdout.as_fd())),
        }
    }
}

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Laid out for eyes.
    Human,
    /// ASCII, stable fields, one fact a line.
    Plain,
    /// JSON.
    Json,
}

/// What one stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// SGR codes may be written.
    pub color: bool,
    /// More than ASCII may be written.
    pub unicode: bool,
    /// Columns, when lines have to fit; absent means that nothing is ever shortened or wrapped.
    pub width: Option<usize>,
}

impl Face {
    /// ASCII without colour and without a width: pipes, logs, cron.
    pub const PLAIN: Self = Self { color: false, unicode: false, width: None };

    /// The face of standard error as wide as its terminal is now.
    #[must_use]
    pub fn measured(self) -> Self {
        let now = console::Term::stderr().size_checked().map(|(_, columns)| usize::from(columns));
        Self { width: self.width.map(|width| now.map_or(width, |now| now.max(NARROWEST))), ..self }
    }
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Somebody is there who can answer a question.
    pub interactive: bool,
    /// Progress may be redrawn on stderr.
    pub live: bool,
    /// What stdout carries.
    pub format: Format,
    /// Results.
    pub out: Face,
    /// Progress, prompts and messages.
    pub err: Face,
}

impl Style {
    /// Decides from flags, environment and streams; pure, so that a table can test it.
    pub fn decide(wishes: &Wishes, env: &dyn Fn(&str) -> Option<String>, facts: &Facts) -> Self {
        let said = |name: &str| env(name).filter(|value| !value.is_empty());
        let term = said("TERM");
        let capable = term.as_deref().is_some_and(|term| term != "dumb");
        let utf8 =
            said("LC_ALL").or_else(|| said("LC_CTYPE")).or_else(|| said("LANG")).is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            });
        let human = |tty: bool| match wishes.output {
            OutputChoice::Auto => tty,
            OutputChoice::Human => true,
            OutputChoice::Plain | OutputChoice::Json => false,
        };
        let forced = |name: &str| said(name).is_some_and(|value| value != "0");
        let color = |tty: bool| match wishes.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if said("NO_COLOR").is_some() => false,
            ColorChoice::Auto if forced("CLICOLOR_FORCE") || forced("FORCE_COLOR") => true,
            ColorChoice::Auto => tty && human(tty) && capable && env("CLICOLOR").as_deref() != Some("0"),
        };
        let columns = || said("COLUMNS").and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
        let face = |tty: bool| Face {
            color: color(tty),
            unicode: human(tty) && utf8,
            width: if human(tty) {
                facts.columns.filter(|_| tty).or_else(columns).map(|width: usize| width.max(NARROWEST))
            } else {
                None
            },
        };
        let json = wishes.output == OutputChoice::Json;
        let mut out = face(facts.stdout_tty);
        out.color &= !json;
        Self {
            interactive: facts.stdin_tty && facts.stderr_tty && facts.foreground && !wishes.no_input && !json,
            live: facts.stderr_tty && human(facts.stderr_tty) && capable,
            format: if json {
                Format::Json
            } else if human(facts.stdout_tty) {
                Format::Human
            } else {
                Format::Plain
            },
            out,
            err: face(facts.stderr_tty),
        }
    }

    /// Where there is no terminal: nobody is asked, and nothing is drawn.
    pub const PLAIN: Self =
        Self { interactive: false, live: false, format: Format::Plain, out: Face::PLAIN, err: Face::PLAIN };

    /// Decides for this process.
    pub fn detect(wishes: &Wishes) -> Self {
        Self::decide(wishes, &|name| std::env::var(name).ok(), &Facts::gather())
    }

    /// Tells the crates that draw what was decided.
    pub fn apply(&self) {
        console::set_colors_enabled(self.out.color);
        console::set_colors_enabled_stderr(self.err.color);
    }
}

/// Puts the terminal back as it was found: the cursor shown, line input on. A prompt that is left by a signal
/// or a panic leaves neither behind.
#[derive(Debug)]
pub struct Restore {
    modes: Option<termios::Termios>,
    cursor: bool,
}

impl Restore {
    /// Remembers the terminal as it is now; does nothing later where there is none.
    pub fn on_drop(style: &Style) -> Self {
        Self {
            modes: style.interactive.then(|| termios::tcgetattr(io::stdin()).ok()).flatten(),
            cursor: style.live,
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(modes) = &self.modes {
            // The terminal may be gone by now (SIGHUP): nothing is left to put back then.
            let _ = termios::tcsetattr(io::stdin(), termios::OptionalActions::Now, modes);
        }
        if self.cursor {
            let _ = console::Term::stderr().show_cursor();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTY: Facts =
        Facts { stdin_tty: true, stdout_tty: true, stderr_tty: true, foreground: true, columns: Some(100) };
    const NONE: Facts =
        Facts { stdin_tty: false, stdout_tty: false, stderr_tty: false, foreground: false, columns: None };
    const PIPED: Facts = Facts { stdout_tty: false, ..TTY };

    fn decide(wishes: Wishes, env: &[(&str, &str)], facts: Facts) -> Style {
        Style::decide(
            &wishes,
            &|name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            &facts,
        )
    }

    fn output(output: OutputChoice) -> Wishes {
        Wishes { output, ..Wishes::default() }
    }

    fn color(color: ColorChoice) -> Wishes {
        Wishes { color, ..Wishes::default() }
    }

    const XTERM: (&str, &str) = ("TERM", "xterm-256color");
    const UTF8: (&str, &str) = ("LANG", "en_US.UTF-8");

    #[test]
    fn a_terminal_gets_everything() {
        let style = decide(Wishes::default(), &[XTERM, UTF8], TTY);
        let face = Face { color: true, unicode: true, width: Some(100) };
        assert_eq!(
            style,
            Style { interactive: true, live: true, format: Format::Human, out: face, err: face }
        );
    }

    #[test]
    fn without_a_terminal_nothing_is_drawn_or_asked() {
        let style = decide(Wishes::default(), &[XTERM, UTF8, ("COLUMNS", "80")], NONE);
        assert_eq!(
            style,
            Style {
                interactive: false,
                live: false,
                format: Format::Plain,
                out: Face::PLAIN,
                err: Face::PLAIN
            }
        );
    }

    #[test]
    fn interactive_needs_all_three_parts() {
        for (facts, wishes, expected) in [
            (TTY, Wishes::default(), true),
            (Facts { stdin_tty: false, ..TTY }, Wishes::default(), false),
            (Facts { stderr_tty: false, ..TTY }, Wishes::default(), false),
            (Facts { foreground: false, ..TTY }, Wishes::default(), false),
            (TTY, Wishes { no_input: true, ..Wishes::default() }, false),
            (TTY, output(OutputChoice::Plain), true),
            (TTY, output(OutputChoice::Json), false),
            (PIPED, Wishes::default(), true),
        ] {
            assert_eq!(decide(wishes, &[XTERM], facts).interactive, expected, "{facts:?} {wishes:?}");
        }
    }

    #[test]
    fn colour_is_decided_in_one_order() {
        type Row = (Wishes, &'static [(&'static str, &'static str)], Facts, bool);
        let auto = Wishes::default();
        let rows: &[Row] = &[
            (auto, &[XTERM], TTY, true),
            (auto, &[XTERM], NONE, false),
            (auto, &[XTERM, ("NO_COLOR", "1")], TTY, false),
            (auto, &[XTERM, ("NO_COLOR", "")], TTY, true),
            (auto, &[XTERM, ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], TTY, false),
            (auto, &[("CLICOLOR_FORCE", "1")], NONE, true),
            (auto, &[("CLICOLOR_FORCE", "0")], NONE, false),
            (auto, &[("FORCE_COLOR", "1")], NONE, true),
            (auto, &[XTERM, ("CLICOLOR", "0")], TTY, false),
            (auto, &[("TERM", "dumb")], TTY, false),
            (auto, &[], TTY, false),
            (color(ColorChoice::Always), &[("NO_COLOR", "1")], NONE, true),
            (color(ColorChoice::Never), &[XTERM, ("CLICOLOR_FORCE", "1")], TTY, false),
            (output(OutputChoice::Plain), &[XTERM], TTY, false),
            (output(OutputChoice::Json), &[XTERM, ("FORCE_COLOR", "1")], TTY, false),
        ];
        for (wishes, env, facts, expected) in rows {
            assert_eq!(decide(*wishes, env, *facts).out.color, *expected, "{wishes:?} {env:?} {facts:?}");
        }
    }

    #[test]
    fn no_color_leaves_the_live_block_on_and_plain_turns_it_off() {
        assert!(decide(Wishes::default(), &[XTERM, ("NO_COLOR", "1")], TTY).live);
        assert!(!decide(output(OutputChoice::Plain), &[XTERM], TTY).live);
        assert!(!decide(Wishes::default(), &[("TERM", "dumb")], TTY).live);
        assert!(!decide(Wishes::default(), &[], TTY).live);
        assert!(decide(Wishes::default(), &[XTERM], PIPED).live, "progress goes to stderr");
    }

    #[test]
    fn signs_follow_the_locale() {
        for (env, expected) in [
            (&[UTF8][..], true),
            (&[("LANG", "C")], false),
            (&[("LC_ALL", "C"), UTF8], false),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], true),
            (&[], false),
        ] {
            assert_eq!(decide(Wishes::default(), env, TTY).out.unicode, expected, "{env:?}");
        }
        assert!(!decide(Wishes::default(), &[UTF8], NONE).out.unicode);
        assert!(!decide(output(OutputChoice::Plain), &[UTF8], TTY).out.unicode);
    }

    #[test]
    fn width_is_the_terminals_then_columns_then_unlimited() {
        let human = output(OutputChoice::Human);
        assert_eq!(decide(human, &[("COLUMNS", "60")], TTY).out.width, Some(100));
        assert_eq!(decide(human, &[("COLUMNS", "60")], NONE).out.width, Some(60));
        assert_eq!(decide(human, &[("COLUMNS", "wide")], NONE).out.width, None);
        assert_eq!(decide(human, &[("COLUMNS", "3")], NONE).out.width, Some(20));
        assert_eq!(decide(output(OutputChoice::Plain), &[("COLUMNS", "60")], TTY).out.width, None);
    }

    #[test]
    fn a_redirected_stream_does_not_change_the_other() {
        let style = decide(Wishes::default(), &[XTERM, UTF8], PIPED);
        assert_eq!((style.format, style.out), (Format::Plain, Face::PLAIN));
        assert!(style.err.color && style.err.unicode);
    }
}
