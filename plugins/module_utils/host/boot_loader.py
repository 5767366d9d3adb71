"""Which boot loader gives a host's kernel its command line."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below

GRUB = "grub"
GRUBBY = "grubby"

# EFI variable in which a boot loader leaves its name (systemd's Boot Loader Interface); four bytes of attributes
# precede the text, which is UTF-16.
_LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_ATTRIBUTES = 4
_CONTAINER_FILES = ("/run/systemd/container", "/run/.containerenv")
# Also in machines whose disk was made of a container's image: those have a boot menu.
_DOCKER_FILE = "/.dockerenv"
_GRUB_CONFIG = "/boot/grub/grub.cfg"


def container(root: Path) -> bool:
    """Whether this is a container, whose kernel is another system's."""
    if any(below(root, path).exists() for path in _CONTAINER_FILES):
        return True
    if below(root, _DOCKER_FILE).exists() and not below(root, _GRUB_CONFIG).is_file():
        return True
    try:
        environment = below(root, "/proc/1/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # not ours to read, so not root: the change itself will be refused
    return any(entry.startswith(b"container=") and entry != b"container=" for entry in environment)


def find(root: Path) -> str:
    """GRUB, set up by update-grub, or by grubby.

    Raises:
        HostError: it is none of these; what to do instead.

    """
    if container(root):
        raise HostError(
            "this is a container, which has its host's kernel; prepare that host, or write "
            "capture_kernel: {isolate_cpus: off, iommu: off, arguments: []}"
        )
    name = _efi_name(root)
    if "systemd-boot" in name:
        raise HostError(_by_hand("systemd-boot", "/etc/kernel/cmdline, then run kernel-install for each kernel"))
    if below(root, "/usr/sbin/grubby").exists():
        return GRUBBY
    if below(root, _GRUB_CONFIG).is_file() and below(root, "/usr/sbin/update-grub").exists():
        return GRUB
    for path in ("/etc/kernel/cmdline", "/boot/loader/loader.conf", "/boot/efi/loader/loader.conf"):
        if below(root, path).exists():
            raise HostError(_by_hand("systemd-boot", "/etc/kernel/cmdline, then run kernel-install for each kernel"))
    raise HostError(_by_hand("no boot loader that is known here", "what starts this host's kernel"))


def _by_hand(loader: str, place: str) -> str:
    return (
        f"this host boots by {loader}, and kernel arguments are set through GRUB alone; write them into {place}, and "
        "boot: the deployment takes what the running kernel has"
    )


def _efi_name(root: Path) -> str:
    try:
        raw = below(root, _LOADER_INFO).read_bytes()
    except OSError:
        return ""  # no EFI, or a loader that does not tell
    return raw[_ATTRIBUTES:].decode("utf-16-le", "replace").rstrip("\0")
