"""A host in a folder, with dpkg, dkms, modprobe and systemctl that act on it: PF_RING's steps without a kernel."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.kernel_module import Host

KERNEL = "6.1.0-40-amd64"
NEWER = "6.1.0-41-amd64"
INFO = """\
PF_RING Version          : 8.9.0 (dev:0a1b2c)
Total rings              : {rings}

Standard (non ZC) Options
Ring slots               : {slots}
Slot version             : 18
Capture TX               : {tx}
IP Defragment            : No
"""


@dataclass
class FakeHost:
    """What the commands do to the tree, and which were called."""

    root: Path
    running: str = KERNEL
    architecture: str = "amd64"
    packages: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Commands that fail, by their beginning, and what they say."""
    built_for: str | None = None
    """Kernel that modules tell they are built for, where not their own."""
    signer: str = ""

    @property
    def host(self) -> Host:
        """As the steps see it."""
        return Host(self.root, self.run, self.running)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Act as the program would."""
        line = " ".join(command)
        self.calls.append(line)
        for beginning, saying in self.broken.items():
            if line.startswith(beginning):
                return 1, "", saying
        handler = getattr(self, f"_{command[0].replace('-', '_')}")
        return handler(command[1:])

    def write(self, path: str, text: str) -> None:
        """Put a file into the tree."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def remove(self, path: str) -> None:
        """Take a file out of the tree, with folders that are empty then."""
        file = self.root / path.lstrip("/")
        file.unlink(missing_ok=True)
        for folder in file.parents:
            if folder in {self.root, *self.root.parents} or any(folder.iterdir()):
                break
            folder.rmdir()

    def install(self, package: Path) -> None:
        """Unpack a package as dpkg does."""
        subprocess.run(["dpkg-deb", "--extract", package, self.root], check=True)
        name, version, _ = package.name.split("_")
        self.packages[name] = version

    def purge(self, package: Path) -> None:
        """Remove a package's files; dkms removes what it built of it."""
        listing = subprocess.run(["dpkg-deb", "--contents", package], check=True, capture_output=True, text=True)
        for name in [line.split()[-1] for line in listing.stdout.splitlines()]:
            if not name.endswith("/"):
                self.remove(name)
        if "dkms" in package.name:
            for file in self.root.glob("lib/modules/*/updates/dkms/pf_ring.ko"):
                self.remove(str(file.relative_to(self.root)))
        del self.packages[package.name.split("_")[0]]

    def load(self, slots: int, *, tx: bool = False, rings: int = 0) -> None:
        """Have the module loaded."""
        text = INFO.format(rings=rings, slots=slots, tx="Yes [RX+TX]" if tx else "No [RX only]")
        self.write("/proc/net/pf_ring/info", text)

    def snapshot(self) -> dict[str, str]:
        """Every file and folder of the tree."""
        return {
            str(path.relative_to(self.root)): path.read_text(errors="replace") if path.is_file() else ""
            for path in sorted(self.root.rglob("*"))
        }

    def _dpkg(self, _: list[str]) -> tuple[int, str, str]:
        return 0, f"{self.architecture}\n", ""

    def _dpkg_query(self, _: list[str]) -> tuple[int, str, str]:
        return 0, "".join(f"ii \t{name}\t{version}\n" for name, version in self.packages.items()), ""

    def _systemctl(self, _: list[str]) -> tuple[int, str, str]:
        return 0, "", ""

    def _dkms(self, words: list[str]) -> tuple[int, str, str]:
        options = dict(zip(words[1::2], words[2::2], strict=True))
        if words[0] == "install":
            self.write(f"/lib/modules/{options['-k']}/updates/dkms/pf_ring.ko", options["-k"])
            self._depmod([options["-k"]])
            return 0, "", ""
        versions = [path.parent.name.split("-")[1] for path in self.root.glob("usr/src/pfring-*/dkms.conf")]
        kernels = [path.parts[-4] for path in sorted(self.root.glob("lib/modules/*/updates/dkms/pf_ring.ko"))]
        lines = [f"pfring/{version}, {kernel}, x86_64: installed" for version in versions for kernel in kernels]
        return 0, "\n".join(lines or [f"pfring/{version}: added" for version in versions]), ""

    def _depmod(self, words: list[str]) -> tuple[int, str, str]:
        top = self.root / "lib/modules" / words[0]
        files = sorted(path.relative_to(top) for path in top.rglob("*.ko"))
        (top / "modules.dep").write_text("".join(f"{path}:\n" for path in files))
        return 0, "", ""

    def _modinfo(self, words: list[str]) -> tuple[int, str, str]:
        kernel = next(part for part in Path(words[-1]).parts if part in {KERNEL, NEWER})
        known = {"vermagic": f"{self.built_for or kernel} SMP preempt mod_unload\n", "signer": self.signer}
        return 0, known.get(words[1], ""), ""

    def _modprobe(self, words: list[str]) -> tuple[int, str, str]:
        settings = self.root / "etc/modprobe.d/capstan-pf_ring.conf"
        given = words[1:] or shlex.split(settings.read_text().splitlines()[-1])[2:]
        options = {"min_num_slots": "4096", "enable_tx_capture": "1"} | dict(word.split("=") for word in given)
        self.load(int(options["min_num_slots"]), tx=options["enable_tx_capture"] == "1")
        return 0, "", ""

    def _rmmod(self, _: list[str]) -> tuple[int, str, str]:
        self.remove("/proc/net/pf_ring/info")
        return 0, "", ""


def plain_host(root: Path, kernel: str = KERNEL) -> FakeHost:
    """A Debian host under systemd with one kernel, its headers, gcc, make and dkms."""
    fake = FakeHost(root)
    add_kernel(fake, kernel)
    for program in ("/usr/bin/gcc", "/usr/bin/make", "/usr/sbin/dkms"):
        fake.write(program, "")
    (root / "run/systemd/system").mkdir(parents=True)
    (root / "etc").mkdir()
    return fake


def add_kernel(fake: FakeHost, release: str, *, headers: bool = True) -> None:
    """Install a kernel."""
    fake.write(f"/boot/vmlinuz-{release}", "")
    fake.write(f"/lib/modules/{release}/modules.dep", "kernel/net/core/pktgen.ko:\n")
    fake.write(f"/lib/modules/{release}/kernel/net/core/pktgen.ko", "")
    if headers:
        fake.write(f"/lib/modules/{release}/build/Makefile", "")
