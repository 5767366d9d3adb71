"""Documentation of the action plugin capture_preflight, which judges on the controller."""

DOCUMENTATION = r"""
module: capture_preflight
short_description: Refuse a host that can't capture as its settings ask, before anything on it is changed
version_added: 0.1.0
description:
  - Collects facts on the host with M(capstan.appliance.capture_facts), which needs nothing installed there, and judges
    them on the controller by the same rules that the supervisor applies at every start.
  - Refuses interfaces that do not exist or that the host itself needs (default route, route to the controller, address,
    bond or bridge), rings and blocks that do not fit into memory, a kernel without the method's sockets, and an
    output directory that can't be written.
options:
  settings:
    description: The host's settings, as the lookup P(capstan.appliance.capture_settings#lookup) gives them.
    type: dict
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
- name: Refuse what can't work
  capstan.appliance.capture_preflight:
    settings: "{{ lookup('capstan.appliance.capture_settings') }}"
"""

RETURN = r"""
problems:
  description: A sentence for each reason not to deploy.
  returned: always
  type: list
  elements: str
  sample: ["host probe1: capture_interfaces[0]: eth0 carries the default route; name another interface"]
"""
