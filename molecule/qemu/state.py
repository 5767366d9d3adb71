# SPDX-License-Identifier: Apache-2.0
"""Print all that preparing a host for capture may change, as sorted lines "AREA KEY VALUE".

Runs in the machine (`machine state`), standard library only. Two runs on a machine that nobody touched print the same,
also with a reboot between them; what varies by itself is left out, each with its reason beside it. Lines of the area
"info" are for people: a comparison leaves them out.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

Line = tuple[str, str, str]

SYS = Path("/sys")
MANAGEMENT_NIC = "0000:01:00.0"  # as hardware.sh plugs it
CLASS_ETHERNET = "0x020000"
MENU = Path("/boot/grub/grub.cfg")

ANSWER_TRIES = 5
ANSWER_PAUSE_SECONDS = 5

# Files: whole trees, but for what systemd, dpkg and sshd write on their own.
TREES = ("/etc", "/boot", "/usr/local", "/opt", "/srv", "/root", "/var/log/capstan", "/dev/shm", "/sys/fs/bpf")  # noqa: S108
TREES_BY_NAME = (("/var/lib", "capstan"), ("/run", "capstan"), ("/run", "dpdk"), ("/usr/lib/modules-load.d", ""))
FILES_THAT_VARY = re.compile(
    r"/etc/(ld\.so\.cache|.*-|\.pwd\.lock)$"  # rebuilt by ldconfig; backups of useradd; its lock
    r"|/root/\.(ansible|ssh|cache|bash_history)\b"  # of whoever logs in
)

# Kernel settings: all of /proc/sys, but for what counts or is drawn by lot.
SYSCTLS_THAT_VARY = re.compile(
    r"fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota/.*|binfmt_misc/.*)$"
    r"|kernel/(random/.*|ns_last_pid|pty/nr|sched_domain/.*|cad_pid)$"
    r"|kernel/perf_event_max_sample_rate$"  # lowered when a sample took long
    r"|net/ipv[46]/.*(stable_secret|fib_.*cache)$"
    r"|net/netfilter/nf_conntrack_count$"
    r"|net/ipv4/tcp_fastopen_key$"
    # By the pages that were free at boot, a few more or less each time.
    r"|user/.*|kernel/(keys/.*|threads-max)$|fs/(epoll/.*|inotify/max_user_watches|fanotify/max_user_marks|file-max)$"
    r"|net/ipv4/(tcp_mem|udp_mem|tcp_max_orphans)$|vm/(user_reserve|admin_reserve|min_free)_kbytes$"
    r"|vm/(stat_refresh|compact_memory|drop_caches)$"
)

ETHTOOL = ("-g", "-l", "-k", "-c", "-x", "-n", "-a", "--show-priv-flags", "--show-fec", "--show-eee")
NET_SETTINGS = ("mtu", "flags", "tx_queue_len", "gro_flush_timeout", "napi_defer_hard_irqs", "threaded", "ifalias")
# Units that exist while somebody is logged in, or by what happened to be plugged in first.
UNITS_THAT_VARY = re.compile(
    r"user@|session-|user-runtime-dir@|run-|systemd-fsck|init\.scope|.*\.(device|slice|scope)$"
)


def text(path: Path) -> str | None:
    """Return what the file says, stripped; None where it is not there or the kernel does not tell."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def output(*command: str) -> list[str]:
    """Return the lines that a command prints, or one line that tells its exit code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else [f"exit {done.returncode}"]


def answer(*command: str) -> list[str]:
    """Return the lines of a command that has to answer; a manager that is busy after a boot is asked again."""
    for _ in range(ANSWER_TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()
        time.sleep(ANSWER_PAUSE_SECONDS)
    sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


def what(path: Path) -> str:
    """Kind, mode, owner and content of a file, in short."""
    status = path.lstat()
    owner = f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"link {path.readlink()}"
    if stat.S_ISREG(status.st_mode):
        return f"file {owner} {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return f"{'directory' if stat.S_ISDIR(status.st_mode) else 'special'} {owner}"


def files() -> Iterator[Line]:
    """Every file below TREES, and those of other folders that bear our names."""
    roots = [Path(tree) for tree in TREES]
    for folder, prefix in TREES_BY_NAME:
        roots += Path(folder).glob(f"{prefix}*")
    for line in answer("findmnt", "--noheadings", "--output=TARGET", "--types=hugetlbfs"):
        if line.startswith("/"):
            roots.append(Path(line.strip()))
    for root in roots:
        for path in (root, *root.rglob("*")):
            if os.path.lexists(path) and not FILES_THAT_VARY.search(str(path)):
                yield "file", str(path), what(path)


def sysctls() -> Iterator[Line]:
    """The kernel's settings, those of each network interface among them."""
    root = Path("/proc/sys")
    for path in root.rglob("*"):
        key = str(path.relative_to(root))
        if not SYSCTLS_THAT_VARY.search(key) and path.is_file():
            value = text(path)
            if value is not None:
                yield "sysctl", key, " ".join(value.split())


def devices() -> Iterator[Line]:
    """Driver, override and interface of each Ethernet device, and the interfaces' own settings."""
    for device in sorted((SYS / "bus/pci/devices").iterdir()):
        if text(device / "class") != CLASS_ETHERNET:
            continue
        driver = device / "driver"
        names = sorted(path.name for path in device.glob("**/net/*"))
        yield "pci", f"{device.name} driver", driver.resolve().name if driver.exists() else "none"
        yield "pci", f"{device.name} driver_override", text(device / "driver_override") or "none"
        yield "pci", f"{device.name} interfaces", " ".join(names) or "none"
        for name in names:
            if device.name != MANAGEMENT_NIC:
                yield from interface(name)


def interface(name: str) -> Iterator[Line]:
    """All settings of a capture interface."""
    folder = SYS / "class/net" / name
    for key in NET_SETTINGS:
        yield "net", f"{name} {key}", text(folder / key) or "none"
    for path in sorted(folder.glob("queues/*/[rx]ps_*")):
        yield "net", f"{name} {path.relative_to(folder)}", text(path) or "none"
    for line in output("ip", "-details", "address", "show", "dev", name):
        # Not the index, which counts interfaces since boot; not the id of an XDP program.
        words = re.sub(r"^\d+: |prog/xdp id \d+|parentdev \S+", "", line.strip())
        yield "net", f"{name} address", words
    for line in output("tc", "qdisc", "show", "dev", name):
        yield "net", f"{name} qdisc", line
    for option in ETHTOOL:
        heading = ""
        for line in output("ethtool", option, name):
            if re.fullmatch(r"(\S\S:){9,}\S\S", line.strip()):
                continue  # the RSS key is drawn by lot at each boot
            heading = line.rstrip(":") if line.endswith(":") else heading
            yield "ethtool", f"{name} {option} {heading}", " ".join(line.split())


def interrupts() -> Iterator[Line]:
    """Which CPUs each interrupt of a capture NIC may use, by its name: numbers change."""
    yield "irq", "default_smp_affinity", text(Path("/proc/irq/default_smp_affinity")) or "none"
    balanced = output("systemctl", "is-active", "irqbalance") == ["active"]
    owners = {path.name: path.parents[1] for path in SYS.glob("bus/pci/devices/*/msi_irqs/*")}
    for line in (text(Path("/proc/interrupts")) or "").splitlines()[1:]:
        number, name = line.split(":", 1)[0].strip(), line.split()[-1]
        device = owners.get(number)
        if device and device.name != MANAGEMENT_NIC and text(device / "class") == CLASS_ETHERNET:
            allowed = text(Path(f"/proc/irq/{number}/smp_affinity_list")) or ""
            local = text(device / "local_cpulist") or ""
            # irqbalance moves them about among the CPUs of their node, another way each boot.
            if balanced and cpus(allowed) <= cpus(local):
                allowed = f"irqbalance's choice among {local}"
            key = re.sub(r"virtio\d+", "virtio", name)  # counts virtio devices since boot
            yield "irq", f"{device.name} {key}", allowed


def cpus(numbers: str) -> set[int]:
    """Return the CPUs of a list such as 0-3,8."""
    ranges = [part.split("-") for part in numbers.split(",") if part]
    return {cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)}


def memory_and_cpus() -> Iterator[Line]:
    """Hugepages of all sizes and nodes; what runs on which CPU."""
    for pattern in (
        "kernel/mm/hugepages/*/nr_*hugepages",
        "devices/system/node/node*/hugepages/*/nr_hugepages",
        "kernel/mm/transparent_hugepage/*",
        "devices/system/cpu/isolated",
        "devices/system/cpu/nohz_full",
        "devices/system/cpu/online",
        "devices/virtual/workqueue/**/cpumask",
        "module/{vfio,vfio_iommu_type1,vfio_pci,processor,intel_idle}/parameters/*",
    ):
        for path in sorted(SYS.glob(pattern)):
            if path.is_file():
                yield "sys", str(path.relative_to(SYS)), text(path) or "none"
    yield "cmdline", "running", text(Path("/proc/cmdline")) or "none"
    for kernel, arguments in re.findall(r"^\s*linux\s+\S*/vmlinuz-(\S+) (.*)$", text(MENU) or "", re.MULTILINE):
        yield "cmdline", f"menu {kernel}", arguments


def system() -> Iterator[Line]:
    """Mounts, units, packages, services and driver overrides."""
    for line in answer("findmnt", "--raw", "--noheadings", "--output=TARGET,SOURCE,FSTYPE,OPTIONS"):
        # A login's own folder; a file system that is mounted when somebody looks into it.
        if not re.match(r"/run/user/|/proc/sys/fs/binfmt_misc|/run/credentials/", line):
            # Memory file systems get a share of the pages that were free at boot.
            yield "mount", *re.sub(r",(size=\d+k|nr_inodes=\d+)", "", line).split(" ", 1)
    for line in answer("systemctl", "list-unit-files", "--no-legend", "--plain"):
        name, state = line.split()[:2]
        if not UNITS_THAT_VARY.match(name):
            yield "unit", name, state
    for line in answer("systemctl", "list-units", "--type=service", "--state=running,failed", "--no-legend", "--plain"):
        name, _, state, detail = line.split()[:4]
        if not UNITS_THAT_VARY.match(name):
            yield "service", name, f"{state} {detail}"
    for line in output("dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Abbrev} ${Version}\n"):
        yield "package", *line.split(" ", 1)
    for line in output("driverctl", "list-overrides"):
        yield "driverctl", "override", line
    for line in output(
        "systemctl", "show", "irqbalance", "--property=Environment,EnvironmentFiles,ActiveState,DropInPaths"
    ):
        yield "irqbalance", *line.split("=", 1)


def info() -> Iterator[Line]:
    """For people: a module stays loaded after its device has gone."""
    for line in (text(Path("/proc/modules")) or "").splitlines():
        yield "info", "module", line.split()[0]


def main() -> None:
    """Print the sorted lines."""
    lines: set[str] = set()
    for part in (files, sysctls, devices, interrupts, memory_and_cpus, system, info):
        lines.update(" ".join(line).rstrip() for line in part())
    sys.stdout.write("\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    main()
