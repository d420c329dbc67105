"""The tables, as Markdown."""

import os
import platform
import re
import subprocess
from statistics import median


def said(*command):
    try:
        done = subprocess.run(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True
        )
    except OSError:
        return "?"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"


def head(args):
    """The machine, and the versions of all that took part."""
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo", encoding="utf-8").read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    packages = ["ansible-core", "mitogen", "pyinfra", "parallel-ssh", "ClusterShell", "paramiko", "ssh2-python"]
    frozen = subprocess.run(
        [f"{args.venv}/bin/python", "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    found = dict(line.split("==") for line in frozen.splitlines() if "==" in line)
    peers = ", ".join(f"{name} {found[name]}" for name in packages if name in found)
    commit = said("git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short=12", "HEAD")
    lines = [
        f"{said('date', '-u', '+%F %H:%M')} UTC, {os.cpu_count()} cores"
        f" ({cpu[1].strip() if cpu else platform.machine()}), {memory} GiB, Linux {platform.release()}.",
        f"{said(args.rollgate, '--version')} of {commit}; {said('ssh', '-V')} on both ends; {peers};"
        f" {said('rsync', '--version')}; {said('bash', '--version')}.",
        f"Medians of {args.rounds} rounds, all tools in turn in each.",
    ]
    return "\n".join(lines)


def agreements(kex, introduced):
    """What each tool and the server agreed on, when it was tried with one node."""
    by = {}
    for name, found in introduced.items():
        by.setdefault((found["kex"], found["cipher"]), []).append(name)
    lines = [f"Key exchange `{kex}`; what clients and server agreed on, read from the log of an sshd:\n"]
    for (agreed, cipher), names in by.items():
        lines.append(f"- `{agreed}`, `{cipher}`: {', '.join(names)}")
    for name, found in introduced.items():
        if found["failed"]:
            lines.append(f"- **{name} failed with one node**: {found['failed']}")
    return "\n".join(lines)


def scenario(scenario, tools, costs, memory, failed):
    """The costs of each tool in one scenario."""
    lines = [
        f"**{scenario.title()}**\n",
        "| tool | seconds | from – to | ratio | CPU s | CPU ratio | peak MiB |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    own = costs.get("rollgate") or []
    own_wall = median(cost["wall"] for cost in own) if own else None
    own_cpu = median(cost["cpu"] for cost in own) if own else None
    notes = []
    for tool in tools:
        runs = costs[tool.name]
        if tool.name in failed:
            notes.append(f"{tool.name} failed: {failed[tool.name]}")
        if not runs or tool.name in failed:
            lines.append(f"| {tool.name} | failed | | | | | |")
            continue
        walls = [cost["wall"] for cost in runs]
        wall, cpu = median(walls), median(cost["cpu"] for cost in runs)
        ratio = f"{wall / own_wall:.2f}" if own_wall else ""
        cpu_ratio = f"{cpu / own_cpu:.2f}" if own_cpu else ""
        peak = f"{memory[tool.name]['pss'] / 1024:.0f}" if tool.name in memory else ""
        spread = f"{min(walls):.2f} – {max(walls):.2f}" if len(walls) > 1 else "one round"
        lines.append(f"| {tool.name} | {wall:.2f} | {spread} | {ratio} | {cpu:.2f} | {cpu_ratio} | {peak} |")
    for tool in tools:
        if turned_away := [cost["turned away"] for cost in costs[tool.name] if cost.get("turned away")]:
            notes.append(f"The jump host turned {tool.name} away {max(turned_away)} times in a run")
    busy = [cost["busy"] for runs in costs.values() for cost in runs]
    if busy and median(busy) > 0.15:
        notes.append(f"Others kept {median(busy):.0%} of the processors busy before its runs")
    return "\n".join(lines + ([""] + [f"{note}." for note in notes] if notes else []))
