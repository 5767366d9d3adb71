"""Which interrupt belongs to which queue of a NIC: pure functions over the kernel's texts.

Only the interrupts of the NIC's own PCI function are looked at, so the name of the interface in them does not matter:
drivers choose it when they are loaded or the port is opened, and it stays when udev gives the interface another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_TRIGGER = re.compile(r"(^|[-.])(edge|level|fasteoi|none)$", re.IGNORECASE)

# What stands at the end of a name, and what the interrupt serves. Checked in this order.
#   ens3f0-TxRx-0 igb, igc, ixgbe, fm10k, bnxt_en      i40e-ens3f0-TxRx-0, ice-..., iavf-..., ionic-..., hns3-...
#   eth0-rxtx-0 vmxnet3, nfp    eth0-Tx-Rx-0 ena       eth0-rx-0, eth0-tx-0 e1000e, vmxnet3, mlx4, enic, tg3
#   eth0-fp-0 bnx2x, qede       mlx5_comp0@pci:... mlx5    virtio3-input.0, virtio3-output.0, virtio3-input virtio
#   eth0-q0 be2net              eth0-Rx0 cxgb4             mana_q0@pci:... mana
# Names that do not tell: gve (gve-ntfy-blk0 counts send and receive queues together), hv_netvsc and xen-netfront (no
# interrupts of their own).
#   ens3-0 igb with one vector, sfc, atlantic, mlx5 before 6.0
_QUEUES = (
    ("send", re.compile(r"(?:[-_.]tx|-output)[-._]?(\d+)?$", re.IGNORECASE)),
    ("receive", re.compile(r"(?:txrx|tx-rx|rxtx|rx|fp|input|comp|q)[-._]?(\d+)?$", re.IGNORECASE)),
    ("receive", re.compile(r"-(\d+)$")),
)
# What serves no queue has such a word at its end, or is i40e's flow director. Further ahead in the name such a word may
# be the interface's (i40e-aux0-TxRx-0), in whose name no colon can stand.
_OTHER = re.compile(
    r"[-:_](?:config|control|async|misc|mgmnt|lsc|fdir|event|mbox|ctrl|aux)[-_.]?\d*$|:fdir-", re.IGNORECASE
)


def actions(interrupts: str) -> dict[int, list[str]]:
    """Read /proc/interrupts: of each number the names of those who use it."""
    found = {}
    lines = interrupts.splitlines()
    cpus = len(lines[0].split()) if lines else 0
    for line in lines[1:]:
        number, _, rest = line.partition(":")
        if not number.strip().isdigit():
            continue  # NMI, LOC and their like belong to no device
        words = rest.split()[cpus:]
        ends = [place for place, word in enumerate(words) if _TRIGGER.search(word)]
        names = " ".join(words[ends[0] + 1 :] if ends else words[2:])
        found[int(number)] = [name.strip() for name in names.split(",") if name.strip()]
    return found


def serves(name: str) -> tuple[str, int | None] | None:
    """What an interrupt of that name serves: ("receive" or "send", number); None for one of no queue."""
    stem = name.split("@", 1)[0]
    if _OTHER.search(stem):
        return None
    for kind, pattern in _QUEUES:
        found = pattern.search(stem)
        if found:
            return kind, int(found[1]) if found[1] is not None else None
    return None


def queues_of(names: Mapping[int, Iterable[str]], numbers: Iterable[int]) -> dict[int, int]:
    """Which queue each of a NIC's interrupts serves.

    Queues are told by the order of the drivers' numbers, because some count from 1. What a queue sends belongs to the
    same CPU as what it receives. A NIC with one interrupt serves its one queue by it, whatever its name.

    Args:
        names: of each interrupt, as actions() gives them.
        numbers: the interrupts of the NIC.

    Returns:
        Of each interrupt that serves a queue its queue, from 0.

    """
    used = {number: name for number in numbers for name in names.get(number, ())}
    if len(used) == 1:
        return dict.fromkeys(used, 0)
    served = {number: found for number, name in used.items() if (found := serves(name)) is not None}
    order: dict[str, list[int]] = {}
    for kind in ("receive", "send"):
        order[kind] = sorted({at or 0 for what, at in served.values() if what == kind})
    return {number: order[kind].index(at or 0) for number, (kind, at) in served.items()}


def cpus_of(text: str) -> list[int]:
    """CPUs of a kernel list such as 0-3,8."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def list_of(cpus: Iterable[int]) -> str:
    """A kernel list of these CPUs, in the kernel's own way of writing."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def mask_of(cpus: Iterable[int], like: str) -> str:
    """A kernel mask of these CPUs, as long as `like`: 00000000,0000000f."""
    digits = max(len(like.replace(",", "")), 1)
    text = f"{sum(1 << cpu for cpu in set(cpus)):0{digits}x}"
    groups = [text[max(end - 8, 0) : end] for end in range(len(text), 0, -8)]
    return ",".join(reversed(groups))
