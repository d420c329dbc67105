"""ClusterShell: clustershell.py all|serial FILE, or clustershell.py copy."""

import sys

from ClusterShell.NodeSet import NodeSet
from ClusterShell.Task import task_self

from words import HOSTS, LOGINS, PLACES, SITE, obey

MASTER = f"-F {SITE}/ssh_config -o ControlMaster=auto -o ControlPath={SITE}/s/%h -o ControlPersist=60"

task = task_self()
task.set_info("ssh_options", MASTER)
task.set_info("fanout", int(LOGINS or 64))


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


def copy():
    for host, home in PLACES:
        task.copy(f"{SITE}/payload", f"{home}/big", nodes=host)
    task.resume()
    shell('sha256sum "$HOME/big"', HOSTS)


obey(commands, copy)
