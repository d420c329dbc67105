"""Runs one command and says what it cost: meter.py OPTIONS -- COMMAND...

It is the reaper of everything that descends from the command, also of an ssh that went to the background, so that
the CPU time of the whole tree is known. What is left when the command ends is ended, in time that is not measured.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1


def below(pid):
    """The processes that descend from one."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                for child in map(int, children.read().split()):
                    found.append(child)
                    found.extend(below(child))
        except OSError:
            pass
    return found


def reap():
    """Takes leave of orphans that have ended; theirs is now counted as children's time."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def cpu(alive):
    """Seconds of CPU of all that ended and of these that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for pid in alive:
        try:
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0]) / 1e9
        except OSError:
            pass
    return total


def pss(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                for line in rollup:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
                        break
        except OSError:
            pass
    return total


def machine():
    """Seconds of CPU that the whole machine has spent at work: nodes and strangers as well."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def await_quiet(patience):
    """Waits until hardly anything is at work, for so many seconds at most; the share of the cores at work then."""
    until = time.monotonic() + patience
    while True:
        before, began = machine(), time.monotonic()
        time.sleep(0.25)
        share = (machine() - before) / (time.monotonic() - began) / os.cpu_count()
        if share < 0.1 or time.monotonic() > until:
            return share


class Memory(threading.Thread):
    """Looks at the tree's memory again and again; shared pages are counted in parts."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0
        self.processes = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.03):
            pids = below(os.getpid())
            self.processes = max(self.processes, len(pids))
            self.peak = max(self.peak, pss(pids))


def end_all():
    """Ends what is left of the tree, first with a word, then without."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + 3
        told = set()
        while reap() or below(os.getpid()):
            for pid in set(below(os.getpid())) - told:
                told.add(pid)
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    pass
            if time.monotonic() > until:
                break
            time.sleep(0.01)


def run(command, said, limit):
    """Seconds and exit status of a command; no status when it took too long."""
    with open(f"{said}.out", "wb") as out, open(f"{said}.err", "wb") as err:
        began = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        return time.monotonic() - began, status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--said", required=True, help="where its output goes, less .out and .err")
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--quiet", type=float, default=0, help="seconds to wait until others have ended their work")
    parser.add_argument("--memory", action="store_true", help="look at its memory, which costs it time")
    parser.add_argument("--warm", action="store_true", help="run it twice, and measure the second time")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # Whoever ends this one ends all of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if args.warm:
            _, status = run(args.command, args.said, args.limit)
            if status != 0:
                print(json.dumps({"status": status}))
                return
            reap()
        busy = await_quiet(args.quiet)
        before = cpu(below(os.getpid()))
        memory = Memory()
        if args.memory:
            memory.start()
        wall, status = run(args.command, args.said, args.limit)
        memory.over.set()
        reap()
        spent = cpu(below(os.getpid())) - before
        cost = {"status": status, "wall": wall, "cpu": spent, "pss": memory.peak, "processes": memory.processes}
        print(json.dumps({**cost, "busy": busy}))
    finally:
        end_all()


if __name__ == "__main__":
    main()
