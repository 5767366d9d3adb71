"""The mount of bpffs: made where there is none, and given back in the boot in which it was made."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.program import output_of
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import BOOT_ID, HostError, Record, read_text

PATH = "/sys/fs/bpf"
RECORD = "xdp"
_SECONDS = 60


class Bpffs:
    """Bpffs on a host; `root` is put before all paths."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._record = Record(RECORD, root)

    @property
    def mounted(self) -> bool:
        """Whether it is mounted in its usual place."""
        lines = (read_text("/proc/self/mounts", self._root) or "").splitlines()
        return any(line.split()[1:3] == [PATH, "bpf"] for line in lines)

    @property
    def remembered(self) -> bool:
        """Whether an earlier run mounted it, in this boot or another."""
        return self._record.read() is not None

    @property
    def ours(self) -> bool:
        """Whether what is mounted was mounted by an earlier run: in this boot, because a mount ends with its boot."""
        boot = read_text(BOOT_ID, self._root)
        return self.mounted and boot is not None and (self._record.read() or {}).get("boot") == boot

    def mount(self) -> None:
        """Mount it.

        Raises:
            HostError: it can't be mounted.

        """
        self._record.forget()  # of another boot
        self._record.remember({"bpffs": PATH, "boot": read_text(BOOT_ID, self._root)})
        try:
            self._run("mount", "-t", "bpf", "-o", "mode=700,nosuid,nodev,noexec", "bpf", PATH)
        finally:
            if not self.mounted:
                self._record.forget()  # what is mounted there later is not ours
        if not self.mounted:
            raise HostError(f"{PATH} is not mounted although mount said so; see dmesg")

    def give_back(self) -> None:
        """Unmount it where an earlier run mounted it.

        Raises:
            HostError: it can't be unmounted.

        """
        if self.ours:
            self._run("umount", PATH)
        self._record.forget()

    def _run(self, program: str, *arguments: str) -> None:
        output_of(
            self._root,
            f"/usr/bin/{program}",
            arguments,
            seconds=_SECONDS,
            advice="mend what it names, then run the playbook again",
        )
