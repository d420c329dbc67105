"""The works: what is to be done, with which files, and what shows that it was done."""

import filecmp
import hashlib
import os
import shutil

from nodes import PORT, token

CHECKS = 5
STEPS = 10
MIB = 1 << 20
# So many logins at once every jump host takes: beyond ten, sshd turns some away (MaxStartups 10:30:100).
THROUGH_ONE_JUMP = 8


class Refuted(Exception):
    """A tool says that it did the work, and it is not done."""


class Site:
    """What every tool finds: nodes at their addresses, an ssh configuration, the payload."""

    def __init__(self, root, nodes, payload, kex, far):
        self.root, self.nodes, self.payload, self.kex, self.far = root, nodes, payload, kex, far
        self.jump = nodes.jump.near if nodes.jump else None
        # How many logins at once a tool is told to make; without a jump host what is best for it.
        self.logins = THROUGH_ONE_JUMP if self.jump else None
        self.attic = root.parent / "attic"
        self.list = []

    def lay_out(self, count):
        """Writes the files for so many nodes, in a new directory."""
        put_away(self, self.root)
        self.root.mkdir(parents=True)
        # The paths of sockets are short.
        (self.root / "s").mkdir(mode=0o700)
        self.list = self.nodes.list[:count]
        lines = [f"{self.address(node)} {node.home}\n" for node in self.list]
        (self.root / "hosts").write_text("".join(lines))
        options = {
            "User": os.environ.get("LOGNAME", "root") if os.geteuid() else "root",
            "Port": PORT,
            "IdentityFile": self.nodes.key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.nodes.known_hosts,
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "LogLevel": "ERROR",
        }
        if self.kex != "default":
            options["KexAlgorithms"] = self.kex
        self.user = options["User"]
        self.config = self.root / "ssh_config"
        through = f"Host * !{self.jump}\n  ProxyJump {self.jump}\n" if self.jump else ""
        self.config.write_text(
            f"{through}Host *\n" + "".join(f"  {name} {value}\n" for name, value in options.items())
        )
        (self.root / "checks").write_text("".join(f"{line}\n" for line in check_commands(CHECKS)))
        (self.root / "looks").write_text("".join(f"{line}\n" for line in check_commands(STEPS)))
        (self.root / "steps").write_text("".join(f"{line}\n" for line in step_commands()))

    def address(self, node):
        return node.far if self.far else node.near


def put_away(site, home):
    """Makes room for a new home. Files are not deleted here: ext4 looks through those of the last seconds at each new one."""
    if home.exists():
        site.attic.mkdir(exist_ok=True)
        home.rename(site.attic / token())


def check_commands(count):
    return [f'cat "$HOME/facts/{number}"' for number in range(1, count + 1)]


def step_commands():
    return [f'echo "${{NODE:-?}} {number}" >>"${{EFFECTS:-?}}"' for number in range(1, STEPS + 1)]


class Work:
    """Something that is done, prepared afresh each time, and looked at afterwards."""

    # Whether what an earlier run of the tool left is what this one begins with.
    follows = None

    def __init__(self, word, text, count):
        self.word, self.text, self.count = word, text, count


class Checks(Work):
    """Facts that are drawn anew for each run, so that who tells them has read them."""

    def __init__(self, word, text, count, facts, file):
        super().__init__(word, text, count)
        self.facts, self.file = facts, file

    def prepare(self, site):
        self.expected = []
        for node in site.list:
            put_away(site, node.home)
            (node.home / "facts").mkdir(parents=True)
            for number in range(1, self.facts + 1):
                fact = token()
                (node.home / "facts" / str(number)).write_text(fact + "\n")
                self.expected.append(fact)

    def verify(self, site, output):
        missing = sum(fact not in output for fact in self.expected)
        if missing:
            raise Refuted(f"{missing} of {len(self.expected)} answers are not in its output")


class Steps(Work):
    """Lines that are appended to one file, whose order shows in which order it was done."""

    file = "steps"

    def prepare(self, site):
        for node in site.list:
            put_away(site, node.home)
            node.home.mkdir(parents=True)
        site.nodes.effects.write_text("")

    def verify(self, site, output):
        found = site.nodes.effects.read_text().splitlines()
        blocks = {tuple(found[at : at + STEPS]) for at in range(0, len(found), STEPS)}
        wanted = {tuple(f"{node.name} {number}" for number in range(1, STEPS + 1)) for node in site.list}
        # One node after the other; in which order the nodes are taken is the tool's affair.
        if len(found) != STEPS * len(site.list) or blocks != wanted:
            raise Refuted(f"{len(found)} effects of {STEPS * len(site.list)}, or not one node after the other")


class Copy(Work):
    """A file that is to be on all nodes, whole; its sum is asked of the nodes."""

    def __init__(self, word, text, count, follows=None):
        super().__init__(word, text, count)
        self.follows = follows

    def prepare(self, site):
        if self.follows is None:
            for node in site.list:
                shutil.rmtree(node.home, ignore_errors=True)
                node.home.mkdir(parents=True)
        os.sync()

    def verify(self, site, output):
        for node in site.list:
            copies = [file for file in node.home.rglob("*") if file.is_file() and file.stat().st_size > MIB]
            if len(copies) != 1 or not filecmp.cmp(copies[0], site.payload, shallow=False):
                raise Refuted(f"{node.name} does not have the file")


def make_payload(file, size):
    """A file that no compression makes smaller, and its sum."""
    digest = hashlib.sha256()
    with open(file, "wb") as out:
        for _ in range(size // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            out.write(block)
    return digest.hexdigest()


def works(counts, small):
    """All works by name; W1 for each number of nodes."""
    w3 = Copy("W3", f"a 64 MiB file to {small} nodes, and its sha256 there", small)
    return {
        "W1": [Checks("W1", f"five checks on {count} nodes", count, CHECKS, "checks") for count in counts],
        "W2": [Steps("W2", f"ten steps on {small} nodes, one after the other", small)],
        "W2r": [Checks("W2r", f"ten checks on {small} nodes, one node after the other", small, STEPS, "looks")],
        "W3": [w3],
        "W4": [Copy("W4", f"the same file to {small} nodes again", small, follows=w3)],
    }
