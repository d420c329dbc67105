"""The tools: how each is told to do a work."""

import os
from pathlib import Path

from ansible import Ansible

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
COPIES = ["W3", "W4"]


class Script:
    """A peer that is a script of ours around a program or a library."""

    def __init__(self, name, command, works, warm=False, words=None):
        self.name, self.start, self.works, self.warm = name, command, works, warm
        self.words = words or {}

    def command(self, work, site):
        way = {"W1": "all", "W2": "serial", "W2r": "serial"}.get(work.word)
        words = [way, work.file] if way else [self.words.get(work.word, "copy")]
        return [*map(str, self.start), *words]

    def environment(self, work, site):
        return {}


class Pyinfra:
    """pyinfra's own command line with a deploy file."""

    name = "pyinfra"
    works = ["W1", "W2", "W3", "W4"]
    warm = False

    def __init__(self, venv):
        self.program = f"{venv}/bin/pyinfra"

    def command(self, work, site):
        way = ["--serial"] if work.word == "W2" else []
        if site.logins:
            way += ["--parallel", str(site.logins)]
        return [self.program, "-y", *way, str(PEERS / "pyinfra_inventory.py"), str(PEERS / "pyinfra_deploy.py")]

    def environment(self, work, site):
        what = {"W1": "read checks", "W2": "change steps"}.get(work.word, "copy")
        return {"BENCH_WHAT": what}


class Rollgate:
    """rollgate itself, with an inventory and a procedure for each work."""

    works = ["W1", "W2", "W2r", "W3", "W4"]

    def __init__(self, program, persists):
        self.program, self.warm = program, persists
        self.name = "rollgate"

    def command(self, work, site):
        (site.root / "inventory.yaml").write_text(self.inventory(site, work))
        (site.root / "procedure.yaml").write_text(self.procedure(work, site))
        verb = {
            "W1": ["-o", "json", "start", "--dry-run"],
            "W2": ["start", "--yes", "--confirm", "bench"],
            "W2r": ["-o", "json", "start", "--yes", "--confirm", "bench"],
        }.get(work.word, ["stage"])
        return [str(self.program), "-i", "inventory.yaml", *verb]

    def environment(self, work, site):
        return {"ROLLGATE_STATE_DIR": str(site.root / "state"), "XDG_RUNTIME_DIR": str(site.root / "s")}

    def inventory(self, site, work):
        lines = [
            "cluster: bench",
            "procedure: ./procedure.yaml",
            "ssh:",
            f"  config_file: {site.config}",
            f"  known_hosts: {site.nodes.known_hosts}",
        ]
        if site.jump:
            lines.append(f"  jump: {site.jump}")
        if site.warm:
            lines.append("  persist: 10m")
        lines.append("nodes:")
        for node in site.list:
            lines.append(
                f"  - {{ name: {node.name}, host: {site.address(node)}, state_dir: {node.home}/rollgate }}"
            )
        return "\n".join(lines) + "\n"

    def procedure(self, work, site):
        lines = ["procedure: the benchmark", "phases:", "  - name: bench", "    nodes: all", "    batch: 1"]
        commands = (site.root / work.file).read_text().splitlines() if hasattr(work, "file") else []
        if work.word == "W2":
            lines.append("    upgrade:")
            for number, command in enumerate(commands, 1):
                lines.append(f"      - {{ name: step {number}, run: {quoted(command)} }}")
        elif commands:
            lines.append("    precheck:")
            for number, command in enumerate(commands, 1):
                check = f"name: fact-{number}, run: {quoted(command)}, value: text, matches: '^[0-9a-f]{{16}}$'"
                lines.append(f"      - check: {{ {check} }}")
            lines += ["    upgrade:", "      - { name: nothing, run: ':' }"]
        else:
            lines += ["    upgrade:", "      - { name: nothing, run: ':' }"]
            lines.insert(1, f"artifacts: [{{ source: ./payload, sha256: {site.sum} }}]")
        return "\n".join(lines) + "\n"


def quoted(text):
    """A YAML scalar in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def all_tools(venv, rollgate, persists):
    python = f"{venv}/bin/python"
    script = PEERS / "control_master.sh"
    bash = ["bash", script]
    return [
        Rollgate(rollgate, persists),
        Script("floor", [python, PEERS / "mux.py"], ["W1", "W2", "W2r", *COPIES], words={"W4": "again"}),
        Script("bash", bash, ["W1", "W2", "W2r"], warm=True),
        Script("pssh", [python, PEERS / "parallel_ssh.py"], ["W1", "W2", "W2r", *COPIES]),
        Pyinfra(venv),
        Script("clustershell", [python, PEERS / "clustershell.py"], ["W1", "W2", *COPIES], warm=True),
        *(Script(word, bash, COPIES, words={"W3": word, "W4": word}) for word in ("scp", "sftp", "rsync")),
        Script("rsync-c", bash, COPIES, words={"W3": "rsync-c", "W4": "rsync-c"}),
        Ansible("ansible-raw", venv, module="raw"),
        Ansible("mitogen", venv, mitogen=True),
        Ansible("ansible", venv),
        Ansible("ansible-defaults", venv, best=False),
    ]


def environment(site, tool, work):
    """What every tool finds: nothing of whoever runs the benchmark but the path to programs."""
    home = site.root / "h"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "USER": site.user,
        "LOGNAME": site.user,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENCH_SITE": str(site.root),
        "BENCH_USER": site.user,
        "BENCH_PORT": str(site.port),
        "BENCH_KEY": str(site.nodes.key),
        "BENCH_KNOWN_HOSTS": str(site.nodes.known_hosts),
        "BENCH_JUMP": site.jump or "",
        "BENCH_LOGINS": str(site.logins or ""),
        **tool.environment(work, site),
    }
