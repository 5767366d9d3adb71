"""What is planned on machines that are described here, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

import plan_document
from capstan.config import CaptureConfig
from capstan.errors import UsageError
from capstan.ethtool import Channels
from capstan.host_plan import HostPlan, KernelArgument, NicTuning, PlannedMount, PlannedPages, PollTuning
from capstan.links import Link, Network
from capstan.machine import Hugepages, Machine, Nic
from capstan.nic import UNWANTED_FEATURES
from capstan.planner import plan_host
from capstan.planner_memory import dpdk_buffers
from machines import GIB, MIB, machine, nic


def links(*nics: Nic) -> Network:
    """The network devices of these NICs."""
    return Network(
        tuple(
            Link(str(nic.interface), 2 + at, pci=nic.pci, mac=nic.mac) for at, nic in enumerate(nics) if nic.interfaces
        )
    )


def plan(host: Machine, network: Network | None = None, **settings: Any) -> HostPlan:
    chosen = {"host": "probe", "interfaces": [{"pci": known.pci} for known in host.nics], **settings}
    return plan_host(CaptureConfig.model_validate(chosen), host, links(*host.nics) if network is None else network)


def refused(host: Machine, network: Network | None = None, **settings: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        plan(host, network, **settings)
    return str(caught.value).splitlines()


BOUND = replace(nic(), driver="vfio-pci", interfaces=(), rx_queues=None, remembered=True, iommu_group=7)


# Cores


def test_small_machines() -> None:
    one = plan(machine(1, nics=[nic()]))
    assert (one.workers, one.writers, one.housekeeping) == ((0,), (), (0,))
    two = plan(machine(2, nics=[nic()]))
    assert (two.workers, two.writers, two.housekeeping) == ((1,), (0,), (0,))
    threads = plan(machine(1, threads=2, nics=[nic()]))
    assert (threads.workers, threads.writers, threads.housekeeping) == ((1,), (0,), (0,))


def test_one_cpu_is_not_isolated_and_may_not_be() -> None:
    alone = machine(1, nics=[nic()])
    assert plan(alone, method="dpdk").isolated == ()
    assert "No CPU is isolated, because there is one alone." in plan(alone, method="dpdk").notes
    (told,) = refused(alone, kernel={"isolate_cpus": "on"})
    assert (
        told == "host probe: kernel.isolate_cpus: is on, and this machine has one CPU, which runs everything; write off"
    )


def test_isolation_on_two_cpus_leaves_one_to_the_system() -> None:
    made = plan(machine(2, nics=[nic()]), kernel={"isolate_cpus": "on"})
    assert (made.isolated, made.housekeeping) == ((1,), (0,))


def test_workers_are_on_the_nics_node_and_the_writer_beside_them() -> None:
    made = plan(machine(16, nodes=2, nics=[nic(node=1, most=4)]))
    assert made.ports[0].workers == (10, 11, 12, 13)
    assert made.writers == (8, 9)
    assert made.ports[0].node == 1


def test_ports_on_different_nodes_have_workers_on_their_own() -> None:
    made = plan(machine(16, nodes=2, nics=[nic(0, node=0, most=3), nic(1, node=1, most=3)]))
    assert [port.workers for port in made.ports] == [(3, 4, 5), (8, 9, 10)]


def test_cores_that_one_port_cannot_use_are_the_others() -> None:
    made = plan(machine(8, nics=[nic(0, most=1), nic(1, most=16)]))
    assert [port.queues for port in made.ports] == [1, 5]


def test_a_core_is_one_worker_s_and_its_other_thread_stays_idle() -> None:
    made = plan(machine(4, threads=2, nics=[nic()]))
    assert made.workers == (1, 2, 3)
    assert made.housekeeping == (0, 4)


def test_second_threads_work_when_more_queues_are_asked_for() -> None:
    host = machine(4, threads=2, nics=[nic()])
    made = plan(host, interfaces=[{"name": "ens0f0", "queues": 5}])
    assert made.ports[0].workers == (1, 2, 3, 5, 6)


def test_idle_threads_are_isolated_with_their_core() -> None:
    made = plan(machine(4, threads=2, nics=[nic()]), method="dpdk")
    assert made.isolated == (1, 2, 3, 5, 6, 7)


def test_more_queues_than_cpus_take_turns_and_that_is_told() -> None:
    made = plan(machine(3, nics=[nic()]), interfaces=[{"name": "ens0f0", "queues": 5}])
    assert made.ports[0].workers == (1, 2)
    assert "ens0f0 has more queues (5) than CPUs (2): some take turns." in made.notes


def test_the_last_core_of_the_nics_node_is_a_worker_s() -> None:
    made = plan(machine(8, nodes=8, nics=[nic(node=3)]))
    assert made.ports[0].workers == (3,)


def test_a_node_without_free_cores_borrows_the_nearest() -> None:
    made = plan(machine(8, nodes=8, nics=[nic(node=0)]))
    assert made.ports[0].workers == (2,)  # CPU 0 is the system's, CPU 1 the writer's
    assert "ens0f0 is on NUMA node 0 and has workers elsewhere: CPU 2." in made.notes


def test_cores_that_an_asked_for_queue_borrows_are_no_other_ports() -> None:
    host = machine(8, nodes=2, threads=2, nics=[nic(), nic(1, node=1)])
    made = plan(host, interfaces=[{"name": "ens1f0"}, {"name": "ens0f0", "queues": 6}])
    borrowed, asked = (port.workers for port in made.ports)
    assert asked == (2, 3, 10, 11, 6, 7)  # CPU 0 is the system's, CPU 1 the writer's
    assert borrowed == (4, 5)


def test_a_port_of_an_unknown_node_takes_no_core_of_another_port() -> None:
    cards = [nic(node=None, most=1), nic(1, node=None, most=1), nic(2, node=1)]
    host = machine(8, nodes=2, threads=2, isolated=[4, 5, 10, 11], nics=cards)
    made = plan(host, interfaces=[{"name": f"ens{index}f0"} for index in range(3)])
    assert [port.workers for port in made.ports] == [(10,), (11,), (4, 5)]


def test_isolated_cpus_are_the_workers_and_stay_as_they_are() -> None:
    host = machine(8, isolated=[4, 5, 6, 7], nics=[nic(most=2)])
    made = plan(host, method="dpdk")
    assert made.workers == (4, 5)
    assert made.isolated == (4, 5, 6, 7)
    assert made.housekeeping == (0, 1, 2, 3)


@pytest.mark.parametrize("cores", ["auto", [4, 5]])
def test_an_isolcpus_of_the_operators_own_is_not_contradicted(cores: Any) -> None:
    line = ("isolcpus=4-7", "nohz_full=4-7", "rcu_nocbs=4-7")
    host = replace(machine(8, isolated=[4, 5, 6, 7], nics=[nic(most=2)]), command_line=line)
    made = plan(host, method="dpdk", cores=cores)
    assert made.workers == (4, 5)
    assert [entry.argument for entry in made.kernel_arguments] == ["intel_iommu=on", "iommu=pt"]


def test_cores_that_the_operator_did_not_isolate_are() -> None:
    host = replace(machine(8, isolated=[4, 5], nics=[nic(most=2)]), command_line=("isolcpus=4-5",))
    made = plan(host, method="dpdk", cores=[2, 3])
    assert "isolcpus=managed_irq,domain,2-5" in [entry.argument for entry in made.kernel_arguments]


def test_cpus_isolated_by_an_earlier_plan_do_not_hold_the_next_one() -> None:
    line = ("isolcpus=managed_irq,domain,7",)
    host = replace(machine(8, isolated=[7], nics=[nic()]), command_line=line, own_arguments=line)
    assert plan(host).workers == (2, 3, 4, 5, 6, 7)


def test_the_operators_cores_are_the_workers_in_their_order() -> None:
    made = plan(machine(8, nics=[nic(most=2)]), cores=[5, 3, 6], kernel={"isolate_cpus": "on"})
    assert made.ports[0].workers == (5, 3)
    assert made.isolated == (3, 5, 6)
    assert made.writers == (1, 2, 4, 7)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cores": [2, 99]}, "cores: CPU 99 does not exist; write CPUs out of 0-4,6-7, or auto"),
        ({"cores": [2, 5]}, "cores: CPU 5 is offline; write CPUs out of 0-4,6-7, or auto"),
        (
            {"cores": [0, 1, 2, 3, 4, 6, 7]},
            "cores: takes all CPUs (0-4,6-7), and the system needs one; leave out CPU 0",
        ),
        (
            {"cores": [0, 1], "kernel": {"isolate_cpus": "on"}},
            "cores: CPU 0 is the one that the kernel itself needs, and cores are isolated here; write CPUs out of 1-4,6-7",
        ),
    ],
)
def test_cores_that_cannot_be_had(settings: dict[str, Any], sentence: str) -> None:
    (told,) = refused(machine(8, offline=[5], nics=[nic()]), **settings)
    assert told.startswith(f"host probe: {sentence}")


def test_cores_outside_of_the_affinity_mask_are_refused() -> None:
    host = machine(4, nics=[nic()])
    host = replace(host, cpus=tuple(replace(cpu, usable=cpu.number != 3) for cpu in host.cpus))
    assert "CPU 3 is kept from this system's processes" in refused(host, cores=[3])[0]
    assert plan(host).workers == (1, 2)


# NICs


HOST = machine(8, nics=[nic(0), nic(1)])


@pytest.mark.parametrize(
    ("interfaces", "sentence"),
    [
        ([{"name": "ens9"}], "interfaces[0].name: there is no interface ens9; here are ens0f0, ens1f0"),
        (
            [{"pci": "0000:99:00.0"}],
            "interfaces[0].pci: there is no NIC at 0000:99:00.0; this host has 0000:19:00.0 (ens0f0), 0000:1a:00.0 (ens1f0)",
        ),
        (
            [{"pci": "0000:00:1f.2"}],
            "interfaces[0].pci: 0000:00:1f.2 is no NIC, but a device of PCI class 0x010601; this",
        ),
        (
            [{"name": "ens0f0"}, {"pci": "0000:19:00.0"}],
            "interfaces[1]: ens0f0 is listed by its name and by its PCI address, here and as interfaces[0]; write it once",
        ),
        (
            [{"name": "ens1f0", "pci": "0000:19:00.0"}],
            'interfaces[0].name: is ens1f0, and the NIC at 0000:19:00.0 is ens0f0; write name: ens0f0, or pci: "0000:1a:00.0"',
        ),
        (
            [{"name": "ens0f0", "mac": "3c:fd:fe:00:00:01"}],
            "interfaces[0].mac: is 3c:fd:fe:00:00:01, and ens0f0 has 3c:fd:fe:00:00:00; "
            'write mac: "3c:fd:fe:00:00:00", or pci: "0000:1a:00.0", which has that address',
        ),
        (
            [{"name": "ens0f0", "queues": 17}],
            "interfaces[0].queues: is 17, and ens0f0 has at most 16 receive queues; write 16",
        ),
    ],
)
@pytest.mark.parametrize("method", ["af_packet", "dpdk"])
def test_wrong_interfaces(interfaces: list[dict[str, Any]], sentence: str, method: str) -> None:
    host = replace(HOST, other_devices=(("0000:00:1f.2", "0x010601"),))
    (told,) = refused(host, links(*HOST.nics), interfaces=interfaces, method=method)
    assert told.startswith(f"host probe: {sentence}")


def test_dpdk_takes_nics_of_the_pci_bus_alone() -> None:
    network = Network((Link("cap0", 5, kind="veth"),))
    (told,) = refused(HOST, network, method="dpdk", interfaces=[{"name": "cap0"}])
    assert told.startswith("host probe: interfaces[0].name: cap0 is not on the PCI bus, and dpdk takes NICs that are")


def test_a_bound_nic_counts_as_present_whatever_the_method_now_is() -> None:
    host = machine(8, nics=[BOUND])
    for entry in ({"name": "ens0f0"}, {"pci": BOUND.pci}, {"pci": BOUND.pci, "name": "ens0f0", "mac": BOUND.mac}):
        bound, back = plan(host, method="dpdk", interfaces=[entry]), plan(host, interfaces=[entry])
        assert (bound.ports[0].interface, bound.ports[0].driver, bound.ports[0].queues) == ("ens0f0", "vfio-pci", 6)
        assert (back.ports[0].interface, back.ports[0].driver, back.ports[0].queues) == ("ens0f0", None, 6)
    (told,) = refused(host, interfaces=[{"pci": BOUND.pci, "mac": "3c:fd:fe:00:00:99"}])
    assert "interfaces[0].mac: is 3c:fd:fe:00:00:99, and ens0f0 has 3c:fd:fe:00:00:00" in told


def test_a_nic_that_somebody_else_bound_is_no_port_of_the_kernel_and_has_one_queue_for_dpdk() -> None:
    host = machine(8, nics=[replace(BOUND, interface=None, remembered=False, kernel_driver=None, rx_queues_max=None)])
    assert "give it back to the driver of its network device, or write method: dpdk" in refused(host)[0]
    made = plan(host, method="dpdk")
    assert made.ports[0].queues == 1
    assert any("was bound to vfio-pci by somebody else" in note for note in made.notes)


@pytest.mark.parametrize(
    ("most", "settings", "good"),
    [
        (1, {"queues": 4}, True),  # the kernel spreads what a NIC with one queue receives
        (2, {"queues": 4}, False),
        (1, {"queues": 4, "method": "dpdk"}, False),
        (1, {"queues": 4, "method": "af_xdp"}, False),
    ],
)
def test_queues_over_the_nics(most: int, settings: dict[str, Any], good: bool) -> None:
    host, entry = machine(8, nics=[nic(most=most)]), {"name": "ens0f0", **settings}
    if good:
        assert plan(host, interfaces=[entry]).ports[0].queues == 4
    else:
        assert (
            f"ens0f0 has at most {most} receive queues; write {most}, or auto" in refused(host, interfaces=[entry])[0]
        )


@pytest.mark.parametrize("method", ["af_packet", "dpdk"])
@pytest.mark.parametrize(("model", "queues"), [("8086:10fb", 16), ("8086:1528", 16), ("8086:1563", 27)])
def test_a_nic_has_no_more_queues_than_its_rss_reaches(method: str, model: str, queues: int) -> None:
    card = nic(most=63, model=model, driver="ixgbe", kernel_driver="ixgbe")
    made = plan(machine(32, nics=[card]), method=method)
    assert (made.ports[0].queues, len(made.ports[0].workers)) == (queues, queues)
    assert not [note for note in made.notes if "spreads packets" in note]
    bound = replace(card, interfaces=(), driver="vfio-pci", remembered=True)
    if method == "dpdk":
        assert plan(machine(32, nics=[bound]), Network(()), method=method).ports[0].queues == queues


def test_queues_that_rss_does_not_reach_are_told() -> None:
    host = machine(32, nics=[nic(most=63, model="8086:10fb")])
    made = plan(host, interfaces=[{"name": "ens0f0", "queues": 20}])
    assert made.ports[0].queues == 20
    assert made.notes == (
        "ens0f0 has 20 queues, and this model spreads packets over 16 at most: its other queues stay empty; "
        "write queues: 16, or auto.",
    )


def test_cards_with_two_ports_at_one_address_are_told_apart_by_name() -> None:
    card = replace(nic(), interfaces=("port1", "port2"), interface="port1")
    network = Network((Link("port1", 3, pci=card.pci), Link("port2", 4, pci=card.pci)))
    made = plan(machine(8, nics=[card]), network, interfaces=[{"name": "port1"}, {"pci": card.pci, "name": "port2"}])
    assert [port.interface for port in made.ports] == ["port1", "port2"]
    assert "write one of them as name:" in refused(machine(8, nics=[card]), network, interfaces=[{"pci": card.pci}])[0]


def test_mellanox_cards_stay_on_their_kernel_driver() -> None:
    made = plan(machine(8, nics=[nic(driver="mlx5_core", kernel_driver="mlx5_core")]), method="dpdk")
    assert made.ports[0].driver is None
    assert not [entry for entry in made.kernel_arguments if "iommu" in entry.argument]


# Virtual functions

GUESTS = replace(nic(most=16), virtual_functions=2)
FOUR_QUEUES = Network((Link("ens0f0", 2, pci=GUESTS.pci, mac=GUESTS.mac, channels=Channels(0, 0, 4, 0, 0, 16)),))


@pytest.mark.parametrize(
    ("settings", "queues"),
    [
        ({}, 6),  # the kernel spreads the packets of the NIC's four queues
        ({"af_packet": {"fanout": "queue"}}, 4),
        ({"method": "af_xdp", "af_xdp": {"mode": "skb"}}, 4),
        ({"method": "pcap"}, 1),
        ({"method": "pf_ring"}, 4),
        ({"interfaces": [{"name": "ens0f0", "queues": 3}]}, 3),
    ],
)
def test_what_would_reset_a_nic_with_virtual_functions_is_left(settings: dict[str, Any], queues: int) -> None:
    made = plan(machine(8, nics=[GUESTS]), FOUR_QUEUES, **settings)
    (port,) = made.ports
    assert port.queues == queues
    assert port.nic.channels == (4 if queues == 4 else None)
    assert (port.nic.rx_ring, port.nic.mtu, port.nic.private_flags) == (None, None, None)
    assert len(port.irq or ()) == 4
    assert made.notes[0] == (
        "ens0f0 has 2 virtual functions in use: its queues, ring, MTU and private flags stay as they are, because to "
        "change them interrupts their link."
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"interfaces": [{"name": "ens0f0", "queues": 8}], "af_packet": {"fanout": "queue"}},
            "interfaces[0].queues: is 8 where the NIC has 4, and to change that interrupts the link of the 2 virtual functions "
            "in use of ens0f0; write 4, or auto, or write 0 into /sys/bus/pci/devices/0000:19:00.0/sriov_numvfs once",
        ),
        (
            {"method": "af_xdp"},
            "method: is af_xdp, whose program goes into the NIC's driver, which interrupts the link of the 2 virtual functions "
            "in use of ens0f0; write af_packet, or af_xdp.mode: skb, or write 0 into",
        ),
        ({"nic": {"rx_ring": 512}}, "nic.rx_ring: is 512, and to change it interrupts the link of the 2"),
        ({"nic": {"mtu": "auto"}}, "nic.mtu: is auto, and to change it interrupts"),
        ({"nic": {"private_flags": {"a": True}}}, "nic.private_flags: is {'a': True}, and to change it interrupts"),
    ],
)
def test_what_would_reset_a_nic_with_virtual_functions_is_refused(settings: dict[str, Any], sentence: str) -> None:
    (told,) = refused(machine(8, nics=[GUESTS]), FOUR_QUEUES, **settings)
    assert told.startswith(f"host probe: {sentence}")


def test_drivers_that_spare_virtual_functions_are_not_kept_from_anything() -> None:
    card = replace(GUESTS, driver="mlx5_core", kernel_driver="mlx5_core")
    made = plan(machine(8, nics=[card]), FOUR_QUEUES, method="af_xdp", nic={"rx_ring": 512})
    assert (made.ports[0].nic.channels, made.ports[0].nic.rx_ring, made.notes) == (6, 512, ())


# Tuning and interrupts


def test_each_queues_interrupt_goes_to_its_worker() -> None:
    port = plan(machine(8, nics=[nic(most=4)])).ports[0]
    assert port.irq == ((2,), (3,), (4,), (5,))
    assert port.nic == NicTuning(
        4, "max", UNWANTED_FEATURES, "symmetric", True, None, None, {"fw-lldp-agent": False}, True
    )
    assert port.busy_poll == PollTuning()


def test_a_nic_with_one_queue_has_one_interrupt() -> None:
    port = plan(machine(8, nics=[nic(most=1)]), interfaces=[{"name": "ens0f0", "queues": 4}]).ports[0]
    assert (port.irq, port.nic.channels, port.queues) == (((2,),), 1, 4)


@pytest.mark.parametrize("settings", [{"method": "dpdk"}, {"irq_affinity": "off"}])
def test_interrupts_that_are_left(settings: dict[str, Any]) -> None:
    assert plan(machine(8, nics=[nic()]), **settings).ports[0].irq is None


def test_what_is_to_be_left_is_left() -> None:
    leave = {
        "rx_ring": "leave",
        "offloads": "leave",
        "rss": "leave",
        "flow_director": "leave",
        "private_flags": "leave",
    }
    port = plan(machine(8, nics=[nic(most=4)]), nic=leave, promiscuous=False).ports[0]
    assert port.nic == NicTuning(channels=4)
    assert plan(machine(8, nics=[nic()]), method="dpdk").ports[0].nic == NicTuning()


def test_what_is_written_is_taken_and_auto_has_values() -> None:
    chosen = plan(
        machine(8, nics=[nic()]),
        nic={"rx_ring": 1024, "rx_usecs": "auto", "mtu": 9000, "private_flags": {"a": True}},
        busy_poll={"napi_defer_hard_irqs": "auto", "gro_flush_timeout": 50_000, "threaded": True},
    ).ports[0]
    assert (chosen.nic.rx_ring, chosen.nic.rx_usecs, chosen.nic.mtu) == (1024, "adaptive", 9000)
    assert chosen.nic.private_flags == {"a": True}
    assert chosen.busy_poll == PollTuning(2, 50_000, True)


def test_virtual_interfaces_are_left_as_they_are() -> None:
    veth = Link("cap0", 5, kind="veth", channels=Channels(2, 2, 0, 4, 4, 0))
    made = plan(HOST, Network((veth,)), interfaces=[{"name": "cap0", "method": "af_xdp"}])
    port = made.ports[0]
    assert (port.pci, port.queues, port.nic, port.irq) == (None, 2, NicTuning(), None)


def test_an_af_xdp_port_whose_queues_cannot_be_set_has_a_socket_for_each() -> None:
    host = machine(2, nics=[nic(most=4)])
    network = Network((Link("ens0f0", 3, pci=nic().pci, rx_queues=4),))
    assert plan(host, network, method="af_xdp").ports[0].queues == 4


# Memory


def test_dpdk_buffers_are_counted_as_the_engine_counts_them() -> None:
    # cap_dpdk_buffers() of native/drivers/dpdk/options.c
    assert [dpdk_buffers(descriptors) for descriptors in (64, 1024, 4096, 32_768)] == [2047, 4095, 8191, 65_535]


@pytest.mark.parametrize(
    ("driver", "method", "most", "ring"),
    [
        ("ice", "af_xdp", 8160, 4096),
        ("ice", "af_xdp", 4096, 4096),
        ("ice", "af_xdp", None, "max"),
        ("ice", "af_packet", 8160, "max"),
        ("bnxt_en", "af_xdp", 8191, "max"),
    ],
)
def test_a_ring_is_one_that_zero_copy_can_be_had_with(
    driver: str, method: str, most: int | None, ring: int | str
) -> None:
    host = machine(8, nics=[nic(driver=driver, kernel_driver=driver, rx_ring_max=most)])
    assert plan(host, method=method).ports[0].nic.rx_ring == ring


@pytest.mark.parametrize(("line", "fits"), [("default_hugepagesz=1G", False), ("default_hugepagesz=2M", True)])
def test_a_kernel_with_other_default_pages_is_refused_before_a_nic_is_bound(line: str, fits: bool) -> None:
    host = replace(HOST, command_line=("quiet", line, "hugepagesz=1G"))
    assert plan(host).hugepages == ()
    if fits:
        assert plan(host, method="dpdk").hugepages
    else:
        assert refused(host, method="dpdk")[0].startswith(
            "host probe: hugepages: derives pages of 2 MiB, and the kernel's command line has default_hugepagesz=1G"
        )


def test_dpdk_has_hugepages_on_the_nics_node() -> None:
    made = plan(machine(16, nodes=2, nics=[nic(node=1, most=2)]), method="dpdk")
    frames, blocks = 2 * 4095 * 2560 + 64 * MIB, 2 * 64 * MIB
    assert made.hugepages == (PlannedPages(2 * MIB, 1, -(-frames // (2 * MIB)) + blocks // (2 * MIB)),)
    assert made.hugepages_mounts == (PlannedMount(2 * MIB, "/dev/hugepages"),)
    assert made.memory.blocks == 0
    assert made.memory.left == made.memory.available - made.memory.hugepages


def test_nothing_is_reserved_where_nothing_needs_it() -> None:
    made = plan(HOST)
    assert (made.hugepages, made.hugepages_mounts, made.kernel_arguments) == ((), (), ())
    assert plan(HOST, buffers={"hugepages": "on"}).hugepages == (PlannedPages(2 * MIB, 0, 6 * 32),)


def test_large_pages_are_for_frames_and_come_with_a_boot() -> None:
    host = machine(8, nics=[nic(most=6)])
    made = plan(host, method="dpdk", dpdk={"descriptors": 32_768}, interfaces=[{"name": "ens0f0", "queues": 1}])
    assert {pages.size for pages in made.hugepages} == {2 * MIB}
    made = plan(host, method="dpdk", hugepages={"size": "1GiB"})
    assert made.hugepages == (PlannedPages(2 * MIB, 0, 6 * 32), PlannedPages(GIB, 0, 1))
    assert KernelArgument("hugepagesz=1G", "capture_hugepages", True) in made.kernel_arguments
    assert KernelArgument("hugepages=0:1", "capture_hugepages", True) in made.kernel_arguments
    assert PlannedMount(GIB, "/dev/hugepages1G") in made.hugepages_mounts
    there = plan(
        machine(8, nics=[nic()], pages=[Hugepages(2 * MIB), Hugepages(GIB, 1, 1)]),
        method="dpdk",
        hugepages={"size": "1GiB"},
    )
    assert KernelArgument("hugepages=0:1", "capture_hugepages", False) in there.kernel_arguments


def with_large_pages(counts: tuple[int, int], *line: str, ours: bool = False) -> Machine:
    """Two nodes with a NIC on the second, booted with so many pages of 1 GiB."""
    host = machine(16, nodes=2, nics=[nic(node=1)])
    nodes = tuple(
        replace(node, hugepages=(Hugepages(2 * MIB), Hugepages(GIB, count, count)))
        for node, count in zip(host.nodes, counts, strict=True)
    )
    return replace(host, nodes=nodes, command_line=line, own_arguments=line if ours else ())


@pytest.mark.parametrize(
    "line",
    [
        ("hugepagesz=1G", "hugepages=8"),
        ("default_hugepagesz=2M", "hugepages=512", "hugepagesz=1024M", "hugepages=0:2,1:6"),
    ],
)
def test_large_pages_of_the_operators_own_are_used_where_they_are_enough(line: tuple[str, ...]) -> None:
    made = plan(with_large_pages((4, 4), *line), method="dpdk", hugepages={"size": "1GiB"})
    assert PlannedPages(GIB, 1, 1) in made.hugepages
    assert not [argument for argument in arguments(made) if "hugepages" in argument]


def test_large_pages_of_the_operators_own_that_are_too_few_are_refused_with_what_to_write() -> None:
    host = with_large_pages((1, 0), "hugepagesz=1G", "hugepages=1")
    (told,) = refused(host, method="dpdk", hugepages={"size": "1GiB"})
    assert told == (
        "host probe: hugepages: needs 1 of 1 GiB on node 1, which has 0 by hugepagesz=1G hugepages=1 on the kernel's "
        "command line; write hugepagesz=1G hugepages=0:1,1:1 in its place in the boot loader's settings "
        "(/etc/default/grub) and reboot, or write hugepages.size: 2MiB"
    )


@pytest.mark.parametrize("count", [1, 2])
def test_large_pages_of_an_earlier_plan_are_planned_anew(count: int) -> None:
    host = with_large_pages((0, count), "hugepagesz=1G", f"hugepages=1:{count}", ours=True)
    made = plan(host, method="dpdk", hugepages={"size": "1GiB"})
    assert [argument for argument in arguments(made) if "hugepages" in argument] == ["hugepagesz=1G", "hugepages=1:1"]


def test_many_frames_make_large_pages_worth_while() -> None:
    host = machine(64, nics=[nic(most=64)])
    made = plan(host, method="dpdk", dpdk={"descriptors": 32_768})
    assert GIB in {pages.size for pages in made.hugepages}
    small = machine(64, nics=[nic(most=64)], pages=[Hugepages(2 * MIB)])
    assert {pages.size for pages in plan(small, method="dpdk", dpdk={"descriptors": 32_768}).hugepages} == {2 * MIB}
    assert (
        "hugepages.size: is 1GiB, and this machine has no pages of that size"
        in refused(small, hugepages={"size": "1GiB"})[0]
    )


TINY = machine(4, memory=2 * GIB, nics=[nic()])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"hugepages": {"per_node": {0: 4000}}},
            "hugepages.per_node: asks for 4000 pages of 2 MiB (7.81 GiB) on node 0, which has 2 GiB of memory, 256 MiB of "
            "it for the system; write at most {0: 896}",
        ),
        (
            {"hugepages": {"per_node": {0: 880}}},
            "hugepages.per_node: asks for 880 pages of 2 MiB (1.72 GiB) on node 0, which has 1.8 GiB of memory available, "
            "and 0 B of those pages; write at most {0: 829}",
        ),
        (
            {"buffers": {"hugepages": "on", "blocks_per_queue": 2048}},
            "hugepages.per_node: is auto and derives 3072 pages of 2 MiB (6 GiB) on node 0, which has 2 GiB of memory, 256 "
            "MiB of it for the system; write fewer queues, dpdk.descriptors or buffers.blocks_per_queue, or",
        ),
        (
            {"hugepages": {"per_node": {3: 10}}},
            "hugepages.per_node: names NUMA node 3, and this machine has 0; write pages of those, or auto",
        ),
        (
            {"method": "dpdk", "hugepages": {"per_node": {0: 10}}},
            "hugepages.per_node: gives node 0 10 pages of 2 MiB, and 47 (94 MiB) are needed there; write {0: 47}, or auto",
        ),
        (
            {"af_packet": {"ring_size": "1GiB"}},
            "buffers: 3 GiB for rings and 192 MiB for blocks of 3 queues do not fit into the 1.8 GiB of memory available; "
            "write fewer queues, smaller rings or fewer blocks_per_queue",
        ),
    ],
)
def test_memory_that_is_not_there(settings: dict[str, Any], sentence: str) -> None:
    (told,) = refused(TINY, **settings)
    assert told.startswith(f"host probe: {sentence}")


def with_rings(card: Nic, *, up: bool = True, mtu: int = 1500) -> Network:
    return Network((Link("ens0f0", 2, pci=card.pci, up=up, mtu=mtu, channels=Channels(0, 0, 4, 0, 0, 4)),))


@pytest.mark.parametrize(
    ("driver", "settings", "mtu", "buffer"),
    [
        ("ice", {}, 1500, 4096),
        ("ice", {}, 9000, 8192),
        ("ice", {"nic": {"mtu": "auto"}}, 1500, 8192),
        ("vmxnet3", {}, 1500, 2048),
        ("vmxnet3", {}, 9000, 16384),
    ],
)
def test_receive_rings_are_in_the_account(driver: str, settings: dict[str, Any], mtu: int, buffer: int) -> None:
    card = nic(driver=driver, kernel_driver=driver, rx_ring=512, rx_ring_max=8160)
    host = machine(8, nics=[card])
    made = plan(host, with_rings(card, mtu=mtu), **settings)
    present = 512 * 4 * (4096 if driver == "ice" and mtu == 1500 else buffer)
    assert made.memory.receive_rings == 8160 * 4 * buffer
    assert made.memory.available == host.memory_available + present
    assert made.memory.left == made.memory.available - sum(
        (made.memory.rings, made.memory.blocks, made.memory.receive_rings)
    )
    assert "in the NICs' receive rings" in "\n".join(made.text)


def test_receive_rings_as_they_are_and_of_no_driver_of_the_kernel() -> None:
    card = nic(rx_ring=512, rx_ring_max=8160)
    host = machine(8, nics=[card])
    left = plan(host, with_rings(card), nic={"rx_ring": "leave"})
    assert left.memory.receive_rings == 512 * 4 * 4096
    assert left.memory.available == host.memory_available + 512 * 4 * 4096
    # A port that is down has none yet.
    assert plan(host, with_rings(card, up=False)).memory.available == host.memory_available
    assert plan(host, with_rings(card), method="dpdk").memory.receive_rings == 0
    assert plan(host, with_rings(nic())).memory.receive_rings > 0
    assert plan(machine(8, nics=[nic()]), with_rings(nic())).memory.receive_rings == 0


def test_receive_rings_that_do_not_fit_are_told() -> None:
    card = nic(most=4, rx_ring=512, rx_ring_max=32_768)
    (told,) = refused(machine(8, memory=GIB // 2, nics=[card]), with_rings(card))
    assert told == (
        "host probe: buffers: 256 MiB for rings and 256 MiB for blocks of 4 queues and 512 MiB of the NICs' receive rings do "
        "not fit into the 469 MiB of memory available; write fewer queues, smaller rings (nic.rx_ring, too) or fewer "
        "blocks_per_queue"
    )


def test_pages_that_are_reserved_already_need_no_memory_again() -> None:
    host = machine(4, memory=2 * GIB, nics=[nic()], pages=[Hugepages(2 * MIB, 700, 700), Hugepages(GIB)])
    host = replace(host, memory_available=400 * MIB, nodes=(replace(host.nodes[0], memory_available=400 * MIB),))
    made = plan(host, hugepages={"per_node": {0: 700}})
    assert made.memory.available == 400 * MIB + 1400 * MIB


def test_memory_of_a_running_engine_counts_as_available() -> None:
    config = CaptureConfig.model_validate({"interfaces": [{"name": "ens0f0"}], "af_packet": {"ring_size": "1GiB"}})
    with pytest.raises(UsageError):
        plan_host(config, TINY, links(*TINY.nics))
    assert plan_host(config, TINY, links(*TINY.nics), held=3 * GIB).memory.available > 4 * GIB


# Kernel


def arguments(made: HostPlan) -> list[str]:
    return [entry.argument for entry in made.kernel_arguments]


def test_kernel_arguments_of_dpdk() -> None:
    made = plan(machine(4, nics=[nic()]), method="dpdk")
    assert arguments(made) == [
        "isolcpus=managed_irq,domain,1-3",
        "nohz_full=1-3",
        "rcu_nocbs=1-3",
        "irqaffinity=0",
        "intel_iommu=on",
        "iommu=pt",
    ]
    assert [entry.essential for entry in made.kernel_arguments] == [False] * 4 + [True] * 2
    assert not any(entry.essential for entry in plan(machine(4, nics=[BOUND]), method="dpdk").kernel_arguments)


@pytest.mark.parametrize(("table", "argument"), [("IVRS", "iommu=pt"), ("IORT", "iommu.passthrough=1")])
def test_the_firmware_says_whose_iommu_it_is(table: str, argument: str) -> None:
    made = plan(machine(4, nics=[nic()], iommu_table=table), method="dpdk", kernel={"isolate_cpus": "off"})
    assert arguments(made) == [argument]


@pytest.mark.parametrize(
    ("host", "settings", "sentence"),
    [
        (
            {"iommu_table": None},
            {},
            "dpdk.driver: is vfio-pci, which needs an IOMMU, and the firmware of this machine offers none",
        ),
        (
            {"iommu_table": None},
            {"method": "af_packet", "kernel": {"iommu": "on"}},
            "kernel.iommu: is on, and the firmware",
        ),
        ({}, {"kernel": {"iommu": "off"}}, "kernel.iommu: is off, and vfio-pci needs the IOMMU; write auto, or"),
        (
            {},
            {"kernel": {"arguments": ["iommu=off"]}},
            "kernel.arguments: holds iommu=off, and kernel.iommu derives iommu=pt; remove",
        ),
        (
            {},
            {"kernel": {"arguments": ["nohz-full=3"]}},
            "kernel.arguments: holds nohz-full=3, and kernel.isolate_cpus derives nohz_full=1-3; "
            "remove nohz-full=3, or write kernel.isolate_cpus: off",
        ),
        (
            {},
            {"kernel": {"arguments": ["hugepagesz=2M"]}, "hugepages": {"size": "1GiB"}},
            "kernel.arguments: holds hugepagesz=2M, and hugepages derives hugepagesz=1G; remove hugepagesz=2M, or write "
            "hugepages.size: 2MiB",
        ),
    ],
)
def test_kernel_wishes_that_cannot_be(host: dict[str, Any], settings: dict[str, Any], sentence: str) -> None:
    (told,) = refused(machine(4, nics=[nic()], **host), **{"method": "dpdk", **settings})
    assert told.startswith(f"host probe: {sentence}")


def test_an_iommu_that_the_command_line_switched_off_is_told() -> None:
    host = replace(machine(4, nics=[nic()], iommu_table="IVRS"), command_line=("quiet", "amd_iommu=off"))
    assert (
        "the kernel's command line has amd_iommu=off; remove that from the boot loader"
        in refused(host, method="dpdk")[0]
    )


def test_the_unprotected_driver_needs_no_iommu() -> None:
    made = plan(machine(4, nics=[nic()], iommu_table=None), method="dpdk", dpdk={"driver": "uio_pci_generic"})
    assert made.ports[0].driver == "uio_pci_generic"
    assert not [argument for argument in arguments(made) if "iommu" in argument]


def test_the_operators_arguments_are_added_once() -> None:
    made = plan(machine(4, nics=[nic()]), method="dpdk", kernel={"arguments": ["iommu=pt", "mitigations=off"]})
    assert arguments(made).count("iommu=pt") == 1
    assert made.kernel_arguments[-1] == KernelArgument("mitigations=off", "capture_kernel.arguments")


def test_json_has_the_keys_that_the_roles_read() -> None:
    plain = plan(HOST, method="dpdk").as_json()
    assert set(plain) == {
        "host",
        "methods",
        "ports",
        "workers",
        "writers",
        "housekeeping",
        "isolated",
        "hugepages",
        "hugepages_mounts",
        "kernel_arguments",
        "memory",
        "records",
        "systemd",
        "notes",
        "auto",
        "choices",
        "choices_due",
        "text",
    }
    assert set(plain["ports"][0]) == {
        "interface",
        "pci",
        "mac",
        "expected_name",
        "method",
        "driver",
        "queues",
        "workers",
        "node",
        "netns",
        "irq",
        "nic",
        "busy_poll",
        "rings",
        "chosen",
        "vdev",
    }
    assert plain["hugepages"][0] == {"size": 2 * MIB, "node": 0, "pages": plain["hugepages"][0]["pages"]}


def test_the_documentation_shows_the_plan_as_it_is() -> None:
    assert plan_document.written() == plan_document.table(), "run python tests/plan_document.py --write"


@pytest.mark.parametrize(
    ("driver", "channels", "native"),
    [
        ("ena", Channels(0, 0, 8, 0, 0, 8), 4),
        ("gve", Channels(16, 16, 0, 16, 16, 0), 8),
        ("bnxt_en", Channels(0, 0, 8, 64, 64, 64), 32),
    ],
)
def test_as_many_queues_are_planned_for_af_xdp_as_the_driver_takes_a_program_with(
    driver: str, channels: Channels, native: int
) -> None:
    card = nic(0, most=channels.max_receive, driver=driver, kernel_driver=driver, model="1d0f:ec20")
    network = Network((Link("ens0f0", 2, pci=card.pci, mac=card.mac, driver=driver, channels=channels),))
    host = machine(64, nics=[card])

    (port,) = plan(host, network, method="af_xdp").ports
    assert (port.queues, port.nic.channels) == (native, native)
    (generic,) = plan(host, network, method="af_xdp", af_xdp={"mode": "skb"}).ports
    assert generic.queues > native


def test_more_queues_than_the_driver_takes_a_program_with_are_told_of() -> None:
    card = nic(0, most=8, driver="ena", kernel_driver="ena", model="1d0f:ec20")
    network = Network((Link("ens0f0", 2, pci=card.pci, mac=card.mac, channels=Channels(0, 0, 8, 0, 0, 8)),))
    told = " ".join(
        plan(machine(16, nics=[card]), network, method="af_xdp", interfaces=[{"name": "ens0f0", "queues": 6}]).notes
    )
    assert "ens0f0 has 6 queues, and its driver takes a native XDP program with 4 at most" in told
    assert "write queues: 4, or auto" in told
