"""Ansible in its kinds: the files, the settings and the command of each work."""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def tasks(module, file, commands, home):
    if file == "copy":
        put = {"ansible.builtin.copy": {"src": str(home / "payload"), "dest": "{{ home }}/big"}}
        return [put, {module: 'sha256sum "$HOME/big"'}]
    return [{module: command} for command in commands]


class Ansible:
    """One kind: with which module, which strategy and which settings."""

    def __init__(self, name, venv, module="shell", best=True, mitogen=False):
        self.name, self.venv, self.module = name, venv, f"ansible.builtin.{module}"
        self.best, self.mitogen = best, mitogen
        self.works = ["W1", "W2"] if module == "raw" else ["W1", "W2", "W3", "W4"]
        self.warm = True

    def command(self, work, site):
        serial = work.word == "W2"
        file = getattr(work, "file", "copy")
        commands = [] if file == "copy" else (site.root / file).read_text().splitlines()
        play = {"hosts": "all", "tasks": tasks(self.module, file, commands, site.root)}
        if serial:
            play["serial"] = 1
        if self.best:
            play["gather_facts"] = False
            free = not serial and file != "copy"
            strategy = "free" if free else "linear"
            play["strategy"] = f"mitogen_{strategy}" if self.mitogen else strategy
        # JSON is YAML.
        (site.root / "play.yml").write_text(json.dumps([play], indent=1))
        (site.root / "inventory.ini").write_text(self.inventory(site))
        # -v shows what the commands print, which is what shows that they ran.
        return [f"{self.venv}/bin/ansible-playbook", "-v", "-i", str(site.root / "inventory.ini"), "play.yml"]

    def inventory(self, site):
        python = " ansible_python_interpreter=/usr/bin/python3" if self.best else ""
        lines = [f"{site.address(node)} home={node.home}{python}" for node in site.list]
        common = f"-F {site.config}"
        variables = ["[all:vars]", f"ansible_user={site.user}", f"ansible_ssh_common_args={common}"]
        variables += [f"ansible_port={site.port}", f"ansible_ssh_private_key_file={site.nodes.key}"]
        return "\n".join(lines + variables) + "\n"

    def environment(self, work, site):
        environment = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(site.root / "a")}
        if self.best:
            environment |= {
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_FORKS": str(site.logins or 50),
                "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
            }
        if self.mitogen:
            import glob

            (found,) = glob.glob(f"{self.venv}/lib/python*/site-packages/ansible_mitogen/plugins/strategy")
            environment["ANSIBLE_STRATEGY_PLUGINS"] = found
        return environment
