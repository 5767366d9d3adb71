"""DPDK's virtual devices from the settings to engine.json: what is taken, what is planned, what is guarded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from capstan import guard, preflight
from capstan.advise_report import report
from capstan.config import CaptureConfig, ConfigError, from_inventory
from capstan.engine_config import Plan, engine_json, resolve
from capstan.errors import UsageError
from capstan.ethtool import Channels
from capstan.links import Link, Network
from capstan.machine import Hugepages, Machine
from capstan.means import Means
from capstan.nic import UNWANTED_FEATURES
from capstan.paths import Paths
from capstan.planner_memory import dpdk_ordinary_bytes
from capstan.virtual_devices import VIRTUAL_DRIVERS, parse
from machines import GIB, MIB, machine, nic

NIC = nic(0, node=1, most=8, name="eth1")
NETWORK = Network(
    (
        Link("eth0", 2, addresses=("192.0.2.2/24",)),
        Link("eth1", 3, pci=NIC.pci, mac=NIC.mac, channels=Channels(0, 0, 8, 0, 0, 8)),
        Link("cap0", 4, kind="veth", channels=Channels(2, 2, 0, 2, 2, 0), rx_queues=2),
        Link("tap0", 5, kind="tun"),
    ),
    default_routes=frozenset({2}),
)
HOST = machine(16, nodes=2, nics=[NIC])
VIRTUAL: dict[str, Any] = {"huge": False}


def config(*entries: dict[str, Any] | str, **settings: Any) -> CaptureConfig:
    interfaces = [{"vdev": entry} if isinstance(entry, str) else entry for entry in entries]
    raw = {"host": "probe", "method": "dpdk", "dpdk": VIRTUAL, "interfaces": interfaces, **settings}
    return CaptureConfig.model_validate(raw)


def plan(*entries: dict[str, Any] | str, host: Machine = HOST, network: Network = NETWORK, **settings: Any) -> Plan:
    return resolve(config(*entries, **settings), network, host)


def refused(*entries: dict[str, Any] | str, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        plan(*entries, **settings)
    return str(caught.value)


# The settings


MISTAKES = [
    ("[{vdev: 7}]", "interfaces[0].vdev: is 7; write name and devargs in quotes"),
    ("[{vdev: net_foo0}]", "interfaces[0].vdev: is 'net_foo0', and DPDK's virtual devices are net_af_packet, net_af"),
    ("[{vdev: 'net_af_paket0,iface=eth1'}]", "(did you mean 'net_af_packet'?); write one with a number, and its"),
    ("[{vdev: net_null}]", "interfaces[0].vdev: names the device net_null; write net_null and a number of one or two"),
    ("[{vdev: net_null123}]", "interfaces[0].vdev: names the device net_null123; write net_null and a number"),
    ("[{vdev: 'net_null0,'}]", "interfaces[0].vdev: has the devargs '', of which '' is no key=value; write pairs"),
    ("[{vdev: 'net_null0,size'}]", "of which 'size' is no key=value; write pairs without blanks and quotes, separated"),
    ("[{vdev: 'net_null0,size=1 --vdev=x'}]", "of which 'size=1 --vdev=x' is no key=value"),
    ("[{vdev: 'net_null0,size=many'}]", "interfaces[0].vdev: has size=many, which is no whole number; write one"),
    ("[{vdev: 'net_null0,colour=1'}]", "has colour=1, and a capture by net_null takes copy, no-rx, size; write one"),
    ("[{vdev: 'net_tap0,remote=eth0'}]", "has remote=eth0, and a capture by net_tap takes iface, mac; write one"),
    ("[{vdev: 'net_pcap0,rx_pcap=/a,tx_iface=eth0'}]", "has tx_iface=eth0, and a capture by net_pcap takes"),
    ("[{vdev: 'net_null0,size=1,size=2'}]", "interfaces[0].vdev: has size= twice; write it once"),
    ("[{vdev: net_af_packet0}]", "has no source; write iface=, such as net_af_packet0,iface=eth1"),
    ("[{vdev: 'net_pcap0,iface=eth1,rx_pcap=/a'}]", "interfaces[0].vdev: has rx_pcap= and iface=; write rx_pcap=,"),
    ("[{vdev: 'net_af_packet0,iface=../eth1'}]", "has iface=../eth1, which cannot be the name of an interface"),
    ("[{vdev: 'net_af_packet0,iface=eth1,qpairs=0'}]", "interfaces[0].vdev: has qpairs=0; write 1 or more"),
    (
        "[{vdev: 'net_memif0,socket=/" + 300 * "a" + "'}]",
        "interfaces[0].vdev: has devargs of 308 characters; write 256",
    ),
    (
        "[{vdev: net_null0}, {vdev: 'net_null0,size=64'}]",
        "interfaces[1]: is net_null0 again, as interfaces[0] is; give",
    ),
    ("[{vdev: net_null0, name: eth1}]", "interfaces[0].name: is written beside vdev: net_null0, and a virtual device"),
    ("[{vdev: net_null0, pci: '0000:19:00.0'}]", "interfaces[0].pci: is written beside vdev: net_null0, and a virtual"),
    ("[{vdev: net_null0, mac: '3c:fd:fe:00:00:01'}]", "interfaces[0].mac: belongs to a network device, and net_null0"),
    (
        "[{vdev: 'net_af_packet0,iface=eth1', method: af_xdp}]",
        "interfaces[0].vdev: is net_af_packet0,iface=eth1, a virtual device of DPDK, and the method is af_xdp; write "
        "method: dpdk beside it, or name: eth1 in its place",
    ),
    ("[{vdev: net_null0, method: auto}]", "and the method is auto; write method: dpdk beside it"),
    ("[{vdev: 'net_af_packet0,iface=eth1,qpairs=2', queues: 3}]", "interfaces[0].queues: is 3, and net_af_packet0,ifa"),
    ("[{pci: '0000:19:00.0'}]\ncapture_dpdk: {huge: false}", "dpdk.huge: is false, and 0000:19:00.0 is a NIC, which"),
    ("[{vdev: net_null0, pci: '0000:19:00.0'}]\ncapture_dpdk: {huge: maybe}", "dpdk.huge: is 'maybe'; write true or"),
]


@pytest.mark.parametrize(("entries", "sentence"), MISTAKES, ids=[sentence[:60] for _, sentence in MISTAKES])
def test_a_mistake_is_told_in_one_sentence_with_host_key_and_remedy(entries: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_inventory("r1", yaml.safe_load(f"capture_method: dpdk\ncapture_interfaces: {entries}"))
    (told,) = caught.value.problems
    assert told.startswith("host r1: capture_")
    assert sentence in told


@pytest.mark.parametrize(
    "text",
    [
        "net_af_packet0,iface=eth1,framecnt=8192",
        "net_af_xdp12,iface=eth1,queue_count=4",
        "net_pcap0,rx_pcap=/srv/a.pcap,rx_pcap=/srv/b.pcap",
        "net_tap0,iface=dtap0",
        "net_memif0,role=client,id=3,socket=/run/memif.sock",
        "net_ring0,nodeaction=R0:0:CREATE",
        "net_null0",
    ],
)
def test_every_device_is_taken_as_it_is_written(text: str) -> None:
    assert str(parse(text)) == text
    assert config(text).interfaces[0].vdev == text
    assert parse(text).driver in VIRTUAL_DRIVERS


def test_dpdk_may_take_a_virtual_device_in_a_namespace_and_no_nic() -> None:
    assert config("net_af_packet0,iface=eth1", netns="lab").netns == "lab"
    with pytest.raises(ConfigError, match=r"capture_netns: .* dpdk takes the NIC from it"):
        from_inventory("r1", {"capture_method": "dpdk", "capture_netns": "lab", "capture_interfaces": [{"name": "e"}]})


# The plan


def test_a_device_over_a_nic_is_planned_as_the_kernels_own_method() -> None:
    made, own = plan("net_af_packet0,iface=eth1"), plan({"name": "eth1"}, method="af_packet", dpdk={})
    ours, theirs = made.host.ports[0], own.host.ports[0]
    assert (ours.vdev, ours.method) == ("net_af_packet0", "dpdk")
    assert replace(ours, vdev=None, method="af_packet", expected_name="eth1", rings=theirs.rings) == theirs
    assert ours.node == 1
    assert ours.driver is None
    assert ours.nic.offloads_off == UNWANTED_FEATURES
    assert made.ports[0].prepared == own.ports[0].prepared is not None
    assert (made.host.isolated, made.host.kernel_arguments) == ((), ())


def test_each_queue_of_af_xdp_s_device_hears_one_of_the_nic_s() -> None:
    made, own = plan("net_af_xdp0,iface=eth1"), plan({"name": "eth1"}, method="af_xdp", dpdk={})
    assert (made.ports[0].queues, made.ports[0].channels) == (own.ports[0].queues, own.ports[0].channels)
    assert plan("net_af_packet0,iface=eth1").ports[0].channels is None
    assert plan("net_af_xdp0,iface=cap0").ports[0].queues == 2


def test_a_device_over_nothing_has_no_node_no_nic_and_one_queue() -> None:
    made = plan("net_null0", "net_pcap0,rx_pcap=/a,rx_pcap=/b", {"vdev": "net_ring0", "queues": 3}, "net_tap1")
    assert [port.queues for port in made.ports] == [1, 2, 3, 1]
    for port in made.host.ports:
        assert (port.interface, port.pci, port.node, port.irq, port.driver, port.netns) == (None,) * 6
        assert not port.through_netdev
    assert all(port.link is None and port.prepared is None for port in made.ports)


def test_queues_are_what_the_devargs_say() -> None:
    assert plan("net_af_packet0,iface=cap0,qpairs=2").ports[0].queues == 2
    assert "interfaces[0].queues: is 16, and net_af_xdp0 has at most 8" in refused(
        "net_af_xdp0,iface=eth1,queue_count=16"
    )


def test_without_hugepages_dpdk_s_memory_is_ordinary_and_in_the_account() -> None:
    two = ["net_null0", {"vdev": "net_af_packet0,iface=cap0", "queues": 2}]
    made = plan(*two, buffers={"hugepages": "auto"})
    assert made.host.hugepages == ()
    assert made.host.hugepages_mounts == ()
    memory = made.host.memory
    assert memory.frames == dpdk_ordinary_bytes(1024, 3) == 3 * 4095 * 16_896 // MIB * MIB + 64 * MIB
    assert memory.left == memory.available - memory.frames - memory.rings - memory.blocks
    pages = plan(*two, dpdk={"huge": True}).host
    assert pages.memory.frames == 0
    assert sum(entry.bytes for entry in pages.hugepages) > 0
    told = refused(*two, host=machine(4, memory=256 * MIB, nics=[NIC]))
    assert "host probe: buffers: " in told
    assert "and 261 MiB of DPDK's frames do not fit" in told


def test_rings_of_a_packet_socket_below_are_in_the_account() -> None:
    def rings(entry: dict[str, Any] | str, mtu: int = 1500, **settings: Any) -> int:
        link = Link("eth1", 3, pci=NIC.pci, mac=NIC.mac, channels=Channels(0, 0, 8, 0, 0, 8), mtu=mtu)
        return plan(entry, network=Network((link,)), **settings).ring_bytes

    one = {"vdev": "net_af_packet0,iface=eth1", "queues": 1}
    assert rings(one) == 2 * 1024 * 2048
    assert rings({**one, "queues": 3}, mtu=9000) == 3 * 2 * 1024 * 16_384
    assert rings(one, nic={"mtu": "auto"}) == 2 * 1024 * 16_384
    assert rings({"vdev": "net_af_packet0,iface=eth1,framesz=4096,framecnt=64,qpairs=2"}) == 2 * 2 * 64 * 4096
    assert rings({"vdev": "net_af_packet0,iface=eth1,blocksz=8192", "queues": 1}) == 2 * 512 * 2048
    assert rings("net_null0") == rings({"vdev": "net_af_xdp0,iface=eth1", "queues": 1}) == 0


def test_the_table_shows_device_and_network_device() -> None:
    text = "\n".join(plan("net_af_packet0,iface=eth1", "net_null0").host.text)
    assert "net_af_packet0 0000:19:00.0 eth1  dpdk    kernel  1" in text
    assert "net_null0                         dpdk    -       -" in text
    assert "in DPDK's buffers" in text
    assert "shares the NIC with DPDK" not in text


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (["net_af_packet0,iface=eth9"], "interfaces[0].vdev: there is no interface eth9; here are eth0, eth1, cap0"),
        (
            ["net_tap0,iface=eth1"],
            "interfaces[0].vdev: is net_tap0,iface=eth1, which makes an interface eth1, and there is one already",
        ),
        (
            [{"name": "eth1", "method": "af_packet"}, "net_af_packet0,iface=eth1"],
            "interfaces[1]: net_af_packet0 captures from eth1, as eth1 (interfaces[0]) does; remove one of the two",
        ),
        (
            ["net_af_packet0,iface=cap0", "net_af_packet1,iface=cap0"],
            "interfaces[1]: net_af_packet1 captures from cap0, as net_af_packet0 (interfaces[0]) does",
        ),
        (
            [{"vdev": "net_af_packet0,iface=eth1", "mac": "3c:fd:fe:00:00:99"}],
            "interfaces[0].mac: is 3c:fd:fe:00:00:99, and net_af_packet0 has 3c:fd:fe:00:00:00",
        ),
    ],
)
def test_what_is_not_there_or_taken_is_told(entries: list[Any], sentence: str) -> None:
    assert sentence in refused(*entries)


def test_a_tap_that_is_there_may_be_the_capture_s_own() -> None:
    assert plan("net_tap0,iface=tap0").ports[0].interface == "net_tap0"


def test_a_device_over_a_nic_that_is_still_bound_waits_for_the_deployment() -> None:
    bound = replace(NIC, driver="vfio-pci", interfaces=(), remembered=True, iommu_group=7)
    told = refused("net_af_packet0,iface=eth1", host=machine(8, nics=[bound]), network=Network(()))
    assert "interfaces[0]: eth1 is on vfio-pci, and net_af_packet0 needs it on the driver of its network" in told


def test_the_program_of_af_xdp_s_device_spares_virtual_functions_of_others() -> None:
    used = machine(8, nics=[replace(NIC, virtual_functions=2)])
    told = refused("net_af_xdp0,iface=eth1", host=used)
    assert "interfaces[0].vdev: is net_af_xdp0,iface=eth1, whose program goes into the NIC's driver" in told
    assert "write net_af_packet0,iface=eth1" in told
    assert plan("net_af_packet0,iface=eth1", host=used).ports[0].queues > 0


# engine.json


def test_the_engine_is_given_name_devargs_and_memory() -> None:
    made = plan("net_af_packet0,iface=cap0,framecnt=8192", "net_null0", {"name": "eth1", "method": "af_packet"})
    first, second, third = engine_json(made, Paths())["ports"]
    assert (first["interface"], first["method"], first["queues"]) == ("net_af_packet0", "dpdk", 2)
    shared = {"descriptors": 1024, "idle": "sleep", "huge": False, "interpolate": False}
    assert first["options"] == {**shared, "devargs": "iface=cap0,framecnt=8192"}
    assert (second["interface"], second["options"]) == ("net_null0", shared)
    assert (third["interface"], third["method"]) == ("eth1", "af_packet")


# Guards and the preflight


@pytest.mark.parametrize("device", ["net_af_packet0,iface=eth0", "net_af_xdp0,iface=eth0", "net_pcap0,rx_iface=eth0"])
def test_a_device_over_the_management_nic_is_refused(device: str) -> None:
    told = [check.sentence for check in preflight._guard(plan(device), NETWORK) if check.state == "failed"]
    assert told == [f"host probe: interfaces: {sentence}" for sentence in guard.refusals(NETWORK, "eth0")]
    assert any("default route" in sentence for sentence in told)
    assert any("has the address 192.0.2.2/24" in sentence for sentence in told)


def test_a_device_needs_no_driver_and_without_hugepages_none(tmp_path: Path) -> None:
    bare = machine(8, nics=[NIC], pages=[Hugepages(2 * MIB)])
    made = plan("net_af_packet0,iface=eth1", host=bare)
    assert list(preflight._dpdk(made, bare, tmp_path)) == []
    (pages,) = preflight._dpdk(plan("net_null0", host=bare, dpdk={}), bare, tmp_path)
    assert (pages.name, pages.state) == ("hugepages", "failed")
    assert pages.sentence.endswith(
        "run playbooks/deploy.yml for this host, or reserve more, or write dpdk.huge: false."
    )


def test_the_memory_of_dpdk_is_in_the_preflight_s_account(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = GIB

    monkeypatch.setattr(preflight.psutil, "virtual_memory", Memory)
    monkeypatch.setattr(preflight, "_free_hugepages", lambda: 0)
    (good,) = preflight._memory(plan("net_null0"))
    assert good.state == "ok"
    assert good.sentence.startswith("129 MiB for DPDK's frames, 0 B for rings and 64 MiB")
    (short,) = preflight._memory(plan("net_null0", dpdk={"huge": False, "descriptors": 32_768}))
    assert short.state == "failed"
    assert "for DPDK's frames" in short.sentence


def test_the_sockets_of_the_method_that_a_device_is_like_are_needed() -> None:
    assert config("net_af_packet0,iface=eth1", "net_af_xdp0,iface=cap0").socket_methods == (
        "dpdk",
        "af_packet",
        "af_xdp",
    )
    assert config("net_pcap0,rx_pcap=/a", "net_null0").socket_methods == ("dpdk",)


# Advice


def test_advice_passes_over_virtual_devices_and_says_so() -> None:
    asked = config("net_af_packet0,iface=eth1", {"name": "cap0", "method": "auto"})
    document = report(asked, HOST, NETWORK, Means(prepares=False))
    assert [port["port"] for port in document["ports"]] == ["cap0"]
    assert document["notes"][-1] == (
        "net_af_packet0,iface=eth1 is a virtual device of DPDK, for which there is no other method; name: eth1 has the "
        "other methods judged."
    )
    alone = report(config("net_null0"), HOST, NETWORK, Means(prepares=False))
    assert alone["ports"] == []
    assert "There is no NIC to be judged on this host." in alone["text"]
