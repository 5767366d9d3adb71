"""What the supervisor looks at before it starts ports of DPDK and PF_RING."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capstan import preflight
from capstan.config import CaptureConfig
from capstan.engine_config import Plan, resolve
from capstan.links import Link, Network
from capstan.machine import Card, Hugepages, Machine, Nic
from machines import MIB, machine, nic

BOUND = replace(nic(most=4), driver="vfio-pci", interfaces=(), remembered=True, iommu_group=7)
PAGES = [Hugepages(2 * MIB, 512, 512)]


def resolved(host: Machine) -> Plan:
    raw = {"host": "probe", "method": "dpdk", "interfaces": [{"pci": BOUND.pci}]}
    return resolve(CaptureConfig.model_validate(raw), Network(()), host)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    (tmp_path / "vfio").mkdir()
    (tmp_path / "vfio/vfio").touch()
    return tmp_path


def checks(host: Machine, devices: Path) -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.sentence) for check in preflight._dpdk(resolved(host), host, devices)}


def test_a_prepared_host_is_good(devices: Path) -> None:
    found = checks(machine(8, nics=[BOUND], pages=PAGES), devices)
    assert found == {
        "driver": ("ok", "0000:19:00.0 is on vfio-pci, as dpdk needs it."),
        "hugepages": ("ok", "1 GiB of hugepages are free; dpdk needs 40 MiB."),
    }


@pytest.mark.parametrize(
    ("card", "pages", "name", "sentence"),
    [
        (
            replace(BOUND, driver="uio_pci_generic"),
            PAGES,
            "driver",
            "is on uio_pci_generic, and dpdk needs it on vfio-pci",
        ),
        (replace(BOUND, driver=None), PAGES, "driver", "0000:19:00.0 is on no driver, and dpdk needs it on vfio-pci"),
        (
            BOUND,
            [Hugepages(2 * MIB, 512, 3)],
            "hugepages",
            "dpdk needs 40 MiB for its frames, and 6 MiB of hugepages are",
        ),
    ],
)
def test_what_is_missing_is_told(devices: Path, card: Nic, pages: list[Hugepages], name: str, sentence: str) -> None:
    state, told = checks(machine(8, nics=[card], pages=pages), devices)[name]
    assert state == "failed"
    assert told.startswith("host probe: ")
    assert sentence in told
    assert "run playbooks/deploy.yml for this host" in told


def test_a_kernel_without_vfio_is_told(tmp_path: Path) -> None:
    state, told = checks(machine(8, nics=[BOUND], pages=PAGES), tmp_path)["driver"]
    assert state == "failed"
    assert "vfio/vfio is missing; run `modprobe vfio-pci`" in told


def test_a_card_that_shares_itself_needs_no_binding(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"driver": "mlx5_core", "kernel_driver": "mlx5_core"}
    found = checks(machine(8, nics=[replace(BOUND, **shared)], pages=PAGES), tmp_path)
    assert found["driver"] == ("ok", "0000:19:00.0 is on mlx5_core, as dpdk needs it.")


def test_the_vendors_module_of_pf_ring_must_be_loaded(tmp_path: Path) -> None:
    config = CaptureConfig.model_validate({"host": "probe", "method": "pf_ring", "interfaces": [{"name": "eth1"}]})
    made = resolve(config, Network((Link("eth1", 3),)), machine(4))
    (missing,) = preflight._pf_ring(made, tmp_path)
    assert missing.state == "failed"
    assert "host probe: method: pf_ring needs the vendor's kernel module" in missing.sentence
    assert "modprobe pf_ring" in missing.sentence
    (tmp_path / "info").write_text("PF_RING Version          : 9.2.0 (x)\nRing slots               : 65536\n")
    (loaded,) = preflight._pf_ring(made, tmp_path)
    assert (loaded.state, loaded.sentence) == ("ok", "The module of PF_RING 9.2.0 is loaded, with 65536 slots a ring.")


def test_the_engines_user_should_be_able_to_open_a_card_again(tmp_path: Path) -> None:
    raw = {"host": "probe", "method": "dag", "user": "nobody", "interfaces": [{"name": "dag0"}]}
    made = resolve(CaptureConfig.model_validate(raw), Network(()), machine(4, cards=[Card("dag0")]))
    device = tmp_path / "dag0"
    device.touch(mode=0o600)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    if os.geteuid() == 0:
        (closed,) = preflight._dag(made, tmp_path)
        assert closed.state == "warning"
        assert "by a udev rule" in closed.sentence
    device.chmod(0o666)
    (opened,) = preflight._dag(made, tmp_path)
    assert (opened.state, opened.sentence) == ("ok", f"{device} is there.")
