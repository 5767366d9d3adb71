"""The steps that set PF_RING up and take it back: before its packages are installed, after it, and the same backwards.

Record `pf_ring`: "file PATH" (text and mode, or None where there was none), "directory PATH" (False: was not there),
"left PATH" (None: was not there), "package NAME" (version, or None), "module" (parameters of the module that was
loaded, or None).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils import packages
from ansible_collections.capstan.appliance.plugins.module_utils.host import kernel_module, pf_ring, pf_ring_checks
from ansible_collections.capstan.appliance.plugins.module_utils.host.boot_kernel import BootKernel, boot_kernel
from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_module import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.pf_ring import MODULE, Wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    Record,
    below,
    durable_remove,
    durable_write,
    remove_empty,
)

_VENDOR_PACKAGES = ("pfring", "pfring-dkms")


@dataclass
class Outcome:
    """What a step did, or in check mode would do."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reboot_reasons: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def change(self, before: str | None, after: str | None) -> None:
        """Note a change for the diff."""
        self.before += before.splitlines() if before else []
        self.after += after.splitlines() if after else []

    @property
    def changed(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.before or self.after)


@dataclass(frozen=True)
class PfRing:
    """PF_RING on one host; in check mode nothing is written."""

    host: Host
    check: bool

    @property
    def record(self) -> Record:
        """How the host was found."""
        return Record(MODULE, self.host.root)

    def ready(self, wanted: Wanted) -> Outcome:
        """Before the packages: judge the host, write the settings, and keep the vendor's service off it.

        Raises:
            HostError: with every reason not to go on, a line each; nothing is changed then.

        """
        kernel = boot_kernel(self.host.root, self.host.running)
        installed = packages.installed(self.host.call(*packages.QUERY))
        problems = pf_ring_checks.problems(self.host, wanted, kernel.release, installed)
        if problems:
            raise HostError("\n".join(problems))
        outcome = Outcome(facts=_kernel_facts(kernel))
        why = kernel_module.enforced_signatures(self.host.root)
        if why:
            outcome.notes.append(f"{why}: the kernel takes {MODULE} only when it is signed; {kernel_module.SIGN}")
        texts = pf_ring.texts(self.host.root, wanted)
        stale = [path for path in self._remembered_files() if path not in texts]
        differing = {path: text for path, text in texts.items() if self._text(path) != text}
        if not self.check:
            self._remember(texts, [file["package"] for file in wanted.files], installed)
        for path in stale:
            self._restore_file(path, outcome)
            if not self.check:
                self.record.forget([f"file {path}"])
        for path, text in differing.items():
            outcome.change(_shown(path, self._text(path)), _shown(path, text))
            if not self.check:
                below(self.host.root, path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                durable_write(path, text, root=self.host.root)
        self._reload_units([*stale, *differing])
        return outcome

    def present(self, wanted: Wanted, *, pending: bool) -> Outcome:
        """After the packages: the module built for the kernel that boots next, loaded, and read back.

        Args:
            wanted: what the inventory asks for.
            pending: packages were installed; in check mode they would be, and what they bring can't be seen yet.

        Raises:
            HostError: the module can't be built or loaded, or is not what was asked for.

        """
        kernel = boot_kernel(self.host.root, self.host.running)
        outcome = Outcome(facts=_kernel_facts(kernel))
        if self.check and pending:
            outcome.change(None, f"{MODULE} for the kernel {kernel.release}: built and loaded")
            return outcome
        releases = self._kernels(kernel.release)
        for release in releases:
            self._provide(release, outcome)
        if self.host.running in releases:
            self._load(wanted, outcome)
        else:
            outcome.reboot_reasons.append(
                {
                    "reason": f"{MODULE} is there for the kernel {kernel.release}, which boots next, and not for "
                    f"{self.host.running}, which runs",
                    "essential": True,
                }
            )
        if not pf_ring.has_systemd(self.host.root):
            outcome.notes.append(
                f"systemd is not PID 1 here, so that nothing loads {MODULE} at boot: deploy again after one"
            )
        outcome.facts["library"] = pf_ring.library(self.host.root, wanted)
        if outcome.facts["library"] is None and wanted.library is not None:
            raise HostError(
                f"capture_pf_ring.library: {wanted.library} is not on the host; install the vendor's library there, "
                "correct the path, or remove the key where the loader finds it"
            )
        if outcome.facts["library"] is None:
            raise HostError(
                f"{pf_ring_checks.PACKAGES}: libpfring.so.{pf_ring.OLDEST_LIBRARY} or later is in none of the loader's "
                "folders; add the vendor's package pfring of that version"
            )
        outcome.facts["zero_copy"] = pf_ring.zero_copy(self.host, wanted)
        outcome.notes += [sentence for port in outcome.facts["zero_copy"] for sentence in port["missing"]]
        return outcome

    def unloaded(self) -> Outcome:
        """First step back: the module out of the kernel where it was not loaded before."""
        outcome = Outcome()
        known, now = self.record.read(), pf_ring.info(self.host.root)
        if known is None or now is None or known.get("module") is not None:
            return outcome
        if now.rings:
            raise HostError(
                f"{MODULE} can't be unloaded: {_rings(now.rings)} open; stop the programs that capture by PF_RING "
                f"(the files in /proc/net/pf_ring begin with their pids), then roll back again"
            )
        outcome.change(f"{MODULE} {now.version}: loaded", None)
        if not self.check:
            kernel_module.unload(self.host, MODULE)
        return outcome

    def absent(self) -> Outcome:
        """Last step back, after the packages: files as they were, and nothing remembered."""
        outcome = Outcome()
        known = self.record.read()
        if known is None:
            return outcome
        files = self._remembered_files()
        for path in [*self._fetched_lists(), *self._left(known)]:
            outcome.change(path, None)
            if not self.check:
                durable_remove(path, self.host.root)
        for path in files:
            self._restore_file(path, outcome)
        if not self.check:
            self._remove_directories(known)
            self._reload_units(files)
            self._forget_module_files()
        self._restore_parameters(known, outcome)
        outcome.notes += self._other_versions(known)
        if not self.check:
            self.record.forget()
        return outcome

    def _kernels(self, boots: str) -> list[str]:
        """The kernel that boots next, and the running one where it has the module or can have it."""
        root, running = self.host.root, self.host.running
        can_build = kernel_module.has_headers(root, running) and kernel_module.newest(self.host, pf_ring.DKMS_NAME)[0]
        if running != boots and (can_build or kernel_module.file_for(root, running, MODULE)):
            return [boots, running]
        return [boots]

    def _provide(self, kernel: str, outcome: Outcome) -> None:
        """Have the module's file for that kernel, by DKMS unless a package brought it."""
        version, built = kernel_module.newest(self.host, pf_ring.DKMS_NAME)
        there = kernel_module.file_for(self.host.root, kernel, MODULE) is not None
        can_build = kernel_module.has_headers(self.host.root, kernel)
        if version and not kernel_module.is_built(built, kernel) and (can_build or not there):
            outcome.change(None, f"{MODULE} {version} for the kernel {kernel}: built")
            if self.check:
                return
            kernel_module.make(self.host, pf_ring.DKMS_NAME, version, kernel)
        path = kernel_module.check_file(self.host, kernel, MODULE)
        if not kernel_module.listed(self.host.root, kernel, path):
            outcome.change(None, f"{path}: listed in modules.dep")
            if not self.check:
                self.host.call("depmod", kernel)

    def _load(self, wanted: Wanted, outcome: Outcome) -> None:
        """Have it loaded, with our parameters and from the file that is installed."""
        now = pf_ring.info(self.host.root)
        outcome.facts["version"] = now.version if now else None
        if now and now.parameters == wanted.parameters and self._is_file_loaded():
            return
        if now and now.rings:
            outcome.reboot_reasons.append(
                {
                    "reason": f"{MODULE} runs with other parameters or from another file, and {_rings(now.rings)} "
                    "open; capstan down and another deployment do instead of a boot",
                    "essential": False,
                }
            )
            return
        shown = " ".join(f"{name}={value}" for name, value in wanted.parameters.items())
        before = " ".join(f"{name}={value}" for name, value in now.parameters.items()) if now else None
        outcome.change(f"{MODULE}: {before}" if before else None, f"{MODULE}: {shown}")
        if self.check:
            return
        if now:
            kernel_module.unload(self.host, MODULE)
        kernel_module.load(self.host, MODULE, kernel_module.check_file(self.host, self.host.running, MODULE))
        read = pf_ring.info(self.host.root)
        if read is None or read.parameters != wanted.parameters:
            raise HostError(
                f"{MODULE} was loaded and /proc/net/pf_ring/info tells {read.parameters if read else 'nothing'} where "
                f"{wanted.parameters} were asked for; see what else in /etc/modprobe.d sets its options"
            )
        outcome.facts["version"] = read.version

    def _is_file_loaded(self) -> bool:
        """Whether the loaded module is the installed one, as far as both tell which source they are of."""
        loaded = self._text(f"/sys/module/{MODULE}/srcversion")
        path = kernel_module.file_for(self.host.root, self.host.running, MODULE)
        if loaded is None or path is None:
            return True
        installed = self.host.call("modinfo", "-F", "srcversion", str(below(self.host.root, path))).strip()
        return installed in {"", loaded.strip()}

    def _restore_parameters(self, known: dict[str, Any], outcome: Outcome) -> None:
        """A module that was loaded before gets its parameters back, unless a program holds a ring."""
        original, now = known.get("module"), pf_ring.info(self.host.root)
        if original is None or now is None or now.parameters == original:
            return
        if now.rings:
            outcome.reboot_reasons.append(
                {
                    "reason": f"{MODULE} runs with Capstan's parameters while {_rings(now.rings)} open; "
                    "another roll-back without them does instead of a boot",
                    "essential": False,
                }
            )
            return
        words = [f"{name}={value}" for name, value in original.items()]
        outcome.change(f"{MODULE}: {now.parameters}", f"{MODULE}: {original}")
        if not self.check:
            kernel_module.unload(self.host, MODULE)
            self.host.call("modprobe", MODULE, *words)

    def _remember(self, paths: Iterable[str], names: list[str], installed: dict[str, str]) -> None:
        now = pf_ring.info(self.host.root)
        originals: dict[str, Any] = {"module": now.parameters if now else None}
        originals |= {f"package {name}": installed.get(name) for name in [*_VENDOR_PACKAGES, *names]}
        originals |= {f"left {path}": None for path in pf_ring.LEFT if not below(self.host.root, path).exists()}
        for path in paths:
            originals[f"file {path}"] = self._original(path)
        for path in [*paths, *pf_ring.LEFT]:
            for folder in Path(path).parents:
                if not below(self.host.root, folder).exists():
                    originals[f"directory {folder}"] = False
        self.record.remember(originals)

    def _original(self, path: str) -> dict[str, Any] | None:
        file = below(self.host.root, path)
        if not file.exists():
            return None
        return {"text": file.read_text(encoding="utf-8"), "mode": file.stat().st_mode & 0o7777}

    def _text(self, path: str) -> str | None:
        file = below(self.host.root, path)
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def _remembered_files(self) -> list[str]:
        return [key.removeprefix("file ") for key in self.record.read() or {} if key.startswith("file ")]

    def _restore_file(self, path: str, outcome: Outcome) -> None:
        original = (self.record.read() or {})[f"file {path}"]
        now, text = self._text(path), original["text"] if original else None
        if now == text:
            return
        outcome.change(_shown(path, now), _shown(path, text))
        if self.check:
            return
        if original is None:
            durable_remove(path, self.host.root)
        else:
            below(self.host.root, path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            durable_write(path, original["text"], original["mode"], self.host.root)

    def _remove_directories(self, known: dict[str, Any]) -> None:
        """Those that were not there, from the innermost out; one that holds something by now stays."""
        folders = sorted(key.removeprefix("directory ") for key in known if key.startswith("directory "))
        for folder in reversed(folders):
            remove_empty(folder, self.host.root)

    def _fetched_lists(self) -> list[str]:
        """What apt fetched from our source, unless another source of the host names the same place."""
        ours = self._text(pf_ring.SOURCE)
        sources = [path for path in below(self.host.root, "/etc/apt").glob("sources.list*/**/*") if path.is_file()]
        sources += [below(self.host.root, "/etc/apt/sources.list")]
        place = pf_ring.place_of(ours) if ours and f"file {pf_ring.SOURCE}" in (self.record.read() or {}) else None
        others = [path for path in sources if path.is_file() and path != below(self.host.root, pf_ring.SOURCE)]
        if place is None or any(place in path.read_text(encoding="utf-8", errors="replace") for path in others):
            return []
        # As apt names them: host and path without the scheme.
        prefix = re.sub(r"^\w+:(//)?", "", place).rstrip("/").replace("_", "%5f").replace("/", "_")
        return [
            f"/{path.relative_to(self.host.root)}"
            for path in sorted(below(self.host.root, "/var/lib/apt/lists").glob(f"{prefix}_*"))
            if path.is_file()
        ]

    def _left(self, known: dict[str, Any]) -> list[str]:
        """What packages left behind; DKMS keeps its key while it stays for other modules."""
        paths = [key.removeprefix("left ") for key in known if key.startswith("left ")]
        there = [path for path in paths if below(self.host.root, path).exists()]
        return [path for path in there if not (path.startswith("/var/lib/dkms/") and self.host.has("dkms"))]

    def _forget_module_files(self) -> None:
        """Take files of the module that are gone out of modules.dep."""
        modules = below(self.host.root, "/lib/modules")
        for release in sorted(path.name for path in modules.iterdir()) if modules.is_dir() else []:
            dependencies = self._text(f"/lib/modules/{release}/modules.dep") or ""
            gone = kernel_module.file_for(self.host.root, release, MODULE) is None
            if gone and f"/{MODULE}.ko" in dependencies:
                self.host.call("depmod", release)

    def _reload_units(self, paths: Iterable[str]) -> None:
        if not self.check and pf_ring.DROP_IN in paths and pf_ring.has_systemd(self.host.root):
            self.host.call("systemctl", "daemon-reload")

    def _other_versions(self, known: dict[str, Any]) -> list[str]:
        """What no record can bring back: an older version of a package."""
        originals = {key.split(" ", 1)[1]: version for key, version in known.items() if key.startswith("package ")}
        installed = packages.installed(self.host.call(*packages.QUERY))
        return [
            f"{name} was {version} and is {installed.get(name, 'gone')}; install {name}={version} from where it came"
            for name, version in originals.items()
            if version is not None and installed.get(name) != version
        ]


def _kernel_facts(kernel: BootKernel) -> dict[str, Any]:
    return {"kernel": kernel.release, "kernel_known_by": kernel.known_by}


def _rings(count: int) -> str:
    return f"{count} ring is" if count == 1 else f"{count} rings are"


def _shown(path: str, text: str | None) -> str | None:
    """A file for the diff; of a licence and of the key its name alone."""
    if text is None:
        return None
    if path == pf_ring.KEY or re.search(r"/[0-9A-F]{12}$", path):
        return path
    return "".join(f"{path}: {line}\n" for line in text.splitlines())
