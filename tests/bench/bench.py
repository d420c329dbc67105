"""The benchmark: sets the nodes up, runs the works in turn with every tool, and prints what came of it."""

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import table
import tools
import work as works_of
from nodes import PORT, Nodes

HERE = Path(__file__).resolve().parent
# So many nodes are visited one after the other, and are copied to.
SMALL = 10
# A tool that has taken so many seconds for one work is not asked for more than one timed round.
PATIENCE = 20
FAR_AT_MOST = 50


def words(text):
    return [word for word in text.split(",") if word]


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description="Measures rollgate and its peers on the same work, in turn."
    )
    parser.add_argument("--work", type=words, default=["W1", "W2", "W2r", "W3", "W4"], help="W1,W2,W2r,W3,W4")
    parser.add_argument("--nodes", type=words, default=["10", "50"], help="how many for W1 [10,50]")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds, after one that looks at memory [3]")
    parser.add_argument("--only", type=words, help="these tools")
    parser.add_argument("--delay", type=words, default=["0"], help="ms in each direction, such as 0,25 [0]")
    parser.add_argument("--kex", type=words, default=["default"], help="default,curve25519-sha256 [default]")
    parser.add_argument("--jump", action="store_true", help="all nodes through one jump host")
    parser.add_argument("--warm", action="store_true", help="W1 also over connections that are there already")
    parser.add_argument("--limit", type=float, default=180, help="seconds that one run may take [180]")
    parser.add_argument("--quiet", type=float, default=20, help="seconds to wait for others to end their work [20]")
    parser.add_argument("--out", type=Path, help="the tables, as Markdown")
    parser.add_argument("--rollgate", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, required=True, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.jump and any(map(float, args.delay)):
        # The proxy stands before the nodes: the way to the jump host would be short, which no such way is.
        parser.error("--jump knows no distance: leave out --delay, or --jump")
    return args


class Scenario:
    """A work under circumstances: which key exchange, how far away, over which connections, by which way."""

    def __init__(self, work, kex, delay, warm, jump):
        self.work, self.kex, self.delay, self.warm, self.jump = work, kex, delay, warm, jump

    def title(self):
        far = f", {2 * self.delay:g} ms round trip" if self.delay else ""
        jump = ", through one jump host" if self.jump else ""
        warm = ", connections open already" if self.warm else ""
        kex = "" if self.kex == "default" else f", {self.kex}"
        return f"{self.work.word}: {self.work.text}{far}{jump}{warm}{kex}"

    def can(self, tool):
        return self.work.word in tool.works and (tool.warm or not self.warm)


def scenarios(args):
    counts = [int(count) for count in args.nodes]
    known = works_of.works(counts, SMALL)
    for kex in args.kex:
        for delay in map(float, args.delay):
            for word in args.work:
                for work in known[word]:
                    if delay and work.count > FAR_AT_MOST:
                        continue
                    yield Scenario(work, kex, delay, False, args.jump)
                    if args.warm and word == "W1":
                        yield Scenario(work, kex, delay, True, args.jump)


class JumpLog:
    """What the jump host writes from now on."""

    def __init__(self, jump):
        self.file = jump.log
        self.begins = jump.log.stat().st_size

    def counts(self):
        """How many logins it has granted, and how many connections it has turned away for the crowd."""
        with open(self.file, encoding="utf-8", errors="replace") as log:
            log.seek(self.begins)
            said = log.read()
        return said.count("Accepted publickey"), len(re.findall(r"drop connection #.* past MaxStartups", said))


class Bench:
    """What stands while scenarios are run."""

    def __init__(self, args, root, nodes, payload, payload_sum):
        self.args, self.root, self.nodes = args, root, nodes
        self.payload, self.payload_sum = payload, payload_sum
        self.log = open(args.cache / "results.ndjson", "a", encoding="utf-8")
        self.python = f"{args.venv}/bin/python"

    def site(self, scenario):
        site = works_of.Site(self.root / "c", self.nodes, self.payload, scenario.kex, bool(scenario.delay))
        site.port, site.warm, site.sum = PORT, scenario.warm, self.payload_sum
        return site

    def lay_out(self, site, count):
        site.lay_out(count)
        os.link(self.payload, site.root / "payload")

    def run(self, tool, scenario, site, memory=False):
        """One run: what it cost, or why that is not known."""
        work = scenario.work
        if not scenario.warm:
            # Sockets of masters that were ended.
            shutil.rmtree(site.root / "s")
            (site.root / "s").mkdir(mode=0o700)
        work.prepare(site)
        said = self.root / "said"
        command = [sys.executable, str(HERE / "meter.py"), "--said", str(said), "--limit", str(self.args.limit)]
        command += ["--quiet", str(self.args.quiet)]
        command += ["--memory"] if memory else []
        command += ["--warm"] if scenario.warm else []
        told = tool.command(work, site)
        environment = tools.environment(site, tool, work)
        jump = JumpLog(self.nodes.jump) if scenario.jump else None
        meter = subprocess.run(
            [*command, "--", *told], cwd=site.root, env=environment, stdout=subprocess.PIPE, check=False
        )
        if meter.returncode != 0:
            return {"failed": "the meter failed"}
        cost = json.loads(meter.stdout)
        output = Path(f"{said}.out").read_text(errors="replace")
        complaint = Path(f"{said}.err").read_text(errors="replace")
        if cost["status"] is None:
            return {"failed": f"not done after {self.args.limit:g} s"}
        if jump:
            cost["logins"], cost["turned away"] = jump.counts()
        if cost["status"] != 0:
            turned_away = f" (turned away {cost['turned away']} times)" if cost.get("turned away") else ""
            return {"failed": f"exit {cost['status']}{turned_away}: {last_words(complaint or output)}"}
        if jump and not scenario.warm and not cost["logins"]:
            return {"failed": "it did not go through the jump host"}
        try:
            work.verify(site, output)
        except works_of.Refuted as refuted:
            return {"failed": f"{refuted}: {last_words(complaint or output)}"}
        return cost

    def measure(self, scenario, chosen):
        """All rounds of a scenario; the costs of each tool."""
        costs = {tool.name: [] for tool in chosen}
        memory = {}
        failed = {}
        spent = dict.fromkeys(costs, 0.0)
        if scenario.delay:
            self.nodes.delay(self.python, scenario.delay, scenario.work.count)
        site = self.site(scenario)
        for number in range(self.args.rounds + 1):
            for tool in chosen:
                if tool.name in failed or (number > 1 and spent[tool.name] > PATIENCE):
                    continue
                self.lay_out(site, scenario.work.count)
                began = time.monotonic()
                if scenario.work.follows:
                    before = Scenario(scenario.work.follows, scenario.kex, scenario.delay, False, scenario.jump)
                    cost = self.run(tool, before, site)
                    if "failed" in cost:
                        failed[tool.name] = cost["failed"]
                        continue
                cost = self.run(tool, scenario, site, memory=number == 0)
                spent[tool.name] += time.monotonic() - began
                self.note(scenario, number, tool, cost)
                if "failed" in cost:
                    failed[tool.name] = cost["failed"]
                elif number == 0:
                    memory[tool.name] = cost
                else:
                    costs[tool.name].append(cost)
        self.nodes.undelay()
        return costs, memory, failed

    def note(self, scenario, number, tool, cost):
        load = os.getloadavg()[0]
        what = cost.get("failed") or f"{cost['wall']:.3f} s, CPU {cost['cpu']:.3f} s"
        print(f"{scenario.title()} | round {number} | {tool.name}: {what} (load {load:.1f})", file=sys.stderr)
        record = {"title": scenario.title(), "round": number, "tool": tool.name, "load": load, **cost}
        self.log.write(json.dumps(record) + "\n")
        self.log.flush()

    def introduce(self, tool, kex):
        """Tries a tool with the one node that tells what a client and a server agree on."""
        witness = self.nodes.witness
        probe = works_of.works([1], 1)["W1" if "W1" in tool.works else "W3"][0]
        scenario = Scenario(probe, kex, 0, False, self.args.jump)
        site = self.site(scenario)
        before = witness.log.stat().st_size
        self.lay_out(site, 0)
        site.list = [witness]
        (site.root / "hosts").write_text(f"{site.address(witness)} {witness.home}\n")
        cost = self.run(tool, scenario, site)
        with open(witness.log, encoding="utf-8", errors="replace") as log:
            log.seek(before)
            said = log.read()
        agreed = re.search(r"kex: algorithm: (\S+)", said)
        cipher = re.search(r"kex: client->server cipher: (\S+)", said)
        return {
            "failed": cost.get("failed"),
            "kex": agreed[1] if agreed else "?",
            "cipher": cipher[1] if cipher else "?",
        }


def last_words(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:].replace("|", "\\|") or "it said nothing"


def main():
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    lock = open(args.cache / "lock", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench: another one runs")
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: sys.exit(1))
    planned = list(scenarios(args))
    persists = "persist" in subprocess.run(
        [args.rollgate, "schema"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    known = tools.all_tools(args.venv, args.rollgate, persists)
    unknown = set(args.only or []) - {tool.name for tool in known}
    if unknown:
        sys.exit(f"bench: no such tool: {', '.join(sorted(unknown))}; there are {', '.join(t.name for t in known)}")
    chosen = [tool for tool in known if not args.only or tool.name in args.only]
    chosen = [tool for tool in chosen if any(scenario.can(tool) for scenario in planned)]
    # The paths of sockets are short, and the place is no memory disk.
    root = args.cache / "run"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    payload = root / "payload"
    payload_sum = works_of.make_payload(payload, 64 << 20)
    most = max(scenario.work.count for scenario in planned)
    parts = [table.head(args)]
    try:
        with Nodes(root / "nodes", most, args.jump) as nodes:
            bench = Bench(args, root, nodes, payload, payload_sum)
            for kex in args.kex:
                introduced = {tool.name: bench.introduce(tool, kex) for tool in chosen}
                parts.append(table.agreements(kex, introduced))
                print(parts[-1], file=sys.stderr)
                for scenario in (scenario for scenario in planned if scenario.kex == kex):
                    able = [tool for tool in chosen if scenario.can(tool)]
                    parts.append(table.scenario(scenario, able, *bench.measure(scenario, able)))
                    print("\n" + parts[-1] + "\n", file=sys.stderr)
                    if args.out:
                        args.out.write_text("\n\n".join(parts) + "\n")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
