"""The kernel's command line: what the plan needs of it, and what contradicts that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
        *_large_pages(machine, pages),
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
    groups = {nic.pci: nic.iommu_group for nic in machine.nics}
    essential = any(groups.get(port.pci or "") is None for port in bound)
    for argument in _IOMMU_ARGUMENTS[machine.iommu_table]:
        yield KernelArgument(argument, "capture_kernel.iommu", essential)


def _large_pages(machine: Machine, pages: Sequence[PlannedPages]) -> Iterator[KernelArgument]:
    large = [entry for entry in pages if entry.size == GIB]
    if not large:
        return
    nodes = {node.number: node for node in machine.nodes}
    present = {number: node.pages(GIB) for number, node in nodes.items()}
    missing = any((known := present.get(entry.node)) is None or known.total < entry.pages for entry in large)
    counts = ",".join(f"{entry.node}:{entry.pages}" for entry in large)
    # The order matters: the count is for the size before it.
    yield KernelArgument("hugepagesz=1G", "capture_hugepages", missing)
    yield KernelArgument(f"hugepages={counts}", "capture_hugepages", missing)


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
