"""Interrupts of capture queues go to their workers' CPUs, those of every family of NICs, and come back."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.capstan.appliance.plugins.module_utils.host import (
    host_pass,
    irq_affinity,
    irq_names,
    irqbalance,
    watch,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.irq_affinity import IrqAffinity
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError
from ansible_collections.capstan.appliance.plugins.modules import irq_affinity as module
from sysfs.tree import Tree, attach, build, detach, rename_interface

from conftest import CHECKOUT

WORKERS = [[2], [3]]
# Of each family a port, and on which CPU each of its interrupts belongs.
FAMILIES = {
    "ixgbe": ("0000:03:00.0", {f"ens3f0-TxRx-{queue}": 2 + queue % 2 for queue in range(4)}),
    "i40e": ("0000:3b:00.0", {f"i40e-ens1f0-TxRx-{queue}": 2 + queue % 2 for queue in range(4)}),
    "ice": ("0000:98:00.0", {f"ice-ens801f0-TxRx-{queue}": 2 + queue % 2 for queue in range(4)}),
    "igb": ("0000:05:00.0", {"enp5s0-TxRx-0": 2, "enp5s0-TxRx-1": 3}),
    "e1000e": ("0000:06:00.0", {"enp6s0-rx-0": 2, "enp6s0-tx-0": 2}),
    "mlx5": ("0000:81:00.0", {f"mlx5_comp{queue}@pci:0000:81:00.0": 2 + queue % 2 for queue in range(4)}),
    "bnxt_en": ("0000:41:00.0", {f"enp65s0f0np0-TxRx-{queue}": 2 + queue % 2 for queue in range(4)}),
    "virtio": (
        "0000:04:00.0",
        {"virtio1-input.0": 2, "virtio1-output.0": 2, "virtio1-input.1": 3, "virtio1-output.1": 3},
    ),
    "vmxnet3": ("0000:0b:00.0", {"ens192-rxtx-0": 2, "ens192-rxtx-1": 3}),
    "ena": ("0000:00:05.0", {"ens5-Tx-Rx-0": 2, "ens5-Tx-Rx-1": 3}),
}


def port(pci: str, irq: list[list[int]] | None = None) -> dict[str, Any]:
    return {"interface": "cap", "pci": pci, "netns": None, "irq": irq or WORKERS, "workers": [2, 3], "queues": 2}


class Kernel:
    """Takes affinities as a kernel does: in full, and one CPU of them in effect."""

    def __init__(self, refuses: str = "", takes: str | None = None, waits: bool = False) -> None:
        self.refuses, self.takes, self.waits, self.writes = refuses, takes, waits, 0
        self.offline: int | None = None

    def put(self, path: Path, text: str) -> None:
        """In the place of record.put."""
        self.writes += 1
        if self.refuses and path.parent.name == self.refuses:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if path.name == "smp_affinity_list" and irq_names.cpus_of(text) == [self.offline]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        path.write_text(f"{text}\n", encoding="ascii")
        if path.name == "smp_affinity_list" and not self.waits:
            first = self.takes or str(irq_names.cpus_of(text)[0])
            path.with_name("effective_affinity_list").write_text(f"{first}\n", encoding="ascii")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(irq_affinity, "put", made.put)
    return made


def machine(root: Path, *parts: str) -> Tree:
    tree = build(root, *parts)
    (root / "proc/irq").mkdir(exist_ok=True)
    (root / "proc/irq/default_smp_affinity").write_text("f\n", encoding="ascii")
    return tree


def absent(root: Path, *, check: bool = False) -> dict[str, Any]:
    """The module's answer where everything is to be given back."""
    (root / "run").mkdir(exist_ok=True)
    parameters = {"root": str(root), "state": "absent", "ports": [], "housekeeping": []}
    return module.run(SimpleNamespace(params=parameters, check_mode=check))


def placed(tree: Tree) -> dict[str, str]:
    """Where each named interrupt is."""
    names = irq_names.actions((tree.root / "proc/interrupts").read_text())
    return {
        name: (tree.root / f"proc/irq/{number}/smp_affinity_list").read_text().strip()
        for number, used in names.items()
        for name in used
    }


def everything(root: Path) -> dict[str, bytes]:
    """Every file but what a kernel derives."""
    return {
        str(path): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "effective_affinity_list"
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_each_queue_interrupts_its_own_worker_and_nothing_else_moves(
    tmp_path: Path, family: str, kernel: Kernel
) -> None:
    pci, expected = FAMILIES[family]
    tree = machine(tmp_path, family)
    others = {name: "0-3" for name in placed(tree) if name not in expected}
    done = IrqAffinity(tmp_path).apply([port(pci)])
    assert placed(tree) == {**{name: str(cpu) for name, cpu in expected.items()}, **others}
    assert len(done.changes) == len(expected)
    assert done.notes == []


@pytest.mark.parametrize("family", FAMILIES)
def test_looking_changes_no_byte_and_a_second_run_nothing(tmp_path: Path, family: str, kernel: Kernel) -> None:
    machine(tmp_path, family)
    before = everything(tmp_path)
    looked = IrqAffinity(tmp_path).apply([port(FAMILIES[family][0])], [0, 1], check=True)
    assert everything(tmp_path) == before
    assert looked.changes == IrqAffinity(tmp_path).apply([port(FAMILIES[family][0])], [0, 1]).changes
    writes = kernel.writes
    assert IrqAffinity(tmp_path).apply([port(FAMILIES[family][0])], [0, 1]).changes == []
    assert kernel.writes == writes


@pytest.mark.parametrize("family", FAMILIES)
def test_taking_it_back_leaves_every_byte_as_it_was(tmp_path: Path, family: str, kernel: Kernel) -> None:
    tree = machine(tmp_path, family)
    for path in tree.root.glob("sys/devices/**/rps_cpus"):
        path.write_text("3\n", encoding="ascii")
    before = everything(tmp_path)
    IrqAffinity(tmp_path).apply([port(FAMILIES[family][0])], [0, 1])
    steered = [path.read_text() for path in tree.device_path(FAMILIES[family][0]).glob("**/rps_cpus")]
    assert set(steered) == {"0\n"}
    assert (tmp_path / "proc/irq/default_smp_affinity").read_text() == "3\n"
    IrqAffinity(tmp_path).apply([])
    assert everything(tmp_path) == before
    assert not (tmp_path / "var/lib/capstan-host").exists()


def test_packet_steering_comes_back_under_another_name(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "igb")
    rename_interface(tree, "enp5s0", "eth0")  # as a pass at boot may meet it
    for path in tree.device_path("0000:05:00.0").glob("**/rps_cpus"):
        path.write_text("3\n", encoding="ascii")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    rename_interface(tree, "eth0", "enp5s0")
    IrqAffinity(tmp_path).apply([])
    steered = [path.read_text() for path in tree.device_path("0000:05:00.0").glob("net/enp5s0/**/rps_cpus")]
    assert set(steered) == {"3\n"}


def test_the_interface_may_have_another_name_by_now(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "igb")
    rename_interface(tree, "enp5s0", "cap0")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert placed(tree)["enp5s0-TxRx-1"] == "3"


def test_originals_are_found_again_by_name_when_numbers_have_changed(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "igb")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    detach(tree, tree.devices["0000:05:00.0"])
    tree.irqs["0000:05:00.0"] += 100
    attach(tree, tree.devices["0000:05:00.0"], "igb")
    tree.root.joinpath("proc/irq/165/smp_affinity_list").write_text("2\n", encoding="ascii")
    done = IrqAffinity(tmp_path).apply([])
    assert [(change.before, change.after) for change in done.changes] == [("2", "0-3")]
    assert placed(tree)["enp5s0-TxRx-0"] == "0-3"


def test_a_nic_that_a_rollback_takes_from_dpdk_starts_on_the_cpus_that_were_the_hosts(
    tmp_path: Path, kernel: Kernel
) -> None:
    """Its interrupts are new, so that no record has them: what they start with is what they keep."""
    tree = machine(tmp_path, "igb", "ixgbe")
    default = tmp_path / "proc/irq/default_smp_affinity"
    detach(tree, tree.devices["0000:03:00.0"])
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")], [0, 1])
    assert default.read_text() == "3\n"
    play = yaml.safe_load((CHECKOUT / "playbooks/rollback.yml").read_text(encoding="utf-8"))[0]
    roles = [task.get("ansible.builtin.include_role", {}).get("name", "").split(".")[-1] for task in play["tasks"]]
    for role in [role for role in roles if role in {"dpdk", "irq_affinity"}]:
        if role == "irq_affinity":
            IrqAffinity(tmp_path).apply([])
            continue
        attach(tree, tree.devices["0000:03:00.0"], "ixgbe")
        mask = int(default.read_text(), 16)
        for irq in (tree.device_path("0000:03:00.0") / "msi_irqs").iterdir():
            node = tmp_path / f"proc/irq/{irq.name}/smp_affinity_list"
            node.write_text(irq_names.list_of(cpu for cpu in range(4) if mask >> cpu & 1) + "\n", encoding="ascii")
    assert default.read_text() == "f\n"
    assert {cpus for name, cpus in placed(tree).items() if name.startswith("ens3f0")} == {"0-3"}


def test_a_port_that_is_down_has_none_and_loses_no_original(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "igb")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    record = (tmp_path / "var/lib/capstan-host/irq_affinity.json").read_text()
    (tmp_path / "proc/interrupts").write_text("           CPU0       CPU1       CPU2       CPU3\n")
    done = IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert done.notes == [
        "cap: it has no interrupts as long as it is down; they go to their CPUs when it comes up",
    ]
    assert (tmp_path / "var/lib/capstan-host/irq_affinity.json").read_text() == record
    assert placed(tree) == {}


@pytest.mark.parametrize(
    ("local", "begun", "before"), [("0-3", "0-1", "0-3"), ("2-3", "0-1", "2-3"), ("0-3", "1", "1")]
)
def test_a_port_that_was_down_is_given_back_to_where_it_would_have_started(
    tmp_path: Path, kernel: Kernel, local: str, begun: str, before: str
) -> None:
    """It came up when new interrupts started on the housekeeping CPUs; what somebody else set is left as it was set."""
    tree = machine(tmp_path, "igb")
    online = tmp_path / "sys/devices/system/cpu/online"
    online.parent.mkdir(parents=True, exist_ok=True)
    online.write_text("0-3\n", encoding="ascii")
    (tree.device_path("0000:05:00.0") / "local_cpulist").write_text(f"{local}\n", encoding="ascii")
    interrupts = (tmp_path / "proc/interrupts").read_text()
    (tmp_path / "proc/interrupts").write_text("           CPU0       CPU1       CPU2       CPU3\n")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")], [0, 1])
    (tmp_path / "proc/interrupts").write_text(interrupts)
    for irq in (tree.device_path("0000:05:00.0") / "msi_irqs").iterdir():
        (tmp_path / f"proc/irq/{irq.name}/smp_affinity_list").write_text(f"{begun}\n", encoding="ascii")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")], [0, 1])
    assert placed(tree)["enp5s0-TxRx-1"] == "3"
    IrqAffinity(tmp_path).apply([])
    assert {cpus for name, cpus in placed(tree).items() if "TxRx" in name} == {before}


def test_an_interrupt_that_the_kernel_keeps_for_itself_is_told_and_not_tried_again(
    tmp_path: Path, kernel: Kernel
) -> None:
    tree = machine(tmp_path, "igb")
    kernel.refuses = str(tree.irqs["0000:05:00.0"] + 1)
    first = IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert first.notes == ["interrupt enp5s0-TxRx-0: the kernel assigns it by itself, to CPU 0"]
    assert [change.label for change in first.changes] == ["interrupt enp5s0-TxRx-1"]
    writes = kernel.writes
    second = IrqAffinity(tmp_path, first.refused).apply([port("0000:05:00.0")])
    assert (second.changes, second.notes, kernel.writes) == ([], first.notes, writes)


def test_a_kernel_that_takes_another_cpu_is_an_error(tmp_path: Path, kernel: Kernel) -> None:
    machine(tmp_path, "igb")
    kernel.takes = "1"
    with pytest.raises(HostError, match="interrupt enp5s0-TxRx-0 is on CPU 1 after it was given to 2; see whether"):
        IrqAffinity(tmp_path).apply([port("0000:05:00.0")])


def test_the_service_goes_on_to_the_others_where_one_port_can_not_be_served(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "igb", "ixgbe")
    kernel.offline = 7
    ports = [port("0000:05:00.0", [[7]]), port("0000:03:00.0")]
    wrong = (
        "interrupt enp5s0-TxRx-0 can't be given to CPU 7 (Invalid argument): "
        "write CPUs that are online in capture_cores"
    )
    with pytest.raises(HostError, match=re.escape(wrong)):
        IrqAffinity(tmp_path).apply(ports, [0, 1])
    assert placed(tree)["ens3f0-TxRx-1"] == "0-3"
    host_pass.keep("irq_affinity", host_pass.document("irq_affinity", ports, {}, housekeeping=[0, 1]), tmp_path)
    (tmp_path / "run").mkdir(exist_ok=True)
    said: list[str] = []
    watch.Watch(tmp_path, said.append).apply()
    assert said.count(wrong) == 1
    assert [placed(tree)[f"ens3f0-TxRx-{queue}"] for queue in range(4)] == ["2", "3", "2", "3"]
    assert (tmp_path / "proc/irq/default_smp_affinity").read_text() == "3\n"


def test_an_original_that_can_not_be_given_back_keeps_none_of_the_others(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = machine(tmp_path, "igb")
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")], [0, 1])
    real = IrqAffinity._restore  # noqa: SLF001 - where the kernel is asked

    def restore(key: str, *arguments: Any, **keywords: Any) -> None:
        if key.endswith("TxRx-0"):
            raise HostError("not now")
        real(key, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(IrqAffinity, "_restore", staticmethod(restore))
        with pytest.raises(HostError, match="not now"):
            absent(tmp_path, check=True)
        assert placed(tree)["enp5s0-TxRx-1"] == "3"
        for _ in range(2):  # what is left is said each time
            with pytest.raises(HostError, match="not now"):
                absent(tmp_path)
    assert (placed(tree)["enp5s0-TxRx-0"], placed(tree)["enp5s0-TxRx-1"]) == ("2", "0-3")
    assert [change.label for change in IrqAffinity(tmp_path).apply([]).changes] == ["0000:05:00.0 enp5s0-TxRx-0"]


def test_a_quiet_interrupt_that_moves_when_it_comes_next_is_no_error(tmp_path: Path, kernel: Kernel) -> None:
    """As on x86 without interrupt remapping: virtual machines, and servers whose VT-d is off."""
    tree = machine(tmp_path, "igb")
    kernel.waits = True
    done = IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert placed(tree)["enp5s0-TxRx-1"] == "3"
    assert done.notes == [irq_affinity.WITH_THE_NEXT]
    assert IrqAffinity(tmp_path).apply([port("0000:05:00.0")]).changes == []


def test_a_pin_shared_with_others_stays_where_it_is(tmp_path: Path, kernel: Kernel) -> None:
    tree = machine(tmp_path, "nic 0000:00:03.0 8086:100e e1000\n  net eth1 52:54:00:00:00:01 up\n")
    text = "     CPU0  CPU1\n 11:  5  0  IO-APIC  11-fasteoi   uhci_hcd:usb1, eth1\n"
    (tmp_path / "proc/interrupts").write_text(text)
    done = IrqAffinity(tmp_path).apply([port("0000:00:03.0")])
    assert done.notes == ["cap: it shares interrupt 11 with others (uhci_hcd:usb1, eth1), which stays where it is"]
    assert tree.device_path("0000:00:03.0").exists()


def test_names_that_do_not_tell_their_queue_are_told(tmp_path: Path, kernel: Kernel) -> None:
    machine(
        tmp_path, "nic 0000:00:04.0 1ae0:0042 gve\n  net eth1 42:01:0a:00:00:01 up\n  irq gve-ntfy-blk[0-1] gve-mgmnt\n"
    )
    done = IrqAffinity(tmp_path).apply([port("0000:00:04.0")])
    assert done.changes == []
    assert "do not tell their queues; they stay where they are" in done.notes[0]


def test_an_interrupt_that_goes_while_it_is_looked_for_leaves_nothing_in_the_record(
    tmp_path: Path, kernel: Kernel
) -> None:
    """As where a port is taken down after /proc/interrupts was read: what is remembered first is what comes back."""
    tree = machine(tmp_path, "igb")
    before = everything(tmp_path)
    folder = tmp_path / f"proc/irq/{tree.irqs['0000:05:00.0'] + 2}"
    folder.rename(tmp_path / "away")
    done = IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert [change.label for change in done.changes] == ["interrupt enp5s0-TxRx-0"]
    (tmp_path / "away").rename(folder)
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert placed(tree)["enp5s0-TxRx-1"] == "3"
    IrqAffinity(tmp_path).apply([])
    assert everything(tmp_path) == before


def test_an_interrupt_that_goes_while_it_is_written_is_not_taken_for_one_of_the_kernels_own(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel answers with EIO where a node went after it was opened."""
    tree = machine(tmp_path, "igb")
    gone = str(tree.irqs["0000:05:00.0"] + 1)

    def put(path: Path, text: str) -> None:
        if path.parent.name == gone:
            shutil.rmtree(path.parent)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        kernel.put(path, text)

    monkeypatch.setattr(irq_affinity, "put", put)
    done = IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    assert (done.refused, [change.label for change in done.changes]) == ({}, ["interrupt enp5s0-TxRx-1"])


def test_what_goes_while_it_is_read_is_passed_over_and_what_can_not_be_read_is_named(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there a moment before is no matter: the kernel takes it away at any time."""
    tree = machine(tmp_path, "igb")
    before = placed(tree)
    IrqAffinity(tmp_path).apply([port("0000:05:00.0")])
    path = tmp_path / f"proc/irq/{tree.irqs['0000:05:00.0'] + 1}/smp_affinity_list"
    real_read, real_list = Path.read_text, Path.iterdir

    def read(self: Path, *arguments: Any, **keywords: Any) -> str:
        if self == path:
            if gone:
                self.unlink(missing_ok=True)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return real_read(self, *arguments, **keywords)

    def listed(self: Path) -> Iterator[Path]:
        if self.name == "msi_irqs":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return real_list(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read)
        gone = False
        with pytest.raises(HostError, match=r"^interrupt enp5s0-TxRx-0 can't be read \(Input/output error\); see what"):
            IrqAffinity(tmp_path).apply([port("0000:05:00.0", [[0]])])
        gone = True
        done = IrqAffinity(tmp_path).apply([port("0000:05:00.0", [[0]])])
    assert [change.label for change in done.changes] == ["interrupt enp5s0-TxRx-1"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", listed)
        assert IrqAffinity(tmp_path).apply([port("0000:05:00.0")]).changes == []
    path.write_text("2\n", encoding="ascii")
    IrqAffinity(tmp_path).apply([])
    assert placed(tree) == before


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("mlx4-3@0000:03:00.0", ("receive", 3)),
        ("enp1s0f0-txrx-1", ("receive", 1)),
        ("eth2-fp-7", ("receive", 7)),
        ("virtio0-input", ("receive", None)),
        ("eth0-Rx12", ("receive", 12)),
        ("enp1s0-tx-3", ("send", 3)),
        ("i40e-0000:3b:00.0:fdir-TxRx-0", None),
        ("mlx5_async0@pci:0000:03:00.0", None),
        ("virtio3-config", None),
        ("eth0-event-4", None),
        ("enp1s0", None),
        ("i40e-aux0-TxRx-3", ("receive", 3)),
        ("ice-ctrl0-TxRx-1", ("receive", 1)),
        ("ionic-misc0-L0-tx1", ("send", 1)),
        ("event0-rxtx-0", ("receive", 0)),
        ("event0-event-2", None),
        ("i40e-0000:3b:00.0:misc", None),
        ("hclge-misc-0000:7d:00.0", None),
    ],
)
def test_a_name_tells_what_it_serves(name: str, served: tuple[str, int | None] | None) -> None:
    assert irq_names.serves(name) == served


def test_queues_that_a_driver_counts_from_one_are_still_in_order() -> None:
    names = {7: ["eth0-txrx-1"], 8: ["eth0-txrx-2"]}
    assert irq_names.queues_of(names, [7, 8]) == {7: 0, 8: 1}


def test_old_and_new_forms_of_the_kernels_list_are_read() -> None:
    text = (
        "            CPU0       CPU1\n"
        "  0:         10          0   IO-APIC   2-edge      timer\n"
        " 24:          1          0  PCI-MSIX-0000:00:04.0   0-edge      virtio1-config\n"
        " 25:          1          0   PCI-MSI 524289-edge      ens3f0-TxRx-0\n"
        " 30:          0          3     GICv3  78 Level     eth0, eth0-aux\n"
        "NMI:          0          0   Non-maskable interrupts\n"
    )
    assert irq_names.actions(text) == {
        0: ["timer"],
        24: ["virtio1-config"],
        25: ["ens3f0-TxRx-0"],
        30: ["eth0", "eth0-aux"],
    }


def test_masks_are_as_long_as_the_kernels() -> None:
    assert irq_names.mask_of([0, 33], "ffffffff,ffffffff") == "00000002,00000001"
    assert irq_names.mask_of([0, 1], "f") == "3"
    assert irq_names.list_of([5, 0, 1, 2, 9]) == "0-2,5,9"


# irqbalance

UNIT = """\
[Service]
EnvironmentFile=-/etc/default/irqbalance
ExecStart=/usr/sbin/irqbalance --foreground $IRQBALANCE_ARGS
"""


def with_irqbalance(root: Path, defaults: str = "") -> None:
    for path, text in (
        ("usr/lib/systemd/system/irqbalance.service", UNIT),
        ("etc/default/irqbalance", defaults),
        ("sys/devices/system/cpu/isolated", "6\n"),
        ("sys/devices/system/cpu/nohz_full", "(null)\n"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_irqbalance_keeps_off_the_capture_and_what_its_owner_wrote_still_holds(tmp_path: Path) -> None:
    with_irqbalance(tmp_path, "#IRQBALANCE_BANNED_CPULIST=0\nIRQBALANCE_BANNED_CPULIST=8-9\n")
    before = everything(tmp_path)
    files, notes = irqbalance.files([port("0000:05:00.0")], tmp_path)
    irqbalance.put_in_place(files, tmp_path)
    assert notes == []
    assert irqbalance.now(tmp_path) == files
    text = (tmp_path / "etc/systemd/system/irqbalance.service.d/capstan.conf").read_text()
    assert (
        "ExecStart=\nExecStart=/usr/bin/env IRQBALANCE_BANNED_CPULIST=2-3,6,8-9 "
        "/usr/sbin/irqbalance --foreground $IRQBALANCE_ARGS --policyscript=/etc/capstan-host/irqbalance-policy\n"
        in text
    )
    irqbalance.put_in_place(irqbalance.files([], tmp_path)[0], tmp_path)
    assert everything(tmp_path) == before
    assert not (tmp_path / "etc/capstan-host").exists()
    assert not (tmp_path / "etc/systemd/system/irqbalance.service.d").exists()


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("/sys/bus/pci/devices/0000:05:00.0", "ban=true\n"),
        ("/sys/devices/pci0000:00/0000:00:01.5/0000:05:00.0/", "ban=true\n"),
        ("/sys/bus/pci/devices/0000:05:00.1", ""),
        ("/sys", ""),
    ],
)
def test_the_policy_script_bans_the_capture_ports_alone(tmp_path: Path, device: str, said: str) -> None:
    with_irqbalance(tmp_path)
    irqbalance.put_in_place(irqbalance.files([port("0000:05:00.0"), port("0000:06:00.0")], tmp_path)[0], tmp_path)
    done = subprocess.run(
        [tmp_path / "etc/capstan-host/irqbalance-policy", device, "42"], capture_output=True, text=True, check=True
    )
    assert done.stdout == said


def test_a_policy_script_of_the_owners_is_told(tmp_path: Path) -> None:
    with_irqbalance(tmp_path, 'IRQBALANCE_ARGS="--policyscript=/root/mine"\n')
    assert "policy script of its own" in irqbalance.files([port("0000:05:00.0")], tmp_path)[1][0]


def test_a_host_without_irqbalance_gets_no_files(tmp_path: Path) -> None:
    assert set(irqbalance.files([port("0000:05:00.0")], tmp_path)[0].values()) == {None}
