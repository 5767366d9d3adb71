"""The kernel's command line: what the plan needs of it, and what contradicts that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from capstan.config import CaptureConfig
from capstan.host_plan import KernelArgument, PlannedPages, PlannedPort
from capstan.machine import ISOLCPUS_FLAGS, Machine
from capstan.plan_problems import Problems
from capstan.planner_cpus import Placement
from capstan.quantities import GIB
from capstan.topology import cpu_list

_VFIO = "vfio-pci"
# What switches an IOMMU on with devices passed through, by the firmware's table. AMD's is on wherever there is one.
_IOMMU_ARGUMENTS = {
    "DMAR": ("intel_iommu=on", "iommu=pt"),
    "IVRS": ("iommu=pt",),
    "VIOT": ("iommu=pt",),
    "IORT": ("iommu.passthrough=1",),
    None: ("iommu.passthrough=1",),  # told by a device tree
}
_GIB_SPELT = frozenset({"1G", "1024M", "1048576K"})
_IOMMU_OFF = ("iommu=off", "amd_iommu=off")  # nothing that comes later on the command line undoes these


def kernel_arguments(
    config: CaptureConfig,
    machine: Machine,
    placement: Placement,
    ports: Sequence[PlannedPort],
    pages: Sequence[PlannedPages],
    problems: Problems,
) -> tuple[KernelArgument, ...]:
    """Derive the arguments, add the operator's, and refuse what contradicts each other."""
    derived = (
        *_isolation(machine, placement),
        *_iommu(config, machine, ports, problems),
        *_large_pages(machine, pages, problems),
    )
    own = tuple(KernelArgument(argument, "capture_kernel.arguments") for argument in config.kernel.arguments)
    _refuse_contradictions(derived, own, problems)
    known = {entry.argument for entry in derived}
    return (*derived, *(entry for entry in own if entry.argument not in known))


def _isolation(machine: Machine, placement: Placement) -> Iterator[KernelArgument]:
    if not placement.isolated or _isolated_by_operator(machine, placement):
        return
    cpus, reason = cpu_list(placement.isolated), "capture_kernel.isolate_cpus"
    yield KernelArgument(f"isolcpus={ISOLCPUS_FLAGS}{cpus}", reason)
    yield KernelArgument(f"nohz_full={cpus}", reason)
    yield KernelArgument(f"rcu_nocbs={cpus}", reason)
    yield KernelArgument(f"irqaffinity={cpu_list(placement.housekeeping)}", reason)


def _isolated_by_operator(machine: Machine, placement: Placement) -> bool:
    """Whether an isolcpus= of the operator's own, which ours would contradict, has the workers already."""
    values = [word.partition("=")[2] for word in machine.command_line if word.startswith("isolcpus=")]
    own = any(not value.startswith(ISOLCPUS_FLAGS) for value in values)
    return own and {cpu.number for cpu in machine.cpus if cpu.isolated}.issuperset(placement.workers)


def _iommu(
    config: CaptureConfig, machine: Machine, ports: Sequence[PlannedPort], problems: Problems
) -> Iterator[KernelArgument]:
    bound = [port for port in ports if port.driver == _VFIO]
    groups = {nic.pci: nic.iommu_group for nic in machine.nics}
    wish = config.kernel.iommu
    if wish == "off" and bound and not machine.iommu_on:
        problems.add(
            "kernel.iommu", "is off, and vfio-pci needs the IOMMU; write auto, or dpdk.driver: uio_pci_generic"
        )
    if wish == "off" or not (bound or wish == "on"):
        return
    if machine.iommu_table is None and not machine.iommu_on:
        key, what = ("dpdk.driver", "is vfio-pci, which needs an IOMMU") if bound else ("kernel.iommu", "is on")
        other = "driver: uio_pci_generic, which protects no memory" if bound else "off"
        problems.add(
            key,
            f"{what}, and the firmware of this machine offers none; switch VT-d or AMD-Vi on in the firmware, "
            f"or write {other}",
        )
        return
    off = [word for word in machine.command_line if word in _IOMMU_OFF]
    if off and not machine.iommu_on:
        problems.add(
            "kernel.iommu",
            f"is {wish}, and the kernel's command line has {off[0]}; remove that from the boot loader's settings "
            "(/etc/default/grub), or write another method than dpdk",
        )
    # Where a NIC has no group, vfio-pci refuses it until the kernel was booted with these.
    essential = any(groups.get(port.pci or "") is None for port in bound)
    asked = wish == "on" or essential or not all(port.chosen for port in bound)
    for argument in _IOMMU_ARGUMENTS[machine.iommu_table]:
        # For a method that `auto` chose, what the kernel was booted with stays, and nothing new is asked for.
        if asked or argument in machine.command_line:
            yield KernelArgument(argument, "capture_kernel.iommu", essential)


def _large_pages(machine: Machine, pages: Sequence[PlannedPages], problems: Problems) -> Iterator[KernelArgument]:
    needed = {entry.node: entry.pages for entry in pages if entry.size == GIB}
    if not needed:
        return
    present = {node.number: known.total if (known := node.pages(GIB)) else 0 for node in machine.nodes}
    short = [node for node, count in needed.items() if present.get(node, 0) < count]
    theirs = _large_pages_of_operator(machine)
    if theirs is None:
        # The order matters: the count is for the size before it.
        yield KernelArgument("hugepagesz=1G", "capture_hugepages", bool(short))
        yield KernelArgument(f"hugepages={_by_node(needed)}", "capture_hugepages", bool(short))
    elif short:
        enough = {node: max(needed.get(node, 0), count) for node, count in present.items()}
        problems.add(
            "hugepages",
            f"needs {needed[short[0]]} of 1 GiB on node {short[0]}, which has {present.get(short[0], 0)} by {theirs} "
            f"on the kernel's command line; write hugepagesz=1G hugepages={_by_node(enough)} in its place in the boot "
            "loader's settings (/etc/default/grub) and reboot, or write hugepages.size: 2MiB",
        )


def _large_pages_of_operator(machine: Machine) -> str | None:
    """By which words of his own the operator has pages of 1 GiB, which ours would contradict; None where by none."""
    size, found = "", None
    for word in machine.command_line:
        name, _, value = word.partition("=")
        if name in {"hugepagesz", "default_hugepagesz"}:
            size = word if value.upper() in _GIB_SPELT else ""
        elif name == "hugepages" and size and word not in machine.own_arguments:
            found = f"{size} {word}"
    return found


def _by_node(counts: Mapping[int, int]) -> str:
    return ",".join(f"{node}:{count}" for node, count in sorted(counts.items()) if count)


def _refuse_contradictions(
    derived: Iterable[KernelArgument], own: Iterable[KernelArgument], problems: Problems
) -> None:
    """One key with two values: the operator's against a derived one, or two derived ones."""

    def key(entry: KernelArgument) -> str:
        return entry.argument.partition("=")[0].replace("-", "_")  # the kernel takes both alike

    derived = sorted(derived, key=key)
    for _, entries in groupby(derived, key):
        first, *others = entries
        for other in others:
            if other.argument != first.argument:
                problems.add(
                    _setting(other.reason),
                    f"needs {other.argument} on the kernel's command line, and {_setting(first.reason)} needs "
                    f"{first.argument}; write off for one of the two",
                )
    for entry in own:
        for other in derived:
            if key(entry) == key(other) and entry.argument != other.argument:
                problems.add(
                    "kernel.arguments",
                    f"holds {entry.argument}, and {_setting(other.reason)} derives {other.argument}; remove "
                    f"{entry.argument}, or write {_remedy(other.reason)}",
                )


def _setting(reason: str) -> str:
    return reason.removeprefix("capture_")


def _remedy(reason: str) -> str:
    """How a derived argument is done without."""
    setting = _setting(reason)
    return "hugepages.size: 2MiB" if setting == "hugepages" else f"{setting}: off"
