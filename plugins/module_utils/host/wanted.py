"""What the host's capture ports should be like from now on: /etc/capstan-host/NAME.json.

The modules write it before they change anything, and the service that applies it again reads it each time, both under
one lock: no pass of the one ever works by what the other has just replaced.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    durable_remove,
    durable_write,
    read_text,
    remove_empty,
)

DIRECTORY = "/etc/capstan-host"
PREPARED = "prepared"
"""Key of a record that is no original: that something is wanted of the host, even if it was so before."""
NAMES = ("nic_features", "irq_affinity")


def path_of(name: str) -> str:
    """The file of that part."""
    return f"{DIRECTORY}/{name}.json"


def read(name: str, root: Path = Path("/")) -> dict[str, Any] | None:
    """What is wanted; None where nothing is.

    Raises:
        HostError: the file is none of Capstan's.

    """
    text = read_text(path_of(name), root)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("ports"), list):
        raise HostError(f"{path_of(name)} can't be understood; deploy again, which writes it anew")
    return found


def shown(content: Mapping[str, Any]) -> str:
    """The file's text."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def differs(name: str, content: Mapping[str, Any] | None, root: Path = Path("/")) -> bool:
    """Whether keep() would change anything."""
    there = read_text(path_of(name), root)
    return there != (None if content is None else shown(content).strip())


def keep(name: str, content: Mapping[str, Any] | None, root: Path = Path("/")) -> bool:
    """Write what is wanted, or remove the file where nothing is; tells whether that changed anything."""
    if content is not None:
        below(root, DIRECTORY).mkdir(mode=0o755, parents=True, exist_ok=True)
        return durable_write(path_of(name), shown(content), 0o644, root)
    gone = durable_remove(path_of(name), root)
    remove_empty(DIRECTORY, root)
    return gone


@contextmanager
def lock(root: Path = Path("/")) -> Iterator[None]:
    """One pass at a time on this host. The lock is on the folder /run itself: looking leaves no file behind."""
    descriptor = os.open(below(root, "/run"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
