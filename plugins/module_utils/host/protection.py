"""What guards the host's memory from a NIC in a program's hands: the IOMMU, and the kernel's lockdown. Reads only."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import below, read_text

_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# By the firmware's table of it: what its setup calls the IOMMU.
_TABLES = {"DMAR": "VT-d", "IVRS": "AMD-Vi", "IORT": "SMMU", "VIOT": "virtio-iommu"}
_SWITCHED_OFF = {"intel_iommu=off", "amd_iommu=off", "iommu=off"}


def iommu_in_firmware(root: Path) -> str | None:
    """Name of the IOMMU that the firmware tells the kernel of; None where it tells of none."""
    tables = below(root, "/sys/firmware/acpi/tables")
    return next((name for table, name in _TABLES.items() if (tables / table).exists()), None)


def iommu_works(root: Path) -> bool:
    """Whether the kernel runs an IOMMU."""
    groups = below(root, "/sys/kernel/iommu_groups")
    return groups.is_dir() and any(groups.iterdir())


def iommu_name(root: Path) -> str:
    """What the firmware's setup of such a machine calls its IOMMU."""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", read_text("/proc/cpuinfo", root) or "", re.MULTILINE)
    names = {"GenuineIntel": "VT-d", "AuthenticAMD": "AMD-Vi"}
    return names.get(vendor[1] if vendor else "", "VT-d or AMD-Vi")


def no_iommu(root: Path) -> str:
    """Why no IOMMU guards a device and what to do about it, for a sentence that names the device before."""
    off = _SWITCHED_OFF.intersection((read_text("/proc/cmdline", root) or "").split())
    if off:
        return f"the kernel was started with {', '.join(sorted(off))}; remove that from the command line and reboot"
    if iommu_in_firmware(root) is None:
        return (
            f"the firmware shows the kernel none; switch {iommu_name(root)} on in the firmware's setup, "
            "or write capture_dpdk: {driver: uio_pci_generic}, which guards no memory"
        )
    if iommu_works(root):
        return "the IOMMU of this host leaves it out; put the card into another slot, or write another capture_method"
    return (
        "the kernel has it switched off; write capture_kernel: {iommu: on} and let the host reboot, "
        "or write capture_dpdk: {driver: uio_pci_generic}, which guards no memory"
    )


def lockdown(root: Path) -> str | None:
    """Why the kernel keeps even root from devices and unsigned modules, in words; None where it does not."""
    match = re.search(r"\[(integrity|confidentiality)\]", read_text("/sys/kernel/security/lockdown", root) or "")
    if not match:
        return None
    boot = ", because the host was started by Secure Boot" if secure_boot(root) else ""
    return f"the kernel is locked down ({match[1]}){boot}"


def secure_boot(root: Path) -> bool:
    """Whether the firmware let only a signed kernel start."""
    variable = below(root, _SECURE_BOOT)
    # Four bytes of attributes come before the value.
    return variable.is_file() and variable.read_bytes()[4:5] == b"\x01"


def may_come_with_boot(root: Path) -> bool:
    """Whether a reboot with another command line can bring an IOMMU: not where a PC's firmware shows none."""
    is_pc = "vendor_id" in (read_text("/proc/cpuinfo", root) or "")
    return not is_pc or iommu_in_firmware(root) is not None
