//! Three nodes on this machine, set up as an administrator would have left them, and the files that
//! an operator would have written for them.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::service::{self, Home};
use crate::sshd::{Keys, Sshd, free_port, sshd_program};

/// The nodes' names, as they stand in `inventory.yaml`.
pub(crate) const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// What the files say where the demo has its directory.
const PLACE: &str = "/tmp/rollgate-demo";

const INVENTORY: &str = include_str!("inventory.yaml");
const PROCEDURE: &str = include_str!("procedure.yaml");
const OLD_PACKAGE: &str = include_str!("service-1");
const NEW_PACKAGE: &str = include_str!("service-2");

/// The running cluster. Dropping it ends all of it.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    /// The ports of the services, by node.
    ports: Vec<u16>,
    sshds: Vec<Sshd>,
    /// Held for as long as the services shall run.
    lock: Option<File>,
}

impl Cluster {
    /// Sets up the nodes in a directory, starts their sshd and version 1 of the service, and writes
    /// inventory and procedure. Where no sshd is installed the nodes are reached without.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let lock =
            File::create_new(dir.join("demo.lock")).context("the demo wants a directory of its own")?;
        lock.try_lock().context("a new file cannot be locked")?;
        let mut cluster =
            Self { dir: dir.to_owned(), ports: Vec::new(), sshds: Vec::new(), lock: Some(lock) };
        for node in NODES {
            let port = free_port()?;
            install(&dir.join(node), port)?;
            cluster.ports.push(port);
            service::control(&dir.join(node), "start").with_context(|| format!("{node}: svc start"))?;
        }
        if sshd_program().is_some() {
            let keys = Keys::make(&dir.join("ssh"))?;
            for node in NODES {
                cluster.sshds.push(Sshd::start(&dir.join("sshd").join(node), &keys)?);
            }
        }
        fs::write(dir.join("inventory.yaml"), cluster.inventory()?)?;
        fs::write(dir.join("procedure.yaml"), PROCEDURE)?;
        fs::write(dir.join("service-2"), NEW_PACKAGE)?;
        Ok(cluster)
    }

    /// Whether the nodes are reached over SSH.
    pub(crate) fn has_sshd(&self) -> bool {
        !self.sshds.is_empty()
    }

    /// The ports of the services, by node.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Asks a node's service.
    pub(crate) fn ask(&self, node: &str, command: &str) -> Result<String> {
        let answer = service::ask(&Home::new(&self.dir.join(node)), command);
        Ok(answer.with_context(|| format!("{node}: svc {command}"))?.trim().to_owned())
    }

    /// The committed inventory with this directory and these ports.
    fn inventory(&self) -> Result<String> {
        let dir = self.dir.to_str().context("the directory's name must be UTF-8")?;
        ensure!(!dir.contains(['"', '\\']), "the directory's name must have no quote and no backslash");
        let mut text = INVENTORY.replace(PLACE, dir);
        for (number, sshd) in self.sshds.iter().enumerate() {
            text = text.replace(&format!("port: {}", 22_001 + number), &format!("port: {}", sshd.port()));
        }
        if !self.has_sshd() {
            text = without_ssh(&text);
        }
        Ok(text)
    }
}

/// The inventory for nodes that are reached without SSH.
fn without_ssh(text: &str) -> String {
    let mut lines = Vec::new();
    let mut in_ssh = false;
    for line in text.lines() {
        in_ssh = line.starts_with("ssh:") || in_ssh && line.starts_with(' ');
        if line == "    host: 127.0.0.1" {
            lines.push("    connection: local");
        } else if !in_ssh && !line.starts_with("    port:") {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// Installs version 1 of the service on a node.
fn install(node: &Path, port: u16) -> Result<()> {
    let releases = node.join("releases");
    fs::create_dir_all(&releases)?;
    fs::write(Home::new(node).port_file(), port.to_string())?;
    write_script(&releases.join("service-1"), OLD_PACKAGE)?;
    symlink("releases/service-1", node.join("current"))?;
    let demo = std::env::current_exe()?;
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let svc = format!("#!/bin/sh\nexec {} --ctl {} \"$@\"\n", quoted(&demo), quoted(node));
    write_script(&node.join("svc"), &svc)
}

fn write_script(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.lock = None;
        for node in &NODES[..self.ports.len()] {
            if let Err(error) = service::await_end(&Home::new(&self.dir.join(node)), Duration::from_secs(5)) {
                eprintln!("demo: {node}: {error:#}");
            }
        }
    }
}
