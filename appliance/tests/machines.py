"""Machines described in a few words, for tests of what is planned on them."""

from collections.abc import Iterable

from capstan.machine import Card, Cpu, Hugepages, Machine, Nic, Node

GIB, MIB = 1 << 30, 1 << 20


def machine(
    cores: int,
    *,
    nodes: int = 1,
    threads: int = 1,
    memory: int = 64 * GIB,
    offline: Iterable[int] = (),
    isolated: Iterable[int] = (),
    nics: Iterable[Nic] = (),
    cards: Iterable[Card] = (),
    pages: Iterable[Hugepages] = (Hugepages(2 * MIB), Hugepages(GIB)),
    iommu_table: str | None = "DMAR",
) -> Machine:
    """A machine numbered as most are: the first threads of all cores, node by node, then the second ones.

    Args:
        cores: of the whole machine, spread evenly over the nodes.
        nodes: NUMA nodes.
        threads: of each core.
        memory: bytes of the whole machine; nine tenths of it are available.
        offline: CPUs that are.
        isolated: CPUs that are, by the operator.
        nics: the NICs.
        cards: DAG cards.
        pages: hugepages of each node.
        iommu_table: what the firmware offers.

    """
    off, apart = set(offline), set(isolated)
    cpus = []
    for number in range(cores * threads):
        core = number % cores
        siblings = tuple(cpu for cpu in range(core, cores * threads, cores) if cpu not in off)
        on = number not in off
        node = core * nodes // cores
        cpus.append(Cpu(number, node, node, core, siblings or (number,), on, on, on and number in apart))
    part = memory // nodes
    return Machine(
        cpus=tuple(cpus),
        nodes=tuple(
            Node(
                number=node,
                cpus=tuple(cpu.number for cpu in cpus if cpu.node == node and cpu.online),
                memory_total=part,
                memory_free=part // 2,
                memory_available=part * 9 // 10,
                hugepages=tuple(pages),
                distances=tuple(10 if other == node else 20 + abs(other - node) for other in range(nodes)),
            )
            for node in range(nodes)
        ),
        nics=tuple(nics),
        cards=tuple(cards),
        kernel_release="6.1.0-30-amd64",
        iommu_table=iommu_table,
        memory_total=memory,
        memory_available=memory * 9 // 10,
    )


def nic(index: int = 0, *, node: int | None = 0, most: int = 16, name: str | None = None, **more: object) -> Nic:
    """The NIC ens<index>f0 at 0000:<19 + index>:00.0, an ice unless said otherwise."""
    known = {"driver": "ice", "kernel_driver": "ice", "model": "8086:1592", "rx_queues": most, **more}
    interface = name or f"ens{index}f0"
    pci, mac = f"0000:{0x19 + index:02x}:00.0", f"3c:fd:fe:00:00:{index:02x}"
    return Nic(pci, interface, (interface,), mac=mac, node=node, rx_queues_max=most, **known)  # type: ignore[arg-type]
