"""parallel-ssh: parallel_ssh.py all|serial FILE, or parallel_ssh.py copy."""

import os
import sys

from pssh.clients import ParallelSSHClient

from words import HOSTS, JUMP, LOGINS, PLACES, SITE, obey


def client(hosts):
    way = {}
    if JUMP:
        proxy = {"host": JUMP, "user": os.environ["BENCH_USER"], "port": int(os.environ["BENCH_PORT"])}
        way = {f"proxy_{name}": value for name, value in {**proxy, "pkey": os.environ["BENCH_KEY"]}.items()}
    return ParallelSSHClient(
        hosts,
        user=os.environ["BENCH_USER"],
        port=int(os.environ["BENCH_PORT"]),
        pkey=os.environ["BENCH_KEY"],
        allow_agent=False,
        identity_auth=False,
        pool_size=int(LOGINS or 100),
        num_retries=1,
        **way,
    )


def commands(hosts, file):
    nodes = client(hosts)
    for command in open(f"{SITE}/{file}", encoding="utf-8"):
        answers = nodes.run_command(command.strip())
        nodes.join(answers)
        for answer in answers:
            print(*answer.stdout)
            if answer.exit_code != 0:
                sys.exit(f"{answer.host}: exit {answer.exit_code}")


def copy():
    from gevent import joinall

    nodes = client(HOSTS)
    places = [{"local_file": f"{SITE}/payload", "remote_file": f"{home}/big"} for _, home in PLACES]
    copied = nodes.scp_send("%(local_file)s", "%(remote_file)s", copy_args=places)
    joinall(copied, raise_error=True)
    answers = nodes.run_command('sha256sum "$HOME/big"')
    nodes.join(answers)
    for answer in answers:
        print(*answer.stdout)


obey(commands, copy)
