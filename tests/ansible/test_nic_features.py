"""Capture NICs are set up for capture: what each family has, in an order that no NIC refuses, and back as it was."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.capstan.appliance.plugins.module_utils.host import link, netns, nic_port, nic_tuning, wanted
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_ethtool import NicEthtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_features import (
    RESETS,
    steps,
    symmetric_fields,
    symmetric_key,
    table_name,
    wish,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_port import Port
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_tuning import NicTuning, Outcome
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record
from ansible_collections.capstan.appliance.plugins.modules import nic_features
from nic_answers import FAMILIES, KEY_40, SimulatedNic

from capstan.nic import UNWANTED_FEATURES

LEAVE: dict[str, Any] = {
    "channels": None,
    "rx_ring": None,
    "offloads_off": [],
    "rss": None,
    "flow_director_off": False,
    "rx_usecs": None,
    "mtu": None,
    "private_flags": None,
    "promiscuous": None,
}
STILL = dict.fromkeys(("napi_defer_hard_irqs", "gro_flush_timeout", "threaded"))
CAPTURE = {
    **LEAVE,
    "channels": 4,
    "rx_ring": "max",
    "offloads_off": list(UNWANTED_FEATURES),
    "rss": "symmetric",
    "flow_director_off": True,
    "rx_usecs": "adaptive",
    "mtu": "max",
    "promiscuous": True,
}


def port(nic: dict[str, Any], poll: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    queues = nic.get("channels") or 4
    return {
        "interface": "cap",
        "pci": "0000:03:00.0",
        "netns": None,
        "queues": queues,
        "nic": {**LEAVE, **nic},
        "busy_poll": {**STILL, **(poll or {})},
        **more,
    }


def fitting(name: str) -> dict[str, Any]:
    """What a capture wants of that family, with no more queues than it has."""
    queues = 2 if name == "vmxnet3" else min(4, FAMILIES[name].nic.max_queues)
    return port({**CAPTURE, "channels": queues or None}, queues=queues or 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("run", "etc", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def bring(tuning: NicTuning, nic: SimulatedNic, *, check: bool = False) -> Outcome:
    outcome = Outcome()
    tuning._bring(nic, outcome, check=check, where="capture_interfaces[0]")  # noqa: SLF001 - past the search for the port
    return outcome


# Every family


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_set_and_stays_set_and_is_given_back(root: Path, name: str) -> None:
    nic = SimulatedNic(FAMILIES[name], fitting(name))
    before = dict(nic.nic.settings)
    tuning = NicTuning(root)
    bring(tuning, nic, check=True)
    assert (nic.log, list((root / "var/lib").iterdir())) == ([], [])
    assert bring(tuning, nic).changes
    nic.log.clear()
    assert (bring(tuning, nic).changes, nic.log) == ([], [])
    nic.port = port(LEAVE)
    bring(tuning, nic)
    assert nic.nic.settings == before
    assert not nic.table_is_ours
    assert not (root / "var/lib/capstan-host").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_alters_frames_and_nothing_steers_them(root: Path, name: str) -> None:
    nic = SimulatedNic(FAMILIES[name], fitting(name))
    notes = " ".join(bring(NicTuning(root), nic).notes)
    for feature in UNWANTED_FEATURES:
        on = nic.nic.settings.get(f"feature {feature}", False)
        assert not on or f"does not let {feature} be turned off" in notes
    assert nic.nic.settings["rules"] == []
    assert not nic.nic.settings.get("private flag flow-director-atr", False)
    # ixgbe steers by itself unless its ntuple filters are on.
    assert nic.nic.settings.get("feature rx-ntuple-filter", False) == (name == "ixgbe")


@pytest.mark.parametrize("name", ["ixgbe", "i40e", "ice", "mlx5", "bnxt_en"])
def test_both_directions_of_a_flow_come_by_one_queue(root: Path, name: str) -> None:
    nic = SimulatedNic(FAMILIES[name], fitting(name))
    bring(NicTuning(root), nic)
    assert set(bytes.fromhex(nic.nic.settings["rss key"])) == {0x6D, 0x5A}
    assert nic.nic.settings["rss table"] == "even over 4"


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("ena", "cap: the driver refuses another rss key (Operation not supported)"),
        ("mlx5", "cap: the driver refuses another hash udp4 (Operation not supported)"),
        ("e1000e", "cap: the driver refuses another adaptive rx (Operation not supported)"),
        ("ena", "cap: the two directions of a flow may come by two queues"),
        ("igb", "cap: the two directions of a flow may come by two queues"),
        ("vmxnet3", "cap: the driver refuses another channels (Operation not supported)"),
        ("virtio", "cap: the driver virtio_net has no hash that can be set: a flow may come by two queues"),
        ("virtio", "cap: the driver does not let rx-vlan-filter be turned off: frames may not be as they were"),
    ],
)
def test_what_a_nic_has_not_is_told(root: Path, name: str, note: str) -> None:
    assert note in bring(NicTuning(root), SimulatedNic(FAMILIES[name], fitting(name))).notes


def test_a_nic_that_keeps_its_key_is_asked_for_a_symmetric_transform(root: Path) -> None:
    ena = FAMILIES["ena"]
    willing = SimulatedNic(type(ena)(ena.nic, ("rss key", "hash ")), fitting("ena"))
    outcome = bring(NicTuning(root), willing)
    assert willing.nic.settings["rss transform"] == 1
    assert ("rss transform", 0, 1) in [(change.setting, change.before, change.after) for change in outcome.changes]
    nic = willing
    nic.port = port(LEAVE)
    bring(NicTuning(root, outcome.refused), nic)
    assert nic.nic.settings["rss transform"] == 0


def test_what_was_refused_once_is_not_tried_again(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["ena"], fitting("ena"))
    tuning = NicTuning(root)
    outcome = bring(tuning, nic)
    nic.log.clear()
    again = NicTuning(root, tuning._refused)  # noqa: SLF001 - what the module keeps in /etc/capstan-host
    assert set(bring(again, nic).notes) == set(outcome.notes)
    assert (nic.log, bool(outcome.changes)) == ([], True)


# Order and intermediate states


def test_a_table_that_names_more_queues_is_reset_before_they_go(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["ixgbe"], port({"channels": 2}))
    table = [0, 5, 9, 15] * 32
    nic.nic.settings["rss table"], nic.table_is_ours = table, True
    before = dict(nic.nic.settings)
    tuning = NicTuning(root)
    bring(tuning, nic)
    assert [name for name, _ in nic.log] == ["rss table", "channels"]
    assert bring(tuning, nic).changes == []
    nic.port = port(LEAVE)
    nic.log.clear()
    bring(tuning, nic)
    assert [name for name, _ in nic.log] == ["channels", "rss table"]
    assert nic.nic.settings == before


def test_fewer_capture_queues_than_channels_get_all_packets(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["i40e"], port({"rss": "symmetric"}, queues=4))
    bring(NicTuning(root), nic)
    assert nic.nic.settings["rss table"] == "even over 4"
    assert nic.table_is_ours


def test_a_rule_goes_before_the_filters_and_comes_back_after_them(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["i40e"], port({"flow_director_off": True}))
    nic.nic.settings["rules"] = ["ab" * 188]
    tuning = NicTuning(root)
    notes = bring(tuning, nic).notes
    assert "cap: 1 steering rules are taken out while it captures" in notes
    assert [name for name, _ in nic.log][1:] == ["rules", "feature rx-ntuple-filter"]
    nic.port = port(LEAVE)
    nic.log.clear()
    bring(tuning, nic)
    assert [name for name, _ in nic.log][1:] == ["feature rx-ntuple-filter", "rules"]
    assert nic.nic.settings["rules"] == ["ab" * 188]


def test_a_periodic_key_and_a_symmetric_transform_never_meet() -> None:
    # Together they would give every packet one hash: the two equal halves of its fields cancel each other out.
    nic = SimulatedNic(FAMILIES["ice"], port(CAPTURE)).nic
    both = {**nic.settings, "rss transform": 1, "rss key": symmetric_key(52)}
    found = wish(type(nic)(**{**vars_of(nic), "settings": both}), port(CAPTURE), "x").settings
    assert (found["rss transform"], found["rss key"]) == (0, symmetric_key(52))
    alone = {**nic.settings, "rss transform": 1}
    found = wish(type(nic)(**{**vars_of(nic), "settings": alone}), port(CAPTURE), "x").settings
    assert "rss key" not in found


def vars_of(nic: Any) -> dict[str, Any]:
    return {name: getattr(nic, name) for name in nic.__slots__}


def test_links_are_interrupted_only_where_something_differs(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["igb"], port({"rx_ring": "max", "offloads_off": ["rx-gro"]}))
    assert bring(NicTuning(root), nic).resets == ["cap"]
    assert bring(NicTuning(root), nic).resets == []
    nic.port = port({"rx_ring": "max", "offloads_off": ["rx-gro", "rx-vlan-filter"]})
    assert bring(NicTuning(root), nic).resets == []


# Errors


def test_more_queues_than_the_nic_has_are_refused_by_name_and_nothing_is_changed(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["igb"], port({**CAPTURE, "channels": 16}))
    with pytest.raises(HostError, match=r"capture_interfaces\[0\]\.queues: cap has 8 receive queues at most; write 8"):
        bring(NicTuning(root), nic)
    assert (nic.log, list((root / "var/lib").iterdir())) == ([], [])


def test_a_nic_that_keeps_another_value_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nic = SimulatedNic(FAMILIES["igb"], port({"rx_ring": 1000}))
    monkeypatch.setattr(nic, "write", lambda *_, **__: nic.nic.settings.update({"rx ring": 1008}))
    with pytest.raises(HostError, match="cap: rx ring is 1008 after 1000 was written"):
        bring(NicTuning(root), nic)


def test_the_largest_ring_is_what_the_nic_makes_of_it_and_is_asked_for_once(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["vmxnet3"], port({"rx_ring": "max"}))
    writes: list[Any] = []

    def rounds(_: str, value: Any, *__: Any, **___: Any) -> None:
        writes.append(value)
        nic.nic.settings["rx ring"] = value // 48 * 16 * 3 - (48 if value == 4096 else 0) if value > 1024 else value

    nic.write = rounds  # type: ignore[method-assign]
    tuning = NicTuning(root)
    bring(tuning, nic)
    kept = nic.nic.settings["rx ring"]
    assert 1024 < kept < 4096
    again = NicTuning(root, tuning._refused)  # noqa: SLF001 - what the module keeps in /etc/capstan-host
    assert (bring(again, nic).changes, writes) == ([], [4096])
    nic.port = port(LEAVE)
    bring(again, nic)
    assert nic.nic.settings["rx ring"] == 1024


def test_originals_are_on_disk_before_the_first_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nic = SimulatedNic(FAMILIES["i40e"], port(CAPTURE))
    seen: list[dict[str, Any]] = []

    def power_cut(*_: Any, **__: Any) -> None:
        seen.append(json.loads((root / "var/lib/capstan-host/nic_features.json").read_text()))
        raise KeyboardInterrupt

    monkeypatch.setattr(nic, "write", power_cut)
    with pytest.raises(KeyboardInterrupt):
        bring(NicTuning(root), nic)
    assert seen[0]["0000:03:00.0 rx ring"]["value"] == 512
    assert seen[0]["0000:03:00.0 rss key"]["value"] == FAMILIES["i40e"].nic.settings["rss key"]


# Pure parts


@pytest.mark.parametrize(
    ("flow", "before", "after"),
    [
        ("udp4", "sdfn", "sd"),
        ("udp6", "", "sd"),
        ("tcp4", "sdfn", "sdfn"),
        ("tcp6", "sf", "sdfn"),
        ("sctp4", "s", "sd"),
        ("sctp6", "", ""),
        ("tcp4", "vsd", "vsd"),
    ],
)
def test_fields_are_symmetric_and_fragments_follow_their_flow(flow: str, before: str, after: str) -> None:
    assert symmetric_fields(flow, before) == after


def test_tables_that_go_round_are_told_from_others() -> None:
    assert table_name([0, 1, 2, 0, 1]) == "even over 3"
    assert table_name([0, 0, 1, 1]) == [0, 0, 1, 1]
    assert table_name([0, 0]) == "even over 1"


def test_settings_that_a_nic_lost_are_passed_over() -> None:
    assert steps(FAMILIES["e1000e"].nic, {"rss key": KEY_40, "rx ring": 4096}) == [("rx ring", 4096)]


# A real kernel

OFF = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro"]
VETH = {**LEAVE, "channels": 2, "offloads_off": OFF, "rss": "symmetric", "mtu": "max", "promiscuous": True}
POLL = {"napi_defer_hard_irqs": 2, "gro_flush_timeout": 200_000, "threaded": True}


@pytest.fixture
def veth(needs_root: None) -> Iterator[dict[str, Any]]:
    """A port in a namespace of its own, whose GRO is on, so that it polls as a NIC does."""
    name = f"capnf{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        ip = ["ip", "-n", name]
        peer = ["peer", "name", "gen0", "numtxqueues", "4"]
        add = ["link", "add", "cap0", "numrxqueues", "4", "numtxqueues", "4", "type", "veth"]
        subprocess.run([*ip, *add, *peer], check=True)
        for one in ("cap0", "gen0"):
            subprocess.run([*ip, "link", "set", one, "up"], check=True)
        netns.inside(name, lambda _: NicEthtool().set_features("cap0", {"rx-gro": True}))
        yield port(VETH, POLL, pci=None, netns=name, interface="cap0", queues=2, workers=[0])
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def state(port: dict[str, Any]) -> dict[str, Any]:
    """What the kernel says, read apart from the code under test where iproute2 can."""
    name = port["netns"]
    shown = json.loads(
        subprocess.run(["ip", "-n", name, "-j", "-d", "link", "show", "cap0"], capture_output=True, check=True).stdout
    )[0]
    attributes = "cd /sys/class/net/cap0; cat threaded napi_defer_hard_irqs gro_flush_timeout"
    poll = subprocess.run(
        ["ip", "netns", "exec", name, "sh", "-c", attributes], capture_output=True, text=True, check=True
    ).stdout.split()
    features = netns.inside(name, lambda _: NicEthtool().features("cap0"))
    channels = netns.inside(name, lambda _: NicEthtool().channels("cap0"))
    return {
        "mtu": shown["mtu"],
        "promiscuous": shown["promiscuity"],
        "poll": poll,
        "queues": channels.receive,
        "features": {name: found.active for name, found in features.items()},
    }


def module(root: Path, ports: list[dict[str, Any]], *, check: bool = False, want: str = "present") -> dict[str, Any]:
    return nic_features.run({"root": str(root), "ports": ports, "state": want}, check=check)


def test_a_port_in_a_namespace_is_set_and_given_back(root: Path, veth: dict[str, Any]) -> None:
    before = state(veth)
    looked = module(root, [veth], check=True)
    assert state(veth) == before
    assert [path for path in root.rglob("*") if path.is_file()] == []
    done = module(root, [veth])
    assert (done["changed"], done["changes"], done["resets"]) == (True, looked["changes"], ["cap0"])
    now = state(veth)
    assert (now["mtu"], now["promiscuous"], now["poll"], now["queues"]) == (9000, 1, ["1", "2", "200000"], 2)
    assert not any(now["features"][name] for name in OFF)
    assert module(root, [veth])["changed"] is False
    assert module(root, [], want="absent")["changed"] is True
    assert state(veth) == before
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert module(root, [], want="absent")["changed"] is False


def test_a_setting_that_is_not_wanted_any_longer_comes_back(root: Path, veth: dict[str, Any]) -> None:
    before = state(veth)
    module(root, [veth])
    module(root, [{**veth, "nic": {**LEAVE, "mtu": 2000}, "busy_poll": STILL}])
    assert state(veth) == {**before, "mtu": 2000}


def test_what_the_supervisor_changed_for_a_capture_is_no_original(root: Path, veth: dict[str, Any]) -> None:
    def entry(_: Path) -> dict[str, Any]:
        NicEthtool().set_features("cap0", {"rx-vlan-hw-parse": False})
        here = {"namespace": netns.identity(None), "index": link.links()["cap0"].index}
        return {**here, "up": True, "features": {"rx-vlan-hw-parse": True}, "channels": None}

    snapshot = {
        "boot_id": Path(nic_tuning.BOOT_ID).read_text().strip(),
        "netns": veth["netns"],
        "ports": {"cap0": netns.inside(veth["netns"], entry)},
    }
    (root / "run/capstan").mkdir()
    (root / "run/capstan/nic-snapshot.json").write_text(json.dumps(snapshot))
    only = {**veth, "nic": {**LEAVE, "offloads_off": ["rx-vlan-hw-parse"]}, "busy_poll": STILL}
    # It is off already, and the supervisor will switch it on again when the capture ends: the role has to stop it.
    assert module(root, [only], check=True)["changes"] == [
        {"interface": "cap0", "setting": "feature rx-vlan-hw-parse", "before": True, "after": False}
    ]
    module(root, [only])
    (root / "run/capstan/nic-snapshot.json").unlink()
    module(root, [], want="absent")
    assert state(veth)["features"]["rx-vlan-hw-parse"] is True


def test_a_port_made_anew_under_its_name_is_no_longer_the_remembered_one(root: Path, veth: dict[str, Any]) -> None:
    module(root, [veth])
    ip = ["ip", "-n", veth["netns"], "link"]
    subprocess.run([*ip, "del", "cap0"], check=True)
    anew = ["add", "cap0", "mtu", "1400", "index", "77", "type", "veth", "peer", "name", "gen0"]
    subprocess.run([*ip, *anew], check=True)
    done = module(root, [], want="absent")
    assert "is gone, and its settings with it" in done["notes"][0]
    assert state(veth)["mtu"] == 1400


def test_a_dry_run_tells_of_a_nic_that_is_still_bound_to_vfio(root: Path) -> None:
    """From dpdk to af_packet: the role dpdk gives the NIC back before, but not in a dry run."""
    bound = port({**LEAVE, "mtu": 9000}, STILL, pci="0000:ff:1f.7", netns=None, interface="ens9f7", queues=1)
    with pytest.raises(HostError, match="ens9f7 has no interface in the kernel now"):
        module(root, [bound], check=True)
    Record("nic_driver", root).remember({"0000:ff:1f.7": {"driver": "ice"}})
    told = module(root, [bound], check=True)
    assert told["changed"]
    assert told["notes"] == [
        "ens9f7 has no interface before it is back on its driver; what it has and lacks is told then"
    ]
    with pytest.raises(HostError, match="ens9f7 has no interface in the kernel now"):
        module(root, [bound])


def test_one_wrong_port_keeps_all_from_being_changed(root: Path, veth: dict[str, Any]) -> None:
    before = state(veth)
    missing = {**veth, "interface": "cap9"}
    with pytest.raises(HostError, match=r"capture_interfaces\[1\]: cap9 has no interface in the kernel now"):
        module(root, [veth, missing])
    assert state(veth) == before
    with pytest.raises(HostError, match=r"capture_interfaces\[1\]\.queues: cap0 has 4 receive queues at most"):
        module(root, [veth, {**veth, "nic": {**LEAVE, "channels": 9}}])
    assert state(veth) == before


def test_an_interface_that_goes_while_it_is_read_is_named_and_the_others_are_given_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "^capnf-gone went away while its settings were read; see ip link and dmesg for why, then run the playbook"
    with NicEthtool() as ethtool:
        there = Port(port(LEAVE), Path("/sys"), "capnf-gone", ethtool)
        with pytest.raises(HostError, match=gone):
            there.read()
        nics = {key: SimulatedNic(FAMILIES["ice"], fitting("ice"), key=key) for key in ("0000:03:00.0", "0000:04:00.0")}
        before = nics["0000:04:00.0"].read().settings
        for key, nic in nics.items():
            nic.port = {**nic.port, "pci": key}
            bring(NicTuning(root), nic)
            nic.port = port(LEAVE, pci=key)
        monkeypatch.setattr(nic_tuning, "interface_of", lambda *_: "cap")
        monkeypatch.setattr(
            nic_tuning, "Port", lambda one, *_: there if one["pci"] == "0000:03:00.0" else nics[one["pci"]]
        )
        (note,) = [note for note in NicTuning(root).apply([], patient=True).notes if "capnf-gone" in note]
    assert re.match(gone, note)
    assert nics["0000:04:00.0"].read().settings == before
    assert {name.split()[0] for name in Record("nic_features", root).read() or {}} == {"0000:03:00.0"}


def test_a_nic_that_is_renamed_while_it_is_set_is_set_under_its_new_name(
    root: Path, veth: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As udev does at boot: to the old name the kernel answers as a NIC would that has no such setting."""
    before, namespace = state(veth), veth["netns"]
    index = netns.inside(namespace, lambda _: link.links()["cap0"].index)

    def rename(old: str, new: str) -> None:
        for change in (["down"], ["name", new], ["up"]):
            name = new if change == ["up"] else old
            subprocess.run(["ip", "-n", namespace, "link", "set", name, *change], check=True)

    def by_index(*_: Any) -> str | None:
        return next((name for name, one in link.links().items() if one.index == index), None)

    real = Port.write

    def write(self: Port, setting: str, *arguments: Any, **keywords: Any) -> None:
        if setting == "napi_defer_hard_irqs" and self.interface == "cap0":
            rename("cap0", "enp9s0")
        real(self, setting, *arguments, **keywords)

    for module_with_it in (nic_tuning, nic_port):
        monkeypatch.setattr(module_with_it, "interface_of", by_index)
    monkeypatch.setattr(Port, "write", write)
    done = module(root, [veth])
    assert "cap0 became enp9s0 while it was set: set again under that name" in done["notes"]
    assert not any("refuses" in note and "napi" in note for note in done["notes"])
    rename("enp9s0", "cap0")
    now = state(veth)
    assert (now["mtu"], now["promiscuous"], now["poll"], now["queues"]) == (9000, 1, ["1", "2", "200000"], 2)
    monkeypatch.undo()
    assert module(root, [veth])["changed"] is False
    module(root, [], want="absent")
    assert state(veth) == before


def test_what_a_nic_that_goes_while_it_is_set_does_not_take_is_no_refusal(
    root: Path, veth: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Port.write

    def write(self: Port, setting: str, *arguments: Any, **keywords: Any) -> None:
        if setting == "napi_defer_hard_irqs":
            subprocess.run(["ip", "-n", veth["netns"], "link", "del", "cap0"], check=True)
        real(self, setting, *arguments, **keywords)

    monkeypatch.setattr(Port, "write", write)
    tuning = NicTuning(root)
    done = tuning.apply([veth], patient=True)
    assert done.notes == [
        "cap0 went away while its settings were written; see ip link and dmesg for why, then run the playbook again"
    ]
    assert done.refused == {}


def test_a_nic_that_can_not_be_given_back_fails_a_rollback_after_all_others_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nics = {key: SimulatedNic(FAMILIES["ice"], fitting("ice"), key=key) for key in ("0000:03:00.0", "0000:04:00.0")}
    before = nics["0000:04:00.0"].read().settings
    for key, nic in nics.items():
        nic.port = {**nic.port, "pci": key}
        bring(NicTuning(root), nic)
        nic.port = port(LEAVE, pci=key)
    captures = nics["0000:04:00.0"].read().settings
    with_guests(nics["0000:03:00.0"], 2)
    monkeypatch.setattr(nic_tuning, "interface_of", lambda *_: "cap")
    monkeypatch.setattr(nic_tuning, "Port", lambda one, *_: nics[one["pci"]])
    held = "cap: channels, .* can't be given back, because that interrupts the link of virtual functions"
    with pytest.raises(HostError, match=held):
        module(root, [], check=True, want="absent")
    assert nics["0000:04:00.0"].read().settings == captures
    for _ in range(2):  # what is left is said each time
        with pytest.raises(HostError, match=held):
            module(root, [], want="absent")
        assert nics["0000:04:00.0"].read().settings == before
    with_guests(nics["0000:03:00.0"], 0)
    module(root, [], want="absent")
    assert nics["0000:03:00.0"].read().settings == before
    assert not (root / "var/lib/capstan-host").exists()


def test_a_driver_that_does_not_tell_its_settings_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def features(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(NicEthtool, "features", features)
    with (
        NicEthtool() as ethtool,
        pytest.raises(
            HostError,
            match=r"^lo: its settings can't be read \(Input/output error\); see what dmesg says of it, then run",
        ),
    ):
        Port(port(LEAVE), Path("/sys"), "lo", ethtool).read()


def test_a_namespace_that_goes_while_it_is_entered_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "exists", lambda _: True)
    with pytest.raises(HostError, match="the network namespace capnf-none does not exist; make it"):
        netns.inside("capnf-none", lambda _: None)


def test_a_namespace_that_is_not_there_is_named(root: Path, needs_root: None) -> None:
    with pytest.raises(HostError, match="capture_netns: the network namespace nowhere does not exist"):
        module(root, [port(VETH, netns="nowhere", pci=None)])


def test_what_is_wanted_is_written_for_the_service(root: Path, veth: dict[str, Any]) -> None:
    module(root, [veth])
    told = wanted.read("nic_features", root)
    assert told is not None
    assert told["ports"][0]["nic"] == veth["nic"]
    assert told["kernel"] == os.uname().release


# Virtual functions


def with_guests(nic: SimulatedNic, count: int) -> SimulatedNic:
    nic.nic = replace(nic.nic, virtual_functions=count)
    nic.log.clear()
    return nic


def reset(nic: SimulatedNic) -> list[str]:
    """Settings that were written and reset most NICs."""
    return [name for name, _ in nic.log if name.startswith(RESETS)]


def test_virtual_functions_are_counted_in_the_ports_own_sysfs(tmp_path: Path) -> None:
    device = tmp_path / "class/net/ens3f0/device"
    device.mkdir(parents=True)
    with NicEthtool() as ethtool:
        there = Port(port(LEAVE), tmp_path, "ens3f0", ethtool)
        assert there.virtual_functions("ixgbe") == 0
        (device / "sriov_numvfs").write_text("4\n")
        assert (there.virtual_functions("ixgbe"), there.virtual_functions("mlx5_core")) == (4, 0)


def test_nothing_is_written_that_interrupts_the_links_of_virtual_functions(root: Path) -> None:
    nic = with_guests(SimulatedNic(FAMILIES["ice"], fitting("ice")), 2)
    done = bring(NicTuning(root), nic)
    assert reset(nic) == []
    assert nic.nic.settings["promiscuous"]
    (note,) = [note for note in done.notes if "virtual functions" in note]
    assert note.startswith("cap: channels, ")
    assert note.endswith("to change them interrupts the link of its 2 virtual functions in use")
    assert bring(NicTuning(root), nic).changes == []


def test_what_virtual_functions_keep_from_being_given_back_is_given_back_without_them(root: Path) -> None:
    nic = SimulatedNic(FAMILIES["ice"], fitting("ice"))
    before = dict(nic.nic.settings)
    bring(NicTuning(root), nic)
    nic.port = port(LEAVE)
    kept = NicTuning(root)._bring(with_guests(nic, 2), Outcome(), check=False, where="cap")  # noqa: SLF001 - as above
    assert {"channels", "rx ring", "rss table"} <= set(kept)
    assert reset(nic) == []
    assert not nic.nic.settings["promiscuous"]
    bring(NicTuning(root), with_guests(nic, 0))
    assert nic.nic.settings == before
    assert not (root / "var/lib/capstan-host").exists()


def test_a_rollback_that_virtual_functions_keep_from_its_end_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nic = SimulatedNic(FAMILIES["ice"], fitting("ice"))
    bring(NicTuning(root), nic)
    with_guests(nic, 2).port = port(LEAVE)
    monkeypatch.setattr(nic_tuning, "interface_of", lambda *_: "cap")
    monkeypatch.setattr(nic_tuning, "Port", lambda *_: nic)
    with pytest.raises(
        HostError, match=r"^cap: channels, .* can't be given back, because .*; write 0 into /sys/bus/pci"
    ):
        NicTuning(root).apply([])
    assert reset(nic) == []
    assert "feature rx-ntuple-filter" not in dict(nic.log)
    assert dict(nic.log)["promiscuous"] is False
