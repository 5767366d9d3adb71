"""One pass of each kind over the host, as /etc/capstan-host wants it: what the modules and the service both run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import irq_affinity, nic_tuning, wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import Record

Ports = Iterable[Mapping[str, Any]]
_ROOT = Path("/")
PREPARED = wanted.PREPARED


def document(name: str, ports: Ports, refused: Mapping[str, Any], **more: Any) -> dict[str, Any] | None:
    """What is written down; None where nothing is wanted.

    Settings that were refused hold for this kernel: another may let them be changed.
    """
    wants = {"nic_features": nic_tuning.wants_something, "irq_affinity": irq_affinity.wants_something}[name]
    listed = list(ports)
    if not any(wants(port) for port in listed):
        return None
    parts = {"nic_features": ("nic", "busy_poll"), "irq_affinity": ("irq", "workers")}[name]
    kept = ("interface", "pci", "netns", "queues", *parts)
    told = [{key: port[key] for key in kept} for port in listed]
    return {"ports": told, "kernel": os.uname().release, "refused": refused, **more}


def keep(name: str, content: Mapping[str, Any] | None, root: Path = _ROOT) -> None:
    """Write what is wanted, or that nothing is; the record tells of it, so that somebody comes to take it back."""
    if content is not None:
        Record(name, root).remember({PREPARED: True})
        wanted.keep(name, content, root)
    else:
        wanted.keep(name, None, root)
        Record(name, root).forget([PREPARED])


def refused(name: str, root: Path = _ROOT) -> dict[str, Any]:
    """What this kernel refused before."""
    known = wanted.read(name, root)
    return dict(known["refused"]) if known is not None and known["kernel"] == os.uname().release else {}


def nics(
    ports: Ports, known: Mapping[str, Any], root: Path = _ROOT, *, check: bool = False, patient: bool = False
) -> nic_tuning.Outcome:
    """NICs to what is wanted; `patient` tells what is wrong with one port and goes on with the others."""
    return nic_tuning.NicTuning(root, known).apply(ports, check=check, patient=patient)


def interrupts(
    ports: Ports,
    housekeeping: Iterable[int],
    known: Mapping[str, str],
    root: Path = _ROOT,
    *,
    check: bool = False,
    patient: bool = False,
) -> irq_affinity.Outcome:
    """Interrupts to where they are wanted; `patient` as with nics()."""
    return irq_affinity.IrqAffinity(root, known).apply(ports, housekeeping, check=check, patient=patient)
