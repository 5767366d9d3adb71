"""Documentation of the action plugin pf_ring_files, which does all the work on the controller."""

DOCUMENTATION = r"""
module: pf_ring_files
short_description: Judge package files, repository, key and licences that the inventory gives for PF_RING
version_added: 0.2.0
description:
  - Reads the package files with dpkg-deb, brings the repository's key into ASCII armour and its line to name that key,
    and finds the licence of each NIC.
  - Runs on the controller alone and opens no connection. Fails with a sentence for each mistake, naming the host, the
    key and what to write instead.
options:
  settings:
    description: All settings of the host, as the lookup C(capstan.appliance.capture_settings) returns them.
    type: dict
    required: true
  ports:
    description: The plan's ports.
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to show.
author:
  - The Capstan authors (@capstan)
"""

EXAMPLES = r"""
- name: Judge what the inventory gives for PF_RING
  capstan.appliance.pf_ring_files:
    settings: "{{ lookup('capstan.appliance.capture_settings') }}"
    ports: "{{ capture_plan.ports }}"
"""

RETURN = r"""
files:
  description:
    - Of each package file its C(key) in the inventory, C(path) and C(file) name, C(package), C(version) and
      C(architecture), the C(kernels) that it brings pf_ring.ko for, and whether it brings the source for C(dkms).
  returned: success
  type: list
  elements: dict
repository:
  description: The line of sources.list, naming the key; null without a repository.
  returned: success
  type: str
repository_key:
  description: The key in ASCII armour; null without a repository.
  returned: success
  type: str
licences:
  description: Path of each NIC's zero-copy licence, by its MAC address.
  returned: success
  type: dict
"""
