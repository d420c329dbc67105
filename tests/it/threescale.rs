//! 3scale 2.4 to 2.5 (`examples/3scale`), on a stand-in for `oc`: an upgrade without a node. Needs no root, for
//! nothing boots.

mod page;
mod upgrade;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{Invocation, Output};

/// What the database has for a password: with characters that break a document which a shell pasted together.
const PASSWORD: &str = "pa\"ss\\wörd-4711";

/// The longest that one run may take, with the machine full of other tests.
const LIMIT: Duration = Duration::from_mins(4);

/// A project with 3scale 2.4, and the files of its operator.
struct Project {
    temp: TempDir,
}

impl Project {
    /// Installs the stand-in as `tests/lab/up` does, and the example beside it.
    fn new() -> Self {
        let temp = tempfile::Builder::new().prefix("rg-").tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir(temp.path().join("run")).unwrap();
        let install = root.join("tests/lab/systems/3scale/install");
        Invocation::new(install, temp.path()).args([temp.path()]).run().code(0);
        for file in ["inventory.yaml", "procedure.yaml"] {
            fs::copy(root.join("examples/3scale").join(file), temp.path().join(file)).unwrap();
        }
        let project = Self { temp };
        project.write_editors();
        project
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.temp.path().join(relative)
    }

    fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    /// Replaces a text that stands in a file.
    #[track_caller]
    fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
        self
    }

    /// Leaves only these phases of the procedure, word for word, and no check that nothing asks any more.
    fn only(&self, phases: &[&str]) -> &Self {
        let text = self.read("procedure.yaml");
        let (head, body) = text.split_once("\nphases:\n").unwrap();
        let kept = body.split("\n  - name: ").filter(|phase| {
            let name = phase.trim_start_matches("  - name: ").lines().next().unwrap();
            phases.contains(&name.split('#').next().unwrap().trim())
        });
        let kept: Vec<&str> = kept.map(|phase| phase.trim_start_matches("  - name: ")).collect();
        assert_eq!(kept.len(), phases.len(), "the example has other phases");
        let body = format!("  - name: {}", kept.join("\n  - name: "));
        fs::write(self.path("procedure.yaml"), format!("{head}\nphases:\n{body}")).unwrap();
        self
    }

    /// Leaves these phases to be done, and leaves out section 2.5.
    fn without_zync(&self, phases: &[&str]) -> &Self {
        let phases: Vec<&str> = ["preparation", "zync database"].iter().chain(phases).copied().collect();
        self.only(&phases).edit("inventory.yaml", "upgrade_zync: \"yes\"", "upgrade_zync: \"no\"")
    }

    fn misbehave(&self, words: &str) -> &Self {
        fs::write(self.path("misbehave"), words).unwrap();
        self
    }

    fn invocation(&self, program: impl AsRef<std::ffi::OsStr>) -> Invocation {
        let mut path = self.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Invocation::new(program, self.temp.path())
            .env("PATH", path)
            .env("ROLLGATE_STATE_DIR", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .limit(LIMIT)
    }

    fn rollgate(&self, args: &[&str]) -> Invocation {
        self.invocation(env!("CARGO_BIN_EXE_rollgate")).args(["-i", "inventory.yaml"]).args(args)
    }

    fn start(&self) -> Invocation {
        self.rollgate(&["start", "--yes", "--confirm", "3scale-prod"])
    }

    fn resume(&self) -> Invocation {
        self.rollgate(&["start", "--yes", "--confirm", "3scale-prod", "--resume"])
    }

    fn rollback(&self) -> Invocation {
        self.rollgate(&["rollback", "--yes", "--confirm", "3scale-prod"])
    }

    /// Runs it while somebody edits what it asks for.
    fn attended(&self, invocation: Invocation) -> Output {
        self.beside_a_human(|| invocation.run())
    }

    fn oc(&self, args: &[&str]) -> Output {
        self.invocation("oc").args(args).run()
    }

    /// What `oc` prints.
    #[track_caller]
    fn said(&self, args: &[&str]) -> String {
        let output = self.oc(args);
        output.code(0);
        output.raw_stdout().trim().to_owned()
    }

    fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.said(&["get", kind, name, "-o", "json"])).unwrap()
    }

    fn replicas(&self, name: &str) -> u64 {
        self.object("dc", name)["spec"]["replicas"].as_u64().unwrap()
    }

    /// The names of an image stream's tags, in their order.
    fn tags(&self, stream: &str) -> Vec<String> {
        let tags = self.object("is", stream)["spec"]["tags"].clone();
        tags.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What was done to the project, in order.
    fn effects(&self) -> Vec<String> {
        self.read("oc-state/log").lines().map(str::to_owned).collect()
    }

    fn count(&self, effect: &str) -> usize {
        self.effects().iter().filter(|line| *line == effect).count()
    }

    #[track_caller]
    fn await_effect(&self, effect: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.count(effect) == 0 {
            assert!(Instant::now() < deadline, "no {effect:?} in {:#?}", self.effects());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The run's files, as `find` has them, with their texts.
    fn files_below(&self, relative: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut files, mut dirs) = (Vec::new(), vec![self.path(relative)]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().map_while(Result::ok) {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.is_file() {
                    files.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    // --- the human ---

    fn write_editors(&self) {
        fs::create_dir(self.path("editors")).unwrap();
        for (name, script) in EDITS.iter().map(|edit| (edit.editor, edit.script)) {
            let path = self.path("editors").join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Whether the step of that name has been looked at in the latest run, and is still to be done.
    fn is_at(&self, label: &str) -> bool {
        let runs = fs::read_dir(self.path("state/3scale-prod/runs"));
        let latest = runs.into_iter().flatten().map(|run| run.unwrap().path()).max();
        let journal = latest.and_then(|run| fs::read_to_string(run.join("journal.ndjson")).ok());
        let journal = journal.unwrap_or_default();
        let Some(opened) = journal.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok())
        else {
            return false;
        };
        let phases = opened["event"]["run_opened"]["plan"]["phases"].as_array().cloned().unwrap_or_default();
        let steps = phases.iter().flat_map(|phase| {
            ["steps", "rollback"].into_iter().filter_map(|list| phase[list].as_array()).flatten()
        });
        let id = steps.into_iter().find(|step| step["label"] == label).map(|step| step["id"].clone());
        let Some(id) = id.as_ref().and_then(Value::as_str) else { return false };
        let key = format!("\"operator/{id}\"");
        let last = journal.lines().rev().find(|line| line.contains(&key));
        last.is_some_and(|line| line.contains("reading_taken") && line.contains("does_not_hold"))
    }

    fn beside_a_human<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut made = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    for edit in EDITS {
                        if made.contains(&edit.step) || !self.is_at(edit.step) {
                            continue;
                        }
                        let editor = self.path("editors").join(edit.editor);
                        let words = ["edit", edit.kind, edit.name];
                        self.invocation("oc").env("EDITOR", editor).args(words).run().code(0);
                        made.push(edit.step);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let result = work();
            done.store(true, Ordering::Relaxed);
            result
        })
    }
}

/// An edit that the page asks a human for.
struct Edit {
    step: &'static str,
    kind: &'static str,
    name: &'static str,
    editor: &'static str,
    script: &'static str,
}

const EDITS: &[Edit] = &[
    Edit {
        step: "edit the configmap",
        kind: "configmap",
        name: "system",
        editor: "flags",
        script: r#"sed -i 's/^\( *\)policies: true$/&\n\1policy_registry: true\n\1service_mesh_integration: true/' "$1""#,
    },
    Edit {
        step: "edit system-mysql",
        kind: "dc",
        name: "system-mysql",
        editor: "from-secret",
        script: r#"exec perl -i -ne '
if ($n) { print "$i  valueFrom:\n$i    secretKeyRef:\n$i      key: DB_$n\n$i      name: system-database\n"; $n = ""; next }
if (/^(\s*)- name: MYSQL_(USER|PASSWORD)$/) { ($i, $n) = ($1, $2) }
print' "$1""#,
    },
    Edit {
        step: "edit zync-database",
        kind: "dc",
        name: "zync-database",
        editor: "to-10",
        script: r#"sed -i 's/postgresql:9\.5$/postgresql:10/' "$1""#,
    },
    Edit {
        step: "edit zync-database back",
        kind: "dc",
        name: "zync-database",
        editor: "to-9.5",
        script: r#"sed -i 's/postgresql:10$/postgresql:9.5/' "$1""#,
    },
];
