"""Which NICs do not see all that passes them, whatever the method: virtual functions, and stations of a WiFi. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from capstan.links import Link
from capstan.machine import Machine, Nic

# With these, a function that is trusted gets other functions' frames only where this private flag of theirs is on.
_TRUE_PROMISCUOUS: Final = frozenset({"i40e", "ice"})


def limits(label: str, nic: Nic | None, link: Link | None, machine: Machine) -> Iterator[str]:
    """What a port does not see, a sentence each, with what a person can do about it.

    Args:
        label: what a person calls the port.
        nic: of the port; None for one that is on no PCI bus.
        link: its network device; None where it has none at the moment.
        machine: the facts, for the NIC whose function it is.

    """
    if nic is not None and nic.is_virtual_function:
        yield (
            f"{label} is a virtual function, which gets its own frames alone until its host trusts it; "
            f"{_trust(nic, machine)}."
        )
    if link is not None and link.wireless:
        yield (
            f"{label} is a WiFi interface, which gets what this station sends and receives, and nobody else's frames: "
            "capture where the wire is, at the access point or its switch."
        )


def _trust(nic: Nic, machine: Machine) -> str:
    """What a person does on the host of a virtual function, for it to get all frames."""
    if nic.physical_function is None:
        return "a person does that on the hypervisor: `ip link set PF vf N trust on`"
    whole = machine.nic(nic.physical_function)
    name = whole.interface if whole is not None and whole.interface is not None else nic.physical_function
    number = "N" if nic.function_number is None else nic.function_number
    told = f"a person does that here: `ip link set {name} vf {number} trust on`"
    if whole is not None and whole.kernel_driver in _TRUE_PROMISCUOUS:
        told += f" and `ethtool --set-priv-flags {name} vf-true-promisc-support on`"
    return told
