"""The floor: what ssh itself costs, with as few processes and round trips as there can be. No journal, no lock, no
verification, nothing to resume: nobody should upgrade anything with it.

Masters are opened all at once and ahead; commands are channels that are asked of them in their own protocol
(PROTOCOL.mux), without a process each.   mux.py all|serial FILE, or mux.py copy|again
"""

import os
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

SITE = os.environ["BENCH_SITE"]
PLACES = [line.split() for line in open(f"{SITE}/hosts", encoding="utf-8")]
HELLO, NEW_SESSION = 0x00000001, 0x10000002
DENIED, FAILED, EXIT, OPENED = 0x80000002, 0x80000003, 0x80000004, 0x80000006
# More handshakes at once gain nothing.
HANDSHAKES = int(os.environ["BENCH_LOGINS"] or 16)


def text(value):
    data = value.encode()
    return struct.pack(">I", len(data)) + data


def receive(mux):
    def exactly(count):
        data = b""
        while len(data) < count:
            more = mux.recv(count - len(data))
            if not more:
                raise ConnectionError("the master hung up")
            data += more
        return data

    (size,) = struct.unpack(">I", exactly(4))
    data = exactly(size)
    return struct.unpack(">I", data[:4])[0], data[4:]


def send(mux, packet):
    mux.sendall(struct.pack(">I", len(packet)) + packet)


def ask(host, command, stdin=None):
    """Runs a command over the master of a host; what it printed."""
    with socket.socket(socket.AF_UNIX) as mux, open(stdin or os.devnull, "rb") as given:
        mux.connect(f"{SITE}/s/{host}")
        send(mux, struct.pack(">II", HELLO, 4))
        receive(mux)
        flags = struct.pack(">IIIII", 0, 0, 0, 0, 0xFFFFFFFF)
        send(mux, struct.pack(">II", NEW_SESSION, 0) + text("") + flags + text("dumb") + text(command))
        out, into = os.pipe()
        for descriptor in (given.fileno(), into, 2):
            socket.send_fds(mux, [b"\0"], [descriptor])
        os.close(into)
        with os.fdopen(out, "rb") as answer:
            printed = answer.read().decode()
        while True:
            kind, body = receive(mux)
            if kind in (DENIED, FAILED):
                sys.exit(f"{host}: {body!r}")
            if kind == EXIT:
                (status,) = struct.unpack(">I", body[4:8])
                if status:
                    sys.exit(f"{host}: exit {status}")
                return printed


def connect(host):
    path = f"{SITE}/s/{host}"
    master = subprocess.Popen(
        ["ssh", "-F", f"{SITE}/ssh_config", "-MNT", "-S", path, host], stdin=subprocess.DEVNULL
    )
    while not os.path.exists(path):
        if master.poll() is not None:
            sys.exit(f"{host}: ssh ended")
        time.sleep(0.002)
    return master


def visit(host, master, commands, together):
    master.result()
    if together:
        return ask(host, "\n".join(commands))
    return "".join(ask(host, command) for command in commands)


def copy(place, master, way):
    host, home = place
    master.result()
    if way == "again":
        return ask(host, f"sha256sum '{home}/big'")
    return ask(host, f"tee '{home}/big' | sha256sum", f"{SITE}/payload")


def main():
    with ThreadPoolExecutor(HANDSHAKES) as dialing, ThreadPoolExecutor(len(PLACES)) as working:
        masters = [dialing.submit(connect, host) for host, _ in PLACES]
        match sys.argv[1:]:
            case ["all", file]:
                commands = open(f"{SITE}/{file}", encoding="utf-8").read().splitlines()
                visits = [
                    working.submit(visit, host, master, commands, True)
                    for (host, _), master in zip(PLACES, masters)
                ]
                answers = [done.result() for done in visits]
            case ["serial", file]:
                commands = open(f"{SITE}/{file}", encoding="utf-8").read().splitlines()
                reads = file != "steps"
                answers = [visit(host, master, commands, reads) for (host, _), master in zip(PLACES, masters)]
            case [way]:
                copies = [working.submit(copy, *pair, way) for pair in zip(PLACES, masters)]
                answers = [done.result() for done in copies]
        print("".join(answers))
    for (host, _), master in zip(PLACES, masters):
        master.result().kill()
        os.unlink(f"{SITE}/s/{host}")


main()
