"""A host with hugepages as a tree of files, and a kernel behind it that grants what it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30

# Mounts what the unit says, as systemd would.
SYSTEMCTL = """#!/bin/sh
root=${0%/usr/bin/systemctl}
echo "$@" >>"$root/systemctl.log"
[ ! -e "$root/systemctl-fails" ] || [ "$1" != start ] || { echo "Job for $2 failed." >&2; exit 1; }
[ "$1" = start ] || exit 0
unit="$root/etc/systemd/system/$2"
where=$(sed -n 's/^Where=//p' "$unit")
size=$(sed -n 's/^Options=pagesize=\\([^,]*\\).*/\\1/p' "$unit" | sed 's/^1G$/1024M/')
mkdir -p "$root$where"
echo "hugetlbfs $where hugetlbfs rw,relatime,pagesize=$size 0 0" >>"$root/proc/self/mounts"
"""
MOUNT = """#!/bin/sh
root=${0%/usr/bin/mount}
echo "hugetlbfs $6 hugetlbfs rw,relatime,${4%%,*} 0 0" >>"$root/proc/self/mounts"
"""
UMOUNT = """#!/bin/sh
root=${0%/usr/bin/umount}
[ ! -e "$root/busy" ] || { echo "umount: $1: target is busy." >&2; exit 32; }
sed -i "\\\\#^[^ ]* $1 hugetlbfs#d" "$root/proc/self/mounts"
"""


class HugepageHost:
    """The tree and its kernel. `room` is how many pages of 2 MiB a node can have in all; None: any number."""

    def __init__(self, root: Path, nodes: int = 2, *, systemd: bool = True) -> None:
        self.root = root
        self.room: dict[int, int | None] = dict.fromkeys(range(nodes))
        self.compacted = 0  # pages that each compaction frees
        self.cached = 0  # pages that dropping the caches frees
        self.written: list[tuple[str, str]] = []
        self.fail_at: int | None = None
        total = 64 * GIB >> 10
        for node in range(nodes):
            self.write(
                f"sys/devices/system/node/node{node}/meminfo",
                f"Node {node} MemTotal: {total} kB\nNode {node} MemFree: {total // 2} kB\n"
                f"Node {node} Inactive(file): 1024 kB\n",
            )
            for size in (2048, 1 << 20):
                for name in ("nr", "free", "surplus"):
                    self.write(self.path(node, name, size), "0\n")
        for size in (2048, 1 << 20):
            for name in ("nr", "resv", "free", "surplus"):
                self.write(f"sys/kernel/mm/hugepages/hugepages-{size}kB/{name}_hugepages", "0\n")
        self.write(
            "proc/meminfo",
            f"MemTotal: {max(nodes, 1) * total} kB\nMemAvailable: {max(nodes, 1) * total // 2} kB\n"
            "Hugepagesize:       2048 kB\n",
        )
        self.write("proc/cmdline", "quiet\n")
        self.write("proc/sys/vm/compact_memory", "")
        self.write("proc/sys/vm/drop_caches", "")
        self.write("proc/self/mounts", "devtmpfs /dev devtmpfs rw 0 0\n")
        self.write("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n")
        self.write("etc/systemd/system/other.service", "")
        self.write("dev/null", "")
        self.write("var/lib/other", "")
        for name, text in (("systemctl", SYSTEMCTL), ("mount", MOUNT), ("umount", UMOUNT)):
            self.write(f"usr/bin/{name}", text, 0o755)
        if systemd:
            (root / "run/systemd/system").mkdir(parents=True)

    @staticmethod
    def path(node: int, name: str, size: int = 2048) -> str:
        """A node's counter."""
        return f"sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB/{name}_hugepages"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, whose folders are made."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def count(self, node: int, name: str = "nr", size: int = 2048) -> int:
        """A counter of a node."""
        return int((self.root / self.path(node, name, size)).read_text())

    def have(self, node: int, count: int, used: int = 0, size: int = 2048) -> None:
        """So many pages are there, and so many of them are in use."""
        self.write(self.path(node, "nr", size), f"{count}\n")
        self.write(self.path(node, "free", size), f"{count - used}\n")

    def put(self, path: Path, text: str) -> None:
        """The kernel's side of a write."""
        node = str(path.relative_to(self.root))
        self.written.append((node, text))
        if self.fail_at is not None and len(self.written) - 1 == self.fail_at:
            raise OSError(5, "Input/output error")
        if node.endswith("compact_memory"):
            self.room = {number: None if room is None else room + self.compacted for number, room in self.room.items()}
        elif node.endswith("drop_caches"):
            self.room = {number: None if room is None else room + self.cached for number, room in self.room.items()}
        elif node.endswith("nr_hugepages"):
            number = int(path.parts[-4].removeprefix("node")) if "/node" in node else 0
            there = int(path.read_text())
            free_path = path.with_name("free_hugepages")
            used = there - int(free_path.read_text())
            room = self.room.get(number)
            granted = int(text) if room is None else min(int(text), max(room, there))
            if granted < used:
                raise AssertionError(f"{used - granted} pages in use were taken away on node {number}")
            path.write_text(f"{granted}\n")
            free_path.write_text(f"{granted - used}\n")
        else:
            raise OSError(2, "No such file or directory")

    def snapshot(self) -> Mapping[str, tuple[int, bytes]]:
        """Every file with mode and content, every link and folder, but for the fake's own notes."""
        return {
            str(path.relative_to(self.root)): (
                path.lstat().st_mode,
                bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.root.rglob("*"))
            if path.name != "systemctl.log"
        }
