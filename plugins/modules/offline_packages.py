#!/usr/bin/python
"""Installs Debian packages from files, without a network, and removes what it installed."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils import packages
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, durable_write

DOCUMENTATION = r"""
module: offline_packages
short_description: Install Debian packages from files on the host, and remove what was installed
version_added: 0.1.0
description:
  - Installs with apt from a directory on the host. apt is shown no package source, so that it can neither reach for the
    network nor take another version from it.
  - Packages that were there before are left as they are. Names of those that were not are written into a file first,
    and O(state=absent) removes exactly these.
options:
  directory:
    description: Directory of the package files on the host, or of folders with them. In check mode it need not exist.
    type: path
  packages:
    description: Of each file its C(package) and C(version); installed in exactly that version.
    type: dict
    default: {}
  dependencies:
    description: The same for the distribution's packages; installed where the host has none of that name.
    type: dict
    default: {}
  record:
    description: File that remembers what was installed.
    type: path
    required: true
  accounts:
    description:
      - File that remembers users and groups that the packages' own scripts made, a line "passwd NAME" or "group NAME"
        each. Purging a package leaves them, so that whoever removes the packages removes these, too.
    type: path
  state:
    description: V(absent) removes what O(record) names, but for packages that others need by now.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells what would be installed or removed.
  diff_mode:
    support: full
    description: Shows names and versions.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Install the engine
  capstan.appliance.offline_packages:
    directory: /var/cache/capstan
    record: /var/lib/capstan/deployed/packages
    packages:
      capstan-engine_0.1.0_amd64.deb: {package: capstan-engine, version: 0.1.0}
"""

RETURN = r"""
files:
  description: Files that were, or would be, installed.
  returned: when O(state=present)
  type: list
  elements: str
directory_exists:
  description: Whether O(directory) is there, as a run that was cut off leaves it.
  returned: when O(state=present)
  type: bool
removed:
  description: Names of the packages that were, or would be, removed.
  returned: when O(state=absent)
  type: list
  elements: str
kept:
  description: Packages that stay because others need them by now.
  returned: when O(state=absent)
  type: list
  elements: str
"""


def there(module: AnsibleModule) -> dict[str, str]:
    """Installed packages with their versions."""
    return packages.installed(module.run_command(packages.QUERY, check_rc=True)[1])


def shown(found: dict[str, str], names: list[str]) -> str:
    """The packages for the diff."""
    return "".join(f"{name} {found[name]}\n" for name in names if name in found)


def present(module: AnsibleModule) -> None:
    """Install what is missing."""
    wanted, others = module.params["packages"], module.params["dependencies"]
    directory_exists = Path(module.params["directory"]).is_dir()
    before = there(module)
    files = packages.missing(before, wanted, others)
    described = {**others, **wanted}
    after = {described[file]["package"]: described[file]["version"] for file in files}
    if files and not module.check_mode:
        packages.remember(module.params["record"], packages.to_remember(before, files, wanted, others))
        accounts_before = accounts()
        install(module, [found(module, file) for file in files])
        if module.params["accounts"]:
            remember_accounts(module, sorted(accounts() - accounts_before))
    diff = {"before": shown(before, sorted(after)), "after": shown(after, sorted(after))}
    module.exit_json(changed=bool(files), files=files, directory_exists=directory_exists, diff=diff)


def accounts() -> set[str]:
    """Users and groups of the host, as "passwd NAME" and "group NAME"."""
    users = {f"passwd {user.pw_name}" for user in pwd.getpwall()}
    return users | {f"group {group.gr_name}" for group in grp.getgrall()}


def remember_accounts(module: AnsibleModule, new: list[str]) -> None:
    """Note accounts that the packages' own scripts made, which purging them leaves behind."""
    record = Path(module.params["accounts"])
    known = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    lines = known + [line for line in new if line not in known]
    if lines != known:
        durable_write(str(record), "".join(f"{line}\n" for line in lines), 0o644, Path("/"))


def found(module: AnsibleModule, file: str) -> str:
    """Where the file is, in the directory or in a folder of it."""
    directory = Path(module.params["directory"])
    paths = [path for path in (directory / file, *directory.glob(f"*/{file}")) if path.is_file()]
    if not paths:
        module.fail_json(msg=f"{file} is not in {directory}; bring it there with capstan.appliance.dist_files")
    return str(paths[0])


def install(module: AnsibleModule, files: list[str]) -> None:
    """Have apt install the files, with no package source but them."""
    with tempfile.TemporaryDirectory(prefix="capstan-apt-") as empty:
        rc, output, errors = module.run_command(
            [
                "apt-get",
                "--yes",
                "--quiet",
                "--no-install-recommends",
                "--allow-downgrades",
                "-o",
                "Dir::Etc::sourcelist=/dev/null",
                "-o",
                f"Dir::Etc::sourceparts={empty}",
                "-o",
                f"Dir::State::lists={empty}",
                "-o",
                "Dir::Cache::pkgcache=",
                "-o",
                "Dir::Cache::srcpkgcache=",
                "-o",
                "APT::Sandbox::User=root",
                "-o",
                "DPkg::Lock::Timeout=300",
                "install",
                *files,
            ],
            environ_update={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        )
    if rc:
        reason = " ".join((errors or output).split())
        module.fail_json(
            msg=f"host {os.uname().nodename}: apt could not install the packages ({reason}); "
            "bring the packages that it names up to date from your own mirror, then deploy again",
            stdout=output,
            stderr=errors,
        )


def absent(module: AnsibleModule) -> None:
    """Remove what the record names."""
    record = module.params["record"]
    before = there(module)
    names = [name for name in packages.remembered(record) if name in before]
    kept: list[str] = []
    if names and not module.check_mode:
        # dpkg removes what it can and keeps what others depend on; the list tells which those are.
        module.run_command(["dpkg", "--purge", "--abort-after=9999", *names])
        after = there(module)
        kept = [name for name in names if name in after]
    if not module.check_mode:
        packages.forget(record)
    removed = [name for name in names if name not in kept]
    diff = {"before": shown(before, removed), "after": ""}
    if kept:
        module.warn(f"host {os.uname().nodename}: {', '.join(kept)} stay installed because other packages need them")
    module.exit_json(changed=bool(removed), removed=removed, kept=kept, diff=diff)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path"},
            "packages": {"type": "dict", "default": {}},
            "dependencies": {"type": "dict", "default": {}},
            "record": {"type": "path", "required": True},
            "accounts": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["directory"])],
        supports_check_mode=True,
    )
    try:
        {"present": present, "absent": absent}[module.params["state"]](module)
    except HostError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
