"""A kernel module that does not come with the kernel: built by DKMS or brought by a package, loaded, and read back.

Standard library only; `root` is put before every path and commands go through a function, so that tests act on trees.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host import protection
from ansible_collections.capstan.appliance.plugins.module_utils.host.boot_kernel import natural
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below, read_text

Run = Callable[[list[str]], tuple[int, str, str]]
"""Runs a command and gives its status, output and errors."""

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# "pfring/8.9.0, 6.1.0-40-amd64, x86_64: installed" of DKMS 3; DKMS 2 parts name and version by a comma.
_STATUS = re.compile(
    r"(?P<name>[^,/\s]+)[/,]\s*(?P<version>[^,:\s]+)(?:,\s*(?P<kernel>[^,:\s]+),\s*[^:,]+)?:\s*(?P<state>\w+)"
)


@dataclass(frozen=True)
class Built:
    """A line of `dkms status`: state is added, built or installed; kernel is None while it is only added."""

    name: str
    version: str
    kernel: str | None
    state: str


@dataclass(frozen=True)
class Host:
    """Where things are, and how commands are run."""

    root: Path
    run: Run
    running: str
    """Release of the running kernel."""

    def call(self, *command: str) -> str:
        """Output of a command that must succeed.

        Raises:
            HostError: with the last line that it wrote.

        """
        rc, output, errors = self.run(list(command))
        if rc:
            raise HostError(f"{' '.join(command)} fails: {last_line(errors or output)}", rc)
        return output

    def has(self, *programs: str) -> bool:
        """Whether one of these programs is installed."""
        return any(below(self.root, f"{folder}/{name}").exists() for folder in PATH for name in programs)


def last_line(text: str) -> str:
    """What a program said in the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def dkms_status(text: str) -> list[Built]:
    """Read what `dkms status` shows."""
    return [Built(**match.groupdict()) for line in text.splitlines() if (match := _STATUS.match(line.strip()))]


def file_for(root: Path, kernel: str, module: str) -> str | None:
    """Path of the module's file for that kernel; None where there is none."""
    top = below(root, f"/lib/modules/{kernel}")
    names = {f"{module}.ko{ending}" for ending in ("", ".xz", ".zst", ".gz")}
    # Further down stands the kernel's own tree of some thousand files, which a vendor's module may be in as well.
    for folder, _, files in os.walk(top):
        if found := names.intersection(files):
            return "/" + str(Path(folder, min(found)).relative_to(root))
    return None


def has_headers(root: Path, kernel: str) -> bool:
    """Whether modules can be built for that kernel."""
    return below(root, f"/lib/modules/{kernel}/build/Makefile").exists()


def enforced_signatures(root: Path) -> str | None:
    """Why the kernel takes signed modules alone, as the beginning of a sentence; None where it takes any."""
    if locked := protection.lockdown(root):
        return locked
    if protection.secure_boot(root):
        return "the host was started by Secure Boot"
    if read_text("/sys/module/module/parameters/sig_enforce", root) == "Y":
        return "the kernel was started with module.sig_enforce"
    return None


SIGN = (
    "enrol DKMS's key with mokutil --import /var/lib/dkms/mok.pub and confirm it at the console at the next boot, "
    "or install a module package that is signed with a key that this host trusts"
)


def newest(host: Host, dkms_name: str) -> tuple[str | None, list[Built]]:
    """The newest version of the module that DKMS has the source of (None: it knows none), and what it built of it."""
    if not host.has("dkms"):
        return None, []
    known = [built for built in dkms_status(host.call("dkms", "status", "-m", dkms_name)) if built.name == dkms_name]
    version = max((built.version for built in known), key=natural, default=None)
    return version, [built for built in known if built.version == version]


def is_built(known: list[Built], kernel: str) -> bool:
    """Whether DKMS built and installed it for that kernel."""
    return any(built.kernel == kernel and built.state == "installed" for built in known)


def make(host: Host, dkms_name: str, version: str, kernel: str) -> None:
    """Have DKMS build and install the module for that kernel, and read back that it did.

    Raises:
        HostError: the compiler fails.

    """
    rc, output, errors = host.run(["dkms", "install", "-m", dkms_name, "-v", version, "-k", kernel])
    log = f"/var/lib/dkms/{dkms_name}/{version}/build/make.log"
    if rc:
        raise HostError(
            f"DKMS can't build {dkms_name} {version} for the kernel {kernel}: {last_line(errors or output)}; "
            f"read {log} on the host, and take a version of the module that knows this kernel"
        )
    if not is_built(newest(host, dkms_name)[1], kernel):
        raise HostError(f"DKMS built {dkms_name} {version} and does not list it as installed for {kernel}; read {log}")


def check_file(host: Host, kernel: str, module: str) -> str:
    """The module's file for that kernel, seen to be built for it and known to modprobe.

    Raises:
        HostError: there is none, or it is for another kernel.

    """
    path = file_for(host.root, kernel, module)
    if path is None:
        raise HostError(f"there is no {module}.ko for the kernel {kernel} below /lib/modules/{kernel}")
    magic = host.call("modinfo", "-F", "vermagic", str(below(host.root, path))).split()
    if not magic or magic[0] != kernel:
        raise HostError(
            f"{path} is built for the kernel {magic[0] if magic else 'of nobody knows where'} and not for {kernel}; "
            "remove the package that brought it, and install one for this kernel"
        )
    return path


def listed(root: Path, kernel: str, path: str) -> bool:
    """Whether modprobe finds that file: depmod has seen it."""
    name = path.removeprefix(f"/lib/modules/{kernel}/")
    known = (read_text(f"/lib/modules/{kernel}/modules.dep", root) or "").splitlines()
    return any(line.startswith(f"{name}:") for line in known)


def load(host: Host, module: str, path: str) -> None:
    """Load the module with the parameters that /etc/modprobe.d has for it.

    Raises:
        HostError: the kernel does not take it.

    """
    why = enforced_signatures(host.root)
    if why and not host.call("modinfo", "-F", "signer", str(below(host.root, path))).strip():
        raise HostError(f"{why} and {path} is not signed; {SIGN}")
    rc, output, errors = host.run(["modprobe", module])
    if rc:
        advice = f"{why}; {SIGN}" if why else "the kernel says more in dmesg"
        raise HostError(f"{module} can't be loaded: {last_line(errors or output)}; {advice}")


def unload(host: Host, module: str) -> None:
    """Take the module out of the kernel; its file may be gone already.

    Raises:
        HostError: it is in use.

    """
    rc, output, errors = host.run(["rmmod", module])
    if rc:
        raise HostError(
            f"{module} can't be unloaded: {last_line(errors or output)}; stop the programs that use it, or reboot the "
            "host"
        )
