"""From settings and facts to engine.json: who captures what, where."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capstan.config import CaptureConfig
from capstan.engine_config import Plan, engine_json, resolve
from capstan.errors import UsageError
from capstan.ethtool import Channels
from capstan.links import Link, Network
from capstan.machine import Card, Machine
from capstan.paths import Paths
from machines import machine, nic


def combined(count: int) -> Channels:
    return Channels(rx=0, tx=0, combined=count, max_rx=0, max_tx=0, max_combined=16)


NETWORK = Network(
    (
        Link("lo", 1, ethernet=False, loopback=True),
        Link("eth0", 2, pci="0000:00:03.0", channels=combined(1)),
        Link("eth1", 3, pci="0000:19:00.0", channels=combined(8)),
        Link("eth2", 4, pci="0000:19:00.1", channels=combined(8)),
        Link("cap0", 5, kind="veth", channels=Channels(rx=2, tx=2, combined=0, max_rx=4, max_tx=4, max_combined=0)),
        Link("port1", 6, pci="0000:20:00.0"),
        Link("port2", 7, pci="0000:20:00.0"),
    )
)
NICS = [
    replace(nic(most=16, name=name), pci=pci)
    for name, pci in (("eth0", "0000:00:03.0"), ("eth1", "0000:19:00.0"), ("eth2", "0000:19:00.1"))
]
TWO, EIGHT = machine(2, nics=NICS), machine(8, nics=NICS)


def plan(host: Machine = EIGHT, **settings: Any) -> Plan:
    return resolve(CaptureConfig.model_validate(settings), NETWORK, host)


def test_an_interface_is_found_by_its_pci_address() -> None:
    assert plan(interfaces=[{"pci": "0000:19:00.1"}]).ports[0].interface == "eth2"


@pytest.mark.parametrize(
    ("interface", "sentence"),
    [
        ({"name": "eth9"}, "interfaces[0].name: there is no interface eth9; here are eth0, eth1"),
        (
            {"pci": "0000:99:00.0"},
            "interfaces[0].pci: there is no NIC at 0000:99:00.0; this host has 0000:00:03.0 (eth0), 0000:19",
        ),
        ({"pci": "0000:20:00.0"}, "several interfaces (port1, port2); write one of them as name:"),
    ],
)
def test_what_is_not_there_is_told(interface: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(interfaces=[interface])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("interface", "key", "remedy"),
    [
        ({"pci": "0000:20:00.0", "name": "port2"}, "pci", "name: port2"),
        ({"pci": "0000:20:00.0", "name": "port1"}, "pci", "name: port1"),
        ({"pci": "0000:20:00.0"}, "pci", "name: one of port1, port2"),
        ({"name": "port2"}, "name", "name: port2"),
    ],
)
def test_one_of_several_ports_at_a_pci_address_is_refused_for_dpdk(
    interface: dict[str, str], key: str, remedy: str
) -> None:
    card = replace(nic(name="port1"), pci="0000:20:00.0", interfaces=("port1", "port2"))
    here = machine(8, nics=[*NICS, card])
    with pytest.raises(UsageError) as caught:
        resolve(CaptureConfig.model_validate({"host": "h", "method": "dpdk", "interfaces": [interface]}), NETWORK, here)
    assert str(caught.value) == (
        f"host h: interfaces[0].{key}: 0000:20:00.0 has several ports (port1, port2), and dpdk, which knows them by that "
        f"address alone, takes the first whichever is meant; write method: af_packet, or af_xdp, and {remedy}"
    )
    if "name" in interface:
        assert plan(here, method="af_packet", interfaces=[interface]).ports[0].interface == interface["name"]


def test_one_interface_by_two_names_and_unusable_cpus_are_told_together() -> None:
    with pytest.raises(UsageError) as caught:
        plan(interfaces=[{"name": "eth1"}, {"pci": "0000:19:00.0"}], cores=[2, 77])
    assert "eth1 is listed by its name and by its PCI address" in str(caught.value)
    assert "CPU 77 does not exist" in str(caught.value)


def test_auto_queues_are_what_the_nic_can_have_as_far_as_worker_cpus_go() -> None:
    assert plan(interfaces=[{"name": "eth1"}]).ports[0].queues == 6
    assert plan(TWO, interfaces=[{"name": "eth1"}]).ports[0].queues == 1
    assert [port.queues for port in plan(interfaces=[{"name": "eth1"}, {"name": "eth2"}]).ports] == [3, 3]
    assert plan(interfaces=[{"name": "cap0"}]).ports[0].queues == 2
    assert plan(method="pcap", interfaces=[{"name": "eth1"}]).ports[0].queues == 1


def test_af_xdp_needs_as_many_channels_as_sockets() -> None:
    port = plan(method="af_xdp", interfaces=[{"name": "eth1"}]).ports[0]
    assert (port.queues, port.channels) == (6, 6)
    assert plan(interfaces=[{"name": "eth1"}]).ports[0].channels is None


def test_af_xdp_leaves_a_veth_its_queues_because_native_xdp_needs_them() -> None:
    assert plan(TWO, method="af_xdp", interfaces=[{"name": "cap0"}]).ports[0].queues == 2


def test_ports_get_cores_of_their_own_while_there_are_enough() -> None:
    ports = plan(interfaces=[{"name": "eth1"}, {"name": "eth2"}]).ports
    assert [port.cores for port in ports] == [(2, 3, 4), (5, 6, 7)]


def test_the_operators_cores_are_the_workers_and_the_writer_keeps_off_them() -> None:
    chosen = plan(interfaces=[{"name": "eth1", "queues": 2}], cores=[3, 5])
    assert chosen.ports[0].cores == (3, 5)
    assert chosen.writers == (1, 2, 4, 6, 7)


def test_engine_json_says_everything() -> None:
    made = plan(
        interfaces=[{"name": "eth1", "queues": 2}, {"name": "eth2", "method": "af_xdp", "queues": 1}],
        netns="lab",
        filter="udp",
        output={"directory": "/data", "rotate_size": "64MiB"},
    )
    document = engine_json(made, Paths())
    assert document["netns"] == "/run/netns/lab"
    assert document["ledger"] == "/dev/shm/capstan/ledger"
    assert document["ports"][0] == {
        "interface": "eth1",
        "method": "af_packet",
        "queues": 2,
        "cores": [2, 3],
        "snaplen": 262144,
        "promiscuous": True,
        "filter": "udp",
        "options": {"ring_bytes": 67108864, "block_bytes": 1048576, "fanout": "hash"},
    }
    assert document["ports"][1]["options"] == {"mode": "auto", "frames": 16384, "ring": 4096}
    assert document["output"]["rotate_bytes"] == 64 << 20
    assert document["writer"]["flush_ms"] == 1000
    slow = plan(interfaces=[{"name": "eth1"}], output={"latency_ms": 5000})
    assert engine_json(slow, Paths())["writer"]["flush_ms"] == 5000


def test_targets_are_looked_for_where_the_settings_have_some_and_in_the_tunnels_of_each_port() -> None:
    paths = Paths(Path("/x"))
    entry = {"name": "eth1", "tunnels": ["gtp_u"]}
    everything = engine_json(plan(interfaces=[{"name": "eth1"}]), paths)
    assert "targets" not in everything
    assert "tunnels" not in everything["ports"][0]
    some = engine_json(plan(interfaces=[entry], targets=[], output={"by_target": True}), paths)
    assert some["targets"] == {"directory": "/x/var/lib/capstan/targets", "streams": True}
    assert some["ports"][0]["tunnels"] == ["gtp_u"]


def test_replay_needs_no_interface() -> None:
    made = plan(method="replay", interfaces=[{"name": "label"}], replay={"file": "/a.pcapng"})
    options = {"file": "/a.pcapng", "loops": 1, "pace": "fast", "fcs": "strip"}
    assert engine_json(made, Paths())["ports"][0]["options"] == options
    assert made.ports[0].link is None


def test_memory_is_the_sum_over_queues() -> None:
    made = plan(interfaces=[{"name": "eth1", "queues": 4}])
    assert made.ring_bytes == 4 * (64 << 20)
    assert made.pool_bytes == 4 * 64 * (1 << 20)


def test_what_brings_packets_into_targets_files_takes_memory_where_it_is_asked_for() -> None:
    shared: dict[str, Any] = {"interfaces": [{"name": "eth1"}], "buffers": {"stream_size": "32MiB"}, "targets": []}
    asked, plain = (plan(output={"by_target": by_target}, **shared) for by_target in (True, False))
    assert asked.pool_bytes - plain.pool_bytes == asked.queues * 32 * (1 << 20)
    written = engine_json(asked, Paths())
    assert written["buffers"]["stream_bytes"] == 32 * (1 << 20)
    assert written["output"]["open_files"] == 1024
    assert written["targets"]["streams"] is True
    assert engine_json(plain, Paths())["targets"]["streams"] is False


BOUND = replace(nic(), driver="vfio-pci", interfaces=(), remembered=True, iommu_group=7)


def dpdk(host: Machine, network: Network = Network(()), **settings: Any) -> Plan:  # noqa: B008 - frozen
    chosen = {"method": "dpdk", "interfaces": [{"pci": BOUND.pci, "queues": 2}], **settings}
    return resolve(CaptureConfig.model_validate(chosen), network, host)


def test_dpdk_is_given_the_pci_address_and_its_own_options() -> None:
    made = dpdk(machine(8, nics=[BOUND]), dpdk={"descriptors": 2048, "idle": "poll"})
    document = engine_json(made, Paths())["ports"][0]
    assert (document["interface"], document["method"], document["cores"]) == ("0000:19:00.0", "dpdk", [2, 3])
    assert document["options"] == {"descriptors": 2048, "idle": "poll", "huge": True, "interpolate": False}
    assert made.ports[0].link is None
    assert made.ports[0].prepared is None


def test_dpdk_leaves_the_settings_of_a_shared_network_device_alone() -> None:
    shared = replace(nic(), driver="mlx5_core", kernel_driver="mlx5_core")
    made = dpdk(machine(8, nics=[shared]), Network((Link("ens0f0", 3, pci=shared.pci),)))
    assert made.ports[0].link is not None
    assert made.ports[0].prepared is None


def test_a_nic_that_is_still_bound_is_no_port_of_the_kernel() -> None:
    with pytest.raises(UsageError) as caught:
        dpdk(machine(8, nics=[BOUND]), method="af_packet")
    assert "interfaces[0]: ens0f0 is on vfio-pci, and af_packet needs it on the driver" in str(caught.value)
    assert "run playbooks/deploy.yml" in str(caught.value)


def test_pf_ring_is_given_its_own_options_and_a_channel_for_each_queue() -> None:
    made = plan(method="pf_ring", interfaces=[{"name": "eth1", "queues": 2}])
    document = engine_json(made, Paths())["ports"][0]
    assert (document["interface"], document["method"], document["queues"]) == ("eth1", "pf_ring", 2)
    assert document["options"] == {"zc": False, "spread": "channels", "watermark": 128, "hardware_time": False}
    assert made.ports[0].channels == 2
    assert made.ports[0].prepared is not None


def test_a_kernel_cluster_of_pf_ring_may_have_more_queues_than_the_nic() -> None:
    settings = {"spread": "flow_5_tuple", "library": "/opt/pfring/libpfring.so"}
    made = plan(method="pf_ring", interfaces=[{"name": "eth1", "queues": 40}], pf_ring=settings)
    options = engine_json(made, Paths())["ports"][0]["options"]
    assert (options["spread"], options["library"]) == ("flow_5_tuple", "/opt/pfring/libpfring.so")
    assert made.ports[0].channels is None
    with pytest.raises(UsageError, match="eth1 has at most"):
        plan(method="pf_ring", interfaces=[{"name": "eth1", "queues": 40}])


def test_rings_of_pf_ring_take_their_slots_of_whole_frames() -> None:
    def rings(**settings: Any) -> int:
        return plan(method="pf_ring", interfaces=[{"name": "eth1", "queues": 2}], **settings).ring_bytes

    assert rings() == 2 * 65_536 * (1522 + 64)
    assert rings(snaplen=96) == 2 * 65_536 * (96 + 64)
    assert rings(snaplen=96, filter="udp", nic={"mtu": 9000}) == 2 * 65_536 * (9022 + 64)
    assert rings(pf_ring={"zc": True, "licence": "/l"}) == 0


def test_a_dag_card_is_opened_by_its_name_with_its_streams() -> None:
    host = machine(8, nodes=2, nics=NICS, cards=[Card("dag0", "0000:41:00.0", 1), Card("dag1")])
    cards = [{"name": "/dev/dag0", "streams": [4, 0]}, {"name": "dag1", "queues": 2}]
    dag = {"library": "/opt/dag/lib/libdag.so", "drop_attribute": 12}
    made = plan(host, method="dag", interfaces=cards, dag=dag)
    first, second = engine_json(made, Paths())["ports"]
    shared = {"library": "/opt/dag/lib/libdag.so", "drop_attribute": 12, "fcs": "strip", "idle": "sleep"}
    assert (first["interface"], first["queues"], first["options"]) == ("dag0", 2, {**shared, "streams": (4, 0)})
    assert (second["interface"], second["queues"], second["options"]) == ("dag1", 2, shared)
    port, other = made.ports
    # Nothing of a network device: no driver to bind, no interrupt, no setting, no namespace.
    assert (port.link, port.prepared, port.channels) == (None, None, None)
    assert (port.planned.pci, port.planned.driver, port.planned.irq, port.planned.node) == (None, None, None, 1)
    assert port.planned.nic == type(port.planned.nic)()
    assert port.planned.expected_name is None
    # Its workers are on its NUMA node: CPUs 4 to 7.
    assert set(port.cores) <= {4, 5, 6, 7}
    assert other.planned.node is None
    assert any("dag0" in line and "dag" in line and "none" in line for line in made.host.text)


def test_a_card_without_streams_is_read_by_one_queue() -> None:
    made = plan(machine(8, cards=[Card("dag0")]), method="dag", interfaces=[{"name": "dag0"}])
    assert [port.queues for port in made.ports] == [1]


def test_a_card_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError) as caught:
        plan(machine(8, cards=[Card("dag1")]), method="dag", interfaces=[{"name": "dag0"}])
    told = str(caught.value)
    assert "interfaces[0].name: there is no DAG card /dev/dag0; load the vendor's kernel module" in told
    assert "here are /dev/dag1" in told
    # By another method its name is one of an interface, which there is none of.
    with pytest.raises(UsageError) as caught:
        plan(machine(8, cards=[Card("dag0")]), interfaces=[{"name": "dag0"}])
    assert "there is no interface dag0" in str(caught.value)


def test_cards_and_nics_go_together() -> None:
    made = plan(
        machine(8, nics=NICS, cards=[Card("dag0")]), interfaces=[{"name": "eth1"}, {"name": "dag0", "method": "dag"}]
    )
    assert [(port.interface, port.method) for port in made.ports] == [("eth1", "af_packet"), ("dag0", "dag")]
    assert made.ports[0].link is not None
