//! Builds and runs the program that is demonstrated, as somebody would type it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::Interrupt;

/// Brings rollgate, built with the same profile, up to date and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let demo = std::env::current_exe()?;
    let profile =
        demo.parent().and_then(Path::parent).context("the demo runs from cargo's target directory")?;
    let program = profile.join("rollgate");
    let Some(cargo) = std::env::var_os("CARGO") else {
        ensure!(
            program.exists(),
            "{} is missing; run: cargo run --release --example demo",
            program.display()
        );
        return Ok(program);
    };
    let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let built = Command::new(cargo)
        // Together with the demo, which is built: alone, its dependencies would have other features.
        .args(["build", "--quiet", "--locked", "--bin", "rollgate", "--example", "demo", "--profile"])
        .arg(if name == "debug" { "dev" } else { name })
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--target-dir"])
        .arg(profile.parent().context("the target directory is below the root")?)
        .status()?;
    ensure!(built.success(), "rollgate cannot be built");
    Ok(program)
}

/// rollgate with the demo's inventory.
#[derive(Debug)]
pub(crate) struct Rollgate<'a> {
    program: PathBuf,
    dir: &'a Path,
    unattended: bool,
    interrupt: &'a Interrupt,
}

impl<'a> Rollgate<'a> {
    /// Runs in that directory; unattended, it is told its answers.
    pub(crate) fn new(program: PathBuf, dir: &'a Path, unattended: bool, interrupt: &'a Interrupt) -> Self {
        Self { program, dir, unattended, interrupt }
    }

    /// Runs a verb that asks nothing.
    pub(crate) fn run(&self, args: &[&str]) -> Result<()> {
        self.interrupt.check()?;
        println!("$ rollgate -i inventory.yaml {}", args.join(" "));
        let mut child = Command::new(&self.program)
            .args(["-i", "inventory.yaml"])
            .args(args)
            .current_dir(self.dir)
            // The journal stays with everything else, not among the operator's own.
            .env("ROLLGATE_STATE_DIR", self.dir.join("state"))
            .stdin(if self.unattended { Stdio::null() } else { Stdio::inherit() })
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut passed_on = false;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.interrupt.must_be_passed_on() && !passed_on {
                passed_on = true;
                let pid = Pid::from_raw(i32::try_from(child.id())?).context("a child has a process id")?;
                kill_process(pid, Signal::TERM)?;
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.interrupt.check()?;
        accept(status, args)
    }

    /// Runs a verb that asks for the cluster's name and at gates.
    pub(crate) fn run_confirmed(&self, args: &[&str]) -> Result<()> {
        if self.unattended {
            self.run(&[args, &["--yes", "--confirm", "demo"]].concat())
        } else {
            self.run(args)
        }
    }
}

fn accept(status: ExitStatus, args: &[&str]) -> Result<()> {
    match status.code() {
        Some(0) => Ok(()),
        Some(11) => bail!("rollgate {} stopped, because no yes was given (exit 11)", args[0]),
        _ => bail!("rollgate {} ended with {status}", args[0]),
    }
}
