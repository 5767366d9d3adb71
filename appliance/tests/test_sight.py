"""Ports that do not see all that passes them are told of, by what a person can do about it, and never refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capstan.advise import advise, decide, plan
from capstan.advise_rates import line_rate
from capstan.advise_report import report
from capstan.config import CaptureConfig
from capstan.ethtool import Channels
from capstan.links import Link, Network, _wireless
from capstan.machine import Machine
from capstan.machine_read import is_wireless, read_machine
from capstan.means import Means
from capstan.plan_problems import PlanError
from capstan.sight import limits
from machines import machine, nic

WHOLE = nic(0, most=64)
FUNCTION = nic(
    1, driver="iavf", kernel_driver="iavf", model="8086:1889", physical_function=WHOLE.pci, function_number=3, most=4
)
WIFI = Link("wlan0", 5, driver="iwlwifi", wireless=True, channels=Channels(0, 0, 1, 0, 0, 1))


def config(name: str, method: str = "auto") -> CaptureConfig:
    return CaptureConfig.model_validate({"host": "h", "method": method, "interfaces": [{"name": name}]})


def test_a_virtual_function_is_told_with_what_its_own_host_is_to_be_told() -> None:
    made = machine(8, nics=[WHOLE, FUNCTION])
    network = Network((Link("ens1f0", 3, pci=FUNCTION.pci, speed=10_000, channels=Channels(0, 0, 4, 0, 0, 4)),))
    (told,) = limits("ens1f0", FUNCTION, None, made)
    assert "gets its own frames alone until its host trusts it" in told
    assert "`ip link set ens0f0 vf 3 trust on` and `ethtool --set-priv-flags ens0f0 vf-true-promisc" in told
    (advice,) = advise(config("ens1f0"), made, network, Means(distribution="debian-12"))
    assert advice.notes == (told,)
    assert advice.chosen is not None
    assert told in plan(config("ens1f0", "af_packet"), made, network, Means()).notes
    whole = report(config("ens1f0"), made, network, Means())
    assert whole["ports"][0]["notes"] == [told]
    assert "trusts it" in " ".join(" ".join(whole["text"]).split())


@pytest.mark.parametrize(
    ("driver", "model", "function"),
    [
        ("ixgbevf", "8086:1515", True),
        ("mlx5_core", "15b3:101e", True),
        ("mlx5_core", "15b3:1017", False),
        ("ice", "8086:1592", False),
        ("nicvf", "177d:a034", False),
    ],
)
def test_a_guest_knows_a_virtual_function_by_driver_or_model(driver: str, model: str, *, function: bool) -> None:
    known = nic(0, driver=driver, kernel_driver=driver, model=model)
    told = list(limits("eth0", known, None, machine(4)))
    assert bool(told) == function
    assert all("on the hypervisor: `ip link set PF vf N trust on`" in sentence for sentence in told)


def test_sysfs_tells_whose_function_a_device_is(tmp_path: Path) -> None:
    devices = tmp_path / "sys/bus/pci/devices"
    for pci in ("0000:19:00.0", "0000:19:02.1"):
        (devices / pci).mkdir(parents=True)
        (devices / pci / "class").write_text("0x020000\n")
    (devices / "0000:19:02.1/physfn").symlink_to("../0000:19:00.0")
    (devices / "0000:19:00.0/virtfn0").symlink_to("../0000:19:02.0")
    (devices / "0000:19:00.0/virtfn1").symlink_to("../0000:19:02.1")
    whole, function = read_machine(tmp_path / "sys", tmp_path / "proc", tmp_path / "records").nics
    assert (whole.physical_function, whole.function_number) == (None, None)
    assert (function.physical_function, function.function_number) == ("0000:19:00.0", 1)
    assert function.is_virtual_function


def auto_over(network: Network, made: Machine) -> str:
    with pytest.raises(PlanError) as caught:
        decide(config("wlan0"), made, network, Means())
    return str(caught.value)


def test_auto_takes_no_wifi_and_says_what_to_do() -> None:
    network, made = Network((WIFI,)), machine(8)
    assert "method: is auto, which takes no WiFi: wlan0 gets what this station sends and receives" in auto_over(
        network, made
    )
    (advice,) = advise(config("wlan0"), made, network, Means())
    assert advice.chosen is None
    assert any(candidate.method == "af_packet" and candidate.verdict != "impossible" for candidate in advice.candidates)
    assert "nobody else's frames" in advice.notes[0]
    # One that is asked for is planned, and told of.
    asked = plan(config("wlan0", "af_packet"), made, network, Means())
    assert asked.notes[0].startswith("wlan0 is a WiFi interface")


def test_a_wifi_is_not_taken_for_ten_gigabits() -> None:
    (advice,) = advise(config("wlan0"), machine(8), Network((WIFI,)), Means())
    assert advice.expected.pps == line_rate(1_000)
    assert advice.expected.source.endswith("of 1 Gbit/s assumed for a WiFi")
    (told,) = advise(config("wlan0"), machine(8), Network((replace(WIFI, speed=2_500),)), Means())
    assert told.expected.pps == line_rate(2_500)


@pytest.mark.parametrize("sign", ["phy80211", "wireless"])
def test_sysfs_tells_a_wifi(tmp_path: Path, sign: str) -> None:
    device = tmp_path / "class/net/wlan0"
    (device / sign).mkdir(parents=True)
    (device / "address").write_text("3c:fd:fe:00:00:01\n")
    assert is_wireless("wlan0", tmp_path)
    assert not is_wireless("eth0", tmp_path)
    # Another namespace's device of that name is not the one that is meant.
    assert _wireless("wlan0", "3c:fd:fe:00:00:01", tmp_path)
    assert not _wireless("wlan0", "3c:fd:fe:00:00:02", tmp_path)
