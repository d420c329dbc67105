//! What is handed out, where it goes: the Debian package on a host that has only just got it, and the program
//! without shared libraries where there are none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::Lab;
use crate::support::{Invocation, Pty, Size};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The package, and the program that needs no library. Built once, if `tests/run.sh` has not done it.
static PACKED: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    // Not `Invocation`: cargo wants the tester's own environment.
    let pack = Command::new(Path::new(ROOT).join("tests/lab/pack")).output().unwrap();
    assert!(pack.status.success(), "{}", String::from_utf8_lossy(&pack.stderr));
    let said = String::from_utf8(pack.stdout).unwrap();
    let mut lines = said.lines().map(|line| Path::new(ROOT).join(line));
    [(); 2].map(|()| lines.next().unwrap())
});

fn deb() -> &'static Path {
    &PACKED[0]
}

/// The files of a directory of the source, and of those below it, as paths within it.
fn files_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            found.extend(files_below(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name.to_owned());
        }
    }
    found
}

/// What must be in the package, from what is in the source.
fn wanted() -> BTreeSet<String> {
    let completions = [
        "bash-completion/completions/rollgate",
        "zsh/vendor-completions/_rollgate",
        "fish/vendor_completions.d/rollgate.fish",
    ];
    let mut wanted: BTreeSet<String> = completions.map(|path| format!("/usr/share/{path}")).into();
    wanted.extend(["/usr/bin/rollgate".to_owned()]);
    wanted.extend(["README.md", "copyright"].map(|file| format!("/usr/share/doc/rollgate/{file}")));
    let examples = files_below(&Path::new(ROOT).join("examples"));
    // The demo is a program, to be run from the source.
    let examples =
        examples.into_iter().filter(|file| Path::new(file).extension().is_none_or(|end| end != "rs"));
    wanted.extend(examples.map(|file| format!("/usr/share/doc/rollgate/examples/{file}")));
    for page in files_below(&Path::new(ROOT).join("man")) {
        let section = &page[page.len() - 1..];
        wanted.insert(format!("/usr/share/man/man{section}/{page}.gz"));
    }
    wanted
}

#[test]
fn the_package_holds_what_it_must_and_nobody_may_write_it() {
    let listing = Invocation::new("dpkg-deb", Path::new("/")).args(["--contents"]).args([deb()]).run();
    listing.code(0);
    let mut held = BTreeSet::new();
    for line in listing.raw_stdout().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _, _, _, path] = words[..] else { panic!("{line}") };
        assert!(["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"].contains(&mode), "{line}");
        assert!(["0/0", "root/root"].contains(&owner), "{line}");
        if !mode.starts_with('d') {
            held.insert(path.trim_start_matches('.').to_owned());
        }
    }
    assert_eq!(held, wanted());
    let fields = Invocation::new("dpkg-deb", Path::new("/")).args(["--field"]).args([deb()]).run();
    fields
        .code(0)
        .stdout_has(concat!("Version: ", env!("CARGO_PKG_VERSION"), "-1\n"))
        .stdout_has("Depends: libc6 (>= ")
        .stdout_has("Recommends: openssh-client\n")
        .stdout_has("Section: admin\n")
        .stdout_has("\n .\n Every step is in a journal");
}

/// A lab whose first node has the package, and an inventory with itself and the second one.
fn installed() -> Lab {
    let lab = Lab::up(2);
    let config = lab.file("ssh_config");
    let own = ["id_ed25519", "known_hosts"].map(|name| lab.file(name));
    let copied = Invocation::new("scp", Path::new("/"))
        .args(["-q", "-F"])
        .args([&config, &deb().to_owned(), &own[0], &own[1]])
        .args(["n1:/root/"])
        .run();
    copied.code(0);
    lab.ssh("n1", "dpkg -i /root/rollgate.deb").code(0);
    let inventory = format!(
        "cluster: itself\nprocedure: ./procedure.yaml\nssh:\n  user: root\n  identity_file: /root/id_ed25519\n  \
         known_hosts: /root/known_hosts\nnodes:\n  - {{ name: n1, connection: local }}\n  - {{ name: n2, host: {} }}\n",
        lab.address("n2")
    );
    let procedure = "procedure: a file\nphases:\n  - name: nodes\n    nodes: all\n    precheck:\n      - check: { name: \
                     up, run: uname -n, value: text, matches: '^n[12]$' }\n    upgrade:\n      - { name: touch, run: touch /var/lib/touched }\n";
    for (name, text) in [("rollgate.yaml", inventory.as_str()), ("procedure.yaml", procedure)] {
        lab.ssh("n1", &format!("cat >/root/{name} <<'END'\n{text}END\n")).code(0);
    }
    lab
}

#[test]
fn on_a_host_that_has_just_got_it_everything_works() {
    let lab = installed();
    let said = lab.ssh("n1", "dpkg -L rollgate");
    let paths: BTreeSet<String> = said.raw_stdout().lines().map(str::to_owned).collect();
    assert!(wanted().is_subset(&paths), "{:#?}", wanted().difference(&paths));
    lab.ssh("n1", "dpkg --verify rollgate").code(0).stdout("");
    let commit = Invocation::new(Path::new(ROOT).join("tests/lab/commit"), Path::new(ROOT)).run();
    let commit = commit.code(0).raw_stdout().trim();
    let commit = if commit.is_empty() { String::new() } else { format!("\ncommit {commit}") };
    let version = format!("rollgate {}{commit}\ntarget ", env!("CARGO_PKG_VERSION"));
    lab.ssh("n1", "rollgate --version").code(0).stdout_has(&version);
    manual(&lab);
    completion(&lab);
    dry_run(&lab);
    lab.ssh("n1", "rollgate -i /usr/share/doc/rollgate/examples/starter/inventory.yaml check --syntax-only")
        .code(0);
    lab.ssh("n1", "dpkg --purge rollgate").code(0);
    // What it was told to keep is not the package's to take away.
    let left = "find / -xdev -name '*rollgate*' -not -path '/root/*' -not -path '/var/lib/rollgate*'";
    lab.ssh("n1", left).code(0).stdout("");
}

/// Every page is found by its name, and is a page.
fn manual(lab: &Lab) {
    let read = |page: &str| {
        let text = lab.ssh("n1", &format!("MANWIDTH=100 LC_ALL=C.UTF-8 man {page}"));
        text.code(0).stderr("");
        text.raw_stdout().to_owned()
    };
    let text = read("rollgate");
    for heading in ["NAME\n", "SYNOPSIS\n", "EXIT STATUS\n"] {
        assert!(text.contains(heading), "{text}");
    }
    for page in files_below(&Path::new(ROOT).join("man")) {
        let (name, section) = page.rsplit_once('.').unwrap();
        assert!(read(&format!("{section} {name}")).contains(name), "{page}");
    }
    lab.ssh("n1", "whatis rollgate-start").code(0).stdout_has("rollgate-start (1)");
}

/// The key that every operator tries first.
fn completion(lab: &Lab) {
    let config = lab.file("ssh_config");
    let login = Invocation::new("ssh", Path::new("/")).args(["-tt", "-F"]).args([&config]).args(["ops@n1"]);
    let mut terminal = Pty::start(login, Size::default());
    terminal.expect("$ ").send("rollgate unst\t").expect("rollgate unstage ");
    // The shell may still be at it when its words are there: Ctrl-U waits for it, and Ctrl-C only for another key.
    terminal.send("--lock-w\t").expect("--lock-wait ").send("\x15rollgate completions \t\t");
    terminal.expect_on_screen("bash").expect_on_screen("fish").expect_on_screen("zsh");
}

/// Itself and another host, as they are; nothing is changed.
fn dry_run(lab: &Lab) {
    let said = lab.ssh("n1", "cd /root && rollgate start --dry-run");
    said.code(0).stdout_has("n1").stdout_has("n2").lacks("error");
    for node in lab.nodes() {
        lab.ssh(node, "! test -e /var/lib/touched").code(0);
    }
}

#[test]
fn the_program_without_libraries_runs_where_there_is_nothing_else() {
    let [_, program] = &*PACKED;
    let libraries = Invocation::new("ldd", Path::new("/")).args([program]).run();
    libraries.code(0).stdout_has("statically linked");
    let empty = tempfile::tempdir().unwrap();
    fs::copy(program, empty.path().join("rollgate")).unwrap();
    for file in ["inventory.yaml", "procedure.yaml"] {
        fs::copy(Path::new(ROOT).join("examples/starter").join(file), empty.path().join(file)).unwrap();
    }
    let there = |args: &[&str]| {
        Invocation::new("chroot", Path::new("/")).args([empty.path()]).args(["/rollgate"]).args(args).run()
    };
    there(&["--version"]).code(0).stdout_has("\ntarget ").stdout_has(", static\n");
    there(&["-i", "/inventory.yaml", "check", "--syntax-only"]).code(0).stdout_has("4 nodes, 1 phase");
    there(&["-i", "/inventory.yaml", "check", "--syntaxonly"]).code(2).stderr_has("--syntax-only");
}
