"""Which NICs may not be taken from the kernel, and why: pure functions over what was read.

Every sentence names the inventory's key and what to write or do instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import protection
from ansible_collections.capstan.appliance.plugins.module_utils.host.network_use import NetworkUse
from ansible_collections.capstan.appliance.plugins.module_utils.host.pci_nics import (
    ADDRESS,
    BIFURCATED,
    USER_SPACE,
    Netdev,
    Nic,
    all_nics,
    group_members,
    group_type,
    holders,
    module_known,
    read_nic,
    same_driver,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import read_text

_RESERVED = ("pci-stub", "pciback", "xen-pciback")  # hold a device for a virtual machine
_VFIO = "vfio-pci"
_UIO = "uio_pci_generic"
_SHOWN = 8  # NICs that a sentence lists


@dataclass(frozen=True)
class Port:
    """What the plan says of a capture port."""

    index: int
    """Place in capture_interfaces."""
    pci: Any
    driver: str | None
    mac: str | None = None
    expected_name: str | None = None
    method: str | None = None
    vdev: str | None = None
    """The virtual device of DPDK that captures from the NIC's interface, for which the kernel keeps it."""

    @property
    def key(self) -> str:
        """The inventory's name for it."""
        return f"capture_interfaces[{self.index}]"


@dataclass(frozen=True)
class Situation:
    """What a judgement is made on."""

    root: Path
    network: NetworkUse
    remembered: Mapping[str, Any] = field(default_factory=dict)
    """The record: how NICs were before they were bound."""
    keep: tuple[str, ...] = ()
    """Interfaces that must stay, whatever else is known."""
    reboot_pending: bool = False
    """The command line to come switches the IOMMU on."""


def ports_of(plan: list[dict[str, Any]]) -> list[Port]:
    """The plan's ports that are PCI NICs."""
    return [
        Port(
            index=index,
            pci=port["pci"].lower() if isinstance(port["pci"], str) else port["pci"],
            driver=port.get("driver"),
            mac=port.get("mac"),
            expected_name=port.get("expected_name"),
            method=port.get("method"),
            vdev=port.get("vdev"),
        )
        for index, port in enumerate(plan)
        if port.get("pci") is not None
    ]


def waits_for_reboot(port: Port, nic: Nic, situation: Situation) -> bool:
    """Whether the NIC can't be bound now, and can be after the reboot that is due."""
    return (
        port.driver == _VFIO
        and nic.group is None
        and situation.reboot_pending
        and not protection.iommu_works(situation.root)
        and protection.may_come_with_boot(situation.root)
    )


def stays_bifurcated(port: Port, nic: Nic) -> bool:
    """Whether DPDK works beside the NIC's kernel driver, which then keeps it."""
    return port.driver is not None and nic.driver in BIFURCATED


def problems(ports: list[Port], situation: Situation) -> list[str]:
    """A sentence for each reason not to touch anything; [] when all ports may be bound."""
    found: list[str] = []
    seen: dict[str, Port] = {}
    for port in ports:
        if port.driver is None:
            continue
        if not isinstance(port.pci, str) or not ADDRESS.fullmatch(port.pci):
            found.append(
                f'{port.key}.pci: {port.pci} is no PCI address; write it in quotes, such as "0000:19:00.1", '
                "because YAML takes some addresses for numbers"
            )
        elif port.pci in seen:
            found.append(f"{port.key}.pci: {port.pci} is {seen[port.pci].key} already; write each NIC once")
        else:
            seen[port.pci] = port
            nic = read_nic(port.pci, situation.root)
            told = _absent(port, situation) if nic is None else _judge(port, nic, ports, situation)
            found += [f"{port.key}.pci: {sentence}" for sentence in told]
    return found


def _absent(port: Port, situation: Situation) -> Iterator[str]:
    there = [f"{nic.address} ({_called(nic, situation)})" for nic in all_nics(situation.root)]
    listed = ", ".join(there[:_SHOWN]) + (f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
    yield f"there is no PCI device {port.pci}; this host's NICs are {listed or 'none'}"


def _called(nic: Nic, situation: Situation) -> str:
    return ", ".join(name for name, _ in known_as(nic, situation.remembered)) or nic.driver or "no driver"


def known_as(nic: Nic, remembered: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and MAC addresses of the NIC's interfaces: now, or before it was bound."""
    if nic.netdevs:
        return [(netdev.name, netdev.mac) for netdev in nic.netdevs]
    return [(netdev["name"], netdev["mac"]) for netdev in remembered.get(nic.address, {}).get("netdevs", ())]


def _judge(port: Port, nic: Nic, ports: list[Port], situation: Situation) -> Iterator[str]:
    if not nic.is_network:
        yield (
            f"{nic.address} is not a NIC (class {nic.device_class:06x}); "
            "write the address of one, see lspci -D -d ::0200"
        )
        return
    yield from _identity(port, nic, situation)
    for netdev in nic.netdevs:
        yield from _needed(nic, netdev, situation)
    if stays_bifurcated(port, nic):
        return
    yield from _other_use(port, nic, situation)
    yield from _driver(port, nic, situation)
    if port.driver == _VFIO:
        yield from _guarded(port, nic, ports, situation)
    elif port.driver == _UIO:
        yield from _unguarded(nic, situation)


def _identity(port: Port, nic: Nic, situation: Situation) -> Iterator[str]:
    known = known_as(nic, situation.remembered)
    remembered = situation.remembered.get(nic.address)
    if remembered and (remembered["vendor"], remembered["device"]) != (nic.vendor, nic.device):
        yield (
            f"{nic.address} is another card ({nic.vendor}:{nic.device}) than the one that was bound there "
            f"({remembered['vendor']}:{remembered['device']}); run playbooks/rollback.yml for this host first"
        )
        return
    if port.mac is not None:
        macs = {mac.lower() for _, mac in known}
        macs |= {situation.network.permanent_macs.get(name, "").lower() for name, _ in known} - {""}
        if port.mac.lower() not in macs:
            has = f"has the MAC address {', '.join(sorted(macs))}" if macs else "shows no MAC address under its driver"
            yield f"{nic.address} {has} and not {port.mac}; write the address of the right card, or its MAC address"
    names = [name for name, _ in known]
    if port.expected_name is not None and port.expected_name not in names:
        has = f"is {', '.join(names)}" if names else f"has no interface under its driver {nic.driver}"
        yield f"{nic.address} {has} and not {port.expected_name}; write the address of the right card, or its name"


def _needed(nic: Nic, netdev: Netdev, situation: Situation) -> Iterator[str]:
    what, network = f"{nic.address} is {netdev.name}", situation.network
    if netdev.name in network.default_routes:
        yield f"{what}, which carries a default route, without which the host is cut off; write another NIC"
    if netdev.name in network.controller_routes:
        yield f"{what}, which carries the route back to the controller; write another NIC"
    if network.addresses.get(netdev.name):
        yield (
            f"{what}, which has the address {network.addresses[netdev.name][0]}, so the host uses it; "
            "remove the address if the NIC is meant for capture, or write another NIC"
        )
    for name, kind in netdev.uppers:
        yield f"{what}, on which {name} ({kind}) stands; take it out of {name}, or write another NIC"
    if netdev.name in situation.keep:
        yield f"{what}, which must stay; write another NIC"


def _other_use(port: Port, nic: Nic, situation: Situation) -> Iterator[str]:
    if nic.virtual_functions:
        yield (
            f"{nic.address} has {nic.virtual_functions} virtual functions, which others may use; "
            f"write 0 into /sys/bus/pci/devices/{nic.address}/sriov_numvfs, or write another NIC"
        )
    if nic.address in situation.remembered:
        return
    if nic.driver in _RESERVED or (nic.driver in USER_SPACE and not same_driver(nic.driver, port.driver)):
        yield (
            f"{nic.address} is bound to {nic.driver}, and not by Capstan, so another program uses it; "
            "give it back to its kernel driver, or write another NIC"
        )
    elif nic.driver in USER_SPACE:
        for pid, name in holders(nic, situation.root):
            yield f"{nic.address} is in use by {name} (pid {pid}); stop it, or write another NIC"
    elif nic.driver is not None and not nic.netdevs:
        yield (
            f"{nic.address} shows no interface under its driver {nic.driver}: it is in a network namespace, or broken; "
            "move the interface back (ip netns exec NAME ip link set IFACE netns 1), or write another NIC"
        )


def _driver(port: Port, nic: Nic, situation: Situation) -> Iterator[str]:
    if not module_known(str(port.driver), situation.root):
        release = read_text("/proc/sys/kernel/osrelease", situation.root)
        yield (
            f"the running kernel {release} has no {port.driver}, which {nic.address} needs; boot a kernel that has it "
            "(Debian's linux-image-amd64), reboot if a newer one was installed, or write another capture_method"
        )


def _guarded(port: Port, nic: Nic, ports: list[Port], situation: Situation) -> Iterator[str]:
    if nic.group is None:
        if not waits_for_reboot(port, nic, situation):
            yield f"{nic.address} needs an IOMMU for vfio-pci: {protection.no_iommu(situation.root)}"
        return
    together = {other.pci for other in ports if other.driver == _VFIO}
    for other in group_members(nic.group, situation.root):
        # VFIO takes a group when each of its devices is its own, a bridge, or without a driver.
        if other.address not in together and not other.is_bridge and other.driver is not None:
            named = ", ".join(netdev.name for netdev in other.netdevs) or f"driver {other.driver}"
            yield (
                f"{nic.address} shares the IOMMU group {nic.group} with {other.address} ({named}), which must stay; "
                "put the card into another slot, list both for capture, or write another capture_method"
            )


def _unguarded(nic: Nic, situation: Situation) -> Iterator[str]:
    locked = protection.lockdown(situation.root)
    if locked:
        yield (
            f"{nic.address} can't be used by uio_pci_generic: {locked}, which keeps programs off a NIC's registers; "
            "write capture_dpdk: {driver: vfio-pci}"
        )
    kind = group_type(nic.group, situation.root) if nic.group is not None else None
    if kind is not None and kind.startswith("DMA"):
        yield (
            f"{nic.address} is behind an IOMMU that translates (group {nic.group}, type {kind}), so it could not write "
            "into a program's memory by uio_pci_generic; write capture_dpdk: {driver: vfio-pci}"
        )


def notes(port: Port, nic: Nic, situation: Situation) -> Iterator[str]:
    """What is worth knowing of a NIC that may be bound."""
    shared = port.method == "dpdk" and port.vdev is None and nic.driver in BIFURCATED
    if stays_bifurcated(port, nic) or shared:
        called = _called(nic, situation)
        yield f"{nic.address} ({called}) stays on its kernel driver {nic.driver}, beside which DPDK works"
        return
    if port.driver == _UIO:
        yield f"{nic.address}: uio_pci_generic guards no memory: a fault of the engine can write anywhere in this host"
        if not nic.has_legacy_interrupt:
            yield f"{nic.address} has MSI-X interrupts only, which uio_pci_generic does not pass on: it is polled"
    if port.driver in USER_SPACE and nic.address not in situation.remembered and same_driver(nic.driver, port.driver):
        yield f"{nic.address} was bound to {nic.driver} before; a rollback leaves it so"
