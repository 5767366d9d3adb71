# SPDX-License-Identifier: Apache-2.0
"""Linear, by Mitogen: one Python stays in the machine and runs module after module.

Ansible starts a new one for each task, which costs an emulated CPU seven seconds before the module begins.
"""

from __future__ import annotations

import ansible_mitogen.strategy
from ansible.plugins.strategy import linear


class StrategyModule(ansible_mitogen.strategy.StrategyMixin, linear.StrategyModule):
    """What Ansible looks for."""
