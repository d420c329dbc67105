"""The nodes and the jump host: one real sshd each on an address of its own on loopback, with a home of its own."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PORT = 20222
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """Runs in a child before its program: a driver that is killed leaves no sshd behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def address(block, index):
    return f"127.{block}.{index >> 8}.{index & 255}"


def descendants(ancestor):
    """Every process that descends from one, nearest first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            # The name in parentheses may hold blanks and parentheses itself.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found = [ancestor]
    for pid in found:
        found.extend(children.get(pid, []))
    return found[1:]


class Node:
    """A node: its sshd, its home, and the addresses under which it is reached, the near one first."""

    def __init__(self, name, root, *addresses):
        self.name, self.addresses = name, addresses
        self.near, self.far = addresses[0], addresses[-1]
        self.home = root / self.name / "home"
        self.dir = root / self.name
        self.log = self.dir / "log"
        self.sshd = None

    def set_up(self, key, effects, level):
        self.home.mkdir(parents=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", self.dir / "host_key"],
            check=True,
        )
        (self.dir / "sshd_config").write_text(
            f"ListenAddress {self.near}\n"
            f"Port {PORT}\n"
            f"HostKey {self.dir}/host_key\n"
            f"AuthorizedKeysFile {key}.pub\n"
            "AuthenticationMethods publickey\n"
            "PermitRootLogin yes\n"
            "UsePAM no\n"
            "StrictModes no\n"
            "PrintMotd no\n"
            "PidFile none\n"
            # What a node's login would read at its start is not for here, and no two nodes share a home.
            f"SetEnv HOME={self.home} NODE={self.name} EFFECTS={effects}\n"
            f"Subsystem sftp {sftp_server()}\n"
            f"LogLevel {level}\n"
        )
        public = (self.dir / "host_key.pub").read_text().split()
        places = ",".join(f"[{address}]:{PORT}" for address in self.addresses)
        return f"{places} {public[0]} {public[1]}\n"

    def start(self):
        with open(self.log, "ab") as log:
            self.sshd = subprocess.Popen(
                [sshd(), "-D", "-e", "-f", self.dir / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def await_listening(self, deadline):
        while True:
            if self.sshd.poll() is not None:
                sys.exit(f"bench: the sshd of {self.name} ended: {self.log.read_text()[-500:]}")
            try:
                socket.create_connection((self.near, PORT), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit(f"bench: the sshd of {self.name} does not listen: {self.log.read_text()[-500:]}")
                time.sleep(0.02)


class Nodes:
    """All nodes, and what a client needs to reach them. As a context it ends them, whatever happens."""

    def __init__(self, root, count, jump=False):
        self.root = root
        self.key = root / "id_ed25519"
        self.known_hosts = root / "known_hosts"
        self.effects = root / "effects"
        # The last one tells what a client and a server agree on; its log is too long to be measured with.
        self.list = [
            Node(f"n{index}", root, address(88, index), address(99, index)) for index in range(1, count + 2)
        ]
        self.jump = Node("jump", root, address(77, 1)) if jump else None
        self.proxy = None

    def __enter__(self):
        self.root.mkdir(parents=True)
        # sshd refuses to start as root without the directory it drops its privileges into.
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        witness = self.list[-1]
        # Whom a jump host turns away it tells at VERBOSE.
        levels = {witness: "DEBUG1", self.jump: "VERBOSE"}
        lines = [node.set_up(self.key, self.effects, levels.get(node, "INFO")) for node in self.servers]
        self.known_hosts.write_text("".join(lines))
        try:
            for node in self.servers:
                node.start()
            deadline = time.monotonic() + 60
            for node in self.servers:
                node.await_listening(deadline)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def servers(self):
        return [*self.list, self.jump] if self.jump else self.list

    @property
    def witness(self):
        return self.list[-1]

    def delay(self, python, milliseconds, count):
        """Puts a delay before the first nodes, at their far addresses."""
        pairs = [f"{node.far}:{PORT}={node.near}:{PORT}" for node in self.list[:count]]
        self.proxy = subprocess.Popen(
            [python, HERE / "proxy.py", str(milliseconds), *pairs],
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        if self.proxy.stdout.readline() != b"ready\n":
            sys.exit("bench: the delay proxy does not start")

    def undelay(self):
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
            self.proxy = None

    def end(self):
        """Ends every sshd with every session that it serves, by id."""
        self.undelay()
        for node in self.servers:
            if not node.sshd:
                continue
            sessions = descendants(node.sshd.pid)
            node.sshd.kill()
            node.sshd.wait()
            for pid in sessions:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            node.sshd = None


def program(name, *others):
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    for other in others:
        if not found and os.access(other, os.X_OK):
            found = other
    return found or sys.exit(f"bench: {name} is missing")


def sshd():
    return program("sshd")


def sftp_server():
    return program("sftp-server", "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")


def token():
    return secrets.token_hex(8)
