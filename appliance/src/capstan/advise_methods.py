"""What stands between one port and one capture method, and what the host would have to change for it.

Pure. Whether a plan can be made at all is the planner's to say; here is what it does not judge: drivers, cards and
packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from capstan.config import CaptureConfig, Interface
from capstan.dpdk_devices import driver_for
from capstan.host_plan import HostPlan
from capstan.links import Link
from capstan.machine import Card, Machine, Nic
from capstan.means import IN_THE_ENGINE, Means, package_of
from capstan.planner_ports import queues_native
from capstan.quantities import format_size
from capstan.xdp_drivers import NATIVE_SINCE, NO_REDIRECT, Support, support, version_of

ONE_BUFFER: Final = 3050
"""Bytes: an MTU that every driver's single receive buffer holds under native XDP."""

By = Literal["deployment", "reboot", "hand"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has to be otherwise on the host before a method can be used."""

    what: str
    """package, module, licence, driver, hugepages, kernel, or card."""
    by: By
    """Who brings it: a run of deploy.yml, that with a reboot, or a person."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Subject:
    """One port, and all that is known of it."""

    config: CaptureConfig
    machine: Machine
    means: Means
    index: int
    """Place in the settings' interfaces."""
    nic: Nic | None
    link: Link | None

    @property
    def interface(self) -> Interface:
        """The settings' entry."""
        return self.config.interfaces[self.index]

    @property
    def label(self) -> str:
        """What a person calls it."""
        name = self.link.name if self.link else self.nic.interface if self.nic else None
        return name or self.interface.identity

    @property
    def card(self) -> Card | None:
        """The DAG card that it is."""
        return self.machine.card(self.interface.identity)

    @property
    def driver(self) -> str | None:
        """Driver of its network device, now or before it was bound; for a virtual interface its kind."""
        if self.card is not None:
            return "dag"
        # A NIC on another bus than PCI has its network device alone to tell: Hyper-V's, virtio-mmio's, USB's.
        kind = (self.link.kind or self.link.driver) if self.link else None
        return (self.nic.kernel_driver if self.nic else None) or kind

    @property
    def speed(self) -> int | None:
        """Mbit/s."""
        return (self.link.speed if self.link else None) or (self.nic.speed if self.nic else None)

    @property
    def wireless(self) -> bool:
        """Whether it is a station of a WiFi."""
        return self.link is not None and self.link.wireless

    @property
    def nature(self) -> str:
        """What it is, whatever a deployment does to it."""
        if self.card is not None:
            return "DAG card"
        return (self.nic.model if self.nic else None) or self.driver or "unknown"

    @property
    def xdp(self) -> Support:
        """What its driver has for AF_XDP."""
        told = self.nic.xdp if self.nic else self.link.xdp if self.link else None
        return support(self.driver or "", told, version_of(self.machine.kernel_release))


def mode_of(method: str, subject: Subject) -> tuple[str, str]:
    """The best mode of a method on a port, and what is worth knowing of it."""
    match method:
        case "af_xdp":
            return _xdp_mode(subject)
        case "pf_ring":
            return _pf_ring_mode(subject)
        case _:
            return "", ""


def _xdp_mode(subject: Subject) -> tuple[str, str]:
    xdp, asked = subject.xdp, subject.config.af_xdp.mode
    driver = xdp.driver or "its driver"
    source = "the kernel says" if xdp.told else "by the drivers' histories"
    mtu = subject.link.mtu if subject.link else 0
    if not xdp.native and not (xdp.zerocopy and asked not in {"copy", "skb"}):
        return "generic", f"{driver} has {_without_native(xdp)} ({source})"
    if asked == "skb":
        return "generic", f"{driver} has native XDP, and capture_af_xdp.mode is skb"
    bound, queues = queues_native(subject.driver, subject.link, subject.nic), subject.interface.queues
    if bound is not None and (bound == 0 or (queues != "auto" and queues > bound)):
        has = f"{subject.label} is set to {queues}" if queues != "auto" else f"{subject.label} has one"
        return "generic", f"{driver} takes native XDP with half of its queues at most, {bound}, and {has}"
    if mtu > ONE_BUFFER and not xdp.buffers:
        return "generic", f"an MTU of {mtu} is more than {driver} takes with native XDP; write capture_nic.mtu: 1500"
    if xdp.zerocopy and asked != "copy":
        return "zero-copy", f"{driver} has native XDP and zero-copy ({source})"
    lacks = ", without zero-copy" if not xdp.zerocopy else ""
    return "copy", f"{driver} has native XDP{lacks} ({source})"


def _without_native(xdp: Support) -> str:
    """What a driver has in place of native XDP for a socket that is copied to."""
    if xdp.driver in NO_REDIRECT:
        alone = "for zero-copy alone" if xdp.zerocopy else "without XDP_REDIRECT, by which a socket gets its packets"
        return f"native XDP {alone}"
    since = NATIVE_SINCE.get(xdp.driver)
    later = f", which got it in Linux {since[0]}.{since[1]}" if since and not xdp.told else ""
    return f"no native XDP with XDP_REDIRECT here{later}"


def _pf_ring_mode(subject: Subject) -> tuple[str, str]:
    nic = subject.nic
    runs_zc = nic is not None and (nic.kernel_driver or "").endswith("_zc")
    if subject.config.pf_ring.zc and runs_zc:
        return "ZC", f"the vendor's driver {subject.driver} is in use"
    return "standard", ""


def obstacles(method: str, mode: str, subject: Subject) -> Iterator[str]:
    """Why a method cannot be had on a port, whatever is done to the host; one clause each."""
    refusal = subject.means.refused.get(method)
    if refusal:
        yield f"the kernel refuses its sockets ({refusal})"
    match method:
        case "af_xdp":
            asked = subject.config.af_xdp.mode
            if subject.config.strict and asked in {"zerocopy", "copy"} and mode != asked.replace("zero", "zero-"):
                yield f"capture_af_xdp.mode is {asked} and capture_strict is true, and the best here is {mode}"
        case "dpdk":
            yield from _dpdk_obstacles(subject)
        case "pf_ring":
            yield from _pf_ring_obstacles(subject)
        case "dag":
            if subject.card is None:
                yield "this is no DAG card"
        case _:
            return


def _dpdk_obstacles(subject: Subject) -> Iterator[str]:
    nic = subject.nic
    if subject.config.netns is not None:
        yield "capture_netns names a network namespace, and dpdk takes NICs from the kernel"
    if nic is None:
        yield "it is not on the PCI bus"
    elif len(nic.interfaces) > 1:
        ports = ", ".join(nic.interfaces)
        yield f"{nic.pci} has several ports ({ports}), of which dpdk takes the first whichever is meant"
    elif driver_for(nic.model, subject.means.distribution) is None:
        yield f"none of DPDK's packaged drivers knows {nic.model}"


def _pf_ring_obstacles(subject: Subject) -> Iterator[str]:
    given = subject.config.pf_ring.packages or subject.config.pf_ring.repository
    if not given and subject.means.pf_ring_module is None:
        yield "PF_RING is neither on this host nor in capture_pf_ring.packages or .repository"
    if subject.config.netns is not None:
        yield "capture_netns names a network namespace, and PF_RING captures in the host's own"
    if subject.config.pf_ring.zc and _pf_ring_mode(subject)[0] != "ZC":
        driver = subject.driver or "its driver"
        yield f"capture_pf_ring.zc is true, and {driver} is not the vendor's zero-copy driver"


def changes(method: str, subject: Subject, plan: HostPlan, others: frozenset[str]) -> Iterator[Change]:
    """What has to be otherwise on the host for a method.

    Args:
        method: the method.
        subject: the port.
        plan: the host's plan with that method.
        others: kernel arguments that nothing works without for other ports' sake, whatever this port's method.

    """
    yield from _package(method, subject)
    yield from _driver(method, subject, plan)
    if method == "pf_ring":
        yield from _pf_ring_parts(subject)
    port = plan.ports[subject.index]
    if method == "dpdk" and port.driver is not None:
        yield from _binding(subject, plan)
    for node, size, missing in _missing_pages(subject.machine, plan):
        yield Change("hugepages", "deployment", f"{missing} hugepages of {format_size(size)} on node {node}")
    # A NIC without a group cannot be bound before the boot, whoever else waits for it.
    waits = port.driver == "vfio-pci" and subject.nic is not None and subject.nic.iommu_group is None
    needed = (entry.argument for entry in plan.kernel_arguments if entry.essential)
    essential = [argument for argument in needed if waits or argument not in others]
    if essential:
        yield Change("kernel", "reboot", f"{' '.join(essential)} on the kernel's command line")


def _pf_ring_parts(subject: Subject) -> Iterator[Change]:
    if subject.means.pf_ring_module is None:
        yield Change("module", "deployment", "the vendor's kernel module and library")
    mac = subject.nic.mac if subject.nic else None
    licensed = subject.config.pf_ring.licence is not None or mac in subject.means.licences
    if _pf_ring_mode(subject)[0] == "ZC" and not licensed:
        yield Change(
            "licence", "hand", f"a licence of PF_RING ZC for {mac or subject.label}, in capture_pf_ring.licence"
        )


def _package(method: str, subject: Subject) -> Iterator[Change]:
    means = subject.means
    if method in IN_THE_ENGINE or method in means.installed:
        return
    package = package_of(method)
    if means.packages is None or method in means.packages:
        yield Change("package", "deployment", package)
    else:
        sentence = f"{package}, which the controller has not: run playbooks/build.yml"
        yield Change("package", "hand", sentence)


def _driver(method: str, subject: Subject, plan: HostPlan) -> Iterator[Change]:
    nic, wanted = subject.nic, plan.ports[subject.index].driver
    if nic is None or (nic.in_user_space and wanted == nic.driver):
        return
    if wanted is not None:
        gone = f" ({subject.label} disappears)" if subject.link else ""
        yield Change("driver", "deployment", f"{wanted} in place of {nic.driver or 'no driver'}{gone}")
    elif nic.in_user_space and method != "dpdk":
        yield Change("driver", "deployment", f"{nic.kernel_driver} in place of {nic.driver}")


def _binding(subject: Subject, plan: HostPlan) -> Iterator[Change]:
    """What keeps a NIC from a driver of user space, as the role that binds it judges."""
    nic, machine, wanted = subject.nic, subject.machine, subject.config.dpdk.driver
    if nic is None:
        return
    if wanted not in machine.user_space_drivers:
        yield Change(
            "kernel", "hand", f"a kernel that has {wanted}, which {machine.kernel_release or 'this one'} lacks"
        )
    if nic.in_user_space and not nic.remembered and nic.driver != wanted:
        yield Change("driver", "hand", f"{nic.pci} given back by whoever bound it to {nic.driver}")
    if nic.virtual_functions:
        yield Change("card", "hand", f"no virtual functions on {nic.pci}, which has {nic.virtual_functions}")
    together = {port.pci for port in plan.ports if port.driver is not None}
    held = [other for other in nic.iommu_neighbours if other not in together and _is_held(other, machine)]
    if held:
        yield Change("card", "hand", f"an IOMMU group of its own: it shares one with {', '.join(held)}")


def _is_held(pci: str, machine: Machine) -> bool:
    """Whether a device may have a driver of the kernel, which VFIO does not take its group beside."""
    nic = machine.nic(pci)
    return nic is None or (nic.driver is not None and not nic.in_user_space)


def _missing_pages(machine: Machine, plan: HostPlan) -> Iterator[tuple[int, int, int]]:
    """(node, bytes of a page, pages) that are not reserved yet."""
    nodes = {node.number: node for node in machine.nodes}
    for wanted in plan.hugepages:
        node = nodes.get(wanted.node)
        known = node.pages(wanted.size) if node else None
        missing = wanted.pages - (known.total if known else 0)
        if missing > 0:
            yield wanted.node, wanted.size, missing
