"""Documentation of the action plugin validate_inventory, which does all the work on the controller."""

DOCUMENTATION = r"""
module: validate_inventory
short_description: Validate the capture settings of every host of the play before any host is touched
version_added: 0.1.0
description:
  - Checks the C(capture_*) variables of all hosts of the play against the appliance's own settings model, compiles
    their filters with libpcap, and compares hosts that share an address.
  - Runs on the controller alone and opens no connection. Fails with a sentence for each mistake, naming the host,
    the variable and what to write instead.
options:
  hosts:
    description: Names of the hosts; by default all hosts of the play.
    type: list
    elements: str
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
- name: Validate the inventory on the controller
  capstan.appliance.validate_inventory:
  run_once: true
"""

RETURN = r"""
problems:
  description: A sentence for each mistake.
  returned: always
  type: list
  elements: str
  sample: ["host probe1: capture_method: is 'af_xpd', which is not a capture method; write pcap, af_packet or af_xdp"]
"""
