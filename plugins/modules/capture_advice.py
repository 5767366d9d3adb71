"""Documentation of the action plugin capture_advice, which judges on the controller."""

DOCUMENTATION = r"""
module: capture_advice
short_description: Rank the capture methods for a host's ports
version_added: 0.2.0
description:
  - Collects facts on the host with M(capstan.appliance.capture_facts), and ranks every capture method for each port,
    with the packets a second that it is estimated to take, the reason, and what the host would have to change. Changes
    nothing.
  - Takes the host's C(capture_*) variables as they are. A host whose inventory names no C(capture_interfaces) has every
    NIC judged, each as if it were captured from alone.
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
- name: Judge the host
  capstan.appliance.capture_advice:
  register: advised

- name: Show the advice
  ansible.builtin.debug:
    msg: "{{ advised.advice.text | join('\n') }}"
"""

RETURN = r"""
advice:
  description: The advice, as C(capstan advise --json) prints it; or C(problem), a sentence on why there is none.
  returned: always
  type: dict
"""
