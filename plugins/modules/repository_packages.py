#!/usr/bin/python
"""Installs packages from one package source of a host, and remembers everything that apt brought along."""

from __future__ import annotations

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.capstan.appliance.plugins.module_utils import packages
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DOCUMENTATION = r"""
module: repository_packages
short_description: Install packages from a vendor's repository so that all of them can be removed again
version_added: 0.2.0
description:
  - Fetches the index of one package source, then installs what is missing. A package that is there stays as it is,
    whatever its version.
  - Everything that apt is going to install is written into a file first, dependencies with it.
    M(capstan.appliance.offline_packages) with O(ignore:state=absent) removes exactly these.
options:
  packages:
    description: Names of the packages.
    type: list
    elements: str
    required: true
  source:
    description: The source's file in /etc/apt/sources.list.d. In check mode it need not be there.
    type: path
    required: true
  record:
    description: File that remembers what was installed.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Tells which of the packages would be installed; what they need is known by the source's index alone.
  diff_mode:
    support: full
    description: Shows names and versions.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Install PF_RING from the vendor's repository
  capstan.appliance.repository_packages:
    packages: [pfring, pfring-dkms]
    source: /etc/apt/sources.list.d/capstan-pf_ring.list
    record: /var/lib/capstan-host/packages-pf_ring
"""

RETURN = r"""
installed:
  description: Names of the packages that were, or would be, installed.
  returned: always
  type: list
  elements: str
"""

INSTALL = [
    *("apt-get", "--yes", "--quiet", "--no-install-recommends"),
    *("-o", "DPkg::Lock::Timeout=300", "-o", "APT::Keep-Downloaded-Packages=false", "install"),
]
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def there(module: AnsibleModule) -> dict[str, str]:
    """Installed packages with their versions."""
    return packages.installed(module.run_command(packages.QUERY, check_rc=True)[1])


def apt(module: AnsibleModule, command: list[str], purpose: str) -> str:
    """Output of an apt-get command; fails with what apt says."""
    rc, output, errors = module.run_command(command, environ_update=ENVIRONMENT)
    if rc:
        reason = " ".join((errors or output).split())
        module.fail_json(
            msg=f"apt could not {purpose} ({reason}); see that the host reaches the repository and its own mirror, or "
            "write capture_pf_ring.packages in place of capture_pf_ring.repository",
            stdout=output,
            stderr=errors,
        )
    return str(output)


def to_be_installed(simulation: str) -> list[str]:
    """Names in what `apt-get --simulate install` shows."""
    return re.findall(r"^Inst (\S+)", simulation, re.MULTILINE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "source": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    before = there(module)
    lacking = [name for name in module.params["packages"] if name not in before]
    after = dict.fromkeys(lacking, "")
    if lacking and not module.check_mode:
        source = ["-o", f"Dir::Etc::sourcelist={module.params['source']}", "-o", "Dir::Etc::sourceparts=-"]
        update = ["apt-get", "--quiet", *source, "-o", "APT::Get::List-Cleanup=0", "-o", "APT::Update::Error-Mode=any"]
        apt(module, [*update, "update"], "read the repository")
        coming = to_be_installed(apt(module, [*INSTALL, "--simulate", *lacking], "find the packages"))
        try:
            packages.remember(module.params["record"], [name for name in coming if name not in before])
        except HostError as error:
            module.fail_json(msg=str(error))
        apt(module, [*INSTALL, *lacking], "install the packages")
        now = there(module)
        after = {name: now[name] for name in sorted(now) if name not in before}
    diff = {"before": "", "after": "".join(f"{name} {version}".rstrip() + "\n" for name, version in after.items())}
    module.exit_json(changed=bool(lacking), installed=sorted(after), diff=diff)


if __name__ == "__main__":
    main()
