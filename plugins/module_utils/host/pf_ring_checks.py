"""What keeps PF_RING from a host, found before anything is changed there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_module
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_module import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring import MODULE, Wanted, library
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import below

PACKAGES = "capture_pf_ring.packages"


def problems(host: Host, wanted: Wanted, kernel: str, installed: Mapping[str, str]) -> list[str]:
    """A sentence for each reason not to go on; kernel is the one that boots next, installed are names and versions."""
    return [*_files(host, wanted), *_module(host, wanted, kernel, installed), *_library(host, wanted)]


def _files(host: Host, wanted: Wanted) -> Iterator[str]:
    if not wanted.files:
        return
    ours = host.call("dpkg", "--print-architecture").strip()
    for file in wanted.files:
        if file["architecture"] not in {ours, "all"}:
            yield (
                f"{file['key']}: {file['package']} is built for {file['architecture']} and this host is {ours}; "
                f"name the vendor's package for {ours}"
            )


def _module(host: Host, wanted: Wanted, kernel: str, installed: Mapping[str, str]) -> Iterator[str]:
    if any(kernel in file["kernels"] for file in wanted.files):
        return
    source = any(file["dkms"] for file in wanted.files) or wanted.repository is not None or has_source(host)
    there = kernel_module.file_for(host.root, kernel, MODULE) is not None
    new = any(file["dkms"] and installed.get(file["package"]) != file["version"] for file in wanted.files)
    if source and (new or not there):
        yield from _compiler(host, wanted, kernel)
    elif not there:
        others = sorted({other for file in wanted.files for other in file["kernels"]})
        brings = f"bring {MODULE}.ko for the kernel {', '.join(others)}" if others else f"bring no {MODULE}.ko"
        yield (
            f"{PACKAGES}: the packages {brings} and the host boots {kernel} next; add pfring-dkms, which builds it, or "
            f"a package with /lib/modules/{kernel}/updates/{MODULE}.ko, or write capture_pf_ring.repository"
        )


def has_source(host: Host) -> bool:
    """Whether the module's source is installed already."""
    return any(below(host.root, "/usr/src").glob("pfring-*/dkms.conf"))


def _compiler(host: Host, wanted: Wanted, kernel: str) -> Iterator[str]:
    """What DKMS lacks. From a repository apt brings dkms and compiler along; headers are the kernel's."""
    given = {file["package"] for file in wanted.files}
    prebuilt = f"a package that brings {MODULE}.ko for the kernel {kernel}, built where a compiler is"
    if not kernel_module.has_headers(host.root, kernel) and f"linux-headers-{kernel}" not in given:
        yield (
            f"{PACKAGES}: {MODULE} can't be built for the kernel {kernel}, which boots next, without its headers; "
            f"install linux-headers-{kernel} on the host, or add its .deb, or {prebuilt}"
        )
    lacks = [
        name
        for name, programs in {"dkms": ("dkms",), "gcc": ("gcc", "cc"), "make": ("make",)}.items()
        if not host.has(*programs) and name not in given and wanted.repository is None
    ]
    if lacks:
        yield (
            f"{PACKAGES}: DKMS builds {MODULE} on the host, which has no {' and no '.join(lacks)}; install what is "
            f"missing, or add {prebuilt}"
        )


def _library(host: Host, wanted: Wanted) -> Iterator[str]:
    if library(host.root, wanted) is not None or wanted.repository is not None:
        return
    if all(file["package"] != "pfring" for file in wanted.files):
        name = wanted.library or "libpfring.so.8 or later"
        yield f"{PACKAGES}: {name} is not on the host; add the vendor's package pfring"
