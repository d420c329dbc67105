"""What a peer is told: `all FILE`, `serial FILE` or `copy`, and where the nodes are."""

import os
import sys

SITE = os.environ["BENCH_SITE"]
PLACES = [line.split() for line in open(f"{SITE}/hosts", encoding="utf-8")]
HOSTS = [host for host, _ in PLACES]
# The address of the jump host, and how many logins at once it takes; nothing where there is none.
JUMP = os.environ["BENCH_JUMP"]
LOGINS = os.environ["BENCH_LOGINS"]


def obey(commands, copy):
    """Does as told, by what runs a file's commands on hosts and what copies to all of them."""
    match sys.argv[1:]:
        case ["all", file]:
            commands(HOSTS, file)
        case ["serial", file]:
            for host in HOSTS:
                commands([host], file)
        case ["copy"]:
            copy()
