"""Documentation of the action plugin capture_plan, which plans on the controller."""

DOCUMENTATION = r"""
module: capture_plan
short_description: Plan a host, or refuse it before anything on it is changed
version_added: 0.1.0
description:
  - Collects facts on the host with M(capstan.appliance.capture_facts), which needs nothing installed there, and derives
    from them and the settings who captures what on which CPU, hugepages, kernel arguments, interrupts and the NICs'
    settings. The supervisor makes the same plan at every start.
  - Refuses NICs that do not exist, that are not the ones meant, or that the host itself needs (default route, route to
    the controller, address, bond or bridge), queues and cores that are not there, memory that does not fit, kernel
    arguments that contradict each other, a kernel without the method's sockets, and an output directory that can't be
    written.
  - Where a port's method is C(auto), chooses one of those that need no reboot and whose packages are in C(dist/) on the
    controller, and says which and why. A choice that M(capstan.appliance.method_choice) keeps on the host stays as long
    as it can be had.
  - The role C(preflight) keeps the plan as the fact C(capture_plan), which the roles that prepare a host read.
options:
  settings:
    description: The host's settings, as the lookup P(capstan.appliance.capture_settings#lookup) gives them.
    type: dict
    required: true
  choose_again:
    description: Choose methods anew where the settings say C(auto), whatever was chosen before.
    type: bool
    default: false
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
- name: Plan the host
  capstan.appliance.capture_plan:
    settings: "{{ lookup('capstan.appliance.capture_settings') }}"
  register: planned

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.plan.text | join('\n') }}"
"""

RETURN = r"""
plan:
  description: The plan. Its C(text) is a table for people; docs/host-plan.md shows one.
  returned: when nothing stands against it
  type: dict
problems:
  description: A sentence for each reason not to deploy.
  returned: always
  type: list
  elements: str
  sample: ["host probe1: capture_interfaces[0]: eth0 carries the default route; name another interface"]
"""
