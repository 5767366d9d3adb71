"""Port settings are changed for the capture and come back exactly, also after a crash."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from capstan import lab, namespaces, nic
from capstan.errors import OperatorError
from capstan.ethtool import Channels, Ethtool, most_of
from capstan.links import LinkNews, read_network

pytestmark = pytest.mark.root


def features(netns: str) -> dict[str, bool]:
    def read() -> dict[str, bool]:
        with Ethtool() as ethtool:
            return {name: feature.active for name, feature in ethtool.features("cap0").items()}

    return namespaces.inside(netns, read)


def channels(netns: str) -> Channels | None:
    link = read_network(netns).named("cap0")
    assert link is not None
    return link.channels


def route(netns: str, work: Callable[[IPRoute], object]) -> None:
    def run() -> None:
        with IPRoute() as ip:
            work(ip)

    namespaces.inside(netns, run)


@pytest.fixture
def port(veth_lab: str) -> str:
    """The lab's port, with offloads as a NIC has them: on."""

    def switch_on() -> None:
        with Ethtool() as ethtool:
            ethtool.set_features("cap0", {"rx-gro": True, "rx-vlan-hw-parse": True})

    namespaces.inside(veth_lab, switch_on)
    return veth_lab


def test_the_speed_of_a_link_is_told(port: str) -> None:
    link = read_network(port).named("cap0")
    assert link is not None
    assert link.speed == 10_000  # what the kernel's veth says of itself


@pytest.mark.parametrize(
    ("modes", "speed"),
    [
        ([], None),
        ([6, 13, 14], None),  # autonegotiation and pause are no speeds
        ([3, 5, 6], 1_000),
        ([12, 31], 25_000),
        ([36, 31, 12], 100_000),
        ([97], 800_000),
    ],
)
def test_a_link_that_is_down_has_the_highest_speed_that_it_supports(modes: list[int], speed: int | None) -> None:
    assert most_of(sum(1 << mode for mode in modes)) == speed


def test_settings_are_changed_read_back_and_restored(port: str, tmp_path: Path) -> None:
    before, snapshot = features(port), tmp_path / "snapshot.json"
    settings = nic.PortSettings(snapshot, port)
    assert settings.apply([nic.Wanted("cap0", channels=1)]) == []
    during = features(port)
    assert not any(during.get(name) for name in nic.UNWANTED_FEATURES)
    assert channels(port).receive == 1  # type: ignore[union-attr]
    kept = json.loads(snapshot.read_text())["ports"]["cap0"]
    assert kept["features"] == {"rx-gro": True, "rx-vlan-hw-parse": True}
    assert kept["channels"]["rx"] == 2
    settings.restore()
    assert features(port) == before
    assert channels(port).receive == 2  # type: ignore[union-attr]
    assert not snapshot.exists()


def test_a_snapshot_left_by_a_crash_stays_the_original(port: str, tmp_path: Path) -> None:
    before, snapshot = features(port), tmp_path / "snapshot.json"
    nic.PortSettings(snapshot, port).apply([nic.Wanted("cap0", channels=1)])
    second = nic.PortSettings(snapshot, port)  # the first one died without restoring
    second.restore()
    second.apply([nic.Wanted("cap0")])
    second.restore()
    assert features(port) == before
    assert channels(port).receive == 2  # type: ignore[union-attr]


def test_a_link_that_was_down_is_down_again(port: str, tmp_path: Path) -> None:
    route(port, lambda ip: ip.link("set", index=ip.link_lookup(ifname="cap0")[0], state="down"))
    settings = nic.PortSettings(tmp_path / "snapshot.json", port)
    settings.apply([nic.Wanted("cap0")])
    assert read_network(port).named("cap0").up  # type: ignore[union-attr]
    settings.restore()
    assert not read_network(port).named("cap0").up  # type: ignore[union-attr]


def test_a_port_made_anew_is_prepared_again_and_the_old_original_is_forgotten(port: str, tmp_path: Path) -> None:
    settings = nic.PortSettings(tmp_path / "snapshot.json", port)
    settings.apply([nic.Wanted("cap0")])
    route(port, lambda ip: ip.link("del", index=ip.link_lookup(ifname="cap0")[0]))
    assert settings.apply([nic.Wanted("cap0")]) == []
    route(port, lambda ip: ip.link("add", ifname="cap0", kind="veth", peer={"ifname": "other0"}))
    assert features(port)["rx-vlan-hw-parse"]
    settings.apply([nic.Wanted("cap0")])
    assert not features(port)["rx-vlan-hw-parse"]
    settings.restore()
    assert features(port)["rx-vlan-hw-parse"]
    assert not read_network(port).named("cap0").up  # type: ignore[union-attr]


def test_news_of_links_are_told_once_and_begin_anew_in_a_namespace_made_anew(port: str) -> None:
    news = LinkNews(port)
    assert [news.any(), news.any()] == [True, False]  # the first look is still to be made
    route(port, lambda ip: ip.link("add", ifname="cap1", kind="veth", peer={"ifname": "other1"}))
    assert [news.any(), news.any()] == [True, False]
    route(port, lambda ip: ip.link("del", index=ip.link_lookup(ifname="cap1")[0]))
    assert [news.any(), news.any()] == [True, False]
    news.close()
    lab.down(port)
    with pytest.raises(OperatorError, match="does not exist"):
        news.any()
    lab.up(port, 2)
    assert [news.any(), news.any()] == [True, False]
    news.close()


def test_no_news_of_links_are_missed_when_there_are_more_than_fit(port: str) -> None:
    def change_much(ip: IPRoute) -> None:
        index = ip.link_lookup(ifname="cap0")[0]
        for length in range(1000, 3000):
            ip.link("set", index=index, txqlen=length)

    news = LinkNews(port)
    assert [news.any(), news.any()] == [True, False]
    route(port, change_much)
    assert news.any()
    while news.any():  # begins anew, which is news again
        pass
    news.close()


def test_the_port_of_a_namespace_made_anew_is_another_one_although_its_index_is_the_same(
    port: str, tmp_path: Path
) -> None:
    settings = nic.PortSettings(tmp_path / "snapshot.json", port)
    settings.apply([nic.Wanted("cap0", channels=1)])
    index = read_network(port).named("cap0").index  # type: ignore[union-attr]
    lab.down(port)
    lab.up(port, 2)
    assert read_network(port).named("cap0").index == index  # type: ignore[union-attr]
    settings.apply([nic.Wanted("cap0", channels=1)])
    assert channels(port).receive == 1  # type: ignore[union-attr]
    settings.restore()
    assert channels(port).receive == 2  # type: ignore[union-attr]


def test_more_queues_than_the_port_has_are_refused_in_a_sentence(port: str, tmp_path: Path) -> None:
    settings = nic.PortSettings(tmp_path / "snapshot.json", port)
    with pytest.raises(OperatorError, match="cap0: cannot be set to 40 receive queues"):
        settings.apply([nic.Wanted("cap0", channels=40)])
    settings.restore()
    assert channels(port).receive == 2  # type: ignore[union-attr]


def test_a_snapshot_of_another_boot_or_of_a_vanished_namespace_restores_nothing(port: str, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.json"
    nic.PortSettings(snapshot, port).apply([nic.Wanted("cap0")])
    content = json.loads(snapshot.read_text())
    for change in ({"boot_id": "another"}, {"netns": "pytest-no-such-namespace"}):
        snapshot.write_text(json.dumps({**content, **change}))
        nic.PortSettings(snapshot, port).restore()
        assert not features(port)["rx-gro"]
        assert not snapshot.exists()


def test_the_receive_counter_is_that_of_the_kernel(port: str) -> None:
    assert nic.rx_packets(port, ["cap0", "gone0"]) == {"cap0": 0}
    assert nic.rx_packets("pytest-no-such-namespace", ["cap0"]) == {}


def test_the_lab_is_made_once_and_removed_entirely(veth_lab: str) -> None:
    assert lab.up(veth_lab, 2) is False
    found = lab.status(veth_lab)
    assert (found.state, found.queues, found.mtu) == ("up", 2, 9000)
    for netns, name in ((veth_lab, "cap0"), (f"{veth_lab}-tx", "wire0")):
        link = read_network(netns).named(name)
        assert link is not None
        assert (link.mtu, link.up, link.kind) == (9000, True, "veth")
    merging = {"rx-gro", "tx-tcp-segmentation", "tx-generic-segmentation", "tx-vlan-hw-insert", "rx-vlan-hw-parse"}
    assert not any(on for name, on in features(veth_lab).items() if name in merging)
    disabled = namespaces.inside(veth_lab, lambda: Path("/proc/sys/net/ipv6/conf/cap0/disable_ipv6").read_text())
    assert disabled.strip() == "1"
    assert Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip() == "0"
    assert lab.down(veth_lab) is True
    assert lab.down(veth_lab) is False
    assert not any(namespaces.path_of(netns).exists() for netns in (veth_lab, f"{veth_lab}-tx"))


def test_a_broken_or_different_lab_is_made_anew(veth_lab: str) -> None:
    route(veth_lab, lambda ip: ip.link("del", index=ip.link_lookup(ifname="cap0")[0]))
    assert lab.status(veth_lab).state == "partial"
    assert lab.up(veth_lab, 2) is True
    assert lab.up(veth_lab, 3) is True
    assert lab.status(veth_lab).queues == 3


@pytest.mark.parametrize(("name", "queues"), [("../x", 1), ("", 1), ("ok", 0), ("ok", 1000)])
def test_a_lab_that_cannot_be_is_refused(name: str, queues: int) -> None:
    with pytest.raises(OperatorError, match="The lab cannot"):
        lab.up(name, queues)


def test_an_exception_inside_a_namespace_reaches_the_caller_and_we_stay_where_we_were(veth_lab: str) -> None:
    here = Path("/proc/thread-self/ns/net").readlink()
    with pytest.raises(ZeroDivisionError):
        namespaces.inside(veth_lab, lambda: 1 // 0)
    assert namespaces.inside(veth_lab, lambda: Path("/proc/thread-self/ns/net").readlink()) != here
    assert Path("/proc/thread-self/ns/net").readlink() == here
    with pytest.raises(OperatorError, match="ip netns add"):
        namespaces.inside("pytest-no-such-namespace", lambda: None)


@pytest.mark.parametrize(
    ("driver", "bus", "pci"),
    [
        (b"igb", b"0000:02:00.0", "0000:02:00.0"),
        (b"ixgbe", b"10000:E1:00.0", "10000:e1:00.0"),
        (b"r8152", b"usb-0000:00:14.0-2", None),
        (b"veth", b"", None),
        (b"virtio_net", b"a003e00.virtio_mmio", None),
    ],
)
def test_only_a_whole_pci_address_is_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, driver: bytes, bus: bytes, pci: str | None
) -> None:
    told = struct.pack("=I32s32s32s32s64x", 3, driver, b"6.1", b"", bus)
    monkeypatch.setattr(Ethtool, "_call", lambda *_: told)
    with Ethtool() as ethtool:
        identity = ethtool.identity("eth0")
    assert (identity.driver, identity.pci) == (driver.decode(), pci)


@pytest.mark.parametrize(
    ("now", "tx"),
    [(Channels(16, 16, 0, 16, 16, 0), 8), (Channels(16, 4, 0, 16, 16, 0), 4), (Channels(2, 2, 0, 16, 16, 0), 2)],
)
def test_queues_for_sending_that_were_as_many_as_for_receiving_are_no_more_than_those(now: Channels, tx: int) -> None:
    assert now.with_receive(8) == Channels(8, tx, 0, 16, 16, 0)
