"""ClusterShell: clustershell.py all|serial FILE, or clustershell.py copy."""

import os
import sys

from ClusterShell.NodeSet import NodeSet
from ClusterShell.Task import task_self

SITE = os.environ["BENCH_SITE"]
PLACES = [line.split() for line in open(f"{SITE}/hosts", encoding="utf-8")]
MASTER = f"-F {SITE}/ssh_config -o ControlMaster=auto -o ControlPath={SITE}/s/%h -o ControlPersist=60"

task = task_self()
task.set_info("ssh_options", MASTER)
task.set_info("fanout", 64)


def shell(command, hosts):
    task.shell(command, nodes=NodeSet.fromlist(hosts))
    task.resume()
    for output, _ in task.iter_buffers():
        print(bytes(output).decode())
    if task.max_retcode() != 0:
        sys.exit(f"{command}: exit {task.max_retcode()}")


def commands(hosts, file):
    for command in open(f"{SITE}/{file}", encoding="utf-8"):
        shell(command.strip(), hosts)


hosts = [host for host, _ in PLACES]
match sys.argv[1:]:
    case ["all", file]:
        commands(hosts, file)
    case ["serial", file]:
        for host in hosts:
            commands([host], file)
    case ["copy"]:
        for host, home in PLACES:
            task.copy(f"{SITE}/payload", f"{home}/big", nodes=host)
        task.resume()
        shell('sha256sum "$HOME/big"', hosts)
