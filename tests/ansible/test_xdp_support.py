"""What kernel and drivers have for AF_XDP is told rightly, and refused only where it was asked for by name."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import link, netns, xdp, xdp_drivers
from ansible_collections.capstan.appliance.plugins.module_utils.host.bpffs import Bpffs
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

ROOT = Path(__file__).resolve().parents[2]
TOLD_ALL, TOLD_NATIVE, TOLD_NO_REDIRECT, TOLD_NOTHING = 0x7F, 0x3, 0x29, 0x0


@pytest.mark.parametrize(
    ("driver", "kernel", "native", "zerocopy"),
    [
        ("igb", (6, 1), True, False),
        ("igb", (5, 9), False, False),
        ("e1000e", (6, 1), False, False),
        ("vmxnet3", (6, 1), False, False),
        ("ixgbe", (6, 1), True, True),
        ("ice", (5, 10), True, True),
        ("mlx5_core", (5, 2), True, False),
        ("virtio_net", (6, 1), True, False),
        ("virtio-pci", (6, 12), True, True),
        ("vmxnet3", (6, 6), True, False),
        ("igb", (6, 14), True, True),
        ("no_such_driver", (6, 1), False, False),
        # With native XDP but without XDP_REDIRECT, by which a socket gets its packets.
        ("ixgbevf", (6, 1), False, False),
        ("nicvf", (6, 1), False, False),
        ("ena", (5, 10), False, False),
        ("ena", (6, 1), True, False),
        ("hv_netvsc", (5, 15), False, False),
        ("hv_netvsc", (6, 1), True, False),
        ("mana", (5, 19), False, False),
        ("mana", (6, 1), True, False),
        ("mlx4_core", (5, 15), False, False),
        ("mlx4_en", (6, 1), True, False),
        ("qede", (5, 8), False, False),
        ("st_gmac", (6, 1), True, True),
        # That has it for zero-copy sockets alone.
        ("nfp", (5, 17), False, False),
        ("nfp", (6, 1), False, True),
    ],
)
def test_older_kernels_are_judged_by_the_table(
    driver: str, kernel: tuple[int, int], native: bool, zerocopy: bool
) -> None:
    found = xdp_drivers.support(driver, None, kernel)
    assert (found.native, found.zerocopy, found.told) == (native, zerocopy, False)


def test_newer_kernels_are_believed_whatever_the_table_says() -> None:
    assert xdp_drivers.support("ixgbe", TOLD_NOTHING, (6, 12)).native is False
    assert xdp_drivers.support("igb", TOLD_NATIVE, (6, 12)).zerocopy is False
    assert xdp_drivers.support("no_such_driver", TOLD_ALL, (6, 12)).zerocopy is True


@pytest.mark.parametrize(
    ("driver", "kernel", "buffers"), [("veth", (5, 17), False), ("veth", (6, 1), True), ("igb", (6, 12), False)]
)
def test_older_kernels_are_judged_by_the_table_for_large_frames_too(
    driver: str, kernel: tuple[int, int], buffers: bool
) -> None:
    assert xdp_drivers.support(driver, None, kernel).buffers == buffers


def test_a_driver_whose_programs_cannot_redirect_has_nothing_for_a_socket() -> None:
    found = xdp_drivers.support("fbnic", TOLD_NO_REDIRECT, (6, 18))
    assert (found.native, found.zerocopy) == (False, False)


@pytest.mark.parametrize("features", [0x9, 0xB], ids=["untold", "told"])
def test_a_driver_that_redirects_for_zero_copy_alone_is_not_copied_from(features: int) -> None:
    found = xdp_drivers.support("nfp", features, (6, 12))
    assert (found.native, found.zerocopy) == (False, True)
    assert "has native XDP for zero-copy alone" in xdp.report("ens1", found, 1500, None, 4)[0]
    (refused,) = xdp.refusals("ens1", "capture_interfaces[0]", found, "copy")
    assert refused.endswith("has native XDP for zero-copy alone; write zerocopy or auto")
    assert xdp.refusals("ens1", "capture_interfaces[0]", found, "zerocopy") == []


def test_features_that_a_driver_takes_back_while_too_many_queues_receive_are_not_its_last_word() -> None:
    assert xdp_drivers.support("ena", TOLD_NOTHING, (6, 12)).native
    assert xdp_drivers.support("ena", TOLD_NATIVE, (6, 12)).told


def test_no_driver_without_redirect_is_in_the_table_of_those_with_it() -> None:
    assert not set(xdp_drivers.NO_REDIRECT) & set(xdp_drivers.NATIVE_SINCE)


def test_the_engine_keeps_off_the_same_drivers() -> None:
    source = (ROOT / "native" / "drivers" / "xdp" / "redirect.c").read_text()
    told = dict(re.findall(r'\{ "(\w+)", (true|false) \}', source))
    assert sorted(told) == sorted(xdp_drivers.NO_REDIRECT)
    assert {driver for driver, zerocopy in told.items() if zerocopy == "true"} == {"nfp"}


@pytest.mark.parametrize(
    ("mode", "features", "refused"),
    [
        (
            "zerocopy",
            TOLD_NATIVE,
            "mode is zerocopy, which the driver igb of ens1 does not have on this kernel; write copy",
        ),
        ("zerocopy", TOLD_NOTHING, "does not have on this kernel; write skb or auto"),
        ("copy", TOLD_NOTHING, "has no native XDP for it on this kernel; write skb or auto"),
        ("copy", TOLD_NATIVE, None),
        ("zerocopy", TOLD_ALL, None),
        ("auto", TOLD_NOTHING, None),
        ("skb", TOLD_NOTHING, None),
    ],
)
def test_only_a_mode_that_was_asked_for_by_name_is_refused(mode: str, features: int, refused: str | None) -> None:
    told = xdp.refusals("ens1", "capture_interfaces[0]", xdp_drivers.support("igb", features, (6, 12)), mode)
    assert told == [] if refused is None else refused in told[0]
    assert all(sentence.startswith("capture_interfaces[0]: ") for sentence in told)


def test_frames_and_queues_that_do_not_suit_are_told() -> None:
    igb = xdp_drivers.support("igb", TOLD_NATIVE, (6, 12))
    assert len(xdp.report("ens1", igb, 1500, None, 4)) == 1
    assert "write capture_nic.mtu: 3050 or less" in xdp.report("ens1", igb, 9000, None, 4)[1]
    assert len(xdp.report("ens1", xdp_drivers.support("mlx5_core", TOLD_ALL, (6, 12)), 9000, None, 4)) == 1
    virtio = xdp_drivers.support("virtio_net", TOLD_NATIVE, (6, 12))
    assert "and 1 are left" in xdp.report("ens1", virtio, 1500, 1, 4)[1]
    assert len(xdp.report("ens1", virtio, 1500, 4, 4)) == 1


def test_a_kernel_without_types_is_told() -> None:
    host = xdp.Host("6.1.0-40-amd64", btf=False, bpffs=True, sockets=True)
    assert "tells no types (BTF)" in xdp.host_notes(host)[0]
    assert xdp.host_notes(xdp.Host("6.1.0-40-amd64", btf=True, bpffs=True, sockets=True)) == []


@pytest.fixture
def veth(needs_root: None) -> Iterator[str]:
    name = f"capxs{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "add", "a0", "type", "veth", "peer", "name", "a1"], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_this_kernel_tells_of_a_veth_port_if_it_tells_at_all(veth: str) -> None:
    found = netns.inside(
        veth, lambda _: (xdp_drivers.features_of(link.links()["a0"].index), xdp_drivers.features_of(9999))
    )
    tells = xdp.look().version >= xdp_drivers.TELLS_SINCE
    assert (found[0] is not None) == tells
    assert found[1] is None
    assert xdp_drivers.support("veth", found[0], xdp.look().version).native


# The mount of bpffs

MOUNTED = "bpf /sys/fs/bpf bpf rw 0 0\n"
PROGRAM = """#!/bin/sh
root=${0%/usr/bin/*}
[ ! -e "$root/refuses" ] || { echo "permission denied" >&2; exit 32; }
case $0 in
*/umount) sed -i "\\# $1 bpf #d" "$root/proc/self/mounts" ;;
*) echo "bpf $6 bpf rw 0 0" >>"$root/proc/self/mounts" ;;
esac
"""


class BpffsHost:
    """A tree in which mount and umount keep the kernel's list."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts = root / "proc/self/mounts"
        for folder in ("proc/self", "proc/sys/kernel/random", "usr/bin", "var/lib"):
            (root / folder).mkdir(parents=True)
        for name in ("mount", "umount"):
            (root / "usr/bin" / name).write_text(PROGRAM)
            (root / "usr/bin" / name).chmod(0o755)
        self.boot("one")

    def boot(self, name: str, mounts: str = "") -> None:
        """Boot, after which somebody mounts that."""
        (self.root / "proc/sys/kernel/random/boot_id").write_text(f"{name}\n")
        self.mounts.write_text(f"proc /proc proc rw 0 0\n{mounts}")

    @property
    def mounted(self) -> bool:
        """Whether bpffs is."""
        return MOUNTED in self.mounts.read_text()


@pytest.fixture
def bpffs_host(tmp_path: Path) -> BpffsHost:
    return BpffsHost(tmp_path)


def test_what_was_mounted_is_unmounted(bpffs_host: BpffsHost) -> None:
    Bpffs(bpffs_host.root).mount()
    assert bpffs_host.mounted
    assert Bpffs(bpffs_host.root).ours
    Bpffs(bpffs_host.root).give_back()
    assert not bpffs_host.mounted
    assert not (bpffs_host.root / "var/lib/capstan-host").exists()


def test_what_another_mounted_after_a_boot_stays(bpffs_host: BpffsHost) -> None:
    Bpffs(bpffs_host.root).mount()
    bpffs_host.boot("two", MOUNTED)
    assert (Bpffs(bpffs_host.root).remembered, Bpffs(bpffs_host.root).ours) == (True, False)
    Bpffs(bpffs_host.root).give_back()
    assert bpffs_host.mounted
    assert not Bpffs(bpffs_host.root).remembered


def test_what_was_mounted_again_after_a_boot_is_unmounted(bpffs_host: BpffsHost) -> None:
    Bpffs(bpffs_host.root).mount()
    bpffs_host.boot("two")
    Bpffs(bpffs_host.root).mount()
    Bpffs(bpffs_host.root).give_back()
    assert not bpffs_host.mounted


def test_a_mount_that_fails_leaves_no_record_by_which_anothers_would_be_ours(bpffs_host: BpffsHost) -> None:
    (bpffs_host.root / "refuses").touch()
    with pytest.raises(HostError, match="permission denied"):
        Bpffs(bpffs_host.root).mount()
    bpffs_host.mounts.write_text(MOUNTED)
    assert not Bpffs(bpffs_host.root).ours
